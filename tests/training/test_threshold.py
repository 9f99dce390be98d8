"""Does the threshold say yes as often as the lender did?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_bigmodel.errors import InputError
from rai_bigmodel.training.threshold import matching


@given(st.lists(st.integers(0, 12), min_size=1, max_size=30), st.data())
def test_no_other_threshold_comes_nearer(values: list[int], data: st.DataObject) -> None:
    """Of all thresholds the one found misses the wanted count by the least."""
    scores = np.array(values) / 12
    positives = data.draw(st.integers(0, len(values)))
    missed = abs((scores >= matching(scores, positives)).sum() - positives)
    candidates = [*np.unique(scores), 2.0]

    assert missed == min(abs((scores >= t).sum() - positives) for t in candidates)


def test_without_ties_the_count_is_exact_and_no_score_lies_on_the_edge() -> None:
    """Distinct scores: exactly as many yeses as asked, and the threshold is none of them."""
    scores = np.random.default_rng(0).random(101)
    for positives in range(102):
        threshold = matching(scores, positives)

        assert (scores >= threshold).sum() == positives
        assert threshold not in scores


def test_of_two_equally_near_counts_the_smaller_is_taken() -> None:
    """Two rows tied where one is wanted: none is approved rather than both."""
    assert (np.array([0.5, 0.5]) >= matching(np.array([0.5, 0.5]), 1)).sum() == 0


def test_neighbouring_floats_are_still_told_apart() -> None:
    """Where no number lies between two scores the upper one is the threshold."""
    low = 0.5
    high = float(np.nextafter(low, 1))

    assert (np.array([low, high]) >= matching(np.array([low, high]), 1)).tolist() == [False, True]


@pytest.mark.parametrize("scores", [[], [0.1, float("nan")]])
def test_scores_that_are_no_numbers_are_refused(scores: list[float]) -> None:
    """No threshold is made of nothing."""
    with pytest.raises(InputError, match="finite scores"):
        matching(np.array(scores), 1)
