"""How does a network train in less memory? What its layers gave is not kept, but computed again on the way back.

Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): of each block only what went in is kept; a chain of
layers is cut into about √n runs, so that at most one run's results are there beside what went into each. Chance is
drawn again as it was, so the gradients are the same.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CHAIN = 4
"""A chain of fewer layers is not worth cutting."""


@contextlib.contextmanager
def recomputing(module: nn.Module) -> Iterator[None]:
    """Inside the block a training pass through the network keeps what goes into its blocks, and no more.

    Raises:
        InputError: the network has no blocks.
    """
    found = dict(_blocks(module))
    if not found:
        msg = (
            "train: recompute finds nothing in this network that could be computed again: it has neither blocks nor "
            f"a chain of {CHAIN} layers (leave recompute out)"
        )
        raise InputError(msg)
    for part, forward in found.items():
        part.forward = forward
    try:
        yield
    finally:
        for part in found:
            del part.forward


def _blocks(module: nn.Module) -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
    """Part → a forward pass of it that keeps little; none inside another."""
    for part in module.children():
        if isinstance(part, nn.ModuleList):
            yield from (
                (block, _again(block.forward)) for block in part if any(True for _ in block.parameters())
            )
        elif isinstance(part, nn.Sequential) and len(part) >= CHAIN:
            yield part, _in_runs(part)
        else:
            yield from _blocks(part)


def _again(forward: Callable[..., Any]) -> Callable[..., Any]:
    def kept(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return torch.utils.checkpoint.checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return kept


def _in_runs(chain: nn.Sequential) -> Callable[..., Any]:
    layers = list(chain)
    each = math.ceil(math.sqrt(len(layers)))
    runs = [_again(_one_after_another(layers[i : i + each])) for i in range(0, len(layers), each)]
    return _one_after_another(runs)


def _one_after_another(steps: Sequence[Callable[[Any], Any]]) -> Callable[..., Any]:
    def passed(x: Any) -> Any:
        for step in steps:
            x = step(x)
        return x

    return passed
