"""Is an engine that does something else than the ledger says found by looking at it, and an honest one left alone?

Z1, Z2, Z3, Z4, Z5, Z6, Z7 and Z10 of the zoo, planted into our engine and into Opacus' hooks.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import torch
from cohorts import rng, splits, subject
from private_zoo import zoo
from torch.nn import functional as F  # noqa: N812

from rai_bigmodel.accounting import Ledger, Privacy
from rai_bigmodel.audits.privacy import Privacy as Audit
from rai_bigmodel.audits.privacy_ledger import CHANCE
from rai_bigmodel.nets import CNN, MLP, Input, Reads, Transformer
from rai_bigmodel.nets.reads import Pixels, Tokens
from rai_bigmodel.stats.conformance import Conformance
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit, private, probe
from rai_bigmodel.training.private import Engine

CLAIMED = Privacy(noise_multiplier=1.2, delta=1e-5, sample_rate=0.1, expected_batch_size=20, clip=0.7)
STEPS = 30
TABLE = Reads(features=("a", "b", "c"), numbers={name: Input() for name in "abc"})
NETS = {
    "mlp": (MLP(hidden=(64, 32)), TABLE, torch.ones(8, 3)),
    "cnn": (
        CNN(widths=(8,), hidden=64),
        Reads(pixels=Pixels(channels=1, height=8, width=8)),
        torch.ones(8, 1, 8, 8),
    ),
    "transformer": (
        Transformer(width=16, heads=2, layers=1, feedforward=32),
        Reads(tokens=Tokens(words=tuple("abcdefgh"), length=6)),
        torch.full((8, 6), 9),
    ),
}
WAYS = ("fast", "opacus")


def seen(
    clipping: str,
    plant: Callable[[Engine], object] = lambda _: None,
    *,
    net: str = "mlp",
    taken: int = STEPS,
    claimed: Privacy = CLAIMED,
) -> Conformance:
    """What the probe sees of an engine into which something was planted after it was configured."""
    config, reads, x = NETS[net]
    module = config.build(reads, outputs=2, generator=torch.Generator().manual_seed(0)).train()
    sgd = torch.optim.SGD(module.parameters(), lr=0.1)
    with private.engine(
        module,
        sgd,
        privacy=CLAIMED,
        noise_multiplier=1.2,
        clipping=clipping,
        loss=lambda out, _, y: F.cross_entropy(out, y, reduction="none"),
    ) as engine:
        plant(engine)
        before = [p.detach().clone() for p in module.parameters()]
        found = probe.conformance_of(
            engine,
            privacy=claimed,
            noise_multiplier=1.2,
            like=((x,), torch.arange(8) % 2),
            steps=taken,
        )
        assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    return found


def verdicts(found: Conformance, **edited: float) -> dict[str, float | None]:
    """What the audit makes of it: the p of the noise, the checks, and the ε that was spent.

    Args:
        edited: what of the ledger somebody changed afterwards.
    """
    ledger = msgspec.structs.replace(Ledger.of(CLAIMED, noise_multiplier=1.2, steps=STEPS), **edited)
    card = {"ledger": msgspec.to_builtins(ledger), "conformance": msgspec.to_builtins(found)}
    measured = Audit()(subject(card=card), splits(), rng()).measurements
    checks = {m.labels["check"]: m.value for m in measured if m.metric == "privacy.conformance"}
    told = {"privacy.noise_conformance_p", "privacy.epsilon_spent"}
    return checks | {m.metric: m.value for m in measured if m.metric in told}


@pytest.mark.parametrize("clipping", WAYS)
@pytest.mark.parametrize("net", NETS)
def test_an_honest_engine_passes_every_check(clipping: str, net: str) -> None:
    """The twin of all faults: no check fails, and planted rows are as long as the clipping norm allows."""
    found = seen(clipping, net=net)
    checks = verdicts(found)

    assert checks.pop("privacy.noise_conformance_p") > CHANCE
    assert checks.pop("privacy.epsilon_spent") > 0
    assert checks == {"noise_fresh": 1.0, "clip": 1.0, "steps": 1.0, "sampling": 1.0}
    assert found.longest == pytest.approx(CLAIMED.clip, rel=1e-4)
    assert found.noise_size == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("clipping", WAYS)
@pytest.mark.parametrize("factor", [0.5, 0.0, 1 / 20, 0.9])
def test_noise_of_another_size_is_seen(clipping: str, factor: float) -> None:
    """Z1 half the noise, Z2 none, Z3 divided by the batch size once more, and a tenth too little."""
    p = verdicts(seen(clipping, zoo.noise_times(factor)))["privacy.noise_conformance_p"]

    assert p is not None
    assert p < CHANCE


@pytest.mark.parametrize("clipping", WAYS)
def test_clipping_the_mean_is_seen(clipping: str) -> None:
    """Z4: one planted row then moves the others' share of the sum by more than the norm."""
    assert verdicts(seen(clipping, zoo.mean_clipped))["clip"] == 0


@pytest.mark.parametrize("clipping", WAYS)
def test_a_wider_clipping_norm_is_seen(clipping: str) -> None:
    """Z5: the noise is as claimed, so only a planted row tells."""
    found = verdicts(seen(clipping, zoo.wider))

    assert found["clip"] == 0
    assert found["privacy.noise_conformance_p"] > CHANCE


@pytest.mark.parametrize("plant", [zoo.faster, zoo.fixed_size, zoo.weighted])
def test_another_sampling_is_seen(plant: Callable[[Engine], object]) -> None:
    """Z6 and Z11: twice the rate that the accountant was told, batches of a fixed size, rows drawn unlike."""
    assert verdicts(seen("fast", plant))["sampling"] == 0


def test_a_step_more_than_the_ledger_says_is_seen() -> None:
    """Z7: plain equality."""
    assert verdicts(seen("fast", taken=STEPS + 1))["steps"] == 0


@pytest.mark.parametrize("clipping", WAYS)
def test_noise_that_comes_again_is_seen(clipping: str) -> None:
    """Z10: a generator seeded anew at every step."""
    assert verdicts(seen(clipping, zoo.seeded_anew))["noise_fresh"] == 0


def test_a_recipe_in_half_precision_is_private_by_the_same_checks() -> None:
    """`precision: bfloat16` reaches the engine: with the same draws and noise other weights, and every check holds."""
    draw = np.random.default_rng(3)

    def rows(n: int) -> Table:
        columns = {name: draw.normal(size=n) for name in "abc"}
        columns["y"] = (columns["a"] + draw.normal(size=n) > 0).astype(float)
        return Table(name="toy", columns=columns, roles={"feature": ("a", "b", "c"), "truth": ("y",)})

    data = Splits(train=rows(200), calibrate=rows(60), held_out=rows(60))
    seeded = msgspec.structs.replace(CLAIMED, noise_seed=1)
    exact, half = (
        fit.train(MLP(hidden=(16,)), data, epochs=2, privacy=seeded, precision=precision)
        for precision in ("float32", "bfloat16")
    )
    moved = [
        float((a - b).detach().abs().max())
        for a, b in zip(exact.module.parameters(), half.module.parameters(), strict=True)
    ]
    card = msgspec.to_builtins(half.card)
    checks = [
        m.value for m in Audit()(subject(card=card), splits(), rng()).measurements if "check" in m.labels
    ]

    assert 0 < max(moved) < 0.1
    assert checks == [1.0] * 4


@pytest.mark.parametrize(
    ("edited", "seen_by"),
    [
        ({"noise_multiplier": 3.0}, "privacy.noise_conformance_p"),
        ({"expected_batch_size": 10.0}, "privacy.noise_conformance_p"),
        ({"clip": 1.4}, "privacy.noise_conformance_p"),
        ({"sample_rate": 0.05}, "sampling"),
        ({"steps": 10}, "steps"),
    ],
)
def test_a_ledger_edited_after_the_training_is_not_what_was_seen(edited: dict, seen_by: str) -> None:
    """The size of the noise and the rate themselves are kept: held against the ledger, not only against a belief."""
    found = verdicts(seen("fast"), **edited)

    assert found[seen_by] < CHANCE
    assert found["privacy.epsilon_spent"] is None


def test_a_card_that_says_nothing_of_the_mechanism_is_not_taken_for_a_good_one() -> None:
    """Null with why, for the noise and every check; and no ledger, no question."""
    ledger = msgspec.to_builtins(Ledger.of(CLAIMED, noise_multiplier=1.2, steps=STEPS))
    of_ledger = Audit()(subject(card={"ledger": ledger}), splits(), rng()).measurements
    found = [m for m in of_ledger if "conformance" in m.metric]

    assert len(found) == 5
    assert all(m.value is None and "nobody looked" in m.why for m in found)
    assert not [m for m in Audit()(subject(), splits(), rng()).measurements if "conformance" in m.metric]


def test_n_and_one_more_have_noise_of_one_size() -> None:
    """Z9: an engine whose batch size followed the rows, 100 for 1,000 of them and 91 for 1,001, is seen."""
    for size, honest in ((20, True), (18.2, False)):
        drifted = msgspec.structs.replace(CLAIMED, expected_batch_size=size)
        ps = [seen("fast", claimed=drifted).noise_p for _ in range(2)]
        assert all((p > CHANCE) is honest for p in ps)
        assert np.isfinite(ps).all()
