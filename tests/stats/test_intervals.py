"""Intervals against independent formulas, answers known on paper, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_bigmodel.evidence import LADDER
from rai_bigmodel.stats import among_groups, ladder, scores, tests
from rai_bigmodel.stats import intervals as iv


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from(LADDER))
@settings(max_examples=80, deadline=None)
def test_wilson_and_clopper_pearson_are_those_of_scipy(n, share, alpha) -> None:
    """SciPy's binomial test gives the same limits."""
    from scipy.stats import binomtest

    x = round(n * share)
    theirs = binomtest(x, n)
    wilson = theirs.proportion_ci(1 - alpha, "wilson")
    low, high = iv.wilson(np.array(x), np.array(n), ladder.z_two_sided(alpha))

    assert (float(low), float(high)) == pytest.approx((wilson.low, wilson.high), abs=1e-9)
    exact = theirs.proportion_ci(1 - alpha, "exact")
    assert iv.clopper_pearson(x, n, alpha) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize("n", [1, 7, 50, 1000])
def test_wilson_is_exactly_zero_and_one_at_its_ends(n) -> None:
    """Floating point gives 7e-18 otherwise, and the ratio's upper limit the wrong sign."""
    low, high = iv.wilson(np.array([0, n]), np.array([n, n]), 1.96)

    assert low[0] == 0.0
    assert high[1] == 1.0


@pytest.mark.parametrize(
    ("k", "expected"), [(2, 1.960), (3, 2.344), (5, 2.728), (8, 3.031), (15, 3.391), (30, 3.749)]
)
def test_the_simultaneous_quantile_has_its_published_values(k, expected) -> None:
    """c_k = q_{.95; k, ∞} / √2."""
    assert among_groups.simultaneous_z(0.05, k) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("k", [2, 4, 15, 60])
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.005, 0.00005, 0.000025])
def test_the_simultaneous_quantile_is_that_of_scipy(k, alpha) -> None:
    """SciPy's studentized range with infinite degrees of freedom, far into the tail."""
    from scipy.stats import studentized_range

    assert among_groups.simultaneous_z(alpha, k) * np.sqrt(2) == pytest.approx(
        studentized_range.isf(alpha, k, np.inf), rel=1e-6
    )


def _naive_gap(x, n, z) -> tuple[float, float]:
    """Newcombe's interval of every pair, one at a time."""
    lows, highs = [], []
    for i in range(len(x)):
        for j in range(len(x)):
            if i == j:
                continue
            (li, ui), (lj, uj) = (
                [float(v) for v in iv.wilson(np.array(x[g]), np.array(n[g]), z)] for g in (i, j)
            )
            pi, pj = x[i] / n[i], x[j] / n[j]
            lows.append(pi - pj - np.sqrt((pi - li) ** 2 + (uj - pj) ** 2))
            highs.append(pi - pj + np.sqrt((ui - pi) ** 2 + (pj - lj) ** 2))
    return max(0.0, *lows), min(1.0, max(highs))


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 1)), min_size=2, max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_widest_gap_is_that_of_a_naive_loop_over_pairs(groups) -> None:
    """Failing is simultaneous, passing takes each pair on its own, and everything is nested."""
    n = np.array([g[0] for g in groups])
    x = np.array([round(g[0] * g[1]) for g in groups])
    interval = among_groups.widest_gap(x, n)

    for alpha, low, high, keep_low, keep_high in interval.ladder:
        assert (low, high) == pytest.approx(
            _naive_gap(x, n, among_groups.simultaneous_z(alpha, len(n))), abs=1e-9
        )
        assert keep_high == pytest.approx(_naive_gap(x, n, ladder.z_two_sided(2 * alpha))[1], abs=1e-9)
        assert keep_low == low


def test_two_groups_have_the_interval_of_the_page_we_started_from() -> None:
    """601 of 673 against 55 of 79: the widest gap of three groups by Tukey–Newcombe."""
    interval = among_groups.widest_gap(np.array([601, 35, 55]), np.array([673, 44, 79]))

    assert interval.low == pytest.approx(0.087, abs=5e-4)
    assert interval.high == pytest.approx(0.330, abs=5e-4)


def test_the_contracts_example_ladder_is_what_comes_out() -> None:
    """The rung at α = 0.2 as the contract prints it."""
    interval = among_groups.widest_gap(np.array([601, 35, 55]), np.array([673, 44, 79]))
    rung = interval.rung(0.2)

    assert rung is not None
    assert [round(v, 3) for v in rung if v is not None] == [0.2, 0.113, 0.293, 0.113, 0.243]


def test_the_ratio_is_bounded_or_honestly_is_not() -> None:
    """No successes in the denominator: unbounded above; none in both: no number at all."""
    low, high = iv.mover_ratio(iv.Limits.wilson(np.array([5, 0, 0]), np.array([50, 50, 50]), 1.96))

    assert high[0, 1] == np.inf
    assert low[1, 0] == 0.0
    assert 0 < high[1, 0] < np.inf
    assert np.isnan(low[1, 2])


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_the_ratios_limits_are_the_textbook_formula_where_that_is_defined(n1, n2, s1, s2) -> None:
    """Donner and Zou's formula, written down as printed."""
    x1, x2 = round(n1 * s1), round(n2 * s2)
    z = 1.96
    limits = iv.Limits.wilson(np.array([x1, x2]), np.array([n1, n2]), z)
    (p1, p2), (l1, _), (_, u2) = limits
    low, high = iv.mover_ratio(limits)
    if x1 == 0 or x2 == 0 or abs(2 * p2 - u2) < 1e-6:
        return
    expected = (p1 * p2 - np.sqrt((p1 * p2) ** 2 - l1 * u2 * (2 * p1 - l1) * (2 * p2 - u2))) / (
        u2 * (2 * p2 - u2)
    )

    assert low[0, 1] == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert low[0, 1] <= p1 / p2 * (1 + 1e-9)
    assert high[0, 1] >= p1 / p2 * (1 - 1e-9)


@pytest.mark.parametrize(("b", "c", "n"), [(12, 2, 32), (1, 0, 100), (3, 9, 50)])
def test_both_ends_of_tangos_interval_solve_its_score_equation(b, c, n) -> None:
    """The score at either end is the normal quantile, with the constrained estimate as Tango prints it."""
    interval = iv.paired_difference(b, c, n)

    assert interval is not None
    for end, sign in ((interval.low, 1), (interval.high, -1)):
        assert end is not None
        big, middle, last = 2 * n, -b - c + (2 * n - b + c) * end, -c * end * (1 - end)
        q = (np.sqrt(middle**2 - 4 * big * last) - middle) / (2 * big)
        z = (b - c - n * end) / np.sqrt(n * (2 * q + end * (1 - end)))
        assert z == pytest.approx(sign * ladder.z_two_sided(0.05), abs=1e-6)


def test_tangos_interval_keeps_a_width_where_nothing_is_discordant() -> None:
    """With no discordant pair of 796 the ends are ± z² / (n + z²), known on paper."""
    interval = iv.paired_difference(0, 0, 796)
    z2 = ladder.z_two_sided(0.05) ** 2

    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((-z2 / (796 + z2), z2 / (796 + z2)), abs=1e-9)


@given(st.integers(0, 30), st.integers(1, 30), st.floats(0.1, 5))
@settings(max_examples=100, deadline=None)
def test_the_average_of_one_proportion_is_wilsons(successes: int, failures: int, z: float) -> None:
    """Whatever the proportion and z; both ends."""
    x, n = np.array([[float(successes)]]), np.array([[float(successes + failures)]])
    found = iv.averages(x, n, z)

    assert (found.low[0], found.high[0]) == pytest.approx([end[0, 0] for end in iv.wilson(x, n, z)], abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).filter(sum), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_an_averages_interval_holds_it_and_mirrors(counted: list[tuple[int, int]]) -> None:
    """Failures for successes turn the interval round; none and all reach 0 and 1 exactly."""
    found = iv.average_of([(x, x + y) for x, y in counted])
    turned = iv.average_of([(y, x + y) for x, y in counted])
    seen = np.mean([x / (x + y) for x, y in counted])

    assert found.low <= seen <= found.high
    assert (found.low, found.high) == pytest.approx((1 - turned.high, 1 - turned.low), abs=1e-9)
    if not any(x for x, _ in counted):
        assert found.low == 0
    if not any(y for _, y in counted):
        assert found.high == 1


@pytest.mark.parametrize(
    ("rows", "rates"),
    [
        ((24,) * 5, (0.84,) * 5),
        ((30,) * 10, (0.9,) * 10),
        ((200,) * 3, (0.97,) * 3),
        ((12, 50, 300), (0.9, 0.8, 0.6)),
    ],
)
def test_the_bounds_of_an_average_keep_their_level(rows: tuple[int, ...], rates: tuple[float, ...]) -> None:
    """20,000 draws: 5 % within 2, and 0.5 % within 0.5, where limits put together by MOVER miss up to 5 %."""
    n, p = np.array(rows, dtype=float)[:, None], np.array(rates)[:, None]
    x = np.random.default_rng(4).binomial(n.astype(int), p, size=(len(rows), 20_000)).astype(float)
    truth = float(p.mean())
    for z, level, more in ((1.6449, 0.05, 0.02), (2.5758, 0.005, 0.005)):
        _, low, high = iv.averages(x, np.broadcast_to(n, x.shape), z)

        assert np.mean(low > truth + 1e-9) <= level + more
        assert np.mean(high < truth - 1e-9) <= level + more


@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_auc_is_that_of_scikit_learn_ties_included(m, n, ties, seed) -> None:
    """Ties count half, as in scikit-learn; the interval holds the value."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    s = np.round(rng.normal(size=m + n), 2 if ties < 3 else 0)
    truth = np.r_[np.ones(m, bool), np.zeros(n, bool)]
    area, interval = scores.auc(s, truth), scores.auc_interval(s, truth)

    assert area == pytest.approx(roc_auc_score(truth, s))
    assert interval is not None
    assert interval.low <= area <= interval.high


def test_delongs_variance_is_that_of_its_textbook_definition() -> None:
    """The placements' variances, written as double sums over pairs."""
    rng = np.random.default_rng(0)
    high, low = np.sort(rng.normal(1, 1, 12)), np.sort(rng.normal(0, 1, 17))
    psi = (high[:, None] > low[None, :]) + 0.5 * (high[:, None] == low[None, :])
    up, down = scores.placements(np.r_[high, low], np.r_[np.ones(12), np.zeros(17)])

    assert up == pytest.approx(psi.mean(axis=1))
    assert down == pytest.approx(psi.mean(axis=0))


def test_losses_are_those_of_scikit_learn() -> None:
    """Brier score and log loss."""
    from sklearn.metrics import brier_score_loss, log_loss

    rng = np.random.default_rng(0)
    p, y = rng.uniform(size=200), rng.uniform(size=200) < 0.5

    assert scores.brier_rows(p, y).mean() == pytest.approx(brier_score_loss(y, p))
    assert scores.log_loss_rows(p, y).mean() == pytest.approx(log_loss(y, p))


# --- simulation: the coverage that is stated ------------------------------------------------------


@pytest.mark.parametrize(("p", "n"), [(0.02, 30), (0.1, 30), (0.5, 30), (0.1, 300)])
def test_wilson_covers_at_least_93_in_100(p, n) -> None:
    """Exact coverage, summed over the binomial."""
    from scipy.stats import binom

    x = np.arange(n + 1)
    low, high = iv.wilson(x, np.full(n + 1, n), 1.959964)

    assert binom.pmf(x, n, p)[(low <= p) & (p <= high)].sum() >= 0.93


@pytest.mark.parametrize(
    ("rates", "n"),
    [((0.3, 0.4), 300), ((0.3, 0.3, 0.3, 0.3, 0.4), 100), ((0.3, 0.325, 0.35, 0.375, 0.4), 300)],
)
def test_the_widest_gap_covers_the_truth_and_seldom_fails_at_its_bound(rates, n) -> None:
    """Truth 0.10: covered in 0.945 of draws, failed at τ = 0.10 in at most 0.03, passed in at most 0.06."""
    rng = np.random.default_rng(1)
    draws = 1500
    x = rng.binomial(n, rates, size=(draws, len(rates)))
    trials = np.full(len(rates), n)
    z, one = among_groups.simultaneous_z(0.05, len(rates)), ladder.z_two_sided(0.1)
    ends = np.array([among_groups._gap_ends(row, trials, z) for row in x])
    keeps = np.array([among_groups._gap_ends(row, trials, one)[1] for row in x])
    error = 2.6 * np.sqrt(0.05 * 0.95 / draws)

    assert ((ends[:, 0] <= 0.1) & (ends[:, 1] >= 0.1)).mean() >= 0.945 - error
    assert (ends[:, 0] > 0.1).mean() <= 0.03 + error / 2
    assert (keeps <= 0.1).mean() <= 0.06 + error / 2


@pytest.mark.parametrize(("k", "n", "p"), [(2, 100, 0.5), (5, 100, 0.1), (15, 100, 0.5)])
def test_equal_groups_are_seldom_accused(k, n, p) -> None:
    """True gap 0: beyond 0.1 in at most 0.01 of draws, beyond 0 in at most 0.10."""
    rng = np.random.default_rng(2)
    x = rng.binomial(n, p, size=(800, k))
    z = among_groups.simultaneous_z(0.05, k)
    low = np.array([among_groups._gap_ends(row, np.full(k, n), z)[0] for row in x])

    assert (low > 0.1).mean() <= 0.01
    assert (low > 0).mean() <= 0.10


def test_the_four_fifths_ratio_seldom_fails_where_it_holds() -> None:
    """At p = 0.05 and 50 rows a group, true ratio 1: the wrong sign once gave 26 % false alarms."""
    rng = np.random.default_rng(3)
    x = rng.binomial(50, 0.05, size=(1500, 2))
    x = x[x.sum(axis=1) > 0]
    fails = [
        (among_groups.smallest_ratio(row, np.array([50, 50])).rung(0.05) or (0, 0, 1))[2] < 0.8
        for row in x[:600]
    ]

    assert np.mean(fails) <= 0.03


@pytest.mark.parametrize(("area", "m", "n"), [(0.7, 30, 100), (0.95, 15, 200), (0.99, 30, 30)])
def test_the_auc_is_covered_also_near_one(area, m, n) -> None:
    """DeLong alone covers 0.87 at 0.99; the wider of the two keeps 0.93."""
    from scipy.stats import norm

    rng = np.random.default_rng(4)
    shift = norm.ppf(area) * np.sqrt(2)
    truth = np.r_[np.ones(m, bool), np.zeros(n, bool)]
    hits = 0
    draws = 250
    for _ in range(draws):
        s = np.r_[rng.normal(shift, 1, m), rng.normal(0, 1, n)]
        interval = scores.auc_interval(s, truth)
        assert interval is not None
        hits += interval.low <= area <= interval.high

    assert hits / draws >= 0.93


# --- tests and power ------------------------------------------------------------------------------


def test_the_permutation_p_value_is_fishers_for_two_groups() -> None:
    """Two groups: the exact hypergeometric answer, up to the draws' error."""
    from scipy.stats import hypergeom

    x, n = np.array([14, 22]), np.array([40, 35])
    support = np.arange(max(0, 36 - 35), min(40, 36) + 1)
    probability = hypergeom(75, 36, 40).pmf(support)
    centre = 40 * 36 / 75
    exact = probability[np.abs(support - centre) >= abs(14 - centre) - 1e-9].sum()

    assert tests.any_disparity(x, n, np.random.default_rng(0)) == pytest.approx(exact, abs=0.01)


def test_the_permutation_test_keeps_its_level_with_small_groups() -> None:
    """Equal rates, groups of 4 to 60 rows: p ≤ 0.05 in about one draw in twenty."""
    rng = np.random.default_rng(5)
    n = np.array([4, 11, 25, 60])
    small = [tests.any_disparity(rng.binomial(n, 0.3), n, rng) <= 0.05 for _ in range(200)]

    assert np.mean(small) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(("high", "low", "expected"), [(0.55, 0.45, 389), (0.5, 0.5, None)])
def test_the_rows_needed_are_those_of_the_formula_on_paper(high, low, expected) -> None:
    """(1.960 + 0.842)² · [p₁q₁ + p₂q₂] / Δ², two groups."""
    assert tests.rows_needed(high, low, compared=2) == expected


def test_the_rows_needed_give_the_power_they_promise() -> None:
    """With so many rows a difference of 0.1 is told from none in about four draws of five."""
    n = tests.rows_needed(0.5, 0.4, compared=2)
    rng = np.random.default_rng(6)
    x = rng.binomial(n, (0.5, 0.4), size=(600, 2))
    z = among_groups.simultaneous_z(0.05, 2)
    power = np.mean([among_groups._gap_ends(row, np.array([n, n]), z)[0] > 0 for row in x])

    assert power == pytest.approx(0.8, abs=0.06)
