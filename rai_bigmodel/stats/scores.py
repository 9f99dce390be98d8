"""How well do scores rank and predict? Statistics of one score for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.stats.intervals import climb, z_two_sided

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Interval

    Array = np.ndarray


def auc(scores: Array, truth: Array) -> float | None:
    """The area under the ROC curve: how often a positive outranks a negative, ties counting half.

    ``None`` where one of the two outcomes is absent.
    """
    positive, negative = _placements(scores, truth)
    return float(positive.mean()) if len(positive) and len(negative) else None


def auc_interval(scores: Array, truth: Array) -> Interval | None:
    """The wider of two intervals of an AUC, at every rung.

    DeLong, DeLong and Clarke-Pearson 1988 on the logit scale follows the data; Newcombe 2006 (part 2,
    method 5) keeps its width where DeLong's variance vanishes, near 0 and 1. ``None`` without both outcomes.
    """
    positive, negative = _placements(scores, truth)
    m, n = len(positive), len(negative)
    if m == 0 or n == 0:
        return None
    area = float(positive.mean())
    variance = (positive.var(ddof=1) / m if m > 1 else 0.0) + (negative.var(ddof=1) / n if n > 1 else 0.0)

    def ends(alpha: float) -> tuple[float, float]:
        z = z_two_sided(alpha)
        low, high = _newcombe_auc(area, m, n, z)
        if 0.0 < area < 1.0 and variance > 0:
            centre = np.log(area / (1 - area))
            reach = z * np.sqrt(variance) / (area * (1 - area))
            low = min(low, float(1 / (1 + np.exp(-(centre - reach)))))
            high = max(high, float(1 / (1 + np.exp(-(centre + reach)))))
        return low, high

    return climb(ends, method="delong, newcombe")


def _placements(scores: Array, truth: Array) -> tuple[Array, Array]:
    """For each positive the share of negatives it outranks, and for each negative the other way round."""
    truth = np.asarray(truth, dtype=bool)
    high, low = np.sort(scores[truth]), np.sort(scores[~truth])
    if not len(high) or not len(low):
        return np.empty(len(high)), np.empty(len(low))
    above = (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")) / (2 * len(low))
    below = 1 - (np.searchsorted(high, low, "left") + np.searchsorted(high, low, "right")) / (2 * len(high))
    return above, below


def _newcombe_auc(area: float, m: int, n: int, z: float) -> tuple[float, float]:
    """Solve |θ̂ − θ| = z √V(θ), V by Hanley and McNeil 1982 with both group sizes replaced by their mean."""
    half = max((m + n) / 2 - 1, 0.0)

    def spread(theta: float) -> float:
        extra = half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return z * float(np.sqrt(max(theta * (1 - theta) * (1 + extra) / (m * n), 0.0)))

    def solve(inner: float, outer: float) -> float:
        # At the outer end θ lies further from θ̂ than its spread, at the inner end it does not.
        for _ in range(70):
            middle = (inner + outer) / 2
            inner, outer = (inner, middle) if abs(area - middle) > spread(middle) else (middle, outer)
        return inner

    return solve(area, 0.0), solve(area, 1.0)


def brier_rows(scores: Array, truth: Array) -> Array:
    """The squared error of each score ``(rows,)`` (Brier 1950)."""
    return (scores - np.asarray(truth, dtype=float)) ** 2


def log_loss_rows(scores: Array, truth: Array) -> Array:
    """The negative log likelihood of each row ``(rows,)``; scores are kept 1e-15 from 0 and 1 as in scikit-learn."""
    p = np.clip(scores, 1e-15, 1 - 1e-15)
    return -np.where(np.asarray(truth, dtype=bool), np.log(p), np.log1p(-p))
