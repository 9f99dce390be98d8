"""What do the subject and a variant say about the same rows, and what would have been right?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.exchanged import other_label, other_order
from rai_bigmodel.subject import Outcome, answers_of, column_of, task_of
from rai_bigmodel.tables import canonical

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort, Subject

DECIDES = frozenset(["binary", "classes"])
NO_DECISION = {
    "number": "the subject predicts a number and decides nothing",
    "reconstruction": "the subject rebuilds rows and decides nothing",
    "language": "the subject says how likely words are and decides nothing",
}


class Pair(NamedTuple):
    """Answers of the subject (first) and of a variant (second) about the same rows.

    Args:
        variant: its name.
        task: what the subject's answers are.
        first, second: answers ``(rows,)`` or ``(rows, labels)``, the variant's in the subject's order of labels.
        decided: what each decides, as codes ``(rows,)``; ``None`` where nothing is decided.
        truth: what would have been right, as codes, or the number; ``None`` where no outcome is known.
        order: what is wrong with the variant's order of labels, in words; empty when nothing is.
    """

    variant: str
    task: Outcome
    first: Array
    second: Array
    decided: tuple[Array, Array] | None
    truth: Array | None
    order: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels of a measurement of it."""
        return {"variant": self.variant}

    @property
    def flips(self) -> Array:
        """Whether each row is decided otherwise ``(rows,)``."""
        assert self.decided is not None
        return self.decided[0] != self.decided[1]

    @property
    def right(self) -> tuple[Array, Array] | None:
        """Whether each is right ``(rows,)``."""
        if self.decided is None or self.truth is None:
            return None
        return self.decided[0] == self.truth, self.decided[1] == self.truth

    @property
    def errors(self) -> tuple[Array, Array] | None:
        """How far off each is in every row ``(rows,)``: absolute errors, or the error that the answer itself is."""
        if self.task == "number" and self.truth is not None:
            return np.abs(self.first - self.truth), np.abs(self.second - self.truth)
        if self.task == "reconstruction":
            return self.first, self.second
        if self.task == "language":
            words = np.maximum(self.first[:, 1], 1)
            return self.first[:, 0] / words, self.second[:, 0] / words
        return None


def both(subject: Subject, variant: Subject, cohort: Cohort, name: str) -> Pair:
    """Ask both about the rows.

    Raises:
        InputError: they do not decide between the same labels, or an answer is not a finite number of the right shape.
    """
    task = task_of(subject)
    first, second = _answers(subject, cohort), _answers(variant, cohort)
    there, here = subject.decision, variant.decision
    if first.shape != second.shape or sorted(there.labels) != sorted(here.labels):
        msg = (
            f"{name}: answers in the shape {second.shape} between {list(here.labels)[:8]}, the subject in "
            f"{first.shape} between {list(there.labels)[:8]}; they cannot be compared"
        )
        raise InputError(msg)
    if task == "classes" and there.labels != here.labels:
        second = second[:, [here.labels.index(label) for label in there.labels]]
    if task == "binary" and there.positive != here.positive:
        second = 1 - second
    decided = _decided(subject, task, first), _decided(subject, task, second)
    column = cohort.roles.get("truth")
    return Pair(
        variant=name,
        task=task,
        first=first,
        second=second,
        decided=decided if task in DECIDES else None,
        truth=_truth(subject, cohort, task) if column else None,
        order=_order(first, second, task, there.labels, name),
    )


def _answers(subject: Subject, cohort: Cohort) -> Array:
    answers = answers_of(subject, cohort)
    if answers.shape[:1] != (cohort.rows,):
        msg = f"{subject.name}: gave answers of shape {answers.shape} for {cohort.rows:,} rows"
        raise InputError(msg)
    if bad := int((~np.isfinite(answers.reshape(cohort.rows, -1))).any(axis=1).sum()):
        msg = f"{subject.name}: the answers to {bad:,} of {cohort.rows:,} rows are not finite numbers"
        raise InputError(msg)
    if answers.ndim == 2 and len(subject.decision.labels) == 2:
        return answers[:, subject.decision.labels.index(subject.decision.positive)]
    return answers


def _decided(subject: Subject, task: Outcome, answers: Array) -> Array:
    """Codes of labels, or whether the positive label is given; both models by the subject's own rule.

    What a variant's metadata say of the rule is part of its file, and was compared with the run's when it was made.
    """
    if task == "classes":
        return answers.argmax(axis=1)
    threshold = 0.5 if subject.decision.threshold is None else subject.decision.threshold
    return answers >= threshold if answers.ndim == 1 else np.zeros(len(answers))


def _truth(subject: Subject, cohort: Cohort, task: Outcome) -> Array | None:
    column = column_of(cohort, "truth")
    if task == "binary":
        return cohort.binary(column)
    if task == "number":
        return np.asarray(cohort.arrays(column)[column], dtype=np.float64)
    if task != "classes":
        return None
    place = {label: i for i, label in enumerate(subject.decision.labels)}
    text = canonical(cohort.arrays(column)[column]).tolist()
    return np.array([place.get(str(t), -1) for t in text])


def _order(first: Array, second: Array, task: Outcome, labels: tuple[str, ...], name: str) -> str:
    """The right probabilities under the wrong labels look like a bad model; a reader should know which it is."""
    if task == "binary":
        return (
            f"The score of {name} looks like that of the other label." if other_label(first, second) else ""
        )
    found = other_order(first, second) if task == "classes" else None
    if found is None:
        return ""
    theirs, given = labels[found[0]], labels[found[1]]
    return (
        f"The labels of {name} look as if they were in another order: what it gives for {given!r} is that of "
        f"{theirs!r}."
    )
