"""Which groups can be compared, and how far apart are they beyond chance?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.stats import special
from rai_bigmodel.stats.counts import MISSING
from rai_bigmodel.stats.ladder import climb

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.evidence import Interval
    from rai_bigmodel.stats.counts import Rate

    Array = np.ndarray

SMALLEST_ROWS = 30
SMALLEST_EXPECTED = 5


class Compared(NamedTuple):
    """The groups of one rate that are compared, and the share of its rows that is not.

    Args:
        keep: which groups are compared, booleans ``(groups,)``.
        excluded: the share of the rate's rows in the others.
        compared: how many groups were looked at, the others included.
    """

    rate: Rate
    keep: Array
    excluded: float
    compared: int

    @property
    def successes(self) -> Array:
        """Successes of the groups compared."""
        return self.rate.successes[self.keep]

    @property
    def trials(self) -> Array:
        """Trials of the groups compared; effective ones where rows carry weights."""
        return self.rate.trials[self.keep]

    @property
    def rows(self) -> Array:
        """Rows behind the trials."""
        return self.rate.counted[self.keep]

    @property
    def values(self) -> Array:
        """Rates of the groups compared."""
        return self.rate.values[self.keep]

    def name(self, i: int) -> str:
        """The name of the i-th group compared."""
        return [g for g, kept in zip(self.rate.groups, self.keep, strict=True) if kept][i]


def known(groups: tuple[str, ...]) -> Array:
    """Whether no part of each name is missing ``(groups,)``."""
    return np.array([MISSING not in g.split("*") for g in groups], dtype=bool)


def sized(rate: Rate) -> Compared:
    """Groups with 30 rows, 5 expected of either outcome at the pooled rate, and a known value."""
    n = rate.trials
    pooled = rate.successes.sum() / n.sum() if n.sum() else 0.0
    fewest = n * min(pooled, 1 - pooled)
    keep = (n >= SMALLEST_ROWS) & (fewest >= SMALLEST_EXPECTED) & known(rate.groups)
    rows = rate.counted
    return Compared(rate, keep, float(rows[~keep].sum() / max(rows.sum(), 1)), len(n))


def whole(rate: Rate) -> Compared:
    """All groups that have a rate at all."""
    return Compared(rate, rate.trials > 0, 0.0, len(rate.trials))


def spread(successes: Array, trials: Array) -> float:
    """The variance of true rates between groups, with what chance adds taken off: τ̂².

    max(0, S² − mean p̂(1 − p̂)/(n − 1)): the widest gap of equal groups grows with their number, this does not.

    Args:
        successes, trials: counts ``(groups,)``, two groups at least with two trials at least.
    """
    p = successes / trials
    return max(0.0, float(p.var(ddof=1) - np.mean(p * (1 - p) / (trials - 1))))


def differ_p(successes: Array, trials: Array) -> float:
    """The p-value of Pearson's χ² that all groups have one rate, from its limiting distribution (Pearson 1900).

    1 where nobody or everybody succeeds. The exact test is `tests.any_disparity`; this one needs no draws.
    """
    chosen, whole_n = successes.sum(), trials.sum()
    if len(trials) < 2 or chosen in {0, whole_n}:
        return 1.0
    p = chosen / whole_n
    statistic = np.sum((successes - trials * p) ** 2 / (trials * p * (1 - p)))
    return float(special.chdtrc(len(trials) - 1, statistic))


def widest_by_pairs(ends: Callable[[float], tuple[Array, Array]], *, groups: int, method: str) -> Interval:
    """The widest difference of any two groups, from limits of each pair.

    Failing claims that *some* pair is further apart than a limit: Šidák (1967) over the pairs. Passing claims
    that *every* pair is within it: each pair on its own, one-sided (Berger 1982).

    Args:
        ends: α → lower and upper two-sided 1−α limits of each ordered pair, any shape.
        groups: how many groups were looked at, those left out included.
    """
    pairs = groups * (groups - 1) // 2

    def at_once(alpha: float) -> tuple[float, float]:
        low, high = ends(float(-np.expm1(np.log1p(-alpha) / pairs)))
        return max(0.0, float(np.max(low))), float(np.max(high))

    def keeps(alpha: float) -> tuple[float, float]:
        return at_once(alpha)[0], float(np.max(ends(2 * alpha)[1]))

    return climb(at_once, keeps, method=method)
