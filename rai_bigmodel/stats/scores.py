"""How well do scores rank and predict? Of one score for each row exactly; of any number of rows by histograms.

`ScoreCounts` holds integers only, so that parts counted anywhere, in any order, add up to the whole exactly.
What it costs is said beside each number: two scores in one bin cannot be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.cells import Cells, of_rows
from rai_bigmodel.stats.ladder import of_settled, widened, z_settled
from rai_bigmodel.stats.means import mean_of_sums, skewness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.evidence import Interval

    Array = np.ndarray

BINS = 4096
"""Bins from 0 to 1: a power of two, so that a score times their number is exact and lies in one bin for sure."""

# --- histograms of scores -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Group × truth × score, as integers: bin i covers [i/bins, (i+1)/bins), the last one its end as well.

    Args:
        groups: the canonical names.
        counts: rows ``(groups, 2, bins)``, int64; of the negatives first, then of the positives.
    """

    groups: tuple[str, ...]
    counts: Array

    @classmethod
    def of(
        cls, group: Array, truth: Array, score: Array, *, groups: int | Sequence[str], bins: int = BINS
    ) -> ScoreCounts:
        """Count rows.

        Args:
            group: codes ``(rows,)`` from 0 to ``len(groups) − 1``.
            truth: whether the outcome is positive, booleans or 0/1 ``(rows,)``.
            score: from 0 to 1 ``(rows,)``.
            groups: the names of the codes, or how many there are.
            bins: a power of two.

        Raises:
            InputError: lengths differ, a code is out of range, an outcome is not 0 or 1, a score is not
                from 0 to 1 (with the number of rows), or `bins` is not a power of two.
        """
        names = tuple(str(i) for i in range(groups)) if isinstance(groups, int) else tuple(groups)
        if bins < 2 or bins & (bins - 1):
            msg = f"bins must be a power of two, such as {BINS:,}, got {bins:,}"
            raise InputError(msg)
        group, truth, score = np.asarray(group), np.asarray(truth), np.asarray(score)
        if group.ndim != 1 or not group.shape == truth.shape == score.shape:
            msg = (
                "group, truth and score must be columns of one length, "
                f"got {group.shape}, {truth.shape} and {score.shape}"
            )
            raise InputError(msg)
        if group.size and not (group.min() >= 0 and group.max() < len(names)):
            msg = f"group codes must lie from 0 to {len(names) - 1}, got {group.min()} to {group.max()}"
            raise InputError(msg)
        # Smallest and largest first: two quick passes, and NaN fails both comparisons.
        if score.size and not (score.min() >= 0 and score.max() <= 1):
            bad = int((~((score >= 0) & (score <= 1))).sum())
            msg = f"scores must lie from 0 to 1, {bad:,} of {len(score):,} do not"
            raise InputError(msg)
        if truth.dtype != bool and truth.size and not ((truth == 0) | (truth == 1)).all():
            msg = f"truth must be 0 or 1 in every row, got {np.unique(truth)[:5].tolist()}"
            raise InputError(msg)
        cell = (score * bins).astype(np.int64)
        np.minimum(cell, bins - 1, out=cell)
        cell += truth.astype(np.int64) * bins
        if len(names) > 1:
            cell += group.astype(np.int64) * (2 * bins)
        counts = np.bincount(cell, minlength=2 * bins * len(names)).reshape(len(names), 2, bins)
        return cls(names, counts.astype(np.int64, copy=False))

    def __add__(self, other: ScoreCounts) -> ScoreCounts:
        """Groups of the same name are added; others stand side by side, in the order of their names.

        Raises:
            InputError: the two were counted in different numbers of bins.
        """
        if not isinstance(other, ScoreCounts):
            return NotImplemented
        if self.bins != other.bins:
            msg = f"scores counted in {self.bins:,} and in {other.bins:,} bins cannot be added"
            raise InputError(msg)
        if self.groups == other.groups:
            return ScoreCounts(self.groups, self.counts + other.counts)
        names = tuple(sorted({*self.groups, *other.groups}))
        counts = np.zeros((len(names), 2, self.bins), dtype=np.int64)
        for part in (self, other):
            np.add.at(counts, [names.index(g) for g in part.groups], part.counts)
        return ScoreCounts(names, counts)

    def __radd__(self, other: int) -> ScoreCounts:
        """So that ``sum`` can start from its 0."""
        return self if other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ScoreCounts)
            and self.groups == other.groups
            and np.array_equal(self.counts, other.counts)
        )

    def __hash__(self) -> int:
        return hash((self.groups, self.counts.tobytes()))

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return int(self.counts.shape[2])

    @property
    def total(self) -> ScoreCounts:
        """All groups as one."""
        return ScoreCounts(("all",), self.counts.sum(axis=0, keepdims=True))


class Bounded(NamedTuple):
    """Numbers from a histogram ``(groups,)``: those of the rows themselves lie within `error` of `value`.

    NaN where a group lacks one of the two outcomes.
    """

    value: Array
    error: Array


def binned_auc(counts: ScoreCounts) -> Bounded:
    """The area under the ROC curve of each group; pairs tied inside a bin count half and make up the error."""
    negatives, positives = (counts.counts[:, i].astype(float) for i in (0, 1))
    below = np.cumsum(negatives, axis=1) - negatives
    pairs = negatives.sum(axis=1) * positives.sum(axis=1)
    tied = (positives * negatives).sum(axis=1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return Bounded(((positives * below).sum(axis=1) + tied) / pairs, tied / pairs)


def binned_tpr_at(counts: ScoreCounts, fpr: float) -> Bounded:
    """The largest true positive rate of each group at a false positive rate of at most `fpr`."""
    # Rates of "score at or above the lower edge of bin i", and of deciding nobody positive at the far end.
    above = np.cumsum(counts.counts[:, :, ::-1], axis=2)[:, :, ::-1]
    above = np.concatenate([above, np.zeros_like(above[:, :, :1])], axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        false, true = (above[:, i] / above[:, i, :1] for i in (0, 1))
    # The first edge that keeps the limit; the rows' own threshold may lie inside the bin before it.
    edge = np.argmax(false <= fpr, axis=1)
    row = np.arange(len(edge))
    low, high = true[row, edge], true[row, np.maximum(edge - 1, 0)]
    gone = np.isnan(false[:, 0])
    value = np.where(gone, np.nan, (low + high) / 2)
    return Bounded(value, np.where(gone, np.nan, (high - low) / 2))


# --- rows in memory: exact ----------------------------------------------------------------------


def tpr_at(scores: Array, truth: Array, fpr: float) -> float | None:
    """The largest true positive rate at a false positive rate of at most `fpr`; ``None`` without both outcomes."""
    truth = np.asarray(truth, dtype=bool)
    low = np.sort(scores[~truth])[::-1]
    if not len(low) or len(low) == len(truth):
        return None
    allowed = int(np.floor(fpr * len(low) + 1e-9))
    # A score above that of the first negative that may not be taken in; with none left, everybody is.
    return float((scores[truth] > low[allowed]).mean()) if allowed < len(low) else 1.0


def auc(scores: Array, truth: Array) -> float | None:
    """The area under the ROC curve: how often a positive outranks a negative, ties counting half.

    ``None`` where one of the two outcomes is absent.
    """
    return auc_of_cells(of_rows(scores, truth)).value


class Area(NamedTuple):
    """An area under the ROC curve; that of the rows themselves lies within `error` of it (0 for exact scores)."""

    value: float | None
    error: float


def auc_of_cells(cells: Cells) -> Area:
    """The area under the ROC curve of rows counted by score; ``None`` where one of the two outcomes is absent."""
    n, m = cells.negatives.astype(float), cells.positives.astype(float)
    pairs = float(n.sum() * m.sum())
    if not pairs:
        return Area(None, 0.0)
    value = float(m @ (np.cumsum(n) - n / 2)) / pairs
    return Area(value, float(m @ n) / 2 / pairs if cells.width else 0.0)


def auc_interval(scores: Array, truth: Array) -> Interval | None:
    """As `auc_interval_of_cells`, of rows."""
    return auc_interval_of_cells(of_rows(scores, truth))


def auc_interval_of_cells(cells: Cells) -> Interval | None:
    """As `auc_intervals`, of one group."""
    return auc_intervals([cells])[0]


def auc_intervals(groups: Sequence[Cells], areas: Sequence[Area] = ()) -> list[Interval | None]:
    """The wider of two intervals of each group's AUC, at every rung, and wider still by the error of a histogram.

    DeLong, DeLong and Clarke-Pearson 1988 on the logit scale follows the data; Newcombe 2006 (part 2,
    method 5) keeps its width where DeLong's variance vanishes, near 0 and 1. ``None`` without both outcomes.

    Args:
        areas: of the groups, where they are known.
    """
    areas = areas or [auc_of_cells(cells) for cells in groups]
    both = [i for i, area in enumerate(areas) if area.value is not None]
    found: list[Interval | None] = [None] * len(groups)
    if not both:
        return found
    rows = [[float(areas[i].value or 0.0), *_spread_of_placements(groups[i])] for i in both]
    area, variance, m, n = (column[:, None] for column in np.array(rows).T)
    low, high = _auc_ends(area, variance, m, n, z_settled())
    for place, i in enumerate(both):
        span = of_settled(low[place], high[place], method="delong, newcombe")
        found[i] = widened(span, areas[i].error)
    return found


def _spread_of_placements(cells: Cells) -> tuple[float, int, int]:
    """DeLong's variance of an AUC, and how many positives and negatives there are."""
    n, m = int(cells.negatives.sum()), int(cells.positives.sum())
    # Each positive's share of negatives that it outranks, each negative's of positives that outrank it.
    above = (np.cumsum(cells.negatives) - cells.negatives / 2) / n
    below = 1 - (np.cumsum(cells.positives) - cells.positives / 2) / m
    return _variance(above, cells.positives) / m + _variance(below, cells.negatives) / n, m, n


def _auc_ends(area: Array, variance: Array, m: Array, n: Array, z: Array) -> tuple[Array, Array]:
    """Both ends at several z, each ``(groups, rungs)``; all but `z` ``(groups, 1)``."""
    low, high = _newcombe_auc(area, m, n, z)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.log(area / (1 - area))
        reach = z * np.sqrt(variance) / (area * (1 - area))
        down, up = 1 / (1 + np.exp(-(centre - reach))), 1 / (1 + np.exp(-(centre + reach)))
    known = (area > 0.0) & (area < 1.0) & (variance > 0)
    return np.where(known, np.minimum(low, down), low), np.where(known, np.maximum(high, up), high)


def _variance(values: Array, rows: Array) -> float:
    """The unbiased variance of values that stand for so many rows each; 0 of a single row."""
    rows = rows.astype(np.float64)
    n = float(rows.sum())
    if n <= 1:
        return 0.0
    apart = values - float(rows @ values) / n
    return float(rows @ apart**2) / (n - 1)


def placements(scores: Array, truth: Array) -> tuple[Array, Array]:
    """For each positive the share of negatives it outranks, for each negative the share of positives that do it.

    Each in the order of the scores, not of the rows.
    """
    truth = np.asarray(truth, dtype=bool)
    high, low = np.sort(scores[truth]), np.sort(scores[~truth])
    if not len(high) or not len(low):
        return np.empty(len(high)), np.empty(len(low))
    above = (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")) / (2 * len(low))
    below = 1 - (np.searchsorted(high, low, "left") + np.searchsorted(high, low, "right")) / (2 * len(high))
    return above, below


def _newcombe_auc(area: Array, m: Array, n: Array, z: Array) -> tuple[Array, Array]:
    """Solve |θ̂ − θ| = z √V(θ), V by Hanley and McNeil 1982 with both group sizes replaced by their mean.

    Args:
        area, m, n: of each group ``(groups, 1)``.
        z: ``(rungs,)``.

    Returns:
        Both ends, each ``(groups, rungs)``.
    """
    half, pairs = np.maximum((m + n) / 2 - 1, 0.0), m * n

    def spread(theta: Array) -> Array:
        extra = half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        wide: Array = z * np.sqrt(np.maximum(theta * (1 - theta) * (1 + extra) / pairs, 0.0))
        return wide

    # At the outer end θ lies further from θ̂ than its spread, at the inner end it does not. Both ends at once.
    inner = np.broadcast_to(area, (2, len(area), len(z)))
    outer = np.broadcast_to(np.array([0.0, 1.0])[:, None, None], inner.shape)
    for _ in range(70):
        middle = (inner + outer) / 2
        between = (middle != inner) & (middle != outer)
        if not between.any():
            break  # nothing lies between them
        beyond = np.abs(area - middle) > spread(middle)
        inner, outer = np.where(between & ~beyond, middle, inner), np.where(between & beyond, middle, outer)
    return inner[0], inner[1]


def brier_rows(scores: Array, truth: Array) -> Array:
    """The squared error of each score ``(rows,)`` (Brier 1950)."""
    return (scores - np.asarray(truth, dtype=float)) ** 2


def log_loss_rows(scores: Array, truth: Array) -> Array:
    """The negative log likelihood of each row ``(rows,)``; scores are kept 1e-15 from 0 and 1 as in scikit-learn."""
    p = np.clip(scores, 1e-15, 1 - 1e-15)
    return -np.where(np.asarray(truth, dtype=bool), np.log(p), np.log1p(-p))


class Loss(NamedTuple):
    """A mean loss with its interval, which is wider by `error`: so far may the rows' own mean lie from `value`.

    ``None`` with no value: a bin where the loss has no bound holds rows.
    """

    value: float | None
    error: float
    interval: Interval | None


def loss_of_cells(cells: Cells, kind: Literal["brier", "log_loss"]) -> Loss:
    """The Brier score or the log loss of rows counted by score.

    A row's score lies anywhere in its bin; its loss grows or falls over the bin, so that it lies between the losses
    at the bin's two ends.
    """
    rows = brier_rows if kind == "brier" else log_loss_rows
    s = np.r_[cells.scores, cells.scores]
    truth = np.repeat([False, True], len(cells.scores))
    count = np.r_[cells.negatives, cells.positives]
    s, truth, count = s[count > 0], truth[count > 0], count[count > 0]
    loss, n = rows(s, truth), int(count.sum())
    low, high = s - cells.width / 2, s + cells.width / 2
    if kind == "log_loss" and cells.width and (((low <= 0) & truth) | ((high >= 1) & ~truth)).any():
        return Loss(None, 0.0, None)
    value = float(count @ loss) / n
    off = np.zeros(len(s))
    if cells.width:
        off = np.maximum(np.abs(rows(low, truth) - loss), np.abs(rows(high, truth) - loss))
    error = float(count @ off) / n
    # The spread, too, is that of the rows only up to the errors: Minkowski's inequality.
    spread = (_variance(loss, count) ** 0.5 + float(count @ off**2 / max(n - 1, 1)) ** 0.5) if n > 1 else 0.0
    third = float(count @ (loss - value) ** 3) / n
    span = mean_of_sums(value, spread, n, skew=float(skewness(third, spread**2, n)))
    return Loss(value, error, None if span is None else widened(span, error, high=None))
