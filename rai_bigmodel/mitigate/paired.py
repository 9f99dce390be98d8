"""How much did a gap change, when both models decided about the same rows?

Within a group the two models' decisions are paired: Tango's score interval (1998). Two groups share no rows, so
the change of their difference, (after − before) in the one less (after − before) in the other, is a difference
of two independent numbers with intervals: MOVER (Zou and Donner 2008) adds their arms in squares.

The two groups must be named from other rows than those measured. The change of a *widest* gap has no such
interval: the pair that is widest may differ before and after, and taking it from the same rows would flatter.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.evidence import Interval
from rai_bigmodel.stats import intervals

if TYPE_CHECKING:
    Array = np.ndarray
    Ends = tuple[float | None, float | None]


def change(before: Array, after: Array) -> tuple[float, Interval | None]:
    """The change of a share, and its interval.

    Args:
        before, after: whether each row succeeds, booleans ``(rows,)`` of the same rows, at least one.
    """
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    value = (gained - lost) / len(before)
    return value, _tango(gained, lost, len(before))


@lru_cache(maxsize=4096)
def _tango(gained: int, lost: int, rows: int) -> Interval | None:
    """Solved rung by rung, and the same few counts come again and again along a frontier."""
    return intervals.paired_difference(gained, lost, rows)


def change_of_difference(
    high: tuple[float, Interval | None], low: tuple[float, Interval | None]
) -> tuple[float, Interval | None]:
    """The change of one group's share less that of another, from the `change` of each."""
    (a, of_a), (b, of_b) = high, low
    if of_a is None or of_b is None:
        return a - b, None

    def mover(first: Ends, second: Ends) -> Ends:
        (l1, u1), (l2, u2) = first, second
        assert l1 is not None
        assert u1 is not None
        assert l2 is not None
        assert u2 is not None
        down, up = np.hypot(a - l1, u2 - b), np.hypot(u1 - a, b - l2)
        return float(max(a - b - down, -2.0)), float(min(a - b + up, 2.0))

    rungs = tuple(
        (x[0], *mover((x[1], x[2]), (y[1], y[2])), *mover((x[3], x[4]), (y[3], y[4])))
        for x, y in zip(of_a.ladder, of_b.ladder, strict=True)
    )
    shown = mover((of_a.low, of_a.high), (of_b.low, of_b.high))
    return a - b, Interval(low=shown[0], high=shown[1], level=of_a.level, method="mover, tango", ladder=rungs)
