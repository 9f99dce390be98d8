"""Do predicted numbers, and their errors, differ between the groups of one attribute?

An error is the prediction less the outcome, so that a group whose numbers are put too high stands apart from one
whose numbers are put too low. Groups of 30 rows (effective ones, where they carry weights) and a known value are
compared (`scope: sized`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.fairness_rates import measurement
from rai_bigmodel.evidence import Dot, Dots, Findings, Table
from rai_bigmodel.stats.disparity import SMALLEST_ROWS, known
from rai_bigmodel.stats.moments import GroupMoments, widest_mean_gap

if TYPE_CHECKING:
    from rai_bigmodel.audits.fairness_groups import Grouping
    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.subject import Array


def of_means(
    attribute: str,
    groups: Grouping,
    predicted: Array,
    truth: Array,
    weight: Array | None = None,
) -> Findings:
    """Mean predictions of each group, and the widest difference in mean error.

    Args:
        groups: codes ``(rows,)`` and names.
        predicted, truth: numbers ``(rows,)``.
        weight: above 0 for each row ``(rows,)``.
    """
    codes, names = groups
    predictions, outcomes, errors, absolute = (
        GroupMoments.of(codes, values, groups=names, weight=weight)
        for values in (predicted, truth, predicted - truth, np.abs(predicted - truth))
    )
    found = [_mean(attribute, predictions, i) for i in range(len(names))]
    enough = (errors.effective >= SMALLEST_ROWS) & known(names)
    found += [
        _gap(attribute, errors, keep, scope) for scope, keep in (("sized", enough), ("all", errors.rows > 1))
    ]
    rows = tuple(
        (
            name,
            int(errors.rows[i]),
            *(_figures(m.means[i]) for m in (outcomes, predictions, errors, absolute)),
            "yes" if enough[i] else "no",
        )
        for i, name in enumerate(names)
    )
    table = Table(
        title=f"Predictions and errors by {attribute}",
        columns=(
            "group",
            "rows",
            "mean outcome",
            "mean prediction",
            "mean error",
            "mean absolute error",
            "compared",
        ),
        rows=rows,
        caption="An error is the prediction less the outcome.",
    )
    return Findings(measurements=tuple(found), exhibits=(_dots(attribute, errors, enough), table))


def _mean(attribute: str, moments: GroupMoments, i: int) -> Measurement:
    labels = {"attribute": attribute, "group": moments.groups[i]}
    mean, n = float(moments.means[i]), int(moments.rows[i])
    interval = moments.interval(i)
    why = (
        ""
        if interval
        else "all predictions of this group are the same, so nothing is known about their spread"
    )
    return measurement("mean_prediction", labels, mean, n=n, interval=interval, why=why)


def _gap(attribute: str, errors: GroupMoments, keep: Array, scope: str) -> Measurement:
    name, labels = "mean_error_difference", {"attribute": attribute, "scope": scope}
    at = np.nonzero(keep)[0]
    excluded = 0.0 if scope == "all" else float(errors.rows[~keep].sum() / max(errors.rows.sum(), 1))
    if len(at) < 2:
        why = (
            f"only {len(at)} of {len(keep)} groups is large enough to be compared: {SMALLEST_ROWS} rows are "
            "needed, and a known value"
        )
        return measurement(name, labels, None, excluded=excluded, why=why)
    high, low = int(at[np.argmax(errors.means[at])]), int(at[np.argmin(errors.means[at])])
    if high == low:
        high, low = int(at[0]), int(at[1])
    interval = widest_mean_gap(errors, at, compared=len(keep))
    return measurement(
        name,
        {**labels, "high": errors.groups[high], "low": errors.groups[low]},
        float(errors.means[high] - errors.means[low]),
        n=int(errors.rows[high] + errors.rows[low]),
        excluded=excluded,
        interval=interval,
        why=""
        if interval
        else "all errors of one group are the same, so nothing is known about their spread",
    )


def _dots(attribute: str, errors: GroupMoments, keep: Array) -> Dots:
    dots = []
    for i in sorted(range(len(keep)), key=lambda i: (not keep[i], -int(errors.rows[i]), errors.groups[i])):
        mean = float(errors.means[i])
        span = errors.interval(i)
        ends = {"low": span.low, "high": span.high} if span else {}
        label = errors.groups[i] + ("" if keep[i] else " †")
        dots.append(Dot(label=label, value=mean, n=int(errors.rows[i]), **ends))
    small = " † too small to be compared." if not keep.all() else ""
    return Dots(
        title=f"Mean error of the prediction, by {attribute}",
        dots=tuple(dots),
        caption=f"95 % intervals, each group on its own.{small}",
        axis="prediction less outcome",
    )


def _figures(value: float) -> float:
    """Six figures are enough for a table."""
    return float(f"{value:.6g}")
