"""What does each column of a file mean, and what becomes of it? Read, cleaned and decided upon, column by column."""

from __future__ import annotations

import bz2
import csv
import gzip
import importlib.util
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rai_bigmodel.subject import Array

MAX_BYTES = 1 << 30
"""Bytes that a packed file may unpack to: a small file that grows without end is refused."""


# --- what is decided of a column -----------------------------------------------------------------


class Column(NamedTuple):
    """What a column of the file means, and what becomes of it."""

    meaning: str
    treatment: Literal["feature", "sensitive", "truth", "out"]
    why: str = ""


def feature(meaning: str, why: str = "") -> Column:
    """A column that a model may read."""
    return Column(meaning, "feature", why)


def sensitive(meaning: str, why: str) -> Column:
    """A column that is kept for audits and never shown to a model."""
    return Column(meaning, "sensitive", why)


def out(meaning: str, why: str) -> Column:
    """A column that nobody is shown."""
    return Column(meaning, "out", why)


def left_out(columns: Mapping[str, Column], features: Iterable[str]) -> str:
    """In words: which columns were left out, and why."""
    reasons: dict[str, list[str]] = {}
    for name, column in columns.items():
        if column.treatment == "out" and name not in features:
            reasons.setdefault(column.why, []).append(name)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items())


# --- cleaning ------------------------------------------------------------------------------------


def without_code(values: Array, code: float) -> Array:
    """Numbers with NaN where a code stands for "unknown"."""
    return np.where(values == code, np.nan, values)


def named(values: Array, names: Mapping[float, str]) -> Array:
    """Codes as words ``(rows,)``, None where a code has no name or is missing."""
    return np.array([names.get(value) for value in values.tolist()], dtype=object)


def banded(values: Array, bands: Sequence[tuple[float, str]]) -> Array:
    """Numbers as the bands they lie in, as words ``(rows,)``; None where a number is missing.

    Args:
        bands: (upper end, name), from the lowest to the highest; a number at an end lies in the next band.
    """
    ends = [end for end, _ in bands]
    places = np.searchsorted(ends, values, side="right").tolist()  # NaN comes after all ends
    return np.array([bands[i][1] if i < len(bands) else None for i in places], dtype=object)


# --- reading -------------------------------------------------------------------------------------


def packaged(package: str, path: str, *, extra: str, feature: str) -> Path:
    """A file that an installed package ships, found without importing the package.

    Raises:
        MissingExtra: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        name = {"sklearn": "scikit-learn"}.get(package, package)
        raise MissingExtra(name, extra, feature)
    return Path(spec.origin).parent / path


def unpacked(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is called ``.gz`` or ``.bz2``.

    Raises:
        InputError: it is not there, is not packed as its name says, or unpacks to more than a gigabyte.
    """
    content = files.read_bytes(path)
    if path.suffix not in {".gz", ".bz2"}:
        return content
    try:
        raw = io.BytesIO(content)
        opened = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else bz2.BZ2File(raw)
        whole = opened.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path}: cannot be unpacked ({error})"
        raise InputError(msg) from None
    if len(whole) > MAX_BYTES:
        msg = f"{path}: unpacks to more than the {MAX_BYTES:,} bytes that are read"
        raise InputError(msg)
    return whole


def known_bytes(path: Path, digest: str, *, pin: str) -> bytes:
    """The unpacked bytes of a file whose columns were settled for one edition of it.

    Args:
        pin: what to install to have that edition.

    Raises:
        InputError: it is another edition.
    """
    content = unpacked(path)
    if (found := files.digest(content)) != digest:
        msg = (
            f"{path.name}: the installed edition ({found[:19]}…) is another than the one whose columns are "
            f"known here ({digest[:19]}…): pip install '{pin}'"
        )
        raise InputError(msg)
    return content


def texts_of(content: bytes, *, where: str) -> dict[str, list[str]]:
    """Column → its fields as they are written, of a csv in UTF-8 with a header.

    Raises:
        InputError: it is not UTF-8, has no row, names a column twice, or a row is longer or shorter than the header.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"{where}: not a csv in UTF-8 ({error})"
        raise InputError(msg) from None
    rows = [row for row in rows if row]
    if len(rows) < 2:
        msg = f"{where}: needs a header and at least one row, got {len(rows)} lines"
        raise InputError(msg)
    header = rows[0]
    if len(set(header)) < len(header):
        msg = f"{where}: names a column twice: {files.visible(', '.join(header))[:200]}"
        raise InputError(msg)
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            msg = f"{where}: row {number} has {len(row)} fields, the header {len(header)}"
            raise InputError(msg)
    return {name: list(fields) for name, fields in zip(header, zip(*rows[1:], strict=True), strict=True)}


def numbers_of(content: bytes, *, where: str) -> dict[str, Array]:
    """Column → float64 ``(rows,)`` of a csv of numbers with a header, NaN where a field is empty.

    Raises:
        InputError: as `texts_of`, or a field is not a number.
    """
    out = {}
    for name, fields in texts_of(content, where=where).items():
        try:
            out[name] = np.array([float(field or "nan") for field in fields])
        except ValueError as error:
            msg = f"{where}: the column {name!r} must hold numbers ({error})"
            raise InputError(msg) from None
    return out
