"""Is every loss the one on paper, and does a step do with it what it says?"""

import math

import numpy as np
import pytest
import torch

from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP, Autoencoder, Input, Reads, Transformer
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit, losses, private, steps
from rai_bigmodel.training.aims import Aim
from rai_bigmodel.training.checkpoint import weights
from rai_bigmodel.training.recipe import Scale, Text
from rai_bigmodel.training.scoring import sigma_columns
from rai_bigmodel.training.settings import Train

LABELS = ("a", "b", "c")


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_losses_of_rows_are_those_of_their_definitions() -> None:
    """One naive loop in float64 for each: yes or no, labels, squares, Gaussian, and their weighted sums."""
    w = torch.tensor([0.5, 2.0, 0.0, 1.5])
    z, y = draw(4, 1), torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    p = [1 / (1 + math.exp(-v)) for v in z[:, 0].tolist()]
    bce = [-math.log(q if t else 1 - q) for q, t in zip(p, y[:, 0].tolist(), strict=True)]
    k, codes = draw(4, 3), torch.tensor([2, 0, 1, 1])
    ce = [-v[c] + math.log(sum(map(math.exp, v))) for v, c in zip(k.tolist(), codes.tolist(), strict=True)]
    g, t = draw(4, 2), draw(4, 1)
    mse = [(a - b) ** 2 for a, b in zip(z[:, 0].tolist(), t[:, 0].tolist(), strict=True)]
    gauss = [
        -math.log(math.exp(-((b - m) ** 2) / (2 * math.exp(v))) / math.sqrt(2 * math.pi * math.exp(v)))
        for (m, v), b in zip(g.tolist(), t[:, 0].tolist(), strict=True)
    ]
    for aim, out, truth, expected in (
        (Aim(loss="bce"), z, y, bce),
        (Aim(loss="cross_entropy", labels=LABELS), k, codes, ce),
        (Aim(loss="mse"), z, t, mse),
        (Aim(loss="gaussian"), g, t, gauss),
    ):
        got = losses.of_rows(aim, None, out, (out,), truth)

        assert got.tolist() == pytest.approx(expected, rel=1e-5)
        assert float(losses.total(aim, None, out, (out,), truth)) == pytest.approx(sum(expected), rel=1e-5)
        weighted = float(losses.total(aim, None, out, (out,), truth, w=w))
        assert weighted == pytest.approx(
            sum(a * b for a, b in zip(w.tolist(), expected, strict=True)), rel=1e-5
        )


@pytest.mark.parametrize("missing", [False, True])
def test_a_share_of_the_mean_is_the_sum_over_how_many(missing: bool) -> None:
    """Rebuilt rows too, where nothing is missing by a shorter way; what is missing in a row leaves it its weight."""
    reads = Reads(features=("a", "b", "c"), numbers={f: Input(1.0, 2.0, 3.0) for f in "abc"})
    module = Autoencoder(hidden=(), code=2).build(reads, generator=torch.Generator().manual_seed(1))
    x = draw(5, 3)
    if missing:
        x[0, 1] = x[3, 0] = x[3, 2] = float("nan")
    aim, out = Aim(loss="reconstruction"), module(x)
    naive = losses.of_rows(aim, module, out, (x,), None).mean()

    assert torch.allclose(losses.share(aim, module, out, (x,), None, of=5), naive, rtol=1e-6)
    assert torch.allclose(losses.share(aim, module, out, (x,), None, of=10), naive / 2, rtol=1e-6)


def test_a_language_models_loss_is_of_each_word_but_the_first_and_never_of_padding() -> None:
    """Naive: position t speaks of word t + 1; padding is neither summed nor counted."""
    aim = Aim(loss="language_model")
    ids = torch.tensor([[2, 3, 4, 0, 0], [3, 0, 0, 0, 0], [4, 4, 2, 3, 2]])
    out = draw(3, 5, 5)
    log_p = torch.log_softmax(out.double(), dim=2)
    expected = [
        -sum(float(log_p[r, t, ids[r, t + 1]]) for t in range(4) if ids[r, t + 1] != 0) for r in range(3)
    ]

    assert losses.of_rows(aim, None, out, (ids,), None).tolist() == pytest.approx(expected, rel=1e-5)
    assert losses.count(aim, (ids,)) == 2 + 0 + 4


def test_rebuilding_is_learned_by_the_nets_own_error() -> None:
    """The loss of a row is what the module calls its error: scaled, over what was there."""
    rng = np.random.default_rng(0)
    a = rng.normal(5, 2, 80)
    a[::9] = np.nan
    cohort = Table(name="t", columns={"a": a, "b": rng.normal(size=80)}, roles={"feature": ("a", "b")})
    splits = Splits(train=cohort, calibrate=cohort, held_out=cohort)
    run = fit.train(Autoencoder(hidden=(8,), code=1), splits, epochs=2)
    x = torch.from_numpy(np.stack([cohort.columns["a"], cohort.columns["b"]], 1)).float()

    assert torch.allclose(
        losses.of_rows(run.card.aim, run.module, run.module(x), (x,), None), run.module.error(x), atol=1e-6
    )


def splits_of(kind: str) -> Splits:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 90))
    y = {
        "bce": (a > 0).astype(float),
        "labels": np.array(LABELS, dtype=object)[np.digitize(a + b, (-1, 1))],
        "number": 100 + 10 * a + b,
    }[kind]
    columns = {"a": a, "b": b, "y": y}
    whole = Table(name=kind, columns=columns, roles={"feature": ("a", "b"), "truth": ("y",)})
    rows = np.arange(90)
    train, calibrate, held_out = (whole.take(rows[i::3], name=f"{kind} {i}") for i in range(3))
    return Splits(train=train, calibrate=calibrate, held_out=held_out)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_the_loop_is_a_bare_torch_loop(optimizer: str) -> None:
    """Labels, a warm-up, a cosine, decay and clipping: the same weights as a loop written out with torch alone."""
    splits = splits_of("labels")
    settings = {"lr": 0.05, "weight_decay": 0.01, "epochs": 3, "batch_size": 8, "schedule": "cosine"}
    run = fit.train(MLP(hidden=(5,)), splits, seed=3, optimizer=optimizer, warmup=4, clip=0.5, **settings)

    generator = torch.Generator().manual_seed(3)
    net = MLP(hidden=(5,)).build(run.card.reads, outputs=3, generator=generator)
    rows = splits.train.columns
    x = torch.from_numpy(np.stack([rows["a"], rows["b"]], 1)).float()
    y = torch.tensor([LABELS.index(v) for v in rows["y"]])
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    kind = kinds.get(optimizer, torch.optim.RMSprop)
    extra = {"momentum": 0.9} if optimizer in {"sgd", "rmsprop"} else {}
    bare = kind(net.parameters(), lr=0.05, weight_decay=0.01, **extra)
    step, of = 0, 3 * math.ceil(len(x) / 8)
    for _ in range(3):
        for batch in torch.randperm(len(x), generator=generator).split(8):
            step += 1
            rate = step / 4 if step <= 4 else (1 + math.cos(math.pi * (step - 5) / (of - 4))) / 2
            bare.param_groups[0]["lr"] = 0.05 * rate
            bare.zero_grad()
            torch.nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            bare.step()

    for ours, theirs in zip(run.module.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_schedules_rise_and_fall_as_they_say() -> None:
    """Warm-up in a straight line; then flat, half a cosine, or a straight line towards 0."""
    rates = {
        name: [
            steps.rate_at(s, steps=12, settings=Train(schedule=name, warmup=2), lr=1.0) for s in range(1, 13)
        ]
        for name in ("constant", "cosine", "linear")
    }

    assert rates["constant"] == [0.5] + [1.0] * 11
    assert rates["linear"] == pytest.approx([0.5, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert rates["cosine"][2] == 1.0
    assert rates["cosine"][7] == pytest.approx(0.5)
    assert all(x > y > 0 for x, y in zip(rates["cosine"][2:], rates["cosine"][3:], strict=False))


@pytest.mark.parametrize("kind", ["bce", "labels", "number"])
def test_a_step_in_parts_is_the_step(kind: str) -> None:
    """Rows that pass through the network in parts give the same weights, up to the order of a sum."""
    whole, parts = (
        fit.train(MLP(hidden=(5,)), splits_of(kind), epochs=3, batch_size=12, accumulate=n, lr=0.02)
        for n in (1, 5)
    )

    for one, other in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert (whole.card.physical_batch, parts.card.physical_batch) == (12, 3)


def test_a_language_models_step_in_parts_is_the_step() -> None:
    """Also where the parts hold unlike numbers of words."""
    texts = np.array(["ab", "abcabcab", "", "cba", "bbbbbb", "c"] * 5, dtype=object)
    cohort = Table(name="t", columns={"text": texts}, roles={"feature": ("text",)})
    splits = Splits(train=cohort, calibrate=cohort, held_out=cohort)
    net = Transformer(width=8, heads=2, layers=1, feedforward=8, causal=True)
    how = {
        "text": Text(level="character", length=8),
        "epochs": 2,
        "batch_size": 6,
        "optimizer": "sgd",
        "lr": 0.1,
    }
    whole, parts = (fit.train(net, splits, accumulate=n, **how) for n in (1, 3))

    for one, other in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("clipping", ["fast", "opacus"])
def test_a_private_step_in_parts_is_the_step(clipping: str) -> None:
    """Without noise: clipped row by row, the parts add up to the whole."""
    privacy = Privacy(noise_multiplier=0.0, delta=1e-5, sample_rate=0.5, expected_batch_size=8, clip=0.1)
    x, y = draw(11, 3), (draw(11, 1) > 0).float()
    moved = []
    for most in (None, 4, 1):
        inputs = {name: Input() for name in "abc"}
        reads = Reads(features=tuple("abc"), numbers=inputs)
        net = MLP(hidden=(4,)).build(reads, generator=torch.Generator().manual_seed(1)).train()
        sgd = torch.optim.SGD(net.parameters(), lr=1.0)
        with private.engine(net, sgd, privacy=privacy, noise_multiplier=0.0, clipping=clipping) as engine:
            engine.step(x, y, most=most)
            engine.step(x[:0], y[:0], most=most)
            engine.step(x, y, most=most)
        moved.append([p.detach().clone() for p in net.parameters()])

    for other in moved[1:]:
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(moved[0], other, strict=True))


def test_running_out_of_memory_halves_what_is_in_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: more than 5 rows do not fit. Weights as without, the card says what happened."""
    splits = splits_of("labels")
    plain = fit.train(MLP(hidden=(5,)), splits, epochs=2, batch_size=16)
    real = losses.share

    def small(aim, module, out, *rest, **more):
        if torch.is_grad_enabled() and len(out) > 5:
            msg = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
            raise RuntimeError(msg)
        return real(aim, module, out, *rest, **more)

    monkeypatch.setattr(losses, "share", small)
    squeezed = fit.train(MLP(hidden=(5,)), splits, epochs=2, batch_size=16)

    for one, other in zip(plain.module.parameters(), squeezed.module.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert squeezed.card.physical_batch == 4
    assert any("Memory ran out" in note and "4 parts" in note for note in squeezed.card.notes)
    assert not any("Memory" in note for note in plain.card.notes)


def test_another_error_is_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: a bug raises as it would; and one row that does not fit is one clear line."""
    splits = splits_of("bce")

    def broken(*_, **__):
        msg = "shapes cannot be multiplied"
        raise RuntimeError(msg)

    monkeypatch.setattr(losses, "share", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        fit.train(MLP(hidden=()), splits, epochs=1)

    def full(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(losses, "share", full)
    with pytest.raises(InputError, match="single row"):
        fit.train(MLP(hidden=()), splits, epochs=1)


def test_balanced_labels_count_alike() -> None:
    """Balanced is each row by one over its label's rows; a weight of 0 forgets a label; strange ones are refused."""
    splits = splits_of("labels")
    y = splits.train.columns["y"]
    by_hand = 1 / np.array([(y == v).sum() for v in y])
    net = MLP(hidden=(4,))
    one = fit.train(net, splits, epochs=2, class_weights="balanced")
    two = fit.train(net, splits, epochs=2, weights=by_hand)
    none = fit.train(net, splits, epochs=40, lr=0.05, class_weights={"a": 0.0})

    assert weights(one.module) == weights(two.module)
    chances = fit.score_columns(none.module, splits.held_out.columns, where="t", aim=none.card.aim)
    assert chances[:, 0].max() < 0.05
    with pytest.raises(InputError, match="label: 'd' is not there"):
        fit.train(net, splits, epochs=1, class_weights={"d": 1.0})
    with pytest.raises(InputError, match="class_weights go with labels"):
        fit.train(net, splits_of("number"), epochs=1, class_weights="balanced")


def test_bfloat16_computes_in_it_and_keeps_float32_weights() -> None:
    """Other numbers than in float32, near them; what is kept is float32."""
    plain, half = (
        fit.train(MLP(hidden=(16,)), splits_of("bce"), epochs=5, precision=p) for p in ("float32", "bfloat16")
    )

    assert weights(plain.module) != weights(half.module)
    assert all(p.dtype == torch.float32 for p in half.module.parameters())
    assert half.card.history[-1].calibrate == pytest.approx(plain.card.history[-1].calibrate, abs=0.02)


def test_numbers_are_learned_scaled_and_given_in_their_own_units() -> None:
    """Around 100 with a spread of 10: the answers are near, and a Gaussian head knows how near."""
    splits = splits_of("number")
    how = {"epochs": 150, "lr": 0.02, "batch_size": 30}
    run = fit.train(MLP(hidden=(8,)), splits, **how)
    gaussian = fit.train(MLP(hidden=(8,), head="gaussian"), splits, **how)
    truth = splits.held_out.columns["y"]
    target = run.card.aim.target
    assert target == Scale(center=splits.train.columns["y"].mean(), scale=splits.train.columns["y"].std())
    for one in (run, gaussian):
        said = fit.score_columns(one.module, splits.held_out.columns, where="t", aim=one.card.aim)

        assert np.abs(said - truth).mean() < 3
    sigma = sigma_columns(gaussian.module, splits.held_out.columns, where="t", aim=gaussian.card.aim)
    assert sigma.shape == truth.shape
    assert (sigma > 0).all()
    assert np.median(sigma) < 5
