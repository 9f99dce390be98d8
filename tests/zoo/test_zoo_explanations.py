"""Twenty trained networks of each shape: every wrong explanation rejected, every right one accepted."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need the extra 'train'")

import trained

from rai_bigmodel.audits.battery import battery

DOES_NOT_HOLD = {("gradient × input", kind) for kind in ("cnn", "lstm", "transformer")}
"""Where gates, maxima and attention bend, the gradient at the row says little of the way there."""


@pytest.mark.zoo
@pytest.mark.parametrize("kind", ["mlp", "cnn", "lstm", "transformer"])
@pytest.mark.parametrize("seed", range(20))
def test_true_explanations_are_accepted_and_false_ones_rejected(kind, seed) -> None:
    """The table of validity.md 3.1, on trained networks."""
    case, other = trained.shaped_cases(kind, seed)
    rng = np.random.default_rng([seed, 11])
    for name, (explain, adds_up) in trained.right().items():
        if (name, kind) in DOES_NOT_HOLD:
            continue
        tested = battery(case, explain(case, rng), explain, rng, adds_up=adds_up)
        assert tested.faithful is True, (name, tested.why)
    for name, (explain, _) in trained.wrong(case, other, seed).items():
        tested = battery(case, explain(case, rng), explain, rng, adds_up=False)
        assert tested.faithful is False, (name, tested.why)
