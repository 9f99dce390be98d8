"""How do columns in memory become a cohort?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.files import visible
from rai_bigmodel.stats import cells
from rai_bigmodel.stats.counts import MISSING, GroupCounts
from rai_bigmodel.stats.weighted import WeightedCounts, checked_weights
from rai_bigmodel.subject import AtLeast
from rai_bigmodel.tables.columns import PLAIN_NUMBER
from rai_bigmodel.tables.crossing import MOST_COMBINATIONS, Crossing, combinations
from rai_bigmodel.tables.names import (
    canonical,
    check_crossed,
    check_groups,
    few_whole,
    name_of,
    positive_label,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rai_bigmodel.stats.cells import Cells
    from rai_bigmodel.subject import Array, Outcome, Roles
    from rai_bigmodel.tables.columns import Dictionary

MOST_TOGETHER = 4_096
"""Up to so many cells of all sensitive columns, groups are added up from them."""
DIGESTED = 65_536
"""Numbers turned into their canonical bytes at once, so that a digest of pictures needs no second copy of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows in memory: numbers as float64 with NaN for missing, text as objects with None for missing.

    Args:
        name: what a reader calls these rows.
        columns: column → array ``(rows,)``; of pictures ``(rows, channels, height, width)``, of series
            ``(rows, length, features)``, in any type of number.
        roles: role → columns (``feature truth sensitive score prediction weight id``).
        positive: the outcome that counts as positive, as canonical text; needed where labels are not 0 and 1.
        notes: what was settled while reading, in words.
        file_digest: of rows that are a whole file: the digest of its bytes, which then tells them from others.
        dictionaries: column → what a reader found already: its codes and what they stand for.
    """

    name: str
    columns: Mapping[str, Array]
    roles: Roles = field(default_factory=dict)
    positive: str = ""
    notes: tuple[str, ...] = ()
    file_digest: str = ""
    dictionaries: Mapping[str, Dictionary] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            msg = f"{self.name}: columns differ in length: {lengths}"
            raise InputError(msg)
        for role, names in self.roles.items():
            for column in names:
                if column not in self.columns:
                    what = f"{self.name}: column for {role}"
                    raise InputError.unknown(what, column, self.columns)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()), ()))

    @cached_property
    def digest(self) -> str:
        """The digest of column names, types and canonical values, in the order of the names; a file's of its bytes."""
        if self.file_digest:
            return self.file_digest
        whole = hashlib.sha256()
        for name in sorted(self.columns):
            values = self.columns[name]
            number = values.dtype != object
            size = "x".join(map(str, values.shape))
            whole.update(f"{name}\0{'number' if number else 'text'}\0{size}\0".encode())
            if number:
                flat = np.ascontiguousarray(values).reshape(-1)
                for start in range(0, len(flat), DIGESTED):
                    # One bit pattern for every NaN and for both zeros.
                    part = flat[start : start + DIGESTED].astype("<f8") + 0.0
                    whole.update(np.where(np.isnan(part), np.nan, part).astype("<f8").tobytes())
            else:
                for value in values:
                    text = b"\xff" if value is None else str(value).encode("utf-8", "surrogatepass")
                    whole.update(len(text).to_bytes(8, "little") + text)
        return f"sha256:{whole.hexdigest()}"

    def arrays(self, *columns: str) -> dict[str, Array]:
        """Columns as arrays.

        Raises:
            InputError: a column is not there; the message says which are.
        """
        for column in columns:
            if column not in self.columns:
                what = f"{self.name}: column"
                raise InputError.unknown(what, column, self.columns)
        return {column: self.columns[column] for column in columns}

    def take(self, rows: Array, *, name: str) -> Table:
        """Some of the rows, by index or mask, under another name."""
        columns = {k: v[rows] for k, v in self.columns.items()}
        return Table(name=name, columns=columns, roles=self.roles, positive=self.positive, notes=self.notes)

    @cached_property
    def _encoded(self) -> dict[str, tuple[Array, tuple[str, ...]]]:
        return {}

    @cached_property
    def _crossed(self) -> dict[tuple[str, ...], Crossing]:
        return {}

    @cached_property
    def _flagged(self) -> dict[str | AtLeast, Array]:
        return {}

    @cached_property
    def _kept(self) -> dict[tuple[Any, ...], Any]:
        """What was counted already, and of what."""
        return {}

    def codes(self, column: str) -> tuple[Array, tuple[str, ...]]:
        """Codes ``(rows,)`` of a column, int64, and what they stand for: its canonical names, sorted. Worked out once.

        Raises:
            InputError: the column is not there, or holds pictures or series, which have no names.
        """
        key = ("codes", column)
        if key not in self._kept:
            self._kept[key] = self.coded(column)[0].astype(np.int64)
        return self._kept[key], self.coded(column)[1]

    def coded(self, column: str) -> tuple[Array, tuple[str, ...]]:
        """As `codes`, in the smallest unsigned type that holds them: to look up and compare, not to reckon with."""
        if column not in self._encoded:
            values = self.arrays(column)[column]
            if values.ndim > 1:
                msg = f"{self.name}: {column!r} holds arrays of shape {values.shape[1:]}, one value a row is needed"
                raise InputError(msg)
            known = self.dictionaries.get(column)
            # Another array under the same name, after `dataclasses.replace`, has other codes.
            coded = known[1:] if known and known.column is values else _distinct(values)
            self._encoded[column] = _named(*coded)
        return self._encoded[column]

    def labels(self, column: str) -> tuple[str, ...]:
        """The canonical labels that a column has, sorted; without ``(missing)``."""
        return tuple(name for name in self.coded(column)[1] if name != MISSING)

    def groups(self, by: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
        """Codes ``(rows,)`` and canonical names of the groups of one attribute or an intersection.

        Raises:
            InputError: a column is not there, has one value, or has so many that it must be an id.
        """
        self._check(by)
        if len(by) == 1:
            return self.codes(by[0])
        crossing = self._crossing(tuple(by))
        check_crossed(self.name, by, crossing.cells)
        key = ("groups", *by)
        if key not in self._kept:
            self._kept[key] = crossing.codes.astype(np.int64)
        return self._kept[key], crossing.along(by)[1]

    def _check(self, by: Sequence[str]) -> None:
        for column in by:
            check_groups(self.name, column, self.coded(column)[1], self.rows)

    def _crossing(self, columns: tuple[str, ...]) -> Crossing:
        if columns not in self._crossed:
            self._crossed[columns] = Crossing.of(columns, [self.coded(c) for c in columns], rows=self.rows)
        return self._crossed[columns]

    def _around(self, by: Sequence[str]) -> Crossing:
        """What groups are added up from: the cells of all sensitive columns, if these are among them and few enough."""
        whole = self.roles.get("sensitive", ())
        plain = set(by) <= set(whole) and all(self.columns[c].ndim == 1 for c in whole)
        if plain and combinations([self.coded(c)[1] for c in whole]) <= MOST_COMBINATIONS:
            crossing = self._crossing(whole)
            if crossing.cells <= MOST_TOGETHER:
                return crossing
        return self._crossing(tuple(by))

    def count(
        self,
        by: tuple[str, ...] | list[str],
        *,
        truth: str | Array,
        decision: str | AtLeast | Array,
        weight: str | None = None,
    ) -> Any:
        """As `Cohort.count`; truth and decision may also be booleans ``(rows,)``.

        Raises:
            InputError: labels are not two, scores or weights cannot be used, or the groups cannot be compared.
        """
        if weight is None and isinstance(truth, str) and isinstance(decision, str | AtLeast):
            return self._added_up(by, truth, decision)
        codes, names = self.groups(by)
        true, selected = self._flags(truth), self._flags(decision)
        if weight is None:
            return GroupCounts.of(codes, true, selected, groups=names)
        weights = checked_weights(self.arrays(weight)[weight], rows=self.rows, name=weight)
        return WeightedCounts.of(codes, true, selected, weights, groups=names)

    def _added_up(self, by: Sequence[str], truth: str, decision: str | AtLeast) -> GroupCounts:
        """Counts that are added up from one count of all sensitive columns together."""
        self._check(by)
        crossing = self._around(by)
        key = (crossing.columns, truth, decision)
        if key not in self._kept:
            flags = self._flags(truth), self._flags(decision)
            self._kept[key] = GroupCounts.of(crossing.codes, *flags, groups=crossing.cells).cells
        added, names = crossing.summed(by, self._kept[key])
        check_crossed(self.name, by, len(names))
        return GroupCounts.of_cells(names, added)

    def by_score(self, by: Sequence[str], scores: Array, truth: Array) -> list[Cells]:
        """The rows of each group by score and outcome, counted once for all groupings by sensitive columns.

        Args:
            by: as in `count`.
            scores: finite ``(rows,)``.
            truth: booleans ``(rows,)``.

        Raises:
            InputError: as `groups`.
        """
        self._check(by)
        crossing = self._around(by)
        levels, rank = self._once(("ranked",), (scores,), lambda: cells.ranked(scores))
        size = len(levels)
        table = self._once(
            ("scored", crossing.columns),
            (scores, truth),
            lambda: cells.tabled(crossing.codes, rank, truth, groups=crossing.cells, levels=size),
        )
        if table is None:
            codes, names = self.groups(by)
            return cells.of_ranks(codes, levels, rank, truth, groups=len(names))
        added, names = crossing.summed(by, table)
        check_crossed(self.name, by, len(names))
        return cells.of_table(levels, added)

    def _once(self, what: tuple[Any, ...], of: tuple[Array, ...], work: Callable[[], Any]) -> Any:
        """What was worked out of these very arrays, which are kept so that no other takes their place in memory."""
        key = (*what, *map(id, of))
        if key not in self._kept:
            self._kept[key] = of, work()
        return self._kept[key][1]

    def _flags(self, values: str | AtLeast | Array) -> Array:
        if isinstance(values, AtLeast):
            if values not in self._flagged:
                self._flagged[values] = _unwritable(self.scores(values.column) >= values.threshold)
            return self._flagged[values]
        return self.binary(values) if isinstance(values, str) else values

    def scores(self, column: str) -> Array:
        """A column of scores, checked: numbers from 0 to 1 in every row ``(rows,)``.

        Raises:
            InputError: it holds text, or values that are missing, not finite or outside 0 to 1.
        """
        values = self.arrays(column)[column]
        if values.dtype == object:
            wrong = [v for v in values.tolist() if v is None or not PLAIN_NUMBER.match(str(v))]
            example = next((v for v in wrong if v is not None), None)
            shown = "" if example is None else f", the first is {visible(repr(example))}"
            msg = (
                f"{self.name}: {column!r} is missing or holds text in {len(wrong):,} of {self.rows:,} rows{shown}; "
                "scores must be numbers from 0 to 1"
            )
            raise InputError(msg)
        # The smallest of values that are not all numbers is none.
        if not len(values) or (values.min() >= 0 and values.max() <= 1):
            return values
        if bad := int((~np.isfinite(values)).sum()):
            msg = f"{self.name}: {column!r} is missing or not finite in {bad:,} of {self.rows:,} rows"
            raise InputError(msg)
        bad = int(((values < 0) | (values > 1)).sum())
        msg = f"{self.name}: {column!r} lies outside 0 to 1 in {bad:,} of {self.rows:,} rows"
        raise InputError(msg)

    def histogram(
        self, by: tuple[str, ...] | list[str], *, score: str, truth: str | Array, bins: int = 4096
    ) -> tuple[Array, tuple[str, ...]]:
        """As `Cohort.histogram`."""
        codes, names = self.groups(by)
        place = np.minimum(np.floor(self.scores(score) * float(bins)), bins - 1).astype(np.int64)
        cell = (codes * 2 + self._flags(truth)) * bins + place
        counts = np.bincount(cell, minlength=len(names) * 2 * bins).reshape(len(names), 2, bins)
        return counts.astype(np.int64), names

    def outcome(self, truth: str, prediction: str) -> Outcome:
        """What kind of outcome two columns show.

        ``number`` where predictions and outcomes are numbers of more than two values and not a few whole ones;
        ``classes`` where there are more than two labels and a decision among them; else ``binary``.
        """
        columns = self.arrays(truth, prediction)
        true, said = columns[truth], columns[prediction]
        if len(set(canonical(true).tolist())) <= 2:
            return "binary"
        if "O" in {true.dtype.kind, said.dtype.kind}:
            return "classes"
        return "classes" if few_whole(true) and np.isin(said, np.unique(true)).all() else "number"

    def binary(self, column: str) -> Array:
        """Whether each row has the positive label, as booleans ``(rows,)``.

        Raises:
            InputError: labels are missing, are not two, or none of them is declared positive.
        """
        if column in self._flagged:
            return self._flagged[column]
        codes, names = self.coded(column)
        gone = int((codes == names.index(MISSING)).sum()) if MISSING in names else 0
        positive = positive_label(
            self.name,
            column,
            names,
            declared=self.positive,
            others={label for c in self.roles.get("truth", ()) if c != column for label in self.labels(c)},
            missing=f"{gone:,} of {self.rows:,}" if gone else "",
        )
        yes = codes == (names.index(positive) if positive in names else -1)
        self._flagged[column] = _unwritable(yes)
        return yes


def _unwritable(values: Array) -> Array:
    """What many are given, and none may change."""
    values.setflags(write=False)
    return values


def _named(codes: Array, values: Sequence[object]) -> tuple[Array, tuple[str, ...]]:
    """The same codes for the canonical names, sorted; values that have one name become one."""
    names = [name_of(v) for v in values]
    ordered = sorted(set(names))
    place = {name: i for i, name in enumerate(ordered)}
    smallest = np.min_scalar_type(max(len(ordered) - 1, 0))
    return np.array([place[name] for name in names] or [0], dtype=smallest)[codes], tuple(ordered)


def _distinct(values: Array) -> tuple[Array, list[object]]:
    """Codes and what they stand for: a dictionary for text, a table for small whole numbers."""
    if values.dtype == object:
        index: dict[object, int] = {}
        codes = np.fromiter(
            (index.setdefault(v, len(index)) for v in values.tolist()), dtype=np.int64, count=len(values)
        )
        if all(v is None or isinstance(v, str) for v in index):
            return codes, list(index)
        # True, 1 and 1.0 are one key of a dictionary, and two names here.
        index = {}
        named = canonical(values).tolist()
        codes = np.fromiter(
            (index.setdefault(v, len(index)) for v in named), dtype=np.int64, count=len(named)
        )
        return codes, list(index)
    if values.dtype.kind == "f" and len(values):
        # Codes and years, as floats: no sort needed where a table of all whole numbers in between is small.
        low, high = np.nanmin(values, initial=np.inf), np.nanmax(values, initial=-np.inf)
        if -(2**53) < low <= high < 2**53 and high - low < 10_000:
            gone = np.isnan(values)
            whole = np.where(gone, high + 1, values) if gone.any() else values
            small = (whole - low).astype(np.int64)
            if (small == whole - low).all():
                occurs = np.bincount(small, minlength=int(high - low) + 2) > 0
                there = np.nonzero(occurs)[0]
                found: list[object] = [
                    float("nan") if i > high - low else float(low + i) for i in there.tolist()
                ]
                return (np.cumsum(occurs) - 1)[small], found
    found_values, codes = np.unique(values, return_inverse=True)
    return codes.reshape(-1), found_values.tolist()
