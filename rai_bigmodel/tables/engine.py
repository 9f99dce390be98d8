"""How are rows counted where they are? One GROUP BY in the user's own engine; nothing but the cells leaves it.

Through Narwhals: Polars (also lazy), pandas, PyArrow, DuckDB, Dask, PySpark, Ibis. Engines differ in what they call
missing (null, None, NaN, NA), true and one, and in whether NaN is larger than a number; so an engine only groups, a
score counts only where it lies from 0 to 1, and every value is named here (`names.py`), after the counting.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.counts import MISSING, GroupCounts
from rai_bigmodel.stats.strata import Within
from rai_bigmodel.stats.weighted import WeightedCounts
from rai_bigmodel.subject import AtLeast
from rai_bigmodel.tables.columns import PLAIN_NUMBER
from rai_bigmodel.tables.group_by import Cells, decided, fetch, grouped, unused
from rai_bigmodel.tables.named import NamedCells
from rai_bigmodel.tables.names import check_groups, joined, names_of, positive_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.subject import Array, Roles

MAX_CELLS = 200_000
MAX_BINNED_CELLS = 1_000_000
_DIGEST_BINS = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """Rows that stay in their engine.

    Args:
        name: what a reader calls these rows.
        frame: a Narwhals LazyFrame.
        roles: role → columns (``feature truth sensitive score prediction weight id``).
        positive: the outcome that counts as positive, as canonical text.
        notes: what was settled while reading, in words.
        file_digest: of a file: the digest of its bytes. Without one, the rows are told from others by their cells.
        untyped: the rows come from a csv, where everything is text.
    """

    name: str
    frame: Any
    roles: Roles = field(default_factory=dict)
    positive: str = ""
    notes: tuple[str, ...] = ()
    file_digest: str = ""
    untyped: bool = False

    stays: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for role, names in self.roles.items():
            for column in names:
                if column not in self._columns:
                    what = f"{self.name}: column for {role}"
                    raise InputError.unknown(what, column, self._columns)

    @cached_property
    def _columns(self) -> tuple[str, ...]:
        return tuple(self.frame.collect_schema().names())

    @cached_property
    def _counted(self) -> dict[tuple[tuple[str, ...], AtLeast | None, str | None], Cells | None]:
        return {}

    @cached_property
    def rows(self) -> int:
        """How many rows there are: of what was counted already, or asked of the engine."""
        import narwhals as nw

        for cells in self._counted.values():
            if cells is not None:
                return sum(cell[-1] for cell in cells)
        return int(self._fetch(self.frame.select(nw.len().alias("rows")))[0][0])

    @cached_property
    def digest(self) -> str:
        """The digest of a file's bytes; else of the column names and of the cells: `kind: cells`.

        The cells are those of every sensitive column, outcome and prediction together; of scores, how many of
        each outcome lie in each of 4,096 bins.
        """
        if self.file_digest:
            return self.file_digest
        keys = tuple(c for role in ("sensitive", "truth", "prediction") for c in self.roles.get(role, ()))
        found: list[Any] = []
        # Together where that is a table of moderate size, one by one where it is not.
        for columns in [keys] if self._cells(keys) is not None else [(key,) for key in keys]:
            named = self._named(columns, self._cells(columns) or [])
            found.append([columns, sorted([*key, n] for key, n in named.totals().items())])
        for score in self.roles.get("score", ()):
            counts, _ = self._binned((), score, None, _DIGEST_BINS, checked=False)
            found.append([score, counts.tolist()])
        whole = json.dumps([sorted(self._columns), self.rows, found], ensure_ascii=True)
        return f"sha256:{hashlib.sha256(b'cells' + whole.encode()).hexdigest()}"

    def arrays(self, *columns: str) -> NoReturn:
        """Refuses: rows do not leave their engine.

        Raises:
            InputError: always; the message says what would do.
        """
        what = ", ".join(map(repr, columns)) or "rows"
        msg = (
            f"{self.name}: {what} asked for row by row, and these rows stay in their engine; hand over a table in "
            "memory (a Polars or pandas DataFrame, a smaller file) for what needs single rows"
        )
        raise InputError(msg)

    def binary(self, column: str) -> NoReturn:
        """Refuses, as `arrays` does."""
        self.arrays(column)

    def labels(self, column: str) -> tuple[str, ...]:
        """The canonical labels that a column has, sorted; without ``(missing)``."""
        for (columns, *_), known in self._counted.items():
            if known is not None and column in columns:
                values = {cell[columns.index(column)] for cell in known}
                break
        else:
            cells = self._cells((column,))
            if cells is None:
                self._too_many((column,))
            values = {cell[0] for cell in cells}
        return tuple(sorted(set(names_of(values, untyped=self.untyped).values()) - {MISSING}))

    def count(
        self,
        by: tuple[str, ...] | list[str],
        *,
        truth: str | Array,
        decision: str | AtLeast | Array,
        weight: str | None = None,
    ) -> Any:
        """As `Cohort.count`, in one GROUP BY.

        The engine is asked once for all sensitive columns together where that is a table of moderate size; what is
        then asked of any of them is added up from it.

        Raises:
            InputError: rows were handed over instead of a column, labels are not two, scores are not numbers
                from 0 to 1, a weight is not a number above 0, or the groups cannot be compared.
        """
        if not isinstance(truth, str) or not isinstance(decision, str | AtLeast):
            msg = f"{self.name}: rows stay in their engine: truth and decision must be columns (or AtLeast), not rows"
            raise InputError(msg)
        score = decision if isinstance(decision, AtLeast) else None
        last = (truth,) if score else (truth, str(decision))
        columns = tuple(dict.fromkeys((*self.roles.get("sensitive", ()), *by, *last)))
        cells = self._cells(columns, score, weight)
        if cells is None:
            columns = tuple(dict.fromkeys((*by, *last)))
            cells = self._cells(columns, score, weight)
            if cells is None:
                self._too_many(columns)
        sums = None if weight is None else self._weighed(weight, cells)
        if weight is not None:
            cells = [(*c[:-4], c[-1]) for c in cells]
        named = self._named(columns, cells)
        groups, place = named.groups(by)
        outcome = self.positive_among(truth, named)
        yes, at = (name == outcome for name in named.of(truth)), self.selected(decision, named)
        out = np.zeros((len(groups), 4), dtype=np.int64)
        weights, squares = np.zeros((2, len(groups), 4))
        for i, (group, positive, selected) in enumerate(zip(place, yes, at, strict=True)):
            kind = 2 * positive + selected
            out[group, kind] += cells[i][-1]
            if sums is not None:
                weights[group, kind] += sums[i][0]
                squares[group, kind] += sums[i][1]
        counts = GroupCounts.of_cells([joined(parts) if parts else "all" for parts in groups], out)
        return counts if weight is None else WeightedCounts(counts, weights, squares)

    def _weighed(self, column: str, cells: Cells) -> list[tuple[float, float]]:
        """Σw and Σw² of each cell; checked, for rows whose weight is no number above 0 were counted beside them."""
        if bad := sum(c[-2] for c in cells):
            rows = sum(c[-1] for c in cells)
            msg = f"{self.name}: {column!r} is missing, not finite, zero or negative in {bad:,} of {rows:,} rows; "
            msg += "weights must be numbers above 0"
            raise InputError(msg)
        return [(float(c[-4]), float(c[-3])) for c in cells]

    def histogram(
        self, by: tuple[str, ...] | list[str], *, score: str, truth: str | Array, bins: int = 4096
    ) -> tuple[Array, tuple[str, ...]]:
        """As `Cohort.histogram`, in one GROUP BY.

        Raises:
            InputError: as `count`.
        """
        if not isinstance(truth, str):
            msg = f"{self.name}: rows stay in their engine: truth must be a column, not rows"
            raise InputError(msg)
        return self._binned(tuple(by), score, truth, bins)

    def within(self, by: Sequence[str], *, given: Sequence[str], decision: str | AtLeast) -> Within:
        """How many rows of each stratum and group there are and are selected, in one GROUP BY.

        Args:
            by: the attribute, or the attributes of an intersection.
            given: the columns that make up the strata.

        Raises:
            InputError: as `count`.
        """
        score = decision if isinstance(decision, AtLeast) else None
        columns = tuple(dict.fromkeys((*given, *by, *(() if score else (str(decision),)))))
        cells = self._cells(columns, score)
        if cells is None:
            self._too_many(columns)
        named = self._named(columns, cells)
        (strata, of), (groups, place) = named.groups(given), named.groups(by)
        selected, n = np.zeros((2, len(strata), len(groups)), dtype=np.int64)
        for cell, stratum, group, chosen in zip(
            cells, of, place, self.selected(decision, named), strict=True
        ):
            n[stratum, group] += cell[-1]
            selected[stratum, group] += cell[-1] if chosen else 0
        called, told = (tuple(joined(parts) for parts in those) for those in (strata, groups))
        return Within(told, called, selected, n)

    def values(self, column: str, *, truth: str) -> tuple[list[object], Array, Array] | None:
        """The distinct values of a column, ``None`` for missing, and how many rows and positives have each.

        Numbers as floats, of a csv too where every value is one; ``None`` where there are too many values to count.

        Raises:
            InputError: as `count`.
        """
        cells = self._cells((column, truth))
        if cells is None:
            return None
        named = self._named((column, truth), cells)
        positive = self.positive_among(truth, named)
        found: dict[object, list[int]] = {}
        for (value, _, n), outcome in zip(cells, named.of(truth), strict=True):
            both = found.setdefault(value, [0, 0])
            both[0] += n
            both[1] += n if outcome == positive else 0
        told: list[object] = list(found)
        if self.untyped and all(v is None or (isinstance(v, str) and PLAIN_NUMBER.match(v)) for v in told):
            told = [None if v is None else float(str(v)) for v in told]
        elif all(v is None or isinstance(v, int | float) for v in told):
            told = [None if v is None else float(v) for v in told]  # type: ignore[arg-type]
        rows, hits = np.array(list(found.values()), dtype=np.int64).reshape(-1, 2).T
        return told, rows, hits

    def missing(self, columns: Sequence[str]) -> dict[str, int]:
        """In how many rows each column has no value: null, or not a number."""
        import narwhals as nw

        if not columns:
            return {}
        kinds = self.frame.collect_schema()
        gone = [
            (nw.col(c).is_null() | nw.col(c).is_nan()) if kinds[c].is_float() else nw.col(c).is_null()
            for c in columns
        ]
        asked = [g.cast(nw.Int64).sum().alias(c) for g, c in zip(gone, columns, strict=True)]
        found = self._fetch(self.frame.select(*asked))[0]
        return {c: int(n or 0) for c, n in zip(columns, found, strict=True)}

    def selected(self, decision: str | AtLeast, named: NamedCells) -> list[bool]:
        """Whether each cell's decision is positive: by its label, or of a score by what `decided` gave, the last key.

        Raises:
            InputError: as `count`.
        """
        if isinstance(decision, AtLeast):
            if bad := sum(c[-1] for c in named.cells if c[-2] not in {0, 1}):
                self._bad_scores(decision.column, bad, named.rows)
            return [c[-2] == 1 for c in named.cells]
        chosen = self.positive_among(str(decision), named)
        return [name == chosen for name in named.of(str(decision))]

    def positive_among(self, column: str, named: NamedCells) -> str:
        """Which canonical label of a column is the positive one.

        Raises:
            InputError: labels are missing, are not two, or none of them is known to be positive.
        """
        gone = named.missing(column)
        labels = named.labels(column)
        truths = [c for c in self.roles.get("truth", ()) if c != column]
        return positive_label(
            self.name,
            column,
            labels,
            declared=self.positive,
            others={x for c in truths for x in self.labels(c)} if len(labels) == 1 else (),
            missing=f"{gone:,} of {named.rows:,}" if gone else "",
        )

    # --- asking the engine --------------------------------------------------------------------------

    def _cells(
        self, columns: tuple[str, ...], score: AtLeast | None = None, weight: str | None = None
    ) -> Cells | None:
        """The cells of some columns, and of a threshold on a score; None where there are too many."""
        key = (columns, score, weight)
        if key not in self._counted:
            frame, extra = self.frame, []
            if score is not None:
                extra = [unused("decision", self._columns)]
                frame = frame.with_columns(decided(score).alias(extra[0]))
            self._counted[key] = self._grouped(frame, [*columns, *extra], MAX_CELLS, weight=weight)
        return self._counted[key]

    def distinct(self, column: str) -> dict[object, int] | None:
        """How many rows have each value of a column, ``None`` for missing; ``None`` where there are too many values."""
        truth = self.roles.get("truth", ())
        # With the outcome, as leaks are counted: the engine is asked once for both.
        cells = self._cells((column, truth[0]) if truth and truth[0] != column else (column,))
        if cells is None:
            return None
        found: dict[object, int] = {}
        for cell in cells:
            found[cell[0]] = found.get(cell[0], 0) + cell[-1]
        return found

    def _grouped(self, frame: Any, keys: list[str], limit: int, *, weight: str | None = None) -> Cells | None:
        self._known(*(k for k in keys if not k.startswith("_rai_")), *([weight] if weight else []))
        return grouped(frame, keys, limit=limit, weight=weight, name=self.name, untyped=self.untyped)

    def _binned(
        self, by: tuple[str, ...], score: str, truth: str | None, bins: int, *, checked: bool = True
    ) -> tuple[Array, tuple[str, ...]]:
        import narwhals as nw

        self._known(score)
        value = nw.col(score).cast(nw.Float64)
        place = unused("bin", self._columns)
        scaled = (value * float(bins)).floor()
        frame = self.frame.with_columns(
            nw.when((value >= 0) & (value <= 1)).then(scaled).otherwise(nw.lit(-1.0)).alias(place)
        )
        columns = (*dict.fromkeys((*by, *([truth] if truth else []))),)
        cells = self._grouped(frame, [*columns, place], MAX_BINNED_CELLS)
        if cells is None:
            self._too_many(columns)
        named = self._named(columns, cells)
        if checked and (bad := sum(c[-1] for c in cells if c[-2] is None or not c[-2] >= 0)):
            self._bad_scores(score, bad, named.rows)
        groups, of = named.groups(by)
        positive = self.positive_among(truth, named) if truth else ""
        outcomes = named.of(truth) if truth else [""] * len(cells)
        out = np.zeros((len(groups), 2, bins), dtype=np.int64)
        for cell, group, outcome in zip(cells, of, outcomes, strict=True):
            if cell[-2] is not None and cell[-2] >= 0:
                out[group, int(bool(truth) and outcome == positive), min(int(cell[-2]), bins - 1)] += cell[-1]
        return out, tuple(joined(parts) if parts else "all" for parts in groups)

    def _fetch(self, frame: Any) -> Cells:
        return fetch(frame, name=self.name, untyped=self.untyped)

    # --- naming and checking what came back -----------------------------------------------------------

    def _named(self, columns: tuple[str, ...], cells: Cells) -> NamedCells:
        return NamedCells(table=self.name, columns=columns, cells=cells, untyped=self.untyped)

    def _known(self, *columns: str) -> None:
        for column in columns:
            if column not in self._columns:
                what = f"{self.name}: column"
                raise InputError.unknown(what, column, self._columns)

    def _bad_scores(self, column: str, bad: int, rows: int) -> NoReturn:
        msg = (
            f"{self.name}: {column!r} is missing, not a number or outside 0 to 1 in {bad:,} of {rows:,} rows"
        )
        raise InputError(msg)

    def _too_many(self, columns: Sequence[str]) -> NoReturn:
        """Say which column it is that has a value of its own for nearly every row."""
        import narwhals as nw

        found = self._fetch(self.frame.select(*(nw.col(c).n_unique().alias(c) for c in columns)))[0]
        counts = dict(zip(columns, map(int, found), strict=True))
        worst = max(counts, key=counts.__getitem__)
        if worst in self.roles.get("truth", ()) or worst in self.roles.get("prediction", ()):
            msg = f"{self.name}: {worst!r} must have two labels, it has {counts[worst]:,}"
            raise InputError(msg)
        check_groups(self.name, worst, range(counts[worst]), self.rows)
        msg = f"{self.name}: {', '.join(columns)} make more cells than the {MAX_CELLS:,} that are counted"
        raise InputError(msg)
