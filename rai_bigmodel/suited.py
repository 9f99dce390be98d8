"""Do the rows suit the subject? It must never have seen what it is audited on, and mean by *positive* what the rows do.

What a run was trained on stands in its card, by digest and number. Other rows may still hold some that it saw: that is
counted where training rows are handed over (``data.train_test_overlap``), and known nowhere else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rai_bigmodel.errors import InputError
from rai_bigmodel.files import visible
from rai_bigmodel.subject import task_of
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.subject import Cohort, Splits, Subject

_WRITTEN = {"false": "0", "true": "1"}
"""Outcomes that a run learned as 0 and 1 may come as booleans later."""


def refuse_unsuited(by_role: Mapping[str, Subject], splits: Splits, *, on: Sequence[str]) -> None:
    """Refuse rows of which no number about these subjects would be true.

    Args:
        by_role: the subject and its relatives.
        on: the roles that are audited, which may look at training rows too.

    Raises:
        InputError: the outcome is a feature; training and held-out rows are the same; a subject was trained on the
            held-out rows, or its threshold was set on them; the rows named as training rows are not its own; its score
            is that of the label that the rows call negative, or none of its labels can be positive.
    """
    rows = splits.held_out
    if both := sorted({*rows.roles.get("truth", ())} & {*rows.roles.get("feature", ())}):
        msg = f"{rows.name}: {both[0]!r} is the outcome and a feature; a model that reads the outcome audits nothing"
        raise InputError(visible(msg))
    if splits.train is not None and splits.train.digest == rows.digest:
        msg = f"{rows.name}: the same rows are named as training rows and as those that the model has never seen"
        raise InputError(visible(msg))
    for role, one in by_role.items():
        who = visible(one.name if role == "primary" else f"{one.name} ({role})")
        _refuse_seen(one, who, splits)
        if role in on:
            _refuse_other_training(one, who, splits)
        _refuse_other_positive(one, who, splits)


def of_training(subject: Subject, splits: Splits) -> tuple[str, ...]:
    """What is to be said with numbers about training rows: that nobody can tell whether they are the subject's own."""
    was, rows = _made_from(subject).get("train"), splits.train
    if was is None or rows is None or _planted(subject) or _same(was, rows) is not None:
        return ()
    note = (
        f"Whether {rows.name} holds the rows that {subject.name} was trained on is not known: its card names as many, "
        f"with another digest ({was['digest'][:19]}…)."
    )
    return (note,)


def _made_from(subject: Subject) -> dict[str, dict[str, Any]]:
    """Part → name, digest and number of the rows that its card names."""
    data = subject.card.get("data")
    if not isinstance(data, dict):
        return {}
    return {part: said for part, said in data.items() if isinstance(said, dict) and "digest" in said}


def _planted(subject: Subject) -> bool:
    """Whether secrets were planted into the rows it was trained on, so that its card names others than anybody has."""
    recipe = subject.card.get("recipe")
    return isinstance(recipe, dict) and recipe.get("canaries") is not None


def _same(said: Mapping[str, Any], rows: Cohort) -> bool | None:
    """Whether these are the rows that a card names; ``None`` where other bytes may hold the same."""
    if said["digest"] == rows.digest:
        return True
    if said["rows"] != rows.rows:
        return False
    # A table that was trained on in memory may have been written to a file since.
    if (
        isinstance(rows, Table)
        and rows.file_digest
        and replace(rows, file_digest="").digest == said["digest"]
    ):
        return True
    return None


def _refuse_seen(subject: Subject, who: str, splits: Splits) -> None:
    rows = splits.held_out
    for part, said in _made_from(subject).items():
        if part in {"train", "calibrate"} and _same(said, rows):
            msg = (
                f"{who}: was {'trained' if part == 'train' else 'given its threshold'} on these very rows, {rows.name} "
                f"({rows.digest[:19]}…), so nothing measured on them would hold for new ones; audit it on rows that it "
                "has never seen"
            )
            raise InputError(msg)


def _refuse_other_training(subject: Subject, who: str, splits: Splits) -> None:
    was, rows = _made_from(subject).get("train"), splits.train
    if was is None or rows is None or _planted(subject) or _same(was, rows) is not False:
        return
    msg = (
        f"{who}: was trained on {was['rows']:,} other rows than the {rows.rows:,} of {rows.name}, which are named as "
        "its training rows; name those, or leave training rows out"
    )
    raise InputError(msg)


def _refuse_other_positive(subject: Subject, who: str, splits: Splits) -> None:
    rows, decision = splits.held_out, subject.decision
    task = task_of(subject)
    if rows.positive and task in {"classes", "number"}:
        msg = (
            f"{who}: {'predicts a number' if task == 'number' else 'decides between several labels'}, so no label is "
            f"positive, and {rows.name} declares {rows.positive!r}; leave positive (--positive) out"
        )
        raise InputError(visible(msg))
    if subject.kind in {"table", "predictions"} or len(decision.labels) != 2 or not rows.roles.get("truth"):
        return
    # Without a declared label that of 1, or of true, is positive (`tables.names.positive_label`).
    meant, given = rows.positive or "1", decision.positive
    if _WRITTEN.get(meant.lower(), meant) == _WRITTEN.get(given.lower(), given):
        return
    msg = (
        f"{who}: its score is that of {given!r}, and {meant!r} is "
        f"{'declared' if rows.positive else 'by default'} the positive label of {rows.name}; "
        f"say positive: {given} (--positive) if both mean the same"
    )
    raise InputError(visible(msg))
