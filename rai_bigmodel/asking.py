"""What does ``audit.yaml`` ask for? The file, and what it names: a subject, rows, and audits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel import files, plugins
from rai_bigmodel.collect import Asked
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import BASELINE, Record
from rai_bigmodel.subjects.of_anything import subject_of
from rai_bigmodel.training.asked import Data, data_said

if TYPE_CHECKING:
    from rai_bigmodel.subject import Cohort, Splits, Subject
    from rai_bigmodel.subjects.declared import Endpoint, Model
    from rai_bigmodel.tables import Table

    PathLike = str | os.PathLike[str]


def audits_asked(audits: Sequence[str] | Mapping[str, Mapping[str, Any]], *, where: str = "") -> list[Asked]:
    """Audits by name, or by name and parameters, loaded; ``name/label`` tells two runs of one audit apart.

    Raises:
        InputError: none is asked for, or one is not installed or has no such parameter.
    """
    params = audits if isinstance(audits, Mapping) else {name: {} for name in audits}
    out, known = [], plugins.installed()
    for key, given in params.items():
        name, _, label = key.partition("/")
        rest = {k: v for k, v in given.items() if k != "use"}
        used = given.get("use", name)
        if used != name:
            msg = f"{where or 'audits'}: $.audits.{key}: the part before '/' names the audit; it must be {used!r}"
            raise InputError(msg)
        one = plugins.load(name, rest, where=where, at=f"$.audits.{key}", known=known)
        out.append(Asked(name, one, label))
    if not out:
        msg = f"{where or 'audits'}: no audit is asked for; there are: {', '.join(known)}"
        raise InputError(msg)
    return out


class Predictions(Record):
    """A file of predictions in place of a model."""

    table: str
    score: str | None = None
    prediction: str | None = None
    threshold: float | None = None


class AuditFile(Record):
    """What ``audit.yaml`` says.

    Args:
        subject: a path, or a table of predictions, a foreign model or an endpoint as a mapping (`named`).
        data: data of ours by name or as a `Data`, or files of the user's as `training.asked.Rows`.
        relatives: role → what the subject is compared with; under ``baseline`` the model that runs today.
        egress: the only hosts that may be contacted, ``host`` or ``host:port``.
    """

    subject: str | dict[str, Any]
    audits: dict[str, dict[str, Any]]
    data: str | dict[str, Any] | None = None
    label_means: str = ""
    attributes_from: str = ""
    relatives: dict[str, str | dict[str, Any]] = {}
    egress: tuple[str, ...] = ()
    on: tuple[str, ...] = ("primary",)
    seed: int = 0


def named(
    given: str | dict[str, Any], where: str, at: str = "$.subject"
) -> str | Predictions | Model | Endpoint:
    """What stands in ``subject:`` or under a role: a path; or what a mapping describes, told by its first key.

    Raises:
        InputError: the mapping is of no kind that is known, or a key or value is wrong.
    """
    if isinstance(given, str):
        return given
    from rai_bigmodel.subjects.declared import declared

    kinds = ("table", "model", "endpoint")
    if sum(kind in given for kind in kinds) != 1:
        msg = f"{where}: {at}: must be a path or hold exactly one of {', '.join(kinds)}, got {sorted(given)[:8]}"
        raise InputError(msg)
    if "table" in given:
        return files.convert(given, Predictions, where=where, at=at)
    return declared(given, where=where, at=at)


def subject_named(asked: AuditFile, where: str, here: Path, splits: Splits, role: str = "primary") -> Subject:
    """The subject of ``audit.yaml``, or its relative of a role.

    Raises:
        InputError: it cannot be used as it is described.
    """
    at = "$.subject" if role == "primary" else f"$.relatives.{role}"
    given = named(asked.subject if role == "primary" else asked.relatives[role], where, at)
    if isinstance(given, Predictions):
        msg = f"{where}: {at}: a table of predictions stands alone as the subject"
        raise InputError(msg)
    from rai_bigmodel.tables import Table

    rows = splits.held_out
    if isinstance(given, str):
        subject = subject_of(here / given, splits)
        return numbers_of_groups(subject, rows) if isinstance(rows, Table) else subject
    from rai_bigmodel.subjects.declared import of_declared

    subject = of_declared(given, here=here, features=rows.roles.get("feature", ()), egress=asked.egress)
    return numbers_of_groups(subject, rows) if isinstance(rows, Table) else subject


def is_table(path: PathLike) -> bool:
    """Whether a path is one of rows, and not of a model."""
    path = Path(path)
    folder = path.is_dir() and any(path.glob("**/*.parquet"))
    return folder or path.suffix.lower() in {".csv", ".parquet", ".pq"}


def relative_of(
    asked: AuditFile, where: str, here: Path, splits: Splits, role: str, *, like: Subject
) -> Subject:
    """The relative of a role in ``audit.yaml``: a model, or a table of its predictions on the same rows.

    Raises:
        InputError: it is neither, or answers about other rows than `like`, the subject, does.
    """
    given = named(asked.relatives[role], where, f"$.relatives.{role}")
    if isinstance(given, Predictions):
        return _answers(here / given.table, given, splits.held_out, like)
    return subject_named(asked, where, here, splits, role)


def _answers(path: Path, given: Predictions, rows: Cohort, like: Subject) -> Subject:
    from rai_bigmodel.subjects.of_predictions import of_predictions as of_answers

    return of_answers(
        path, rows, like=like, prediction=given.prediction, score=given.score, threshold=given.threshold
    )


def with_baseline(
    subject: Subject, splits: Splits, given: PathLike | Predictions | None
) -> tuple[Subject, dict[str, str]]:
    """The subject with the model that runs today, if one is given, and what the run was then configured by.

    Args:
        given: the folder of a run, an exported ONNX file, or a table of predictions on the same rows.

    Raises:
        InputError: there is a baseline already, or it cannot be used.
    """
    if given is None:
        return subject, {}
    if BASELINE in subject.relatives:
        msg = "a baseline is named twice, by --baseline and under relatives: in audit.yaml"
        raise InputError(msg)
    if isinstance(given, Predictions):
        other = _answers(Path(given.table), given, splits.held_out, subject)
    else:
        from rai_bigmodel.tables import Table

        other = _baseline(given, splits)
        if isinstance(splits.held_out, Table):
            other = numbers_of_groups(other, splits.held_out)
    return subject.related(**{BASELINE: other}), {BASELINE: other.digest}


def _baseline(given: PathLike, splits: Splits) -> Subject:
    """A run, or a file that says itself what it reads: for what others exported there is a place in audit.yaml."""
    from rai_bigmodel.deploy.session import NotOurs

    try:
        return subject_of(given, splits)
    except NotOurs:
        msg = (
            f"{given}: was not written by rai export, and does not say what it reads; a baseline of somebody else's "
            f"is declared in audit.yaml (relatives: {{baseline: {{model: {Path(given).name}, features: […]}}}}), or "
            "handed over as a table of its predictions"
        )
        raise InputError(msg) from None


def with_facts(splits: Splits, facts: Mapping[str, str]) -> Splits:
    """The same rows with what people say of them, where they say something."""
    from dataclasses import replace

    return replace(splits, facts={**splits.facts, **{k: v for k, v in facts.items() if v}})


def splits_of(given: str | dict[str, Any], where: str, here: Path) -> Splits:
    """The rows that `given` names: a data set of ours, or files beside ``audit.yaml``.

    Raises:
        InputError: a file or a column is not there, or one file is named as two parts.
    """
    from rai_bigmodel import datasets

    return datasets.by_name(data_said(given, where=where), here=here, where=f"{where}: $.data")


def predictions_of(asked: AuditFile, where: str, here: Path) -> tuple[Subject, Splits]:
    """The table of predictions that ``audit.yaml`` names, as a subject and its rows."""
    said = data_said(asked.data, where=where) if asked.data else None
    table = named(asked.subject, where)
    data = said.rows if isinstance(said, Data) else None
    if data is None or not isinstance(table, Predictions):
        msg = f"{where}: $.data: a table of predictions needs data: {{file, truth, sensitive, …}} that describe it"
        raise InputError(msg)
    if data.train or data.calibrate:
        msg = f"{where}: $.data: a table of predictions has no train or calibrate rows; leave them out"
        raise InputError(msg)
    if data.file != table.table:
        msg = f"{where}: $.data.file: must be the table of predictions itself, {table.table!r}"
        raise InputError(msg)
    return of_predictions(
        here / table.table,
        roles=data.roles
        | {
            "score": (table.score,) if table.score else (),
            "prediction": (table.prediction,) if table.prediction else (),
        },
        positive=data.label,
        threshold=table.threshold,
    )


def of_predictions(
    given: Any, *, roles: Mapping[str, tuple[str, ...]], positive: str, threshold: float | None
) -> tuple[Subject, Splits]:
    """A file or dataframe of predictions, as a subject and its rows.

    Raises:
        InputError: the file or a column cannot be used, or one column is to be two things.
    """
    from rai_bigmodel import tables
    from rai_bigmodel.subject import Splits
    from rai_bigmodel.subjects.of_table import of_table

    taken: dict[str, str] = {}
    for role in ("truth", "prediction", "score", "weight", "sensitive"):
        for column in roles.get(role, ()):
            if (other := taken.setdefault(column, role)) != role:
                msg = f"the column {column!r} is named as {other} and as {role}; it can be one of them"
                raise InputError(msg)
    if isinstance(given, str | os.PathLike):
        table = tables.open_table(given, roles=roles, positive=positive)
    else:
        table = tables.of(given, roles=roles, positive=positive)
    return of_table(table, name=table.name, threshold=threshold), Splits(held_out=table)


def of_model(
    model: PathLike,
    data: PathLike,
    *,
    roles: Mapping[str, tuple[str, ...]],
    positive: str = "",
    threshold: float | None = None,
    foreign: Mapping[str, Any] | None = None,
) -> tuple[Subject, Splits]:
    """An ONNX file, and a file of rows with the columns that it reads; loads no torch.

    Args:
        threshold: of a foreign model; ours says how it decides.
        foreign: what a file that this package did not write reads and gives: ``features``, ``inputs``, ``labels`` and
            ``output`` as in `subjects.of_foreign_onnx`.

    Raises:
        InputError: the model is unsafe, says nothing of itself and nothing is declared, gives another label than
            `positive`, or the rows lack a column.
    """
    from rai_bigmodel.subject import Splits
    from rai_bigmodel.subjects.declared import refuse_unused
    from rai_bigmodel.subjects.of_foreign_onnx import of_foreign_onnx
    from rai_bigmodel.subjects.of_onnx import NotOurs, of_onnx
    from rai_bigmodel.tables import read_table

    said: dict[str, Any] = {k: v for k, v in (foreign or {}).items() if v}
    try:
        subject = of_onnx(model)
    except NotOurs:
        if not said.keys() & {"features", "inputs"}:
            raise
        cut = 0.5 if threshold is None else threshold
        subject = of_foreign_onnx(model, **said, positive=positive, threshold=cut)
    else:
        if given := [*said, *(["threshold"] if threshold is not None else [])]:
            msg = (
                f"{model}: says itself what it reads and how it decides; leave out {', '.join(sorted(given))}"
            )
            raise InputError(msg)
    refuse_unused(subject, positive=positive, threshold=threshold)
    told = subject.decision.positive
    if positive and told and positive != told:
        msg = f"{model}: the score it gives is that of {told!r}, not of {positive!r}"
        raise InputError(msg)
    features = tuple(subject.card["features"])
    roles = {**roles, "feature": features}
    if taken := next((c for c in roles["truth"] if c in features), ""):
        msg = f"{model}: reads {taken!r}, which is named as the outcome; a model that reads the outcome audits nothing"
        raise InputError(msg)
    rows = read_table(data, roles=roles, positive=told)
    return numbers_of_groups(subject, rows), Splits(held_out=rows)


def numbers_of_groups(subject: Subject, rows: Table) -> Subject:
    """The subject, reading the columns that are also attributes, whose names are texts, as the numbers it asks for."""
    from dataclasses import replace

    import numpy as np

    shared = [c for c in rows.roles.get("feature", ()) if c in rows.roles.get("sensitive", ())]
    texts = subject.card.get("texts", ())
    shared = [c for c in shared if rows.columns[c].dtype == object and c not in texts]
    if not shared or subject.kind != "onnx":
        return subject
    score = subject.predict

    def predict(inputs: Any) -> Any:
        numbers = dict(inputs)
        for c in shared:
            try:
                numbers[c] = np.array([np.nan if v is None else float(v) for v in inputs[c]])
            except ValueError:
                msg = f"{rows.name}: the model reads {c!r} as a number, and it holds text"
                raise InputError(msg) from None
        return score(numbers)

    return replace(subject, predict=predict)
