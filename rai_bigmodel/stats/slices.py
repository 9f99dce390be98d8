"""In which subgroups does something happen more often? Every conjunction of up to three conditions is counted.

Looking everywhere finds something always; so what is found here is a candidate, to be confirmed on other rows:
`more_than_chance` and `benjamini_yekutieli` do that.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.stats import conjunctions, special

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Array = np.ndarray

PAIRED, TRIPLED = 60, 24
"""Columns, the strongest alone first, that conditions are paired and tripled over: work grows as their cube."""
BEST_EACH = 5
MOST_ALIKE = 0.5
LOOKED_AT = 2_000
AT_ONCE = 256
"""Sets of columns whose slices are compared together: few enough to stay in the processor's cache."""

_ONES = np.array([byte.bit_count() for byte in range(256)])
"""How many bits of each byte are set."""


class Column(NamedTuple):
    """One column as codes, and what each code means in words; code 0 is no condition that can be named."""

    name: str
    codes: Array
    words: tuple[str, ...]


class Slice(NamedTuple):
    """Rows that meet one to three conditions.

    Args:
        conditions: positions in the columns, and the code in each.
        rows, hits: of the rows it was found in, how many it holds and in how many the thing happens.
        strength: how much more often it happens inside than outside, less what the luckiest of as many slices
            would show by chance.
    """

    conditions: tuple[tuple[int, int], ...]
    rows: int
    hits: int
    strength: float

    def words(self, columns: Sequence[Column]) -> str:
        """The conditions, as a person says them."""
        return " and ".join(f"{columns[i].name} {columns[i].words[code]}" for i, code in self.conditions)

    def mask(self, columns: Sequence[Column] | Mapping[int, Column]) -> Array:
        """Which rows it holds, as booleans ``(rows,)``."""
        (first, its), *others = self.conditions
        inside: Array = columns[first].codes == its
        for i, code in others:
            inside &= columns[i].codes == code
        return inside


def strongest(
    columns: Sequence[Column],
    happened: Array,
    *,
    weights: Array | None = None,
    depth: int = 3,
    least: int = 30,
    most: int = 20,
) -> list[Slice]:
    """The slices in which something happens most surely more often than outside, the surest first.

    Ordered by the gap less z standard errors, z = √(2 ln m): about what the luckiest of m slices reaches where
    nothing differs. More conditions make more slices, so each must be worth its words; neither a handful of rows
    nor a sliver of a difference comes first. A slice of which more than half lies in slices before it is left
    out: it says little that is new.

    Args:
        happened: booleans ``(rows,)``.
        weights: how many rows each of them stands for, where these are cells: whole numbers ``(rows,)``.
        depth: how many conditions at most, 1 to 3.
        least: rows that a slice holds at least; at most it holds half of them.
        most: how many to give.
    """
    sizes = [len(c.words) for c in columns]
    codes = [c.codes for c in columns]
    alone = _best(_singles(codes, sizes, happened, weights), sizes, least=least)
    best = dict.fromkeys(range(len(columns)), -np.inf)
    for (i,), strength in zip(alone.which, alone.strength[:, 0].tolist(), strict=True):
        best[i] = strength
    order = sorted(best, key=lambda i: (-best[i], i))
    found = [alone]
    for size, reach, count in ((2, PAIRED, conjunctions.pairs), (3, TRIPLED, conjunctions.triples)):
        if size <= depth:
            used = sorted(order[:reach])
            counted = count([codes[i] for i in used], [sizes[i] for i in used], happened, weights)
            here = [(tuple(used[i] for i in which), both) for which, both in counted]
            found.append(_best(here, sizes, least=least))
    return _unlike(itertools.islice(_in_order(found), LOOKED_AT), columns, most, weights)


def _singles(
    codes: Sequence[Array], sizes: Sequence[int], happened: Array, weights: Array | None
) -> list[tuple[tuple[int, ...], Array]]:
    """Rows of each code of each column in which it did not and did happen."""
    first = happened.astype(np.int64)
    return [
        ((i,), np.bincount(first * size + of, weights, minlength=2 * size).reshape(2, size).astype(np.int64))
        for i, (of, size) in enumerate(zip(codes, sizes, strict=True))
    ]


class _Best(NamedTuple):
    """The best slices of each of many sets of columns, ``(sets, BEST_EACH)``; of strength −∞ where there are fewer.

    Args:
        which: the columns of each set.
        shapes: how many codes each of them has.
        cell: the combination of codes.
    """

    which: list[tuple[int, ...]]
    shapes: list[tuple[int, ...]]
    cell: Array
    rows: Array
    hits: Array
    strength: Array

    def slice(self, place: int) -> Slice:
        """One of them."""
        i, c = divmod(place, self.strength.shape[1])
        codes = [int(v) for v in np.unravel_index(int(self.cell[i, c]), self.shapes[i])]
        conditions = tuple(zip(self.which[i], codes, strict=True))
        return Slice(conditions, int(self.rows[i, c]), int(self.hits[i, c]), float(self.strength[i, c]))


def _in_order(found: Sequence[_Best]) -> Iterator[Slice]:
    """The strongest first; of equal ones that of fewer conditions, then that of the columns that come first."""
    strength = np.concatenate([one.strength.ravel() for one in found])
    starts = np.cumsum([0, *(one.strength.size for one in found)])
    order = np.argsort(-strength, kind="stable")
    order = order[strength[order] > -np.inf]
    ranked, start = strength[order], 0
    while start < len(order):
        end = start + AT_ONCE
        end += int(np.searchsorted(-ranked[end:], -ranked[end - 1], side="right")) if end < len(order) else 0
        places = order[start:end]
        which = np.searchsorted(starts, places, side="right") - 1
        made = [found[w].slice(p - starts[w]) for w, p in zip(which.tolist(), places.tolist(), strict=True)]
        yield from sorted(made, key=lambda s: (-s.strength, len(s.conditions), s.conditions))
        start = end


def _best(counted: Sequence[tuple[tuple[int, ...], Array]], sizes: Sequence[int], *, least: int) -> _Best:
    """The best slices of each of several sets of columns.

    Args:
        counted: the columns, and rows in which it did not happen and in which it did, of each combination of their
            codes ``(2, combinations)``.
        sizes: how many codes each column has.
    """
    which = [some for some, _ in counted]
    shapes = [tuple(sizes[i] for i in some) for some in which]
    cells = sum(math.prod(size - 1 for size in shape) for shape in shapes)
    z = float(np.sqrt(2 * np.log(max(cells, 2))))
    none = np.zeros((len(which), BEST_EACH), dtype=np.int64)
    out = _Best(which, shapes, none, none.copy(), none.copy(), np.full(none.shape, -np.inf))
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, shape in enumerate(shapes):
        alike.setdefault(shape, []).append(i)
    for shape, sets in alike.items():
        for start in range(0, len(sets), AT_ONCE):
            some = sets[start : start + AT_ONCE]
            _best_of_shape(np.stack([counted[i][1] for i in some]), shape, some, out, least=least, z=z)
    return out


def _best_of_shape(
    both: Array, shape: tuple[int, ...], sets: list[int], out: _Best, *, least: int, z: float
) -> None:
    """Those of sets whose columns have as many codes each, put to their places.

    Args:
        both: counts of each set ``(sets, 2, combinations)``.
    """
    rows, hits = both.sum(axis=1), both[:, 1]
    whole, all_hits = int(rows[0].sum()), int(hits[0].sum())
    strength = _strength(rows, hits, whole, all_hits, z=z)
    # What holds most of the rows is not a subgroup; its complement is, and is looked at by itself.
    strength[(rows < least) | (2 * rows > whole)] = -np.inf
    unnamed = np.zeros(shape, dtype=bool)
    for axis in range(len(shape)):
        unnamed[(slice(None),) * axis + (0,)] = True
    strength[:, unnamed.ravel()] = -np.inf
    each = np.arange(len(sets))
    for place in range(BEST_EACH):
        top = np.argmax(strength, axis=1)  # of equal ones the first
        for column, values in ((out.cell, top), (out.rows, rows[each, top]), (out.hits, hits[each, top])):
            column[sets, place] = values
        out.strength[sets, place] = strength[each, top]
        strength[each, top] = -np.inf


def _strength(rows: Array, hits: Array, whole: int, all_hits: int, *, z: float) -> Array:
    """The gap between inside and outside, less z standard errors; −∞ where it is no gap.

    The spread inside is that with one hit and one miss added, so that a few rows all alike are not taken for sure.
    """
    inside = (hits + 1) / (rows + 2)
    rest = np.maximum(whole - rows, 1)
    outside = (all_hits - hits) / rest
    spread = inside * (1 - inside) / (rows + 2) + outside * (1 - outside) / rest
    gap = hits / np.maximum(rows, 1) - outside
    strength: Array = np.where((rows < whole) & (gap > 0), gap - z * np.sqrt(spread), -np.inf)
    return strength


def _unlike(
    found: Iterable[Slice], columns: Sequence[Column], most: int, weights: Array | None
) -> list[Slice]:
    kept: list[Slice] = []
    rows = len(columns[0].codes)
    # Rows as bits, eight in a byte: what two slices share is counted eight times as fast.
    covered = np.zeros((rows + 7) // 8, dtype=np.uint8)
    bits: dict[tuple[int, int], Array] = {}

    def counted(both: Array) -> int:
        if weights is None:
            return int(_ONES[both].sum())
        return int(weights[np.unpackbits(both, count=rows).view(bool)].sum())

    for one in found:
        for i, code in one.conditions:
            if (i, code) not in bits:
                bits[i, code] = np.packbits(columns[i].codes == code)
        inside = functools.reduce(np.bitwise_and, [bits[condition] for condition in one.conditions])
        if counted(inside & covered) <= MOST_ALIKE * one.rows:
            kept.append(one)
            covered |= inside
            if len(kept) == most:
                break
    return kept


def more_than_chance(hits: int, rows: int, all_hits: int, whole: int) -> float:
    """The one-sided p-value that something happens in a slice no more often than outside (Fisher 1935, exact).

    Args:
        hits, rows: inside the slice.
        all_hits, whole: of all rows, those of the slice among them.
    """
    # Sixty standard deviations beyond the likeliest and what was seen, nothing is left to add.
    rate = all_hits / whole
    spread = math.sqrt(rows * rate * (1 - rate))
    last = max(hits, rows * rate) + 60 * spread + 60
    x = np.arange(hits, min(rows, all_hits, math.ceil(last)) + 1, dtype=float)

    def log_choose(n: float, k: Array | float) -> Array:
        value: Array = (
            special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - np.asarray(k) + 1)
        )
        return value

    # Draws that need more misses than there are do not exist.
    x = x[rows - x <= whole - all_hits]
    terms = log_choose(all_hits, x) + log_choose(whole - all_hits, rows - x) - log_choose(whole, rows)
    if not len(terms):
        return 0.0
    largest = terms.max()
    return float(min(1.0, np.exp(largest + np.log(np.sum(np.exp(terms - largest))))))


def benjamini_yekutieli(p: Sequence[float], *, rate: float) -> list[bool]:
    """Which hypotheses are rejected, with the false discovery rate held at `rate` (Benjamini and Yekutieli 2001).

    Under any dependence: slices overlap, and exclude one another, so that their p-values may move together or
    apart, which the milder rule of Benjamini and Hochberg 1995 does not allow for.
    """
    m = len(p)
    if not m:
        return []
    order = np.argsort(p, kind="stable")
    steps = np.arange(1, m + 1) * rate / (m * np.sum(1 / np.arange(1, m + 1)))
    below = np.flatnonzero(np.asarray(p)[order] <= steps)
    out = np.zeros(m, dtype=bool)
    out[order[: below[-1] + 1 if len(below) else 0]] = True
    return [bool(v) for v in out]
