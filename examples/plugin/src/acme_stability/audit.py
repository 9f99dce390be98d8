"""How many decisions hang on a hair?

A decision whose score lies within a small margin of the threshold is on the knife's edge: a rounded income, a
retrained model or another library version would turn it. Where many are, and above all where many of one
group are, a person should look before the letter goes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rai_bigmodel.evidence import Dot, Dots, Findings, Measurement, Record
from rai_bigmodel.stats.intervals import proportion
from rai_bigmodel.subject import has_scores, scores_of
from rai_bigmodel.tables import canonical

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Splits, Subject

METRIC = "decision_stability.knife_edge_share"


class DecisionStability(Record):
    """The share of decisions that would turn if the score moved by `margin`, overall and by group.

    Args:
        margin: how far a score may be from the threshold to count as near, in units of the score.
    """

    question: ClassVar[str] = "How many decisions hang on a hair?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)

    margin: float = 0.02

    def __post_init__(self) -> None:
        """Refuse a margin that says nothing, with the path of the parameter."""
        super().__post_init__()
        if not 0 < self.margin < 1:
            msg = f"margin must lie between 0 and 1, got {self.margin}"
            raise ValueError(msg)

    def __call__(self, subject: Subject, data: Splits, _rng: np.random.Generator) -> Findings:
        """Shares with exact binomial intervals (Clopper and Pearson 1934); nothing here is random."""
        rows = data.held_out
        threshold = subject.decision.threshold
        if threshold is None or not has_scores(subject, rows):
            why = "there is no score with a threshold, so no decision is nearer to it than another"
            return Findings(measurements=(Measurement(metric=METRIC, kind="estimate", value=None, why=why),))
        near = np.abs(scores_of(subject, rows) - threshold) < self.margin
        measurements = [_share(near)]
        exhibits = []
        for attribute in rows.roles.get("sensitive", ()):
            groups = canonical(rows.arrays(attribute)[attribute])
            shares = [
                _share(near[groups == group], attribute=attribute, group=str(group))
                for group in sorted(set(groups))
            ]
            measurements += shares
            exhibits.append(_picture(attribute, shares, self.margin))
        return Findings(measurements=tuple(measurements), exhibits=tuple(exhibits))


def _share(near: Array, **labels: str) -> Measurement:
    """A share of rows as a measurement that a policy can judge; the interval carries its whole ladder."""
    count, n = int(near.sum()), len(near)
    return Measurement(
        metric=METRIC, kind="estimate", value=count / n, n=n, labels=labels, interval=proportion(count, n)
    )


def _picture(attribute: str, shares: list[Measurement], margin: float) -> Dots:
    """The data of a picture; the report draws it."""
    dots = tuple(
        Dot(
            label=m.labels["group"],
            value=m.value,
            low=m.interval.low if m.interval else None,
            high=m.interval.high if m.interval else None,
            n=m.n,
        )
        for m in shares
    )
    return Dots(
        title=f"Decisions within {margin:g} of the threshold, by {attribute}",
        dots=dots,
        axis="share of decisions",
        unit="share",
        caption="The share of each group whose decision would turn if the score moved by the margin.",
    )
