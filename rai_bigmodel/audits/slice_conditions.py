"""By which conditions can rows be told apart? Columns as named values and ranges, and a tree as yardstick."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.files import visible
from rai_bigmodel.stats import slices, trees
from rai_bigmodel.stats.counts import distinct
from rai_bigmodel.subject import column_of
from rai_bigmodel.tables import Table, canonical
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort

PARTS = 4
MOST_LEVELS = 12
GLANCE = 1_000
GROWN_ON = 20_000
"""Rows that the tree is grown on: of so many a yardstick takes its cuts where it would of more."""


class Conditions(NamedTuple):
    """How one column tells rows apart: by values that have a name, or by ranges of its numbers.

    Args:
        words: of each code; code 0 is no condition that can be named.
        table: of each code of the column's dictionary the code here; ``None`` where there are ranges.
        cuts: upper ends of the ranges, each belonging to the range below it.
    """

    name: str
    words: tuple[str, ...]
    table: Array | None
    cuts: Array

    def column(self, cohort: Cohort, rows: Array) -> slices.Column:
        """Some rows as codes.

        Args:
            rows: indices, or booleans.
        """
        if self.table is not None:
            return slices.Column(
                visible(self.name), self.table[_codes(cohort, self.name)[0][rows]], self.words
            )
        values = cohort.arrays(self.name)[self.name][rows]
        codes = np.ones(len(values), dtype=np.uint8)
        for cut in self.cuts:  # a few comparisons of all are quicker than a search for each
            codes += values > cut
        codes[np.isnan(values)] = len(self.cuts) + 2 if self.words[-1] == "is missing" else 0
        return slices.Column(visible(self.name), codes, self.words)


def conditions_of(cohort: Cohort, seen: Array) -> list[Conditions]:
    """The conditions of every feature and sensitive column that can be told by two values or more.

    Args:
        seen: the rows by which quarters and frequent values are chosen.
    """
    sensitive = cohort.roles.get("sensitive", ())
    found = [_conditions(cohort, name, seen, by_value=name in sensitive) for name in _names(cohort)]
    return [c for c in found if len(c.words) > 2]


def _names(cohort: Cohort) -> list[str]:
    truth = column_of(cohort, "truth")
    wanted = dict.fromkeys(c for role in ("feature", "sensitive") for c in cohort.roles.get(role, ()))
    named = [c for c in wanted if c != truth]
    # Pictures and series have no value by which rows could be told apart.
    return [c for c in named if cohort.columns[c].ndim == 1] if isinstance(cohort, Table) else named


def _codes(cohort: Cohort, name: str) -> tuple[Array, tuple[str, ...]]:
    """The codes of a column's canonical names: those that a table knows already."""
    if isinstance(cohort, Table):
        return cohort.coded(name)
    names, codes = np.unique(canonical(cohort.arrays(name)[name]).astype(str), return_inverse=True)
    return codes, tuple(names.tolist())


def _conditions(cohort: Cohort, name: str, seen: Array, *, by_value: bool) -> Conditions:
    """Its most frequent values, or quarters of its numbers; code 0 is every other value."""
    values = cohort.arrays(name)[name]
    if values.dtype != object:
        known = values[seen]
        gone = np.isnan(known)
        missing = bool(gone.any())
        known = known[~gone] if missing else known
        fewest = MOST_LEVELS if by_value else PARTS
        # Some rows mostly show already that there are many values.
        if any(_many(some, fewest) for some in (known[:GLANCE], known)):
            return _quarters(name, known, missing=missing)
    codes, names = _codes(cohort, name)
    rows = np.bincount(codes[seen], minlength=len(names))
    top = np.argsort(-rows, kind="stable")[:MOST_LEVELS]
    top = top[rows[top] > 0]
    place = np.zeros(len(names), dtype=np.uint8)
    place[top] = np.arange(1, len(top) + 1)
    words = ("", *(f"is {visible(names[i])}" for i in top))
    return Conditions(name, words, place, np.empty(0))


def _many(values: Array, fewest: int) -> bool:
    """Whether there are more different ones than that."""
    ordered = np.sort(values)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) >= fewest


def _quarters(name: str, known: Array, *, missing: bool) -> Conditions:
    ordered = np.sort(known)
    cuts = distinct(ordered[(len(known) - 1) * np.arange(1, PARTS) // PARTS])
    cuts = cuts[cuts < ordered[-1]]
    shown = [number(float(c)) for c in cuts]
    words = ["", f"is at most {shown[0]}"]
    words += [f"is above {a} and at most {b}" for a, b in pairwise(shown)]
    words.append(f"is above {shown[-1]}")
    words += ["is missing"] if missing else []
    return Conditions(name, tuple(words), None, cuts)


def worst_leaf(
    cohort: Cohort, conditions: list[Conditions], wrong: Array, *, search: Array, confirm: Array, least: int
) -> tuple[str, Array]:
    """The leaf of a depth-3 tree that is worst where the tree was grown: in words, and which other rows it holds."""
    told = {c.name: c for c in conditions if c.table is not None}
    columns: list[tuple[str, int]] = []
    for name in _names(cohort):
        if cohort.arrays(name)[name].dtype != object:
            columns.append((name, 0))
        elif name in told:  # text by its most frequent values
            columns += [(name, code) for code in range(1, len(told[name].words))]

    def values(which: tuple[str, int], rows: Array) -> Array:
        name, code = which
        if code == 0:
            numbers: Array = cohort.arrays(name)[name][rows]
            return numbers
        return (told[name].column(cohort, rows).codes == code).astype(np.float64)

    if len(search) > GROWN_ON:
        least = math.ceil(least * GROWN_ON / len(search))
        search = search[:: len(search) // GROWN_ON][:GROWN_ON]
    grown = trees.leaves([values(which, search) for which in columns], wrong[search], least=least)
    worst = max(grown, key=lambda leaf: leaf.hits / max(leaf.rows, 1))
    inside = np.ones(len(confirm), dtype=bool)
    words = []
    for cut in worst.cuts:
        name, code = columns[cut.column]
        there = values(columns[cut.column], confirm)
        inside &= cut.holds(there)
        if code:
            said = f"{visible(name)} {told[name].words[code]}"
            words.append(f"not ({said})" if cut.below else said)
        else:
            side = "is at most" if cut.below else "is above"
            gone = " or missing" if not cut.below and np.isnan(there).any() else ""
            words.append(f"{visible(name)} {side} {number(cut.at)}{gone}")
    return " and ".join(words) or "all rows", inside
