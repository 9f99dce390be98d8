"""How do a file's columns become arrays? As numbers or as codes of a dictionary, never a million Python strings.

DuckDB reads every value once. A first look says what each column seems to be; a column that turns out to hold
something else further down is read again, as text, so that the look decides about speed and never about values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.tables.arrow import Fetched, fetch_numbers
from rai_bigmodel.tables.names import written

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Array = np.ndarray

LOOKED_AT, GLANCED_AT = 8_000, 2_048
MOST_VALUES = 2_000
"""Text of more different values than that, among the first rows, is read as it stands."""
FEW_VALUES = 8
_NUMBER = re.compile(r"(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL\(.*\))$")
PLAIN_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$", re.ASCII)


class Dictionary(NamedTuple):
    """A column, its codes ``(rows,)``, and the values that they stand for."""

    column: Array
    codes: Array
    values: list[object]


def columns_of(
    engine: Any,
    source: str,
    types: Mapping[str, str],
    *,
    named: Collection[str],
    kept: Collection[str],
    odd: bool,
    rows: int = 0,
    typed: Callable[[Collection[str]], str] | None = None,
    glance: str = "",
) -> tuple[dict[str, Array], dict[str, Dictionary]]:
    """Columns as a table keeps them: float64 with NaN for missing, or objects with None for missing.

    Args:
        engine: a DuckDB connection.
        source: what to read from, as SQL.
        types: column → its type in the source.
        named: columns whose values are names; they become numbers only where the text is a number's own, see
            `names.written`.
        kept: of those, the ones whose text stays text whatever it looks like.
        odd: whether the source may hold ``_`` or ``+-``, which DuckDB reads as parts of numbers.
        rows: about how many there are.
        glance: the same source for a look at its first rows; `source` itself where there is no quicker one.
        typed: of a csv, columns → the same source with these read as numbers at once; an error where one is not.

    Returns:
        The columns, and the dictionaries of those that were read by one.
    """
    text = {c: _as_text(c, types[c], named=c in named) for c in types}
    words = [c for c in types if text[c] is not None]
    # Of everything that is not a number already: does it look like numbers, or which values does it have?
    numbers, values, holes = _look(engine, glance or source, {c: str(text[c]) for c in words}, named=named)
    asked = {}
    for c, expression in text.items():
        if expression is None:
            asked[c] = _as_number(c, types[c])
        elif c in numbers:
            asked[c] = _told(expression, odd=odd)
        elif c in values:
            asked[c] = _coded(expression, values[c], holes=c in holes)
    found = None
    if typed and numbers and not odd:
        # No text is made of what is a number: a third of the time that reading takes.
        at_once = asked | {c: quoted_name(c) for c in numbers}
        found = _fetch_typed(engine, typed(numbers), at_once, rows=rows)
    if found is None:
        found = _fetch(engine, source, asked, rows=rows)
    # What the first rows did not show: no number after all, or a value that was not seen yet.
    wrong = [c for c in numbers if not _all(np.isfinite(found[c].values), found[c].gone)]
    wrong += [
        c
        for c in values
        if (not _all(found[c].values >= 0, found[c].gone) if c in holes else found[c].gone is not None)
    ]
    as_it_is = [c for c in types if c not in asked or c in wrong]
    texts = _fetch_texts(engine, source, {c: str(text[c]) for c in as_it_is})
    columns: dict[str, Array] = {}
    dictionaries: dict[str, Dictionary] = {}
    for c in types:
        if c in texts:
            columns[c] = _array(texts[c], named=c in named, kept=c in kept)
        elif c in values:
            codes, gone = found[c]
            if gone is not None:
                codes = codes.astype(np.int32)
                codes[gone] = len(values[c])
            levels = _array([*values[c], *([] if gone is None else [None])], named=c in named, kept=c in kept)
            columns[c] = levels[codes]
            dictionaries[c] = Dictionary(columns[c], codes, levels.tolist())
        else:
            columns[c], gone = found[c]
            if gone is not None:
                columns[c][gone] = np.nan
    return columns, dictionaries


def _all(fine: Array, gone: Array | None) -> bool:
    """Whether every row is fine that has a value."""
    return bool((fine if gone is None else fine | gone).all())


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """The name of a column as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _fetch(engine: Any, source: str, asked: Mapping[str, str], *, rows: int) -> dict[str, Fetched]:
    """Expressions that are numbers, by name."""
    if not asked:
        return {}
    select = ", ".join(f"{expression} AS {quoted_name(c)}" for c, expression in asked.items())
    return fetch_numbers(engine.sql(f"SELECT {select} FROM {source}"), rows=rows)  # noqa: S608 - quoted


def _fetch_typed(
    engine: Any, source: str, asked: Mapping[str, str], *, rows: int
) -> dict[str, Fetched] | None:
    """As `_fetch`; ``None`` where a column that looked like numbers is none further down."""
    import duckdb

    try:
        return _fetch(engine, source, asked, rows=rows)
    except duckdb.Error:
        return None  # what is wrong, if anything is, shows when the columns are read as text


def _fetch_texts(engine: Any, source: str, asked: Mapping[str, str]) -> dict[str, list[str | None]]:
    """Expressions that are texts, by name."""
    if not asked:
        return {}
    select = ", ".join(f"{expression} AS {quoted_name(c)}" for c, expression in asked.items())
    found = engine.sql(f"SELECT {select} FROM {source}").fetchnumpy()  # noqa: S608 - quoted
    out = {}
    for c, each in found.items():
        gone = np.ma.getmaskarray(each).tolist()
        out[c] = [
            None if missing else v for v, missing in zip(np.ma.getdata(each).tolist(), gone, strict=True)
        ]
    return out


def _as_text(name: str, kind: str, *, named: bool) -> str | None:
    """How a column is asked for as text; ``None`` where it is a number. A fraction that is to be a name stays one."""
    if kind == "BOOLEAN":
        return f"{quoted_name(name)}::VARCHAR" if named else None
    if _NUMBER.match(kind) and not (named and "INT" in kind):
        return None
    return quoted_name(name) if kind == "VARCHAR" else f"{quoted_name(name)}::VARCHAR"


def _as_number(name: str, kind: str) -> str:
    return f"{quoted_name(name)}{'::INTEGER' if kind == 'BOOLEAN' else ''}::DOUBLE"


def _look(
    engine: Any, source: str, text: Mapping[str, str], *, named: Collection[str]
) -> tuple[set[str], dict[str, list[str]], set[str]]:
    """Columns whose first rows are numbers, the values of those that have few, and which of these have holes."""
    if not text:
        return set(), {}, set()
    # The first rows are read once, and asked twice: some, whether they are numbers; all, which values there are.
    first = "_rai_first_rows"
    columns = ", ".join(f"{e} AS {quoted_name(c)}" for c, e in text.items())
    engine.execute(f"CREATE TEMP TABLE {first} AS SELECT {columns} FROM {source} LIMIT {LOOKED_AT}")  # noqa: S608 - quoted
    free = [c for c in text if c not in named]
    numbers: set[str] = set()
    if free:
        asked = ", ".join(f"count({c}), count(TRY_CAST({c} AS DOUBLE))" for c in map(quoted_name, free))
        some = f"(SELECT * FROM {first} LIMIT {GLANCED_AT})"  # noqa: S608 - our own name
        counts = engine.sql(f"SELECT {asked} FROM {some}").fetchall()[0]  # noqa: S608 - quoted
        numbers = {c for i, c in enumerate(free) if counts[2 * i] and counts[2 * i] == counts[2 * i + 1]}
    words = [c for c in text if c not in numbers]
    if not words:
        return numbers, {}, set()
    asked = ", ".join(f"count({c}), list(DISTINCT {c})" for c in map(quoted_name, words))
    rows, *found = engine.sql(f"SELECT count(*), {asked} FROM {first}").fetchall()[0]  # noqa: S608 - quoted
    values, holes = {}, set()
    for i, c in enumerate(words):
        there, each = found[2 * i : 2 * i + 2]
        if there and len(each) <= MOST_VALUES:
            values[c] = sorted(v for v in each if v is not None)
            holes |= {c} if there < rows else set()
    return numbers, values, holes


def _told(expression: str, *, odd: bool) -> str:
    """A number; null where there is nothing, NaN where there is something else."""
    number = f"TRY_CAST({expression} AS DOUBLE)"
    if odd:
        strange = f"contains({expression}, '_') OR contains({expression}, '+-')"
        number = f"CASE WHEN {strange} THEN NULL ELSE {number} END"
    return f"coalesce({number}, CASE WHEN {expression} IS NULL THEN NULL ELSE 'nan'::DOUBLE END)"


def _coded(expression: str, values: list[str], *, holes: bool) -> str:
    """The place of a value among those seen.

    Null where there is nothing, −1 where there is another value; null for both where no holes were seen, which is
    quicker.
    """
    if len(values) <= FEW_VALUES:  # a few comparisons are quicker than looking a value up
        cases = " ".join(f"WHEN {quoted(value)} THEN {i}::UTINYINT" for i, value in enumerate(values))
        code = f"CASE {expression} {cases} END"
    else:
        kinds = ", ".join(map(quoted, values))
        code = f"enum_code(TRY_CAST({expression} AS ENUM({kinds})))"
    return (
        f"coalesce({code}::INTEGER, CASE WHEN {expression} IS NULL THEN NULL ELSE -1 END)" if holes else code
    )


def _array(texts: list[str | None], *, named: bool, kept: bool) -> Array:
    """Texts as numbers if every one that is there is written as one, else as they are."""
    distinct = {t for t in texts if t is not None}
    kind = "texts"
    if named and not kept:
        kind = written(distinct)
    elif distinct and not kept and all(map(PLAIN_NUMBER.match, distinct)):
        kind = "numbers"
    if kind == "numbers":
        return np.array([np.nan if t is None else float(t) for t in texts])
    out = np.empty(len(texts), dtype=object)
    out[:] = [None if t is None else t.lower() for t in texts] if kind == "booleans" else texts
    return out
