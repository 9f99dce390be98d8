"""In which subgroups does something happen more often? Every conjunction of up to three conditions is counted.

Looking everywhere finds something always; so what is found here is a candidate, to be confirmed on other rows:
`more_than_chance` and `benjamini_yekutieli` do that.
"""

from __future__ import annotations

import functools
import math
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.stats import special

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    columns: Sequence[Column], happened: Array, *, depth: int = 3, least: int = 30, most: int = 20
) -> list[Slice]:
    """The slices in which something happens most surely more often than outside, the surest first.

    Ordered by the gap less z standard errors, z = √(2 ln m): about what the luckiest of m slices reaches where
    nothing differs. More conditions make more slices, so each must be worth its words; neither a handful of rows
    nor a sliver of a difference comes first. A slice of which more than half lies in slices before it is left
    out: it says little that is new.

    Args:
        happened: booleans ``(rows,)``.
        depth: how many conditions at most, 1 to 3.
        least: rows that a slice holds at least; at most it holds half of them.
        most: how many to give.
    """
    alone = _of_size([(i,) for i in range(len(columns))], columns, happened, least=least)
    best = dict.fromkeys(range(len(columns)), -np.inf)
    for one in alone:
        best[one.conditions[0][0]] = max(best[one.conditions[0][0]], one.strength)
    order = sorted(best, key=lambda i: (-best[i], i))
    found = alone
    for size, reach in ((2, PAIRED), (3, TRIPLED)):
        if size <= depth:
            which = list(combinations(sorted(order[:reach]), size))
            found = found + _of_size(which, columns, happened, least=least)
    found.sort(key=lambda s: (-s.strength, len(s.conditions), s.conditions))
    return _unlike(found, columns, most)


def _of_size(
    which: list[tuple[int, ...]], columns: Sequence[Column], happened: Array, *, least: int
) -> list[Slice]:
    """The best slices over each of these sets of columns."""
    cells = sum(math.prod(len(columns[i].words) - 1 for i in some) for some in which)
    z = float(np.sqrt(2 * np.log(max(cells, 2))))
    codes = {i: columns[i].codes.astype(np.int64) for i in {i for some in which for i in some}}
    counted: dict[tuple[int, ...], list[tuple[tuple[int, ...], Array]]] = {}
    known: tuple[int, ...] = (-1,)
    prefix = happened
    cell = np.empty(len(happened), dtype=np.int64)
    for some in which:
        if known != some[:-1]:
            # What happened is the first digit of a cell; sets that differ in their last column share all digits before.
            known, prefix = some[:-1], happened.astype(np.int64)
            for i in known:
                prefix *= len(columns[i].words)
                prefix += codes[i]
        np.multiply(prefix, len(columns[some[-1]].words), out=cell)
        cell += codes[some[-1]]
        shape = tuple(len(columns[i].words) for i in some)
        both = np.bincount(cell, minlength=2 * math.prod(shape)).reshape(2, -1)
        counted.setdefault(shape, []).append((some, both))
    found: list[Slice] = []
    for shape, sets in counted.items():
        for start in range(0, len(sets), AT_ONCE):
            found += _best(sets[start : start + AT_ONCE], shape, least=least, z=z)
    return found


def _best(
    sets: list[tuple[tuple[int, ...], Array]], shape: tuple[int, ...], *, least: int, z: float
) -> list[Slice]:
    """The best slices of each of several sets of columns that have as many codes each.

    Args:
        sets: the columns, and rows in which it did not happen and in which it did, of each combination of their
            codes ``(2, combinations)``.
        shape: how many codes each of the columns has.
    """
    both = np.stack([counts for _, counts in sets])
    rows, hits = both.sum(axis=1), both[:, 1]
    whole, all_hits = int(rows[0].sum()), int(hits[0].sum())
    strength = _strength(rows, hits, whole, all_hits, z=z)
    # What holds most of the rows is not a subgroup; its complement is, and is looked at by itself.
    strength[(rows < least) | (2 * rows > whole)] = -np.inf
    unnamed = np.zeros(shape, dtype=bool)
    for axis in range(len(shape)):
        unnamed[(slice(None),) * axis + (0,)] = True
    strength[:, unnamed.ravel()] = -np.inf
    order = np.argsort(-strength, axis=1, kind="stable")[:, :BEST_EACH]
    out = []
    for i, (which, _) in enumerate(sets):
        for c in order[i].tolist():
            if strength[i, c] > -np.inf:
                codes = [int(v) for v in np.unravel_index(c, shape)]
                conditions = tuple(zip(which, codes, strict=True))
                out.append(Slice(conditions, int(rows[i, c]), int(hits[i, c]), float(strength[i, c])))
    return out


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


def _unlike(found: list[Slice], columns: Sequence[Column], most: int) -> list[Slice]:
    kept: list[Slice] = []
    rows = len(columns[0].codes)
    # Rows as bits, eight in a byte: what two slices share is counted eight times as fast.
    covered = np.zeros((rows + 7) // 8, dtype=np.uint8)
    bits: dict[tuple[int, int], Array] = {}
    for one in found[:LOOKED_AT]:
        for i, code in one.conditions:
            if (i, code) not in bits:
                bits[i, code] = np.packbits(columns[i].codes == code)
        inside = functools.reduce(np.bitwise_and, [bits[condition] for condition in one.conditions])
        if int(_ONES[inside & covered].sum()) <= MOST_ALIKE * one.rows:
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
    x = np.arange(hits, min(rows, all_hits) + 1, dtype=float)

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
