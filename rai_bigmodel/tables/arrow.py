"""How do a million numbers leave DuckDB without a copy of them in between? As Arrow's C data, batch by batch.

DuckDB hands a result over in batches through the Arrow C stream interface (a few C structs, which `ctypes` reads
without PyArrow); each batch is written to its place and given back, so that the next one is put where it was.
"""

from __future__ import annotations

import ctypes as c
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    Array = np.ndarray

TYPES = {"g": "f8", "l": "i8", "i": "i4", "s": "i2", "c": "i1", "L": "u8", "I": "u4", "S": "u2", "C": "u1"}
"""Arrow's letters for numbers that lie as NumPy's do."""


class Fetched(NamedTuple):
    """A column of numbers ``(rows,)``, and which rows have none: booleans ``(rows,)``, or ``None`` where all have."""

    values: Array
    gone: Array | None


class _Schema(c.Structure):
    """``struct ArrowSchema`` of the Arrow C data interface."""


class _Batch(c.Structure):
    """``struct ArrowArray``."""


class _Stream(c.Structure):
    """``struct ArrowArrayStream``."""

    get_schema: ClassVar[Any]
    get_next: ClassVar[Any]
    get_last_error: ClassVar[Any]


_Schema._fields_ = [
    ("format", c.c_char_p),
    ("name", c.c_char_p),
    ("metadata", c.c_char_p),
    ("flags", c.c_int64),
    ("n_children", c.c_int64),
    ("children", c.POINTER(c.POINTER(_Schema))),
    ("dictionary", c.POINTER(_Schema)),
    ("release", c.CFUNCTYPE(None, c.POINTER(_Schema))),
    ("private_data", c.c_void_p),
]
_Batch._fields_ = [
    ("length", c.c_int64),
    ("null_count", c.c_int64),
    ("offset", c.c_int64),
    ("n_buffers", c.c_int64),
    ("n_children", c.c_int64),
    ("buffers", c.POINTER(c.c_void_p)),
    ("children", c.POINTER(c.POINTER(_Batch))),
    ("dictionary", c.POINTER(_Batch)),
    ("release", c.CFUNCTYPE(None, c.POINTER(_Batch))),
    ("private_data", c.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", c.CFUNCTYPE(c.c_int, c.POINTER(_Stream), c.POINTER(_Schema))),
    ("get_next", c.CFUNCTYPE(c.c_int, c.POINTER(_Stream), c.POINTER(_Batch))),
    ("get_last_error", c.CFUNCTYPE(c.c_char_p, c.POINTER(_Stream))),
    ("release", c.CFUNCTYPE(None, c.POINTER(_Stream))),
    ("private_data", c.c_void_p),
]


def fetch_numbers(relation: Any, *, rows: int) -> dict[str, Fetched]:
    """All columns of a relation, each of a type of number.

    Args:
        relation: anything with ``__arrow_c_stream__``.
        rows: about how many there will be; memory for more is taken when they come.

    Raises:
        duckdb.Error: the relation cannot be read to its end.
        TypeError: a column is of another type.
    """
    capsule = relation.__arrow_c_stream__()
    pointer = c.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = c.c_void_p, [c.py_object, c.c_char_p]
    # The capsule releases the stream when it goes, so it must outlive the reading.
    stream = _Stream.from_address(pointer(capsule, b"arrow_array_stream"))
    kinds = _kinds(stream)
    values = {name: np.empty(rows, dtype=kind) for name, kind in kinds.items()}
    gone: dict[str, Array] = {}
    done = 0
    for batch in _batches(stream):
        end = done + batch.length
        for i, (name, column) in enumerate(values.items()):
            if end > len(column):
                column.resize(max(end, 2 * len(column)), refcheck=False)
            part = batch.children[i].contents
            column[done:end] = _numbers(part, 1, column.dtype)
            if part.null_count and part.buffers[0]:
                missing = ~_bits(part)
                if missing.any():
                    whole = gone.setdefault(name, np.zeros(len(column), dtype=bool))
                    if end > len(whole):
                        whole.resize(len(column), refcheck=False)
                    whole[done:end] = missing
        done = end
    out = {}
    for name, column in values.items():
        if name in gone:
            gone[name].resize(max(done, len(gone[name])), refcheck=False)
        out[name] = Fetched(column[:done], gone[name][:done] if name in gone else None)
    return out


def _kinds(stream: _Stream) -> dict[str, str]:
    """Column → its type."""
    schema = _Schema()
    _checked(stream, stream.get_schema(stream, schema))
    try:
        children = [schema.children[i].contents for i in range(schema.n_children)]
        found = {child.name.decode(): child.format.decode() for child in children}
    finally:
        schema.release(schema)
    if strange := [name for name, kind in found.items() if kind not in TYPES]:
        msg = f"{strange[0]!r} is no column of numbers but of Arrow's type {found[strange[0]]!r}"
        raise TypeError(msg)
    return {name: TYPES[kind] for name, kind in found.items()}


def _batches(stream: _Stream) -> Iterator[_Batch]:
    """Each batch, until the next is asked for."""
    while True:
        batch = _Batch()
        _checked(stream, stream.get_next(stream, batch))
        if not batch.release:
            return
        try:
            yield batch
        finally:
            batch.release(batch)


def _numbers(part: _Batch, which: int, kind: Any) -> Array:
    size = (part.offset + part.length) * np.dtype(kind).itemsize
    if not size:
        return np.empty(0, dtype=kind)
    content = (c.c_uint8 * size).from_address(part.buffers[which])
    return np.frombuffer(content, dtype=kind)[part.offset :]


def _bits(part: _Batch) -> Array:
    """Which rows of a batch have a value."""
    length = part.offset + part.length
    content = (c.c_uint8 * ((length + 7) // 8)).from_address(part.buffers[0])
    there = np.unpackbits(np.frombuffer(content, dtype=np.uint8), count=length, bitorder="little")
    return there[part.offset :].view(bool)


def _checked(stream: _Stream, code: int) -> None:
    if code:
        import duckdb

        said = stream.get_last_error(stream) or b"the stream broke"
        raise duckdb.Error(said.decode(errors="replace"))
