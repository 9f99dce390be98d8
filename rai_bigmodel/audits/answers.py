"""What did a subject answer for each row, and what would have been right? For two labels, several, or a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import cells
from rai_bigmodel.subject import (
    answers_of,
    column_of,
    decisions_of,
    has_scores,
    in_memory,
    scores_of,
    task_of,
    truth_of,
)
from rai_bigmodel.tables import Table, canonical

if TYPE_CHECKING:
    from rai_bigmodel.stats.cells import Cells
    from rai_bigmodel.subject import Array, Cohort, Subject


NEEDS_ROWS = "the rows stay in their engine, and this is measured on single rows"
IN_BINS = (
    "Rows stay in their engine: scores were counted there in 4,096 bins, and each number says how far that of the rows "
    "may lie from it; intervals are that much wider."
)


NOT_PROBABLE = {
    "number": "the subject predicts a number, not a probability",
    "reconstruction": "the subject rebuilds rows and gives no probability",
    "language": "the subject says how likely words are, not how probable an outcome is",
}


class Labelled(NamedTuple):
    """Answers of a subject that gives one of several labels.

    Args:
        labels: their names; codes count from 0.
        truth, decision: codes ``(rows,)``.
        chances: class probabilities ``(rows, labels)``, or ``None`` where only decisions were given.
    """

    labels: tuple[str, ...]
    truth: Array
    decision: Array
    chances: Array | None


def labelled(subject: Subject, cohort: Cohort) -> Labelled:
    """The labels a subject gives, and the right ones.

    Raises:
        InputError: an outcome is missing or none of the subject's labels, or the answers are not finite
            probabilities, one for each row and label.
    """
    labels = subject.decision.labels
    truth = _codes(cohort, column_of(cohort, "truth"), labels, subject.name)
    if subject.kind == "table":
        if not (column := cohort.roles.get("prediction", ("",))[0]):
            msg = (
                f"{cohort.name}: with {len(labels)} labels a column of predictions is needed, one label a row"
            )
            raise InputError(msg)
        return Labelled(labels, truth, _codes(cohort, column, labels, subject.name), None)
    chances = answers_of(subject, cohort)
    if chances.shape != (cohort.rows, len(labels)):
        msg = f"{subject.name}: gave answers of shape {chances.shape} for {cohort.rows:,} rows and {len(labels)} labels"
        raise InputError(msg)
    if bad := int((~np.isfinite(chances)).any(axis=1).sum()):
        msg = f"{subject.name}: the answers to {bad:,} of {cohort.rows:,} rows are not finite numbers"
        raise InputError(msg)
    return Labelled(labels, truth, chances.argmax(axis=1), chances if has_scores(subject, cohort) else None)


def are_probabilities(chances: Array) -> bool:
    """Whether every row is from 0 to 1 and adds up to 1."""
    return bool((chances >= 0).all() and np.allclose(chances.sum(axis=1), 1.0, atol=1e-4))


def _codes(cohort: Cohort, column: str, labels: tuple[str, ...], name: str) -> Array:
    text = canonical(cohort.arrays(column)[column])
    place = {label: i for i, label in enumerate(labels)}
    distinct, inverse = np.unique(text.astype(str), return_inverse=True)
    if strange := [t for t in distinct.tolist() if t not in place]:
        what = f"{cohort.name}: {column!r} holds a label that {name} does not give"
        raise InputError.unknown(what, strange[0], labels)
    return np.array([place[t] for t in distinct.tolist()], dtype=np.int64)[inverse]


class Numbers(NamedTuple):
    """Answers of a subject that predicts a number, and the right ones; each ``(rows,)``."""

    truth: Array
    predicted: Array


def numbers(subject: Subject, cohort: Cohort) -> Numbers:
    """The numbers a subject predicts, and the right ones.

    Raises:
        InputError: the outcome is not a column of finite numbers, or the answers are not.
    """
    column = column_of(cohort, "truth")
    truth = cohort.arrays(column)[column]
    if truth.dtype == object:
        msg = f"{cohort.name}: {column!r} holds text; a subject without labels predicts a number"
        raise InputError(msg)
    if bad := int((~np.isfinite(truth)).sum()):
        msg = f"{cohort.name}: {column!r} is missing or not finite in {bad:,} of {cohort.rows:,} rows"
        raise InputError(msg)
    return Numbers(np.asarray(truth, dtype=np.float64), scores_of(subject, cohort))


class Confidence(NamedTuple):
    """Probabilities ``(rows,)``, whether what they are of came true, what that is, and the rows by score."""

    scores: Array
    truth: Array
    of: str
    cells: Cells


class Binned(NamedTuple):
    """The same of rows that stay in their engine, counted in bins of scores."""

    cells: Cells
    of: str


def confidence(subject: Subject, cohort: Cohort) -> Confidence | Binned | str:
    """What a subject says is probable; or, in words, why it says nothing of the kind.

    With two labels the probability of the positive one; with several, of the label it gives (Guo, Pleiss, Sun
    and Weinberger 2017).
    """
    task = task_of(subject)
    if task in NOT_PROBABLE:
        return NOT_PROBABLE[task]
    if not has_scores(subject, cohort):
        return "only decisions were given, no scores"
    if not in_memory(cohort):
        found = cells_in_engine(cohort) if task == "binary" else None
        return NEEDS_ROWS if found is None else Binned(found, "the positive label")
    if task == "classes":
        answers = labelled(subject, cohort)
        if answers.chances is None or not are_probabilities(answers.chances):
            return "the answers are not probabilities: they do not add up to 1 in every row"
        scores, truth = answers.chances.max(axis=1), answers.decision == answers.truth
        return Confidence(scores, truth, "the label that is given", cells.of_rows(scores, truth))
    scores = scores_of(subject, cohort)
    if scores.min() < 0 or scores.max() > 1:
        return "the scores are not probabilities: some lie outside 0 to 1"
    truth = truth_of(cohort)
    return Confidence(scores, truth, "the positive label", cells_of(cohort, scores, truth))


def cells_of(cohort: Cohort, scores: Array, truth: Array) -> Cells:
    """All rows by score: of a table counted once for all who ask."""
    return (
        cohort.by_score((), scores, truth)[0] if isinstance(cohort, Table) else cells.of_rows(scores, truth)
    )


def cells_in_engine(cohort: Cohort) -> Cells:
    """All rows by score, in bins, counted where they are."""
    counts, _ = cohort.histogram((), score=column_of(cohort, "score"), truth=column_of(cohort, "truth"))
    return cells.of_histogram(counts[0])


def correct(subject: Subject, cohort: Cohort) -> Array:
    """Whether each row got the right label ``(rows,)``; not for a subject that predicts a number."""
    if task_of(subject) == "classes":
        answers = labelled(subject, cohort)
        return answers.decision == answers.truth
    return decisions_of(subject, cohort) == truth_of(cohort)
