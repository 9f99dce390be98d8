"""What is left of a training? The weights, and a card that says how they came to be.

``RUN/model.safetensors`` (or several files and an index) holds weights and the constants of filling and scaling;
``RUN/card.json`` everything else. The card is written last and names the digest of the model, so a half-written run
is never loaded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.training import shards
from rai_bigmodel.training.card import FORMAT, Card
from rai_bigmodel.training.shards import MODEL

if TYPE_CHECKING:
    import os

    import torch

    from rai_bigmodel.evidence import Decision
    from rai_bigmodel.nets import Reads
    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.recipe import Net

__all__ = ["CARD", "MODEL", "Run", "bytes_in", "digest_of", "load_run", "save_run", "weights"]

CARD = "card.json"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained network, in evaluation mode, and its card."""

    module: Any
    card: Card

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.card.name

    @property
    def decision(self) -> Decision:
        """How its score becomes a decision."""
        return self.card.decision

    @property
    def digest(self) -> str:
        """The digest of weights, architecture and decision together."""
        return self.card.digest


def weights(module: torch.nn.Module) -> bytes:
    """The weights and constants of a module as safetensors; equal values give equal bytes."""
    import safetensors.torch

    return safetensors.torch.save(shards.apart(shards.state_of(module)))


def digest_of(module: torch.nn.Module, *, net: Net, reads: Reads, aim: Aim, decision: Decision) -> str:
    """The digest of a model: its safetensors bytes, its architecture and how it decides.

    It is the same however many files the weights lie in.
    """
    length, weighed = shards.digest(shards.state_of(module))
    whole = hashlib.sha256(length.to_bytes(8, "little") + weighed)
    architecture = {"net": net, "reads": reads, "aim": aim}
    for part in (files.canonical_json(architecture), files.canonical_json(decision)):
        whole.update(len(part).to_bytes(8, "little") + part)
    return f"sha256:{whole.hexdigest()}"


def save_run(
    run: Run, folder: str | os.PathLike[str], *, max_shard_bytes: int = shards.MAX_SHARD_BYTES
) -> None:
    """Write the model and ``card.json`` into a folder, which is made when it is not there.

    Args:
        max_shard_bytes: a larger model lies in several files of about this size.

    Raises:
        InputError: the folder cannot be written, or the disk has too little room.
    """
    folder = files.make_folder(folder)
    # Without its card a model cannot be loaded: while the model is new the old card must not stand beside it.
    files.remove(folder / CARD)
    shards.write(shards.state_of(run.module), folder, max_shard_bytes=max_shard_bytes)
    files.write_bytes(folder / CARD, files.canonical_json(run.card))


def load_run(folder: str | os.PathLike[str]) -> Run:
    """The run in a folder, checked against the digest in its card.

    Raises:
        InputError: a file is missing, is not what it should be, belongs to another architecture (the message
            names the keys), or is not the model that the card describes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        msg = f"{folder}: no such folder; a run is a folder with {MODEL} and {CARD}"
        raise InputError(msg)
    if (folder / "config.json").is_file() and not (folder / CARD).exists():
        msg = f"{folder}: is no run ({CARD} is not there) but a Hugging Face model, which can be audited"
        raise InputError(msg)
    card = files.parse_json(files.read_bytes(folder / CARD), Card, where=str(folder / CARD))
    if card.format > FORMAT:
        msg = f"{folder / CARD}: format {card.format} is newer than the {FORMAT} this version reads"
        raise InputError(msg)
    module = card.recipe.net.config.build(card.reads, outputs=card.aim.outputs(card.reads))
    state = shards.read(folder)
    path = folder / MODEL
    if wrong := shards.differences(module.state_dict(), state):
        msg = f"{path}: belongs to another architecture than {CARD} says: {wrong}"
        raise InputError(msg)
    # The tensors themselves, not copies of them: a large model is in memory once.
    module.load_state_dict(state, assign=True)
    digest = digest_of(module, net=card.recipe.net, reads=card.reads, aim=card.aim, decision=card.decision)
    if digest != card.digest:
        msg = (
            f"{path}: is not the model that {CARD} describes "
            f"(digest {digest[:19]}…, the card says {card.digest[:19]}…)"
        )
        raise InputError(msg)
    return Run(module=module.eval(), card=card)


def bytes_in(folder: str | os.PathLike[str]) -> int:
    """How many bytes the weights of a run take on disk."""
    there = files.regular_files(folder)
    return sum(path.stat().st_size for name, path in there.items() if name.endswith(".safetensors"))
