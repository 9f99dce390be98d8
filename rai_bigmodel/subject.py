"""What stands before an auditor? A trained model, and the rows to ask it about."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload, runtime_checkable

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import DataId, Decision, Record, SubjectId

if TYPE_CHECKING:
    from torch import nn

    from rai_bigmodel.stats.counts import GroupCounts
    from rai_bigmodel.stats.weighted import WeightedCounts

Array = np.ndarray
Inputs = Any
"""A dict of column → array for tables and text, one array for images: raw, as a user has them."""
Outcome = Literal["binary", "classes", "number", "reconstruction", "language"]
"""Whether an outcome is a yes or no, one of several labels, a number; or whether there is none apart from the rows: the
error of rebuilding a row, or how likely its words are."""
Roles = Mapping[str, tuple[str, ...]]
"""Role → columns. The roles: ``feature truth sensitive score prediction weight id``."""


class Refit(Record):
    """What to change when the same recipe is trained again."""

    seed: int
    weights: tuple[float, ...] | None = None
    probes: int = 0


class Secret(Record):
    """A number that was planted into the texts a language was learned from, or one that could have been.

    Args:
        name: what evidence calls it; never the number.
        times: how often it was planted.
        code: its digits.
        before, after: the sentence around it.
        between: what parts its digits.
    """

    name: str
    times: int
    code: str
    before: str
    after: str = ""
    between: str = ""

    def text(self, code: str = "") -> str:
        """The sentence with this secret, or with another one in its place."""
        return self.before + self.between.join(code or self.code) + self.after


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A trained model as an auditor meets it.

    Args:
        predict: raw inputs → scores ``(rows,)`` of the positive label, or class probabilities
            ``(rows, labels)``. All a black-box audit may use.
        decision: how a score becomes a decision.
        decided: of recorded answers: whether each row got the positive label ``(rows,)``, where that is known too.
        module: for white-box audits; in evaluation mode.
        read: raw inputs → the arrays that `module` is called with, where these are not the columns themselves
            (texts as ids).
        refit: the same recipe on other data, weights or probes.
        canaries: how many and a generator → scores and coins of canaries, each ``(canaries,)``, from the engine of a
            private training on made-up rows; of a privately trained model whose engine is at hand.
        rehearse: how many and a generator → the model of the same private training on made-up rows, all canaries, and
            which of them it learned from ``(canaries,)``; of a run that began with no other run.
        compiled: the same ``predict`` through ``torch.compile``; compiling may take seconds.
        weigh: raw inputs → ``load_ms`` and ``peak_bytes`` of the artefact, opened anew in a process of its own, or
            ``None`` where that could not be had.
        recites: texts, how many words of each to tell and how many must follow → whether they did ``(rows,)``, NaN
            where a text is too short; of a language model.
        secrets: what was planted into the texts it learned from.
        relatives: role → another subject it is compared with.
        members: seed → the model of a recipe under it, where the subject is the recipe and not one artefact; audits
            are then put to each (`stability`).
        card: how it came to be.
        said: what it was asked already, and its answers (`answers_of`); not part of what it is.
    """

    name: str
    kind: str
    digest: str
    decision: Decision
    predict: Callable[[Inputs], Array]
    decided: Array | None = None
    module: nn.Module | None = None
    read: Callable[[Inputs], tuple[Array, ...]] | None = None
    refit: Callable[[Cohort, np.random.Generator, Refit], Subject] | None = None
    canaries: Callable[[int, np.random.Generator], tuple[Array, Array]] | None = None
    rehearse: Callable[[int, np.random.Generator], tuple[Subject, Cohort, Array]] | None = None
    compiled: Callable[[], Callable[[Inputs], Array]] | None = None
    weigh: Callable[[Inputs], Mapping[str, float] | None] | None = None
    recites: Callable[[Inputs, int, int], Array] | None = None
    secrets: tuple[Secret, ...] = ()
    relatives: Mapping[str, Subject] = field(default_factory=dict)
    members: Mapping[str, Subject] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    said: dict[Any, Array] = field(default_factory=dict, repr=False, compare=False)

    def identity(self, role: str = "primary") -> SubjectId:
        """The part of a subject that evidence keeps."""
        return SubjectId(
            name=self.name, kind=self.kind, digest=self.digest, role=role, decision=self.decision
        )

    def related(self, **relatives: Subject) -> Subject:
        """The same subject with more relatives."""
        return replace(self, relatives={**self.relatives, **relatives})


class AtLeast(Record):
    """A decision that an engine can take by itself: positive where a score is at or above a threshold."""

    column: str
    threshold: float


@runtime_checkable
class Cohort(Protocol):
    """Rows to audit on: arrays, a dataframe, a table in somebody's engine."""

    @property
    def name(self) -> str:
        """What a reader calls these rows."""
        ...

    @property
    def rows(self) -> int:
        """How many there are."""
        ...

    @property
    def digest(self) -> str:
        """What tells these rows from any other."""
        ...

    @property
    def roles(self) -> Roles:
        """Which column is feature, truth, sensitive, score, prediction, weight, id."""
        ...

    @property
    def positive(self) -> str:
        """The label that counts as positive, as canonical text; empty when there is none."""
        ...

    def arrays(self, *columns: str) -> dict[str, Array]:
        """Columns as arrays; refuses, with a hint, where rows must stay in the engine."""
        ...

    def binary(self, column: str) -> Array:
        """Whether each row has the positive label, as booleans ``(rows,)``."""
        ...

    @overload
    def count(
        self,
        by: tuple[str, ...] | list[str],
        *,
        truth: str | Array,
        decision: str | AtLeast | Array,
        weight: None = None,
    ) -> GroupCounts: ...

    @overload
    def count(
        self,
        by: tuple[str, ...] | list[str],
        *,
        truth: str | Array,
        decision: str | AtLeast | Array,
        weight: str,
    ) -> WeightedCounts: ...

    def count(
        self,
        by: tuple[str, ...] | list[str],
        *,
        truth: str | Array,
        decision: str | AtLeast | Array,
        weight: str | None = None,
    ) -> GroupCounts | WeightedCounts:
        """How many rows, positives, selected and true positives each group has.

        Args:
            by: the attribute, or the attributes of an intersection; none for all rows together.
            truth: the column of outcomes, or booleans ``(rows,)`` where rows are in memory.
            decision: the column of decisions, a threshold on a column of scores, or booleans as above.
            weight: a column of weights above 0; cells then also hold their sums and the sums of their squares.
        """
        ...

    def histogram(
        self, by: tuple[str, ...] | list[str], *, score: str, truth: str | Array, bins: int = 4096
    ) -> tuple[Array, tuple[str, ...]]:
        """How many rows of each group and outcome have a score in each bin.

        Returns:
            counts ``(groups, 2, bins)``, int64: bin i holds scores from i/bins up to, not including, (i+1)/bins;
            the last one holds 1 as well. And the names of the groups.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The rows a model was made from, tuned on, and has never seen."""

    held_out: Cohort
    train: Cohort | None = None
    calibrate: Cohort | None = None
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def data_id(cohort: Cohort) -> DataId:
    """The part of a cohort that evidence keeps."""
    return DataId(name=cohort.name, digest=cohort.digest, rows=cohort.rows)


def truth_of(cohort: Cohort) -> Array:
    """The outcome as booleans ``(rows,)``: whether each row has the positive label.

    Raises:
        InputError: the cohort names no outcome, or its labels are not two.
    """
    return cohort.binary(column_of(cohort, "truth"))


def column_of(cohort: Cohort, role: str) -> str:
    """The one column with a role.

    Raises:
        InputError: no column has it.
    """
    columns = cohort.roles.get(role, ())
    if not columns:
        msg = f"{cohort.name}: no column has the role {role!r}"
        raise InputError(msg)
    return columns[0]


def attributes_of(
    cohort: Cohort, asked: tuple[str, ...] = (), *, intersections: bool = False
) -> tuple[str, ...]:
    """The attributes to compare groups by: those asked for, or every sensitive column.

    Args:
        asked: columns, or intersections as ``a*b``.
        intersections: with none asked for, also every pair of columns.

    Raises:
        InputError: a part is not a sensitive column or is named twice, or there is no sensitive column at all.
    """
    sensitive = cohort.roles.get("sensitive", ())
    for attribute in asked:
        parts = attribute.split("*")
        if len(set(parts)) < len(parts):
            msg = f"the intersection {attribute!r} names a column twice"
            raise InputError(msg)
        for part in parts:
            if part not in sensitive:
                what = f"{cohort.name}: sensitive attribute"
                raise InputError.unknown(what, part, sensitive)
    if asked:
        return asked
    if not sensitive:
        msg = (
            f"{cohort.name}: no column has the role 'sensitive', so no groups can be compared; name one, or leave the "
            "audit fairness out"
        )
        raise InputError(msg)
    pairs = itertools.combinations(sensitive, 2) if intersections else ()
    return (*sensitive, *("*".join(pair) for pair in pairs))


def task_of(subject: Subject) -> Outcome:
    """What a subject decides between: two labels, several, or none at all, because it predicts a number.

    A subject that rebuilds rows or says how likely words are tells so in its card, as ``outcome``.
    """
    said = subject.card.get("outcome")
    if said == "reconstruction" or said == "language":  # noqa: PLR1714 - so that the type is known
        return said
    labels = len(subject.decision.labels)
    return "classes" if labels > 2 else "binary" if labels or subject.decision.positive else "number"


def inputs_of(cohort: Cohort) -> Inputs:
    """What a subject is asked about a cohort: a dict of raw columns; of pictures or series alone, that one array."""
    asked = _asked(cohort)
    columns = cohort.arrays(*asked)
    if len(asked) == 1 and columns[asked[0]].ndim > 1:
        return columns[asked[0]]
    return columns


def _asked(cohort: Cohort) -> tuple[str, ...]:
    """The columns that a subject is asked about."""
    return tuple(
        sorted({c for role in ("feature", "score", "prediction") for c in cohort.roles.get(role, ())})
    )


def answers_of(subject: Subject, cohort: Cohort) -> Array:
    """What a subject says of a cohort, float64: asked once, and kept for every audit of the run, by the rows' digest.

    The one door through which rows as they are reach a subject. What is kept cannot be written to; a subject that got
    another ``predict`` is asked anew.
    """
    key = (subject.predict, cohort.digest, _asked(cohort))
    if key not in subject.said:
        answers = np.array(subject.predict(inputs_of(cohort)), dtype=np.float64)
        answers.setflags(write=False)
        subject.said[key] = answers
    return subject.said[key]


def scores_of(subject: Subject, cohort: Cohort) -> Array:
    """Scores of the positive label ``(rows,)``, asked of the subject and checked.

    Raises:
        InputError: the scores are not numbers, not finite, or not one for each row.
    """
    scores = answers_of(subject, cohort)
    if scores.ndim == 2 and scores.shape[1] == len(subject.decision.labels):
        scores = scores[:, subject.decision.labels.index(subject.decision.positive)]
    if scores.shape != (cohort.rows,):
        msg = f"{subject.name}: gave scores of shape {scores.shape} for {cohort.rows:,} rows"
        raise InputError(msg)
    # Finite ends have finite numbers between them, and of numbers one of which is none the ends are none.
    if len(scores) and not np.isfinite([scores.min(), scores.max()]).all():
        bad = int((~np.isfinite(scores)).sum())
        msg = f"{subject.name}: {bad:,} of {cohort.rows:,} scores are not finite numbers"
        raise InputError(msg)
    return scores


def has_scores(subject: Subject, cohort: Cohort) -> bool:
    """Whether there is more than a decision for each row.

    A table may hold decisions only, and a function or a service may give 0 and 1 alone: those are no scores, and would
    be badly calibrated ones.
    """
    if subject.card.get("decisions_only"):
        return False
    if subject.kind in {"callable", "endpoint"} and task_of(subject) != "number":
        said = answers_of(subject, cohort)
        return not bool(((said == 0) | (said == 1)).all())
    return subject.kind != "table" or bool(cohort.roles.get("score"))


def decisions_of(subject: Subject, cohort: Cohort) -> Array:
    """Whether each row gets the positive label: booleans ``(rows,)``.

    Of a table that records decisions, those; else the subject's decision rule on its scores.
    """
    if subject.kind == "table" and cohort.roles.get("prediction"):
        return cohort.binary(column_of(cohort, "prediction"))
    if subject.decided is not None:
        return subject.decided
    threshold = 0.5 if subject.decision.threshold is None else subject.decision.threshold
    return scores_of(subject, cohort) >= threshold


def in_memory(cohort: Cohort) -> bool:
    """Whether rows can be had one by one; where they stay in their engine only counts leave it."""
    return not getattr(cohort, "stays", False)


def decision_in(subject: Subject, cohort: Cohort) -> str | AtLeast | Array:
    """What `Cohort.count` is to count as decisions: a column or a threshold where the engine can, else booleans."""
    if subject.kind == "table":
        if cohort.roles.get("prediction"):
            return column_of(cohort, "prediction")
        if cohort.roles.get("score"):
            threshold = subject.decision.threshold
            return AtLeast(
                column=column_of(cohort, "score"), threshold=0.5 if threshold is None else threshold
            )
    return decisions_of(subject, cohort)
