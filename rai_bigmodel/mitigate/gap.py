"""Which gap is to be narrowed, between which groups, and how wide is it?

The groups that are compared are fixed once, from the decisions of the model as it is, so that every candidate
is measured with the same yardstick; and so is the pair whose change gets an interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.stats import counts as c
from rai_bigmodel.stats.disparity import SMALLEST_EXPECTED, SMALLEST_ROWS

if TYPE_CHECKING:
    from rai_bigmodel.stats.counts import GroupCounts, Rate

CONSTRAINTS: dict[str, tuple[str, ...]] = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
}
"""Constraint → the rates that should be alike in every group; its metric is ``fairness.<constraint>_difference``."""


class Pair(Record):
    """Two groups, and the rate in which they are furthest apart."""

    rate: str
    high: str
    low: str


class Gap(Record):
    """The widest gap between groups, and where it is."""

    value: float
    pair: Pair


def rates_of(constraint: str) -> tuple[str, ...]:
    """The rates a constraint is about.

    Raises:
        InputError: there is no such constraint.
    """
    if constraint not in CONSTRAINTS:
        what = "constraint"
        raise InputError.unknown(what, constraint, CONSTRAINTS)
    return CONSTRAINTS[constraint]


def sized(counts: GroupCounts, constraint: str) -> tuple[str, ...]:
    """The groups large enough to carry every rate of a constraint; fewer than two means no comparison.

    A known value, 30 rows, and 5 expected of either outcome at the pooled rate, as the fairness audit asks.
    """
    keep = np.array([c.MISSING not in name.split("*") for name in counts.groups])
    for name in rates_of(constraint):
        rate = c.RATES[name](counts)
        pooled = rate.successes.sum() / max(rate.trials.sum(), 1)
        fewest = rate.trials * min(pooled, 1 - pooled)
        keep &= (rate.trials >= SMALLEST_ROWS) & (fewest >= SMALLEST_EXPECTED)
    return tuple(name for name, kept in zip(counts.groups, keep, strict=True) if kept)


def widest(counts: GroupCounts, constraint: str, groups: tuple[str, ...]) -> Gap | None:
    """The widest gap among these groups in any rate of the constraint; ``None`` with fewer than two that have one."""
    found: Gap | None = None
    for name in rates_of(constraint):
        rate = only(c.RATES[name](counts), groups)
        if len(rate.groups) < 2:
            continue
        values = rate.values
        high, low = int(values.argmax()), int(values.argmin())
        if high == low:  # all alike: still a pair of two different groups
            low = (high + 1) % len(values)
        gap = float(values[high] - values[low])
        if found is None or gap > found.value:
            found = Gap(gap, Pair(name, rate.groups[high], rate.groups[low]))
    return found


def only(rate: Rate, groups: tuple[str, ...]) -> Rate:
    """A rate of some of its groups, those without trials left out."""
    keep = np.array([g in groups for g in rate.groups]) & (rate.trials > 0)
    names = tuple(g for g, kept in zip(rate.groups, keep, strict=True) if kept)
    return c.Rate(names, rate.successes[keep], rate.trials[keep])
