"""How does a file of rows become a cohort? Read by DuckDB, typed as it stands, nothing guessed away."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel.errors import InputError
from rai_bigmodel.files import visible
from rai_bigmodel.tables.columns import columns_of, quoted, quoted_name
from rai_bigmodel.tables.engine import Frame
from rai_bigmodel.tables.frames import NAMES, spread
from rai_bigmodel.tables.memory import Table

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence

    from rai_bigmodel.subject import Roles

MAX_COLUMNS = 5_000
IN_MEMORY = 256 << 20
"""Bytes of a csv, or of the columns that are read from parquet, up to which a file is read into memory."""
GLANCED_BYTES = 1 << 22
"""Of a csv whose first rows are looked at, so much is read at once; a line must fit in."""
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
    digest, odd, rows = _looked_through(path)
    with _connected() as engine:
        types, roles, wanted = _described(engine, source, path, roles)
        named = {*text, *(c for role in NAMES for c in roles.get(role, ()))}
        # A text of a parquet file is meant as text; a csv has nothing else.
        kept = {c for c in named if _kind(path) != "csv" and types[c].startswith(("VARCHAR", "ENUM"))}
        try:
            columns, dictionaries = columns_of(
                engine,
                source,
                {c: types[c] for c in wanted},
                named=named,
                kept=kept,
                odd=odd,
                rows=rows,
                typed=(lambda numbers: _source(path, numbers)) if _kind(path) == "csv" else None,
                glance=_source(path, buffer=GLANCED_BYTES) if _kind(path) == "csv" else "",
            )
        except duckdb.Error as error:
            raise _unreadable(path, error) from None
    if not len(next(iter(columns.values()))):
        msg = f"{path}: has no rows"
        raise InputError(msg)
    return Table(
        name=name or path.name,
        columns=columns,
        roles=roles,
        positive=positive,
        file_digest=digest,
        dictionaries=dictionaries,
    )


def open_table(
    path: str | os.PathLike[str],
    *,
    roles: Roles,
    positive: str = "",
    name: str = "",
    memory: int | None = None,
) -> Table | Frame:
    """A csv or parquet file, or a folder of parquet, as a cohort: in memory if it is small, else left in DuckDB.

    A file that is left is streamed in constant memory each time it is asked; only counts come out.

    Args:
        roles, positive: as in `read_table`.
        memory: how many bytes of a csv, or of the columns that are read from parquet, are still small (256 MiB).

    Raises:
        InputError: as `read_table`; what only shows when rows are read is said then.
    """
    import duckdb

    path = Path(path)
    source = _source(path)
    small = IN_MEMORY if memory is None else memory
    if _kind(path) == "csv" and path.stat().st_size <= small:
        return read_table(path, roles=roles, positive=positive, name=name)
    engine = _connected()
    _, spread_roles, wanted = _described(engine, source, path, roles)
    try:
        if _kind(path) != "csv":
            rows = engine.sql(f"SELECT count(*) FROM {source}").fetchall()[0][0]  # noqa: S608 - quoted
            if rows * len(wanted) * 8 <= small:
                engine.close()
                return read_table(path, roles=roles, positive=positive, name=name)
            if not rows:
                msg = f"{path}: has no rows"
                raise InputError(msg)
        numbers = {c for role in ("score", "weight") for c in spread_roles.get(role, ())}
        select = ", ".join(
            f"TRY_CAST({quoted_name(c)} AS DOUBLE) AS {quoted_name(c)}" if c in numbers else quoted_name(c)
            for c in wanted
        )
        # Keeping rows in order costs memory, and nobody asks a count which row came first.
        engine.execute("SET preserve_insertion_order = false")
        relation = engine.sql(f"SELECT {select} FROM {source}")  # noqa: S608 - names are quoted
    except duckdb.Error as error:
        raise _unreadable(path, error) from None
    import narwhals as nw

    return Frame(
        name=name or path.name,
        frame=nw.from_native(relation),
        roles=spread_roles,
        positive=positive,
        file_digest=_digest(path),
        untyped=_kind(path) == "csv",
    )


def digest_of(path: str | os.PathLike[str]) -> str:
    """The digest of a file of rows, or of a folder's shards.

    Raises:
        InputError: it is not there, or is no such file.
    """
    path = Path(path)
    _source(path)
    return _digest(path)


def _described(
    engine: Any, source: str, path: Path, roles: Roles
) -> tuple[dict[str, str], dict[str, tuple[str, ...]], list[str]]:
    """The types of a file's columns, the roles written out, and the columns that have one."""
    import duckdb

    engine.execute("SET enable_progress_bar = false")
    if _kind(path) == "csv":
        types = dict.fromkeys(_header(path)[0], "VARCHAR")  # as `_source` declares them
    else:
        try:
            described = engine.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608 - quoted
        except duckdb.Error as error:
            raise _unreadable(path, error) from None
        types = {row[0]: str(row[1]) for row in described}
    if len(types) > MAX_COLUMNS:
        msg = f"{path}: has {len(types):,} columns, at most {MAX_COLUMNS:,} are read"
        raise InputError(msg)
    roles = spread(roles, list(types), str(path))
    return types, roles, list(dict.fromkeys(c for columns in roles.values() for c in columns))


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: cannot be read as {_kind(path)} ({visible(str(error).splitlines()[0])[:200]})"
    )


def _digest(path: Path) -> str:
    """The digest of a file's bytes; of a folder's, in the order of the names."""
    if path.is_dir():
        shards = sorted(path.rglob("*.parquet"))
        lines = "".join(f"{_digest(p)} {p.relative_to(path).as_posix()}\n" for p in shards)
        return f"sha256:{hashlib.sha256(lines.encode('utf-8', 'surrogateescape')).hexdigest()}"
    with path.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"


def _kind(path: Path) -> str:
    return "a folder of parquet" if path.is_dir() else _ENDINGS.get(path.suffix.lower(), path.suffix)


def _source(path: Path, numbers: Collection[str] = (), *, buffer: int = 0) -> str:
    """The file as SQL reads from it; of a csv everything is text but `numbers`.

    Args:
        buffer: bytes of a csv that are read at once; 0 for as many as DuckDB takes.
    """
    if not path.exists():
        msg = f"{path}: no such file"
        raise InputError(msg)
    if path.is_dir():
        if not any(path.rglob("*.parquet")):
            msg = f"{path}: the folder holds no .parquet file"
            raise InputError(msg)
        return f"read_parquet({quoted(str(path / '**' / '*.parquet'))}, union_by_name = true)"
    kind = _ENDINGS.get(path.suffix.lower())
    if kind is None:
        msg = f"{path}: tables are read from .csv, .parquet or a folder of .parquet, not {path.suffix or 'this'}"
        raise InputError(msg)
    if path.stat().st_size == 0:
        msg = f"{path}: the file is empty"
        raise InputError(msg)
    if kind == "parquet":
        return f"read_parquet({quoted(str(path))})"
    header, separator = _header(path)
    kinds = {name: "DOUBLE" if name in numbers else "VARCHAR" for name in header}
    names = ", ".join(f"{quoted(name)}: '{kind}'" for name, kind in kinds.items())
    at_once = f", buffer_size = {buffer}" if buffer else ""
    # Everything as text first: what is a number is settled column by column, so "NA" is never lost. And nothing
    # guessed: a sniffer that meets a short row takes the file for one of a single column.
    return (
        f"read_csv({quoted(str(path))}, auto_detect = false, columns = {{{names}}}, header = true, "
        f"delim = {quoted(separator)}, quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false{at_once})"
    )


def _header(path: Path) -> tuple[list[str], str]:
    """The names of a csv's columns, and what separates them: of , ; tab and | the one that the first line has most of.

    DuckDB renames a repeated column; a reader of the audit could not tell which one was used, so it is refused.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            separator = max(",;\t|", key=lines.readline().count)
            lines.seek(0)
            header = next(csv.reader(lines, delimiter=separator), [])
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        msg = f"{path}: cannot be read as csv in UTF-8 ({visible(str(error))[:120]})"
        raise InputError(msg) from None
    if twice := sorted({c for c in header if c and header.count(c) > 1}):
        msg = f"{path}: the column {visible(twice[0])!r} stands twice in the header"
        raise InputError(msg)
    if len(header) > MAX_COLUMNS:
        msg = f"{path}: has {len(header):,} columns, at most {MAX_COLUMNS:,} are read"
        raise InputError(msg)
    return [name or f"column{i}" for i, name in enumerate(header)] or ["column0"], separator


def _looked_through(path: Path) -> tuple[str, bool, int]:
    """The digest, and of a csv whether it may hold what only DuckDB takes for a number (``1_000``, ``+-1``), and lines.

    The lines are about as many as its rows; of other files they are not counted.
    """
    if _kind(path) != "csv":
        return _digest(path), False, 0
    odd, whole, lines, looked, size = False, hashlib.sha256(), 1, 1, 0
    with path.open("rb") as content:
        whole.update(content.readline())
        for place, block in enumerate(iter(lambda: content.read(1 << 20), b"")):
            whole.update(block)
            odd = odd or b"_" in block or b"+" in block
            size += len(block)
            if place % 8 == 0:
                lines, looked = lines + block.count(b"\n"), looked + len(block)
    return f"sha256:{whole.hexdigest()}", odd, int(1.02 * lines * max(size / looked, 1.0)) + 1


def _connected() -> Any:
    """An engine of its own, with as many threads as the environment allows."""
    import os

    import duckdb

    engine = duckdb.connect(":memory:")
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(threads):
        engine.execute(f"SET threads = {int(threads)}")
    return engine
