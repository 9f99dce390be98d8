"""How sure is a number that is some function of counts? Its cells are drawn again, exactly as rows would be.

Drawing n rows with replacement and counting them is drawing the cells from a multinomial distribution: the
bootstrap of any count metric, at a cost that does not depend on the rows (Efron 1979).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.evidence import LADDER, Interval, Rung
from rai_bigmodel.stats.ladder import LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray

DRAWS = 100_000
MOST_NUMBERS = 2_000_000
FEWEST_BEYOND = 10
"""Draws that must lie beyond an end for it to be told; a rung with fewer is left out."""


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
    """The percentile interval of a function of counts; ``None`` where every draw gives one number.

    Args:
        cells: counts of any shape.
        statistic: counts ``(draws, *cells)`` → numbers ``(draws,)``; one that is not finite is left out.
        draws: how often; a rung whose ends would rest on fewer than ten draws is left out.
    """
    chunk = max(1, MOST_NUMBERS // np.size(cells))
    parts = [
        statistic(resample(cells, rng, draws=min(chunk, draws - done))) for done in range(0, draws, chunk)
    ]
    drawn = np.sort(np.concatenate(parts))
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or drawn[0] == drawn[-1]:
        return None

    alphas = np.array([alpha for alpha in LADDER if alpha / 2 * len(drawn) >= FEWEST_BEYOND])
    ends = _quantiles(drawn, np.concatenate([alphas / 2, 1 - alphas / 2, alphas, 1 - alphas]))
    rungs: list[Rung] = list(zip(alphas.tolist(), *ends.reshape(4, -1).tolist(), strict=True))
    shown = next((r for r in rungs if abs(r[0] - (1 - LEVEL)) < 1e-9), None)
    if shown is None:
        return None
    return Interval(
        low=shown[1], high=shown[2], level=LEVEL, method="multinomial resampling", ladder=tuple(rungs)
    )


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
