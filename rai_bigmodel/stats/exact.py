"""What is the least that a proportion can be? Exact limits for very many proportions at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.stats import special

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray


def at_least(successes: Array, trials: Array, alpha: float) -> Array:
    """One-sided Clopper–Pearson limits at level 1−α ``(cells,)``: the least each proportion can be.

    The element by element low end of `intervals.clopper_pearson` at 2α (Clopper and Pearson 1934).
    """
    x, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    some = x > 0
    low = np.zeros(len(x))
    low[some] = special.betaincinv(x[some], n[some] - x[some] + 1, alpha)
    return low


def largest_at_least(
    successes: Array, trials: Array, alpha: float, *, first: Callable[[Array], Array]
) -> Array:
    """`at_least` where it could be the largest, or the largest of those that `first` says; −1 elsewhere ``(cells,)``.

    Wilson's limit lies within `12 / n` of it, so most of a million cells need no inverse beta function.

    Args:
        first: limits ``(cells,)`` → booleans; what holds for a limit holds for a larger one of the same cell.
    """
    x, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    z, p = float(special.ndtri(1 - alpha)), x / n
    middle = (p + z * z / (2 * n) - z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    low, high = middle - 12 / n, middle + 12 / n
    sure, maybe = first(low), first(high)
    keep = high >= low.max()
    keep |= maybe & (high >= (low[sure].max() if sure.any() else -np.inf))
    out = np.full(len(x), -1.0)
    out[keep] = at_least(x[keep], n[keep], alpha)
    return out
