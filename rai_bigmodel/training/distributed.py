"""How do several processes train one network? Each takes its share of every batch, and the sums are added.

Under ``torchrun --nproc-per-node=N`` every process draws the same order from the same seed and computes its share of
each global batch; the gradients are added, by ``DistributedDataParallel`` or by FSDP2 (`spread`). So N processes do
what one does, to rounding: the sum over the rows is the same, added up in another order. What a share measures is a sum
and a count, which add too.

A private step adds the clipped gradients of the shares, and the first process adds the noise, once. What goes from
process to process is not yet private: as with any training, the network between them must be trusted.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import math
import operator
import os
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from rai_bigmodel.errors import InputError, TrainingDiverged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rai_bigmodel.training.recipe import Recipe
    from rai_bigmodel.training.settings import Parallel

T = TypeVar("T")
A = TypeVar("A")

__all__ = ["ALONE", "World", "first_writes", "processes", "told"]


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes that train together, seen from one of them; one alone by default.

    Args:
        rank: which one this is, from 0; process 0 alone writes and tells.
        size: how many there are.
        local: which one it is on its machine.
        one_machine: whether all of them run on the same machine.
        parallel: whether each has the whole network (``ddp``), or a part of every weight (``fsdp``).
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    one_machine: bool = True
    parallel: Parallel = "ddp"

    @property
    def spread(self) -> bool:
        """Whether each process has a part of every weight only: then all of them compute together, or none."""
        return not self.alone and self.parallel == "fsdp"

    @property
    def alone(self) -> bool:
        """Whether one process trains by itself."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and tells."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process: of several graphics cards its own.

        Raises:
            InputError: a single card is named for several processes, or the machine has too few.
        """
        if self.alone or not name.startswith("cuda"):
            return name
        if name != "cuda":
            msg = f"train: device {name!r} is one card for {self.size} processes: 'cuda' gives each its own"
            raise InputError(msg)
        if self.local >= torch.cuda.device_count():
            msg = (
                f"train: process {self.local} of this machine has no graphics card "
                f"({torch.cuda.device_count()} there): start at most as many processes as cards"
            )
            raise InputError(msg)
        return f"cuda:{self.local}"

    def joined(self, module: torch.nn.Module) -> torch.nn.Module:
        """The module whose backward pass leaves the mean gradient of all processes; weights are those of process 0."""
        if self.alone or self.spread:
            return module
        return torch.nn.parallel.DistributedDataParallel(module, gradient_as_bucket_view=True)

    def share(self, batch: Tensor) -> Tensor:
        """The rows of a global batch that this process takes; shares differ by one row at most."""
        return batch if self.alone else batch.tensor_split(self.size)[self.rank]

    def parts(self, mine: Tensor, count: int, *, of: int) -> tuple[Tensor, ...]:
        """This process's rows in `count` parts, or fewer, none empty; as many parts on every process.

        Args:
            of: rows of the global batch.
        """
        if self.alone:
            return mine.split(math.ceil(len(mine) / count))
        return mine.tensor_split(max(1, min(count, of // self.size)))

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Put in place of each tensor its sum over the processes, the same bytes on each of them."""
        if not self.alone:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def said_by_first(self, said: bytes) -> bytes:
        """What process 0 has to say, on all of them."""
        told = [said]
        if not self.alone:
            dist.broadcast_object_list(told, 0)
        return told[0]

    def each_says(self, said: T) -> list[T]:
        """What each process has to say, in the order of their ranks."""
        if self.alone:
            return [said]
        told: list[Any] = [None] * self.size
        dist.all_gather_object(told, said)
        return told

    def added(self, statistic: A) -> A:
        """A statistic of the rows of all processes, the same on each: theirs, added by its own ``+``."""
        return functools.reduce(operator.add, self.each_says(statistic))

    def together(self) -> None:
        """Go on when all processes have come here."""
        if not self.alone:
            dist.barrier()

    def alike(self, tensors: Iterable[Tensor]) -> None:
        """Put in place of each tensor that of process 0."""
        if not self.alone:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def total(self, value: float, device: torch.device) -> float:
        """A sum over the processes, the same on each of them."""
        if self.alone:
            return value
        summed = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(summed)
        return summed.item()

    def stir(self, seed: int, step: int) -> None:
        """Dropout of this process at this step: apart from that of the others, and the same after a resume."""
        if not self.alone:
            drawn = np.random.SeedSequence([seed, step, self.rank]).generate_state(1, np.uint64)
            torch.manual_seed(int(drawn[0]) % 2**63)


ALONE = World()
"""One process by itself."""


@contextlib.contextmanager
def processes(recipe: Recipe) -> Iterator[World]:
    """The processes that ``torchrun`` started, as its environment tells, joined; else one alone.

    They talk by gloo on processors and by nccl on graphics cards.

    Raises:
        InputError: the recipe cannot be trained by several processes, the environment is not that of
            ``torchrun``, or another process is gone.
    """
    world = replace(told(), parallel=recipe.train.parallel)
    if world.alone:
        yield world
        return
    _refuse_unshareable(recipe, world)
    device = world.device(recipe.train.device)
    with _one_for_all(world), warnings.catch_warnings():
        if not dist.is_initialized():
            how: dict[str, Any] = {"backend": "gloo"}
            if device.startswith("cuda"):
                torch.cuda.set_device(device)
                how = {"backend": "nccl", "device_id": torch.device(device)}
            dist.init_process_group(**how)
            # Not sooner: processes that part cannot be joined again, and a program may train twice.
            atexit.register(_part)
        # No network of ours changes what a block gave in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        yield world


@contextlib.contextmanager
def first_writes() -> Iterator[bool]:
    """Whether this process writes what all of them made; the others go on when the first has left the block.

    Raises:
        InputError: the first one is gone.
    """
    world = told()
    if world.alone or not dist.is_initialized():
        yield world.first
        return
    with _one_for_all(world):
        yield world.first
        world.together()


@contextlib.contextmanager
def _one_for_all(world: World) -> Iterator[None]:
    """When one process stops half-way the others are not to wait for it."""
    try:
        yield
    except TrainingDiverged:
        raise  # on all of them, at the same step
    except BaseException as error:
        _part()
        if not (
            isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
        ):
            raise
        msg = (
            f"train: process {world.rank} of {world.size} lost the others: one of them stopped, and says why"
        )
        raise InputError(msg) from error


def _refuse_unshareable(recipe: Recipe, world: World) -> None:
    where, batch = "train: batch_size", float(recipe.train.batch_size)
    if recipe.privacy is not None:
        where, batch = "privacy: expected_batch_size", recipe.privacy.expected_batch_size
        if recipe.train.clipping == "opacus":
            msg = (
                f"train: clipping opacus runs in one process, got {world.size}: its wrapper adds noise in each "
                "(leave clipping out: our own engine adds it once)"
            )
            raise InputError(msg)
    if world.size > batch:
        msg = (
            f"{where} {batch:g} is less than one row for each of the {world.size} processes: start fewer, or "
            "take larger batches"
        )
        raise InputError(msg)


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def told() -> World:
    """The processes as the environment tells of them.

    Raises:
        InputError: it speaks of several, and not as ``torchrun`` does.
    """
    if "WORLD_SIZE" not in os.environ:
        return ALONE
    said = {}
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        text = os.environ.get(name, "")
        if not text.isdecimal():
            if os.environ["WORLD_SIZE"] == "1":
                return ALONE
            msg = f"WORLD_SIZE is {os.environ['WORLD_SIZE']!r}, but {name} is {text!r}: start them with torchrun"
            raise InputError(msg)
        said[name] = int(text)
    return World(
        rank=said["RANK"],
        size=said["WORLD_SIZE"],
        local=said["LOCAL_RANK"],
        one_machine=said["LOCAL_WORLD_SIZE"] == said["WORLD_SIZE"],
    )
