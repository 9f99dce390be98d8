"""What does a loop need, whichever of the two it is? The net and its rows, a clock, room in memory, a yardstick."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from rai_bigmodel.errors import InputError
from rai_bigmodel.training import losses
from rai_bigmodel.training.resume import Keeper, Place
from rai_bigmodel.training.scoring import BATCH, BATCH_OF_ARRAYS
from rai_bigmodel.training.steps import Pace, out_of_memory

if TYPE_CHECKING:
    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.distributed import World
    from rai_bigmodel.training.private import Engine
    from rai_bigmodel.training.recipe import Distil
    from rai_bigmodel.training.rows import Rows
    from rai_bigmodel.training.settings import Train

OnStep = Callable[..., None]
"""Called with the step, how many there are at most, the last loss known (null when none may be shown), and, where it
takes a fourth argument, the `Pace`: rows a second, seconds left, the learning rate."""

SECONDS = 10.0
"""At least so long between two checkpoints, where the recipe does not say after how many steps."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a loop needs and does not change, but for the weights.

    Args:
        distil: how a teacher's answers count, where the rows have them.
    """

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
    distil: Distil | None = None

    def private(self, engine: Engine) -> Course:
        """The same with the engine's generators, which decide how it goes on."""
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


class Clock:
    """Tells how a training goes, and says when the next checkpoint is due."""

    def __init__(self, course: Course, place: Place, steps: int, *, batch: int) -> None:
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
        keeper, every, world = self.course.keeper, self.course.settings.every, self.course.world
        if keeper is None or not (world.first or world.spread):
            return
        now = time.perf_counter()
        due = epoch_ended and now - self.kept_at >= SECONDS if every is None else self.place.step % every == 0
        if world.spread and every is None and epoch_ended:
            # Clocks differ, and all have to write: the first one's counts.
            due = world.each_says(due)[0]
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


@dataclass(frozen=True, kw_only=True)
class Losses:
    """A statistic: the summed loss of rows (of words, in a language model), and how many they are."""

    total: float = 0.0
    counted: int = 0

    def __add__(self, other: Losses) -> Losses:
        return Losses(total=self.total + other.total, counted=self.counted + other.counted)

    @property
    def mean(self) -> float:
        """The mean loss."""
        return self.total / self.counted


def calibration_loss(course: Course) -> float:
    """The mean loss of the calibration rows, in float32 and without dropout."""
    module, aim, rows = course.module, course.aim, course.calibration
    size = BATCH if module.reads.features and len(rows.inputs) == 1 else BATCH_OF_ARRAYS
    module.eval()
    world, seen = course.world, Losses()
    # What is brought together for a pass must not be an inference tensor: the next one writes into it.
    with torch.no_grad() if world.spread else torch.inference_mode():
        for turn in range(math.ceil(rows.rows / size / world.size)):
            start = (turn * world.size + world.rank) * size
            mine = start < rows.rows
            # One row, which does not count, where the others wait for this process to compute as well.
            some = rows.take(slice(start, start + size) if mine else slice(0, 1), course.device)
            out = module(*some.inputs)
            if mine:
                total = float(losses.total(aim, module, out, some.inputs, some.y))
                seen += Losses(total=total, counted=losses.count(aim, some.inputs))
    module.train()
    return world.added(seen).mean


def halve(place: Place, error: RuntimeError | MemoryError, rows: int, world: World) -> None:
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


def with_pace(on_step: OnStep | None) -> OnStep | None:
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
