"""Twenty trained networks of each shape: every wrong explanation rejected, every right one accepted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need the extra 'train'")

import trained

from rai_bigmodel.audits.battery import battery
from rai_bigmodel.audits.cases import by_part
from rai_bigmodel.audits.faithfulness import completeness, randomisation

DOES_NOT_HOLD = {("gradient × input", kind) for kind in ("cnn", "lstm", "transformer")}
"""Where gates, maxima and attention bend, the gradient at the row says little of the way there."""


@pytest.mark.zoo
@pytest.mark.parametrize("kind", ["mlp", "cnn", "lstm", "transformer"])
@pytest.mark.parametrize("seed", range(20))
def test_true_explanations_are_accepted_and_false_ones_rejected(kind, seed) -> None:
    """The table of validity.md 3.1, on trained networks."""
    case, other = trained.shaped_cases(kind, seed, rows=160)
    rng = np.random.default_rng([seed, 11])
    for name, (explain, adds_up) in trained.right().items():
        if (name, kind) in DOES_NOT_HOLD:
            continue
        tested = battery(case, explain(case, rng), explain, rng, adds_up=adds_up)
        assert tested.faithful is True, (name, tested.why)
    for name, (explain, _) in trained.wrong(case, other, seed).items():
        tested = battery(case, explain(case, rng), explain, rng, adds_up=False)
        assert tested.faithful is False, (name, tested.why)


@pytest.mark.zoo
@pytest.mark.parametrize("seed", range(20))
def test_z28_an_edge_map_is_found_by_randomisation_and_its_twin_is_not(seed) -> None:
    """Edges of the picture look like an explanation and never ask the model (Adebayo et al. 2018)."""

    def edges(one, rng):
        down, across = np.gradient(one.x[:, 0], axis=(1, 2))
        return by_part(one, np.hypot(down, across)[:, None])

    case, _ = trained.shaped_cases("cnn", seed, rows=100)
    rng = np.random.default_rng([seed, 28])
    tested = battery(case, edges(case, rng), edges, rng, adds_up=False)
    found = {t.name: t.passed for t in tested.tests}
    twin = randomisation(case, trained.ig(case, rng), trained.ig, rng)

    assert tested.faithful is False
    assert found["randomisation_similarity"] is False
    assert twin.passed is True


@pytest.mark.zoo
@pytest.mark.parametrize("seed", range(20))
def test_z26_z27_another_checkpoint_class_or_start_does_not_add_up(seed) -> None:
    """Integrated Gradients of another seed's net, of the other class, and from another start; the twin passes."""
    case, _ = trained.mlp_cases(seed, 200)
    stale, _ = trained.mlp_cases(seed + 500, 200)
    elsewhere = replace(case, start=np.full_like(case.start, 1.5))
    rng = np.random.default_rng([seed, 27])
    wrong = (trained.ig(replace(stale, x=case.x), rng), -trained.ig(case, rng), trained.ig(elsewhere, rng))

    for values in wrong:
        assert battery(case, values, trained.ig, rng, adds_up=True).faithful is False
    assert completeness(case, trained.ig(case, rng), promised=True).passed is True
