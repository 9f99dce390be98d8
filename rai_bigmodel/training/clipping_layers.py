"""Can a pass be watched without looking at every function? Yes, where layers that are known make all use of parameters.

Where a network's parameters are read by plain ``nn.Linear`` and ``nn.Embedding`` layers alone, as the look at small
batches shows, these layers hand over what they do while a pass lasts, and everything else runs as fast as ever. It
is safe: a parameter that is used in any other way is not taken for a constant there, so a gradient of its own comes
back, which is seen (`Tape.backward`); the pass is then made again with every function watched.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rai_bigmodel.training import clipping_rules as rule
from rai_bigmodel.training.clipping_tape import Tape, Unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def _linear(tape: Tape, layer: nn.Linear, input: Tensor) -> Any:  # noqa: A002 - torch's own name
    return rule.linear(tape, input, layer.weight, layer.bias)


def _embedding(tape: Tape, layer: nn.Embedding, input: Tensor) -> Any:  # noqa: A002 - torch's own name
    return rule.embedding(tape, input, layer.weight, layer.padding_idx)


LAYERS: dict[type[nn.Module], tuple[str, Callable[..., Any]]] = {
    nn.Linear: ("linear", _linear),
    nn.Embedding: ("embedding", _embedding),
}
"""Layers that are known → the function that they call, and what they do instead."""


def plain_layers(
    module: nn.Module, names: Mapping[int, str], layout: Mapping[Any, str]
) -> dict[nn.Module, int]:
    """The layers that use parameters, and how often each of them does; none where anything else does, too.

    Args:
        names: id of each trainable parameter → its name.
        layout: as `clipping_look.look` found it.
    """
    times: dict[Any, int] = {}
    for site, kind in layout.items():
        if isinstance(site, tuple):
            if kind == "shared":
                return {}
            times[site[:2]] = max(times.get(site[:2], 0), site[2])
    found: dict[Any, nn.Module] = {}
    for layer in module.modules():
        if type(layer) not in LAYERS or "forward" in layer.__dict__:
            continue
        owned = tuple(names[id(p)] for p in layer.parameters(recurse=False) if id(p) in names)
        site = (LAYERS[type(layer)][0], owned)
        if owned and site in found:
            return {}
        found[site] = layer
    return {found[site]: n for site, n in times.items()} if times.keys() <= found.keys() else {}


@contextlib.contextmanager
def watched(tape: Tape, layers: Mapping[nn.Module, int]) -> Iterator[None]:
    """While it lasts, what these layers do is written on the tape.

    Raises:
        Unseen: a layer was called more often than when it was looked at.
    """
    called = dict.fromkeys(layers, 0)

    def call(layer: nn.Module, do: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return type(layer).forward(layer, *args, **kwargs)
        called[layer] += 1
        if called[layer] > layers[layer]:
            raise Unseen
        return do(tape, layer, *args, **kwargs)

    try:
        for layer in layers:
            layer.__dict__["forward"] = functools.partial(call, layer, LAYERS[type(layer)][1])
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)
