"""What is each use of a parameter: does its result have the rows first, and does it keep every row to itself?

Before the first step the network is run on two small batches, the one within the other. What changes its length with
them has the rows first; what does not belongs to no row (position embeddings). And a row whose numbers differ between
the two depends on other rows: then nobody can say what it adds, and the network is refused.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by
from torch.utils import _pytree as pytree

from rai_bigmodel.errors import InputError
from rai_bigmodel.training.clipping_tape import Site, Uses

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER_PATH = (
    "the network takes another path for other rows, as mixtures of experts do, so what a row adds to it cannot be "
    "told; use layers that treat all rows alike"
)

DROPS = {
    F.dropout: {"p": 1},
    F.dropout1d: {"p": 1},
    F.dropout2d: {"p": 1},
    F.dropout3d: {"p": 1},
    F.alpha_dropout: {"p": 1},
    F.feature_alpha_dropout: {"p": 1},
    torch.dropout: {"p": 1},
    F.scaled_dot_product_attention: {"dropout_p": 4},
    torch.lstm: {"dropout": 5},
}
"""Functions that drop by chance → the arguments that say how much, and where they stand."""


def look(
    module: nn.Module,
    names: dict[int, str],
    loss_per_row: Callable[..., Tensor],
    batch: tuple[Any, ...],
    rows: int,
) -> dict[Any, str]:
    """Each use of a parameter → ``rows``, ``flat`` or ``shared``; and ``rows`` → whether there were enough of them.

    Args:
        names: id of each trainable parameter → its name.

    Raises:
        InputError: a row's numbers depend on other rows, or the network takes another path for other rows.
    """
    sizes = {n for p in module.parameters() for n in p.shape}
    sizes |= {n for t in tensors(batch) for n in t.shape[1:]}
    # Numbers of rows that no other dimension is likely to have.
    few = [n for n in range(3, 64) if n not in sizes]
    for first, second in ((few[0], few[2]), (few[1], few[4]), (few[5], few[9])):
        # The small batch are rows from within the large one: neither the first row nor the last is the same.
        large_batch = _few(batch, second, rows)
        small_batch = pytree.tree_map(functools.partial(_within, count=first), large_batch)
        small, kept = _glance(module, names, loss_per_row, small_batch, first)
        large, other_kept = _glance(module, names, loss_per_row, large_batch, second)
        if [(site, kind) for site, kind, _ in small] == [(site, kind) for site, kind, _ in large]:
            break
    else:
        raise InputError(OTHER_PATH)
    layout: dict[Any, str] = {}
    for (site, kind, one), (_, _, other) in zip(small, large, strict=True):
        each = len(one) // first
        within = other if kind == "shared" else other[each : each * (first + 1)]
        room = 1e-3 * float(one.abs().max()) if one.numel() else 0.0
        if one.shape != within.shape or not torch.allclose(one, within, rtol=1e-3, atol=room):
            where = site if isinstance(site, str) else f"{', '.join(site[1])} in {site[0]}"
            msg = (
                f"{where}: a row's numbers there depend on the other rows, or the rows do not come first; "
                "batch normalisation, mixtures of experts and (time, rows) layouts do that: use layers that keep "
                "each row to itself, rows first"
            )
            raise InputError(msg)
        layout[site] = kind
    _refuse_statistics(kept, other_kept)
    layout["rows"] = "enough" if rows >= second else "too few"
    return layout


def _refuse_statistics(kept: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Refuse buffers that keep something of the rows that passed: they are saved with the weights, without noise."""
    told = [name for name, value in kept.items() if not torch.equal(value, other[name])]
    if told:
        msg = (
            f"{', '.join(told)}: keeps statistics of the rows that pass, which no clipping and no noise covers; "
            "leave them out (track_running_stats=False), or use a layer without them"
        )
        raise InputError(msg)


def check_losses(losses: Any, rows: int) -> None:
    """Refuse what is not one number a row."""
    if not isinstance(losses, Tensor) or losses.shape != (rows,):
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        msg = f"the loss must be one number a row, ({rows},), got {got}; use reduction='none' and sum each row's own"
        raise InputError(msg)


def tensors(batch: tuple[Any, ...]) -> list[Tensor]:
    """The tensors of a batch that have rows."""
    if all(type(t) is Tensor for t in batch):
        return [t for t in batch if t.dim()]
    return [t for t in pytree.tree_leaves(batch) if isinstance(t, Tensor) and t.dim()]


class _Glance(Uses):
    """What every use gives, without dropping by chance."""

    def __init__(self, names: dict[int, str], rows: int) -> None:
        super().__init__(names)
        self.rows = rows
        self.seen: list[tuple[Site | str, str, Tensor]] = []

    def other(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs = _without_chance(func, args, kwargs)
        return func(*args, **kwargs)

    def shared(self, func: Any, args: Any, kwargs: Any, weights: list[Tensor]) -> Any:
        args, kwargs = _without_chance(func, args, kwargs)
        return super().shared(func, args, kwargs, weights)

    def used(
        self, site: Site, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], weights: list[Tensor]
    ) -> Any:
        args, kwargs = _without_chance(func, args, kwargs)
        given = func(*args, **kwargs)
        first = (
            given
            if isinstance(given, Tensor)
            else next((t for t in pytree.tree_leaves(given) if isinstance(t, Tensor)), None)
        )
        if first is None or not first.requires_grad:
            return given
        out = first.detach()[None] if not first.dim() else first.detach()
        if func is torch.lstm and not args[-1]:
            out = out.transpose(0, 1)
        size = out.shape[0]
        kind = "rows" if size == self.rows else "flat" if size and size % self.rows == 0 else "shared"
        if kind == "shared":
            self.shared(lambda: given, (), {}, weights)
        self.seen.append((site, kind, out.float().clone()))
        return given


def _glance(
    module: nn.Module,
    names: dict[int, str],
    loss_per_row: Callable[..., Tensor],
    batch: tuple[Any, ...],
    rows: int,
) -> tuple[list[tuple[Site | str, str, Tensor]], dict[str, Tensor]]:
    """What every use gave, and what the buffers hold afterwards; they are put back as they were."""
    kept = [(b, b.clone()) for b in module.buffers()]
    seen = _Glance(names, rows)
    with torch.random.fork_rng(devices=[]), seen:
        losses = loss_per_row(*batch)
    after = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.no_grad():
        for buffer, value in kept:
            buffer.copy_(value)
    check_losses(losses, rows)
    return [*seen.seen, ("the loss", "rows", losses.detach().float())], after


def _without_chance(func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The arguments with which a function drops nothing by chance."""
    if func in DROPS:
        kwargs = dict(kwargs)
        args = list(args)
        for name, at in DROPS[func].items():
            if len(args) > at:
                args[at] = 0.0
            elif name in kwargs or name == "p":
                kwargs[name] = 0.0
        args = tuple(args)
    return args, kwargs


def _within(leaf: Any, count: int) -> Any:
    """As many rows, without the first one and with the last ones left out."""
    return leaf[1 : count + 1] if isinstance(leaf, Tensor) and leaf.dim() else leaf


def _few(batch: tuple[Any, ...], count: int, rows: int) -> tuple[Any, ...]:
    """The first rows, repeated where there are too few."""

    def pick(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not leaf.dim():
            return leaf
        return leaf.detach()[torch.arange(count, device=leaf.device) % rows]

    return pytree.tree_map(pick, batch)
