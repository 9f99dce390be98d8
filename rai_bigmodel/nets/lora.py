"""How does a net learn by a few numbers? Low-rank matrices beside its layers (Hu et al. 2022, arXiv:2106.09685)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import checks
from rai_bigmodel.nets.weights import draw


class Lora(Record, omit_defaults=True):
    """Small matrices beside frozen layers: ``W x + (alpha / rank) B A x``, B starting at 0.

    Args:
        rank: of B A.
        alpha: how much they count.
        dropout: the share of x that a training step leaves out before A.
        targets: names of the layers that get them; none for those that peft chooses for this kind of encoder.
    """

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.between("lora: rank", self.rank, 1, 4096)
        checks.chance("lora: dropout", self.dropout)
        if self.alpha <= 0:
            msg = f"lora: alpha must be positive, got {self.alpha}"
            raise InputError(msg)


def beside(model: Any, lora: Lora, generator: torch.Generator | None) -> None:
    """Put the small matrices beside the model's layers: A drawn as any layer of ours, B zero (section 4.1).

    Raises:
        InputError: the model has no such layer.
        MissingExtra: peft is not installed.
    """
    try:
        import peft
    except ImportError:
        package, extra = "peft", "huggingface"
        raise MissingExtra(package, extra, "LoRA") from None
    asked = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or None,
    )
    with torch.random.fork_rng(devices=[]):
        try:
            peft.inject_adapter_in_model(asked, model)
        except ValueError as error:
            msg = f"lora: cannot be put into this encoder: {str(error).splitlines()[0]}"
            raise InputError(msg) from None
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and ".lora_A." in name:
            draw(layer, generator)
        elif isinstance(layer, nn.Linear) and ".lora_B." in name:
            draw(layer, None)


def merge(model: nn.Module) -> None:
    """Add the small matrices to the weights they stand beside, so that the net is what it was, and trained."""
    for name, layer in list(model.named_modules()):
        if hasattr(layer, "lora_A") and hasattr(layer, "get_base_layer"):
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())
