"""What did privacy cost whom? The private model and its plain twin on the same rows, group by group.

Accuracy: the plain twin's less the private model's, paired (Tango 1998). Calibration: the debiased error of the private
model less the plain twin's. Above zero the group is served worse by the private model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits import answers
from rai_bigmodel.audits.fairness_groups import groups_of
from rai_bigmodel.evidence import Dot, Dots, Measurement
from rai_bigmodel.stats import calibration, intervals
from rai_bigmodel.stats.calibration_change import change
from rai_bigmodel.subject import attributes_of, in_memory, task_of

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

EVERYONE = "everyone"
"""What the one group is called where no column is sensitive."""


def costs(
    subject: Subject, data: Splits, asked: tuple[str, ...]
) -> tuple[list[Measurement], tuple[Dots, ...]]:
    """What each group lost, with intervals, and a picture of each attribute."""
    cohort = data.held_out
    plain = subject.relatives.get("plain")
    if plain is None:
        return _none("there is no relative in the role 'plain' (the same net, trained without privacy)"), ()
    if task_of(subject) not in {"binary", "classes"}:
        return _none("the subject gives no labels, so none of them is right or wrong"), ()
    right, plainly_right = (answers.correct(one, cohort) for one in (subject, plain))
    attributes = () if not asked and not cohort.roles.get("sensitive") else attributes_of(cohort, asked)
    found: list[Measurement] = []
    pictures: list[Dots] = []
    for attribute in attributes or (EVERYONE,):
        columns = attribute.split("*") if attributes else []
        accuracy, picture = _accuracy(cohort, attribute, columns, plainly_right, right)
        found += accuracy
        pictures.append(picture)
        found += _calibration(subject, plain, cohort, attribute, grouped=bool(attributes))
    return found, tuple(pictures)


def _none(why: str) -> list[Measurement]:
    return [
        Measurement(metric=f"privacy.{name}_cost", kind="estimate", value=None, why=why)
        for name in ("accuracy", "calibration")
    ]


def _accuracy(
    cohort: Cohort, attribute: str, columns: list[str], plainly_right: Array, right: Array
) -> tuple[list[Measurement], Dots]:
    # Rows of a group that both, one or the other gets right, through the one door that counts groups.
    counts = cohort.count(columns, truth=plainly_right, decision=right)
    found, dots = [], []
    for group, n, plainly, private, both in zip(
        counts.groups,
        counts.n.tolist(),
        counts.positives.tolist(),
        counts.selected.tolist(),
        counts.true_positives.tolist(),
        strict=True,
    ):
        interval = intervals.paired_difference(plainly - both, private - both, n)
        value = (plainly - private) / n
        found.append(
            Measurement(
                metric="privacy.accuracy_cost",
                kind="estimate",
                value=value,
                n=n,
                labels={"attribute": attribute, "group": group},
                interval=interval,
            )
        )
        ends = (interval.low, interval.high) if interval else (None, None)
        dots.append(Dot(label=group, value=value, low=ends[0], high=ends[1], n=n))
    return found, Dots(
        title=f"What privacy cost each group, by {attribute}",
        dots=tuple(dots),
        axis="accuracy of the plain twin minus accuracy of the private model",
        caption="Right of zero: the group is served worse by the private model. 95 % intervals, paired.",
    )


def _calibration(
    subject: Subject, plain: Subject, cohort: Cohort, attribute: str, *, grouped: bool
) -> list[Measurement]:
    if not in_memory(cohort):
        why = answers.NEEDS_ROWS
        return [Measurement(metric="privacy.calibration_cost", kind="estimate", value=None, why=why)]
    said = [answers.confidence(one, cohort) for one in (plain, subject)]
    group, names = groups_of(cohort, attribute) if grouped else (np.zeros(cohort.rows, dtype=int), ("all",))
    found = []
    for i, name in enumerate(names):
        here = group == i
        value, interval, why = None, None, next((one for one in said if isinstance(one, str)), "")
        if not why:
            before, after = (
                calibration.ece_debiased(one.scores[here], one.truth[here])
                for one in said
                if isinstance(one, answers.Confidence)
            )
            value, interval, why = change(before, after)
        found.append(
            Measurement(
                metric="privacy.calibration_cost",
                kind="estimate",
                value=value,
                n=int(here.sum()),
                labels={"attribute": attribute, "group": name},
                interval=interval,
                why=why,
            )
        )
    return found
