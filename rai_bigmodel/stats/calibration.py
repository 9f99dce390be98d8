"""Do scores mean what they say? Of those scored 0.8, eight in ten should have the positive outcome.

The plain calibration error is above zero for a perfect model: 0.07 in 15 bins of 200 rows. Here the noise of
each bin is taken off (Kumar, Liang and Ma 2019), the interval is that of a noncentral χ², and whether there is
anything at all is asked by consistency resampling (Bröcker and Smith 2007): outcomes drawn from the scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

from rai_bigmodel.stats.intervals import climb

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Interval
    from rai_bigmodel.stats.scores import ScoreCounts

    Array = np.ndarray

BINS = 15
ROWS_A_BIN = 20
FEWEST_BINS = 5
DRAWS = 9_999
LEAST_VARIANCE = 0.25
POOLED_FROM = 4_000
RUNS = 300
"""Of more rows than `POOLED_FROM`, outcomes are drawn for about so many runs of neighbouring scores."""


class Bins(NamedTuple):
    """Rows in bins of about equal size, in the order of their scores; each ``(bins,)``."""

    n: Array
    positives: Array
    mean_score: Array

    @property
    def rate(self) -> Array:
        """The share of positives."""
        return self.positives / self.n

    @property
    def gap(self) -> Array:
        """Mean score minus share of positives."""
        return self.mean_score - self.rate


def how_many_bins(rows: int, *, bins: int = BINS) -> int:
    """At most `bins`, fewer where one would hold less than 20 rows; 0 where not even five can be filled."""
    fits = min(bins, rows // ROWS_A_BIN)
    return fits if fits >= FEWEST_BINS else 0


def equal_mass(scores: Array, truth: Array, *, bins: int = BINS) -> Bins:
    """Rows sorted by score and cut into bins of equal size; equal scores are never cut apart.

    Args:
        scores: from 0 to 1 ``(rows,)``.
        truth: whether the outcome is positive ``(rows,)``.
    """
    order = np.argsort(scores, kind="stable")
    s = np.asarray(scores, dtype=float)[order]
    starts = _starts(s, bins)
    n = np.diff(np.r_[starts, len(s)])
    positives = np.add.reduceat(np.asarray(truth, dtype=np.int64)[order], starts)
    return Bins(n, positives, np.add.reduceat(s, starts) / n)


def _starts(ordered: Array, bins: int) -> Array:
    """Where each bin of sorted scores begins: never between two equal scores."""
    wanted = np.linspace(0, len(ordered), bins + 1).round().astype(int)[:-1]
    # A cut inside a run of equal scores moves to the run's nearer end.
    down = np.searchsorted(ordered, ordered[wanted], "left")
    up = np.searchsorted(ordered, ordered[wanted], "right")
    cuts = np.where(wanted - down <= up - wanted, down, up)
    return np.unique(cuts[cuts < len(ordered)])


def equal_mass_of_counts(counts: ScoreCounts, group: int = 0, *, bins: int = BINS) -> Bins:
    """The bins of one group of a histogram; mean scores are off by at most half of a histogram's bin."""
    cells = counts.counts[group]
    rows = cells.sum(axis=0)
    there = np.flatnonzero(rows)
    rows, positives = rows[there], cells[1, there]
    before = np.cumsum(rows) - rows
    wanted = np.linspace(0, rows.sum(), bins + 1)[:-1]
    nearest = np.searchsorted(before, wanted)
    back = np.maximum(nearest - 1, 0)
    nearest = np.minimum(nearest, len(before) - 1)
    starts = np.unique(np.where(wanted - before[back] <= np.abs(before[nearest] - wanted), back, nearest))
    n = np.add.reduceat(rows, starts)
    middle = (there + 0.5) / counts.bins
    return Bins(n, np.add.reduceat(positives, starts), np.add.reduceat(rows * middle, starts) / n)


class Calibration(NamedTuple):
    """How far scores are from the shares of positives, in the units of the scores.

    Args:
        value: the debiased calibration error: root mean square over bins; 0 where noise explains it all.
        bins: what it was made from; ``None`` with no value.
        why: why there is no value.
    """

    value: float | None
    interval: Interval | None
    bins: Bins | None
    why: str = ""


def ece_debiased(scores: Array, truth: Array, *, bins: int = BINS) -> Calibration:
    """The debiased calibration error of some rows, with its interval.

    Args:
        scores: from 0 to 1 ``(rows,)``.
        truth: whether the outcome is positive ``(rows,)``.
        bins: at most so many; fewer where one would hold less than 20 rows.
    """
    fits = how_many_bins(len(scores), bins=bins)
    if not fits:
        why = (
            f"{len(scores):,} rows are too few: calibration needs {FEWEST_BINS * ROWS_A_BIN}, "
            f"{ROWS_A_BIN} in each of {FEWEST_BINS} bins"
        )
        return Calibration(None, None, None, why)
    return of_bins(equal_mass(scores, truth, bins=fits))


def of_bins(bins: Bins) -> Calibration:
    """The debiased calibration error of rows that are in bins already.

    The squared error of a bin is (mean score − share)², less the variance ȳ(1 − ȳ)/(n − 1) of its share
    (Kumar, Liang and Ma 2019, definition 5.3), and bins weigh as their rows. What it estimates is the error
    between bins, given the scores: where they are wrong both ways inside one bin, that cancels.
    """
    keep = bins.n > 1
    n, gap, rate = bins.n[keep], bins.gap[keep], bins.rate[keep]
    if not len(n):
        return Calibration(None, None, None, "no bin holds two rows")
    weight = n / n.sum()
    noise = rate * (1 - rate) / (n - 1)
    seen, expected = float(weight @ gap**2), float(weight @ noise)
    value = float(np.sqrt(max(seen - expected, 0.0)))
    if expected == 0:
        why = "every bin holds one outcome only, so nothing is known about the spread"
        return Calibration(value, None, bins, why)
    return Calibration(value, _interval(weight, gap, noise, seen, expected), bins)


def _interval(weight: Array, gap: Array, noise: Array, seen: float, expected: float) -> Interval:
    """Σ w·gap² as c·χ'²(ν, θ²/c): its mean is exact, its variance that of Satterthwaite 1946 or more.

    c is the larger of two averages of w·noise, over the noise and over the gaps: the first makes the spread of
    a calibrated model right, the second that of a model whose faults lie where the noise is.
    An upper end is never below that of a perfect model with median luck (Cowan, Cranmer, Gross and Vitells
    2011): gaps smaller than chance allows prove nothing.
    """
    each = weight * noise
    c = max(float(each @ each / each.sum()), float((weight * gap**2) @ each / max(seen, 1e-300)))
    df, x = expected / c, seen / c
    typical = max(x, float(special.chdtri(df, 0.5)))

    def ends(alpha: float) -> tuple[float, float]:
        low = _noncentrality(x, df, 1 - alpha / 2)
        high = _noncentrality(typical, df, alpha / 2)
        return min(1.0, float(np.sqrt(c * low))), min(1.0, float(np.sqrt(c * high)))

    return climb(ends, method="debiased, noncentral chi-square")


def _noncentrality(x: float, df: float, p: float) -> float:
    """The λ at which a noncentral χ² with `df` is at most `x` with probability p; 0 where none is so small."""
    if _at_most(x, df, 0.0) <= p:
        return 0.0
    lower, upper = 0.0, 2 * x + 100.0
    while _at_most(x, df, upper) > p:
        upper *= 2
    for _ in range(60):
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if _at_most(x, df, middle) > p else (lower, middle)
    return (lower + upper) / 2


def _at_most(x: float, df: float, noncentrality: float) -> float:
    """The distribution function of the noncentral χ²; far out by Sankaran's 1963 normal approximation."""
    if noncentrality < 2_000 and x < 4_000:
        return float(special.chndtr(x, df, noncentrality))
    k, lam = df, noncentrality
    h = 1 - 2 * (k + lam) * (k + 3 * lam) / (3 * (k + 2 * lam) ** 2)
    p = (k + 2 * lam) / (k + lam) ** 2
    m = (h - 1) * (1 - 3 * h)
    centre = 1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p)
    spread = h * np.sqrt(2 * p) * (1 + 0.5 * m * p)
    return float(special.ndtr(((x / (k + lam)) ** h - centre) / spread))


def ece_plug_in(bins: Bins) -> float:
    """Σ w·|gap|, as everybody prints it (Naeini, Cooper and Hauskrecht 2015): too large by chance alone."""
    return float(bins.n @ np.abs(bins.gap) / bins.n.sum())


def consistency_p(
    scores: Array, truth: Array, rng: np.random.Generator, *, bins: int = BINS, draws: int = DRAWS
) -> float:
    """The p-value that the scores are the probabilities of the outcomes (Bröcker and Smith 2007).

    Outcomes are drawn from the scores themselves, and Hosmer and Lemeshow's statistic over bins of equal size,
    Σ (positives − expected)² / variance, is compared with theirs: it sees more than the plain error does (of
    1,000 rows overconfident by .05, 98 % against 64 to 83 %). The observed one counts as one of the draws
    (Phipson and Smyth 2010). Of many rows, some hundred runs of neighbouring scores are drawn instead, each as a
    binomial with the run's mean score.

    Args:
        scores: from 0 to 1 ``(rows,)``; at least one.
        truth: whether the outcome is positive ``(rows,)``.
    """
    order = np.argsort(scores, kind="stable")
    s, y = np.asarray(scores, dtype=float)[order], np.asarray(truth, dtype=np.int64)[order]
    starts = _starts(s, min(bins, len(s)))
    expected = np.add.reduceat(s, starts)
    # The floor keeps one odd row, in a bin where nothing was to happen, from being the whole test.
    variance = np.maximum(np.add.reduceat(s * (1 - s), starts), LEAST_VARIANCE)
    if len(s) <= POOLED_FROM:
        runs = np.arange(len(s))
    else:
        runs = np.unique(np.r_[starts, np.linspace(0, len(s), RUNS + 1).astype(int)[:-1]])
    size = np.diff(np.r_[runs, len(s)])
    chance = np.clip(np.add.reduceat(s, runs) / size, 0.0, 1.0)
    edges = np.searchsorted(runs, starts)

    def far(positives: Array) -> Array:
        return ((positives - expected) ** 2 / variance).sum(axis=-1)

    seen, beyond = float(far(np.add.reduceat(y, starts))), 0
    chunk = max(1, 2_000_000 // len(runs))
    for done in range(0, draws, chunk):
        shape = (min(chunk, draws - done), len(runs))
        drawn = rng.random(shape) < chance if size.max() == 1 else rng.binomial(size, chance, size=shape)
        sums = np.add.reduceat(drawn.astype(np.int32), edges, axis=1)
        beyond += int((far(sums) >= seen * (1 - 1e-9)).sum())
    return (1 + beyond) / (1 + draws)
