"""How many rows are copies of another? Told apart by 64-bit hashes, and equal hashes by the rows themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray

_ODD = np.uint64(0x9E3779B97F4A7C15)
_OTHER = np.uint64(0xBF58476D1CE4E5B9)
_BLOCK = 1 << 14
_SHIFT = np.uint64(29)
FIRST = 4
"""So many columns are looked at first."""


def distinct(columns: Sequence[Array]) -> int:
    """How many different rows there are.

    Args:
        columns: numbers or codes ``(rows,)``, one column at least; missing numbers are equal to one another.
    """
    rows = len(columns[0])
    if len(columns) > FIRST + 1:
        # Rows that differ in a few columns are not looked at in the others.
        some = _alike(_hashes(_varied(columns)))
        if not len(some):
            return rows
        if 4 * len(some) < rows:
            return rows - len(some) + distinct([c[some] for c in columns])
    hashes = _hashes(columns)
    if not (np.diff(np.sort(hashes)) == 0).any():
        return rows
    order = np.argsort(hashes)
    alike = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    first, second = order[alike], order[alike + 1]
    if all((_bits(values[first]) == _bits(values[second])).all() for values in columns):
        return rows - len(alike)
    return len(set(_tuples(columns, np.arange(rows))))


def _varied(columns: Sequence[Array]) -> list[Array]:
    """A few columns, numbers first: these differ more often than codes."""
    return sorted(columns, key=lambda c: c.dtype.kind != "f")[:FIRST]


def _alike(hashes: Array) -> Array:
    """The rows whose hash is another row's as well."""
    ordered = np.sort(hashes)
    again = np.flatnonzero(ordered[1:] == ordered[:-1])
    if not len(again):
        return again
    return np.flatnonzero(np.isin(hashes, ordered[again]))


def shared(columns: Sequence[Array], others: Sequence[Array]) -> int:
    """How many rows also stand among the others.

    Args:
        columns, others: the same columns of two tables, as in `distinct`; codes stand for the same values in both.
    """
    a, b = _hashes(columns), _hashes(others)
    there = np.flatnonzero(np.isin(a, b))
    seen = set(_tuples(others, np.flatnonzero(np.isin(b, a[there]))))
    return sum(row in seen for row in _tuples(columns, there))


def _bits(values: Array) -> Array:
    """One pattern of bits for every NaN, and for both zeros."""
    if values.dtype.kind != "f":
        return values.astype(np.uint64)
    plain = values.astype(np.float64, copy=False) + 0.0
    gone = np.isnan(plain)
    if gone.any():
        plain[gone] = np.nan
    return plain.view(np.uint64)


def _hashes(columns: Sequence[Array]) -> Array:
    whole = np.zeros(len(columns[0]), dtype=np.uint64)
    for start in range(0, len(whole), _BLOCK):
        out = whole[start : start + _BLOCK]  # all columns of some rows at a time: they stay in the cache
        for values in columns:
            # Whole numbers as floats differ in their upper bits only, so those are folded down first.
            here = _bits(values[start : start + _BLOCK])
            out ^= here ^ (here >> np.uint64(32))
            out *= _ODD
            out ^= out >> _SHIFT
            out *= _OTHER
    return whole


def _tuples(columns: Sequence[Array], rows: Array) -> list[tuple[int, ...]]:
    return list(zip(*(_bits(values[rows]).tolist() for values in columns), strict=True))
