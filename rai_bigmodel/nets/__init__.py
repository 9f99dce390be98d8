"""Which networks can be built? A frozen configuration each, whose ``build`` gives the module.

The nets need torch and are imported when they are first asked for; what they read (`nets.reads`) needs none,
so that an exported file is run without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rai_bigmodel.nets.reads import Category, Input, Pixels, Reads, Series, Tokens

if TYPE_CHECKING:
    from rai_bigmodel.nets.mlp import MLP, Tabular

__all__ = ["MLP", "Category", "Input", "Pixels", "Reads", "Series", "Tabular", "Tokens"]

_HOMES = {"MLP": "mlp", "Tabular": "mlp"}


def __getattr__(name: str) -> Any:
    """A net, imported from its file when it is first asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"rai_bigmodel.nets.{_HOMES[name]}"), name)
    msg = f"module 'rai_bigmodel.nets' has no attribute {name!r}"
    raise AttributeError(msg)
