"""What are the mean and spread of a number in each group, and how far apart are the means?

Parts are merged as in Chan, Golub and LeVeque 1979 (third powers as in Pébay 2008); any order gives the whole to 1e-12
relative. Differences of means: Welch 1947, all pairs at once by Šidák as in Dunnett's T2 (1980).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.disparity import widest_by_pairs
from rai_bigmodel.stats.means import apart, ends_of, mean_of_sums, skewness
from rai_bigmodel.stats.weighted import checked_weights, kish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.evidence import Interval

    Array = np.ndarray


@dataclass(frozen=True, eq=False)
class GroupMoments:
    """Rows, mean and squared deviations of one number in each group.

    Args:
        groups: the canonical names.
        rows: how many ``(groups,)``.
        weights, squares: Σw and Σw²; both equal `rows` where every row weighs 1.
        means: Σwx / Σw; 0 where there is no row.
        deviations: Σw (x − mean)².
        cubes: Σw (x − mean)³.
    """

    groups: tuple[str, ...]
    rows: Array
    weights: Array
    squares: Array
    means: Array
    deviations: Array
    cubes: Array

    @classmethod
    def of(
        cls, group: Array, values: Array, *, groups: int | Sequence[str], weight: Array | None = None
    ) -> GroupMoments:
        """Summarise rows.

        Args:
            group: codes ``(rows,)`` from 0 to ``len(groups) − 1``.
            values: finite numbers ``(rows,)``.
            weight: above 0 for each row; 1 unless given.

        Raises:
            InputError: lengths differ, a code is out of range, a value is not finite, a weight not above 0.
        """
        names = tuple(str(i) for i in range(groups)) if isinstance(groups, int) else tuple(groups)
        group, values = np.asarray(group, dtype=np.int64), np.asarray(values, dtype=np.float64)
        if group.shape != values.shape or group.ndim != 1:
            msg = f"group and values must be columns of one length, got {group.shape} and {values.shape}"
            raise InputError(msg)
        if group.size and not (group.min() >= 0 and group.max() < len(names)):
            msg = f"group codes must lie from 0 to {len(names) - 1}, got {group.min()} to {group.max()}"
            raise InputError(msg)
        if bad := int((~np.isfinite(values)).sum()):
            msg = f"values are missing or not finite in {bad:,} of {len(values):,} rows"
            raise InputError(msg)
        w = np.ones(len(values)) if weight is None else checked_weights(weight, rows=len(values))

        def total(x: Array) -> Array:
            return np.bincount(group, weights=x, minlength=len(names))

        rows = np.bincount(group, minlength=len(names)).astype(np.int64)
        weights = total(w)
        means = np.where(rows > 0, total(w * values) / np.where(rows > 0, weights, 1.0), 0.0)
        off = values - means[group]
        with np.errstate(over="ignore"):
            cubes = total(w * off**3)
        return cls(names, rows, weights, total(w * w), means, total(w * off**2), cubes)

    @property
    def effective(self) -> Array:
        """Kish's effective size of each group; its rows where all weigh the same."""
        return kish(self.weights, self.squares)

    @property
    def variances(self) -> Array:
        """The unbiased variance of a row ``(groups,)``; NaN where one row leaves none."""
        n = self.effective
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.rows > 1, self.deviations / self.weights * n / (n - 1), np.nan)

    @property
    def skews(self) -> Array:
        """The skewness of each group's mean (`means.skewness`)."""
        third = self.cubes / np.where(self.rows > 0, self.weights, 1.0)
        return skewness(third, np.nan_to_num(self.variances), self.effective)

    def interval(self, at: int) -> Interval | None:
        """Of the mean of one group; ``None`` where there is no spread to go by."""
        spread = float(np.sqrt(np.nan_to_num(self.variances[at])))
        return mean_of_sums(
            float(self.means[at]), spread, float(self.effective[at]), skew=float(self.skews[at])
        )

    def __add__(self, other: GroupMoments) -> GroupMoments:
        """Groups of the same name are merged; others stand side by side, in the order of their names."""
        if not isinstance(other, GroupMoments):
            return NotImplemented
        names = self.groups if self.groups == other.groups else tuple(sorted({*self.groups, *other.groups}))
        a, b = self._spread_over(names), other._spread_over(names)
        weights = a.weights + b.weights
        safe = np.where(weights > 0, weights, 1.0)
        gap = b.means - a.means
        return GroupMoments(
            names,
            a.rows + b.rows,
            weights,
            a.squares + b.squares,
            (a.weights * a.means + b.weights * b.means) / safe,
            a.deviations + b.deviations + gap**2 * a.weights * b.weights / safe,
            a.cubes
            + b.cubes
            + gap**3 * a.weights * b.weights * (a.weights - b.weights) / safe**2
            + 3 * gap * (a.weights * b.deviations - b.weights * a.deviations) / safe,
        )

    def __radd__(self, other: int) -> GroupMoments:
        """So that ``sum`` can start from its 0."""
        return self if other == 0 else NotImplemented

    def _spread_over(self, names: tuple[str, ...]) -> GroupMoments:
        at = [names.index(g) for g in self.groups]

        def put(x: Array) -> Array:
            out = np.zeros(len(names), dtype=x.dtype)
            out[at] = x
            return out

        parts = (self.rows, self.weights, self.squares, self.means, self.deviations, self.cubes)
        return GroupMoments(names, *(put(x) for x in parts))


def widest_mean_gap(moments: GroupMoments, at: Array, *, compared: int) -> Interval | None:
    """The widest difference between two groups' means; ``None`` where a group has no spread to go by.

    Args:
        at: the places of the groups compared, at least two.
        compared: how many groups were looked at, those left out included.
    """
    variances, sizes, skews = moments.variances[at], moments.effective[at], moments.skews[at]
    if not (variances > 0).all() or (sizes <= 1).any():
        return None
    i, j = np.nonzero(~np.eye(len(at), dtype=bool))
    errors = np.sqrt(variances / sizes)
    of_pairs = [(x[i], x[j]) for x in (errors, sizes - 1, skews)]
    error, freedom, skew = apart(*of_pairs)
    ends = ends_of(moments.means[at[i]] - moments.means[at[j]], error, freedom, skew)
    return widest_by_pairs(ends, groups=compared, method="welch, corrected for skewness, šidák over pairs")
