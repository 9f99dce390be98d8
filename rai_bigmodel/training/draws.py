"""How does a private training go? A fixed number of steps, each on rows drawn by chance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rai_bigmodel.training.card import Moment
from rai_bigmodel.training.course import Clock, calibration_loss, halve
from rai_bigmodel.training.steps import diverged, rate_at, set_rate

if TYPE_CHECKING:
    from rai_bigmodel.training.course import Course
    from rai_bigmodel.training.private import Engine
    from rai_bigmodel.training.resume import Place


def in_draws(course: Course, place: Place, engine: Engine, *, steps: int) -> None:
    """A fixed number of private steps; the loss of the training rows is never computed, let alone shown."""
    each = max(1, round(1 / engine.rate))
    clock = Clock(course, place, steps, batch=round(engine.rate * course.rows.rows))
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
                halve(place, error, len(drawn), course.world)
        ended = place.step % each == 0 or place.step == steps
        if ended:
            calibrated = calibration_loss(course)
            if not math.isfinite(calibrated):
                raise diverged(place.step, rate, calibrated, clock.left())
            place.history.append(Moment(step=place.step, train=None, calibrate=calibrated))
        clock.tell(place.history[-1].calibrate if place.history else None, rate)
        clock.keep(epoch_ended=ended)
