"""Which weights of a run are set to 0, and how do they stay there while the others are trained on?

``torch.nn.utils.prune`` finds the smallest and sets them to 0, at once and for good; a weight at 0 whose gradient is
masked stays at 0 under every optimizer here, momentum and decay included. So the net is an ordinary one throughout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils import prune as torch_prune

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from rai_bigmodel.training.recipe import Prune

PRUNED = (nn.Linear, nn.Conv2d, nn.LSTM)
"""Layers whose weights are pruned; of an LSTM those to its input and those to its own state."""


def prune(module: nn.Module, how: Prune) -> None:
    """Set the smallest weights to 0, for good.

    Raises:
        InputError: a part to keep is not there, or nothing is left to prune.
    """
    names = [name for name, _ in module.named_modules() if name]
    for part in how.keep:
        if part not in names:
            what = "prune: keep: part"
            raise InputError.unknown(what, part, names)
    found = [
        (layer, name)
        for layer, at, name in _weights(module)
        if not any(at == part or at.startswith(f"{part}.") for part in how.keep)
    ]
    if not found:
        kept = f" outside of {', '.join(how.keep)}" if how.keep else ""
        msg = f"prune: the net has no linear, convolutional or LSTM layer{kept}"
        raise InputError(msg)
    if how.within == "net":
        torch_prune.global_unstructured(found, torch_prune.L1Unstructured, amount=how.share)
    else:
        for layer, name in found:
            torch_prune.l1_unstructured(layer, name, amount=how.share)
    for layer, name in found:
        torch_prune.remove(layer, name)
        weight = getattr(layer, name)
        if weight.requires_grad:
            weight.register_hook(_masking(weight.detach() != 0))


def _weights(module: nn.Module) -> list[tuple[nn.Module, str, str]]:
    """Every layer that is pruned, its name, and the name of a weight in it."""
    return [
        (layer, at, name)
        for at, layer in module.named_modules()
        if isinstance(layer, PRUNED)
        for name, _ in list(layer.named_parameters(recurse=False))
        if name.startswith("weight")
    ]


def _masking(there: Tensor) -> object:
    def masked(gradient: Tensor) -> Tensor:
        return gradient * there.to(gradient.device)

    return masked


def zeros(module: nn.Module) -> tuple[int, int]:
    """How many of the weights that can be pruned are 0, and how many there are."""
    weights = [getattr(layer, name) for layer, _, name in _weights(module)]
    return sum(int((w == 0).sum()) for w in weights), sum(w.numel() for w in weights)
