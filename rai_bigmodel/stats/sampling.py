"""Were rows drawn as the accountant was told? Poisson sampling: each row in each step by a chance of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    Array = np.ndarray


@dataclass(frozen=True)
class Sampling:
    """How a sampler's draws fit Poisson sampling at the claimed rate; p-values, two-sided.

    Args:
        rate: how often a row was drawn, over all rows and steps.
        rate_p: that this is the claimed rate (exact binomial).
        sizes_p: that batches vary in size as they should; batches of a fixed size do not vary at all.
        rows_p: that rows are drawn alike; those with a weight are drawn more often.
    """

    rate: float
    rate_p: float
    sizes_p: float
    rows_p: float

    @property
    def p(self) -> float:
        """The smallest of the three, corrected for being the smallest."""
        return min(1.0, 3 * min(self.rate_p, self.sizes_p, self.rows_p))


def sampler(batch_sizes: Array, row_draws: Array, rate: float) -> Sampling:
    """Whether rows were drawn independently with the claimed chance.

    Args:
        batch_sizes: rows in each step ``(steps,)``.
        row_draws: steps in which each row was ``(rows,)``.
        rate: the claimed chance.

    Raises:
        InputError: the two do not add up to the same, or the rate is not between 0 and 1.
    """
    sizes, draws = np.asarray(batch_sizes, dtype=np.int64), np.asarray(row_draws, dtype=np.int64)
    if not 0 < rate <= 1:
        msg = f"the sample rate must lie above 0 and at most at 1, got {rate}"
        raise InputError(msg)
    if not len(sizes) or not len(draws) or sizes.sum() != draws.sum():
        msg = f"batches hold {sizes.sum():,} rows, but rows were drawn {draws.sum():,} times"
        raise InputError(msg)
    cells, drawn = len(sizes) * len(draws), int(sizes.sum())
    if drawn > cells or sizes.min() < 0 or draws.min() < 0:
        msg = (
            f"{drawn:,} draws of {len(draws):,} rows in {len(sizes):,} steps: a row was drawn twice in a step"
        )
        raise InputError(msg)
    return Sampling(
        rate=drawn / cells,
        rate_p=binomial_p(drawn, cells, rate),
        sizes_p=_dispersion_p(sizes, len(draws), rate),
        rows_p=_dispersion_p(draws, len(sizes), rate),
    )


def binomial_p(successes: int, trials: int, chance: float) -> float:
    """The exact two-sided p-value of a proportion: twice the smaller tail."""
    if chance == 1:
        return 1.0 if successes == trials else 0.0
    at_least = 1.0 if successes == 0 else float(special.betainc(successes, trials - successes + 1, chance))
    at_most = (
        1.0 if successes == trials else float(special.betaincc(successes + 1, trials - successes, chance))
    )
    return min(1.0, 2 * min(at_least, at_most))


def _dispersion_p(counts: Array, trials: int, chance: float) -> float:
    """That independent counts are binomial: their squared distances, as a gamma with the exact two moments."""
    if chance == 1:
        return 1.0 if (counts == trials).all() else 0.0
    variance = trials * chance * (1 - chance)
    statistic = float(np.sum((counts - trials * chance) ** 2) / variance)
    # Var((X − np)² / npq) = 2 + (1 − 6pq) / npq
    shape = len(counts) / (2 + (1 - 6 * chance * (1 - chance)) / variance)
    scale = len(counts) / shape
    lower, upper = special.gammainc(shape, statistic / scale), special.gammaincc(shape, statistic / scale)
    return min(1.0, 2 * float(min(lower, upper)))
