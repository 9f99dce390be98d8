"""How far may the truth lie from a mean? Student's interval, corrected for the skewness of what was averaged.

Losses and errors are skewed: Student's upper end misses the mean of squared errors two to ten times as often as it
says, on the side where a rule passes. Hall's transformation (1992, "On the removal of skewness by transformation")
takes the first term of that error away: with T the studentised mean and a its skewness, T + a T² / 3 + a² T³ / 27 +
a / 6 is nearly Student's. On the side of the long tail the farther of the corrected and the uncorrected end counts,
for the transformation turns back where values are few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.stats import special
from rai_bigmodel.stats.ladder import climb_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rai_bigmodel.evidence import Interval

    Array = np.ndarray
    Two = Sequence[Array | float]

METHOD = "student-t, corrected for skewness"
_NONE = 1e-9
"""A skewness below which there is nothing to correct."""


def skewness(third: Array | float, variance: Array | float, n: Array | float) -> Array:
    """The skewness of the mean of n values: theirs, G, over √n.

    0 for fewer than three, without spread, and where third powers are too large for a number.

    Args:
        third: their third central moment Σ (x − mean)³ / n, of any shape.
        variance: their unbiased variance.
        n: how many they are; Kish's effective size where they are weighed.
    """
    third, variance, n = (np.asarray(v, dtype=float) for v in (third, variance, n))
    fit = (n > 2) & (variance > 0) & np.isfinite(third) & np.isfinite(variance)
    n, variance, third = np.where(fit, n, 3.0), np.where(fit, variance, 1.0), np.where(fit, third, 0.0)
    # One after the other, for the power 1.5 of a small variance is 0.
    return third / variance / np.sqrt(variance) * n**1.5 / ((n - 1) * (n - 2))


def skewness_of(values: Array) -> float:
    """The same of the values themselves ``(n,)``."""
    n = len(values)
    spread = float(np.std(values, ddof=1)) if n > 2 else 0.0
    if not 0 < spread < np.inf:
        return 0.0
    return float(skewness(np.mean(((values - np.mean(values)) / spread) ** 3), 1.0, n))


def reach(quantile: Array | float, skew: Array | float) -> tuple[Array, Array]:
    """How many standard errors below and above the estimate the truth may lie, both positive.

    Args:
        quantile: of Student's distribution, above 0.
        skew: of the studentised estimate (`skewness`); one, or one for each quantile.
    """
    a = np.asarray(skew, dtype=float)
    some = np.abs(a) > _NONE
    safe = np.where(some, a, 1.0)

    def back(y: Array | float) -> Array:
        """The T whose transform is y."""
        return np.where(some, 3 / safe * (np.cbrt(1 + safe * (y - safe / 6)) - 1), y)

    below, above = back(quantile), -back(-np.asarray(quantile))
    return np.where(a < 0, np.maximum(below, quantile), below), np.where(
        a > 0, np.maximum(above, quantile), above
    )


def ends_of(
    centre: Array | float, error: Array | float, freedom: Array | float, skew: Array | float
) -> Callable[[Array | float], tuple[Array, Array]]:
    """α → the ends of the two-sided 1−α interval, of one mean or of many, at one α or at several.

    Args:
        centre, error: the estimate and its standard error.
        freedom: the degrees of freedom of that error.
        skew: of the studentised estimate (`skewness`).
    """

    def ends(alpha: Array | float) -> tuple[Array, Array]:
        below, above = reach(special.stdtrit(freedom, 1 - alpha / 2), skew)
        return centre - error * below, centre + error * above

    return ends


def mean(values: Array) -> Interval | None:
    """The interval of a mean; ``None`` where fewer than two values or no spread leave nothing to go by."""
    n = len(values)
    spread = float(np.std(values, ddof=1)) if n > 1 else 0.0
    return mean_of_sums(float(np.mean(values)), spread, n, skew=skewness_of(values))


def mean_of_sums(centre: float, spread: float, n: float, *, skew: float) -> Interval | None:
    """The same of a mean, a standard deviation and a skewness (`skewness`) that were worked out elsewhere.

    Args:
        n: how many values there were; Kish's effective size where they are weighed.
    """
    if not (n > 1 and spread > 0):
        return None
    return climb_at_once(ends_of(centre, spread / n**0.5, n - 1, skew), method=METHOD)


def apart(errors: Two, freedoms: Two, skews: Two) -> tuple[Array, Array, Array]:
    """Of the difference of two independent means, first minus second: its error, freedom (Welch 1947) and skewness.

    Args:
        errors, freedoms, skews: of the first and of the second, as in `ends_of`.
    """
    e, f = (np.asarray(error, dtype=float) for error in errors)
    both = np.hypot(e, f)
    e, f = e / both, f / both
    return both, 1 / (e**4 / freedoms[0] + f**4 / freedoms[1]), skews[0] * e**3 - skews[1] * f**3
