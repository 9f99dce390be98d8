"""Do the rows give the answer away, repeat themselves, or leave groups out?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rai_bigmodel.audits.answers import NEEDS_ROWS
from rai_bigmodel.audits.leaks import accused, leak_in_engine, leaks_of, ranked
from rai_bigmodel.evidence import Bars, Findings, Measurement, Record, Table
from rai_bigmodel.stats import copies, intervals
from rai_bigmodel.subject import decision_in, in_memory, task_of
from rai_bigmodel.tables import Frame
from rai_bigmodel.tables.alike import codes_of, keys_of
from rai_bigmodel.tables.coded import different_rows
from rai_bigmodel.words import percent

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

REPEATS = ("data.duplicate_rate", "data.train_test_overlap")
NO_FEATURES = "there are no feature columns, so rows that agree need not be copies"
NO_TRAINING = "no training rows were given"
TOO_MANY_ROWS = "the rows stay in their engine, and there are too many of them to be compared there"
NO_COLUMNS = "no feature holds one value a row"
NEEDS_TWO = "this is measured where the outcome is a yes or no"


class Data(Record, omit_defaults=True):
    """Leaks, exact duplicates, overlap of training and held-out rows, missing values, groups' shares.

    A feature that alone ranks the outcome with an AUC of 0.98 tells it. One that does not may still hold a
    value that only one outcome ever has: `leak_purity` is the 99.9 % Clopper–Pearson bound of the purest
    value or interval with 5 % of the rows; null where an outcome is so rare that all rows are as pure. Both are looked
    for in all rows at hand, training rows included.
    """

    question: ClassVar[str] = "Do the data give the answer away, repeat themselves, or leave groups out?"
    needs: ClassVar[tuple[str, ...]] = ()
    primary_only: ClassVar[bool] = True
    reads_training: ClassVar[bool] = True

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:  # noqa: ARG002
        """Measure on all splits; shares and label rates on ``data.held_out``."""
        held_out = data.held_out
        parts = [part for part in (data.train, data.calibrate, held_out) if part is not None]
        truth = next(iter(held_out.roles.get("truth", ())), "")  # rows that are only rebuilt have none
        features = tuple(f for f in held_out.roles.get("feature", ()) if f != truth)
        if not in_memory(held_out):
            return _in_engine(subject, data, features, truth)
        yes_or_no = task_of(subject) == "binary"
        leaks = leaks_of(parts, features, truth) if yes_or_no else []
        found = [m for leak in leaks for m in leak.measurements]
        if not yes_or_no:
            found += [
                Measurement(metric=f"data.{name}", kind="exact", value=None, why=NEEDS_TWO)
                for name in ("leak_auc", "leak_purity", "label_rate")
            ]
        if yes_or_no and not leaks:
            found += [
                Measurement(metric=f"data.{name}", kind="exact", value=None, why=NO_COLUMNS)
                for name in ("leak_auc", "leak_purity")
            ]
        found += _missing(parts, features)
        found += _repeats(data, features)
        for attribute in held_out.roles.get("sensitive", ()):
            found += _groups(subject, held_out, attribute, truth)
        exhibits: list[Table | Bars] = []
        if leaks:
            exhibits.append(ranked(leaks))
        notes = [*accused(leaks), *repeated(found)]
        notes += [note for note in getattr(held_out, "notes", ()) if note]
        if subject.card.get("ledger") and data.train is not None:
            notes.append(
                "ε covers the model. It does not cover this section, which counts training rows exactly."
            )
        return Findings(measurements=tuple(found), exhibits=tuple(exhibits), notes=tuple(notes))


MANY_REPEATS = 0.05
"""So large a share of rows that repeat others is said beside the number."""


def repeated(found: list[Measurement]) -> tuple[str, ...]:
    """What it means for every interval that rows repeat others, where many do."""
    share = next((m.value for m in found if m.metric == REPEATS[0]), None)
    if share is None or share < MANY_REPEATS:
        return ()
    note = (
        f"{percent(round(share, 3))} of the rows agree with an earlier one in every column looked at. Intervals take "
        "rows for independent of each other: where these are copies, all of them are too narrow."
    )
    return (note,)


def _missing(parts: list[Cohort], features: tuple[str, ...]) -> list[Measurement]:
    out = []
    for f in features:
        columns = [part.arrays(f)[f] for part in parts]
        text = any(x.dtype == object for x in columns)
        gone = (
            int((codes_of(parts, f)[0] < 0).sum()) if text else sum(int(_any_nan(x).sum()) for x in columns)
        )
        n = sum(len(x) for x in columns)
        out.append(
            Measurement(metric="data.missing_rate", kind="exact", value=gone / n, n=n, labels={"feature": f})
        )
    return out


def _any_nan(values: Array) -> Array:
    """Which rows lack a number; of pictures, which lack one anywhere; of series, in a step that is no padding.

    A step of a series that is NaN throughout is padding, and a series of nothing else is missing.
    """
    if values.ndim == 3:
        gone = np.isnan(values)
        padding = gone.all(axis=2)
        lacking: Array = (gone.any(axis=2) & ~padding).any(axis=1) | padding.all(axis=1)
        return lacking
    return np.isnan(values) if values.ndim == 1 else np.isnan(values).reshape(len(values), -1).any(axis=1)


def _repeats(data: Splits, features: tuple[str, ...]) -> list[Measurement]:
    """Rows that are the same in every feature, sensitive column and the outcome."""
    held_out, train = data.held_out, data.train
    names = REPEATS
    if not features:
        return [Measurement(metric=name, kind="exact", value=None, why=NO_FEATURES) for name in names]
    columns = (*features, *held_out.roles.get("sensitive", ()), *held_out.roles.get("truth", ()))
    parts = [held_out] if train is None else [held_out, train]
    keys, n = keys_of(parts, columns), held_out.rows
    here = [key[:n] for key in keys]
    out = [
        Measurement(metric=names[0], kind="exact", value=1 - copies.distinct(here) / max(n, 1), n=n),
    ]
    if train is None:
        return [
            *out,
            Measurement(metric=names[1], kind="exact", value=None, why=NO_TRAINING),
        ]
    both = copies.shared(here, [key[n:] for key in keys])
    return [*out, Measurement(metric=names[1], kind="exact", value=both / max(n, 1), n=n)]


def _copies(data: Splits, cohort: Cohort, features: tuple[str, ...]) -> list[Measurement]:
    """Copies among rows that stay in their engine: all less those that differ, which it counts."""
    n = cohort.rows
    if not features:
        return [Measurement(metric=name, kind="exact", value=None, n=n, why=NO_FEATURES) for name in REPEATS]
    columns = dict.fromkeys((*features, *cohort.roles.get("sensitive", ()), *cohort.roles.get("truth", ())))
    told = different_rows(cohort, tuple(columns)) if isinstance(cohort, Frame) else None
    value, why = (None, TOO_MANY_ROWS) if told is None else (1 - told / max(n, 1), "")
    overlap = NO_TRAINING if data.train is None else NEEDS_ROWS
    return [
        Measurement(metric=REPEATS[0], kind="exact", value=value, n=n, why=why),
        Measurement(metric=REPEATS[1], kind="exact", value=None, n=n, why=overlap),
    ]


def _in_engine(subject: Subject, data: Splits, features: tuple[str, ...], truth: str) -> Findings:
    """What can be counted where the rows are; the rest is null, with why."""
    cohort = data.held_out
    yes_or_no = task_of(subject) == "binary"
    leaks = (
        [leak_in_engine(cohort, f, truth) for f in features]
        if yes_or_no and isinstance(cohort, Frame)
        else []
    )
    found = [m for leak in leaks for m in leak.measurements]
    if not leaks:
        found = [
            Measurement(metric=f"data.{name}", kind="exact", value=None, n=cohort.rows, why=NEEDS_TWO)
            for name in ("leak_auc", "leak_purity")
        ]
    counted = getattr(cohort, "missing", None)
    gone: dict[str, int] = counted(features) if counted else {}
    found += [
        Measurement(
            metric="data.missing_rate",
            kind="exact",
            value=n / cohort.rows,
            n=cohort.rows,
            labels={"feature": f},
        )
        for f, n in gone.items()
    ]
    found += _copies(data, cohort, features)
    for attribute in cohort.roles.get("sensitive", ()):
        found += _groups(subject, cohort, attribute, truth)
    exhibits = (ranked(leaks),) if any(leak.auc is not None for leak in leaks) else ()
    return Findings(measurements=tuple(found), exhibits=exhibits, notes=(*accused(leaks), *repeated(found)))


def _groups(subject: Subject, cohort: Cohort, attribute: str, truth: str) -> list[Measurement]:
    yes_or_no = task_of(subject) == "binary"
    nobody = np.zeros(0 if yes_or_no else cohort.rows, dtype=bool)
    # The decisions that were counted already; where they would have to be asked for, none are needed.
    counted = subject.kind == "table" or not in_memory(cohort)
    decision = decision_in(subject, cohort) if yes_or_no and counted else truth if yes_or_no else nobody
    found = cohort.count((attribute,), truth=truth if yes_or_no else nobody, decision=decision)
    total = int(found.n.sum())
    out = []
    for group, n, positives in zip(found.groups, found.n.tolist(), found.positives.tolist(), strict=True):
        labels = {"attribute": attribute, "group": group}
        for name, x, of in (("group_share", n, total), ("label_rate", positives, n))[: 1 + yes_or_no]:
            out.append(
                Measurement(
                    metric=f"data.{name}",
                    kind="estimate",
                    value=x / of,
                    n=of,
                    labels=labels,
                    interval=intervals.group_rate(x, of),
                )
            )
    return out
