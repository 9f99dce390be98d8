"""Weighted counts and moments: adding parts is summarising the whole, and weights of 1 change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import counts as c
from rai_bigmodel.stats.counts import GroupCounts
from rai_bigmodel.stats.means import skewness_of
from rai_bigmodel.stats.moments import GroupMoments
from rai_bigmodel.stats.weighted import WeightedCounts


@st.composite
def _rows(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    k, n = draw(st.integers(1, 4)), draw(st.integers(1, 50))
    group = draw(hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    truth, decision = (draw(hnp.arrays(bool, n)) for _ in range(2))
    weight = draw(hnp.arrays(float, n, elements=st.floats(0.01, 100)))
    return k, group, truth, decision, weight


def _shards(rows: int, random, parts: int) -> list[np.ndarray]:
    order = list(range(rows))
    random.shuffle(order)
    return [s for s in np.array_split(np.array(order), parts) if len(s)]


@given(_rows(), st.randoms(use_true_random=False), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_weighing_parts_in_any_order_and_adding_is_weighing_the_whole(rows, random, parts) -> None:
    """Rows exactly, weights to 1e-12."""
    k, group, truth, decision, weight = rows
    whole = WeightedCounts.of(group, truth, decision, weight, groups=k)
    added = sum(
        WeightedCounts.of(group[s], truth[s], decision[s], weight[s], groups=k)
        for s in _shards(len(group), random, parts)
    )

    assert added.counts == whole.counts
    np.testing.assert_allclose(added.weights, whole.weights, rtol=1e-12)
    np.testing.assert_allclose(added.squares, whole.squares, rtol=1e-12)


@given(_rows())
@settings(max_examples=25, deadline=None)
def test_every_weighted_rate_is_that_of_fairlearn(rows) -> None:
    """Fairlearn's metrics with sample_weight, group by group; the naive twin of the effective size beside it."""
    from fairlearn import metrics as fl
    from sklearn.metrics import accuracy_score, precision_score

    k, group, truth, decision, weight = rows
    theirs = {
        "selection_rate": fl.selection_rate,
        "true_positive_rate": fl.true_positive_rate,
        "false_positive_rate": fl.false_positive_rate,
        "false_negative_rate": fl.false_negative_rate,
        "precision": lambda y, d, **w: precision_score(y, d, zero_division=0, **w),
        "accuracy": accuracy_score,
    }
    counted = WeightedCounts.of(group, truth, decision, weight, groups=k)
    for name, oracle in theirs.items():
        rate = counted.rate(name)
        for g in range(k):
            inside = group == g
            base = {
                "true_positive_rate": truth,
                "false_negative_rate": truth,
                "false_positive_rate": ~truth,
                "precision": decision,
            }.get(name, np.ones(len(group), dtype=bool))
            w = weight[inside & base]
            if not len(w):
                assert rate.trials[g] == 0
                continue
            y, d = truth[inside].astype(int), decision[inside].astype(int)
            extra = {} if name in {"precision", "accuracy", "selection_rate"} else {"pos_label": 1}
            said = oracle(y, d, sample_weight=weight[inside], **extra)

            assert rate.values[g] == pytest.approx(said, abs=1e-12)
            assert rate.trials[g] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)
            assert rate.counted[g] == len(w)


@given(_rows())
@settings(max_examples=60, deadline=None)
def test_equal_weights_change_no_rate_and_no_size(rows) -> None:
    """Weights of 3 in every row: the rates and sizes of rows that carry none."""
    k, group, truth, decision, _ = rows
    counted = WeightedCounts.of(group, truth, decision, np.full(len(group), 3.0), groups=k)
    for name, rate in c.RATES.items():
        plain, weighed = rate(GroupCounts.of(group, truth, decision, groups=k)), counted.rate(name)

        np.testing.assert_allclose(weighed.trials, plain.trials, rtol=1e-12)
        np.testing.assert_allclose(weighed.successes, plain.successes, rtol=1e-12, atol=1e-12)


def test_the_effective_size_is_the_one_on_paper() -> None:
    """Weights 1, 1, 2: (1 + 1 + 2)² / (1 + 1 + 4) = 8/3 (Kish 1965)."""
    counted = WeightedCounts.of(np.zeros(3, int), [1, 0, 1], [1, 1, 0], np.array([1.0, 1, 2]), groups=1)

    assert counted.effective.tolist() == [pytest.approx(8 / 3)]
    assert counted.rate("selection_rate").values.tolist() == [0.5]


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        ([1.0, 0.0, -2.0], "zero or negative in 2 of 3 rows"),
        ([1.0, 1e300, 2.0], r"above 1e\+150 in 1 of 3 rows"),
        ([1.0, np.nan, 1.0], "missing or not finite in 1 of 3 rows"),
        (["a", "b", "c"], "text"),
        ([1.0, 2.0], "one weight for each of 3 rows"),
    ],
)
def test_a_weight_that_is_no_weight_is_refused_with_row_counts(weight, said) -> None:
    """Zero, negative, missing, text, and too few."""
    with pytest.raises(InputError, match=said):
        WeightedCounts.of(np.zeros(3, int), [1, 0, 1], [1, 1, 0], np.array(weight), groups=1)


@given(
    hnp.arrays(float, st.integers(2, 60), elements=st.floats(-1e3, 1e3)),
    st.randoms(use_true_random=False),
    st.integers(1, 6),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_moments_of_parts_in_any_order_add_up_to_those_of_the_whole(values, random, parts, weighed) -> None:
    """To 1e-12 of the numbers' size, and equal to numpy's mean and variance."""
    group = np.arange(len(values)) % 2
    weight = 0.5 + np.arange(len(values)) % 3 if weighed else np.ones(len(values))
    whole = GroupMoments.of(group, values, groups=2, weight=weight if weighed else None)
    added = sum(
        GroupMoments.of(group[s], values[s], groups=2, weight=weight[s] if weighed else None)
        for s in _shards(len(values), random, parts)
    )

    np.testing.assert_allclose(added.means, whole.means, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(added.deviations, whole.deviations, rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(added.cubes, whole.cubes, rtol=1e-12, atol=1e-2)
    for g in range(2):
        x, w = values[group == g], weight[group == g]
        assert whole.means[g] == pytest.approx(np.average(x, weights=w), abs=1e-9)
        if not weighed and len(x) > 1:
            assert whole.variances[g] == pytest.approx(x.var(ddof=1), rel=1e-9, abs=1e-9)
            # Of values that differ by rounding alone skewness is rounding, too, and third powers may vanish.
            if x.std() > max(1e-6 * abs(x).max(), 1e-100):
                assert whole.skews[g] == pytest.approx(skewness_of(x), rel=1e-6, abs=1e-6)


def test_moments_of_different_groups_stand_side_by_side() -> None:
    """In the order of their names, a group seen by one part only kept as it was."""
    a = GroupMoments.of(np.zeros(2, int), np.array([1.0, 3]), groups=["b"])
    both = a + GroupMoments.of(np.zeros(1, int), np.array([7.0]), groups=["a"])

    assert both.groups == ("a", "b")
    assert both.means.tolist() == [7.0, 2.0]
    assert both.variances[1] == 2.0
    assert np.isnan(both.variances[0])


def test_a_value_that_is_not_finite_is_refused_with_its_rows() -> None:
    """One line, with how many."""
    with pytest.raises(InputError, match="not finite in 1 of 2 rows"):
        GroupMoments.of(np.zeros(2, int), np.array([1.0, np.inf]), groups=1)
