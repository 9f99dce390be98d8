"""What is the least that a proportion can be? Exact limits for very many proportions at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
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
