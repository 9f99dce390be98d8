"""What does the Gaussian mechanism promise as ε and δ, and back? Its μ, δ(ε), and the two inverses.

Gaussian differential privacy (Dong, Roth and Su 2022, arXiv:1905.02383): the two neighbouring outputs are as hard
to tell apart as N(0, 1) and N(μ, 1). The curve δ(ε) is exact (their corollary 2.13; Balle and Wang 2018,
arXiv:1805.06530). T full-batch steps of noise multiplier σ have μ = √T / σ.
"""

from __future__ import annotations

import math

from scipy import special

from rai_bigmodel.errors import InputError

_HALVINGS = 200


def delta_of(epsilon: float, mu: float) -> float:
    """The least δ with which N(μ, 1) against N(0, 1) is (ε, δ)-private: the hockey-stick divergence.

    Args:
        epsilon: any finite number.
        mu: 0 or more; infinity gives 1.
    """
    if mu == 0:
        return max(0.0, -math.expm1(epsilon))
    if mu == math.inf:
        return 1.0
    # In logarithms: at large ε the second term is the product of a huge and a tiny number.
    first = float(special.log_ndtr(-epsilon / mu + mu / 2))
    second = epsilon + float(special.log_ndtr(-epsilon / mu - mu / 2))
    return math.exp(first) * -math.expm1(min(second - first, 0.0))


def epsilon_of(mu: float, delta: float) -> float:
    """The least ε ≥ 0 with which a μ-Gaussian mechanism is (ε, δ)-private.

    Raises:
        InputError: μ is negative or not a number, or δ is not between 0 and 1.
    """
    check_delta(delta)
    if not mu >= 0:
        msg = f"mu must be 0 or more, got {mu}"
        raise InputError(msg)
    if mu == math.inf:
        return math.inf
    if delta_of(0.0, mu) <= delta:
        return 0.0
    # Chernoff: beyond this ε even P[privacy loss > ε] is below δ.
    low, high = 0.0, mu * mu / 2 + mu * math.sqrt(2 * math.log(1 / delta)) + 1e-9
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if delta_of(middle, mu) > delta else (low, middle)
    return high


def mu_of(epsilon: float, delta: float) -> float:
    """The largest μ whose Gaussian mechanism is (ε, δ)-private.

    Raises:
        InputError: ε is negative or not finite, or δ is not between 0 and 1.
    """
    check_delta(delta)
    if not 0 <= epsilon < math.inf:
        msg = f"epsilon must be 0 or more and finite, got {epsilon}"
        raise InputError(msg)
    low, high = 0.0, 1.0
    while delta_of(epsilon, high) <= delta:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if delta_of(epsilon, middle) <= delta else (low, middle)
    return low


def check_delta(delta: float, *, zero: bool = False) -> None:
    """Refuse a δ that is none.

    Args:
        zero: whether 0 will do.

    Raises:
        InputError: δ is not between 0 and 1.
    """
    if not (0 < delta < 1 or (zero and delta == 0)):
        msg = f"delta must lie between 0 and 1{', or be 0' if zero else ', both excluded'}, got {delta}"
        raise InputError(msg)


def check_alpha(alpha: float) -> None:
    """Refuse an error rate that is none.

    Raises:
        InputError: α is not between 0 and one half.
    """
    if not 0 < alpha < 0.5:
        msg = f"alpha (the error rate) must lie between 0 and 0.5, got {alpha}"
        raise InputError(msg)
