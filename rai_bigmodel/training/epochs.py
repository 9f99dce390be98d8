"""How does a plain training go? Epochs of shuffled batches, until the calibration loss stops falling."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import torch

from rai_bigmodel.training import losses, teaching
from rai_bigmodel.training.card import Moment
from rai_bigmodel.training.course import Clock, calibration_loss, halve
from rai_bigmodel.training.steps import diverged, rate_at, set_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.training.course import Course
    from rai_bigmodel.training.resume import Place


def in_epochs(course: Course, place: Place, generator: torch.Generator) -> int:
    """Shuffled batches until the calibration loss stops falling; the step that was kept."""
    settings, rows, optimizer = course.settings, course.rows, course.optimizer
    batches = math.ceil(rows.rows / settings.batch_size)
    steps = settings.epochs * batches
    net = course.world.joined(course.module)
    clock = Clock(course, place, steps, batch=settings.batch_size)
    used: float | None = None
    while place.epoch < settings.epochs and not (settings.patience and place.waited >= settings.patience):
        if place.epoch_began is None:
            place.epoch_began = generator.get_state()
        else:
            generator.set_state(place.epoch_began)
        order = torch.randperm(rows.rows, generator=generator).split(settings.batch_size)
        for batch in order[place.done :]:
            place.step, place.done = place.step + 1, place.done + 1
            rate = rate_at(place.step, steps=steps, settings=settings, lr=course.lr)
            if rate != used:
                set_rate(optimizer, rate)
                used = rate
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
        calibrated = calibration_loss(course)
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


def _gradient(course: Course, place: Place, net: Any, batch: torch.Tensor) -> tuple[float, int]:
    """Leave the gradient of the mean loss of these rows; the loss, and how many it is the mean of.

    Where the memory is full the rows pass through the network in twice as many parts, from then on.

    Args:
        net: the module, which adds the gradients of all processes where there are several.
    """
    counted, world = len(batch), course.world
    if course.aim.loss == "language_model":
        counted = losses.count(course.aim, tuple(x[batch] for x in course.rows.inputs))
    if world.alone and place.parts == 1 and len(batch):  # a small net feels every detour
        course.optimizer.zero_grad()
        try:
            return _backward(course, net, batch, 1, of=counted).item(), counted
        except (RuntimeError, MemoryError) as error:
            halve(place, error, len(batch), world)
    world.stir(course.seed, place.step)
    # The others wait for the gradient of a process without a row: it computes one, which counts 0.
    mine, weight = world.share(batch), world.size
    if not len(mine):
        mine, weight = batch[:1], 0
    while True:
        course.optimizer.zero_grad()
        try:
            parts = world.parts(mine, place.parts, of=len(batch))
            value = _in_parts(course, net, parts, weight, of=counted)
        except (RuntimeError, MemoryError) as error:
            halve(place, error, len(batch), world)
        else:
            return world.total(value if weight else 0.0, course.device), counted


def _in_parts(course: Course, net: Any, parts: Sequence[torch.Tensor], weight: int, *, of: int) -> float:
    """Add the gradient of these rows' part of a mean of `of` rows, times `weight`; that part of the loss."""
    value = 0.0
    for number, part in enumerate(parts, start=1):
        # Gradients of several processes are added once a step, with the last part.
        with contextlib.nullcontext() if net is course.module or number == len(parts) else net.no_sync():
            value += _backward(course, net, part, weight, of=of).item()
    return value


def _backward(course: Course, net: Any, part: torch.Tensor, weight: int, *, of: int) -> torch.Tensor:
    """Add the gradient of what these rows have of a mean of `of` rows, times `weight`; that part of the loss."""
    some = course.rows.take(part, course.device)
    if course.settings.precision == "bfloat16":
        with torch.autocast(course.device.type, dtype=torch.bfloat16):
            out = net(*some.inputs)
    else:
        out = net(*some.inputs)
    learned = (course.aim, course.module, out, some.inputs, some.y)
    if some.taught_NK is None or course.distil is None:
        loss = losses.share(*learned, w=some.w_N, of=of)
    else:
        loss = teaching.share(*learned, taught_BK=some.taught_NK, how=course.distil, w=some.w_N, of=of)
    (loss if weight == 1 else loss * weight).backward()
    return loss


def _compare(course: Course, place: Place, calibrated: float) -> None:
    """Keep the weights if the calibration loss was never so low."""
    if place.best is None or calibrated < place.best:
        place.best, place.best_step, place.waited = calibrated, place.step, 0
        place.best_state = {name: tensor.clone() for name, tensor in course.module.state_dict().items()}
    else:
        place.waited += 1
