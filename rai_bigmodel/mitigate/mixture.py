"""What can be expected of a draw among models? Each row's chance of a yes is known, so nothing need be drawn.

The chance is the sum of the shares of the members that say yes. Expected rates and accuracy are its means, exact
for the rows at hand; their intervals are those of means (Student, Welch), because chances are no yes and no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.evidence import Measurement
from rai_bigmodel.mitigate.frontier import counts_for
from rai_bigmodel.mitigate.gap import Gap, Pair, rates_of
from rai_bigmodel.stats import means
from rai_bigmodel.stats.moments import GroupMoments, widest_mean_gap
from rai_bigmodel.stats.regression import welch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rai_bigmodel.evidence import Interval
    from rai_bigmodel.mitigate.frontier import Rows

    Array = np.ndarray

ALIKE = "every row changes by the same, so nothing is known about the spread"


def chance(decided: Iterable[tuple[float, Array]]) -> Array:
    """The chance of a yes for each row ``(rows,)``.

    Args:
        decided: the share of each member, and its decisions ``(rows,)``.
    """
    return np.clip(np.sum([share * said for share, said in decided], axis=0), 0.0, 1.0)


def right(chances: Array, truth: Array) -> Array:
    """The chance that the decision about each row is right ``(rows,)``."""
    return np.where(truth, chances, 1 - chances)


def widest(rows: Rows, chances: Array, constraint: str, groups: tuple[str, ...]) -> Gap | None:
    """The widest gap between expected rates; ``None`` with fewer than two of the groups that have one."""
    gaps = [_gap(rate, _moments(rows, chances, rate), groups) for rate in rates_of(constraint)]
    return max((g for g in gaps if g), key=lambda g: g.value, default=None)


def levels(
    rows: Rows, chances: Array, *, attribute: str, constraint: str, groups: tuple[str, ...]
) -> list[Measurement]:
    """Expected accuracy and the widest gap of expected rates."""
    correct = right(chances, rows.truth)
    found = [_mean("performance.accuracy", correct, {})]
    metric, labels = f"fairness.{constraint}_difference", {"attribute": attribute, "scope": "sized"}
    families = {rate: _moments(rows, chances, rate) for rate in rates_of(constraint)}
    gap = widest(rows, chances, constraint, groups)
    kept = {rate: np.isin(m.groups, groups) & (m.rows > 0) for rate, m in families.items()}
    if gap is None or min(int(k.sum()) for k in kept.values()) < 2:
        why = f"only {len(groups)} of {len(rows.names)} groups is large enough to be compared"
        return [*found, Measurement(metric, "estimate", None, labels=labels, why=why)]
    of, interval, why = families[gap.pair.rate], None, ""
    if len(families) > 1:
        labels["rate"] = gap.pair.rate
        why = "an expectation over two rates at once; no interval of ours covers it"
    else:
        (keep,) = kept.values()
        interval = widest_mean_gap(of, np.flatnonzero(keep), compared=len(of.groups))
        why = "" if interval else "a group's chances are all alike, so nothing is known about the spread"
    n = sum(int(of.rows[of.groups.index(g)]) for g in (gap.pair.high, gap.pair.low))
    left_out = 1 - sum(int(m.rows[kept[r]].sum()) for r, m in families.items()) / max(
        sum(int(m.rows.sum()) for m in families.values()), 1
    )
    labels |= {"high": gap.pair.high, "low": gap.pair.low}
    return [
        *found,
        Measurement(metric, "estimate", gap.value, n, left_out, labels, why=why, interval=interval),
    ]


def changes(
    rows: Rows, before: Array, chances: Array, *, attribute: str, constraint: str, pair: Pair, against: str
) -> list[Measurement]:
    """What can be expected to change on the same rows, as `frontier.changes` has it for a model."""
    gained = right(chances, rows.truth) - right(before.astype(float), rows.truth)
    moved = chances - before
    found = [_mean("performance.accuracy", gained, {"against": against})]
    inside = {name: rows.codes == i for i, name in enumerate(rows.names)}
    nobody = np.zeros(len(moved), dtype=bool)
    ends = [moved[inside.get(g, nobody) & counts_for(pair.rate, rows.truth)] for g in (pair.high, pair.low)]
    labels = {"attribute": attribute, "scope": "pair", "against": against}
    labels |= {"high": pair.high, "low": pair.low}
    if len(rates_of(constraint)) > 1:
        labels["rate"] = pair.rate
    metric = f"fairness.{constraint}_difference"
    if min(map(len, ends)) == 0:
        why = (
            f"{pair.high} or {pair.low} has no rows here that count towards the {pair.rate.replace('_', ' ')}"
        )
        found.append(Measurement(metric, "estimate", None, labels=labels, why=why))
    else:
        interval: Interval | None = welch(*ends)
        value, n = float(ends[0].mean() - ends[1].mean()), len(ends[0]) + len(ends[1])
        why = "" if interval else ALIKE
        found.append(Measurement(metric, "estimate", value, n, labels=labels, why=why, interval=interval))
    for group in rows.names:
        named = {"attribute": attribute, "group": group, "against": against}
        parts = {r: moved[inside[group] & counts_for(r, rows.truth)] for r in rates_of(constraint)}
        found += [_mean(f"fairness.{rate}", part, named) for rate, part in parts.items() if len(part)]
        if inside[group].any():
            found.append(_mean("fairness.accuracy", gained[inside[group]], named))
    return found


def _mean(metric: str, values: Array, labels: dict[str, str]) -> Measurement:
    interval = means.mean(values)
    why = "" if interval else ALIKE
    value = float(values.mean())
    return Measurement(metric, "estimate", value, len(values), labels=labels, why=why, interval=interval)


def _moments(rows: Rows, chances: Array, rate: str) -> GroupMoments:
    there = counts_for(rate, rows.truth)
    return GroupMoments.of(rows.codes[there], chances[there], groups=rows.names)


def _gap(rate: str, of: GroupMoments, groups: tuple[str, ...]) -> Gap | None:
    at = [i for i, name in enumerate(of.groups) if name in groups and of.rows[i] > 0]
    if len(at) < 2:
        return None
    high, low = max(at, key=lambda i: of.means[i]), min(at, key=lambda i: of.means[i])
    if high == low:  # all alike: still a pair of two different groups
        low = next(i for i in at if i != high)
    return Gap(float(of.means[high] - of.means[low]), Pair(rate, of.groups[high], of.groups[low]))
