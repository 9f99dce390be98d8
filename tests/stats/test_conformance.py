"""Wrong noise and wrong sampling are seen at the stated power, right ones are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.conformance import (
    chi_square_p,
    clipped,
    noise_power,
    noise_size,
    repeated_noise,
    same,
    told_apart,
)
from rai_bigmodel.stats.sampling import binomial_p, sampler


def test_noise_is_held_against_chi_square() -> None:
    """The p-value is scipy.stats.chi2's; the size is the root mean square over the claim."""
    g = np.random.default_rng(0).normal(size=(3, 50)) * 0.02
    found = noise_size(g, 0.02)
    statistic = float((g**2).sum() / 0.02**2)

    assert found.p == pytest.approx(2 * min(stats.chi2.cdf(statistic, 150), stats.chi2.sf(statistic, 150)))
    assert found.size == pytest.approx(np.sqrt(statistic / 150))
    assert found.numbers == 150


@pytest.mark.parametrize(
    ("numbers", "less", "power"), [(1000, 1.05, 0.1187), (10_000, 1.05, 0.9998), (100_000, 1.02, 1.0)]
)
def test_noise_a_little_too_small_is_seen_at_the_stated_power(
    numbers: int, less: float, power: float
) -> None:
    """α = .001, two-sided: the formula as pinned, and as drawn."""
    rng = np.random.default_rng(1)
    draws = 300 if numbers == 1000 else 40
    seen = np.mean([noise_size(rng.normal(size=numbers) / less, 1.0).p < 0.001 for _ in range(draws)])

    assert noise_power(numbers, 1 / less) == pytest.approx(power, abs=1e-3)
    assert seen == pytest.approx(power, abs=0.05)


def test_one_sided_the_smallest_case_has_the_power_of_the_design() -> None:
    """.165 for D = 1000 and noise / 1.05 is the power of the lower tail at .001; two-sided it is .119."""
    assert special.chdtr(1000, special.chdtri(1000, 0.999) * 1.05**2) == pytest.approx(0.165, abs=1e-3)


def test_right_noise_is_left_alone_and_a_power_without_a_fault_is_alpha() -> None:
    """5 % of 1,000 draws, give or take two deviations."""
    rng = np.random.default_rng(2)
    p = np.array([noise_size(rng.normal(size=200) * 3, 3.0).p for _ in range(1000)])

    assert abs((p < 0.05).mean() - 0.05) <= 0.014
    assert noise_power(500, 1.0, alpha=0.05) == pytest.approx(0.05)


def test_too_much_noise_here_does_not_hide_too_little_there() -> None:
    """Two parts whose squares add up to what they should."""
    rng = np.random.default_rng(3)
    parts = {"head": rng.normal(size=500) * np.sqrt(1.5), "body": rng.normal(size=500) * np.sqrt(0.5)}
    whole = noise_size(np.concatenate(list(parts.values())), 1.0)
    found = noise_size(parts, 1.0)

    assert whole.p > 0.01
    assert found.p < 1e-6
    assert found.part in parts


def test_no_noise_and_half_noise_are_refuted_for_sure() -> None:
    """Zeros give p = 0."""
    assert noise_size(np.zeros(100), 1.0).p < 1e-100
    assert noise_size(np.random.default_rng(4).normal(size=1000) / 2, 1.0).p < 1e-100


def test_a_scale_that_depends_on_n_is_told_from_one_step() -> None:
    """n = 1000 or 1001 at B = 100: 100 becomes 91 (FPR 1.3e-11); 1024 or 1025 at B = 64: 2.5e-6."""
    thousand, kilo = told_apart(1 / 100, 1 / 91, 10_000), told_apart(1 / 64, 1 / 60, 10_000)

    assert thousand.false_positives == pytest.approx(1.3e-11, rel=0.05)
    assert thousand.true_positives > 1 - 1e-9
    assert kilo.false_positives == pytest.approx(2.5e-6, rel=0.05)
    assert kilo.true_positives == pytest.approx(0.99999, abs=1e-5)
    assert told_apart(0.01, 0.01, 10_000) == (0.0, 0.0)


def test_telling_scales_apart_is_the_likelihood_ratio_test() -> None:
    """In either direction, as drawn."""
    rng = np.random.default_rng(5)
    for first, second in ((1.0, 1.2), (1.0, 0.8)):
        found = told_apart(first, second, 30)

        def ratio(g, first=first, second=second):
            densities = (stats.norm.logpdf(g, scale=s).sum(axis=1) for s in (second, first))
            return next(densities) - next(densities)

        false, true = ((ratio(rng.normal(size=(20_000, 30)) * s) > 0).mean() for s in (first, second))

        assert found.false_positives == pytest.approx(false, abs=0.012)
        assert found.true_positives == pytest.approx(true, abs=0.012)


def test_noise_used_twice_is_found_wherever_it_is() -> None:
    """The same, or its mirror image; fresh noise is accused in 5 % of 400 draws."""
    rng = np.random.default_rng(6)
    noise = rng.normal(size=(12, 40))
    again, mirrored = noise.copy(), noise.copy()
    again[9], mirrored[3] = noise[2], -noise[1]

    assert repeated_noise(again).steps == (2, 9)
    assert repeated_noise(again).p < 1e-12
    assert repeated_noise(mirrored).correlation == pytest.approx(-1)
    fresh = np.array([repeated_noise(rng.normal(size=(12, 40))).p for _ in range(400)])
    assert (fresh < 0.05).mean() <= 0.072


def test_noise_that_is_partly_used_again_is_found() -> None:
    """Half the variance in common, 500 numbers."""
    rng = np.random.default_rng(7)
    common = rng.normal(size=500)

    assert repeated_noise((rng.normal(size=(5, 500)) + common) / np.sqrt(2)).p < 1e-9


# --- sampler -------------------------------------------------------------------------------------


def draws(included: np.ndarray, rate: float):
    """The test of a table of who was in which step."""
    return sampler(included.sum(axis=1), included.sum(axis=0), rate)


def test_poisson_sampling_is_left_alone() -> None:
    """500 draws of 60 steps and 300 rows at 5 %: each p-value is below .05 about as often as it should."""
    rng = np.random.default_rng(8)
    found = [draws(rng.random((60, 300)) < 0.05, 0.05) for _ in range(500)]

    for name in ("rate_p", "sizes_p", "rows_p", "p"):
        assert np.mean([getattr(f, name) < 0.05 for f in found]) <= 0.075


def test_each_way_to_sample_wrongly_has_its_own_p_value() -> None:
    """Twice the rate; batches of a fixed size; rows with weights; everybody in every step."""
    rng = np.random.default_rng(9)
    rate = 0.05
    double = draws(rng.random((100, 400)) < 2 * rate, rate)
    fixed = np.zeros((100, 400), dtype=bool)
    for step in fixed:
        step[rng.choice(400, 20, replace=False)] = True
    weighted = draws(rng.random((100, 400)) < rate * np.linspace(0.2, 1.8, 400), rate)

    assert double.rate_p < 1e-12
    assert draws(fixed, rate).sizes_p < 1e-12
    assert draws(fixed, rate).rate_p > 0.9
    assert weighted.rows_p < 1e-6
    assert draws(np.ones((10, 50), dtype=bool), rate).p < 1e-12


def test_a_rate_of_one_allows_no_exception() -> None:
    """All rows in all steps, or p is 0."""
    everybody = np.ones((5, 20), dtype=bool)
    one_less = everybody.copy()
    one_less[2, 3] = False

    assert draws(everybody, 1.0).p == 1.0
    assert draws(one_less, 1.0).p == 0.0


@pytest.mark.parametrize(("x", "n", "q"), [(0, 50, 0.1), (50, 50, 0.9), (12, 200, 0.1), (30, 200, 0.1)])
def test_the_binomial_p_value_doubles_the_smaller_tail(x: int, n: int, q: float) -> None:
    """As scipy.stats.binom has it."""
    b = stats.binom(n, q)

    assert binomial_p(x, n, q) == pytest.approx(min(1.0, 2 * min(b.cdf(x), b.sf(x - 1))), rel=1e-9)


# --- equalities, bad input -----------------------------------------------------------------------


def test_equalities_hold_exactly_or_not() -> None:
    """One step more is one too many; rounding is allowed where it is said."""
    assert same("steps", 300, 300).holds
    assert not same("steps", 300, 301).holds
    assert same("rate", 0.1, 0.1 + 1e-12, within=1e-9).holds
    assert clipped(np.array([0.3, 1.0 + 1e-7]), 1.0).holds
    assert not clipped(np.array([0.3, 3.0]), 1.0).holds
    assert not same("epsilon", 1.0, np.nan).holds


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: noise_size(np.ones(3), 0.0), "deviation"),
        (lambda: noise_size(np.array([]), 1.0), "no noise"),
        (lambda: noise_size({}, 1.0), "no noise"),
        (lambda: noise_size(np.array([1.0, np.nan]), 1.0), "finite"),
        (lambda: repeated_noise(np.ones(5)), "two steps"),
        (lambda: repeated_noise(np.zeros((3, 4))), "no noise at all"),
        (lambda: sampler(np.array([2]), np.array([1, 0]), 0.5), "drawn"),
        (lambda: sampler(np.array([4]), np.array([2, 2]), 0.5), "twice"),
        (lambda: sampler(np.array([1]), np.array([1]), 1.5), "sample rate"),
        (lambda: clipped(np.array([np.inf]), 1.0), "finite"),
        (lambda: clipped(np.array([]), 1.0), "at least one"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_one_line(call, named: str) -> None:
    """By name."""
    with pytest.raises(InputError, match=named) as error:
        call()

    assert "\n" not in str(error.value)


def test_a_chi_square_far_out_is_no_error() -> None:
    """0 and a million."""
    assert chi_square_p(0.0, 100) == 0.0
    assert chi_square_p(1e6, 100) == 0.0
