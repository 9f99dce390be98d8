"""What does each fairer model cost? The points, how one is chosen, and the numbers about it.

Chosen on the calibration rows, reported on the held-out rows: the point with the narrowest gap of those that
give up no more accuracy than was allowed. What is held out plays no part in the choice, so its numbers are not
flattered by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.evidence import DataId, Measurement, Record, SubjectId
from rai_bigmodel.mitigate.gap import Pair, only, rates_of, widest
from rai_bigmodel.mitigate.proxies import Proxy
from rai_bigmodel.stats import among_groups, intervals
from rai_bigmodel.stats import counts as c
from rai_bigmodel.stats.paired import change, change_of_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.stats.counts import GroupCounts

    Array = np.ndarray

UNMITIGATED = "unmitigated"
FORMAT = 2


class Point(Record):
    """One model on the way between accurate and fair.

    Args:
        method: ``unmitigated``, ``features``, ``settings``, ``reweighing``, ``reductions``,
            ``exponentiated-gradient``, ``mixture`` or ``attribute-aware``.
        words: what was done.
        digest: of the model; empty for one that is not a model of its own.
        reads_attribute: whether its predictor reads the attribute; then it is never chosen.
        randomised: whether it draws lots among models; then it is never chosen, and its numbers are expectations.
        accuracy, gap: on the calibration rows, where the choice is made.
        dominated: whether another that may be chosen is as accurate and as even there, and better in one.
        measurements: on the held-out rows; those labelled ``against`` are changes from the unmitigated model.
    """

    name: str
    method: str
    words: str
    digest: str
    dropped: tuple[str, ...] = ()
    reads_attribute: bool = False
    randomised: bool = False
    accuracy: float = 0.0
    gap: float | None = None
    dominated: bool = False
    measurements: tuple[Measurement, ...] = ()

    @property
    def may_be_chosen(self) -> bool:
        """Whether it is one model that does not read the attribute."""
        return not self.reads_attribute and not self.randomised


class Frontier(Record):
    """All points, and which was chosen.

    Args:
        subject: the unmitigated model.
        pair: the two groups whose difference is followed with a paired interval; named on the rows the model
            was made from.
        accuracy_cost: how much accuracy on the calibration rows might be given up.
        proxies: features that tell the attribute, the strongest first.
    """

    attribute: str
    constraint: str
    subject: SubjectId
    data: dict[str, DataId]
    pair: Pair
    accuracy_cost: float
    points: tuple[Point, ...]
    chosen: str
    proxies: tuple[Proxy, ...] = ()
    notes: tuple[str, ...] = ()
    format: int = FORMAT

    def __getitem__(self, name: str) -> Point:
        """The point of this name."""
        return next(point for point in self.points if point.name == name)


def choose(points: Sequence[Point], accuracy_cost: float) -> str:
    """The name of the point with the narrowest gap that costs no more than allowed; of equals the more accurate.

    The first point is the unmitigated one; it stays chosen where nothing that may be chosen is narrower. Where it
    reads the attribute it is never chosen: if all else costs too much, the most accurate of the rest is.
    """
    base = points[0]
    allowed = [p for p in points if p.may_be_chosen and p.gap is not None]
    within = [p for p in allowed if p.accuracy >= base.accuracy - accuracy_cost - 1e-12]
    best = min(within, key=lambda p: (p.gap, -p.accuracy), default=base)
    if best.reads_attribute and allowed:
        return max(allowed, key=lambda p: p.accuracy).name
    if base.gap is not None and best.gap is not None and best.gap >= base.gap and not base.reads_attribute:
        return base.name
    return best.name


def dominated(point: Point, points: Sequence[Point]) -> bool:
    """Whether another point that may be chosen is no worse on the calibration rows in both, and better in one."""
    if point.gap is None:
        return False
    return any(
        other.accuracy >= point.accuracy
        and other.gap <= point.gap
        and (other.accuracy > point.accuracy or other.gap < point.gap)
        for other in points
        if other.gap is not None and other.may_be_chosen
    )


def levels(
    counts: GroupCounts, attribute: str, constraint: str, groups: tuple[str, ...]
) -> list[Measurement]:
    """Accuracy and the widest gap of one model, with the intervals that the audits give them."""
    right, n = int(c.accuracy(counts).successes.sum()), int(counts.n.sum())
    found = [
        Measurement("performance.accuracy", "estimate", right / n, n, interval=intervals.proportion(right, n))
    ]
    metric, labels = f"fairness.{constraint}_difference", {"attribute": attribute, "scope": "sized"}
    families = [only(c.RATES[name](counts), groups) for name in rates_of(constraint)]
    gap = widest(counts, constraint, groups)
    if gap is None or min(len(rate.groups) for rate in families) < 2:
        why = f"only {len(groups)} of {len(counts.groups)} groups is large enough to be compared"
        return [*found, Measurement(metric, "estimate", None, labels=labels, why=why)]
    if len(families) > 1:
        labels["rate"] = gap.pair.rate
        k = len(counts.groups)
        interval = among_groups.widest_of([(rate.successes, rate.trials, k) for rate in families])
    else:
        interval = among_groups.widest_gap(
            families[0].successes, families[0].trials, compared=len(counts.groups)
        )
    of = families[rates_of(constraint).index(gap.pair.rate)]
    rows = int(of.trials[[of.groups.index(gap.pair.high), of.groups.index(gap.pair.low)]].sum())
    left_out = 1 - sum(int(r.trials.sum()) for r in families) / max(
        sum(int(c.RATES[name](counts).trials.sum()) for name in rates_of(constraint)), 1
    )
    labels |= {"high": gap.pair.high, "low": gap.pair.low}
    return [
        *found,
        Measurement(metric, "estimate", gap.value, rows, left_out, labels, interval=interval),
    ]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows as the comparison needs them: codes of groups ``(rows,)``, their names, and outcomes ``(rows,)``."""

    codes: Array
    names: tuple[str, ...]
    truth: Array


def changes(
    rows: Rows, before: Array, after: Array, *, attribute: str, constraint: str, pair: Pair, against: str
) -> list[Measurement]:
    """What changed on the same rows: accuracy, the difference of the named pair, and each group's rates.

    Args:
        before, after: the decisions of the unmitigated and of the other model, booleans ``(rows,)``.
    """
    right = (before == rows.truth), (after == rows.truth)
    found = [_changed("performance.accuracy", *right, {"against": against})]
    inside = {name: rows.codes == i for i, name in enumerate(rows.names)}
    ends = [
        _within(before, after, inside[group] & counts_for(pair.rate, rows.truth)) if group in inside else None
        for group in (pair.high, pair.low)
    ]
    metric = f"fairness.{constraint}_difference"
    labels = {"attribute": attribute, "scope": "pair", "against": against}
    labels |= {"high": pair.high, "low": pair.low}
    if len(rates_of(constraint)) > 1:
        labels["rate"] = pair.rate
    if ends[0] is None or ends[1] is None:
        why = (
            f"{pair.high} or {pair.low} has no rows here that count towards the {pair.rate.replace('_', ' ')}"
        )
        found.append(Measurement(metric, "estimate", None, labels=labels, why=why))
    else:
        value, interval = change_of_difference(change(*ends[0]), change(*ends[1]))
        n = len(ends[0][0]) + len(ends[1][0])
        found.append(Measurement(metric, "estimate", value, n, labels=labels, interval=interval))
    for group in rows.names:
        named = {"attribute": attribute, "group": group, "against": against}
        for rate in rates_of(constraint):
            part = _within(before, after, inside[group] & counts_for(rate, rows.truth))
            if part is not None:
                found.append(_changed(f"fairness.{rate}", *part, named))
        mine = _within(*right, inside[group])
        if mine is not None:
            found.append(_changed("fairness.accuracy", *mine, named))
    return found


def _changed(metric: str, before: Array, after: Array, labels: dict[str, str]) -> Measurement:
    value, interval = change(before, after)
    return Measurement(metric, "estimate", value, len(before), labels=labels, interval=interval)


def _within(before: Array, after: Array, mask: Array) -> tuple[Array, Array] | None:
    return (before[mask], after[mask]) if mask.any() else None


def counts_for(rate: str, truth: Array) -> Array:
    """Which rows are in the denominator of a rate."""
    if rate == "selection_rate":
        return np.ones(len(truth), dtype=bool)
    return truth if rate == "true_positive_rate" else ~truth
