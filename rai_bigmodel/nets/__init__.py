"""Which networks can be built? A frozen configuration each, whose ``build`` gives the module.

What a net reads (``Reads`` and its parts) loads without torch, so that an exported file needs none; asking for a
network loads it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rai_bigmodel.errors import MissingExtra
from rai_bigmodel.nets.reads import (
    FIRST_WORD,
    PADDING,
    UNKNOWN,
    Base,
    Category,
    Input,
    Pixels,
    Reads,
    Series,
    Tokens,
)

if TYPE_CHECKING:
    from rai_bigmodel.nets.autoencoder import Autoencoder, Reconstructing
    from rai_bigmodel.nets.cnn import CNN, Convolutional
    from rai_bigmodel.nets.fusion import Fusion, Joined
    from rai_bigmodel.nets.huggingface import Encoded, HuggingFace
    from rai_bigmodel.nets.lora import Lora
    from rai_bigmodel.nets.lstm import LSTM, Recurrent
    from rai_bigmodel.nets.mlp import MLP, Tabular, log_likelihood
    from rai_bigmodel.nets.net import Net, example, free, takes
    from rai_bigmodel.nets.private import private_twin
    from rai_bigmodel.nets.transformer import Attentive, Transformer
    from rai_bigmodel.nets.tuned import OnTop, Tuned

    KINDS: dict[str, type[MLP | CNN | LSTM | Transformer | Autoencoder | Fusion | HuggingFace | Tuned]]

__all__ = [
    "CNN",
    "FIRST_WORD",
    "KINDS",
    "LSTM",
    "MLP",
    "PADDING",
    "UNKNOWN",
    "Attentive",
    "Autoencoder",
    "Base",
    "Category",
    "Convolutional",
    "Encoded",
    "Fusion",
    "HuggingFace",
    "Input",
    "Joined",
    "Lora",
    "Net",
    "OnTop",
    "Pixels",
    "Reads",
    "Reconstructing",
    "Recurrent",
    "Series",
    "Tabular",
    "Tokens",
    "Transformer",
    "Tuned",
    "example",
    "free",
    "log_likelihood",
    "private_twin",
    "takes",
]

_HOMES = {
    "Attentive": "transformer",
    "Autoencoder": "autoencoder",
    "CNN": "cnn",
    "Convolutional": "cnn",
    "Encoded": "huggingface",
    "Fusion": "fusion",
    "HuggingFace": "huggingface",
    "Joined": "fusion",
    "LSTM": "lstm",
    "Lora": "lora",
    "MLP": "mlp",
    "Net": "net",
    "OnTop": "tuned",
    "Reconstructing": "autoencoder",
    "Recurrent": "lstm",
    "Tabular": "mlp",
    "Transformer": "transformer",
    "Tuned": "tuned",
    "example": "net",
    "free": "net",
    "log_likelihood": "mlp",
    "private_twin": "private",
    "takes": "net",
}
_KINDS = {
    "mlp": "MLP",
    "cnn": "CNN",
    "lstm": "LSTM",
    "transformer": "Transformer",
    "autoencoder": "Autoencoder",
    "fusion": "Fusion",
    "huggingface": "HuggingFace",
    "tuned": "Tuned",
}
"""The name of each in a recipe, ``net: {cnn: {widths: [32, 64]}}``."""


def __getattr__(name: str) -> Any:
    """What needs torch, imported when it is first asked for; ``KINDS``: name in a recipe → configuration."""
    if name == "KINDS":
        return {kind: __getattr__(config) for kind, config in _KINDS.items()}
    if name not in _HOMES:
        msg = f"module 'rai_bigmodel.nets' has no attribute {name!r}"
        raise AttributeError(msg)
    try:
        import torch  # noqa: F401 - asked for once, at the door, so that no file behind it has to
    except ImportError:
        package, extra = "torch", "train"
        raise MissingExtra(package, extra, "training and loading networks") from None
    return getattr(importlib.import_module(f"rai_bigmodel.nets.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
