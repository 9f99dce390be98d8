"""How far is a predicted number from the right one? Errors of regression, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from rai_bigmodel.stats import special
from rai_bigmodel.stats.ladder import climb

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
    """The interval of the root mean square error, on the logarithmic scale: errors squared are skewed."""
    value = rmse(error)
    return mean_from_influence(value, (error**2 - value**2) / (2 * value), scale="log") if value > 0 else None


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
    rungs = {rung[0]: rung for rung in unexplained.ladder}

    def turned(one: float | None) -> float | None:
        return None if one is None else 1 - one

    # Small where much is explained: the ends change places.
    ladder = tuple((a, turned(r[2]), turned(r[1]), turned(r[4]), turned(r[3])) for a, r in rungs.items())
    return type(unexplained)(
        low=turned(unexplained.high),
        high=turned(unexplained.low),
        level=unexplained.level,
        method=unexplained.method,
        ladder=ladder,
    )


def welch(first: Array, second: Array) -> Interval | None:
    """The interval of the difference of two means, first minus second (Welch 1947)."""
    parts = [(float(np.var(x, ddof=1)) / len(x), len(x)) for x in (first, second) if len(x) > 1]
    variance = sum(v for v, _ in parts)
    if len(parts) < 2 or variance == 0:
        return None
    df = variance**2 / sum(v * v / (n - 1) for v, n in parts)
    gap = float(first.mean() - second.mean())

    def ends(alpha: float) -> tuple[float, float]:
        reach = float(special.stdtrit(df, 1 - alpha / 2)) * variance**0.5
        return gap - reach, gap + reach

    return climb(ends, method="welch")
