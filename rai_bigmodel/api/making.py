"""Which verbs make a model? ``train train_recipe train_seeds export mitigate mitigate_file``."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rai_bigmodel import files
from rai_bigmodel.api.judging import read_policy
from rai_bigmodel.errors import InputError
from rai_bigmodel.rules import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rai_bigmodel.accounting import Privacy
    from rai_bigmodel.deploy.export import Exported
    from rai_bigmodel.deploy.quantise import Variant
    from rai_bigmodel.files import PathLike
    from rai_bigmodel.mitigate.search import Mitigation
    from rai_bigmodel.nets import MLP
    from rai_bigmodel.subject import Splits, Subject
    from rai_bigmodel.training.checkpoint import Run


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
    from rai_bigmodel.api.handed import splits_given
    from rai_bigmodel.training import fit

    return fit.train(net, splits_given(splits), epochs=epochs, privacy=privacy, seed=seed, **settings)


def train_recipe(
    path: PathLike, *, out: PathLike, resume: bool = False, on_step: Callable[..., None] | None = None
) -> Run:
    """Train what a recipe file describes and write ``out/{model.safetensors, card.json}``.

    On the way ``out/resume/`` holds a checkpoint, from which a stopped training goes on to the same weights.
    Under ``torchrun`` each process trains on its share of every batch, and the first writes.

    Args:
        resume: go on from it.

    Raises:
        InputError: the recipe, its data or `out` cannot be used, another process is at work in `out`, or there is
            nothing to resume.
        TrainingDiverged: the loss stopped being a number.
    """
    from rai_bigmodel.training import distributed

    files.refuse_unwritable(out)
    with _alone_in(out, locks=distributed.told().first):
        return _trained(path, out=out, resume=resume, on_step=on_step)


@contextlib.contextmanager
def _alone_in(out: PathLike, *, locks: bool) -> Iterator[None]:
    """While a run is made in a folder no other process makes one there; of one that fails no empty folder stays.

    Args:
        locks: whether this process holds the folder for all that share a training.
    """
    if not locks:
        yield
        return
    new = not Path(out).exists()
    with files.alone(files.make_folder(out)):
        try:
            yield
        except BaseException:
            if new:
                files.remove_folder(out)
            raise


def _trained(path: PathLike, *, out: PathLike, resume: bool, on_step: Callable[..., None] | None) -> Run:
    from rai_bigmodel import datasets
    from rai_bigmodel.datasets.behind import rows_behind
    from rai_bigmodel.training import checkpoint, descent, distributed, fit, recipe
    from rai_bigmodel.training import resume as checkpoints

    here = Path(path).parent
    written, kin = descent.kin_of(recipe.read(path), here=here)
    splits = datasets.by_name(written.data, here=here)
    if written.privacy is not None:
        kin = kin._replace(rows=rows_behind(written, kin, here=here))
    run = fit.train_recipe(written, splits=splits, on_step=on_step, folder=out, resume=resume, kin=kin)
    with distributed.first_writes() as mine:
        if mine:
            checkpoint.save_run(run, out)
            # Last: until the run is there, the checkpoint is all there is of it.
            checkpoints.clear(out)
    return run


def train_seeds(
    path: PathLike,
    *,
    out: PathLike,
    seeds: int = 5,
    resume: bool = False,
    on_step: Callable[..., None] | None = None,
) -> dict[int, Run]:
    """Train what a recipe file describes under its own seed and those that follow; ``out/seed-7/`` … are runs.

    ``relatives: {recipe: out/}`` in an ``audit.yaml``, or ``relatives={"recipe": out}``, then says how far each number
    lies apart (`rai_bigmodel.stability`).

    Args:
        seeds: how many.
        resume: keep the runs that are there and go on from the checkpoint of the one that was stopped.

    Raises:
        InputError: as in `train_recipe`; or the recipe is private, with the ε of all trainings together.
        TrainingDiverged: the loss stopped being a number.
    """
    from rai_bigmodel import datasets
    from rai_bigmodel.training import checkpoint, descent, distributed, fit, recipe
    from rai_bigmodel.training import resume as checkpoints
    from rai_bigmodel.training import seeds as several

    files.refuse_unwritable(out)
    here = Path(path).parent
    written, kin = descent.kin_of(recipe.read(path), here=here)
    each = several.under(written, seeds)
    splits = datasets.by_name(written.data, here=here)
    # What an earlier call finished must not stand beside half of a new one.
    files.remove(Path(out) / several.SEEDS)
    runs: dict[int, Run] = {}
    for seed, one in each.items():
        folder = several.folder_of(out, seed)
        if resume and (folder / checkpoint.CARD).is_file():
            run = checkpoint.load_run(folder)
            if run.card.recipe == one:
                runs[seed] = run
                continue
        stopped = resume and (folder / checkpoints.FOLDER / checkpoints.STATE).is_file()
        run = fit.train_recipe(one, splits=splits, on_step=on_step, folder=folder, resume=stopped, kin=kin)
        with distributed.first_writes() as mine:
            if mine:
                checkpoint.save_run(run, folder)
                checkpoints.clear(folder)
        runs[seed] = run
    if distributed.told().first:
        several.save(out, runs)
    return runs


def export(
    run: Run | PathLike | Any,
    path: PathLike,
    *,
    variant: Variant = "fp32",
    splits: Splits | None = None,
    **declared: Any,
) -> Subject:
    """Write a run, or any module, as an ONNX file that takes raw columns, and give it back as a subject.

    It is written once its answers agree with the run's: at the edges of what it may meet (typical, missing, zero,
    extreme and absurd values, one row alone), and on the held-out rows where these are at hand. Its card says how
    well, as ``parity``. Weights of more than 1.5 GB lie beside it in ``NAME.onnx.data``.

    Args:
        run: a trained run, its folder, an estimator of scikit-learn with its ``features``, or an ``nn.Module`` with
            what it reads and gives as `declared`.
        variant: in which precision: ``fp32``, ``fp16`` or ``int8``.
        splits: the rows that the run was made from; by default those that its recipe names, where it names any of ours.
            Eight bits for convolutions need the calibration rows.
        declared: of a module: ``features`` or ``reads``, ``gives``, ``labels`` … as in
            `subjects.of_module.of_module`.

    Raises:
        InputError: there is no such run, the file cannot be written, or calibration rows are needed and not there.
        CheckFailed: the file does not score or decide as the run does; it is not written.
    """
    from dataclasses import replace

    from rai_bigmodel.api.handed import splits_given
    from rai_bigmodel.deploy import export as door
    from rai_bigmodel.subject import Subject
    from rai_bigmodel.subjects.of_onnx import of_onnx
    from rai_bigmodel.training import checkpoint

    if isinstance(run, Subject):
        msg = f"{run.name}: of a Subject its module is exported: export(subject.module, path, reads=…, gives=…, …)"
        raise InputError(msg)
    splits = None if splits is None else splits_given(splits)
    if isinstance(run, str | os.PathLike):
        run = checkpoint.load_run(run)
    if isinstance(run, checkpoint.Run):
        if declared:
            msg = f"{run.name}: a run says itself what it reads and gives; leave out {', '.join(sorted(declared))}"
            raise InputError(msg)
        exported = door.export(run, path, variant=variant, splits=_rows_of(run) if splits is None else splits)
    elif not hasattr(run, "state_dict") and callable(getattr(run, "predict", None)):
        return _estimator(run, path, variant, splits, declared)
    else:
        exported = _module(run, path, variant, splits, declared)
    subject = of_onnx(path, name=Path(path).name)
    return replace(subject, card={**subject.card, "parity": msgspec.to_builtins(exported.agreed)})


def _estimator(
    estimator: Any, path: PathLike, variant: Variant, splits: Splits | None, declared: dict[str, Any]
) -> Subject:
    """A fitted estimator, by skl2onnx; what it reads and decides is declared again when the file is audited."""
    from rai_bigmodel.deploy import sklearn_to_onnx as theirs
    from rai_bigmodel.subject import inputs_of
    from rai_bigmodel.subjects.of_foreign_onnx import of_foreign_onnx
    from rai_bigmodel.subjects.of_sklearn import of_sklearn

    kind = type(estimator).__name__
    if variant != "fp32" or not declared.get("features"):
        msg = f"{kind}: an estimator is exported in single precision, once features=[…] names its columns in order"
        raise InputError(msg)
    before = of_sklearn(estimator, **declared)
    features = list(before.card["features"])
    content = theirs.sklearn_to_onnx(estimator, features=len(features), name=kind)
    decision = before.decision
    after = of_foreign_onnx(
        content,
        features=features,
        output="" if decision.labels else "variable",
        labels=decision.labels,
        positive=decision.positive,
        threshold=0.5 if decision.threshold is None else decision.threshold,
        name=Path(path).name,
    )
    rows = theirs.rows_for(estimator, features) if splits is None else inputs_of(splits.held_out)
    theirs.refuse_apart(before, after, rows)
    files.write_bytes(path, content)
    return after


def _module(
    module: Any, path: PathLike, variant: Variant, splits: Splits | None, declared: dict[str, Any]
) -> Exported:
    """Any module, as the subject that its declaration makes of it."""
    from rai_bigmodel.deploy import export as door
    from rai_bigmodel.deploy.module_to_onnx import answers, module_to_files
    from rai_bigmodel.deploy.parity import Original
    from rai_bigmodel.subject import task_of
    from rai_bigmodel.subjects.of_module import of_module

    if "gives" not in declared or not declared.keys() & {"features", "reads"}:
        kind = type(module).__name__
        msg = f"{kind}: a module does not say what it reads and gives; features=[…] and gives='logits' do"
        raise InputError(msg)
    subject = of_module(module, **declared)
    reads, read = subject.card["reads"], subject.read
    assert read is not None
    full = module_to_files(
        module,
        name=subject.name,
        reads=reads,
        gives=declared["gives"],
        decision=subject.decision,
        digest=subject.digest,
        location=f"{Path(path).name}.data",
    )
    original = Original(
        name=subject.name,
        answer=lambda rows: answers(module, read(rows), declared["gives"], subject.decision, batch=256),
        reads=reads,
        outcome=task_of(subject),
        decision=subject.decision,
    )
    return door.written(original, full, path, variant=variant, splits=splits)


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
    from rai_bigmodel.api.handed import splits_given
    from rai_bigmodel.mitigate import search
    from rai_bigmodel.training import checkpoint

    if isinstance(run, str | os.PathLike):
        run = checkpoint.load_run(run)
    if policy is not None and not isinstance(policy, Policy):
        policy = read_policy(policy)
    aware = None if policy is None else policy.attribute_aware
    return search.mitigate(run, splits_given(splits), attribute=attribute, aware=aware, **how)


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
    from rai_bigmodel.asking import AuditFile, splits_of
    from rai_bigmodel.training import checkpoint

    where, here = str(path), Path(path).parent
    asked = files.read_yaml(path, AuditFile)
    named = {"primary": asked.subject, **asked.relatives}
    if role not in named:
        what = f"{where}: role"
        raise InputError.unknown(what, role, named)
    subject = named[role]
    if not isinstance(subject, str) or not (here / subject).is_dir():
        kinds = {"table": "a table of predictions", "model": "an ONNX file", "endpoint": "an endpoint"}
        got = (
            repr(subject)
            if isinstance(subject, str)
            else next((kinds[k] for k in kinds if k in subject), "no path")
        )
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
