"""How does a gradient move the weights? The optimizer, and its learning rate at every step.

The rate is a pure function of the step, so that a resumed training needs no schedule's memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from rai_bigmodel.errors import InputError, TrainingDiverged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rai_bigmodel.training.settings import Train


class Pace(NamedTuple):
    """How fast a training goes: rows a second, seconds left as far as one can tell, the learning rate."""

    rows_per_second: float
    seconds_left: float
    lr: float


def optimizer_of(
    parameters: Iterable[torch.nn.Parameter], settings: Train, lr: float
) -> torch.optim.Optimizer:
    """The optimizer that a recipe names.

    AdamW decays weights apart from the gradient (Loshchilov and Hutter 2019, arXiv:1711.05101); the others add
    the decay to it.
    """
    moved = [p for p in parameters if p.requires_grad]
    decay = settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(moved, lr=lr, weight_decay=decay)
    if settings.optimizer == "adam":
        return torch.optim.Adam(moved, lr=lr, weight_decay=decay)
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(moved, lr=lr, weight_decay=decay, momentum=settings.momentum)
    return torch.optim.SGD(moved, lr=lr, weight_decay=decay, momentum=settings.momentum)


def rate_at(step: int, *, steps: int, settings: Train, lr: float) -> float:
    """The learning rate of a step, counted from 1; the schedule ends at 0 after the last of `steps`."""
    if step <= settings.warmup:
        return lr * step / settings.warmup
    if settings.schedule == "constant":
        return lr
    done = (step - settings.warmup - 1) / max(1, steps - settings.warmup)
    return lr * (1 - done if settings.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2)


def refuse_endless_warmup(settings: Train, steps: int) -> None:
    """Refuse a warm-up that is not over when the training is: the learning rate would never be what the recipe says.

    Raises:
        InputError: as said; a training without a step warms nothing up.
    """
    if steps and settings.warmup > steps:
        msg = f"train: warmup {settings.warmup:,} is more than the {steps:,} steps of this training"
        raise InputError(msg)


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Use this learning rate from now on."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how a machine, or a graphics card, says that its memory is full."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def diverged(step: int, lr: float, loss: float, kept: str = "") -> TrainingDiverged:
    """The loss is no number any more: where, with which learning rate, and what is left."""
    left = f"; {kept}" if kept else ""
    msg = f"training diverged at step {step:,} with lr {lr:g}: the loss became {loss}; try a smaller lr{left}"
    return TrainingDiverged(msg)
