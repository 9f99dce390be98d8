"""What did privacy cost whom? The private model and its plain twin on the same rows, group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rai_bigmodel.evidence import Dot, Dots, Measurement
from rai_bigmodel.stats import intervals
from rai_bigmodel.subject import attributes_of, column_of, decisions_of

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Table
    from rai_bigmodel.subject import Splits, Subject


def costs(
    subject: Subject, data: Splits, asked: tuple[str, ...]
) -> tuple[list[Measurement], list[Table | Dots]]:
    """The accuracy that each group lost, with paired intervals, and a picture of each attribute."""
    cohort = data.held_out
    plain = subject.relatives.get("plain")
    if plain is None:
        why = "there is no relative in the role 'plain' (the same net, trained without privacy)"
        return [Measurement(metric="privacy.accuracy_cost", kind="estimate", value=None, why=why)], []
    truth = cohort.binary(column_of(cohort, "truth"))
    right, plainly_right = (decisions_of(s, cohort) == truth for s in (subject, plain))
    found: list[Measurement] = []
    pictures: list[Table | Dots] = []
    for attribute in attributes_of(cohort, asked):
        # Rows of a group that both, one or the other gets right, through the one door that counts groups.
        counts = cohort.count(attribute.split("*"), truth=plainly_right, decision=right)
        dots = []
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
        pictures.append(
            Dots(
                title=f"What privacy cost each group, by {attribute}",
                dots=tuple(dots),
                axis="accuracy of the plain twin minus accuracy of the private model",
                caption="Right of zero: the group is served worse by the private model. 95 % intervals, paired.",
            )
        )
    return found, pictures
