"""How does a file of rows become a cohort? Read by DuckDB, typed as it stands, nothing guessed away."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.files import visible
from rai_bigmodel.tables.memory import Table

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rai_bigmodel.subject import Roles

MAX_COLUMNS = 5_000
_ENDINGS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


def read_table(
    path: str | os.PathLike[str],
    *,
    roles: Roles,
    positive: str = "",
    text: Sequence[str] = (),
    name: str = "",
) -> Table:
    """A csv or parquet file, or a folder of parquet, as a table in memory.

    Only the columns that have a role are read. In a csv, an empty field is missing and everything else stays
    as it is written: "NA", "None" and "null" are values.

    Args:
        roles: role → columns; the role ``feature`` may be ``("*",)``: all columns without another role.
        positive: the outcome that counts as positive; needed where labels are not 0 and 1.
        text: columns kept as text whatever they look like (sensitive attributes, labels, ids).

    Raises:
        InputError: the file is not there, is empty, is not what its ending says, or lacks a column.
    """
    import duckdb

    path = Path(path)
    source = _source(path)
    with duckdb.connect(":memory:") as engine:
        engine.execute("SET enable_progress_bar = false")
        try:
            described = engine.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608 - quoted
        except duckdb.Error as error:
            msg = f"{path}: cannot be read as {_kind(path)} ({visible(str(error).splitlines()[0])[:200]})"
            raise InputError(msg) from None
        types = {row[0]: str(row[1]) for row in described}
        if len(types) > MAX_COLUMNS:
            msg = f"{path}: has {len(types):,} columns, at most {MAX_COLUMNS:,} are read"
            raise InputError(msg)
        roles = _spread(roles, types, path)
        wanted = list(dict.fromkeys(c for columns in roles.values() for c in columns))
        as_text = {*text, *roles.get("sensitive", ()), *roles.get("truth", ()), *roles.get("prediction", ())}
        select = ", ".join(_expression(c, types[c], text=c in as_text) for c in wanted)
        try:
            found = engine.sql(f"SELECT {select} FROM {source}").fetchnumpy()  # noqa: S608 - names are quoted
        except duckdb.Error as error:
            msg = f"{path}: cannot be read as {_kind(path)} ({visible(str(error).splitlines()[0])[:200]})"
            raise InputError(msg) from None
    columns = {c: _array(found[c], text=c in as_text) for c in wanted}
    if not len(next(iter(columns.values()))):
        msg = f"{path}: has no rows"
        raise InputError(msg)
    return Table(name=name or path.name, columns=columns, roles=roles, positive=positive)


def _kind(path: Path) -> str:
    return "a folder of parquet" if path.is_dir() else _ENDINGS.get(path.suffix.lower(), path.suffix)


def _source(path: Path) -> str:
    if not path.exists():
        msg = f"{path}: no such file"
        raise InputError(msg)
    if path.is_dir():
        if not any(path.rglob("*.parquet")):
            msg = f"{path}: the folder holds no .parquet file"
            raise InputError(msg)
        return f"read_parquet({_quoted(str(path / '**' / '*.parquet'))}, union_by_name = true)"
    kind = _ENDINGS.get(path.suffix.lower())
    if kind is None:
        msg = f"{path}: tables are read from .csv, .parquet or a folder of .parquet, not {path.suffix or 'this'}"
        raise InputError(msg)
    if path.stat().st_size == 0:
        msg = f"{path}: the file is empty"
        raise InputError(msg)
    if kind == "parquet":
        return f"read_parquet({_quoted(str(path))})"
    _refuse_repeated_header(path)
    # Everything as text first: what is a number is settled column by column, so "NA" is never lost.
    return (
        f"read_csv({_quoted(str(path))}, all_varchar = true, header = true, skip = 0, nullstr = '', "
        "allow_quoted_nulls = false, sample_size = -1)"
    )


def _refuse_repeated_header(path: Path) -> None:
    """DuckDB renames a repeated column; a reader of the audit could not tell which one was used."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            header = next(csv.reader(lines), [])
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        msg = f"{path}: cannot be read as csv in UTF-8 ({visible(str(error))[:120]})"
        raise InputError(msg) from None
    if twice := sorted({c for c in header if header.count(c) > 1}):
        msg = f"{path}: the column {visible(twice[0])!r} stands twice in the header"
        raise InputError(msg)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _column(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_NUMBERS = re.compile(r"(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL\(.*\))$")


def _expression(name: str, kind: str, *, text: bool) -> str:
    """A column as a number or as text; a fraction that is asked for as text stays one, to be written canonically."""
    column = _column(name)
    if _NUMBERS.match(kind) and not (text and "INT" in kind):
        return f"{column}::DOUBLE AS {column}"
    if kind == "BOOLEAN" and not text:
        return f"{column}::INTEGER::DOUBLE AS {column}"
    return f"{column}::VARCHAR AS {column}"


def _spread(roles: Roles, types: dict[str, str], path: Path) -> dict[str, tuple[str, ...]]:
    out = {role: tuple(columns) for role, columns in roles.items() if columns}
    if out.get("feature") == ("*",):
        taken = {c for role, columns in out.items() if role != "feature" for c in columns}
        out["feature"] = tuple(c for c in types if c not in taken)
    for role, columns in out.items():
        for column in columns:
            if column not in types:
                what = f"{path}: column for {role}"
                raise InputError.unknown(what, column, types)
    return out


def _array(values: np.ndarray, *, text: bool) -> np.ndarray:
    """DuckDB's array as the table keeps it: float64 with NaN, or objects with None.

    Args:
        text: whether the values are names; then they become numbers only where the text is a number's own
            (``1`` and ``1.0`` are, ``01`` and ``1e3`` are not).
    """
    plain, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    if plain.dtype.kind == "f":
        return np.where(mask, np.nan, plain)
    texts = [None if gone or v is None else v for v, gone in zip(plain.tolist(), mask.tolist(), strict=True)]
    numbers = _numbers(texts, exact=text)
    if numbers is not None:
        return numbers
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    return out


_PLAIN = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$", re.ASCII)
_EXACT = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,6})?$", re.ASCII)


def _numbers(texts: list[str | None], *, exact: bool) -> np.ndarray | None:
    """The column as numbers if every value that is there is written as one."""
    pattern = _EXACT if exact else _PLAIN
    distinct = {t for t in texts if t is not None}
    if not distinct or not all(pattern.match(t) for t in distinct):
        return None
    return np.array([np.nan if t is None else float(t) for t in texts])
