"""How well does a model without an outcome know the rows themselves: rebuild them, or foresee their words?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.performance_classes import estimate
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Findings
from rai_bigmodel.stats import means
from rai_bigmodel.stats.ladder import moved
from rai_bigmodel.subject import answers_of, in_memory, inputs_of, scores_of, task_of
from rai_bigmodel.words import percent

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Interval
    from rai_bigmodel.subject import Array, Cohort, Subject

NOTED_UNKNOWN = 0.05
"""From this share of words that a model does not know on, a reader is told."""
SAME = "every row has the same error, so nothing is known about its spread"


def of_rebuilding(subject: Subject, cohort: Cohort) -> Findings:
    """The mean squared error of rebuilt rows, in the units that the net scales to."""
    errors = scores_of(subject, cohort)
    interval = means.mean(errors)
    found = estimate(
        "reconstruction_error", errors.mean(), len(errors), interval=interval, why="" if interval else SAME
    )
    return Findings(measurements=(found,))


def of_words(subject: Subject, cohort: Cohort) -> Findings:
    """Perplexity: how many words, all equally likely, would be as hard to foresee.

    The exponential of a ratio of two sums over rows, whose interval is that of what each row adds to it.
    """
    surprise, words = surprises(subject, cohort)
    if not words.any():
        why = "no row has a word after its first"
        return Findings(measurements=(estimate("perplexity", None, cohort.rows, why=why),))
    value, interval = perplexity(surprise, words)
    return Findings(
        measurements=(
            estimate("perplexity", value, cohort.rows, interval=interval, why="" if interval else SAME),
        )
    )


def unknown_words(subject: Subject, cohort: Cohort) -> tuple[str, ...]:
    """What a reader is told where the rows are of words that a model of texts does not know; else nothing.

    It reads all of them as one, so numbers on such rows say little of what it would say of words it knows.
    """
    tokens = getattr(getattr(subject.module, "reads", None), "tokens", None)
    if tokens is None or subject.read is None or not in_memory(cohort):
        return ()
    from rai_bigmodel.nets.reads import PADDING, UNKNOWN

    (ids, *others) = subject.read(inputs_of(cohort))
    share = float((ids == UNKNOWN).sum() / max(1, (ids != PADDING).sum()))
    if others or share < NOTED_UNKNOWN:
        return ()
    if task_of(subject) != "language":
        return (
            f"{percent(share)} of the words of these rows are unknown to the model, which reads all of them as one.",
        )
    note = (
        f"{percent(share)} of the words or characters of these rows are unknown to the model. It foresees all of them "
        "as one, so this perplexity is not comparable with that of a model that knows them."
    )
    return (note,)


def perplexity(surprise: Array, words: Array) -> tuple[float, Interval | None]:
    """Perplexity and its interval, from minus the log likelihood of each row's words and how many they are."""
    each = surprise.sum() / words.sum()
    interval = means.mean(each + (surprise - each * words) / words.mean())
    # The exponential of more than 700 is no number.
    return float(np.exp(each)), interval and moved(interval, lambda end: float(np.exp(min(end, 700.0))))


def surprises(subject: Subject, cohort: Cohort) -> tuple[Array, Array]:
    """Minus the log likelihood of each row's words, and how many they are; each ``(rows,)``.

    Raises:
        InputError: the subject gives something else.
    """
    said = answers_of(subject, cohort)
    if said.shape != (cohort.rows, 2) or not np.isfinite(said).all():
        msg = (
            f"{subject.name}: must give two finite numbers for each of {cohort.rows:,} rows, minus the log "
            f"likelihood of its words and how many they are; got the shape {said.shape}"
        )
        raise InputError(msg)
    return said[:, 0], said[:, 1]
