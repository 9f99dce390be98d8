"""How does an interval become one for every rung of the ladder? Nested, at the same error rates everywhere."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.evidence import LADDER, Interval, Rung
from rai_bigmodel.stats import special

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray
    Ends = tuple[float | None, float | None]

LEVEL = 0.95
"""The level of the interval that is shown where no policy says otherwise."""
SHOWN = LADDER.index(0.05)
ALPHAS = np.array(LADDER)
_SETTLED = np.array(sorted({*LADDER, *(2 * alpha for alpha in LADDER)}))
_PLACES = np.searchsorted(_SETTLED, np.concatenate([ALPHAS, 2 * ALPHAS]))
"""Every α that the two ends and the two bounds of a ladder are settled by, and where each rung's stand among them."""

_FIRST, _SECOND = slice(0, len(LADDER)), slice(len(LADDER), None)


def z_two_sided(alpha: float) -> float:
    """The normal quantile of a two-sided 1−α interval."""
    return float(special.ndtri(1 - alpha / 2))


def z_of(alphas: Any) -> Array:
    """`z_two_sided` of many."""
    z: Array = special.ndtri(1 - np.asarray(alphas) / 2)
    return z


def settled() -> Array:
    """Every α that a ladder is settled by, in the order in which `climb_at_once` asks for them."""
    return _SETTLED


def z_settled() -> Array:
    """`z_two_sided` of each of them."""
    return z_of(_SETTLED)


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
    return _of_ends([*two_sided(ALPHAS), *keep(ALPHAS)], method)


def of_settled(low: Array, high: Array, *, method: str) -> Interval:
    """The interval whose ends are known at every α of `settled`; bounds are the ends at twice their α."""
    ends = [end[_PLACES] for end in (low, high)]
    return _of_ends([end[part] for part in (_FIRST, _SECOND) for end in ends], method)


def _of_ends(ends: list[Array], method: str) -> Interval:
    told = [[v if math.isfinite(v) else None for v in end.tolist()] for end in ends]
    return of_rungs(list(zip(LADDER, *told, strict=True)), method)


def of_rungs(rungs: list[Rung], method: str) -> Interval:
    """An interval from its rungs; its ends are those of the level that is shown where no policy says otherwise."""
    _, low, high, *_ = rungs[SHOWN]
    return Interval(low=low, high=high, level=LEVEL, method=method, ladder=tuple(rungs))


def moved(interval: Interval, to: Callable[[float], float], *, falling: bool = False) -> Interval:
    """The interval of a monotone function of the number.

    Args:
        to: the function; an end that is unbounded stays so.
        falling: whether it falls, so that the ends change places.
    """

    def pair(low: float | None, high: float | None) -> Ends:
        first, last = (None if end is None else to(end) for end in (low, high))
        return (last, first) if falling else (first, last)

    low, high = pair(interval.low, interval.high)
    rungs = tuple((r[0], *pair(r[1], r[2]), *pair(r[3], r[4])) for r in interval.ladder)
    return Interval(low=low, high=high, level=interval.level, method=interval.method, ladder=rungs)


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
