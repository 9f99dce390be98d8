"""Bounds that assume something: their parts against SciPy, their false alarms by simulation, their power as known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.dp_audit import (
    gaussian_fit,
    gaussian_from_rates,
    many_runs,
    most,
    noncentrality_at_least,
    normality_p,
)
from rai_bigmodel.stats.gaussian import epsilon_of, mu_of


def coins(m: int, mu: float, rng: np.random.Generator):
    """Scores of m canaries, each in by a fair coin."""
    member = rng.random(m) < 0.5
    return rng.normal(size=m) + mu * member, member


@pytest.mark.parametrize("n", [20, 21, 50, 1000])
def test_the_test_of_normality_is_dagostinos_and_pearsons(n: int) -> None:
    """As in scipy.stats.normaltest, on normal and on exponential numbers."""
    rng = np.random.default_rng(n)
    for values in (rng.normal(size=n), rng.exponential(size=n), 1e6 + rng.normal(size=n)):
        assert normality_p(values) == pytest.approx(stats.normaltest(values).pvalue, rel=1e-6)


@pytest.mark.parametrize(("t", "df"), [(3.0, 98), (61.0, 4998), (-2.0, 30), (0.0, 998), (400.0, 998)])
def test_the_noncentrality_is_inverted(t: float, df: int) -> None:
    """Under the bound so large a t is exactly as rare as α (scipy.stats.nct)."""
    low = noncentrality_at_least(t, df, 0.05)

    assert stats.nct.sf(t, df, low) == pytest.approx(0.05, rel=1e-6)


def test_a_gaussian_fit_comes_close_to_what_is_true() -> None:
    """q = 1, m = 5000: medians 0.80, 3.74 and 7.67 for ε = 1, 4 and 8, as in the design's simulations."""
    rng = np.random.default_rng(0)
    for epsilon, known in ((1.0, 0.80), (4.0, 3.74), (8.0, 7.67)):
        mu = mu_of(epsilon, 1e-5)
        found = [gaussian_fit(*coins(5000, mu, rng), delta=1e-5) for _ in range(25)]

        assert np.median([f.epsilon for f in found]) == pytest.approx(known, abs=0.12)
        assert all(f.normal and f.distance > f.mu for f in found)


def test_an_honest_gaussian_is_accused_as_often_as_allowed() -> None:
    """800 draws at ε = 4, m = 200: the bound is exact, so 5 % give or take two deviations."""
    rng = np.random.default_rng(1)
    mu = mu_of(4.0, 1e-5)
    wrong = np.mean([gaussian_fit(*coins(200, mu, rng), delta=1e-5).mu > mu for _ in range(800)])

    assert abs(wrong - 0.05) <= 2 * math.sqrt(0.05 * 0.95 / 800)


def test_scores_that_are_not_normal_are_told() -> None:
    """Exponential ones in 20 of 20 draws; normal ones, at the same level, in none."""
    rng = np.random.default_rng(2)
    member = np.arange(1000) % 2 == 0

    assert not any(gaussian_fit(rng.exponential(size=1000), member, delta=1e-5).normal for _ in range(20))
    assert all(gaussian_fit(rng.normal(size=1000), member, delta=1e-5).normal for _ in range(20))


def test_no_noise_at_all_refutes_every_epsilon() -> None:
    """Members at 1, others at 0: infinite; all alike: nothing."""
    member = np.arange(100) % 2 == 0

    assert gaussian_fit(member.astype(float), member, delta=1e-5).epsilon == math.inf
    assert gaussian_fit(np.full(100, 3.7), member, delta=1e-5).epsilon == 0.0
    assert gaussian_fit((~member).astype(float), member, delta=1e-5).epsilon == 0.0


def test_rates_give_a_sound_bound_under_a_threshold_fixed_before() -> None:
    """ε = 4, m = 1000: never above what is true in more than 5 %, and not far below."""
    rng = np.random.default_rng(3)
    mu = mu_of(4.0, 1e-5)
    found = [gaussian_from_rates(*coins(1000, mu, rng), threshold=mu / 2, delta=1e-5) for _ in range(400)]

    assert np.mean(np.array(found) > 4.0) <= 0.05
    assert np.median(found) == pytest.approx(2.83, abs=0.15)


def test_rates_that_tell_nothing_give_nothing() -> None:
    """All told, or none, or the wrong way round."""
    scores, member = np.arange(100.0), np.arange(100) % 2 == 0
    for threshold in (-1.0, 1000.0, 50.0):
        assert gaussian_from_rates(scores, member, threshold=threshold, delta=1e-5) == 0.0


def test_many_runs_give_the_logarithm_of_two_clopper_pearson_limits() -> None:
    """Against scipy.stats; 500 of 500 with no false alarm refutes ε up to 4.9."""
    tpr = stats.binomtest(400, 500).proportion_ci(0.95, "exact").low
    fpr = stats.binomtest(20, 500).proportion_ci(0.95, "exact").high

    assert many_runs(400, 500, 20, 500, delta=1e-3) == pytest.approx(math.log((tpr - 1e-3) / fpr))
    least = 0.025 ** (1 / 500)
    assert many_runs(500, 500, 0, 500, delta=0) == pytest.approx(math.log(least / (1 - least)))
    assert many_runs(0, 500, 0, 500, delta=0) == 0.0
    assert many_runs(100, 500, 100, 500, delta=1e-3) == 0.0
    assert most(3, 10, 0.025) == pytest.approx(stats.binomtest(3, 10).proportion_ci(0.95, "exact").high)


def test_many_runs_accuse_an_honest_gaussian_seldom() -> None:
    """ε of a Gaussian with its best threshold, 400 draws of 300 runs each: at most 5 %."""
    rng = np.random.default_rng(4)
    epsilon = 2.0
    mu = mu_of(epsilon, 1e-5)
    cut = epsilon / mu + mu / 2  # where the likelihood ratio is e^ε
    wrong = 0
    for _ in range(400):
        told = [int(rng.binomial(300, special.ndtr(shift - cut))) for shift in (mu, 0.0)]
        wrong += many_runs(told[0], 300, told[1], 300, delta=1e-5) > epsilon_of(mu, 1e-5)

    assert wrong / 400 <= 0.05


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda s, c: gaussian_fit(s[:10], c[:10], delta=1e-5), "20 canaries"),
        (lambda s, c: gaussian_fit(s, c, delta=0.0), "delta"),
        (lambda s, c: gaussian_fit(s, c, delta=1e-5, alpha=1.0), "alpha"),
        (lambda s, c: gaussian_fit(s * np.nan, c, delta=1e-5), "not finite"),
        (lambda s, c: gaussian_from_rates(s, c | True, threshold=0.0, delta=1e-5), "one trial"),
        (lambda s, c: many_runs(5, 4, 0, 4, delta=0), "no more successes"),
        (lambda s, c: many_runs(0, 0, 0, 4, delta=0), "one trial"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(call, named: str) -> None:
    """By name."""
    scores, member = np.arange(100.0), np.arange(100) % 2 == 0
    with pytest.raises(InputError, match=named) as error:
        call(scores, member)

    assert "\n" not in str(error.value)
