"""Where was a training when it was stopped? All that decides how it goes on, so that it ends with the same weights.

``RUN/resume/STEP.safetensors`` holds weights, the best weights so far, the optimizer's memory and the states of the
random generators; ``state.json`` everything else. It is written last and names the other file with its digest, so a
half-written checkpoint is never loaded. Of a training with ``parallel: fsdp`` ``RUN/resume/STEP/`` holds the pieces
that each process has of the same (`pieces`), which any number of processes can read.

That of a private training holds the state of the noise: who reads it can subtract the noise. Its file is called
``secret-…``, only its owner may read it, and it goes when the training ends.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import safetensors.torch
import torch
from torch import Tensor

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import DataId, Record
from rai_bigmodel.training import shards
from rai_bigmodel.training.card import Moment
from rai_bigmodel.training.distributed import ALONE, World

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from rai_bigmodel.training.recipe import Recipe

FOLDER = "resume"
STATE = "state.json"
FORMAT = 2


@dataclass(kw_only=True)
class Place:
    """Where a training is; the loop moves it on.

    Args:
        epoch, done: whole epochs behind it, and batches of the one it is in.
        total, counted: the summed loss of that epoch, and of how many rows or words.
        best, best_step, waited: the lowest calibration loss, where it was, and epochs since.
        parts: in how many parts a step passes through the network.
        seconds: spent before this process began.
        epoch_began: the sampling generator's state when the epoch began.
    """

    step: int = 0
    epoch: int = 0
    done: int = 0
    total: float = 0.0
    counted: int = 0
    best: float | None = None
    best_step: int = 0
    waited: int = 0
    parts: int = 1
    seconds: float = 0.0
    history: list[Moment] = field(default_factory=list)
    resumed_at: list[int] = field(default_factory=list)
    best_state: dict[str, Tensor] | None = None
    epoch_began: Tensor | None = None


class State(Record):
    """What ``state.json`` holds: a `Place`, and what it is a place of."""

    step: int
    epoch: int
    done: int
    total: float
    counted: int
    best: float | None
    best_step: int
    waited: int
    parts: int
    seconds: float
    history: tuple[Moment, ...]
    resumed_at: tuple[int, ...]
    recipe: str
    data: dict[str, DataId]
    file: str
    file_digest: str
    pieces: dict[str, str] = {}
    format: int = FORMAT


class Randomness(Protocol):
    """Where random numbers come from: a ``torch.Generator``, or a cipher."""

    def get_state(self) -> Tensor:
        """All that decides what comes next."""
        ...

    def set_state(self, new_state: Tensor, /) -> Any:
        """Go on from there."""
        ...


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Writes and reads the checkpoints of one training.

    Args:
        folder: of the run.
        generators: name → a source of randomness whose state decides how the training goes on.
        secret: whether the generators' states must stay unknown.
        world: the processes that train; the first writes, or each of them its own pieces.
    """

    folder: Path
    recipe: Recipe
    data: Mapping[str, DataId]
    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    generators: Mapping[str, Randomness]
    secret: bool
    world: World = ALONE

    def save(self, place: Place) -> None:
        """Write the place, whole or not at all; where each process writes pieces, all of them are to call it.

        Raises:
            InputError: the folder cannot be written, or the disk is full.
        """
        folder = self.folder / FOLDER
        if self.world.first:
            files.make_folder(folder)
        tensors = self._tensors(place)
        if self.recipe.train.parallel == "fsdp":
            from rai_bigmodel.training import pieces

            name = f"{place.step:09d}"
            written = pieces.write(tensors, folder / name, self.world)
            if self.world.first:
                self._close(place, folder, name=name, pieces=written)
            return
        name = f"{'secret-' if self.secret else ''}{place.step:09d}.safetensors"
        files.refuse_full(folder, sum(t.nbytes for t in tensors.values()) + 1_000_000)
        with files.writing(folder / name, secret=self.secret) as temporary:
            try:
                safetensors.torch.save_file(tensors, temporary)
            except safetensors.SafetensorError as error:
                msg = f"{folder / name}: cannot be written ({files.visible(str(error))})"
                raise InputError(msg) from None
            digest = files.digest_of_file(temporary)
        self._close(place, folder, name=name, digest=digest)

    def _close(
        self,
        place: Place,
        folder: Path,
        *,
        name: str,
        digest: str = "",
        pieces: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Say that a checkpoint is whole, and take the one before it away."""
        state = State(
            **{key: getattr(place, key) for key in _PLAIN},
            history=tuple(place.history),
            resumed_at=tuple(place.resumed_at),
            recipe=files.digest(files.canonical_json(self.recipe)),
            data=dict(self.data),
            file=name,
            file_digest=digest,
            pieces=dict(pieces),
        )
        files.write_bytes(folder / STATE, files.canonical_json(state))
        _sweep(folder, keeping={STATE, name})

    def load(self) -> Place:
        """The place that was written last, with module, optimizer and generators as they were there.

        Raises:
            InputError: there is none, it is damaged, or it belongs to another recipe or other rows.
        """
        folder = self.folder / FOLDER
        if not (folder / STATE).is_file():
            msg = f"{folder}: there is no checkpoint to resume from (a finished training leaves none)"
            raise InputError(msg)
        state = files.parse_json(files.read_bytes(folder / STATE), State, where=str(folder / STATE))
        if state.format > FORMAT:
            msg = f"{folder / STATE}: format {state.format} is newer than the {FORMAT} this version reads"
            raise InputError(msg)
        if state.recipe != files.digest(files.canonical_json(self.recipe)):
            msg = f"{folder}: is a checkpoint of another recipe; resume with the one it was begun with"
            raise InputError(msg)
        if state.data != dict(self.data):
            differ = sorted(k for k in {*state.data, *self.data} if state.data.get(k) != self.data.get(k))
            msg = f"{folder}: is a checkpoint of a training on other rows ({', '.join(differ)})"
            raise InputError(msg)
        path = folder / files.slug(state.file)
        place = Place(**{key: getattr(state, key) for key in _PLAIN})
        place.history, place.resumed_at = list(state.history), [*state.resumed_at, state.step]
        if state.pieces:
            from rai_bigmodel.training import pieces

            pieces.refuse_changed(path, state.pieces, self.world)
            tensors = self._room_for(path)
            pieces.read(tensors, path, self.world)
            self._restore(place, tensors)
            return place
        if files.digest_of_file(path) != state.file_digest:
            msg = f"{path}: is not the checkpoint that {STATE} describes"
            raise InputError(msg)
        self._restore(place, safetensors.torch.load_file(path))
        return place

    def _room_for(self, path: Path) -> dict[str, Tensor]:
        """Name → room for each tensor in a folder of pieces, of weights and what goes with them for our piece."""
        from rai_bigmodel.training import pieces

        module = self.module.state_dict()
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        out: dict[str, Tensor] = {}
        for name, (shape, kind) in pieces.shapes(path).items():
            part, _, rest = name.partition(".")
            like = module.get(rest) if part in {"module", "best"} else None
            if part == "optimizer":
                like = weights[int(rest.partition(".")[0])]
            if like is not None and like.shape == shape:
                out[name] = torch.zeros_like(like, dtype=kind, requires_grad=False)
            else:
                out[name] = torch.zeros(shape, dtype=kind)
        return out

    def _tensors(self, place: Place) -> dict[str, Tensor]:
        out = {f"module.{k}": v for k, v in self.module.state_dict().items()}
        out |= {f"best.{k}": v for k, v in (place.best_state or {}).items()}
        for number, memory in self.optimizer.state_dict()["state"].items():
            out |= {f"optimizer.{number}.{k}": v for k, v in memory.items() if isinstance(v, Tensor)}
        out |= {f"generator.{name}": g.get_state() for name, g in self.generators.items()}
        out["generator"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            out["generator-cuda"] = torch.cuda.get_rng_state()
        if place.epoch_began is not None:
            out["epoch"] = place.epoch_began
        if self.recipe.train.parallel == "fsdp":
            return {k: v.detach() for k, v in out.items()}
        # Tied weights are one tensor under two names, which safetensors refuses: each is written by itself.
        return {k: v.detach().cpu().clone().contiguous() for k, v in out.items()}

    def _restore(self, place: Place, tensors: dict[str, Tensor]) -> None:
        state = _under("module.", tensors)
        if wrong := shards.differences(self.module.state_dict(), state):
            msg = f"{self.folder / FOLDER}: belongs to another architecture than the recipe says: {wrong}"
            raise InputError(msg)
        self.module.load_state_dict(state)
        place.best_state = _under("best.", tensors) or None
        memory: dict[int, dict[str, Any]] = {}
        for key, tensor in _under("optimizer.", tensors).items():
            number, _, name = key.partition(".")
            memory.setdefault(int(number), {})[name] = tensor
        whole = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": memory, "param_groups": whole["param_groups"]})
        for name, generator in self.generators.items():
            generator.set_state(tensors[f"generator.{name}"])
        torch.set_rng_state(tensors["generator"])
        if "generator-cuda" in tensors:
            torch.cuda.set_rng_state(tensors["generator-cuda"])
        place.epoch_began = tensors.get("epoch")


def clear(run: str | os.PathLike[str]) -> None:
    """Remove the checkpoint of the run in a folder, secret or not: the training has ended."""
    folder = Path(run) / FOLDER
    if folder.is_dir():
        # state.json first: what it names may then go in any order.
        files.remove(folder / STATE)
        _sweep(folder, keeping=set())
        files.remove_folder(folder)


def _sweep(folder: Path, *, keeping: set[str]) -> None:
    """Remove what else lies in a folder of checkpoints: older ones, and what a stopped process had begun."""
    for path in folder.iterdir():
        if path.name in keeping:
            continue
        if path.is_dir() and not path.is_symlink():
            files.remove_with_files(path)
        else:
            files.remove(path)


_PLAIN = ("step", "epoch", "done", "total", "counted", "best", "best_step", "waited", "parts", "seconds")


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@contextlib.contextmanager
def own_randomness(seed: int) -> Any:
    """Torch's global random state, which dropout draws from, is this training's own inside the block."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
