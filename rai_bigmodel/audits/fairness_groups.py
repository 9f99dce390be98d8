"""Who belongs to which group, what was decided about them, and how much does each row weigh?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.weighted import checked_weights
from rai_bigmodel.subject import answers_of, column_of
from rai_bigmodel.tables import Table, canonical

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort, Subject

Grouping = tuple[np.ndarray, tuple[str, ...]]
"""Codes ``(rows,)`` and the names they stand for."""


def groups_of(cohort: Cohort, attribute: str, *, role: str = "sensitive") -> Grouping:
    """Codes ``(rows,)`` and names of the groups of an attribute or intersection, with the rows at hand.

    Raises:
        InputError: the rows are not at hand, a column is not there, or is no attribute.
    """
    return table_of(cohort, attribute, role=role).groups(attribute.split("*"))


def table_of(cohort: Cohort, attribute: str, *, role: str = "sensitive") -> Table:
    """The rows as a table in memory.

    Raises:
        InputError: the rows are not at hand.
    """
    if not isinstance(cohort, Table):
        msg = f"{cohort.name}: {attribute!r} ({role}) needs the rows in memory; read them with tables.read_table"
        raise InputError(msg)
    return cohort


def weights_of(cohort: Cohort) -> Array | None:
    """The weight of each row ``(rows,)``; ``None`` where no column has the role.

    Raises:
        InputError: a weight is missing, zero or negative, with how many are.
    """
    if not (columns := cohort.roles.get("weight")):
        return None
    return checked_weights(cohort.arrays(columns[0])[columns[0]], rows=cohort.rows, name=columns[0])


def text_of(subject: Subject, cohort: Cohort) -> tuple[Array, Array]:
    """Outcome and decision as canonical labels, each ``(rows,)``.

    Raises:
        InputError: an outcome is missing, or the decision is not among labels.
    """
    truth = column_of(cohort, "truth")
    true = canonical(cohort.arrays(truth)[truth])
    _refuse_missing(cohort, truth, true == "(missing)")
    if subject.kind == "table":
        column = column_of(cohort, "prediction")
        said = canonical(cohort.arrays(column)[column])
        _refuse_missing(cohort, column, said == "(missing)")
        return true, said
    scores = answers_of(subject, cohort)
    labels = subject.decision.labels
    if scores.shape != (cohort.rows, len(labels)):
        msg = f"{subject.name}: gave scores of shape {scores.shape} for {cohort.rows:,} rows and {len(labels)} labels"
        raise InputError(msg)
    if bad := int((~np.isfinite(scores)).any(axis=1).sum()):
        msg = f"{subject.name}: scores are not finite in {bad:,} of {cohort.rows:,} rows"
        raise InputError(msg)
    return true, np.array(labels, dtype=object)[scores.argmax(axis=1)]


def numbers_of(subject: Subject, cohort: Cohort) -> tuple[Array, Array]:
    """Outcome and prediction as finite numbers, each ``(rows,)``.

    Raises:
        InputError: one is text, missing or not finite, with how many rows are.
    """
    truth = column_of(cohort, "truth")
    true = _finite(cohort, truth, cohort.arrays(truth)[truth])
    if subject.kind == "table":
        column = column_of(cohort, "prediction")
        return true, _finite(cohort, column, cohort.arrays(column)[column])
    said = answers_of(subject, cohort).reshape(cohort.rows, -1)
    if said.shape[1] != 1:
        msg = f"{subject.name}: gave {said.shape[1]} numbers for each row, one was expected"
        raise InputError(msg)
    return true, _finite(cohort, subject.name, said[:, 0])


def _finite(cohort: Cohort, column: str, values: Array) -> Array:
    if values.dtype == object:
        msg = f"{cohort.name}: {column!r} holds text, numbers are needed"
        raise InputError(msg)
    if bad := int((~np.isfinite(values)).sum()):
        msg = f"{cohort.name}: {column!r} is missing or not finite in {bad:,} of {cohort.rows:,} rows"
        raise InputError(msg)
    return values


def _refuse_missing(cohort: Cohort, column: str, gone: Array) -> None:
    if count := int(gone.sum()):
        msg = f"{cohort.name}: {column!r} is missing in {count:,} of {cohort.rows:,} rows"
        raise InputError(msg)
