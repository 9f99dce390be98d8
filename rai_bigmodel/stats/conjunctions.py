"""How often does something happen at each combination of two or of three columns' codes?

Columns are taken in twos: rows are counted once for three such blocks, which holds eight sets of three columns, and
each of them is a sum over the table. Counts are whole numbers, exact in doubles.
"""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Array = np.ndarray
    Counted = tuple[tuple[int, ...], Array]

MOST_CELLS = 100_000
"""A table of more cells costs more than counting each set of columns by itself."""


class _Block(NamedTuple):
    """One column or two.

    Args:
        columns: which; positions of the columns counted.
        sizes: how many codes each has.
        codes: of each row, the combination of their codes ``(rows,)``, int64.
        margins: ``(combinations, Σ sizes)``: 1 where a combination has the code of a column.
    """

    columns: tuple[int, ...]
    sizes: tuple[int, ...]
    codes: Array
    margins: Array

    @classmethod
    def of(cls, columns: tuple[int, ...], codes: Sequence[Array], sizes: Sequence[int]) -> _Block:
        joint = codes[columns[0]].astype(np.int64)
        for i in columns[1:]:
            joint = joint * sizes[i] + codes[i]
        shape = tuple(sizes[i] for i in columns)
        each = np.unravel_index(np.arange(math.prod(shape)), shape)
        margins = np.concatenate([np.eye(size)[code] for size, code in zip(shape, each, strict=True)], axis=1)
        return cls(columns, shape, joint, margins)

    @property
    def size(self) -> int:
        return math.prod(self.sizes)

    def parts(self) -> list[tuple[int, slice]]:
        """Each column, and where its codes stand among the margins."""
        ends = np.cumsum(self.sizes).tolist()
        starts = [end - size for end, size in zip(ends, self.sizes, strict=True)]
        return [(c, slice(a, b)) for c, a, b in zip(self.columns, starts, ends, strict=True)]


class _Rows(NamedTuple):
    """Whether it happened, as 0 and 1 ``(rows,)``, and how many rows each stands for, where these are cells."""

    first: Array
    weights: Array | None

    def by_cell(self, cell: Array, cells: int) -> Array:
        """Rows of each cell in which it did not and did happen ``(2, cells)``; `cell` has that as its first digit."""
        return np.bincount(cell, self.weights, minlength=2 * cells).reshape(2, cells)

    def crossed(self, a: _Block, b: _Block) -> Array:
        """Rows by whether it happened and by the combinations of two blocks."""
        cell = (self.first * a.size + a.codes) * b.size + b.codes
        return self.by_cell(cell, a.size * b.size).reshape(2, a.size, b.size).astype(np.float64)


def pairs(
    codes: Sequence[Array], sizes: Sequence[int], happened: Array, weights: Array | None = None
) -> Iterator[Counted]:
    """Each set of two columns, and the rows in which it did not and did happen ``(2, combinations)``, int64.

    Args:
        codes: of each column ``(rows,)``, from 0 to its size − 1.
        sizes: how many codes each column has.
        happened: booleans ``(rows,)``.
        weights: how many rows each of them stands for, whole numbers ``(rows,)``.
    """
    blocks, rows = _blocks(codes, sizes), _Rows(happened.astype(np.int64), weights)
    for one in blocks:
        if len(one.columns) == 2:
            yield one.columns, _plain(rows.by_cell(rows.first * one.size + one.codes, one.size))
    for a, b in combinations(blocks, 2):
        if 2 * a.size * b.size > MOST_CELLS:
            yield from (_alone(some, codes, sizes, rows) for some in product(a.columns, b.columns))
            continue
        both = a.margins.T @ (rows.crossed(a, b) @ b.margins)
        for (i, at), (j, to) in product(a.parts(), b.parts()):
            yield (i, j), _plain(both[:, at, to])


def triples(
    codes: Sequence[Array], sizes: Sequence[int], happened: Array, weights: Array | None = None
) -> Iterator[Counted]:
    """The same of each set of three columns."""
    blocks, rows = _blocks(codes, sizes), _Rows(happened.astype(np.int64), weights)
    for p, a in enumerate(blocks):
        for q, b in enumerate(blocks[p + 1 :], p + 1):
            if 2 * a.size * b.size > MOST_CELLS:
                inside = combinations((*a.columns, *b.columns), 3)
                yield from (_alone(some, codes, sizes, rows) for some in inside)
            else:
                yield from _two_of_one(a, b, rows.crossed(a, b))
            prefix = (rows.first * a.size + a.codes) * b.size + b.codes
            for c in blocks[q + 1 :]:
                if 2 * a.size * b.size * c.size > MOST_CELLS:
                    each = product(a.columns, b.columns, c.columns)
                    yield from (_alone(some, codes, sizes, rows) for some in each)
                else:
                    yield from _one_of_each(a, b, c, prefix, rows)


def _two_of_one(a: _Block, b: _Block, whole: Array) -> Iterator[Counted]:
    """Sets of three columns of two blocks."""
    if len(a.columns) == 2:
        right = whole @ b.margins
        for k, by in b.parts():
            yield (*a.columns, k), _plain(right[:, :, by])
    if len(b.columns) == 2:
        left = a.margins.T @ whole
        for i, at in a.parts():
            yield (i, *b.columns), _plain(left[:, at, :])


def _one_of_each(a: _Block, b: _Block, c: _Block, prefix: Array, rows: _Rows) -> Iterator[Counted]:
    """Sets of one column of each of three blocks.

    Args:
        prefix: of each row, whether it happened and the combinations of the first two.
    """
    cells = a.size * b.size * c.size
    cell = prefix * c.size
    cell += c.codes
    whole = rows.by_cell(cell, cells).astype(np.float64).reshape(2 * a.size, b.size, c.size)
    third = b.margins.T @ (whole @ c.margins)
    table = (a.margins.T @ third.reshape(2, a.size, -1)).reshape(2, -1, *third.shape[1:])
    for (i, at), (j, to), (k, by) in product(a.parts(), b.parts(), c.parts()):
        yield (i, j, k), _plain(table[:, at, to, by])


def _alone(some: tuple[int, ...], codes: Sequence[Array], sizes: Sequence[int], rows: _Rows) -> Counted:
    """One set of columns, where a table of blocks would be too large."""
    cell = rows.first
    for i in some:
        cell = cell * sizes[i] + codes[i]
    return some, _plain(rows.by_cell(cell, math.prod(sizes[i] for i in some)))


def _blocks(codes: Sequence[Array], sizes: Sequence[int]) -> list[_Block]:
    which = range(len(codes))
    return [_Block.of(tuple(which[i : i + 2]), codes, sizes) for i in range(0, len(codes), 2)]


def _plain(counts: Array) -> Array:
    return counts.reshape(2, -1).astype(np.int64)
