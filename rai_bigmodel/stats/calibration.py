"""Do scores mean what they say? Of those scored 0.8, eight in ten should have the positive outcome.

The plain calibration error is above zero for a perfect model: 0.07 in 15 bins of 200 rows. Here the noise of
each bin is taken off (Kumar, Liang and Ma 2019), the interval is that of a noncentral χ², and whether there is
anything at all is asked by consistency resampling (Bröcker and Smith 2007): outcomes drawn from the scores.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.stats import special
from rai_bigmodel.stats.cells import Cells, of_histogram, of_rows
from rai_bigmodel.stats.counts import distinct
from rai_bigmodel.stats.ladder import of_settled, settled, widened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.evidence import Interval
    from rai_bigmodel.stats.scores import ScoreCounts

    Array = np.ndarray

BINS = 15
ROWS_A_BIN = 20
FEWEST_BINS = 5
DRAWS = 9_999
LEAST_VARIANCE = 0.25
POOLED_FROM = 4_000
"""Of more rows than that, the outcomes of a bin are drawn together."""


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
    return equal_mass_of_cells(of_rows(scores, truth), bins=bins)


def equal_mass_of_cells(cells: Cells, *, bins: int = BINS) -> Bins:
    """The same of rows counted by score; of a histogram, mean scores are off by at most half of its bins' width."""
    rows, starts = cells.rows, _starts(cells, bins)
    n = np.add.reduceat(rows, starts)
    mean = np.add.reduceat(rows * cells.scores, starts) / n
    return Bins(n, np.add.reduceat(cells.positives, starts), mean)


def _starts(cells: Cells, bins: int) -> Array:
    """Where each bin begins among the scores: never between two equal ones."""
    rows = cells.rows
    before = np.cumsum(rows) - rows
    wanted = np.linspace(0, rows.sum(), bins + 1).round().astype(int)[:-1]
    # A cut inside a run of equal scores moves to the run's nearer end.
    run = np.searchsorted(before, wanted, "right") - 1
    cuts = np.where(wanted - before[run] <= before[run] + rows[run] - wanted, run, run + 1)
    return distinct(cuts[cuts < len(rows)])


def equal_mass_of_counts(counts: ScoreCounts, group: int = 0, *, bins: int = BINS) -> Bins:
    """The bins of one group of a histogram; mean scores are off by at most half of a histogram's bin."""
    return equal_mass_of_cells(of_histogram(counts.counts[group]), bins=bins)


class Calibration(NamedTuple):
    """How far scores are from the shares of positives, in the units of the scores.

    Args:
        value: the debiased calibration error: root mean square over bins; 0 where noise explains it all.
        bins: what it was made from; ``None`` with no value.
        why: why there is no value.
        error: of a histogram: how far the value of the rows themselves may lie from this one.
    """

    value: float | None
    interval: Interval | None
    bins: Bins | None
    why: str = ""
    error: float = 0.0


def ece_debiased(scores: Array, truth: Array, *, bins: int = BINS) -> Calibration:
    """The debiased calibration error of some rows, with its interval.

    Args:
        scores: from 0 to 1 ``(rows,)``.
        truth: whether the outcome is positive ``(rows,)``.
        bins: at most so many; fewer where one would hold less than 20 rows.
    """
    return ece_of_cells(of_rows(scores, truth), bins=bins)


def ece_of_cells(cells: Cells, *, bins: int = BINS) -> Calibration:
    """The same of rows counted by score; of a histogram, with the error that this makes, and wider by it."""
    return ece_of_groups([cells], bins=bins)[0]


def ece_of_groups(groups: Sequence[Cells], *, bins: int = BINS) -> list[Calibration]:
    """As `ece_of_cells`, of several groups at once, each on its own."""
    fits = [how_many_bins(cells.n, bins=bins) for cells in groups]
    binned = [
        equal_mass_of_cells(cells, bins=fit) if fit else None for cells, fit in zip(groups, fits, strict=True)
    ]
    of = iter(_of_bins([one for one in binned if one is not None]))
    return [
        _too_few(cells.n) if one is None else _blurred(next(of), cells.width)
        for cells, one in zip(groups, binned, strict=True)
    ]


def _too_few(rows: int) -> Calibration:
    why = (
        f"{rows:,} rows are too few: calibration needs {FEWEST_BINS * ROWS_A_BIN}, "
        f"{ROWS_A_BIN} in each of {FEWEST_BINS} bins"
    )
    return Calibration(None, None, None, why)


def _blurred(found: Calibration, width: float) -> Calibration:
    """What was found of a histogram, with the error that this makes."""
    if not width or found.value is None or found.bins is None:
        return found
    # Mean scores are off by half a width at most, and so is the root of the mean squared gap before chance is
    # taken off; what that does to the root of what is left is most where little is left.
    off, gap = width / 2, float(found.bins.n @ found.bins.gap**2 / found.bins.n.sum()) ** 0.5
    error = (found.value**2 + 2 * off * gap + off**2) ** 0.5 - found.value
    interval = None if found.interval is None else widened(found.interval, error)
    return found._replace(interval=interval, error=error)


def of_bins(bins: Bins) -> Calibration:
    """The debiased calibration error of rows that are in bins already.

    The squared error of a bin is (mean score − share)², less the variance ȳ(1 − ȳ)/(n − 1) of its share
    (Kumar, Liang and Ma 2019, definition 5.3), and bins weigh as their rows. What it estimates is the error
    between bins, given the scores: where they are wrong both ways inside one bin, that cancels.
    """
    return _of_bins([bins])[0]


def _of_bins(many: Sequence[Bins]) -> list[Calibration]:
    found: list[Calibration] = []
    sums: dict[int, _Sums] = {}
    for place, bins in enumerate(many):
        keep = bins.n > 1
        n, gap, rate = bins.n[keep], bins.gap[keep], bins.rate[keep]
        if not len(n):
            found.append(Calibration(None, None, None, "no bin holds two rows"))
            continue
        weight = n / n.sum()
        noise = rate * (1 - rate) / (n - 1)
        seen, expected = float(weight @ gap**2), float(weight @ noise)
        why = "" if expected else "every bin holds one outcome only, so nothing is known about the spread"
        found.append(Calibration(float(np.sqrt(max(seen - expected, 0.0))), None, bins, why))
        if expected:
            sums[place] = _Sums.of(weight, gap, noise, seen, expected)
    for place, span in zip(sums, _intervals(list(sums.values())), strict=True):
        found[place] = found[place]._replace(interval=span)
    return found


class _Sums(NamedTuple):
    """Σ w·gap² as c·χ'²(ν, θ²/c): its mean is exact, its variance that of Satterthwaite 1946 or more.

    c is the larger of two averages of w·noise, over the noise and over the gaps: the first makes the spread of
    a calibrated model right, the second that of a model whose faults lie where the noise is.

    Args:
        df: ν.
        x: the sum seen, over c.
        typical: the same, but never below that of a perfect model with median luck (Cowan, Cranmer, Gross and
            Vitells 2011): gaps smaller than chance allows prove nothing.
    """

    c: float
    df: float
    x: float
    typical: float

    @classmethod
    def of(cls, weight: Array, gap: Array, noise: Array, seen: float, expected: float) -> _Sums:
        each = weight * noise
        c = max(float(each @ each / each.sum()), float((weight * gap**2) @ each / max(seen, 1e-300)))
        df, x = expected / c, seen / c
        return cls(c, df, x, max(x, float(special.chdtri(df, 0.5))))


def _intervals(sums: Sequence[_Sums]) -> list[Interval]:
    """The interval of each, the ends of all settled together."""
    if not sums:
        return []
    alphas = settled()
    c, df, x, typical = (column[:, None] for column in np.array(sums).T)
    # Both ends side by side.
    far = np.broadcast_arrays(
        np.concatenate([x, typical], axis=1)[:, :, None],
        df[:, :, None],
        np.stack([1 - alphas / 2, alphas / 2]),
    )
    ends = np.minimum(np.sqrt(c[:, :, None] * _noncentrality(*far)), 1.0)
    return [of_settled(low, high, method="debiased, noncentral chi-square") for low, high in ends]


def _noncentrality(x: Array, df: Array, p: Array) -> Array:
    """The λ at which a noncentral χ² with `df` is at most `x` with probability p; 0 where none is so small.

    Args:
        x, df, p: of one shape.
    """
    some = _at_most(x, df, np.zeros(x.shape)) > p
    lower, upper = np.zeros(x.shape), 2 * x + 100.0
    while (short := some & (_at_most(x, df, upper) > p)).any():
        upper[short] *= 2
    for _ in range(60):
        middle = (lower + upper) / 2
        above = _at_most(x, df, middle) > p
        lower, upper = np.where(above, middle, lower), np.where(above, upper, middle)
    return np.where(some, (lower + upper) / 2, 0.0)


def _at_most(x: Array, df: Array, noncentrality: Array) -> Array:
    """The distribution function of the noncentral χ²; far out by Sankaran's 1963 normal approximation."""
    far = (noncentrality >= 2_000) | (x >= 4_000)
    if not far.any():
        near: Array = special.chndtr(x, df, noncentrality)
        return near
    out = np.empty(x.shape)
    out[~far] = special.chndtr(x[~far], df[~far], noncentrality[~far])
    out[far] = [
        _sankaran(*each) for each in zip(*(v[far].tolist() for v in (x, df, noncentrality)), strict=True)
    ]
    return out


def _sankaran(x: float, k: float, lam: float) -> float:
    h = 1 - 2 * (k + lam) * (k + 3 * lam) / (3 * (k + 2 * lam) ** 2)
    p = (k + 2 * lam) / (k + lam) ** 2
    m = (h - 1) * (1 - 3 * h)
    centre = 1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p)
    spread = h * math.sqrt(2 * p) * (1 + 0.5 * m * p)
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
    (Phipson and Smyth 2010). Of many rows each bin is drawn as a whole.

    Args:
        scores: from 0 to 1 ``(rows,)``; at least one.
        truth: whether the outcome is positive ``(rows,)``.
    """
    if len(scores) > POOLED_FROM:
        return consistency_of_cells(of_rows(scores, truth), rng, bins=bins, draws=draws)
    order = np.argsort(scores, kind="stable")
    s, y = np.asarray(scores, dtype=float)[order], np.asarray(truth, dtype=np.int64)[order]
    each = of_rows(s, y.astype(bool))
    starts = (np.cumsum(each.rows) - each.rows)[_starts(each, min(bins, len(s)))]
    expected = np.add.reduceat(s, starts)
    variance = np.maximum(np.add.reduceat(s * (1 - s), starts), LEAST_VARIANCE)
    seen, beyond = _far(np.add.reduceat(y, starts), expected, variance), 0
    chunk = max(1, 2_000_000 // len(s))
    for done in range(0, draws, chunk):
        drawn = rng.random((min(chunk, draws - done), len(s))) < s
        sums = np.add.reduceat(drawn.astype(np.int32), starts, axis=1)
        beyond += int((_far(sums, expected, variance) >= seen * (1 - 1e-9)).sum())
    return (1 + beyond) / (1 + draws)


def consistency_of_cells(
    cells: Cells, rng: np.random.Generator, *, bins: int = BINS, draws: int = DRAWS
) -> float:
    """The same of many rows, counted by score.

    The positives of a bin are a sum of many outcomes with different chances; they are drawn as a binomial with the
    same mean and variance (Ehm 1991; Peköz, Röllin, Čekanavičius and Shwartz 2009).
    """
    starts = _starts(cells, bins)
    rows, s = cells.rows, cells.scores
    expected = np.add.reduceat(rows * s, starts)
    spread = np.add.reduceat(rows * s * (1 - s), starts)
    # np = μ and np(1 − p) = σ² give p = Σs²/Σs and n = (Σs)²/Σs², which are rows at most.
    squares = np.add.reduceat(rows * s * s, starts)
    size = np.rint(expected**2 / np.where(squares > 0, squares, 1.0)).astype(np.int64)
    chance = np.clip(expected / np.maximum(size, 1), 0.0, 1.0)
    variance = np.maximum(spread, LEAST_VARIANCE)
    seen = _far(np.add.reduceat(cells.positives, starts), expected, variance)
    drawn = rng.binomial(size, chance, size=(draws, len(starts)))
    beyond = int((_far(drawn, expected, variance) >= seen * (1 - 1e-9)).sum())
    return (1 + beyond) / (1 + draws)


def _far(positives: Array, expected: Array, variance: Array) -> Array:
    """Hosmer and Lemeshow's statistic ``(…)``; the floor keeps one odd row from being the whole test."""
    distance: Array = ((positives - expected) ** 2 / variance).sum(axis=-1)
    return distance
