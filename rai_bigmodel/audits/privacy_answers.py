"""How sure is a model of the right answer to each row? What every attack on membership starts from.

| outcome | confidence | chance |
|---|---|---|
| yes or no, one of several labels | the logit of the right label's probability | that probability |
| a yes or no by a score that is no probability | the score, towards the right label | its sigmoid |
| a number; the row rebuilt by an autoencoder | minus the error | exp(−error / the usual error) |
| the words of a text | the mean log likelihood of a word | its exponential |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.audits import answers, performance_rows
from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import attacks
from rai_bigmodel.subject import scores_of, task_of, truth_of

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort, Subject


class Sure(NamedTuple):
    """How sure of each row, higher is rather a member; each ``(rows,)``.

    Args:
        confidence: without bounds.
        chance: from 0 to 1; an error is put through `usual`.
    """

    confidence: Array
    chance: Array


def sure_of(subject: Subject, cohort: Cohort, *, usual: float = 1.0) -> Sure:
    """How sure the subject is of the right answer to each row.

    Args:
        usual: the error that counts as a chance of 1/e; only where answers are numbers or rebuilt rows.

    Raises:
        InputError: the answers are not what the outcome asks for.
    """
    task = task_of(subject)
    if task in {"number", "reconstruction"}:
        error = _errors(subject, cohort)
        return Sure(-error, np.exp(-error / max(usual, 1e-300)))
    if task == "language":
        surprise, words = performance_rows.surprises(subject, cohort)
        each = -surprise / np.maximum(words, 1)
        return Sure(each, np.exp(np.minimum(each, 0.0)))
    if task == "classes":
        given = answers.labelled(subject, cohort)
        if given.chances is None or not answers.are_probabilities(given.chances):
            msg = f"{subject.name}: membership inference needs the probability of every label"
            raise InputError(msg)
        right = np.clip(given.chances[np.arange(cohort.rows), given.truth], 0.0, 1.0)
        return Sure(attacks.right_label_confidence(given.chances, given.truth), right)
    scores, truth = scores_of(subject, cohort), truth_of(cohort)
    sign = np.where(truth, 1.0, -1.0)
    if scores.min() >= 0 and scores.max() <= 1:
        return Sure(attacks.logit_confidence(scores) * sign, np.where(truth, scores, 1 - scores))
    return Sure(scores * sign, 0.5 + np.tanh(scores * sign / 2) / 2)


def usual_error(subject: Subject, cohort: Cohort) -> float:
    """The mean error where answers have one, else 1."""
    if task_of(subject) in {"number", "reconstruction"}:
        return float(_errors(subject, cohort).mean()) or 1.0
    return 1.0


def _errors(subject: Subject, cohort: Cohort) -> Array:
    if task_of(subject) == "reconstruction":
        return scores_of(subject, cohort)
    told = answers.numbers(subject, cohort)
    return np.abs(told.truth - told.predicted)
