"""How are rows counted by values and ranges of several columns at once, where they are? In one GROUP BY of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.subject import AtLeast
from rai_bigmodel.tables.columns import quoted, quoted_name
from rai_bigmodel.tables.engine import MAX_CELLS
from rai_bigmodel.tables.group_by import decided, fetch, grouped, unused
from rai_bigmodel.tables.named import NamedCells

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rai_bigmodel.subject import Array
    from rai_bigmodel.tables.engine import Frame

RANGED = 1_024
"""Ranges of equal width, by whose edges a column of more values than are counted is cut into quarters."""
MOST_COMPARED = 100_000_000
"""Values, rows times columns, up to which an engine is asked for its different rows."""
AT_ONCE = 10_000_000
"""So many values DuckDB compares at once."""
_FINITE = 1.7e308
_NUMBER = r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*"


class Told(NamedTuple):
    """By what one column tells rows apart: code i + 1 for value or range i, 0 for what is none of these.

    Args:
        values: of each code, the values as the engine has them; ``None`` is missing.
        cuts: upper ends of ranges, each belonging to the range below it; one more range lies above the last.
        missing: whether what is missing has a code of its own, behind those of the ranges.
    """

    column: str
    values: tuple[tuple[object, ...], ...] = ()
    cuts: tuple[float, ...] = ()
    missing: bool = False


class Counted(NamedTuple):
    """Cells of all columns and of whether the decision was wrong, in the order of their codes.

    Args:
        codes: of each column ``(columns, cells)``.
        wrong: booleans ``(cells,)``.
        rows: how many each cell holds, int64 ``(cells,)``.
    """

    codes: Array
    wrong: Array
    rows: Array


def numbers_among(frame: Frame, columns: Sequence[str]) -> set[str]:
    """The columns that hold numbers: by their type; of a csv, where everything that is there is written as one."""
    if not frame.untyped:
        kinds = frame.frame.collect_schema()
        return {c for c in columns if kinds[c].is_numeric()}
    if not columns:
        return set()
    asked = ", ".join(
        f"count({c}), count(*) FILTER (regexp_full_match({c}, {quoted(_NUMBER)}))"
        for c in map(quoted_name, columns)
    )
    found = frame.frame.to_native().aggregate(asked).fetchall()[0]
    return {c for i, c in enumerate(columns) if found[2 * i] and found[2 * i] == found[2 * i + 1]}


def typed(frame: Frame, numbers: Collection[str]) -> Any:
    """The rows as a Narwhals frame in which columns of a csv that hold numbers are numbers."""
    if not frame.untyped:
        return frame.frame
    import narwhals as nw

    native = frame.frame.to_native()
    asked = [
        f"TRY_CAST({quoted_name(c)} AS DOUBLE) AS {quoted_name(c)}"
        if c in numbers and kind == "VARCHAR"
        else quoted_name(c)
        for c, kind in zip(native.columns, map(str, native.types), strict=True)
    ]
    return nw.from_native(native.project(", ".join(asked)))


def ranged(frame: Frame, column: str) -> list[tuple[float, int]] | None:
    """Of a column of numbers, upper edges of ranges of equal width and how many rows lie in each, ascending.

    ``None`` where no two numbers differ.
    """
    import narwhals as nw

    rows = typed(frame, {column})
    value = nw.col(column).cast(nw.Float64)
    rows = rows.select(value.alias(column)).filter((value >= -_FINITE) & (value <= _FINITE))
    plain = nw.col(column)
    said: dict[str, Any] = {"name": frame.name, "untyped": frame.untyped}
    low, high = fetch(rows.select(plain.min().alias("low"), plain.max().alias("high")), **said)[0]
    step = 0.0 if low is None or high is None else (float(high) - float(low)) / RANGED
    if not 0 < step < float("inf"):
        return None
    place = ((plain - float(low)) / step).floor().alias("place")
    cells = grouped(rows.select(place), ["place"], limit=2 * RANGED, **said) or []
    return [(float(low) + step * (int(at) + 1), n) for at, n in sorted(cells)]


def counted(
    frame: Frame, told: Sequence[Told], *, numbers: Collection[str], truth: str, decision: str | AtLeast
) -> Counted | None:
    """Rows by the codes of several columns and by whether the decision was wrong, in one GROUP BY.

    ``None`` where there are too many cells.

    Args:
        numbers: columns that hold numbers (`numbers_among`).

    Raises:
        InputError: as `Frame.count`.
    """
    columns = frame.frame.collect_schema().names()
    codes = [unused(f"code{i}", columns) for i in range(len(told))]
    made = [
        _code(one, floats=one.column in numbers).alias(name) for one, name in zip(told, codes, strict=True)
    ]
    rows = typed(frame, {one.column for one in told if one.cuts})
    last = unused("decision", columns) if isinstance(decision, AtLeast) else decision
    if isinstance(decision, AtLeast):
        made.append(decided(decision).alias(last))
    keys = [*codes, *dict.fromkeys((truth, last))]
    cells = grouped(rows.with_columns(*made), keys, limit=MAX_CELLS, name=frame.name, untyped=frame.untyped)
    if cells is None:
        return None
    at = len(told)
    named = NamedCells(table=frame.name, columns=tuple(keys), cells=cells, untyped=frame.untyped)
    yes, outcomes = frame.positive_among(truth, named), named.of(truth)
    chosen = frame.selected(decision, named)
    found: dict[tuple[tuple[int, ...], bool], int] = {}
    for cell, outcome, positive in zip(cells, outcomes, chosen, strict=True):
        key = tuple(int(v) for v in cell[:at]), (outcome == yes) != positive
        found[key] = found.get(key, 0) + cell[-1]
    # In one order whatever the engine, so that what is drawn from the cells is the same.
    ordered = sorted(found)
    return Counted(
        np.array([key for key, _ in ordered], dtype=np.int64).reshape(-1, at).T,
        np.array([wrong for _, wrong in ordered], dtype=bool),
        np.array([found[key] for key in ordered], dtype=np.int64),
    )


def _code(told: Told, *, floats: bool) -> Any:
    import narwhals as nw

    value = nw.col(told.column)
    if told.cuts:
        number = value.cast(nw.Float64)
        code = nw.lit(len(told.cuts) + 1)
        for i in range(len(told.cuts) - 1, -1, -1):
            code = nw.when(number <= told.cuts[i]).then(nw.lit(i + 1)).otherwise(code)
        gone = number.is_null() | number.is_nan()
        return nw.when(gone).then(nw.lit(len(told.cuts) + 2 if told.missing else 0)).otherwise(code)
    code = nw.lit(0)
    for i, those in reversed(list(enumerate(told.values))):
        for one in those:
            same = value.is_null() if one is None else value == one
            if one is None and floats:
                same |= value.is_nan()
            code = nw.when(same).then(nw.lit(i + 1)).otherwise(code)
    return code


def different_rows(frame: Frame, columns: Sequence[str]) -> int | None:
    """How many different rows there are in some columns; ``None`` where that would take the engine too much.

    DuckDB compares a part of the rows at a time, so that its memory does not grow with them.

    Numbers of a csv are compared as numbers; what is missing is alike.
    """
    import duckdb
    import narwhals as nw

    if frame.rows * len(columns) > MOST_COMPARED:
        return None
    numbers = numbers_among(frame, columns)
    rows = typed(frame, numbers)
    kinds = rows.collect_schema()
    alike = [
        nw.when(~nw.col(c).is_nan()).then(nw.col(c) + 0.0).alias(c) if kinds[c].is_float() else nw.col(c)
        for c in columns
    ]
    rows, n = rows.select(*alike), unused("n", columns)
    native = rows.to_native()
    parts = [rows]
    if (
        isinstance(native, duckdb.DuckDBPyRelation)
        and (times := -(-frame.rows * len(columns) // AT_ONCE)) > 1
    ):
        # Equal rows have equal hashes: a part at a time, for the memory of one part.
        place = f"hash({', '.join(map(quoted_name, columns))}) % {times}"
        parts = [nw.from_native(native.filter(f"{place} = {i}")) for i in range(times)]
    told = (part.group_by(*columns).agg(nw.len().alias(n)).select(nw.len().alias(n)) for part in parts)
    return sum(int(fetch(one, name=frame.name, untyped=frame.untyped)[0][0]) for one in told)
