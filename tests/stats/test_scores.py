"""Histograms of scores: exact sums, and numbers whose distance from the rows' own is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import scores
from rai_bigmodel.stats.scores import ScoreCounts


def _rows(n: int, *, seed: int = 0, groups: int = 3):
    rng = np.random.default_rng(seed)
    score = rng.beta(1, 2, size=n)
    return rng.integers(0, groups, n), rng.random(n) < score, score


@given(st.integers(0, 200), st.integers(0, 2**31), st.sampled_from([2, 16, 4096]))
def test_counting_parts_and_adding_is_counting_the_whole(cut: int, seed: int, bins: int) -> None:
    """Integers: any cut, any order, the same counts."""
    g, y, s = _rows(200, seed=seed)
    parts = [
        ScoreCounts.of(g[part], y[part], s[part], groups=3, bins=bins)
        for part in (slice(cut), slice(cut, None))
    ]

    assert sum(parts) == sum(reversed(parts)) == ScoreCounts.of(g, y, s, groups=3, bins=bins)


def test_groups_of_different_shards_stand_side_by_side() -> None:
    """A group that only one shard holds is kept."""
    g, y, s = _rows(100, groups=2)
    first = ScoreCounts.of(g, y, s, groups=("a", "b"))
    other = ScoreCounts.of(g, y, s, groups=("b", "c"))
    whole = first + other

    assert whole.groups == ("a", "b", "c")
    assert np.array_equal(whole.counts[1], first.counts[1] + other.counts[0])


def test_a_score_lies_in_the_bin_whose_lower_edge_it_reaches() -> None:
    """Edges belong to the bin above; 1 to the last."""
    edge = np.array([0.0, 0.25, np.nextafter(0.25, 0), 0.5, 1.0])
    counts = ScoreCounts.of(np.zeros(5, int), np.ones(5, bool), edge, groups=1, bins=4)

    assert counts.counts[0, 1].tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize("bins", [2, 64, 4096])
def test_the_rows_own_auc_lies_within_the_error_of_the_histograms(bins: int) -> None:
    """And the error shrinks with the bins."""
    g, y, s = _rows(3000)
    found = scores.binned_auc(ScoreCounts.of(g, y, s, groups=3, bins=bins))
    exact = np.array([scores.auc(s[g == i], y[g == i]) for i in range(3)])

    assert (np.abs(found.value - exact) <= found.error + 1e-12).all()
    assert found.error.max() <= {2: 0.5, 64: 0.02, 4096: 0.001}[bins]


def test_scores_on_a_grid_as_fine_as_the_bins_give_the_exact_auc() -> None:
    """Ties inside a bin are then ties of the rows: the histogram's number is scikit-learn's."""
    from sklearn.metrics import roc_auc_score

    g, y, s = _rows(2000)
    s = np.floor(s * 64) / 64
    found = scores.binned_auc(ScoreCounts.of(g, y, s, groups=3, bins=64))

    assert found.value == pytest.approx([roc_auc_score(y[g == i], s[g == i]) for i in range(3)], abs=1e-12)


@pytest.mark.parametrize("fpr", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_true_positive_rate_at_a_false_one_is_the_best_threshold(fpr: float) -> None:
    """Against every threshold tried; and the histogram's lies within its error."""
    g, y, s = _rows(1500)
    s = np.round(s, 2)
    thresholds = [*np.unique(s), 2.0]
    naive = max(float((s[y] >= t).mean()) for t in thresholds if (s[~y] >= t).mean() <= fpr)
    found = scores.binned_tpr_at(ScoreCounts.of(g * 0, y, s, groups=1), fpr)

    assert scores.tpr_at(s, y, fpr) == pytest.approx(naive, abs=1e-12)
    assert abs(found.value[0] - naive) <= found.error[0] + 1e-12


def test_a_group_without_both_outcomes_has_no_ranking() -> None:
    """NaN, and None from the rows."""
    counts = ScoreCounts.of(np.zeros(4, int), np.ones(4, bool), np.linspace(0, 1, 4), groups=2)

    assert np.isnan(scores.binned_auc(counts).value).all()
    assert np.isnan(scores.binned_tpr_at(counts, 0.1).value).all()
    assert scores.tpr_at(np.ones(3), np.ones(3, bool), 0.1) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": np.array([0.1, np.nan, 2.0])}, "2 of 3 do not"),
        ({"score": np.array([0.1, 0.2])}, "one length"),
        ({"group": np.array([0, 1, 2])}, "0 to 1, got 0 to 2"),
        ({"truth": np.array([0, 1, 2])}, "truth must be 0 or 1"),
        ({"bins": 1000}, "power of two, such as 4,096, got 1,000"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_what_was_got(change, message) -> None:
    """One line each, with row counts."""
    given_ = {
        "group": np.array([0, 1, 0]),
        "truth": np.array([0, 1, 1]),
        "score": np.array([0.1, 0.2, 0.3]),
        "bins": 16,
    } | change
    with pytest.raises(InputError, match=message):
        ScoreCounts.of(given_["group"], given_["truth"], given_["score"], groups=2, bins=given_["bins"])


def test_histograms_of_different_bins_are_not_added() -> None:
    """Their cells are not each other's."""
    g, y, s = _rows(10)
    with pytest.raises(InputError, match="16 and in 32 bins"):
        ScoreCounts.of(g, y, s, groups=3, bins=16) + ScoreCounts.of(g, y, s, groups=3, bins=32)
