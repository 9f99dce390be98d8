"""Where do a net's first weights come from? From the generator that is handed over, and from nowhere else.

Layers are made without a draw (``bare``), so torch's global random state never moves, and are filled at the end
in the order in which they stand (``draw``):

| layer | weight | bias |
|---|---|---|
| Linear, Conv2d | uniform within 1/√fan-in | the same |
| LSTM | uniform within 1/√hidden | the same |
| Embedding | normal, standard deviation 1 or ``embedding_std`` | none |
| LayerNorm, RMSNorm, GroupNorm | 1 | 0 |

These are torch's own defaults (LeCun et al. 1998; He et al. 2015, arXiv:1502.01852, with a = √5).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

M = TypeVar("M", bound=nn.Module)

_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


def bare(kind: Callable[..., M], *args: Any, **kwargs: Any) -> M:
    """A layer with its memory but no random draw: ``draw`` sets the weights."""
    return kind(*args, device="meta", **kwargs).to_empty(device="cpu")


@torch.no_grad()
def draw(net: M, generator: torch.Generator | None, *, embedding_std: float = 1.0) -> M:
    """Fill every layer of `net` from the generator, or with 0 without one, and give the net back.

    Norms start at 1 and 0 in any case: without a generator the weights are to be loaded from a file.
    """
    for layer in net.modules():
        if isinstance(layer, _NORMS):
            for name, parameter in layer.named_parameters(recurse=False):
                parameter.fill_(0.0 if name == "bias" else 1.0)
            continue
        for parameter in layer.parameters(recurse=False):
            if generator is None:
                parameter.zero_()
            elif isinstance(layer, nn.Embedding):
                parameter.normal_(0.0, embedding_std, generator=generator)
            else:
                bound = _bound(layer)
                parameter.uniform_(-bound, bound, generator=generator)
    return net


def _bound(layer: nn.Module) -> float:
    if isinstance(layer, nn.LSTM):
        return 1 / math.sqrt(layer.hidden_size)
    assert isinstance(layer, nn.Linear | nn.Conv2d), type(layer)  # ours alone have parameters
    return 1 / math.sqrt(layer.weight[0].numel())
