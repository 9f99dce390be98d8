"""How many rows, positives, selected and true positives does each group have?

Everything a count metric needs: counting parts in any order and adding them equals counting the whole,
exactly. Every rate below is a function of these four integers for each group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray

MISSING = "(missing)"
AT_ONCE = 1 << 16
"""So many rows at a time: what is in between stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class GroupCounts:
    """Group × truth × decision, as four integers for each group.

    Args:
        groups: the canonical names.
        n: rows ``(groups,)``.
        positives: rows whose outcome is the positive label.
        selected: rows whose decision is the positive label.
        true_positives: rows where both are.
    """

    groups: tuple[str, ...]
    n: Array
    positives: Array
    selected: Array
    true_positives: Array

    @classmethod
    def of(cls, group: Array, truth: Array, decision: Array, *, groups: int | Sequence[str]) -> GroupCounts:
        """Count rows.

        Args:
            group: codes ``(rows,)`` from 0 to ``len(groups) − 1``.
            truth: whether the outcome is positive, booleans or 0/1 ``(rows,)``.
            decision: whether the decision is positive, booleans or 0/1 ``(rows,)``.
            groups: the names of the codes, or how many there are.

        Raises:
            InputError: lengths differ, a code is out of range, or a value is not 0 or 1.
        """
        names = tuple(str(i) for i in range(groups)) if isinstance(groups, int) else tuple(groups)
        group = np.asarray(group)
        if group.ndim != 1 or not len(group) == len(truth) == len(decision):
            msg = (
                "group, truth and decision must be columns of one length, "
                f"got {group.shape}, {np.shape(truth)} and {np.shape(decision)}"
            )
            raise InputError(msg)
        if group.size and not (group.min() >= 0 and group.max() < len(names)):
            msg = f"group codes must lie from 0 to {len(names) - 1}, got {group.min()} to {group.max()}"
            raise InputError(msg)
        truth, decision = _binary(truth, "truth"), _binary(decision, "decision")
        cells = np.zeros(4 * len(names), dtype=np.int64)
        for start in range(0, len(group), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            cell = group[part].astype(np.int64)
            cell *= 2
            cell += truth[part].astype(np.int64, copy=False)
            cell *= 2
            cell += decision[part].astype(np.int64, copy=False)
            cells += np.bincount(cell, minlength=len(cells))
        return cls.of_cells(names, cells.reshape(len(names), 4))

    @classmethod
    def of_cells(cls, groups: Sequence[str], cells: Array) -> GroupCounts:
        """From a table of counts ``(groups, 4)``: truth·decision as 00, 01, 10, 11."""
        return cls(
            groups=tuple(groups),
            n=cells.sum(axis=1),
            positives=cells[:, 2] + cells[:, 3],
            selected=cells[:, 1] + cells[:, 3],
            true_positives=cells[:, 3],
        )

    @property
    def cells(self) -> Array:
        """The counts ``(groups, 4)``: truth·decision as 00, 01, 10, 11."""
        tp, fn, fp = (
            self.true_positives,
            self.positives - self.true_positives,
            self.selected - self.true_positives,
        )
        return np.stack([self.n - tp - fn - fp, fp, fn, tp], axis=1)

    def __add__(self, other: GroupCounts) -> GroupCounts:
        """Groups of the same name are added; others stand side by side, in the order of their names."""
        if not isinstance(other, GroupCounts):
            return NotImplemented
        if self.groups == other.groups:
            return self.of_cells(self.groups, self.cells + other.cells)
        names = tuple(sorted({*self.groups, *other.groups}))
        cells = np.zeros((len(names), 4), dtype=np.int64)
        for part in (self, other):
            np.add.at(cells, [names.index(g) for g in part.groups], part.cells)
        return self.of_cells(names, cells)

    def __radd__(self, other: int) -> GroupCounts:
        """So that ``sum`` can start from its 0."""
        return self if other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, GroupCounts)
            and self.groups == other.groups
            and bool((self.cells == other.cells).all())
        )

    def __hash__(self) -> int:
        return hash((self.groups, self.cells.tobytes()))

    @property
    def total(self) -> GroupCounts:
        """All groups as one."""
        return self.of_cells(("all",), self.cells.sum(axis=0, keepdims=True))


def distinct(values: Array) -> Array:
    """The different values, ascending; without loading what NumPy's own way loads for masked arrays."""
    ordered = np.sort(values)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)]]


def replace(codes: Array, by: Array) -> None:
    """Each code by what stands at its place, where it is: another column of memory costs more than the looking up."""
    for start in range(0, len(codes), AT_ONCE):
        codes[start : start + AT_ONCE] = by[codes[start : start + AT_ONCE]]


def by_value(values: Array, happened: Array) -> tuple[Array, Array, Array]:
    """How many rows have each value, and in how many of them something happens.

    Args:
        values: finite numbers ``(rows,)``.
        happened: booleans ``(rows,)``.

    Returns:
        The distinct values, ascending; rows and hits of each, int64.
    """
    if (counted := _few_values(values, happened)) is not None:  # as most tables have them: no sort needed
        return counted
    order = np.argsort(values)
    ordered = values[order] + 0.0  # one zero
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    if not len(starts):
        return ordered, *np.zeros((2, 0), dtype=np.int64)
    rows = np.diff(np.r_[starts, len(ordered)])
    return ordered[starts], rows, np.add.reduceat(happened[order].astype(np.int64), starts)


MOST_AT_ONCE = 1 << 15
"""Values of so many units are counted block by block: the table stays in the processor's cache as well."""


def _few_values(values: Array, happened: Array) -> tuple[Array, Array, Array] | None:
    """As `by_value`, of values of at most six decimals; ``None`` of others."""
    if (scale := _decimals(values)) is None:
        return None
    low, high = float(np.rint(values.min() * scale)), float(np.rint(values.max() * scale))
    if not high - low < MOST_AT_ONCE:
        if (coded := few_decimals(values)) is None:
            return None
        code, bottom, scale = coded
        code *= 2
        code += happened
        both = np.bincount(code, minlength=2 * (int(code.max()) // 2 + 1))
    else:
        bottom = int(low)
        both = np.zeros(2 * (int(high) - bottom + 1), dtype=np.int64)
        for start in range(0, len(values), AT_ONCE):
            block = values[start : start + AT_ONCE]
            whole = np.rint(block * scale)
            if (whole / scale != block).any():
                return None
            whole -= low
            code = whole.astype(np.int64)
            code *= 2
            code += happened[start : start + AT_ONCE]
            both += np.bincount(code, minlength=len(both))
    both = both.reshape(-1, 2)
    rows = both[:, 0] + both[:, 1]
    there = np.flatnonzero(rows)
    return (there + float(bottom)) / scale, rows[there], both[there, 1]


def _decimals(values: Array) -> float | None:
    """How many units are 1, by the first values; ``None`` where they have more than six decimals."""
    for scale in (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6) if len(values) else ():
        # A first look spares the rest of a column.
        if not (np.rint(values[:1000] * scale) / scale != values[:1000]).any():
            return scale
    return None


def few_decimals(values: Array) -> tuple[Array, int, float] | None:
    """Values of at most six decimals: in units above the smallest ``(rows,)``, the smallest, and how many units are 1.

    ``None`` where they have more decimals, or where the largest lies a million units or more from the smallest.
    """
    if (scale := _decimals(values)) is None:
        return None
    found = _whole(values, scale)
    return None if found is None else (*found, scale)


def _whole(values: Array, scale: float) -> tuple[Array, int] | None:
    """Values as whole numbers of 1/scale above the smallest, and that one; ``None`` where they are not, or spread far.

    Block by block, so that what is worked out on the way stays in the processor's cache.
    """
    code = np.empty(len(values), dtype=np.int64)
    low, high = 2**53, -(2**53)
    for start in range(0, len(values), AT_ONCE):
        block = values[start : start + AT_ONCE]
        whole = np.rint(block * scale)
        bottom, top = float(whole.min()), float(whole.max())
        if max(-bottom, top) >= 2**53 or (whole / scale != block).any():
            return None
        low, high = min(low, int(bottom)), max(high, int(top))
        if high - low >= 1_000_000:
            return None
        code[start : start + AT_ONCE] = whole
    code -= low
    return code, low


def _binary(values: Array, name: str) -> Array:
    """Booleans or whole numbers, each 0 or 1."""
    values = np.asarray(values)
    if values.dtype == bool or not values.size:
        return values.astype(bool)
    whole = values.dtype.kind in "iu"
    right = values.min() >= 0 and values.max() <= 1 if whole else bool(np.isin(values, (0, 1)).all())
    if not right:
        msg = f"{name} must be 0 or 1 in every row, got {np.unique(values)[:5].tolist()}"
        raise InputError(msg)
    return values if whole else values.astype(bool)


@dataclass(frozen=True)
class Rate:
    """Successes out of trials for each group: what every group rate is made of.

    Args:
        rows: the rows behind the trials, where rows carry weights and trials are effective ones.
    """

    groups: tuple[str, ...]
    successes: Array
    trials: Array
    rows: Array | None = None

    @property
    def counted(self) -> Array:
        """The rows behind the trials ``(groups,)``."""
        return self.trials if self.rows is None else self.rows

    @property
    def values(self) -> Array:
        """The rates ``(groups,)``; NaN where there were no trials."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.successes / self.trials


def selection_rate(c: GroupCounts) -> Rate:
    """The share of each group that is selected (Fairlearn's ``selection_rate``)."""
    return Rate(c.groups, c.selected, c.n)


def true_positive_rate(c: GroupCounts) -> Rate:
    """The share of positives that is selected."""
    return Rate(c.groups, c.true_positives, c.positives)


def false_positive_rate(c: GroupCounts) -> Rate:
    """The share of negatives that is selected."""
    return Rate(c.groups, c.selected - c.true_positives, c.n - c.positives)


def false_negative_rate(c: GroupCounts) -> Rate:
    """The share of positives that is not selected."""
    return Rate(c.groups, c.positives - c.true_positives, c.positives)


def precision(c: GroupCounts) -> Rate:
    """The share of the selected that is positive."""
    return Rate(c.groups, c.true_positives, c.selected)


def accuracy(c: GroupCounts) -> Rate:
    """The share of rows where decision and outcome agree."""
    return Rate(c.groups, c.n - c.positives - c.selected + 2 * c.true_positives, c.n)


def base_rate(c: GroupCounts) -> Rate:
    """The share of each group whose outcome is positive."""
    return Rate(c.groups, c.positives, c.n)


RATES: dict[str, Callable[[GroupCounts], Rate]] = {
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "false_negative_rate": false_negative_rate,
    "precision": precision,
    "accuracy": accuracy,
}
