"""How small can ε be, seen how well canaries were told in one training run? Lower bounds that need no model.

Each of m canaries is in or out of the training rows by a fair coin of its own. An attacker guesses r of the coins;
v guesses are right. Under (ε, δ)-privacy v is hardly ever large (Steinke, Nasr and Jagielski 2023,
arXiv:2305.08846); under the hypothesis of a Gaussian trade-off curve it is rarer still (Mahloujifar,
Melis and Chaudhuri 2025, arXiv:2410.22235). How many guesses are made must be chosen without the
coins, or paid for: `guessing` has the ways to do so.

A bound refutes a claimed ε below it. None can confirm one: `largest_refutable_epsilon` says how far m canaries reach.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import special

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.gaussian import check_alpha, check_delta, epsilon_of, mu_of

if TYPE_CHECKING:
    from collections.abc import Callable

Hypothesis = Literal["epsilon-delta", "gaussian"]
_TOLERANCE = 1e-8
_MOST_MU = 1e4


def p_value(epsilon: float, *, canaries: int, guesses: int, correct: int, delta: float = 0.0) -> float:
    """How often so many guesses are right, at most, if training is (ε, δ)-private (Steinke et al. 2023).

    ``P[B ≥ v] + 2mδ max_i P[v−i ≤ B < v] / i`` with B binomial of r guesses, each right with chance e^ε/(1+e^ε).

    Args:
        canaries: m, all with a coin, guessed or not.
        guesses: r, at most m.
        correct: v, at most r.

    Raises:
        InputError: the counts do not fit together, ε is negative, or δ is out of range.
    """
    _counts(canaries, guesses, correct)
    check_delta(delta, zero=True)
    if not epsilon >= 0:
        msg = f"epsilon must be 0 or more, got {epsilon}"
        raise InputError(msg)
    if correct == 0:
        return 1.0
    right = float(special.expit(epsilon))
    tail = float(special.betainc(correct, guesses - correct + 1, right))
    if delta == 0:
        return tail
    # P[B = v−i] for i = 1 … v; summed up, what lies within i below v.
    k = np.arange(correct - 1, -1, -1)
    log_ways = special.gammaln(guesses + 1) - special.gammaln(k + 1) - special.gammaln(guesses - k + 1)
    # log(1 − e^ε/(1+e^ε)) is taken from its own formula: it underflows late.
    masses = np.exp(log_ways + k * special.log_expit(epsilon) + (guesses - k) * special.log_expit(-epsilon))
    worst = float(np.max(np.cumsum(masses) / np.arange(1, correct + 1)))
    return min(1.0, tail + 2 * canaries * delta * worst)


def gaussian_refuted(mu: float, *, canaries: int, guesses: int, correct: int, alpha: float) -> bool:
    """Whether so many right guesses refute μ-Gaussian privacy at level α (Mahloujifar et al. 2025).

    Args:
        canaries, guesses, correct: m, r and v.

    Raises:
        InputError: the counts do not fit together.
    """
    _counts(canaries, guesses, correct)
    normal = NormalDist()
    # r and h bound the chance of the guess at hand to be right and wrong, one number of right guesses after another.
    right, wrong = alpha * correct / canaries, alpha * (guesses - correct) / canaries
    for i in range(correct - 1, -1, -1):
        if not 0 < right < 1:
            break
        raised = normal.cdf(normal.inv_cdf(right) - mu)
        if raised <= wrong:
            break
        right = min(right + i / (guesses - i) * (raised - wrong), 1.0)
        wrong = raised
    return right + wrong > guesses / canaries


def epsilon_at_least(
    canaries: int,
    guesses: int,
    correct: int,
    *,
    alpha: float = 0.05,
    delta: float = 0.0,
    hypothesis: Hypothesis = "epsilon-delta",
    above: float = 0.0,
) -> float:
    """The lower bound of ε at level 1−α, for a number of guesses that was fixed without the coins.

    Args:
        canaries, guesses, correct: m, r and v.
        delta: the δ that belongs to ε; more than 0 for the Gaussian hypothesis.
        above: a bound already had: where this one is no larger it is given back, quickly.

    Raises:
        InputError: the counts do not fit together, or α or δ is out of range.
    """
    _counts(canaries, guesses, correct)
    check_alpha(alpha)
    check_delta(delta, zero=hypothesis == "epsilon-delta")
    if hypothesis == "epsilon-delta":

        def refuted(epsilon: float) -> bool:
            # Without δ it is cheap, and what is not refuted then is not refuted with it.
            plain = p_value(epsilon, canaries=canaries, guesses=guesses, correct=correct)
            if plain > alpha or delta == 0:
                return plain <= alpha
            return p_value(epsilon, canaries=canaries, guesses=guesses, correct=correct, delta=delta) <= alpha

        return _climb(refuted, above)

    def too_good(mu: float) -> bool:
        return gaussian_refuted(mu, canaries=canaries, guesses=guesses, correct=correct, alpha=alpha)

    start = mu_of(above, delta) if above > 0 else 0.0
    mu = _climb(too_good, start)
    return above if mu <= start else epsilon_of(mu, delta)


def largest_refutable_epsilon(
    canaries: int, alpha: float = 0.05, delta: float = 0.0, *, guesses: int | None = None
) -> float:
    """The bound if every guess were right: no claimed ε above it can be refuted with so many canaries.

    With δ = 0 and all canaries guessed it is ``−ln(α^(−1/m) − 1)``.

    Args:
        guesses: fewer than all canaries.
    """
    r = canaries if guesses is None else guesses
    return epsilon_at_least(canaries, r, r, alpha=alpha, delta=delta)


def canaries_needed(epsilon: float, alpha: float = 0.05) -> int:
    """The fewest canaries with which a perfect attack could refute ε, at δ = 0: ``ln(1/α) / ln(1 + e^(−ε))``.

    Raises:
        InputError: ε is negative or not finite, or α is out of range.
    """
    check_alpha(alpha)
    if not 0 <= epsilon < math.inf:
        msg = f"epsilon must be 0 or more and finite, got {epsilon}"
        raise InputError(msg)
    return math.ceil(math.log(1 / alpha) / math.log1p(math.exp(-epsilon)))


def _climb(refuted: Callable[[float], bool], start: float) -> float:
    """The largest number up to which all is refuted, from `start`; `start` where it is not refuted itself."""
    if not refuted(start):
        return start
    low, high = start, max(1.0, 2 * start)
    while refuted(high):
        low, high = high, 2 * high
        if high > _MOST_MU:
            return low
    while high - low > _TOLERANCE * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def _counts(canaries: int, guesses: int, correct: int) -> None:
    if not 0 <= correct <= guesses <= canaries or canaries < 1:
        msg = (
            "there must be at least as many canaries as guesses and as many guesses as right ones, "
            f"got {canaries} canaries, {guesses} guesses, {correct} right"
        )
        raise InputError(msg)
