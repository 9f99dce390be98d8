"""Does the interval of a mean keep its promise where values are skewed, and is it Student's where they are not?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from rai_bigmodel.stats import means, regression


def _rung(interval, alpha: float):
    return next(rung for rung in interval.ladder if rung[0] == alpha)


def test_without_skewness_it_is_students() -> None:
    """Equal to scipy's, at both ends and for both bounds."""
    half = np.random.default_rng(0).gamma(2, 1, 15)
    x = np.concatenate([half, -half]) + 3
    ours = means.mean(x)
    error = stats.sem(x)

    assert means.skewness_of(x) == pytest.approx(0, abs=1e-12)
    assert (ours.low, ours.high) == pytest.approx(stats.t.interval(0.95, 29, x.mean(), error), abs=1e-12)
    assert _rung(ours, 0.05)[3:] == pytest.approx(stats.t.interval(0.90, 29, x.mean(), error), abs=1e-12)


def test_skewness_is_scipys() -> None:
    """The unbiased one over the root of n (scipy divides by the biased variance, as Fisher and Pearson do)."""
    x = np.random.default_rng(1).exponential(size=40)
    n = len(x)
    fisher_pearson = stats.skew(x, bias=False)

    # G = g √(n (n−1)) / (n−2) of Fisher and Pearson is the third cumulant's k-statistic over that of the second^1.5.
    assert means.skewness_of(x) * n**0.5 == pytest.approx(fisher_pearson, rel=1e-12)
    assert means.skewness_of(x[:2]) == 0
    assert means.skewness_of(np.ones(5)) == 0


@pytest.mark.parametrize("skew", [-0.6, -0.05, 1e-12, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("quantile", [0.3, 1.96, 5.0])
def test_the_reach_is_where_halls_cubic_meets_the_quantile(skew: float, quantile: float) -> None:
    """Its naive twin: the cubic solved by bisection; on the side of the long tail never nearer than Student's."""

    def solved(y: float) -> float:
        return optimize.brentq(
            lambda t: t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6 - y, -1e3, 1e3, xtol=1e-13
        )

    below, above = (float(r) for r in means.reach(quantile, skew))
    expected = [solved(quantile), -solved(-quantile)]
    long = 1 if skew > 0 else 0
    expected[long] = max(expected[long], quantile)

    assert (below, above) == pytest.approx(expected, abs=1e-8)


@given(
    st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=2, max_size=12),
    st.sampled_from([0.0, 1e9, -1e12]),
)
@settings(max_examples=200, deadline=None)
def test_any_values_have_an_interval_around_their_mean(values: list[float], outlier: float) -> None:
    """Nested (the record refuses others), however few and skewed they are."""
    x = np.array([*values, outlier])
    found = means.mean(x)

    if np.std(x, ddof=1) > 0:
        assert found.low <= x.mean() <= found.high
    else:
        assert found is None


def test_a_mean_without_spread_has_no_interval() -> None:
    """Ten equal losses say nothing about the eleventh."""
    assert means.mean(np.zeros(10)) is None
    assert means.mean(np.array([1.0])) is None


SKEWED = {
    "exponential": (lambda r, n: r.exponential(size=n), 1.0),
    "squares": (lambda r, n: r.normal(size=n) ** 2, 1.0),
    "lognormal": (lambda r, n: r.lognormal(0, 0.5, size=n), float(np.exp(0.125))),
    "turned": (lambda r, n: -r.exponential(size=n), -1.0),
}


@pytest.mark.parametrize("name", SKEWED)
def test_the_bound_by_which_a_rule_passes_keeps_its_level_where_students_does_not(name: str) -> None:
    """200 rows, 1,500 draws: at 5 % and 0.5 % the truth lies beyond the far bound as often as that, or little more."""
    draw, truth = SKEWED[name]
    rng, far = np.random.default_rng(7), 3 if truth < 0 else 4
    missed, students, near = np.zeros(2), np.zeros(2), np.zeros(2)
    for _ in range(1500):
        x = draw(rng, 200)
        found, error = means.mean(x), stats.sem(x)
        for i, alpha in enumerate((0.05, 0.005)):
            rung = _rung(found, alpha)
            ends = x.mean() - error * stats.t.isf(alpha, 199), x.mean() + error * stats.t.isf(alpha, 199)
            missed[i] += truth < rung[3] if far == 3 else truth > rung[4]
            students[i] += truth < ends[0] if far == 3 else truth > ends[1]
            near[i] += truth > rung[4] if far == 3 else truth < rung[3]

    assert (missed / 1500 <= [0.05 + 0.02, 0.005 + 0.006]).all()
    assert (near / 1500 <= [0.05 + 0.017, 0.005 + 0.0055]).all()
    assert (students > missed).all()


def test_where_tails_are_long_it_errs_half_as_often_as_students() -> None:
    """Lognormal values, 200 rows: no formula keeps 0.5 % there, for the tail is not in the rows."""
    rng, runs = np.random.default_rng(9), 1000
    missed = students = 0
    for _ in range(runs):
        x = rng.lognormal(0, 0.8, 200)
        missed += _rung(means.mean(x), 0.005)[4] < np.exp(0.32)
        students += x.mean() + stats.sem(x) * stats.t.isf(0.005, 199) < np.exp(0.32)

    assert missed <= 0.6 * students


def test_the_bound_of_a_root_mean_square_and_of_a_difference_keep_theirs() -> None:
    """Errors like a gamma's, 300 rows; groups of 60 and 400 like exponentials, where skewness does not cancel."""
    rng, runs = np.random.default_rng(8), 1000
    beyond, over, under = 0, 0, 0
    for _ in range(runs):
        rung = _rung(regression.rmse_interval(rng.gamma(2, 1, 300) - 2), 0.05)
        beyond += rung[4] < 2**0.5
        rung = _rung(regression.welch(rng.exponential(size=60), rng.exponential(size=400)), 0.05)
        over, under = over + (rung[4] < 0), under + (rung[3] > 0)

    # Student's on the logarithmic scale: .10; Welch's: .08 and .03.
    assert beyond / runs <= 0.08
    assert over / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
    assert under / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
