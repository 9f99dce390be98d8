"""What changed against the model that runs today? Each measurement again, as a paired change on the same rows.

An audit measures both models and hands over both findings, with the changes for which it knows a paired interval; the
others get the interval that holds however the two move together (`paired.of_two`). A change is labelled
``against: baseline``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rai_bigmodel.audits.answers import NEEDS_ROWS
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import BASELINE, Interval, Kind, Measurement
from rai_bigmodel.stats import paired
from rai_bigmodel.subject import in_memory, task_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rai_bigmodel.subject import Cohort, Subject

    Key = tuple[str, tuple[tuple[str, str], ...]]
    Changed = tuple[float, Interval | None]

_NOT_THE_QUESTION = frozenset(("high", "low", "to", "rate"))
"""Labels that say which groups it came out to be, not what was asked."""


def key(metric: str, labels: Mapping[str, str]) -> Key:
    """What makes a measurement before and one after the same question."""
    return metric, tuple(sorted((k, v) for k, v in labels.items() if k not in _NOT_THE_QUESTION))


def baseline_of(subject: Subject) -> Subject | None:
    """The model that runs today, if one came along; it must answer the same question.

    Raises:
        InputError: it decides between other labels, or its scores are those of another one.
    """
    other = subject.relatives.get(BASELINE)
    if other is None:
        return None
    if task_of(other) != task_of(subject):
        msg = (
            f"the baseline {other.name} cannot be compared with {subject.name}: the outcome of one is of the kind "
            f"{task_of(other)}, of the other {task_of(subject)}"
        )
        raise InputError(msg)
    if task_of(subject) == "binary" and other.decision.positive != subject.decision.positive:
        msg = (
            f"the baseline {other.name} scores the label {other.decision.positive!r}, and {subject.name} the label "
            f"{subject.decision.positive!r}"
        )
        raise InputError(msg)
    return other


def in_engine(found: Iterable[Measurement], cohort: Cohort) -> tuple[Measurement, ...]:
    """Every change as null, where rows cannot be paired one by one; nothing where they can."""
    if in_memory(cohort):
        return ()
    return tuple(_changed(m, None, why=NEEDS_ROWS) for m in found if m.kind == "estimate")


def changes(
    after: Iterable[Measurement], before: Iterable[Measurement], known: Mapping[Key, Changed]
) -> tuple[Measurement, ...]:
    """Every estimate of both as its change.

    Args:
        after, before: what was measured of the subject and of the baseline, on the same rows.
        known: the changes with a paired interval; of what has none here, the two intervals bound the change.
    """
    was = {key(m.metric, m.labels): m for m in before}
    out = []
    for m in after:
        same = key(m.metric, m.labels)
        old = was.get(same)
        if m.kind == "p_value" or old is None or (m.kind == "exact" and m.metric.endswith(_COUNTS)):
            continue
        if m.value is None or old.value is None:
            out.append(_changed(m, None, why=m.why if m.value is None else f"of the baseline: {old.why}"))
            continue
        if m.kind == old.kind == "exact" and m.labels == old.labels:
            out.append(_changed(m, m.value - old.value, why="", kind="exact"))
            continue
        value, interval = known.get(same, (m.value - old.value, None))
        interval = interval or paired.of_two((old.value, old.interval), (m.value, m.interval))
        why = "" if interval else "one of the two has no interval, so neither has the change"
        out.append(_changed(m, value, interval=interval, why=why))
    return tuple(out)


_COUNTS = ("minimum_detectable_difference", "rows_needed")
"""What says how much the rows can show, which is no matter of the model."""


def _changed(
    m: Measurement,
    value: float | None,
    *,
    why: str,
    interval: Interval | None = None,
    kind: Kind = "estimate",
) -> Measurement:
    return msgspec.structs.replace(
        m, kind=kind, value=value, interval=interval, why=why, labels={**m.labels, "against": BASELINE}
    )
