"""How are rows counted once, whichever of several attributes is then asked about?

Each row falls into one cell of all attributes together; what is asked of one of them, or of a few, is added up from the
cells of each group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.stats.counts import AT_ONCE, distinct, replace
from rai_bigmodel.tables.names import joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray

MOST_COMBINATIONS = 1_000_000
"""Of so many, those that occur are found in a table; of more by sorting."""


@dataclass(frozen=True, eq=False)
class Crossing:
    """The combinations of some columns' values that occur, in the order of their parts.

    Args:
        columns: what they are made of; of none there is one cell, which holds all rows.
        names: of each column's codes.
        codes: the cell of each row ``(rows,)``, in a small unsigned type where there are few.
        parts: each column's code in each cell ``(columns, cells)``.
    """

    columns: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    codes: Array
    parts: Array

    @classmethod
    def of(
        cls, columns: Sequence[str], coded: Sequence[tuple[Array, tuple[str, ...]]], *, rows: int
    ) -> Crossing:
        """Cross columns.

        Args:
            coded: of each its codes ``(rows,)`` and what they stand for.
            rows: how many there are.
        """
        names = tuple(each for _, each in coded)
        sizes = [len(each) for each in names]
        if not coded:
            return cls((), (), np.zeros(rows, dtype=np.int64), np.zeros((0, 1), dtype=np.int64))
        if len(coded) == 1:
            return cls(tuple(columns), names, coded[0][0], np.arange(sizes[0])[None])
        whole = combinations(names)
        if whole <= MOST_COMBINATIONS:
            found, occurs = np.empty(rows, dtype=np.min_scalar_type(whole - 1)), np.zeros(whole, dtype=bool)
            for start in range(0, rows, AT_ONCE):
                joint = _joint(coded, sizes, slice(start, start + AT_ONCE))
                occurs |= np.bincount(joint, minlength=whole) > 0
                found[start : start + AT_ONCE] = joint
            cells = np.flatnonzero(occurs)
            if len(cells) < whole:
                replace(found, np.cumsum(occurs) - 1)
        else:
            joint = _joint(coded, sizes, slice(None))
            cells = distinct(joint)
            found = np.searchsorted(cells, joint)
        return cls(tuple(columns), names, found, np.stack(np.unravel_index(cells, sizes)))

    @property
    def cells(self) -> int:
        """How many combinations occur."""
        return int(self.parts.shape[1])

    def along(self, by: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
        """The group of each cell ``(cells,)`` and the names of the groups, of some of the columns."""
        at = [self.columns.index(column) for column in by]
        if not at:
            return np.zeros(self.cells, dtype=np.int64), ("all",)
        if len(at) == 1:
            return self.parts[at[0]], self.names[at[0]]
        sizes = [len(self.names[i]) for i in at]
        joint = np.ravel_multi_index(tuple(self.parts[at]), sizes)
        there = distinct(joint)
        which = np.stack(np.unravel_index(there, sizes)).T
        called = [
            joined([self.names[i][c] for i, c in zip(at, each, strict=True)]) for each in which.tolist()
        ]
        return np.searchsorted(there, joint), tuple(called)

    def summed(self, by: Sequence[str], table: Array) -> tuple[Array, tuple[str, ...]]:
        """A table of counts by cell ``(cells, …)`` as one by group ``(groups, …)``, and the names of the groups."""
        groups, names = self.along(by)
        out = np.zeros((len(names), *table.shape[1:]), dtype=table.dtype)
        for cell, group in enumerate(groups.tolist()):
            out[group] += table[cell]
        return out, names


def _joint(coded: Sequence[tuple[Array, tuple[str, ...]]], sizes: Sequence[int], rows: slice) -> Array:
    """The combination of each of some rows, int64."""
    joint = coded[0][0][rows].astype(np.int64)
    for (codes, _), size in zip(coded[1:], sizes[1:], strict=True):
        joint *= size
        joint += codes[rows]
    return joint


def combinations(names: Sequence[tuple[str, ...]]) -> int:
    """How many combinations there could be."""
    whole = 1
    for each in names:
        whole *= max(len(each), 1)
    return whole
