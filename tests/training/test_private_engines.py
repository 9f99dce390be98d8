"""Do our clipping engine and Opacus' hooks take the same private step, on every kind of net?"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import CNN, LSTM, MLP, Input, Reads, Transformer
from rai_bigmodel.nets.reads import Pixels, Series, Tokens
from rai_bigmodel.training import noise, private

TABLE = Reads(features=("a", "b", "c"), numbers={name: Input() for name in "abc"})
WORDS = Reads(tokens=Tokens(words=tuple("abcdefgh"), length=6))
SERIES = Reads(series=Series(length=7, features=3))
PICTURES = Reads(pixels=Pixels(channels=1, height=8, width=8))


def normal(*shape: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def ids(rows: int) -> Tensor:
    return torch.randint(0, 10, (rows, 6), generator=torch.Generator().manual_seed(4))


NETS = {
    "mlp": (MLP(hidden=(16, 8)), TABLE, normal(11, 3)),
    "cnn": (CNN(widths=(4, 8), hidden=8), PICTURES, normal(11, 1, 8, 8)),
    "lstm": (LSTM(hidden=6, layers=2), SERIES, normal(11, 7, 3)),
    "lstm of texts, both ways": (LSTM(hidden=6, embedding=4, both=True), WORDS, ids(11)),
    "transformer": (Transformer(width=8, heads=2, layers=2, feedforward=16), WORDS, ids(11)),
}


def of_each(out: Tensor, inputs: tuple[Tensor, ...], y: Tensor | None) -> Tensor:
    del inputs
    assert y is not None
    # Long gradients: Opacus divides by the length plus 1e-6, which shows beside short ones.
    return 10 * F.cross_entropy(out, y, reduction="none")


def gradient(
    net: nn.Module, x: Tensor, y: Tensor, clipping: str, clip: float, most: int | None, **how: str
) -> Tensor:
    privacy = Privacy(
        noise_multiplier=0.0, delta=1e-5, sample_rate=0.5, expected_batch_size=8, clip=clip, noise_seed=1
    )
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    with private.engine(
        net, sgd, privacy=privacy, noise_multiplier=0.0, loss=of_each, clipping=clipping, **how
    ) as engine:
        engine.gradient(x, y, most=most)
        return torch.cat([p.grad.flatten().clone() for p in net.parameters()])


@pytest.mark.parametrize("clip", [0.3, 1e6])
@pytest.mark.parametrize("name", NETS)
def test_both_engines_take_the_same_step(name: str, clip: float) -> None:
    """Without noise the clipped gradients differ by 1e-6 of their length at most, in one go and in parts of 4 rows."""
    config, reads, x = NETS[name]
    y = torch.arange(len(x)) % 3
    net = config.build(reads, outputs=3, generator=torch.Generator().manual_seed(2)).double().train()
    ours, parts = (gradient(net, x, y, "fast", clip, most) for most in (None, 4))
    theirs = gradient(net, x, y, "opacus", clip, None)

    assert float(theirs.norm()) > 1e-3
    assert float((ours - theirs).norm() / theirs.norm()) <= 1e-6
    assert float((parts - theirs).norm() / theirs.norm()) <= 1e-6


@pytest.mark.parametrize("name", NETS)
def test_half_precision_stays_near_and_clips_to_the_same_norm(name: str) -> None:
    """bfloat16: some percent beside float32 and not the same; of one row alone never longer than the norm."""
    config, reads, x = NETS[name]
    x, y = x.float() if x.is_floating_point() else x, torch.arange(len(x)) % 3
    net = config.build(reads, outputs=3, generator=torch.Generator().manual_seed(2)).train()
    exact = gradient(net, x, y, "fast", 0.3, None)
    half = gradient(net, x, y, "fast", 0.3, None, precision="bfloat16")
    longest = max(
        float(8 * gradient(net, x[i : i + 1], y[i : i + 1], "fast", 0.3, None, precision="bfloat16").norm())
        for i in range(4)
    )

    assert 0 < float((half - exact).norm() / exact.norm()) < 0.05
    assert half.dtype == torch.float32
    assert longest == pytest.approx(0.3, rel=1e-5)


def test_a_tied_head_is_refused_by_the_hooks_alone() -> None:
    """Opacus would see half of its gradient; our engine sees both uses and trains it."""
    tied = Transformer(width=8, heads=2, layers=1, feedforward=16, causal=True, tied=True)
    net = tied.build(WORDS, generator=torch.Generator().manual_seed(2)).train()
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    how = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.5, expected_batch_size=8)

    def step(clipping: str) -> None:
        with private.engine(
            net,
            sgd,
            privacy=how,
            noise_multiplier=1.0,
            clipping=clipping,
            loss=lambda out, inputs, _: F.cross_entropy(out.mT, inputs[0], reduction="none").mean(1),
        ) as engine:
            engine.step(ids(5), None)

    step("fast")
    with pytest.raises(InputError, match="clipping: fast"):
        step("opacus")


def test_an_optimizer_with_memory_moves_alike_under_both_engines() -> None:
    """Three steps of SGD with momentum, without noise, end at the same weights."""
    ends = []
    for clipping in ("fast", "opacus"):
        net = MLP(hidden=(5,)).build(TABLE, generator=torch.Generator().manual_seed(2)).train().double()
        sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        how = Privacy(noise_multiplier=0.0, delta=1e-5, sample_rate=0.5, expected_batch_size=8, clip=1e6)
        with private.engine(net, sgd, privacy=how, noise_multiplier=0.0, clipping=clipping) as engine:
            for _ in range(3):
                engine.step(normal(9, 3), (normal(9, 1) > 0).double())
        assert engine.taken == 3
        ends.append(torch.cat([p.detach().flatten() for p in net.parameters()]))

    assert torch.allclose(*ends, rtol=1e-6, atol=1e-9)


def test_a_cipher_goes_on_from_its_state() -> None:
    """Normal and uniform numbers after a state was set are those that came after it was taken; keys differ by use."""
    one, other = noise.source(noise.key_of(3, "noise")), noise.source()
    one.chances(5), one(torch.empty(7), 1.0)
    state = one.get_state()
    wanted, got = torch.empty(9), torch.empty(9)
    one(wanted, 1.0)
    chances = one.chances(4)
    other.set_state(state)
    other(got, 1.0)

    assert torch.equal(wanted, got)
    assert torch.equal(chances, other.chances(4))
    assert noise.key_of(3, "noise") != noise.key_of(3, "sampling")


def test_chances_are_uniform() -> None:
    """A million of them: mean, variance and the share below 1 in 1,000 within five standard deviations; none is 1."""
    chances = noise.source(bytes(32)).chances(1_000_000)

    assert abs(float(chances.mean()) - 0.5) < 5 * (1 / 12e6) ** 0.5
    assert abs(float(chances.var()) - 1 / 12) < 5 * (1 / 180e6) ** 0.5
    assert abs(int((chances < 0.001).sum()) - 1000) < 5 * 1000**0.5
    assert 0 <= float(chances.min()) < float(chances.max()) < 1
