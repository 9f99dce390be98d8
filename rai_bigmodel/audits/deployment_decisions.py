"""What changed from the trained model to the variant? Scores, decisions, accuracy, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.deployment_answers import NO_DECISION
from rai_bigmodel.evidence import Measurement
from rai_bigmodel.stats import intervals, means

if TYPE_CHECKING:
    from rai_bigmodel.audits.deployment_answers import Pair
    from rai_bigmodel.subject import Subject


def decisions(pair: Pair, variant: Subject) -> list[Measurement]:
    """The largest difference, flips, accuracy lost (or the change of the error, where nothing is decided), size."""
    n = len(pair.first)
    size = variant.card.get("size_bytes")
    return [
        Measurement(
            metric="deployment.max_abs_difference",
            kind="exact",
            value=float(np.abs(pair.first - pair.second).max(initial=0.0)),
            n=n,
            labels=pair.labels,
        ),
        _flips(pair),
        _accuracy(pair),
        *_errors(pair),
        Measurement(
            metric="deployment.size_bytes",
            kind="exact",
            value=float(size) if size is not None else None,
            labels=pair.labels,
            why="" if size is not None else "the variant is not a file",
        ),
    ]


def _flips(pair: Pair) -> Measurement:
    metric, n = "deployment.decision_flip_rate", len(pair.first)
    if pair.decided is None:
        return Measurement(
            metric=metric, kind="estimate", value=None, labels=pair.labels, why=NO_DECISION[pair.task]
        )
    flips = int(pair.flips.sum())
    return Measurement(
        metric=metric,
        kind="estimate",
        value=flips / n,
        n=n,
        labels=pair.labels,
        interval=intervals.proportion(flips, n),
    )


def _accuracy(pair: Pair) -> Measurement:
    """The share of rows that only the subject gets right, less that which only the variant does (McNemar's cells)."""
    metric = "deployment.accuracy_drop"
    if pair.right is None:
        why = NO_DECISION.get(pair.task, "no outcome is known")
        return Measurement(metric=metric, kind="estimate", value=None, labels=pair.labels, why=why)
    first, second = pair.right
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return Measurement(
        metric=metric,
        kind="estimate",
        value=(only_first - only_second) / len(first),
        n=len(first),
        labels=pair.labels,
        interval=intervals.paired_difference(only_first, only_second, len(first)),
    )


def _errors(pair: Pair) -> list[Measurement]:
    """The mean change of the error in a row, in its own units; of words, per word."""
    if pair.task in {"binary", "classes"}:
        return []
    metric = "deployment.error_change"
    if pair.errors is None:
        why = "no outcome is known"
        return [Measurement(metric=metric, kind="estimate", value=None, labels=pair.labels, why=why)]
    change = pair.errors[1] - pair.errors[0]
    interval = means.mean(change)
    return [
        Measurement(
            metric=metric,
            kind="estimate",
            value=float(change.mean()),
            n=len(change),
            labels=pair.labels,
            interval=interval,
            why="" if interval else "every row's error changes alike, so nothing is known about the spread",
        )
    ]
