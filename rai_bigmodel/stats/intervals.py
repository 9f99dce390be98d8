"""How sure is a number? Intervals with stated coverage, at every rung of the ladder.

Proportions: Wilson 1927, Clopper and Pearson 1934. Differences: Newcombe 1998 (method 10 of part II).
Ratios: Donner and Zou 2012 (MOVER-R). Paired differences: Tango 1998. Widest gaps between groups:
Tukey's studentized range on Newcombe's square-and-add intervals for failing, pairs on their own for passing
(intersection–union, Berger 1982).
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.evidence import LADDER, Interval, Rung
from rai_bigmodel.stats import special, studentized

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray
    Ends = tuple[float | None, float | None]

LEVEL = 0.95
"""The level of the interval that is shown where no policy says otherwise."""
_SHOWN = LADDER.index(0.05)
_ALPHAS = np.array(LADDER)
_SETTLED = np.array(sorted({*LADDER, *(2 * alpha for alpha in LADDER)}))
_PLACES = np.searchsorted(_SETTLED, np.concatenate([_ALPHAS, 2 * _ALPHAS]))
"""Every α that the two ends and the two bounds of a ladder are settled by, and where each rung's stand among them."""

_FIRST, _SECOND = slice(0, len(LADDER)), slice(len(LADDER), None)


def z_two_sided(alpha: float) -> float:
    """The normal quantile of a two-sided 1−α interval."""
    return float(special.ndtri(1 - alpha / 2))


def settled() -> Array:
    """Every α that a ladder is settled by, in the order in which `climb_at_once` asks for them."""
    return _SETTLED


def z_settled() -> Array:
    """`z_two_sided` of each of them."""
    return _z_of(_SETTLED)


# --- the ladder -------------------------------------------------------------------------------


def climb(
    two_sided: Callable[[float], Ends],
    keep: Callable[[float], Ends] | None = None,
    *,
    method: str,
    level: float = LEVEL,
) -> Interval:
    """An interval at every rung.

    Args:
        two_sided: α → the ends of the two-sided 1−α interval; ``None`` is unbounded.
        keep: α → the one-sided 1−α bounds for "at least" and "at most"; by default the ends of
            the two-sided interval at 2α.
    """
    ends = cache(two_sided)  # twice a rung is mostly another rung
    one_sided = keep or (lambda alpha: ends(2 * alpha))
    rungs: list[Rung] = [(alpha, *ends(alpha), *one_sided(alpha)) for alpha in LADDER]
    shown = next((r for r in rungs if abs(r[0] - (1 - level)) < 1e-9), None)
    low, high = (shown[1], shown[2]) if shown else ends(1 - level)
    return Interval(low=low, high=high, level=level, method=method, ladder=tuple(rungs))


def climb_at_once(
    two_sided: Callable[[Array], tuple[Array, Array]],
    keep: Callable[[Array], tuple[Array, Array]] | None = None,
    *,
    method: str,
) -> Interval:
    """As `climb` at the usual level, from functions of all rungs: α ``(rungs,)`` → both ends, each ``(rungs,)``.

    What is infinite or not a number is unbounded.
    """
    if keep is None:
        return of_settled(*two_sided(_SETTLED), method=method)
    return _of_ends([*two_sided(_ALPHAS), *keep(_ALPHAS)], method)


def of_settled(low: Array, high: Array, *, method: str) -> Interval:
    """The interval whose ends are known at every α of `settled`; bounds are the ends at twice their α."""
    ends = [end[_PLACES] for end in (low, high)]
    return _of_ends([end[part] for part in (_FIRST, _SECOND) for end in ends], method)


def _of_ends(ends: list[Array], method: str) -> Interval:
    told = [[v if math.isfinite(v) else None for v in end.tolist()] for end in ends]
    return _of_rungs(list(zip(LADDER, *told, strict=True)), method)


def _of_rungs(rungs: list[Rung], method: str) -> Interval:
    _, low, high, *_ = rungs[_SHOWN]
    return Interval(low=low, high=high, level=LEVEL, method=method, ladder=tuple(rungs))


def widened(interval: Interval, by: float, *, low: float | None = 0.0, high: float | None = 1.0) -> Interval:
    """An interval of a number that is itself known only to within `by`: each end that much further out.

    Args:
        low, high: what the number cannot pass; ``None`` where there is no such end.
    """
    if by == 0.0:
        return interval

    def down(end: float | None) -> float | None:
        return None if end is None else end - by if low is None else max(low, end - by)

    def up(end: float | None) -> float | None:
        return None if end is None else end + by if high is None else min(high, end + by)

    return Interval(
        low=down(interval.low),
        high=up(interval.high),
        level=interval.level,
        method=f"{interval.method}, binned",
        ladder=tuple((r[0], down(r[1]), up(r[2]), down(r[3]), up(r[4])) for r in interval.ladder),
    )


# --- one proportion ---------------------------------------------------------------------------


def wilson(successes: Array, trials: Array, z: float | Array) -> tuple[Array, Array]:
    """Wilson's score limits; exactly 0 at no successes and exactly 1 at nothing else.

    Args:
        successes, trials: counts, any shape; with no trials the limits are 0 and 1.
    """
    x, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    safe = np.maximum(n, 1.0)
    p = x / safe
    middle = p + z * z / (2 * safe)
    spread = z * np.sqrt(p * (1 - p) / safe + z * z / (4 * safe * safe))
    scale = 1 + z * z / safe
    # Neither limit can pass 0 or 1 but by rounding; np.clip would take longer than all the rest.
    low = np.where(x == 0, 0.0, np.maximum((middle - spread) / scale, 0.0))
    high = np.where((x == n) | (n == 0), 1.0, np.minimum((middle + spread) / scale, 1.0))
    return low, high


def clopper_pearson(successes: int, trials: int, alpha: float) -> tuple[float, float]:
    """The exact two-sided limits: coverage is at least 1−α whatever the truth."""
    x, n = successes, trials
    low = 0.0 if x == 0 else float(special.betaincinv(x, n - x + 1, alpha / 2))
    high = 1.0 if x == n else float(special.betaincinv(x + 1, n - x, 1 - alpha / 2))
    return low, high


def proportion(successes: int, trials: int) -> Interval | None:
    """Clopper–Pearson at every rung, for a proportion that may be judged; ``None`` without trials."""
    if trials == 0:
        return None
    return climb(lambda a: clopper_pearson(successes, trials, min(a, 1.0)), method="clopper-pearson")


def group_rate(successes: int, trials: int) -> Interval | None:
    """Wilson at every rung; ``None`` without trials."""
    return group_rates(np.array([successes]), np.array([trials]))[0]


def group_rates(successes: Array, trials: Array) -> list[Interval | None]:
    """The same of every group; both ``(groups,)``."""
    z = _z_of([_ALPHAS, 2 * _ALPHAS])
    low, high = (end.tolist() for end in wilson(successes[:, None, None], trials[:, None, None], z))
    return [
        _of_rungs(list(zip(LADDER, a[0], b[0], a[1], b[1], strict=True)), "wilson") if n else None
        for n, a, b in zip(trials.tolist(), low, high, strict=True)
    ]


def _z_of(alphas: Any) -> Array:
    """`z_two_sided` of many."""
    z: Array = special.ndtri(1 - np.asarray(alphas) / 2)
    return z


# --- two proportions --------------------------------------------------------------------------


class Limits(NamedTuple):
    """Rates ``(groups,)`` with their limits, ``(groups,)`` at one z or ``(rungs, groups)`` at several."""

    p: Array
    low: Array
    high: Array

    @classmethod
    def wilson(cls, successes: Array, trials: Array, z: float | Array) -> Limits:
        """Rates and Wilson limits, at one z or at several ``(rungs,)``."""
        low, high = wilson(successes, trials, z[:, None] if isinstance(z, np.ndarray) else z)
        return cls(np.asarray(successes) / np.asarray(trials), low, high)


def newcombe(a: Limits) -> tuple[Array, Array]:
    """Limits of every difference p_i − p_j ``(…, groups, groups)``: square-and-add (Newcombe 1998)."""
    p, low, high = a
    gap = p[..., :, None] - p[..., None, :]
    below, above = (p - low) ** 2, (high - p) ** 2
    down = np.sqrt(below[..., :, None] + above[..., None, :])
    up = np.sqrt(above[..., :, None] + below[..., None, :])
    return gap - down, gap + up


def mover_ratio(a: Limits) -> tuple[Array, Array]:
    """Limits of every ratio p_i / p_j ``(…, groups, groups)`` (Donner and Zou 2012, MOVER-R).

    Infinite above where the lower limit of p_j is 0; NaN where both rates are 0.
    """
    p1, l1, u1 = (v[..., :, None] for v in a)
    p2, l2, u2 = (v[..., None, :] for v in a)
    product = p1 * p2
    with np.errstate(invalid="ignore", divide="ignore"):
        # The lower limit is rationalised: the textbook form is 0/0 where u2 = 2 p2.
        inner = product**2 - l1 * u2 * (2 * p1 - l1) * (2 * p2 - u2)
        low = l1 * (2 * p1 - l1) / (product + np.sqrt(np.maximum(inner, 0.0)))
        inner = product**2 - u1 * l2 * (2 * p1 - u1) * (2 * p2 - l2)
        high = (product + np.sqrt(np.maximum(inner, 0.0))) / (l2 * (2 * p2 - l2))
    low = np.where(p1 == 0, 0.0, low)
    high = np.where(l2 == 0, np.inf, high)
    neither = (p1 == 0) & (p2 == 0)
    return np.where(neither, np.nan, low), np.where(neither, np.nan, high)


# --- the widest gap and the smallest ratio among groups ------------------------------------------


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
    at_once = _gap_ends(successes, trials, _at_once(_ALPHAS / families, compared or len(trials)))
    each = _gap_ends(successes, trials, _z_of(2 * _ALPHAS))
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
    return _of_rungs(rungs, "tukey-newcombe, bonferroni over families")


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

    at_once, each = ends(_at_once(_ALPHAS, compared or len(trials))), ends(_z_of(2 * _ALPHAS))
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

    at_once, each = ends(_at_once(_ALPHAS, compared)), ends(_z_of(2 * _ALPHAS))
    return climb_at_once(lambda _: at_once, lambda _: (each[0], at_once[1]), method="tukey, mover-r")


def _pairs(matrix: Array) -> Array:
    """The entries of pairs of two different groups ``(…, pairs)``."""
    return matrix[..., ~np.eye(matrix.shape[-1], dtype=bool)]


# --- means, paired differences, sums -----------------------------------------------------------


def mean(values: Array) -> Interval | None:
    """Student's interval of a mean; ``None`` where fewer than two values or no spread leave nothing to go by."""
    n = len(values)
    return mean_of_sums(float(np.mean(values)), float(np.std(values, ddof=1)) if n > 1 else 0.0, n)


def mean_of_sums(centre: float, spread: float, n: int) -> Interval | None:
    """The same of a mean and a standard deviation that were worked out elsewhere."""
    if n < 2 or spread == 0.0:
        return None
    error = spread / np.sqrt(n)

    def ends(alpha: float) -> Ends:
        t = float(special.stdtrit(n - 1, 1 - alpha / 2))
        return float(centre - t * error), float(centre + t * error)

    return climb(ends, method="student-t")


def paired_difference(only_first: int, only_second: int, rows: int) -> Interval | None:
    """The difference of two proportions measured on the same rows (Tango 1998, score interval).

    Args:
        only_first: rows where only the first succeeds.
        only_second: rows where only the second does.
        rows: all rows. ``None`` without any.
    """
    if rows == 0:
        return None
    gained, lost, n = (np.array([v]) for v in (only_first, only_second, rows))

    def ends(alphas: Array) -> tuple[Array, Array]:
        low, high = tango(gained, lost, n, _z_of(np.minimum(alphas, 1.0)))
        return low[:, 0], high[:, 0]

    return climb_at_once(ends, method="tango")


def tango(only_first: Array, only_second: Array, rows: Array, z: Array) -> tuple[Array, Array]:
    """Tango's limits of several paired differences at several z, each ``(rungs, pairs)``.

    Args:
        only_first, only_second, rows: as in `paired_difference`, each ``(pairs,)``, with one row at least.
        z: of the limits ``(rungs,)``.
    """
    b, c, n = (np.asarray(v, dtype=float) for v in (only_first, only_second, rows))

    def score(delta: Array) -> Array:
        middle = -b - c + (2 * n - b + c) * delta
        last = -c * delta * (1 - delta)
        q = (np.sqrt(np.maximum(middle * middle - 8 * n * last, 0.0)) - middle) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        lead = b - c - n * delta
        with np.errstate(divide="ignore", invalid="ignore"):
            sure = np.where(lead == 0, 0.0, np.copysign(np.inf, lead))
            found: Array = np.where(variance > 0, lead / np.sqrt(variance), sure)
        return found

    seen = np.broadcast_to((b - c) / n, (len(z), len(n)))

    def solve(target: Array, lower: Array, upper: Array) -> Array:
        for _ in range(60):
            middle = (lower + upper) / 2
            above = score(middle) > target
            lower, upper = np.where(above, middle, lower), np.where(above, upper, middle)
        return (lower + upper) / 2

    target = np.asarray(z)[:, None]
    return solve(target, -np.ones(seen.shape), seen), solve(-target, seen, np.ones(seen.shape))


def rate_difference(first: tuple[int, int], second: tuple[int, int]) -> Interval:
    """The difference of two independent proportions, first minus second (Newcombe 1998, method 10).

    Args:
        first, second: successes and trials, at least one trial each.
    """
    x, n = np.array([first[0], second[0]]), np.array([first[1], second[1]])

    def ends(alpha: float) -> Ends:
        low, high = newcombe(Limits.wilson(x, n, z_two_sided(alpha)))
        return float(low[0, 1]), float(high[0, 1])

    return climb(ends, method="newcombe")


def average_of(parts: list[tuple[int, int]]) -> Interval | None:
    """The plain average of independent proportions (MOVER on Wilson limits; Zou and Donner 2008).

    Args:
        parts: successes and trials of each. ``None`` where one has no trials.
    """
    if any(n == 0 for _, n in parts):
        return None
    x, n = (np.array(column) for column in zip(*parts, strict=True))

    def ends(alpha: float) -> Ends:
        p, low, high = Limits.wilson(x, n, z_two_sided(alpha))
        down, up = np.sqrt(np.sum((p - low) ** 2)), np.sqrt(np.sum((high - p) ** 2))
        centre = p.mean()
        return max(0.0, float(centre - down / len(p))), min(1.0, float(centre + up / len(p)))

    return climb(ends, method="mover, wilson")
