"""What would another threshold do? Rows selected in each group at every threshold, from one counting pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.stats.cells import Cells

    Array = np.ndarray


@dataclass(frozen=True, eq=False)
class ThresholdCounts:
    """Rows of each group at or above each threshold.

    Args:
        thresholds: ascending ``(thresholds,)``.
        n, positives: rows, and rows with a positive outcome ``(groups,)``.
        selected, true_positives: those with a score at or above each threshold ``(groups, thresholds)``.
    """

    thresholds: Array
    n: Array
    positives: Array
    selected: Array
    true_positives: Array

    @classmethod
    def of(
        cls, group: Array, truth: Array, scores: Array, *, groups: int, thresholds: Array
    ) -> ThresholdCounts:
        """Count rows.

        Args:
            group: codes ``(rows,)`` from 0 to ``groups − 1``.
            truth: whether the outcome is positive ``(rows,)``.
            scores: finite scores ``(rows,)``.
        """
        above = np.searchsorted(thresholds, scores, side="right")  # thresholds at or below each score
        width = len(thresholds) + 1
        cell = (np.asarray(group, dtype=np.int64) * 2 + np.asarray(truth, dtype=np.int64)) * width + above
        cells = np.bincount(cell, minlength=groups * 2 * width).reshape(groups, 2, width)
        reached = cells[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:]
        return cls(
            thresholds, cells.sum(axis=(1, 2)), cells[:, 1].sum(axis=1), reached.sum(axis=1), reached[:, 1]
        )

    @classmethod
    def of_cells(cls, groups: Sequence[Cells], thresholds: Array) -> ThresholdCounts:
        """From the rows of each group by score; where those are bins, thresholds must lie on their edges."""
        n, positives, selected, hits = [], [], [], []
        for one in groups:
            first = np.searchsorted(one.scores, thresholds, side="left")
            reached, right = (np.r_[counts[::-1].cumsum()[::-1], 0] for counts in (one.rows, one.positives))
            n.append(reached[0])
            positives.append(right[0])
            selected.append(reached[first])
            hits.append(right[first])
        return cls(thresholds, *(np.array(v, dtype=np.int64) for v in (n, positives, selected, hits)))

    def __add__(self, other: ThresholdCounts) -> ThresholdCounts:
        """The same groups and thresholds, more rows."""
        if not isinstance(other, ThresholdCounts):
            return NotImplemented
        assert (self.thresholds == other.thresholds).all(), "counted at different thresholds"
        return ThresholdCounts(
            self.thresholds,
            self.n + other.n,
            self.positives + other.positives,
            self.selected + other.selected,
            self.true_positives + other.true_positives,
        )

    @property
    def accuracy(self) -> Array:
        """The share of all rows where decision and outcome agree ``(thresholds,)``."""
        right = self.n.sum() - self.positives.sum() - self.selected.sum(axis=0)
        return (right + 2 * self.true_positives.sum(axis=0)) / self.n.sum()

    @property
    def selection(self) -> Array:
        """The share of all rows selected ``(thresholds,)``."""
        return self.selected.sum(axis=0) / self.n.sum()

    def gap(self, keep: Array) -> Array:
        """The widest difference in selection rates among the groups kept ``(thresholds,)``."""
        rates = self.selected[keep] / self.n[keep, None]
        return rates.max(axis=0) - rates.min(axis=0)
