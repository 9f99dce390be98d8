"""Differences of means, differences within strata, spread beyond chance, and other thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rai_bigmodel.evidence import Interval
from rai_bigmodel.stats import means
from rai_bigmodel.stats.counts import GroupCounts
from rai_bigmodel.stats.disparity import differ_p, spread, widest_by_pairs
from rai_bigmodel.stats.moments import GroupMoments, widest_mean_gap
from rai_bigmodel.stats.strata import mantel_haenszel, pooled_ends, widest_conditional_gap
from rai_bigmodel.stats.thresholds import ThresholdCounts


def _nested(interval: Interval) -> bool:
    """Smaller α, wider interval, on all four sides."""
    rungs = np.array(interval.ladder, dtype=float)
    lows, highs = rungs[:, [1, 3]], rungs[:, [2, 4]]
    return bool((np.diff(lows, axis=0) <= 1e-12).all() and (np.diff(highs, axis=0) >= -1e-12).all())


def _gap(groups: list[np.ndarray], *, compared: int) -> Interval | None:
    codes = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    moments = GroupMoments.of(codes, np.concatenate(groups), groups=len(groups))
    return widest_mean_gap(moments, np.arange(len(groups)), compared=compared)


def _even(r: np.random.Generator, centre: float, spread: float, n: int) -> np.ndarray:
    """Values without skewness: each has another as far on the other side."""
    half = r.normal(0, spread, n // 2)
    return centre + np.concatenate([half, -half])


def test_two_groups_means_are_told_apart_as_by_welch() -> None:
    """One pair, no skewness: scipy's Welch interval, and its one-sided bound for passing."""
    r = np.random.default_rng(0)
    x, y = _even(r, 1, 2, 40), _even(r, 0, 1, 60)
    ours = _gap([x, y], compared=2)
    theirs = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    one_sided = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.90)

    assert ours is not None
    assert ours.high == pytest.approx(theirs.high)
    assert ours.low == pytest.approx(max(theirs.low, 0))
    assert next(r for r in ours.ladder if r[0] == 0.05)[4] == pytest.approx(one_sided.high)
    assert _nested(ours)


def test_more_groups_widen_what_fails_and_not_what_passes() -> None:
    """Šidák over the pairs for failing; each pair on its own for passing."""
    r = np.random.default_rng(3)
    given = [r.exponential(size=50), 1 + r.exponential(size=50)]
    two, five = (_gap(given, compared=k) for k in (2, 5))

    assert two is not None
    assert five is not None
    assert five.high > two.high
    assert five.low < two.low
    assert [r[4] for r in five.ladder] == [r[4] for r in two.ladder]


def test_the_interval_of_a_groups_mean_is_that_of_its_values_and_needs_a_spread() -> None:
    """Equal to the mean's own; nothing where all values are the same, or there is one."""
    x = np.array([1.0, 2, 4, 8])
    moments = GroupMoments.of(np.array([0, 0, 0, 0, 1, 1, 2]), np.r_[x, 3, 3, 5], groups=4)

    assert moments.interval(0) == means.mean(x)
    assert moments.interval(1) is None
    assert moments.interval(2) is None
    assert moments.interval(3) is None
    assert widest_mean_gap(moments, np.array([0, 1]), compared=2) is None


def test_the_widest_mean_gap_covers_the_truth_it_is_asked_about() -> None:
    """Five groups of 40 with skewed errors: at truth 0.5 false alarms at most 5 % and false passes at most 6 %."""
    r = np.random.default_rng(1)
    truth, runs, low, keep = np.array([0.5, 0, 0, 0, 0]), 300, 0, 0
    for _ in range(runs):
        x = r.gamma(4, 0.5, size=(5, 40)) + truth[:, None]
        gap = _gap(list(x), compared=5)
        assert gap is not None
        rung = next(rung for rung in gap.ladder if rung[0] == 0.05)
        low += rung[1] > 0.5
        keep += rung[4] <= 0.5

    assert low / runs <= 0.05
    assert keep / runs <= 0.06


def test_one_stratum_is_the_plain_difference() -> None:
    """30 of 100 against 10 of 50: 0.1, with Greenland and Robins' variance at the estimate."""
    pooled = mantel_haenszel(np.array([[30, 10]]), np.array([[100, 50]]))
    plain = 0.3 * 0.7 / 100 + 0.2 * 0.8 / 50
    # Sato's variance at δ̂, for one stratum: averaged over which group's size leads; within 5 % of the plain one.
    sato = pooled.difference[0, 1] * pooled.slope[0, 1] + pooled.level[0, 1]

    assert pooled.difference[0, 1] == pytest.approx(0.1)
    assert pooled.difference[1, 0] == pytest.approx(-0.1)
    assert sato == pytest.approx(plain, rel=0.05)


def test_the_pooled_difference_is_its_naive_twin() -> None:
    """Mantel and Haenszel's weights and Sato's variance, written as loops over strata."""
    r = np.random.default_rng(0)
    n = r.integers(1, 30, size=(7, 3))
    x = r.binomial(n, 0.4)
    pooled = mantel_haenszel(x, n)
    for i in range(3):
        for j in range(3):
            top = bottom = p = q = 0.0
            for s in range(7):
                a, m, b, w = (float(v) for v in (x[s, i], n[s, i], x[s, j], n[s, j]))
                total = m + w
                top += (a * w - b * m) / total
                bottom += m * w / total
                p += (m * m * b - w * w * a + m * w * (w - m) / 2) / total**2
                q += (a * (w - b) + b * (m - a)) / (2 * total)

            assert pooled.difference[i, j] == pytest.approx(top / bottom)
            assert pooled.slope[i, j] == pytest.approx(p / bottom**2)
            assert pooled.level[i, j] == pytest.approx(q / bottom**2)


@pytest.mark.parametrize(("strata", "size"), [(4, 60), (60, 4)])
def test_differences_within_strata_are_covered_for_few_large_and_many_small_strata(strata, size) -> None:
    """A difference of 0.2 at base rates that vary by stratum: 95 % limits hold it in 93 % of runs at least."""
    r = np.random.default_rng(2)
    base, held, runs = np.linspace(0.1, 0.7, strata), 0, 600
    n = np.tile([size, size // 2], (strata, 1))
    for _ in range(runs):
        x = r.binomial(n, np.stack([base + 0.2, base], axis=1))
        low, high = pooled_ends(mantel_haenszel(x, n), 0.05)
        held += low[0, 1] <= 0.2 <= high[0, 1]

    assert held / runs >= 0.93


def test_the_widest_difference_within_strata_is_nested_and_leaves_out_pairs_that_never_meet() -> None:
    """Three groups, two of which share no stratum."""
    n = np.array([[50, 50, 0], [0, 40, 60]])
    x = np.array([[30, 20, 0], [0, 20, 10]])
    pooled = mantel_haenszel(x, n)
    interval = widest_conditional_gap(pooled, compared=3)

    assert np.isnan(pooled.difference[0, 2])
    assert interval is not None
    assert _nested(interval)
    assert interval.low < 1 / 3 < interval.high


def test_where_a_pair_was_decided_all_alike_there_is_no_interval() -> None:
    """Nothing is known about a spread that was never seen."""
    n = np.full((2, 2), 40)

    assert widest_conditional_gap(mantel_haenszel(np.zeros_like(n), n), compared=2) is None


def test_the_spread_beyond_chance_is_near_zero_for_equal_groups_and_right_for_others() -> None:
    """τ̂² of groups drawn around .5 with a standard deviation of .1, and of groups that are all the same."""
    r = np.random.default_rng(3)
    n = np.full(400, 200)
    apart = spread(r.binomial(n, r.normal(0.5, 0.1, 400)), n)
    same = spread(r.binomial(n, 0.5), n)

    assert apart == pytest.approx(0.01, rel=0.2)
    assert same < 0.0005


def test_whether_rates_differ_is_the_chi_square_of_scipy() -> None:
    """Without Yates' correction; 1 where everybody succeeds."""
    x, n = np.array([30, 45, 20]), np.array([100, 110, 90])
    theirs = stats.chi2_contingency(np.stack([x, n - x]), correction=False).pvalue

    assert differ_p(x, n) == pytest.approx(theirs)
    assert differ_p(n, n) == 1.0


def test_pairs_at_once_are_sidaks() -> None:
    """Three groups are three pairs: each at 1 − (1 − α)^⅓."""
    asked: list[float] = []

    def ends(alpha: float) -> tuple[np.ndarray, np.ndarray]:
        asked.append(alpha)
        return np.array([-1.0 + alpha]), np.array([1.0 - alpha])

    widest_by_pairs(ends, groups=3, method="test")

    assert any(a == pytest.approx(1 - 0.95 ** (1 / 3)) for a in asked)
    assert any(a == pytest.approx(0.10) for a in asked)


def test_counts_over_thresholds_are_those_of_each_threshold_alone() -> None:
    """The naive twin: one decision and one count a threshold; ties count as selected."""
    r = np.random.default_rng(4)
    group, truth = r.integers(0, 3, 500), r.integers(0, 2, 500).astype(bool)
    scores, grid = np.round(r.uniform(size=500), 2), np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    counted = ThresholdCounts.of(group, truth, scores, groups=3, thresholds=grid)
    halves = sum(
        (
            ThresholdCounts.of(group[s], truth[s], scores[s], groups=3, thresholds=grid)
            for s in (slice(200, None),)
        ),
        start=ThresholdCounts.of(group[:200], truth[:200], scores[:200], groups=3, thresholds=grid),
    )
    for i, threshold in enumerate(grid):
        one = GroupCounts.of(group, truth, scores >= threshold, groups=3)

        assert counted.selected[:, i].tolist() == one.selected.tolist()
        assert counted.true_positives[:, i].tolist() == one.true_positives.tolist()
        assert counted.accuracy[i] == pytest.approx(((scores >= threshold) == truth).mean())
        rates = one.selected / one.n
        assert counted.gap(np.ones(3, dtype=bool))[i] == pytest.approx(rates.max() - rates.min())
    assert (halves.selected == counted.selected).all()
