"""Do canaries refute an ε that is too small, and leave an honest one alone?"""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from cohorts import rng, splits, subject

from rai_bigmodel.accounting import Ledger, Privacy, exact_epsilon_of
from rai_bigmodel.audits.privacy import Privacy as Audit
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits, Subject
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import canaries, fit
from rai_bigmodel.training.card import Card
from rai_bigmodel.training.checkpoint import Run

CANARIES = 400
ASKED = Privacy(noise_multiplier=4.0, delta=1e-5, sample_rate=1.0, expected_batch_size=60)
METHODS = ("gaussian-fit", "snj", "f-dp")


def table(seed: int) -> Table:
    chance = np.random.default_rng(seed)
    columns = {name: chance.normal(size=60) for name in "ab"} | {"y": (chance.random(60) < 0.5).astype(float)}
    return Table(name=f"toy {seed}", columns=columns, roles={"feature": ("a", "b"), "truth": ("y",)})


def run(clipping: str) -> Run:
    """Ten steps with all rows: one Gaussian mechanism, whose ε is exact and about 3.3."""
    data = Splits(train=table(1), calibrate=table(2), held_out=table(3))
    return fit.train(MLP(hidden=(4,)), data, epochs=10, privacy=ASKED, clipping=clipping)


def bounds(asked: Subject) -> dict[str, object]:
    """Method → its measurement."""
    found = Audit(canaries=CANARIES)(asked, splits(), rng()).measurements
    return {m.labels["method"]: m for m in found if m.metric == "privacy.epsilon_lower_bound"}


def quieter(card: Card, noise: float) -> Card:
    """The card as if so much noise had been asked for, in recipe and ledger alike."""
    asked = msgspec.structs.replace(card.recipe.privacy, noise_multiplier=noise)
    recipe = msgspec.structs.replace(card.recipe, privacy=asked)
    return msgspec.structs.replace(
        card, recipe=recipe, ledger=msgspec.structs.replace(card.ledger, noise_multiplier=noise)
    )


@pytest.mark.parametrize("clipping", ["fast", "opacus"])
def test_an_honest_engine_is_not_refuted_and_a_quieter_one_is(clipping: str) -> None:
    """At α = 0.0001 no bound is above the ε spent; with a quarter of the noise behind the same ledger, the fit is."""
    honest = run(clipping)
    quiet = quieter(honest.card, 0.5)
    spent = honest.card.ledger.epsilon_claimed
    fair = of_run(honest)
    faulty = replace(fair, canaries=lambda count, rng: canaries.scores(quiet, count, rng))

    assert exact_epsilon_of(honest.card.ledger) <= spent <= exact_epsilon_of(honest.card.ledger) + 0.02
    for m in bounds(fair).values():
        assert m.kind == "bound"
        assert m.interval.rung(0.0001)[1] <= spent
        assert m.interval.high is None
    refuted = bounds(faulty)["gaussian-fit"]
    assert refuted.interval.rung(0.0001)[1] > spent
    assert refuted.why.startswith("refuted")


def test_a_canarys_weight_is_moved_by_its_own_clipped_gradient_and_nothing_else() -> None:
    """Nearly without noise: each step adds clip over batch size for a canary that is in, nothing for one out."""
    card = run("fast").card
    silent = quieter(card, 1e-9)
    scores, member = canaries.scores(silent, 50, rng())

    assert scores[member] == pytest.approx(10 * 1.0 / 60, rel=1e-5)
    assert scores[~member] == pytest.approx(0, abs=1e-6)
    assert 10 < member.sum() < 40


def test_where_there_is_no_engine_the_bounds_are_null_and_without_a_ledger_they_are_refused() -> None:
    """A card alone: nothing to attack. A plain model: one line, because nothing was promised that could be refuted."""
    ledger = msgspec.to_builtins(Ledger.of(ASKED, noise_multiplier=4.0, steps=10))
    found = bounds(subject(card={"ledger": ledger}))

    assert tuple(found) == METHODS
    assert all(m.value is None and "engine is not at hand" in m.why for m in found.values())
    with pytest.raises(InputError, match=r"no privacy ledger.*leave canaries out"):
        bounds(subject())
    assert not [m for m in Audit()(subject(), splits(), rng()).measurements if "bound" in m.metric]


def test_scores_that_are_not_normal_give_no_gaussian_bound() -> None:
    """Cauchy's tails: null with why, while the bounds from guesses stand."""
    ledger = msgspec.to_builtins(Ledger.of(ASKED, noise_multiplier=4.0, steps=10))
    wild = subject(
        card={"ledger": ledger},
        canaries=lambda count, rng: (rng.standard_cauchy(count), rng.random(count) < 0.5),
    )
    found = bounds(wild)

    assert found["gaussian-fit"].value is None
    assert "not normal" in found["gaussian-fit"].why
    assert found["snj"].value is not None
    assert "largest refutable ε = " in found["snj"].why
    notes = Audit(canaries=CANARIES)(wild, splits(), rng()).notes
    assert any(note.startswith("ε by canaries, snj: ") and "refut" in note for note in notes)


@pytest.mark.parametrize("count", [10, -1])
def test_too_few_canaries_are_refused(count: int) -> None:
    """Ten could not refute more than about 1.05, and the message says so."""
    with pytest.raises(InputError, match=r"1\.05" if count > 0 else "at least 100"):
        Audit(canaries=count)(subject(), splits(), rng())
