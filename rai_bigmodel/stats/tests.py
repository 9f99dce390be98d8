"""Is there anything at all, and could it have been seen? A permutation test, power, and rows needed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.stats import special
from rai_bigmodel.stats.among_groups import simultaneous_z

if TYPE_CHECKING:
    Array = np.ndarray

POWER = 0.8
DRAWS = 19_999


def any_disparity(successes: Array, trials: Array, rng: np.random.Generator) -> float:
    """The permutation p-value of Pearson's χ² that all groups have one rate (exact at any group size).

    Shuffling outcomes over rows makes the groups' successes multivariate hypergeometric, so they are drawn
    directly. The observed table counts as one of the draws (Phipson and Smyth 2010).

    Args:
        successes, trials: counts ``(groups,)`` with at least one trial each.
    """
    x, n = np.asarray(successes, dtype=np.int64), np.asarray(trials, dtype=np.int64)
    whole, chosen = int(n.sum()), int(x.sum())
    if chosen in {0, whole}:
        return 1.0
    expected = n * (chosen / whole)
    drawn = rng.multivariate_hypergeometric(n, chosen, size=DRAWS, method="marginals")
    # Σ (x − e)² / n orders tables as χ² does.
    seen = float(np.sum((x - expected) ** 2 / n))
    far = np.sum((drawn - expected) ** 2 / n, axis=1) >= seen * (1 - 1e-9)
    return float((1 + far.sum()) / (1 + DRAWS))


def minimum_detectable_difference(
    rate: float, first: float, second: float, *, compared: int, alpha: float = 0.05
) -> float:
    """The smallest true difference of two groups' rates that is told from none four times in five.

    Args:
        rate: the pooled rate.
        first, second: rows of the two groups, effective ones where rows carry weights.
        compared: how many groups are looked at.
    """
    reach = simultaneous_z(alpha, compared) + float(special.ndtri(POWER))
    return min(1.0, reach * math.sqrt(rate * (1 - rate) * (1 / first + 1 / second)))


def rows_needed(high: float, low: float, *, compared: int, alpha: float = 0.05) -> int | None:
    """The rows in each of two groups with which their difference is told from none four times in five.

    ``None`` where there is no difference.
    """
    if high == low:
        return None
    reach = simultaneous_z(alpha, compared) + float(special.ndtri(POWER))
    return math.ceil(reach**2 * (high * (1 - high) + low * (1 - low)) / (high - low) ** 2)
