"""Is the weighted problem that of the paper?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.reductions import DemographicParity, TruePositiveRateParity

from rai_bigmodel.mitigate.reductions import signed_weights


# pandas' own farewell to how Fairlearn fills a series.
@pytest.mark.filterwarnings("ignore:Setting a", "ignore:Setting an item")
@pytest.mark.parametrize(
    ("moment", "counts"), [(DemographicParity, "all"), (TruePositiveRateParity, "positives")]
)
@pytest.mark.parametrize("pull", [0.5, 1.0, 1.5])
def test_the_signed_weights_are_fairlearns(moment, counts, pull) -> None:
    """Fairlearn's objective plus its constraint at the multiplier that the pull stands for."""
    rng = np.random.default_rng(3)
    truth, low = rng.random(400) < 0.6, rng.random(400) < 0.25
    inside = truth if counts == "positives" else np.ones(400, dtype=bool)
    constraint = moment()
    constraint.load_data(
        pd.DataFrame({"x": np.zeros(400)}),
        pd.Series(truth.astype(int)),
        sensitive_features=pd.Series(np.where(low, "low", "high")),
    )
    # λ for "the low group's rate is not below the whole's", in Fairlearn's signs: the '-' constraint of that group.
    size = pull * (low & inside).sum() / len(truth)
    lambdas = pd.Series(0.0, index=constraint.index)
    for sign, event, group in constraint.index:
        if (sign, group) in {("-", "low"), ("+", "high")}:
            lambdas[sign, event, group] = size
    theirs = np.where(truth, 1.0, -1.0) + np.asarray(constraint.signed_weights(lambdas))
    ours = signed_weights(truth, ~low & inside, low & inside, pull=pull)

    assert ours == pytest.approx(theirs)


def test_a_pull_of_one_silences_the_negatives_of_the_group_selected_too_seldom() -> None:
    """Below it they count less, above it they are learned as positive; nothing happens at 0."""
    truth, low = np.array([True, False, True, False]), np.array([True, True, False, False])
    signed = {pull: signed_weights(truth, ~low, low, pull=pull).tolist() for pull in (0.0, 0.5, 1.0, 1.5)}

    assert signed[0.0] == [1.0, -1.0, 1.0, -1.0]
    assert signed[0.5] == [1.5, -0.5, 0.5, -1.5]
    assert signed[1.0] == [2.0, 0.0, 0.0, -2.0]
    assert signed[1.5] == [2.5, 0.5, -0.5, -2.5]
