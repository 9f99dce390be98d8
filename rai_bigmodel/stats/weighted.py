"""How many rows does a group have when rows count unequally?

A weighted rate is as sure as an unweighted one of Kish's effective size (Σw)² / Σw² (Kish 1965). Adding parts in
any order equals counting the whole: exactly for rows, to 1e-12 relative for weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.counts import RATES, GroupCounts, Rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray


LARGEST_WEIGHT = 1e150
"""Its square is still a number."""


@dataclass(frozen=True, eq=False)
class WeightedCounts:
    """Group × truth × decision: rows, summed weights and summed squares of weights in each cell.

    Args:
        counts: the rows, whatever they weigh.
        weights: Σw of each cell ``(groups, 4)``, truth·decision as 00, 01, 10, 11.
        squares: Σw² of each cell, the same.
    """

    counts: GroupCounts
    weights: Array
    squares: Array

    @classmethod
    def of(
        cls, group: Array, truth: Array, decision: Array, weight: Array, *, groups: int | Sequence[str]
    ) -> WeightedCounts:
        """Count rows; as `GroupCounts.of`, with a weight above 0 for each row ``(rows,)``.

        Raises:
            InputError: lengths differ, or a weight is not a number above 0.
        """
        counts = GroupCounts.of(group, truth, decision, groups=groups)
        weight = checked_weights(weight, rows=len(group))
        k = len(counts.groups)
        cell = np.asarray(group, dtype=np.int64) * 4 + np.asarray(truth, dtype=np.int64) * 2
        cell = cell + np.asarray(decision, dtype=np.int64)
        sums, squares = (
            np.bincount(cell, weights=w, minlength=4 * k).reshape(k, 4) for w in (weight, weight**2)
        )
        return cls(counts, sums, squares)

    @property
    def groups(self) -> tuple[str, ...]:
        """The canonical names."""
        return self.counts.groups

    @property
    def effective(self) -> Array:
        """Kish's effective size of each group ``(groups,)``."""
        return kish(self.weights.sum(axis=1), self.squares.sum(axis=1))

    def __add__(self, other: WeightedCounts) -> WeightedCounts:
        """Groups of the same name are added; others stand side by side, in the order of their names."""
        if not isinstance(other, WeightedCounts):
            return NotImplemented
        counts = self.counts + other.counts
        sums, squares = np.zeros((2, len(counts.groups), 4))
        for part in (self, other):
            at = [counts.groups.index(g) for g in part.groups]
            np.add.at(sums, at, part.weights)
            np.add.at(squares, at, part.squares)
        return WeightedCounts(counts, sums, squares)

    def __radd__(self, other: int) -> WeightedCounts:
        """So that ``sum`` can start from its 0."""
        return self if other == 0 else NotImplemented

    def rate(self, name: str) -> Rate:
        """A weighted rate, as successes out of Kish's effective number of trials.

        Args:
            name: a key of `counts.RATES`.
        """
        # Which cells a rate counts, asked of the rate itself; adding those cells alone loses no figures to
        # the subtractions that integers can afford.
        cell = RATES[name](GroupCounts.of_cells(("00", "01", "10", "11"), np.eye(4)))
        rows = RATES[name](self.counts)
        trials = self.weights @ cell.trials
        p = self.weights @ cell.successes / np.where(rows.trials, trials, 1.0)
        # Rounding must not make "everybody" into "nearly everybody": Wilson's limit there is exactly 1.
        p = np.where(rows.successes == 0, 0.0, np.where(rows.successes == rows.trials, 1.0, p))
        trials = kish(trials, self.squares @ cell.trials)
        return Rate(self.groups, p * trials, trials, rows.trials)


def kish(weights: Array, squares: Array) -> Array:
    """The effective size (Σw)² / Σw²; 0 where there is no row."""
    return np.where(squares > 0, weights**2 / np.where(squares > 0, squares, 1.0), 0.0)


def checked_weights(weight: Array, *, rows: int, name: str = "weight") -> Array:
    """Weights as floats ``(rows,)``.

    Raises:
        InputError: text, another length, or a weight that is missing, not finite, zero, negative or too large.
    """
    weight = np.asarray(weight)
    if weight.dtype.kind not in "fiub":
        msg = f"{name!r} holds text; weights must be numbers above 0"
        raise InputError(msg)
    weight = weight.astype(np.float64)
    if weight.shape != (rows,):
        msg = f"{name!r} must hold one weight for each of {rows:,} rows, got shape {weight.shape}"
        raise InputError(msg)
    if bad := int((~np.isfinite(weight)).sum()):
        msg = (
            f"{name!r} is missing or not finite in {bad:,} of {rows:,} rows; weights must be numbers above 0"
        )
        raise InputError(msg)
    if bad := int((weight <= 0).sum()):
        msg = f"{name!r} is zero or negative in {bad:,} of {rows:,} rows; leave such rows out or weigh them above 0"
        raise InputError(msg)
    if bad := int((weight > LARGEST_WEIGHT).sum()):
        msg = f"{name!r} is above {LARGEST_WEIGHT:.0e} in {bad:,} of {rows:,} rows; such weights cannot be added up"
        raise InputError(msg)
    return weight
