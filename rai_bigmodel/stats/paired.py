"""How much did a number change, when two models answered about the same rows?

A share: Tango's score interval (1998). A difference of two groups' shares: they have no rows in common, so MOVER
(Zou and Donner 2008) adds the arms of the two groups' changes in squares. The area under the ROC curve: DeLong, DeLong
and Clarke-Pearson 1988 for two curves of one sample.

The *widest* gap needs more, for the pair that is widest may be another one after than before, and taking it from the
same rows would flatter (`change_of_widest`). And where nothing is known of how two numbers move together, their two
intervals at half the error bound the change whatever they do (`of_two`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.evidence import LADDER, Interval
from rai_bigmodel.stats import among_groups, intervals, ladder, special
from rai_bigmodel.stats.scores import placements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.evidence import Rung

    Array = np.ndarray
    Ends = tuple[float | None, float | None]


FEWEST_OF_EITHER = 100


def change(before: Array, after: Array) -> tuple[float, Interval | None]:
    """The change of a share, and its interval.

    Args:
        before, after: whether each row succeeds, booleans ``(rows,)`` of the same rows, at least one.
    """
    return share_change(int((after & ~before).sum()), int((before & ~after).sum()), len(before))


def share_change(gained: int, lost: int, rows: int) -> tuple[float, Interval | None]:
    """The same of how many rows succeed only after, only before, and how many there are."""
    return (gained - lost) / rows, _tango(gained, lost, rows)


@lru_cache(maxsize=4096)
def _tango(gained: int, lost: int, rows: int) -> Interval | None:
    """Solved rung by rung, and the same few counts come again and again along a frontier."""
    return intervals.paired_difference(gained, lost, rows)


def average_change(parts: list[tuple[float, Interval | None]]) -> tuple[float, Interval | None]:
    """The plain average of changes of shares that have no rows in common (MOVER; Zou and Donner 2008)."""
    value = float(np.mean([v for v, _ in parts]))
    spans = [span for _, span in parts if span is not None]
    if len(spans) < len(parts):
        return value, None

    def ends(rungs: Sequence[tuple[float | None, ...]]) -> Ends:
        down = sum((v - _number(r[0])) ** 2 for (v, _), r in zip(parts, rungs, strict=True)) ** 0.5
        up = sum((_number(r[1]) - v) ** 2 for (v, _), r in zip(parts, rungs, strict=True)) ** 0.5
        return max(value - down / len(parts), -1.0), min(value + up / len(parts), 1.0)

    ladder = tuple(
        (each[0][0], *ends([r[1:3] for r in each]), *ends([r[3:5] for r in each]))
        for each in zip(*(span.ladder for span in spans), strict=True)
    )
    low, high = ends([(span.low, span.high) for span in spans])
    return value, Interval(low=low, high=high, level=spans[0].level, method="mover, tango", ladder=ladder)


def _number(value: float | None) -> float:
    assert value is not None
    return value


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


class Rates(NamedTuple):
    """One rate of several groups before and after, on the same rows; each ``(groups,)``.

    Args:
        trials: rows of each group that count towards the rate, one at least.
        before, after: of them, those that succeed.
        gained, lost: those that succeed only after, and only before.
    """

    trials: Array
    before: Array
    after: Array
    gained: Array
    lost: Array

    def of(self, keep: Array) -> Rates:
        """Some of the groups."""
        return Rates(*(column[keep] for column in self))

    @property
    def gap(self) -> float:
        """The widest gap after less the widest gap before."""
        after, before = self.after / self.trials, self.before / self.trials
        return float(np.ptp(after) - np.ptp(before))


def rates(codes: Array, before: Array, after: Array, *, groups: int, among: Array | None = None) -> Rates:
    """Rates of groups before and after.

    Args:
        codes: groups ``(rows,)``.
        before, after: whether each row succeeds ``(rows,)``.
        among: the rows that count towards the rate; all unless given.
    """
    cells = codes.astype(np.int64) * 4 + 2 * before.astype(np.int64) + after
    counts = np.bincount(cells if among is None else cells[among], minlength=4 * groups).reshape(groups, 4)
    return Rates(
        counts.sum(axis=1),
        counts[:, 2] + counts[:, 3],
        counts[:, 1] + counts[:, 3],
        counts[:, 1],
        counts[:, 2],
    )


def change_of_widest(families: Sequence[tuple[Rates, int]]) -> tuple[float, Interval]:
    """The change of the widest gap between any two groups, of one rate or the wider of several rates' (equalised odds).

    Let (i, j) be the pair that is truly furthest apart after. Before, the widest gap was at least that of this pair, so
    the widest gap grew by no more than the gap of (i, j) did. Which pair it is is not known: every pair counts whose
    gap may be the widest by limits that hold for all pairs at once, at half of the error; the other half is that of the
    pair's own change. The lower end is the same argument with before and after changing places.

    Args:
        families: the groups that are compared, two at least, and how many were looked at; of each rate.
    """
    value = max(float(np.ptp(f.after / f.trials)) for f, _ in families) - max(
        float(np.ptp(f.before / f.trials)) for f, _ in families
    )
    alphas = np.array(LADDER)

    def sided(errors: Array) -> tuple[Array, Array]:
        """Lower and upper ends ``(errors,)``, of which each fails at these rates."""
        # Half of the error, on one side: two-sided limits at twice that.
        moved = [_moved(f, errors) for f, _ in families]
        before, after = (_may_be_widest(families, errors / 2, now=now) for now in (False, True))
        lows = [
            np.where(may, low, np.inf).min(axis=(1, 2)) for (low, _), may in zip(moved, before, strict=True)
        ]
        highs = [
            np.where(may, up, -np.inf).max(axis=(1, 2)) for (_, up), may in zip(moved, after, strict=True)
        ]
        return np.maximum(np.min(lows, axis=0), -1.0), np.minimum(np.max(highs, axis=0), 1.0)

    both, one = sided(alphas / 2), sided(alphas)
    interval = ladder.climb_at_once(
        lambda _: both, lambda _: one, method="tango, mover, of the pairs that may be widest"
    )
    return value, interval


def _moved(f: Rates, alphas: Array) -> tuple[Array, Array]:
    """Two-sided limits of the change of every ordered pair's gap ``(alphas, groups, groups)``."""
    z = -special.ndtri(alphas / 2)
    moved = (f.gained - f.lost) / f.trials
    return intervals.newcombe(intervals.Limits(moved, *intervals.tango(f.gained, f.lost, f.trials, z)))


def _may_be_widest(families: Sequence[tuple[Rates, int]], alphas: Array, *, now: bool) -> list[Array]:
    """Of each family, which ordered pairs may be the widest of all ``(alphas, groups, groups)``."""
    limits = []
    for f, looked_at in families:
        z = np.array([among_groups.simultaneous_z(a, looked_at) for a in (alphas / len(families)).tolist()])
        low, high = intervals.newcombe(intervals.Limits.wilson(f.after if now else f.before, f.trials, z))
        own = np.eye(len(f.trials), dtype=bool)
        limits.append((np.where(own, -np.inf, low), np.where(own, -np.inf, high)))
    least = np.max([low.max(axis=(1, 2)) for low, _ in limits], axis=0)
    return [high >= least[:, None, None] for _, high in limits]


def auc_change(before: Array, after: Array, truth: Array) -> tuple[float, Interval | None]:
    """The change of the area under the ROC curve, and its interval.

    ``None`` where nothing varies, or with fewer than 100 rows of either outcome: near 1 the interval would then miss
    too often (of 50 and 100 rows at .98, 6.8 % on one side).

    Args:
        before, after: scores of the same rows ``(rows,)``.
        truth: their outcomes, both there ``(rows,)``.
    """
    m, n = int(truth.sum()), int((~truth).sum())
    moved = [b - a for a, b in zip(_placed(before, truth), _placed(after, truth), strict=True)]
    value = float(moved[0].mean())
    if min(m, n) < FEWEST_OF_EITHER:
        return value, None
    error = float(np.sqrt(np.var(moved[0], ddof=1) / m + np.var(moved[1], ddof=1) / n))
    if error == 0:
        return value, None

    def ends(alphas: Array) -> tuple[Array, Array]:
        reach = error * special.stdtrit(min(m, n) - 1, 1 - alphas / 2)
        return np.maximum(value - reach, -1.0), np.minimum(value + reach, 1.0)

    return value, ladder.climb_at_once(ends, method="paired delong")


def _placed(scores: Array, truth: Array) -> tuple[Array, Array]:
    """`placements` in the order of the rows."""
    above, below = placements(scores, truth)
    out = []
    for mine, placed in ((truth, above), (~truth, below)):
        here = np.empty(len(placed))
        here[np.argsort(scores[mine], kind="stable")] = placed
        out.append(here)
    return out[0], out[1]


def of_two(before: tuple[float, Interval | None], after: tuple[float, Interval | None]) -> Interval | None:
    """The interval of after − before from the intervals of both at half the error (Bonferroni).

    It holds however the two move together, on the same rows or not, and is wider than need be where they move alike. A
    side without a bound leaves the change without one there; a number without an interval counts as exact only where
    both are, and they then have none.
    """
    if before[1] is None or after[1] is None:
        return None

    def less(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else a - b

    rungs: list[Rung] = []
    for alpha in LADDER:
        half = next((a for a in LADDER if a <= alpha / 2 * (1 + 1e-9)), None)
        was, now = (None if half is None else i.rung(half) for i in (before[1], after[1]))
        if was is not None and now is not None:
            rungs.append(
                (
                    alpha,
                    less(now[1], was[2]),
                    less(now[2], was[1]),
                    less(now[3], was[4]),
                    less(now[4], was[3]),
                )
            )
    shown = next((r for r in rungs if abs(r[0] - 0.05) < 1e-12), None)
    if shown is None:
        return None
    return Interval(low=shown[1], high=shown[2], level=0.95, method="bonferroni of two", ladder=tuple(rungs))
