"""Rows counted by score: what they give equals what rows give, and a histogram errs by what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from rai_bigmodel.stats import calibration, cells, copies, counts, exact, scores, trees


def _rows(n: int, seed: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    s = rng.beta(2, 3, n)
    s = s.round(2) if ties else s
    return s, rng.random(n) < s


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), max_size=60), st.sampled_from([0, 2, 9]))
def test_values_are_counted_as_a_loop_counts_them(rows, digits) -> None:
    """Few decimals, all decimals, both zeros, none at all."""
    values = np.array([round(v, digits) for v, _ in rows], dtype=float)
    hit = np.array([h for _, h in rows], dtype=bool)
    levels, n, hits = counts.by_value(values, hit)

    assert levels.tolist() == sorted(set(values.tolist()))
    assert n.tolist() == [int((values == v).sum()) for v in levels]
    assert hits.tolist() == [int((hit & (values == v)).sum()) for v in levels]


@pytest.mark.parametrize("ties", [True, False])
def test_groups_counted_at_once_are_groups_counted_one_by_one(ties) -> None:
    """Scores, negatives and positives of each; a group without rows is empty."""
    s, y = _rows(700, 1, ties=ties)
    codes = np.random.default_rng(2).integers(0, 3, 700)
    found = cells.of_groups(codes, s, y, groups=4)

    for i in range(3):
        alone = cells.of_rows(s[codes == i], y[codes == i])
        assert all((a == b).all() for a, b in zip(found[i][:3], alone[:3], strict=True))
    assert found[3].n == 0


@pytest.mark.parametrize("bins", [64, 4096])
@pytest.mark.parametrize("seed", range(5))
def test_a_histogram_errs_by_no_more_than_it_says(bins, seed) -> None:
    """AUC, Brier score and log loss against scikit-learn's of the rows; intervals hold those of the rows."""
    s, y = _rows(3_000, seed)
    s = np.clip(s, 0.02, 0.98)
    counted = scores.ScoreCounts.of(np.zeros(3_000, int), y, s, groups=1, bins=bins).counts[0]
    rows, binned = cells.of_rows(s, y), cells.of_histogram(counted)
    area = scores.auc_of_cells(binned)

    assert abs(area.value - roc_auc_score(y, s)) <= area.error
    assert scores.auc_of_cells(rows) == (pytest.approx(roc_auc_score(y, s), abs=1e-12), 0.0)
    for kind, oracle in (("brier", brier_score_loss), ("log_loss", log_loss)):
        exactly, about = scores.loss_of_cells(rows, kind), scores.loss_of_cells(binned, kind)
        assert exactly.value == pytest.approx(oracle(y, s), abs=1e-12)
        assert exactly.error == 0
        assert 0 < abs(about.value - exactly.value) <= about.error
        assert about.interval.low <= exactly.interval.low <= exactly.interval.high <= about.interval.high
    # Calibration: rows cut where the histogram cuts them, with their own mean scores.
    cut = calibration.equal_mass_of_cells(binned, bins=15)
    order, starts = np.argsort(s), np.r_[0, np.cumsum(cut.n)[:-1]]
    own = cut._replace(mean_score=np.add.reduceat(s[order], starts) / cut.n)
    found = calibration.ece_of_cells(binned)
    assert abs(found.value - calibration.of_bins(own).value) <= found.error


def test_a_wrong_outcome_where_the_loss_has_no_bound_has_no_log_loss() -> None:
    """A positive in the bin that holds 0."""
    counted = np.zeros((2, 8), dtype=np.int64)
    counted[1, 0] = counted[0, 3] = 1

    assert scores.loss_of_cells(cells.of_histogram(counted), "log_loss").value is None
    assert scores.loss_of_cells(cells.of_histogram(counted), "brier").value is not None


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_limit_is_found_without_asking_for_all(seed) -> None:
    """The same first cell, suspicious or not, as with every limit worked out."""
    rng = np.random.default_rng(seed)
    n = rng.integers(20, 3_000, 2_000)
    x = rng.binomial(n, rng.choice([0.5, 0.9, 0.97, 1.0], 2_000))
    every = exact.at_least(x, n, 0.001)

    def first(limit: np.ndarray) -> np.ndarray:
        return limit >= 0.95

    found = exact.largest_at_least(x, n, 0.001, first=first)
    for mask in (np.ones(2_000, bool), first(every)):
        assert np.argmax(np.where(mask, found, -1)) == np.argmax(np.where(mask, every, -1))
    assert (first(found) <= first(every)).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, -0.0, 1.0, np.nan]), st.integers(0, 2)), min_size=1, max_size=30)
)
def test_copies_are_counted_as_a_set_counts_them(rows) -> None:
    """Missing numbers are equal, and so are both zeros; rows shared with another table too."""
    x, c = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    keys = [("gone" if np.isnan(a) else a + 0.0, b) for a, b in zip(x.tolist(), c.tolist(), strict=True)]
    half = len(rows) // 2 or 1
    other = set(keys[:half])

    assert copies.distinct([x, c]) == len(set(keys))
    assert copies.shared([x, c], [x[:half], c[:half]]) == sum(k in other for k in keys)


@pytest.mark.parametrize("seed", range(3))
def test_the_tree_is_that_of_scikit_learn(seed) -> None:
    """The same leaves: rows and hits of each, on numbers without ties between splits."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1_500, 4))
    y = rng.random(1_500) < np.where((x[:, 0] > 0.3) & (x[:, 2] < 0), 0.7, 0.2)
    tree = DecisionTreeClassifier(max_depth=3, min_samples_leaf=40, random_state=0).fit(x, y)
    at = tree.apply(x)
    want = sorted((int((at == i).sum()), int(y[at == i].sum())) for i in np.unique(at))
    found = trees.leaves(list(x.T), y, least=40)

    assert sorted((leaf.rows, leaf.hits) for leaf in found) == want
    for leaf in found:
        inside = np.logical_and.reduce([cut.holds(x[:, cut.column]) for cut in leaf.cuts])
        assert inside.sum() == leaf.rows
