"""How far is a predicted number from the right one? Errors of regression, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from rai_bigmodel.stats import means, special
from rai_bigmodel.stats.ladder import climb, climb_at_once, moved

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Interval

    Array = np.ndarray


def mean_from_influence(
    value: float, influence: Array, *, scale: Literal["plain", "log", "logit"] = "plain"
) -> Interval | None:
    """Student's interval of a smooth function of means, by the delta method.

    Args:
        value: the estimate.
        influence: what each row adds to it, less the mean ``(rows,)``.
        scale: where the ends are taken: as it is, or where it is unbounded (of a positive number its
            logarithm, of one between 0 and 1 its logit).

    ``None`` with fewer than two rows, no spread, or a value that the scale cannot hold.
    """
    n = len(influence)
    error = float(np.std(influence, ddof=1)) / np.sqrt(n) if n > 1 else 0.0
    if error == 0 or (scale == "log" and value <= 0) or (scale == "logit" and not 0 < value < 1):
        return None

    def ends(alpha: float) -> tuple[float, float]:
        t = float(special.stdtrit(n - 1, 1 - alpha / 2))
        if scale == "log":
            reach = float(np.exp(np.minimum(t * error / value, 700.0)))
            return value / reach, value * reach
        if scale == "logit":
            centre, reach = special.logit(value), t * error / (value * (1 - value))
            return float(special.expit(centre - reach)), float(special.expit(centre + reach))
        return float(value - t * error), float(value + t * error)

    name = {"plain": "student-t", "log": "student-t, log scale", "logit": "delong, logit scale"}[scale]
    return climb(ends, method=name)


def rmse(error: Array) -> float:
    """The root of the mean squared error."""
    return float(np.sqrt(np.mean(error**2)))


def rmse_interval(error: Array) -> Interval | None:
    """The interval of the root mean square error: the root of the mean square's, which is at least 0."""
    squared = means.mean(error**2)
    return None if squared is None else moved(squared, lambda end: max(end, 0.0) ** 0.5)


def r2(truth: Array, predicted: Array) -> float | None:
    """The share of the outcome's variance that is explained; ``None`` where the outcome does not vary."""
    around = truth - truth.mean()
    whole = float(around @ around)
    error = truth - predicted
    return 1 - float(error @ error) / whole if whole > 0 else None


def r2_interval(truth: Array, predicted: Array) -> Interval | None:
    """The interval of R²: the unexplained share is a ratio of two means, taken on the logarithmic scale."""
    explained = r2(truth, predicted)
    if explained is None or explained >= 1:
        return None
    around = (truth - truth.mean()) ** 2
    left = 1 - explained
    influence = ((truth - predicted) ** 2 - left * around) / around.mean()
    unexplained = mean_from_influence(left, influence, scale="log")
    if unexplained is None:
        return None
    # Small where much is explained.
    return moved(unexplained, lambda end: 1 - end, falling=True)


def welch(first: Array, second: Array) -> Interval | None:
    """The interval of the difference of two means, first minus second (Welch 1947), corrected for skewness."""
    if min(len(first), len(second)) < 2:
        return None
    both = (first, second)
    errors = [float(np.std(x, ddof=1)) / len(x) ** 0.5 for x in both]
    if not any(errors):
        return None
    error, freedom, skew = means.apart(
        errors, [len(x) - 1 for x in both], [means.skewness_of(x) for x in both]
    )
    ends = means.ends_of(float(first.mean() - second.mean()), error, freedom, skew)
    return climb_at_once(ends, method="welch, corrected for skewness")
