"""Which verbs look at a model? ``audit audit_file audit_predictions audit_model``, and what they read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel import files
from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rai_bigmodel.asking import Predictions
    from rai_bigmodel.collect import OnAudit
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.files import PathLike
    from rai_bigmodel.subject import Cohort, Splits
    from rai_bigmodel.subjects.of_module import Gives


ASKED = "audit.yaml"
"""The name that a manifest has for the file that asked for the audits, whatever that file is called."""


def read_splits(path: PathLike) -> Splits:
    """The rows that an ``audit.yaml`` names under ``data:``, to train on or to audit; paths are relative to its folder.

    Raises:
        InputError: the file names no rows, or a file or column of it cannot be used.
    """
    from rai_bigmodel.asking import AuditFile, splits_of

    asked = files.read_yaml(path, AuditFile)
    if asked.data is None:
        msg = f"{path}: $.data: this key is required to read rows"
        raise InputError(msg)
    return splits_of(asked.data, str(path), Path(path).parent)


def audit(
    subject: Any,
    splits: Splits | Cohort,
    *,
    audits: Sequence[str] | Mapping[str, Mapping[str, Any]],
    relatives: Mapping[str, Any] | None = None,
    on: Sequence[str] = ("primary",),
    seed: int = 0,
    gives: Gives | None = None,
    on_audit: OnAudit | None = None,
) -> Dossier:
    """Put a subject before audits.

    Args:
        subject: a `Subject`, a trained run, the folder of one, an ONNX file that this package exported, the folder
            of a Hugging Face text classifier, a fitted estimator or pipeline of scikit-learn, an ``nn.Module`` that
            reads the features in their order (with `gives`; asked in evaluation mode, then left in the mode it was
            in), a function of a dict of raw columns that gives scores,
            or a dataframe of predictions on the held-out rows, in their order, with a column ``score``,
            ``prediction``, or both, whose index, where it has one, counts 0, 1, 2 …: nothing is matched by it.
        splits: the rows, or those to audit on alone, as `rai_bigmodel.tables.of` makes them of a dataframe.
        audits: names, or name → parameters; ``fairness/age: {use: fairness, …}`` runs one audit twice.
        relatives: role → what the subject is compared with; no dataframes.
        on: the roles that audits are run on.
        gives: what the numbers of an ``nn.Module`` are: ``logits``, ``probabilities`` or ``numbers``.

    Raises:
        InputError: an audit, a parameter or the data cannot be used.
    """
    from rai_bigmodel.api.handed import splits_given
    from rai_bigmodel.asking import audits_asked
    from rai_bigmodel.collect import collect
    from rai_bigmodel.subjects.of_anything import answered, left_as_it_was, subject_of

    splits = splits_given(splits)
    with left_as_it_was(subject, *(relatives or {}).values()):
        related = {role: subject_of(other, splits, gives=gives) for role, other in (relatives or {}).items()}
        if _is_frame(subject):
            asked, splits = answered(subject, splits)
        else:
            asked = subject_of(subject, splits, gives=gives)
        return collect(
            asked.related(**related),
            splits,
            audits_asked(audits),
            on=on,
            seed=seed,
            on_audit=on_audit,
        )


def audit_file(
    path: PathLike,
    *,
    only: Sequence[str] = (),
    baseline: PathLike | Predictions | None = None,
    on_audit: OnAudit | None = None,
    folder: PathLike | None = None,
    resume: bool = False,
) -> Dossier:
    """Run what an ``audit.yaml`` asks for; paths in it are relative to its folder.

    Args:
        only: of its audits, the ones to run.
        baseline: the model that runs today, against which changes are measured: a run, an ONNX file, or a table of
            its predictions on the same rows (`rai_bigmodel.asking.Predictions` names the columns).
        folder: where the evidence will be saved; what each audit found is kept there, in ``unfinished/``, until it is.
        resume: take up what a stopped run of the same left there; only the audits it had not finished are run.

    Raises:
        InputError: the file, or something that it names, cannot be used, or there is nothing to resume.
    """
    from rai_bigmodel.asking import (
        AuditFile,
        Predictions,
        audits_asked,
        named,
        predictions_of,
        relative_of,
        splits_of,
        subject_named,
        with_baseline,
        with_facts,
    )
    from rai_bigmodel.collect import collect

    content = files.read_bytes(path)
    where, here = str(path), Path(path).parent
    asked = files.parse_yaml(content, AuditFile, where=where)
    audits = asked.audits
    for name in only:
        if name not in audits:
            what = f"{where}: $.audits"
            raise InputError.unknown(what, name, audits)
    if only:
        audits = {name: given for name, given in audits.items() if name in only}
    loaded = audits_asked(audits, where=where)
    if isinstance(named(asked.subject, where), Predictions):
        subject, splits = predictions_of(asked, where, here)
    else:
        if asked.data is None:
            msg = f"{where}: $.data: this key is required beside a model"
            raise InputError(msg)
        splits = splits_of(asked.data, where, here)
        subject = subject_named(asked, where, here, splits)
    related = {role: relative_of(asked, where, here, splits, role, like=subject) for role in asked.relatives}
    subject, beside = with_baseline(subject.related(**related), splits, baseline)
    facts = {"label_means": asked.label_means, "attributes_from": asked.attributes_from}
    splits = with_facts(splits, facts)
    return collect(
        subject,
        splits,
        loaded,
        seed=asked.seed,
        on=asked.on,
        configuration={ASKED: files.digest(content), **beside},
        on_audit=on_audit,
        folder=folder,
        resume=resume,
    )


PREDICTION_AUDITS = ("performance", "calibration", "fairness", "slices", "data")
"""What can be asked of a table of predictions."""


def audit_predictions(
    frame_or_path: Any,
    *,
    truth: str,
    sensitive: Sequence[str],
    prediction: str | None = None,
    score: str | None = None,
    threshold: float | None = None,
    positive: str = "",
    identifier: str | None = None,
    weight: str | None = None,
    intersections: bool = True,
    baseline: PathLike | None = None,
    seed: int = 0,
    on_audit: OnAudit | None = None,
) -> Dossier:
    """Audit a table of predictions: a dataframe, a csv, a parquet file or a folder of parquet; loads no torch.

    Lazy frames and large files are counted where they are; what needs single rows is then null, with why.

    Args:
        frame_or_path: pandas, Polars, PyArrow, DuckDB, Dask, PySpark or Ibis, or a path.
        truth: the column of outcomes.
        sensitive: columns, or intersections as ``a*b``; of single columns every pair is compared as well
            unless `intersections` is false.
        prediction, score: the column of decisions, of scores from 0 to 1, or both.
        threshold: a score at or above it is a positive decision; 0.5 where no predictions are given.
        positive: the label that counts as positive; needed where labels are not 0 and 1.
        identifier: a column that only names rows.
        weight: a column of weights above 0, for the fairness audit.
        baseline: the model that runs today, against which changes are measured: a run, an ONNX file, or a table of
            its predictions on the same rows, with columns of the same names, in the same order or with the same ids.

    Raises:
        InputError: the file or a column cannot be used, or the baseline is about other rows.
    """
    from rai_bigmodel.asking import audits_asked, of_predictions, with_baseline
    from rai_bigmodel.collect import collect

    columns = _columns(sensitive)
    roles = {
        "truth": (truth,),
        "sensitive": columns,
        "prediction": (prediction,) if prediction else (),
        "score": (score,) if score else (),
        "id": (identifier,) if identifier else (),
        "weight": (weight,) if weight else (),
        "feature": ("*",),
    }
    subject, splits = of_predictions(frame_or_path, roles=roles, positive=positive, threshold=threshold)
    before = None if baseline is None else _answers(baseline, prediction, score, threshold)
    subject, beside = with_baseline(subject, splits, before)
    asked = _asked(columns, sensitive, intersections=intersections)
    return collect(subject, splits, audits_asked(asked), seed=seed, configuration=beside, on_audit=on_audit)


def _answers(
    path: PathLike, prediction: str | None, score: str | None, threshold: float | None
) -> PathLike | Predictions:
    """What a baseline is: a table with these columns, or a model."""
    from rai_bigmodel.asking import Predictions, is_table

    if not is_table(path):
        return path
    return Predictions(table=str(path), prediction=prediction, score=score, threshold=threshold)


def audit_model(
    model: PathLike,
    data: PathLike,
    *,
    truth: str,
    sensitive: Sequence[str],
    positive: str = "",
    threshold: float | None = None,
    features: Sequence[str] = (),
    inputs: Mapping[str, Sequence[str]] | None = None,
    labels: Sequence[str] = (),
    output: str = "",
    identifier: str | None = None,
    weight: str | None = None,
    intersections: bool = True,
    baseline: PathLike | Predictions | None = None,
    seed: int = 0,
    on_audit: OnAudit | None = None,
) -> Dossier:
    """Audit an ONNX file on a csv or parquet of the columns it reads; loads no torch.

    The model is scanned before it is loaded. In a file that `export` wrote stands what it reads and how it decides; of
    any other it is declared here.

    Args:
        truth: the column of outcomes.
        sensitive: as in `audit_predictions`.
        positive: the label whose score counts; refused where the model's score is that of another one.
        threshold: a score at or above it is a positive decision; 0.5 unless said otherwise.
        features: the columns of a foreign model's one input, in its order.
        inputs: of a foreign model with several inputs, name → its columns.
        labels: what a foreign model decides between, in the order of its probabilities.
        output: which output of a foreign model holds scores or probabilities, where there are several.
        identifier: a column that only names rows.
        weight: a column of weights above 0, for the fairness audit.
        baseline: as in `audit_file`.

    Raises:
        InputError: the model is unsafe, or says nothing of itself and nothing is declared, or the data lack a column.
    """
    from rai_bigmodel.asking import audits_asked, of_model, with_baseline
    from rai_bigmodel.collect import collect

    columns = _columns(sensitive)
    roles = {
        "truth": (truth,),
        "sensitive": columns,
        "id": (identifier,) if identifier else (),
        "weight": (weight,) if weight else (),
    }
    foreign = {
        "features": tuple(features),
        "inputs": {name: tuple(read) for name, read in (inputs or {}).items()},
        "labels": tuple(labels),
        "output": output,
    }
    subject, splits = of_model(
        model, data, roles=roles, positive=positive, threshold=threshold, foreign=foreign
    )
    subject, beside = with_baseline(subject, splits, baseline)
    asked = _asked(columns, sensitive, intersections=intersections)
    return collect(subject, splits, audits_asked(asked), seed=seed, configuration=beside, on_audit=on_audit)


def _is_frame(given: Any) -> bool:
    import narwhals as nw

    return nw.from_native(given, pass_through=True) is not given


def _columns(sensitive: Sequence[str]) -> tuple[str, ...]:
    if not sensitive:
        msg = "at least one sensitive attribute is needed"
        raise InputError(msg)
    return tuple(dict.fromkeys(part for s in sensitive for part in s.split("*")))


def _asked(
    columns: Sequence[str], sensitive: Sequence[str], *, intersections: bool
) -> dict[str, dict[str, Any]]:
    """The audits of a table or a file, with the intersections that were asked for."""
    fairness: dict[str, Any] = {"intersections": intersections}
    if any("*" in s for s in sensitive):
        singles = [s for s in sensitive if "*" not in s]
        pairs = [f"{a}*{b}" for i, a in enumerate(singles) for b in singles[i + 1 :]] if intersections else []
        fairness = {"attributes": tuple(dict.fromkeys([*columns, *pairs, *sensitive]))}
    return {name: fairness if name == "fairness" else {} for name in PREDICTION_AUDITS}


def by_group(
    metric: Callable[..., float],
    *,
    truth: Sequence[Any],
    prediction: Sequence[Any],
    group: Sequence[Any],
) -> dict[str, float | None]:
    """Any metric of yours for each group, in memory, through Fairlearn's ``MetricFrame``.

    Values only: nothing is known about how your metric varies, so there is no interval, and no rule can be
    held against what comes back. Groups have their canonical names; a value that is not finite is ``None``.

    Args:
        metric: takes (truth, prediction) of some rows and gives a number: scikit-learn's metrics, or your own.
        truth, prediction, group: one value a row.

    Raises:
        InputError: lengths differ, or there are no rows.
        MissingExtra: Fairlearn is not installed.
    """
    from rai_bigmodel.audits import custom

    return custom.by_group(metric, truth=truth, prediction=prediction, group=group)
