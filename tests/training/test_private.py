"""Is a private step what the accountant assumes? Clipping, noise, divisor, sampling, obstacles."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP, Input, Reads, Tabular
from rai_bigmodel.training import private
from rai_bigmodel.training.settings import Clipping


@pytest.fixture(params=["fast", "opacus"])
def clipping(request: pytest.FixtureRequest) -> Clipping:
    """Both engines; every promise of a private step is a promise of both."""
    return request.param


def privacy(**changed: object) -> Privacy:
    settings = {"noise_multiplier": 0.0, "delta": 1e-5, "sample_rate": 0.5, "expected_batch_size": 16.0}
    return Privacy(**{**settings, "clip": 1e6, **changed})


def module(seed: int = 0) -> Tabular:
    reads = Reads(features=("a", "b", "c"), numbers={"a": Input(), "b": Input(), "c": Input()})
    return MLP(hidden=(5, 4)).build(reads, generator=torch.Generator().manual_seed(seed)).train()


def rows(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(n, 3)).astype(np.float32))
    return x, torch.from_numpy((rng.random((n, 1)) < 0.5).astype(np.float32))


def one_step(
    settings: Privacy, x: torch.Tensor, y: torch.Tensor, clipping: Clipping
) -> dict[str, torch.Tensor]:
    """What one step of plain SGD at rate 1 took off each parameter: the private gradient."""
    net = module()
    before = {k: v.clone() for k, v in net.named_parameters()}
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    noise = settings.noise_multiplier or 0.0
    with private.engine(net, sgd, privacy=settings, noise_multiplier=noise, clipping=clipping) as engine:
        engine.step(x, y)
    return {k: (before[k] - v).detach() for k, v in net.named_parameters()}


def gradients(x: torch.Tensor, y: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """The naive twin: one backward pass for each row."""
    out = []
    for i in range(len(x)):
        net = module()
        F.binary_cross_entropy_with_logits(net(x[i : i + 1]), y[i : i + 1]).backward()
        out.append({k: p.grad.clone() for k, p in net.named_parameters() if p.grad is not None})
    return out


def test_without_noise_and_clipping_it_is_the_plain_step_over_the_declared_batch_size(
    clipping: Clipping,
) -> None:
    """The sum of the rows' gradients is divided by the declared 16, not by the 11 rows that came."""
    x, y = rows(11)
    taken = one_step(privacy(), x, y, clipping)
    each = gradients(x, y)

    for name, step in taken.items():
        assert torch.allclose(step, sum(g[name] for g in each) / 16, atol=1e-6)


def test_every_rows_gradient_is_clipped_over_all_parameters_together(clipping: Clipping) -> None:
    """A naive loop that scales each row's whole gradient to the norm 0.1 gives the same step."""
    x, y = rows(9)
    x[0] *= 100  # one row that would dominate the mean
    taken = one_step(privacy(clip=0.1), x, y, clipping)
    each = gradients(x, y)
    norms = [torch.sqrt(sum((v**2).sum() for v in g.values())) for g in each]

    for name, step in taken.items():
        expected = sum(g[name] * min(1.0, 0.1 / float(n)) for g, n in zip(each, norms, strict=True)) / 16
        assert torch.allclose(step, expected, atol=1e-6)


def test_the_noise_has_the_declared_scale(clipping: Clipping) -> None:
    """On no rows a step is noise alone, of standard deviation σ·C/B: χ² over 40 steps within 5 sigma."""
    settings = privacy(noise_multiplier=1.5, clip=0.2)
    expected = 1.5 * 0.2 / 16
    draws = [
        torch.cat([v.flatten() for v in one_step(settings, *rows(0), clipping).values()]) for _ in range(40)
    ]
    noise = torch.stack(draws)
    n = noise.numel()
    statistic = float((noise**2).sum()) / expected**2

    assert abs(statistic - n) < 5 * (2 * n) ** 0.5
    assert abs(float(torch.corrcoef(noise[:2])[0, 1])) < 5 / noise.shape[1] ** 0.5


def test_an_empty_batch_is_a_step_like_any_other(clipping: Clipping) -> None:
    """No row drawn: without noise nothing moves, nothing becomes NaN, and the step is taken."""
    taken = one_step(privacy(), *rows(0), clipping)

    assert all(torch.equal(v, torch.zeros_like(v)) for v in taken.values())


def test_each_row_is_drawn_independently_at_the_declared_rate() -> None:
    """Counts of 4,000 draws of 50 rows are binomial: mean and variance within 5 sigma, some draws empty."""
    settings = privacy(sample_rate=0.05, noise_seed=1)
    net = module()
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    with private.engine(net, sgd, privacy=settings, noise_multiplier=0.0) as engine:
        counts = np.array([len(engine.draw(50)) for _ in range(4000)])
    variance = 50 * 0.05 * 0.95

    assert abs(counts.mean() - 2.5) < 5 * (variance / 4000) ** 0.5
    assert abs(counts.var() - variance) < 5 * variance * (2.2 / 4000) ** 0.5
    assert (counts == 0).any()


def test_noise_and_sampling_differ_between_two_runs(clipping: Clipping) -> None:
    """The generators are seeded by the operating system, and not by torch's global state."""
    torch_state = torch.get_rng_state()
    taken = []
    for _ in range(2):
        torch.set_rng_state(torch_state)
        taken.append(one_step(privacy(noise_multiplier=1.0), *rows(4), clipping))

    assert not torch.equal(taken[0]["body.0.weight"], taken[1]["body.0.weight"])


def test_one_row_more_does_not_change_the_scale_of_the_noise(clipping: Clipping) -> None:
    """Rows n and n + 1 cannot be told apart by the noise: scale and divisor are declared."""
    seeded = privacy(noise_multiplier=2.0, noise_seed=3, clip=1.0)
    taken = []
    for n in (16, 17):
        x, _ = rows(n)
        # Outcomes equal to the predictions have no gradient, so the step is the noise and nothing else.
        taken.append(one_step(seeded, x, torch.sigmoid(module()(x)).detach(), clipping))

    for name in taken[0]:
        assert torch.allclose(taken[0][name], taken[1][name], atol=1e-6)
        assert taken[0][name].abs().max() > 1e-3


def test_afterwards_the_module_is_ordinary_again(clipping: Clipping) -> None:
    """No hook, no wrapper and no per-row gradient is left, even when the block fails."""
    net = module()
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)

    def broken() -> None:
        with private.engine(net, sgd, privacy=privacy(), noise_multiplier=0.0, clipping=clipping) as engine:
            engine.step(*rows(3))
            engine.step(torch.zeros((1, 9)), torch.zeros((1, 1)))

    with pytest.raises(InputError, match="needs rows of 3 columns"):
        broken()

    assert not any(m._forward_hooks or m._backward_hooks for m in net.modules())
    assert not any(hasattr(p, "grad_sample") for p in net.parameters())
    assert all(p.grad is None for p in net.parameters())


def test_obstacles_are_refused_all_at_once(clipping: Clipping) -> None:
    """BatchNorm and fused attention mix rows or hide gradients: both are named in one line."""
    net = nn.ModuleList([nn.BatchNorm1d(3), nn.MultiheadAttention(3, 1)])
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    with (
        pytest.raises(InputError, match=r"2 obstacles.*BatchNorm.*MultiheadAttention") as error,
        private.engine(net, sgd, privacy=privacy(), noise_multiplier=1.0, clipping=clipping),
    ):
        pass

    assert "\n" not in str(error.value)


class SparseMoE(nn.Linear):
    """A mixture of experts by its name."""


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (nn.BatchNorm1d(3, affine=False), "BatchNorm cannot support"),
        (nn.BatchNorm1d(3).requires_grad_(requires_grad=False), "BatchNorm cannot support"),
        (nn.InstanceNorm1d(3, track_running_stats=True), "running stats"),
        (SparseMoE(3, 3), "sends rows to experts"),
        (nn.Embedding(3, 3, max_norm=1.0), "max_norm"),
    ],
)
def test_what_mixes_rows_or_keeps_statistics_is_refused_also_without_a_weight(
    part: nn.Module, said: str, clipping: Clipping
) -> None:
    """A norm that is frozen or has no weights is one all the same; by our engine and by Opacus' hooks."""
    net = nn.Sequential(nn.Linear(3, 3), part)
    sgd = torch.optim.SGD(net[0].parameters(), lr=1.0)
    with (
        pytest.raises(InputError, match=rf"1 obstacles.*{said}"),
        private.engine(net, sgd, privacy=privacy(), noise_multiplier=1.0, clipping=clipping),
    ):
        pass
