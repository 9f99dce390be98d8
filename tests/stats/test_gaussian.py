"""The Gaussian mechanism's δ(ε) against its integral, its inverses against themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import gaussian


@pytest.mark.parametrize(("epsilon", "mu"), [(0.0, 0.5), (1.0, 1.0), (4.0, 1.5), (-0.5, 0.7), (8.0, 3.0)])
def test_delta_is_the_hockey_stick_integral(epsilon: float, mu: float) -> None:
    """∫ max(0, φ(x − μ) − e^ε φ(x)) dx by brute force."""
    x = np.linspace(-20, 25, 2_000_001)
    naive = np.trapezoid(np.maximum(0, stats.norm.pdf(x - mu) - np.exp(epsilon) * stats.norm.pdf(x)), x)

    assert gaussian.delta_of(epsilon, mu) == pytest.approx(naive, rel=1e-6)


def test_one_step_of_noise_one_has_the_pinned_epsilon() -> None:
    """σ = 1, all rows, δ = 1e-5: 4.3772 (Balle and Wang 2018)."""
    assert gaussian.epsilon_of(1.0, 1e-5) == pytest.approx(4.377178, abs=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0, 4.0, 8.0, 40.0])
@pytest.mark.parametrize("delta", [1e-12, 1e-5, 0.1])
def test_mu_and_epsilon_are_inverses(epsilon: float, delta: float) -> None:
    """There and back again, and safe on both sides."""
    mu = gaussian.mu_of(epsilon, delta)

    assert gaussian.epsilon_of(mu, delta) == pytest.approx(epsilon, abs=1e-9, rel=1e-9)
    assert gaussian.delta_of(epsilon, mu) <= delta


def test_no_distance_and_an_infinite_one_are_told() -> None:
    """μ = 0 gives nothing away; μ = ∞ everything."""
    assert gaussian.epsilon_of(0.0, 1e-5) == 0.0
    assert gaussian.epsilon_of(math.inf, 1e-5) == math.inf
    assert gaussian.delta_of(3.0, math.inf) == 1.0


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: gaussian.epsilon_of(1.0, 0.0), "delta"),
        (lambda: gaussian.epsilon_of(1.0, 1.0), "delta"),
        (lambda: gaussian.epsilon_of(-1.0, 1e-5), "mu"),
        (lambda: gaussian.epsilon_of(math.nan, 1e-5), "mu"),
        (lambda: gaussian.mu_of(-1.0, 1e-5), "epsilon"),
        (lambda: gaussian.mu_of(math.inf, 1e-5), "epsilon"),
    ],
)
def test_what_is_out_of_range_is_refused(call, named: str) -> None:
    """By name, in one line."""
    with pytest.raises(InputError, match=named) as error:
        call()

    assert "\n" not in str(error.value)
