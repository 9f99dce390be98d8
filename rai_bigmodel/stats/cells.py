"""How many rows of each outcome have each score? All that ranking, calibration and thresholds need to know.

Of rows in memory the scores are their own, and nothing is lost. Of a histogram they are the middles of its bins,
and `width` says how far two scores that are called equal may lie apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.stats.counts import by_value, few_decimals, replace

if TYPE_CHECKING:
    Array = np.ndarray


MOST_CELLS = 4_000_000
"""Up to so many cells a table of all is quicker than sorting rows."""


class Cells(NamedTuple):
    """Rows of one group by their scores.

    Args:
        scores: ascending, each once ``(scores,)``.
        negatives, positives: rows of each outcome with each score, int64 ``(scores,)``; one at least.
        width: of the bins, where scores are the middles of bins; else 0.
    """

    scores: Array
    negatives: Array
    positives: Array
    width: float = 0.0

    @property
    def rows(self) -> Array:
        """Rows with each score."""
        total: Array = self.negatives + self.positives
        return total

    @property
    def n(self) -> int:
        """All rows."""
        return int(self.rows.sum())


def of_rows(scores: Array, truth: Array) -> Cells:
    """The cells of some rows.

    Args:
        scores: finite ``(rows,)``.
        truth: booleans ``(rows,)``.
    """
    values, rows, hits = by_value(np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=bool))
    return Cells(values, rows - hits, hits)


def of_groups(codes: Array, scores: Array, truth: Array, *, groups: int) -> list[Cells]:
    """The cells of each group.

    Args:
        codes: groups ``(rows,)``, counting from 0.
        scores, truth: as in `of_rows`.
    """
    levels, rank = ranked(scores)
    return of_ranks(codes, levels, rank, truth, groups=groups)


def ranked(scores: Array) -> tuple[Array, Array]:
    """The distinct scores, ascending, and the place of each row's among them ``(rows,)``."""
    if (coded := few_decimals(scores)) is not None:
        code, low, scale = coded
        occurs = np.bincount(code) > 0
        if not occurs.all():
            replace(code, np.cumsum(occurs) - 1)
        return (np.flatnonzero(occurs) + float(low)) / scale, code
    order = np.argsort(scores)
    ordered = scores[order]
    fresh = np.r_[False, ordered[1:] != ordered[:-1]][: len(ordered)]
    rank = np.empty(len(scores), dtype=np.int64)
    rank[order] = np.cumsum(fresh)
    return ordered[np.flatnonzero(np.r_[True, fresh[1:]][: len(ordered)])], rank


def of_ranks(codes: Array, levels: Array, rank: Array, truth: Array, *, groups: int) -> list[Cells]:
    """As `of_groups`, for scores that were ranked once for several groupings."""
    table = tabled(codes, rank, truth, groups=groups, levels=len(levels))
    if table is not None:
        return of_table(levels, table)
    size = max(len(levels), 1)
    keys = np.sort(_keys(codes, rank, truth, size))
    cell = keys >> 1
    starts = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]][: len(cell)])
    rows = np.diff(np.r_[starts, len(cell)])
    hits = np.add.reduceat(keys & 1, starts) if len(starts) else rows
    which = cell[starts]
    ends = np.searchsorted(which, np.arange(groups + 1) * size)
    found = []
    for i in range(groups):
        part = slice(ends[i], ends[i + 1])
        found.append(Cells(levels[which[part] - i * size], rows[part] - hits[part], hits[part]))
    return found


def tabled(codes: Array, rank: Array, truth: Array, *, groups: int, levels: int) -> Array | None:
    """Rows by group, outcome and score ``(groups, 2, levels)``; ``None`` where that would be too large a table."""
    size = max(levels, 1)
    if 2 * groups * size > MOST_CELLS:
        return None
    keys = codes.astype(np.int64)
    keys *= 2
    keys += truth
    keys *= size
    keys += rank
    return np.bincount(keys, minlength=2 * groups * size).reshape(groups, 2, size)


def _keys(codes: Array, rank: Array, truth: Array, size: int) -> Array:
    """One whole number for group, score and outcome of each row: those are sorted faster than rows are ordered."""
    keys = codes.astype(np.int64)  # in one place: memory touched for the first time costs more than sums
    keys *= size
    keys += rank
    keys *= 2
    keys += truth
    return keys


def of_table(levels: Array, table: Array) -> list[Cells]:
    """The cells of each group of a table as `tabled` gives it."""
    found = []
    for negatives, positives in table:
        there = np.flatnonzero(negatives + positives)
        found.append(Cells(levels[there], negatives[there], positives[there]))
    return found


def of_histogram(counts: Array) -> Cells:
    """The cells of one group of a histogram ``(2, bins)``: scores are the middles of bins that hold rows."""
    bins = counts.shape[1]
    there = np.flatnonzero(counts.sum(axis=0))
    return Cells((there + 0.5) / bins, counts[0, there], counts[1, there], 1 / bins)
