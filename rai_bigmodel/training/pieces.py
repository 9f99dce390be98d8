"""How do several processes write one checkpoint? Each its own pieces; any number of processes reads them again.

``torch.distributed.checkpoint`` says who writes which piece of which tensor, and puts pieces together for whoever
asks for other ones. They lie in safetensors files, one a process, which say where in the whole each piece belongs: no
file of ours is a pickle, as torch's own format has.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load as load_pieces
from torch.distributed.checkpoint.state_dict_saver import save as save_pieces
from torch.distributed.tensor import DTensor

from rai_bigmodel import files
from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import torch
    from torch import Tensor

    from rai_bigmodel.training.distributed import World


def write(tensors: Mapping[str, Tensor], folder: Path, world: World) -> dict[str, str]:
    """Write tensors, or this process's pieces of them, into a new folder; file → digest, of all processes.

    Raises:
        InputError: a process could not write, or they do not share the folder.
    """
    if world.first:
        files.remove_with_files(folder)
        files.make_folder(folder)
    own = sum((t.to_local() if isinstance(t, DTensor) else t).nbytes for t in tensors.values())
    if world.first:
        files.refuse_full(folder.parent, own * (world.size if world.one_machine else 1) + 1_000_000)
    world.together()
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    planner = DefaultSavePlanner(dedup_save_to_lowest_rank=True)
    try:
        with _told_in_one_line(folder, "written"):
            save_pieces(dict(tensors), storage_writer=writer, planner=planner, no_dist=world.alone)
    except InputError:
        if world.first:
            files.remove_with_files(folder)
        raise
    mine = {
        path.name: files.digest_of_file(path)
        for path in folder.glob(f"shard-{world.rank + 1:05d}-*.safetensors")
    }
    found = {name: digest for said in world.each_says(mine) for name, digest in said.items()}
    missing = [name for name in found if not (folder / name).is_file()]
    if any(world.each_says(bool(missing))):
        msg = f"{folder}: the processes do not write into one folder; give one that all machines share"
        raise InputError(msg)
    return found


def refuse_changed(folder: Path, digests: Mapping[str, str], world: World) -> None:
    """Refuse pieces that are not those that were written; each process looks at some of them.

    Raises:
        InputError: a file is missing or another one.
    """
    mine = sorted(digests)[world.rank :: world.size]
    there = {name for name in mine if (folder / name).is_file()}
    wrong = [n for n in mine if n not in there or files.digest_of_file(folder / n) != digests[n]]
    more = sorted(p.name for p in folder.glob("*.safetensors") if p.name not in digests)
    wrong = [name for said in world.each_says([*wrong, *more]) for name in said]
    if wrong:
        msg = f"{folder / files.slug(wrong[0])}: is not the checkpoint that was written there"
        raise InputError(msg)


def shapes(folder: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Name → shape and type of every whole tensor in a folder of pieces."""
    with _told_in_one_line(folder, "read"):
        found: dict[str, Any] = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
        return {name: (kept.size, kept.properties.dtype) for name, kept in found.items()}


def read(tensors: dict[str, Tensor], folder: Path, world: World) -> None:
    """Overwrite tensors, whole ones or this process's pieces, by what is in the folder.

    Raises:
        InputError: it cannot be read.
    """
    with _told_in_one_line(folder, "read"):
        load_pieces(
            tensors,
            storage_reader=HuggingFaceStorageReader(str(folder)),
            no_dist=world.alone,
        )


@contextlib.contextmanager
def _told_in_one_line(folder: Path, what: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            # Said where one process works by itself.
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            yield
    except CheckpointException as error:
        rank, (why, _) = next(iter(error.failures.items()))
        if isinstance(why, KeyboardInterrupt):
            raise why from None
        said = getattr(why, "strerror", None) or str(why) or type(why).__name__
        msg = f"{folder}: cannot be {what} (process {rank}: {files.visible(said.splitlines()[0])})"
        raise InputError(msg) from None
