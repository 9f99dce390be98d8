"""How sure is a number that is some function of counts? Its cells are drawn again, exactly as rows would be.

Drawing n rows with replacement and counting them is drawing the cells from a multinomial distribution: the
bootstrap of any count metric, at a cost that does not depend on the rows (Efron 1979). Plain percentiles of the draws
are not enough: of 800 rows with 37 positives, the upper 95 % bound of F1 missed the truth in 8 % of samples, the
corrected one in 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.evidence import LADDER, Interval, Rung
from rai_bigmodel.stats import special
from rai_bigmodel.stats.intervals import wilson
from rai_bigmodel.stats.ladder import LEVEL, SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray

DRAWS = 100_000
MOST_NUMBERS = 2_000_000
FEWEST_BEYOND = 10
"""Draws that must lie beyond an end for it to be told."""


def resample(cells: Array, rng: np.random.Generator, *, draws: int) -> Array:
    """The cells of as many rows drawn with replacement ``(draws, *cells)``, int64.

    Args:
        cells: counts of any shape, at least one row in all.
    """
    cells = np.asarray(cells, dtype=np.int64)
    n = int(cells.sum())
    return rng.multinomial(n, cells.ravel() / n, size=draws).reshape(draws, *cells.shape)


def percentile(
    cells: Array, statistic: Callable[[Array], Array], rng: np.random.Generator, *, draws: int = DRAWS
) -> Interval | None:
    """The percentile interval of a function of counts that has corners; ``None`` where every draw gives one number.

    Args:
        cells: counts of any shape.
        statistic: counts ``(draws, *cells)`` → numbers ``(draws,)``; one that is not finite is left out.
        draws: how often; an end that would rest on fewer than ten draws is unbounded, a rung without ends left out.
    """
    drawn = _drawn(cells, statistic, rng, draws)
    return None if drawn is None else _between(drawn, _TAILS, "multinomial resampling")


def bca(
    cells: Array,
    statistic: Callable[[Array], Array],
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
    share: bool = False,
    unseen: Callable[[Array], tuple[Array, Array]] | None = None,
) -> Interval | None:
    """The interval of a smooth function of counts, corrected for bias and acceleration (Efron 1987).

    Args:
        cells, statistic, draws: as in `percentile`.
        share: the number lies between 0 and 1. Then no end is nearer than the delta method's on the logit scale:
            where next to nothing is wrong, resampling cannot know how much more there may be.
        unseen: z → how much lower and higher the number may be by what never occurred, which no draw can hold; both
            at least 0, in the shape of z.
    """
    drawn = _drawn(cells, statistic, rng, draws)
    error, acceleration = _left_out(np.asarray(cells), statistic)
    if drawn is None or error == 0:
        return None
    value = float(statistic(np.asarray(cells)[None])[0])
    # Half of what equals the estimate lies below it; all or none would be a bias without end.
    below = (np.searchsorted(drawn, value, "left") + np.searchsorted(drawn, value, "right")) / 2
    bias = special.ndtri(np.clip(below, 0.5, len(drawn) - 0.5) / len(drawn))
    z = special.ndtri(_TAILS)
    turned = 1 - acceleration * (bias + z)
    with np.errstate(divide="ignore"):
        tails = np.where(turned > 0, special.ndtr(bias + (bias + z) / turned), 0.0)
    outer = None
    if share and 0 < value < 1:
        outer = special.expit(special.logit(value) + z * error / (value * (1 - value)))
    beyond = None
    if unseen is not None:
        down, up = unseen(np.abs(z))
        beyond = np.where(_LOW, -down, up)
    return _between(drawn, tails, "multinomial resampling, bca", outer, beyond)


_TAILS = np.array([[a / 2 for a in LADDER], [1 - a / 2 for a in LADDER], LADDER, [1 - a for a in LADDER]])
"""Below which share of the draws each rung's two ends and two bounds lie ``(4, rungs)``."""
_LOW = np.array([True, False, True, False])[:, None]


def _drawn(
    cells: Array, statistic: Callable[[Array], Array], rng: np.random.Generator, draws: int
) -> Array | None:
    """What the draws gave, ascending; ``None`` where they all gave one number."""
    chunk = max(1, MOST_NUMBERS // np.size(cells))
    parts = [
        statistic(resample(cells, rng, draws=min(chunk, draws - done))) for done in range(0, draws, chunk)
    ]
    drawn = np.sort(np.concatenate(parts))
    drawn = drawn[np.isfinite(drawn)]
    return drawn if len(drawn) and drawn[0] < drawn[-1] else None


def _between(
    drawn: Array, tails: Array, method: str, outer: Array | None = None, beyond: Array | None = None
) -> Interval | None:
    """The interval whose ends have these shares of the draws below them; ``None`` where the shown ones are too far out.

    Args:
        tails: ``(4, rungs)``.
        outer: ends that must not lie farther out than those told ``(4, rungs)``.
        beyond: what is added to each end then ``(4, rungs)``.
    """
    known = np.minimum(tails, 1 - tails) * len(drawn) >= FEWEST_BEYOND - 1e-6
    if not known[:2, SHOWN].all():
        return None
    ends = _quantiles(drawn, tails.ravel()).reshape(tails.shape)
    if outer is not None:
        ends = np.where(_LOW, np.minimum(ends, outer), np.maximum(ends, outer))
    if beyond is not None:
        ends = ends + beyond
    told = np.where(known, ends, np.nan).T.tolist()
    rungs: list[Rung] = [
        (alpha, *(None if math.isnan(v) else v for v in four))  # type: ignore[misc]
        for alpha, four, some in zip(LADDER, told, known.any(axis=0), strict=True)
        if some
    ]
    return Interval(low=told[SHOWN][0], high=told[SHOWN][1], level=LEVEL, method=method, ladder=tuple(rungs))


def _left_out(cells: Array, statistic: Callable[[Array], Array]) -> tuple[float, float]:
    """The jackknife's standard error and acceleration: each row left out once, the rows of a cell being alike.

    0 and 0 where that changes nothing, or cannot be done.
    """
    at = np.argwhere(cells > 0)
    without = np.repeat(cells[None], len(at), axis=0)
    without[(np.arange(len(at)), *at.T)] -= 1
    rows, found = cells[cells > 0], statistic(without)
    n = int(rows.sum())
    if not np.isfinite(found).all():
        return 0.0, 0.0
    pull = float(rows @ found) / n - found
    squares = float(rows @ pull**2)
    if squares == 0:
        return 0.0, 0.0
    return float(np.sqrt((n - 1) / n * squares)), float(rows @ pull**3) / (6 * squares**1.5)


def _quantiles(ordered: Array, at: Array) -> Array:
    """Quantiles of sorted values, between two of them on a straight line: NumPy's usual ones, without its sorting."""
    place = at * (len(ordered) - 1)
    below = np.clip(np.floor(place).astype(np.int64), 0, len(ordered) - 1)
    low, high = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
    share = place - below
    found: Array = np.where(share >= 0.5, high - (high - low) * (1 - share), low + (high - low) * share)
    return found


def f1_macro(cells: Array) -> Array:
    """The plain average of the classes' F1 ``(…)``; 0 for a class that is neither right nor wrong anywhere.

    Args:
        cells: counts ``(…, classes, classes)``, truth by decision.
    """
    right = np.diagonal(cells, axis1=-2, axis2=-1)
    either = cells.sum(axis=-1) + cells.sum(axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(either > 0, 2 * right / either, 0.0).mean(axis=-1)


def f1_unseen(cells: Array, z: Array) -> tuple[Array, Array]:
    """How much lower and higher F1's average may be by classes that were always right, or never.

    Of the rows that are of a class, or taken for it, the share that is right, J, says its F1: 2 J / (1 + J). Where it
    is 0 or 1, what is not seen may still be; Wilson's limits of that share say how much.

    Args:
        cells: counts ``(classes, classes)``, truth by decision, each class in some row or decision.
        z: of the limits, of any shape.
    """
    right = np.diagonal(cells).astype(float)
    either = (cells.sum(axis=0) + cells.sum(axis=1)) - right
    z = np.asarray(z, dtype=float)[..., None]
    low, high = wilson(right, either, z)
    down = np.where(right == either, 1 - 2 * low / (1 + low), 0.0)
    up = np.where(right == 0, 2 * high / (1 + high), 0.0)
    return down.mean(axis=-1), up.mean(axis=-1)
