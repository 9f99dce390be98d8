"""How is a network trained? One loop in the open, plain or private.

Plain: shuffled batches, early stopping on the calibration rows, the best weights kept; same seed, same
bytes. Private: a fixed number of steps, each on rows drawn by chance, clipped and with noise; the seed gives
the first weights, never the noise. Either way the threshold is set on the calibration rows, and nothing
is computed from the held-out rows. Under ``torchrun`` several processes share a training (`distributed`).
"""

from __future__ import annotations

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rai_bigmodel import accounting, files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import data_id
from rai_bigmodel.training import aims, cost, distributed, losses, private, probe
from rai_bigmodel.training.card import Card, Moment, name_of, notes_on, versions
from rai_bigmodel.training.checkpoint import Run, digest_of
from rai_bigmodel.training.measured import reads_of
from rai_bigmodel.training.recipe import Net, Recipe, Train, learning_rate
from rai_bigmodel.training.resume import Keeper, Place, own_randomness
from rai_bigmodel.training.rows import Rows, by_class, usable, weights_id
from rai_bigmodel.training.scoring import BATCH, BATCH_OF_ARRAYS, answers, score_columns
from rai_bigmodel.training.steps import (
    Pace,
    diverged,
    optimizer_of,
    out_of_memory,
    rate_at,
    set_rate,
    threads,
)
from rai_bigmodel.training.threshold import matching

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from rai_bigmodel.accounting import Privacy
    from rai_bigmodel.nets import Input
    from rai_bigmodel.subject import Array, Splits
    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.distributed import World

    PathLike = str | os.PathLike[str]

__all__ = ["OnStep", "score_columns", "train", "train_recipe"]

OnStep = Callable[..., None]
"""Called with the step, how many there are at most, the last loss known (null when none may be shown), and, where it
takes a fourth argument, the `Pace`: rows a second, seconds left, the learning rate."""

SECONDS = 10.0
"""At least so long between two checkpoints, where the recipe does not say after how many steps."""


def train_recipe(
    recipe: Recipe,
    *,
    splits: Splits,
    weights: Array | None = None,
    on_step: OnStep | None = None,
    folder: PathLike | None = None,
    resume: bool = False,
) -> Run:
    """Train what a recipe describes, on `splits`: ``datasets.by_name(recipe.data)``, or others of its kind.

    Args:
        weights: how much each training row counts in the loss of a plain training, ``(rows,)``; only their
            ratios matter. The calibration rows, which stop the training and set the threshold, are not weighted.
        folder: where resumable checkpoints are kept (`training.resume.clear` takes them away); ``None``: nowhere.
        resume: go on from the checkpoint in `folder`.

    Raises:
        InputError: the data or the weights do not fit the recipe, or there is nothing to resume.
        TrainingDiverged: the loss stopped being a number.
    """
    where = None if folder is None else Path(folder)
    with (
        threads(recipe.train.threads),
        own_randomness(recipe.seed),
        distributed.processes(recipe) as world,
    ):
        return _train(
            recipe, splits, weights, on_step if world.first else None, where, world=world, resume=resume
        )


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
        settings: whatever else ``Train`` or ``Recipe`` know: ``optimizer``, ``lr``, ``batch_size``,
            ``patience``, ``text`` …

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
    return train_recipe(recipe, splits=splits, weights=weights, on_step=on_step)


def _train(
    recipe: Recipe,
    splits: Splits,
    counting: Array | None,
    on_step: OnStep | None,
    folder: Path | None,
    *,
    world: World,
    resume: bool,
) -> Run:
    started = time.perf_counter()
    settings, privacy = recipe.train, recipe.privacy
    rows, calibrate = usable(splits, truth=aims.loss_of(recipe) not in {"reconstruction", "language_model"})
    aim = aims.aim_of(recipe, rows, rows if privacy is None else calibrate)
    reads, constants_from = reads_of(recipe, rows, calibrate)
    generator = torch.Generator().manual_seed(recipe.seed)
    device = _device(world.device(settings.device))
    module = (
        recipe.net.config.build(reads, outputs=aim.outputs(reads), generator=generator).to(device).train()
    )
    train_rows, calibration = Rows.of(rows, reads, aim), Rows.of(calibrate, reads, aim)
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
    optimizer = optimizer_of(module.parameters(), settings, lr)
    flops = cost.flops_of(module, tuple(x[:1].to(device) for x in calibration.inputs))

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
        )
    course = _Course(
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
        on_step=_with_pace(on_step),
    )
    with cost.metering(settings.energy_in if world.first else None) as meter:
        if privacy is None:
            ledger = seen = None
            place = course.begin(resume=resume)
            kept = _plain(course, place, generator)
        else:
            kept = max(1, round(settings.epochs / privacy.sample_rate))
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
                world=world,
            ) as engine:
                course = course.private(engine)
                place = course.begin(resume=resume)
                began = place.step
                _private(course, place, engine, steps=kept)
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
    module.to("cpu").eval()

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
        parameters=sum(p.numel() for p in module.parameters() if p.requires_grad),
        wall_seconds=round(place.seconds + time.perf_counter() - started, 3),
        flops_per_example=flops,
        device=device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        physical_batch=math.ceil(math.ceil(largest / world.size) / place.parts),
        resumed_at=tuple(place.resumed_at),
        processes=world.size,
        energy=meter.energy,
        ledger=ledger,
        conformance=seen,
        notes=notes_on(recipe, rows, constants_from, place.parts, one_machine=world.one_machine),
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


def _with_pace(on_step: OnStep | None) -> OnStep | None:
    """What is called after each step, with four arguments; one that takes three is told three."""
    if on_step is None:
        return None
    try:
        inspect.signature(on_step).bind(0, 0, None, None)
    except TypeError:
        return lambda step, steps, loss, _: on_step(step, steps, loss)
    except ValueError:  # a builtin without a signature
        pass
    return on_step


# --- the two loops -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Course:
    """What a loop needs and does not change, but for the weights."""

    module: Any
    optimizer: torch.optim.Optimizer
    aim: Aim
    rows: Rows
    calibration: Rows
    settings: Train
    seed: int
    lr: float
    device: torch.device
    world: World
    keeper: Keeper | None
    on_step: OnStep | None

    def private(self, engine: private.Engine) -> _Course:
        """The same with the engine's generators, which decide how it goes on."""
        from dataclasses import replace

        if self.keeper is None:
            return self
        secret = {**self.keeper.generators, **engine.generators}
        return replace(self, keeper=replace(self.keeper, generators=secret))

    def begin(self, *, resume: bool) -> Place:
        """The first step's place, or that of the checkpoint."""
        if not resume:
            return Place(parts=self.settings.accumulate)
        if self.keeper is None:
            msg = "resume needs the folder that the checkpoint lies in"
            raise InputError(msg)
        return self.keeper.load()


def _plain(course: _Course, place: Place, generator: torch.Generator) -> int:
    """Shuffled batches until the calibration loss stops falling; the step that was kept."""
    settings, rows, optimizer = course.settings, course.rows, course.optimizer
    batches = math.ceil(rows.rows / settings.batch_size)
    steps = settings.epochs * batches
    net = course.world.joined(course.module)
    clock = _Clock(course, place, steps, batch=settings.batch_size)
    while place.epoch < settings.epochs and not (settings.patience and place.waited >= settings.patience):
        if place.epoch_began is None:
            place.epoch_began = generator.get_state()
        else:
            generator.set_state(place.epoch_began)
        order = torch.randperm(rows.rows, generator=generator).split(settings.batch_size)
        for batch in order[place.done :]:
            place.step, place.done = place.step + 1, place.done + 1
            rate = rate_at(place.step, steps=steps, settings=settings, lr=course.lr)
            set_rate(optimizer, rate)
            value, counted = _gradient(course, place, net, batch)
            if not math.isfinite(value):
                raise diverged(place.step, rate, value, clock.left())
            if settings.clip is not None:
                torch.nn.utils.clip_grad_norm_(course.module.parameters(), settings.clip)
            optimizer.step()
            place.total, place.counted = place.total + value * counted, place.counted + counted
            clock.tell(value, rate)
            if place.done < batches:
                clock.keep(epoch_ended=False)
        calibrated = _loss(course)
        if not math.isfinite(calibrated):
            raise diverged(place.step, course.lr, calibrated, clock.left())
        place.history.append(Moment(step=place.step, train=place.total / place.counted, calibrate=calibrated))
        place.epoch, place.done, place.total, place.counted = place.epoch + 1, 0, 0.0, 0
        place.epoch_began = None
        if settings.keeps_best:
            _compare(course, place, calibrated)
        clock.keep(epoch_ended=True)
    if place.best_state is None:
        return place.step
    course.module.load_state_dict(place.best_state)
    return place.best_step


def _gradient(course: _Course, place: Place, net: Any, batch: torch.Tensor) -> tuple[float, int]:
    """Leave the gradient of the mean loss of these rows; the loss, and how many it is the mean of.

    Where the memory is full the rows pass through the network in twice as many parts, from then on.

    Args:
        net: the module, which adds the gradients of all processes where there are several.
    """
    counted, world = len(batch), course.world
    if course.aim.loss == "language_model":
        counted = losses.count(course.aim, tuple(x[batch] for x in course.rows.inputs))
    world.stir(course.seed, place.step)
    # The others wait for the gradient of a process without a row: it computes one, which counts 0.
    mine, weight = world.share(batch), world.size
    if not len(mine):
        mine, weight = batch[:1], 0
    while True:
        course.optimizer.zero_grad()
        try:
            parts = mine.split(math.ceil(len(mine) / place.parts))
            value = _in_parts(course, net, parts, weight, of=counted)
        except (RuntimeError, MemoryError) as error:
            _halve(place, error, len(batch), world)
        else:
            return world.total(value if weight else 0.0, course.device), counted


def _in_parts(course: _Course, net: Any, parts: Sequence[torch.Tensor], weight: int, *, of: int) -> float:
    """Add the gradient of these rows' part of a mean of `of` rows, times `weight`; that part of the loss."""
    value = 0.0
    for number, part in enumerate(parts, start=1):
        some = course.rows.take(part, course.device)
        # Gradients of several processes are added once a step, with the last part.
        with contextlib.nullcontext() if net is course.module or number == len(parts) else net.no_sync():
            if course.settings.precision == "bfloat16":
                with torch.autocast(course.device.type, dtype=torch.bfloat16):
                    out = net(*some.inputs)
            else:
                out = net(*some.inputs)
            loss = losses.share(course.aim, course.module, out, some.inputs, some.y, w=some.w_N, of=of)
            (loss if weight == 1 else loss * weight).backward()
        value += loss.item()
    return value


def _halve(place: Place, error: RuntimeError | MemoryError, rows: int, world: World) -> None:
    """After memory ran out: half as many rows at once; what is no lack of memory is raised again."""
    if not out_of_memory(error):
        raise error
    if not world.alone:
        # The others may already have added their gradients to a part of this one's.
        msg = f"train: memory ran out in process {world.rank} of {world.size}: a larger accumulate is needed"
        raise InputError(msg) from None
    if place.parts >= rows:
        msg = "train: memory ran out with a single row in the network; a smaller net is needed"
        raise InputError(msg) from None
    place.parts *= 2
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _compare(course: _Course, place: Place, calibrated: float) -> None:
    """Keep the weights if the calibration loss was never so low."""
    if place.best is None or calibrated < place.best:
        place.best, place.best_step, place.waited = calibrated, place.step, 0
        place.best_state = {name: tensor.clone() for name, tensor in course.module.state_dict().items()}
    else:
        place.waited += 1


def _private(course: _Course, place: Place, engine: private.Engine, *, steps: int) -> None:
    """A fixed number of private steps; the loss of the training rows is never computed, let alone shown."""
    each = max(1, round(1 / engine.rate))
    clock = _Clock(course, place, steps, batch=round(engine.rate * course.rows.rows))
    while place.step < steps:
        place.step += 1
        rate = rate_at(place.step, steps=steps, settings=course.settings, lr=course.lr)
        set_rate(course.optimizer, rate)
        course.world.stir(course.seed, place.step)
        drawn = engine.draw(course.rows.rows)
        while True:
            most = max(1, math.ceil(len(drawn) / place.parts))
            try:
                some = course.rows.take(drawn, course.device)
                engine.step(some.inputs, some.y, most=most)
                break
            except (RuntimeError, MemoryError) as error:
                _halve(place, error, len(drawn), course.world)
        ended = place.step % each == 0 or place.step == steps
        if ended:
            calibrated = _loss(course)
            if not math.isfinite(calibrated):
                raise diverged(place.step, rate, calibrated, clock.left())
            place.history.append(Moment(step=place.step, train=None, calibrate=calibrated))
        clock.tell(place.history[-1].calibrate if place.history else None, rate)
        clock.keep(epoch_ended=ended)


class _Clock:
    """Tells how a training goes, and says when the next checkpoint is due."""

    def __init__(self, course: _Course, place: Place, steps: int, *, batch: int) -> None:
        self.course, self.place, self.steps, self.batch = course, place, steps, batch
        self.began = self.kept_at = time.perf_counter()
        self.first, self.before = place.step, place.seconds
        self.kept_step: int | None = None

    def tell(self, loss: float | None, rate: float) -> None:
        """Call `on_step`."""
        if self.course.on_step is None:
            return
        step = self.place.step
        each = (time.perf_counter() - self.began) / (step - self.first)
        pace = Pace(self.batch / max(each, 1e-9), each * (self.steps - step), rate)
        self.course.on_step(step, self.steps, loss, pace)

    def keep(self, *, epoch_ended: bool) -> None:
        """Write a checkpoint if one is due."""
        keeper, every = self.course.keeper, self.course.settings.every
        if keeper is None or not self.course.world.first:
            return
        now = time.perf_counter()
        due = epoch_ended and now - self.kept_at >= SECONDS if every is None else self.place.step % every == 0
        if due:
            self.place.seconds = self.before + now - self.began
            keeper.save(self.place)
            self.place.seconds = self.before
            self.kept_at, self.kept_step = now, self.place.step

    def left(self) -> str:
        """What a training that went wrong leaves behind, in words."""
        if self.course.keeper is None or self.kept_step is None:
            return ""
        return f"the checkpoint of step {self.kept_step:,} is in {self.course.keeper.folder}"


@torch.inference_mode()
def _loss(course: _Course) -> float:
    """The mean loss of the calibration rows, in float32 and without dropout."""
    module, aim, rows = course.module, course.aim, course.calibration
    size = BATCH if module.reads.features and len(rows.inputs) == 1 else BATCH_OF_ARRAYS
    module.eval()
    world, total, counted = course.world, 0.0, 0
    for start in range(world.rank * size, rows.rows, world.size * size):
        some = rows.take(slice(start, start + size), course.device)
        out = module(*some.inputs)
        total += float(losses.total(aim, module, out, some.inputs, some.y))
        counted += losses.count(aim, some.inputs)
    module.train()
    return world.total(total, course.device) / world.total(counted, course.device)
