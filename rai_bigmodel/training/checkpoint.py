"""What is left of a training? The weights, and a card that says how they came to be.

``RUN/model.safetensors`` holds weights and the constants of filling and scaling; ``RUN/card.json`` everything
else. The card is written last and names the digest of the model, so a half-written run is never loaded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel import files
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.nets.reads import Reads
from rai_bigmodel.training.card import FORMAT, Card

try:
    import safetensors
    import safetensors.torch
except ImportError:
    package, extra = "safetensors", "train"
    raise MissingExtra(package, extra, "saving and loading trained networks") from None

if TYPE_CHECKING:
    import os

    import torch

    from rai_bigmodel.evidence import Decision
    from rai_bigmodel.nets import Tabular

MODEL = "model.safetensors"
CARD = "card.json"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained network, in evaluation mode, and its card."""

    module: Tabular
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


def weights(module: Tabular) -> bytes:
    """The weights and constants of a module as safetensors; equal values give equal bytes."""
    state = {name: tensor.detach().contiguous().cpu() for name, tensor in module.state_dict().items()}
    return safetensors.torch.save(state)


def digest_of(content: bytes, module: Tabular, decision: Decision) -> str:
    """The digest of a model: its safetensors bytes, its architecture and how it decides."""
    whole = hashlib.sha256()
    architecture = {"mlp": module.config, "features": module.features}
    for part in (content, files.canonical_json(architecture), files.canonical_json(decision)):
        whole.update(len(part).to_bytes(8, "little") + part)
    return f"sha256:{whole.hexdigest()}"


def save_run(run: Run, folder: str | os.PathLike[str]) -> None:
    """Write ``model.safetensors`` and ``card.json`` into a folder, which is made when it is not there.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = files.make_folder(folder)
    # Without its card a model cannot be loaded: while the model is new the old card must not stand beside it.
    files.remove(folder / CARD)
    files.write_bytes(folder / MODEL, weights(run.module))
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
    card = files.parse_json(files.read_bytes(folder / CARD), Card, where=str(folder / CARD))
    if card.format > FORMAT:
        msg = f"{folder / CARD}: format {card.format} is newer than the {FORMAT} this version reads"
        raise InputError(msg)
    path = folder / MODEL
    content = files.read_bytes(path)
    # The card's objects are sorted by key, so the order of the features stands apart.
    if set(card.features) != set(card.inputs):
        msg = f"{folder / CARD}: $.features and $.inputs name different columns"
        raise InputError(msg)
    module = card.recipe.net.mlp.build(Reads(features=card.features, numbers=card.inputs))
    try:
        state = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        msg = f"{path}: not a valid safetensors file ({files.visible(str(error))})"
        raise InputError(msg) from None
    expected = module.state_dict()
    wrong = sorted(
        [f"{k} is missing" for k in expected.keys() - state.keys()]
        + [f"{k} is not part of it" for k in state.keys() - expected.keys()]
        + [
            f"{k} is {_kind(state[k])} instead of {_kind(expected[k])}"
            for k in expected.keys() & state.keys()
            if _kind(state[k]) != _kind(expected[k])
        ]
    )
    if wrong:
        listed = files.visible("; ".join(wrong[:8]))
        msg = f"{path}: belongs to another architecture than {CARD} says: {listed}"
        raise InputError(msg)
    module.load_state_dict(state)
    if (found := digest_of(content, module, card.decision)) != card.digest:
        msg = (
            f"{path}: is not the model that {CARD} describes "
            f"(digest {found[:19]}…, the card says {card.digest[:19]}…)"
        )
        raise InputError(msg)
    return Run(module=module.eval(), card=card)


def _kind(tensor: torch.Tensor) -> str:
    return f"{list(tensor.shape)} of {tensor.dtype}"
