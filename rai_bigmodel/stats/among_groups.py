"""How far apart may groups be? The widest gap and the smallest ratio among them, for all pairs at once."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.evidence import LADDER, Interval, Rung
from rai_bigmodel.stats import special, studentized
from rai_bigmodel.stats.intervals import Limits, mover_ratio, newcombe
from rai_bigmodel.stats.ladder import ALPHAS, climb_at_once, of_rungs, z_of, z_two_sided

if TYPE_CHECKING:
    Array = np.ndarray
    Ends = tuple[float | None, float | None]


@lru_cache(maxsize=4096)
def simultaneous_z(alpha: float, groups: int) -> float:
    """Tukey's c_k = q_{1−α; k, ∞} / √2: a z that holds for all pairs of k groups at once.

    Of the ladder's α, and of half of each, from a table for up to 20 groups; else solved (`solved_z`).
    """
    if groups <= 2:
        return z_two_sided(alpha)
    known = studentized.table().get(groups, {}).get(alpha)
    return solved_z(alpha, groups) if known is None else known


def solved_z(alpha: float, groups: int) -> float:
    """The same of three groups or more, from its definition.

    P(range of k standard normals ≤ q) = k ∫ φ(x) [Φ(x) − Φ(x − q)]^{k−1} dx, solved for q.
    """
    # The integrand is smooth and vanishes at ±9, so the trapezoid rule converges exponentially.
    x, density, upper_tail = _grid()

    def beyond(q: float) -> float:
        # 1 − (Φ(x) − Φ(x − q)) is small in the tail, so the power is taken through its logarithm.
        outside = np.minimum(upper_tail + special.ndtr(x - q), 1.0)
        with np.errstate(divide="ignore"):
            whole = np.exp((groups - 1) * np.log1p(-outside))
        return 1 - groups * float(np.sum(density * whole))

    # Two levels' difference is nearly linear in q after the logarithm, so chords close in on it (Illinois rule),
    # from the quantiles of one pair and of all pairs by Bonferroni.
    pairs = groups * (groups - 1) / 2
    lower, upper = (-math.sqrt(2) * float(special.ndtri(a / 2)) for a in (alpha, alpha / pairs))
    above, below = (math.log(max(beyond(q), 1e-300) / alpha) for q in (lower, upper))
    if not above > 0 > below:
        lower, upper = 1e-6, 20.0
        above, below = (math.log(max(beyond(q), 1e-300) / alpha) for q in (lower, upper))
    middle = upper
    while upper - lower > 1e-13 * upper:
        middle = upper - below * (upper - lower) / (below - above)
        if not lower < middle < upper:
            middle = (lower + upper) / 2
        found = math.log(max(beyond(middle), 1e-300) / alpha)
        if found > 0:
            lower, above, below = middle, found, below / 2
        else:
            upper, below, above = middle, found, above / 2
        if abs(found) < 1e-13:
            break
    return middle / math.sqrt(2)


@cache
def _grid() -> tuple[Array, Array, Array]:
    """Points from −9 to 9, the normal density at each times their distance, and the normal tail above each."""
    x, step = np.linspace(-9.0, 9.0, 361, retstep=True)
    return x, step * np.exp(-x * x / 2) / np.sqrt(2 * np.pi), special.ndtr(-x)


def widest_gap(
    successes: Array, trials: Array, *, compared: int | None = None, families: int = 1
) -> Interval:
    """The difference between the largest and the smallest rate.

    Failing claims that *some* pair is further apart than a limit: Tukey–Newcombe, simultaneous over the
    pairs. Passing claims that *every* pair is within it: each pair on its own, one-sided.

    Args:
        successes, trials: counts of the groups that are compared ``(groups,)``, at least two.
        compared: how many groups were looked at, small ones included (k of the studentized range).
        families: Bonferroni's factor when the widest of several such gaps is taken.
    """
    at_once = _gap_ends(successes, trials, _at_once(ALPHAS / families, compared or len(trials)))
    each = _gap_ends(successes, trials, z_of(2 * ALPHAS))
    return climb_at_once(lambda _: at_once, lambda _: (at_once[0], each[1]), method="tukey-newcombe")


def _at_once(alphas: Array, groups: int) -> Array:
    """`simultaneous_z` of many."""
    return np.array([simultaneous_z(alpha, groups) for alpha in alphas.tolist()])


def _gap_ends(successes: Array, trials: Array, z: float | Array) -> tuple[Array, Array]:
    low, high = (_pairs(m) for m in newcombe(Limits.wilson(successes, trials, z)))
    return np.maximum(low.max(axis=-1), 0.0), np.minimum(high.max(axis=-1), 1.0)


def widest_of(families: list[tuple[Array, Array, int]]) -> Interval:
    """The widest gap in any of several families of rates (equalised odds: TPR and FPR).

    Bonferroni over the families for failing; none for passing, where each must keep the limit.

    Args:
        families: successes, trials and the number of groups looked at, for each.
    """
    parts = [widest_gap(x, n, compared=k, families=len(families)) for x, n, k in families]

    def widest(rung: int, side: int) -> float:
        return max(_number(part.ladder[rung][side]) for part in parts)

    rungs: list[Rung] = [
        (alpha, widest(i, 1), widest(i, 2), widest(i, 3), widest(i, 4)) for i, alpha in enumerate(LADDER)
    ]
    return of_rungs(rungs, "tukey-newcombe, bonferroni over families")


def _number(value: float | None) -> float:
    assert value is not None
    return value


def smallest_ratio(successes: Array, trials: Array, *, compared: int | None = None) -> Interval:
    """The smallest ratio between two groups' rates, by MOVER-R; two error budgets as in `widest_gap`.

    Args:
        successes, trials: counts of the groups that are compared ``(groups,)``, not all without successes.
    """

    def ends(z: Array) -> tuple[Array, Array]:
        low, high = (_pairs(m) for m in mover_ratio(Limits.wilson(successes, trials, z)))
        return np.nanmin(low, axis=-1), np.minimum(np.nanmin(high, axis=-1), 1.0)

    at_once, each = ends(_at_once(ALPHAS, compared or len(trials))), ends(z_of(2 * ALPHAS))
    return climb_at_once(lambda _: at_once, lambda _: (each[0], at_once[1]), method="tukey, mover-r")


def ratio_to_best(
    successes: int, trials: int, best_successes: int, best_trials: int, *, compared: int
) -> Interval:
    """One group's rate over that of the group with the largest (the impact ratio), by MOVER-R.

    The best group was picked from the data, so failing is simultaneous over the `compared` groups; passing
    claims that the ratio to every group keeps the limit, each on its own.
    """
    x, n = np.array([successes, best_successes]), np.array([trials, best_trials])

    def ends(z: Array) -> tuple[Array, Array]:
        low, high = mover_ratio(Limits.wilson(x, n, z))
        return low[:, 0, 1], high[:, 0, 1]

    at_once, each = ends(_at_once(ALPHAS, compared)), ends(z_of(2 * ALPHAS))
    return climb_at_once(lambda _: at_once, lambda _: (each[0], at_once[1]), method="tukey, mover-r")


def _pairs(matrix: Array) -> Array:
    """The entries of pairs of two different groups ``(…, pairs)``."""
    return matrix[..., ~np.eye(matrix.shape[-1], dtype=bool)]
