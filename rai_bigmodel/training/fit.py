"""How does a recipe become a trained network? It is built, taken through one of two loops, and given its card.

Plain (`epochs`): shuffled batches, early stopping on the calibration rows, the best weights kept; same seed, same
bytes. Private (`draws`): a fixed number of steps, each on rows drawn by chance, clipped and with noise; the seed
gives the first weights, never the noise. Either way the threshold is set on the calibration rows, and nothing
is computed from the held-out rows. Under ``torchrun`` several processes share a training (`distributed`).
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from msgspec import UNSET

from rai_bigmodel import accounting, files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.nets.lora import merge
from rai_bigmodel.subject import data_id
from rai_bigmodel.threads import torch_threads
from rai_bigmodel.training import aims, cost, distributed, losses, private, probe, spread, teaching
from rai_bigmodel.training.card import Card, name_of, notes_on, versions
from rai_bigmodel.training.checkpoint import Run, digest_of
from rai_bigmodel.training.course import Course, OnStep, with_pace
from rai_bigmodel.training.descent import (
    Kin,
    kin_of,
    notes_on_descent,
    origins_of,
    promised,
    refuse_false_epsilon,
)
from rai_bigmodel.training.draws import in_draws
from rai_bigmodel.training.epochs import in_epochs
from rai_bigmodel.training.measured import reads_of
from rai_bigmodel.training.planting import planted
from rai_bigmodel.training.recipe import Distil, From, Net, Recipe, learning_rate, steps_of
from rai_bigmodel.training.recompute import recomputing
from rai_bigmodel.training.resume import Keeper, own_randomness
from rai_bigmodel.training.rows import Rows, by_class, usable, weights_id
from rai_bigmodel.training.scoring import answers, score_columns
from rai_bigmodel.training.settings import Train
from rai_bigmodel.training.steps import optimizer_of
from rai_bigmodel.training.taken import begin_with, reads_like
from rai_bigmodel.training.threshold import matching

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.accounting import Privacy
    from rai_bigmodel.nets import Input
    from rai_bigmodel.subject import Array, Splits
    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.distributed import World

    PathLike = str | os.PathLike[str]

__all__ = ["OnStep", "score_columns", "train", "train_recipe"]


def train_recipe(
    recipe: Recipe,
    *,
    splits: Splits,
    weights: Array | None = None,
    on_step: OnStep | None = None,
    folder: PathLike | None = None,
    resume: bool = False,
    here: PathLike = ".",
    kin: Kin | None = None,
) -> Run:
    """Train what a recipe describes, on `splits`: ``datasets.by_name(recipe.data)``, or others of its kind.

    Args:
        weights: how much each training row counts in the loss of a plain training, ``(rows,)``; only their
            ratios matter. The calibration rows, which stop the training and set the threshold, are not weighted.
        folder: where resumable checkpoints are kept (`training.resume.clear` takes them away); ``None``: nowhere.
        resume: go on from the checkpoint in `folder`.
        here: the folder that the runs which the recipe begins with are looked for in.
        kin: those runs, where they are at hand.

    Raises:
        InputError: the data, the weights or a run to begin with do not fit the recipe, or there is nothing to resume.
        TrainingDiverged: the loss stopped being a number.
    """
    where = None if folder is None else Path(folder)
    recipe, kin = kin_of(recipe, here=here, given=kin)
    with (
        torch_threads(recipe.train.threads),
        own_randomness(recipe.seed),
        distributed.processes(recipe) as world,
    ):
        on_step = on_step if world.first else None
        return _train(recipe, splits, weights, on_step, where, kin=kin, world=world, resume=resume)


def train(
    net: Any,
    splits: Splits,
    *,
    epochs: int = 30,
    privacy: Privacy | None = None,
    seed: int = 7,
    name: str = "",
    inputs: Mapping[str, Input] | None = None,
    weights: Array | None = None,
    on_step: OnStep | None = None,
    parent: Run | None = None,
    freeze: Sequence[str] = (),
    teacher: Run | None = None,
    parent_rows: Splits | None = None,
    **settings: Any,
) -> Run:
    """Train a network on the training rows of `splits`.

    Args:
        net: a configuration of ``nets``: ``MLP(hidden=(64, 32))``.
        epochs: how often each row is seen; a private training takes ``epochs / sample_rate`` steps.
        privacy: what to promise; ``None`` trains without.
        inputs: column → constants of filling and scaling. What is not declared is measured, on the training
            rows of a plain model, on the calibration rows of a private one (ε does not cover those).
        weights: how much each training row counts, ``(rows,)``, as in `train_recipe`.
        on_step: called after every step with (step, steps, loss) or (step, steps, loss, pace); the loss of a
            private training is that of the calibration rows, because the loss of training rows would spend
            privacy outside the ledger.
        parent: a run whose weights are taken over (`recipe.From`, which ``start=`` says in full).
        freeze: parts that keep them.
        parent_rows: what `parent` was made from, so that a private training can tell that it saw none of these rows.
        teacher: a run whose answers are learned beside the outcomes (`recipe.Distil`, which ``distil=`` says in full).
        settings: whatever else ``Train`` or ``Recipe`` know: ``optimizer``, ``lr``, ``batch_size``,
            ``patience``, ``text``, ``prune`` …

    Raises:
        InputError: the data or a setting cannot be used.
        TrainingDiverged: the loss stopped being a number.
        MissingExtra: `privacy` is asked for and Opacus is not installed.
    """
    of_recipe = {f for f in Recipe.__struct_fields__ if f not in {"data", "net", "train"}}
    for key in settings:
        if key not in {*Train.__struct_fields__, *of_recipe}:
            what = "train: setting"
            raise InputError.unknown(what, key, {*Train.__struct_fields__, *of_recipe})
    if parent is not None and "start" not in settings:
        settings["start"] = From(run=parent.name, freeze=tuple(freeze))
    if teacher is not None and "distil" not in settings:
        settings["distil"] = Distil(run=teacher.name)
    recipe = Recipe(
        data="",
        net=Net.of(net),
        train=Train(epochs=epochs, **{k: v for k, v in settings.items() if k not in of_recipe}),
        privacy=privacy,
        seed=seed,
        inputs=None if inputs is None else dict(inputs),
        name=name,
        **{k: v for k, v in settings.items() if k in of_recipe},
    )
    behind = () if parent_rows is None else (parent_rows.train, parent_rows.calibrate)
    kin = Kin(parent, teacher, {part.digest: part for part in behind if part is not None})
    return train_recipe(recipe, splits=splits, weights=weights, on_step=on_step, kin=kin)


def _train(
    recipe: Recipe,
    splits: Splits,
    counting: Array | None,
    on_step: OnStep | None,
    folder: Path | None,
    *,
    kin: Kin,
    world: World,
    resume: bool,
) -> Run:
    started = time.perf_counter()
    settings, privacy = recipe.train, recipe.privacy
    rows, calibrate = usable(splits, truth=aims.loss_of(recipe) not in {"reconstruction", "language_model"})
    compared = refuse_false_epsilon(recipe, kin, rows)
    if recipe.canaries is not None:
        if aims.loss_of(recipe) != "language_model" or counting is not None:
            msg = "canaries are planted into the texts of a language model, whose rows count alike"
            raise InputError(msg)
        rows = planted(recipe, rows)
    aim = aims.aim_of(recipe, rows, rows if privacy is None else calibrate)
    if kin.parent is None:
        reads, constants_from = reads_of(recipe, rows, calibrate)
    else:
        reads, constants_from = reads_like(kin.parent.card, recipe, rows), f"those of {kin.parent.name}"
    generator = torch.Generator().manual_seed(recipe.seed)
    device = _device(world.device(settings.device))
    module = recipe.net.config.build(reads, outputs=aim.outputs(reads), generator=generator)
    if kin.parent is not None:
        begin_with(kin.parent, module, recipe=recipe, aim=aim, rows=rows, generator=generator)
    moved = sum(p.numel() for p in module.parameters() if p.requires_grad)
    # A network that is to be spread goes to its device in parts.
    begun_on = torch.device("cpu") if world.spread else device
    module = module.to(begun_on).train()
    train_rows, calibration = Rows.of(rows, reads, aim), Rows.of(calibrate, reads, aim)
    if kin.teacher is not None:
        train_rows = replace(train_rows, taught_NK=teaching.answers_of(kin.teacher, rows, aim))
    data = {"train": data_id(rows), "calibrate": data_id(calibrate)}
    if counting is not None:
        if privacy is not None:
            msg = (
                "weights do not go with privacy: how far one row may move the sum would depend on its weight"
            )
            raise InputError(msg)
        data["weights"] = weights_id(counting)
    if (by_label := by_class(recipe, aim, train_rows)) is not None:
        counting = by_label if counting is None else by_label * counting
    if counting is not None:
        train_rows = train_rows.weighted(counting)
    lr = learning_rate(recipe)
    flops = cost.flops_of(module, tuple(x[:1].to(begun_on) for x in calibration.inputs))
    if world.spread:
        spread.spread(module, world, device)
    optimizer = optimizer_of(module.parameters(), settings, lr)

    keeper = None
    if folder is not None:
        keeper = Keeper(
            folder=folder,
            recipe=recipe,
            data=data,
            module=module,
            optimizer=optimizer,
            generators={"order": generator},
            secret=privacy is not None,
            world=world,
        )
    course = Course(
        module=module,
        optimizer=optimizer,
        aim=aim,
        rows=train_rows,
        calibration=calibration,
        settings=settings,
        seed=recipe.seed,
        lr=lr,
        device=device,
        world=world,
        keeper=keeper,
        on_step=with_pace(on_step),
        distil=None if recipe.distil is UNSET else recipe.distil,
    )
    with cost.metering(settings.energy_in if world.first else None) as meter:
        if privacy is None:
            ledger, seen = promised(recipe, kin)
            place = course.begin(resume=resume)
            with recomputing(module) if settings.recompute else contextlib.nullcontext():
                kept = in_epochs(course, place, generator)
        else:
            kept = steps_of(recipe)
            noise = accounting.noise_for(privacy, kept)

            def of_each(
                out: torch.Tensor, inputs: tuple[torch.Tensor, ...], y: torch.Tensor | None
            ) -> torch.Tensor:
                return losses.of_each(aim, module, out, inputs, y)

            with private.engine(
                module,
                optimizer,
                privacy=privacy,
                noise_multiplier=noise,
                loss=of_each,
                clipping=settings.clipping,
                precision=settings.precision,
                world=world,
            ) as engine:
                course = course.private(engine)
                place = course.begin(resume=resume)
                began = place.step
                in_draws(course, place, engine, steps=kept)
                few = calibration.take(slice(0, 8), device)
                seen = probe.conformance_of(
                    engine,
                    privacy=privacy,
                    noise_multiplier=noise,
                    like=(few.inputs, few.y),
                    steps=began + engine.taken,
                )
            ledger = accounting.Ledger.of(
                privacy, noise_multiplier=noise, steps=kept, generator=engine.way.generator
            )
    if world.spread:
        module = spread.whole(module, recipe.net.config.build(reads, outputs=aim.outputs(reads)))
    module.to("cpu").eval()
    if recipe.start is not UNSET and recipe.start.lora is not None:
        merge(module)

    decision, decision_from = _decided(aim, module, calibration)
    largest = settings.batch_size if privacy is None else math.ceil(privacy.expected_batch_size)
    card = Card(
        name=recipe.name or name_of(recipe, rows),
        digest=digest_of(module, net=recipe.net, reads=reads, aim=aim, decision=decision),
        decision=decision,
        recipe=recipe,
        aim=aim,
        reads=reads,
        constants_from=constants_from,
        decision_from=decision_from,
        data=data,
        versions=versions(private_too=privacy is not None, kind=recipe.net.kind),
        threads=settings.threads,
        history=tuple(place.history),
        kept_step=kept,
        parameters=moved,
        wall_seconds=round(place.seconds + time.perf_counter() - started, 3),
        flops_per_example=flops,
        device=device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        physical_batch=math.ceil(math.ceil(largest / world.size) / place.parts),
        resumed_at=tuple(place.resumed_at),
        processes=world.size,
        energy=meter.energy,
        ledger=ledger,
        conformance=seen,
        notes=(
            *notes_on(recipe, rows, constants_from, place.parts, one_machine=world.one_machine),
            *notes_on_descent(recipe, kin, compared),
        ),
        origins=origins_of(recipe, kin) or UNSET,
    )
    return Run(module=module, card=card)


def _decided(aim: Aim, module: Any, calibration: Rows) -> tuple[Decision, str]:
    """How what the model says becomes a decision, and where that comes from."""
    if aim.outcome == "classes":
        decision = Decision(kind="argmax", threshold=None, positive=aim.positive, labels=aim.labels)
        return decision, "the most probable label"
    if aim.outcome != "binary":
        return Decision(kind="threshold", threshold=None, positive="", labels=()), "nothing is decided"
    assert calibration.y is not None
    approved = int(calibration.y.sum())
    decision = Decision(
        kind="threshold",
        threshold=matching(answers(module, calibration.inputs, aim), approved),
        positive=aim.positive,
        labels=aim.labels,
    )
    return decision, f"as many yeses on the {calibration.rows:,} calibration rows as in truth ({approved:,})"


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        msg = f"train: device {name!r} cannot be used here ({files.visible(str(error).splitlines()[0])})"
        raise InputError(msg) from None
    return device
