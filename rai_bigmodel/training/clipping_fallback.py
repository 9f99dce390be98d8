"""What of a function that has no rule? Its rows' gradients are had one by one, by vmap of that function alone.

Slow (the parameter's gradient is written out for every row) and safe: what goes on is what vmap computed row by row,
so a function that mixes rows cannot pass for one that does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rai_bigmodel.training.clipping_shares import Direct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rai_bigmodel.training.clipping_rules import Watcher


def row_by_row(tape: Watcher, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``func(*args, **kwargs)``, which gives one tensor with the rows first; see the file's docstring."""
    leaves, form = pytree.tree_flatten((args, kwargs))
    weights = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and tape.wants(leaf)]
    rows = [
        i
        for i, leaf in enumerate(leaves)
        if isinstance(leaf, Tensor) and i not in weights and leaf.dim() and leaf.shape[0] == tape.rows
    ]
    owned = [leaves[i] for i in weights]
    held = [leaf.detach() for leaf in owned]

    def of_row(ws: Sequence[Tensor], xs: Sequence[Tensor]) -> Tensor:
        filled = list(leaves)
        for i, w in zip(weights, ws, strict=True):
            filled[i] = w
        for i, x in zip(rows, xs, strict=True):
            filled[i] = x[None]
        given, kws = pytree.tree_unflatten(filled, form)
        return func(*given, **kws)[0]

    def forward(*xs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return torch.func.vmap(of_row, in_dims=(None, 0))(held, list(xs)), xs

    def backward(
        saved: tuple[Tensor, ...], grads: tuple[Tensor], needs: Sequence[bool]
    ) -> tuple[Tensor | None, ...]:
        smooth = [i for i, x in enumerate(saved) if x.is_floating_point()]

        def back(xs: list[Tensor], g: Tensor) -> Any:
            def of(ws: list[Tensor], moving: list[Tensor]) -> Tensor:
                filled = list(xs)
                for i, x in zip(smooth, moving, strict=True):
                    filled[i] = x
                return of_row(ws, filled)

            return torch.func.vjp(of, held, [xs[i] for i in smooth])[1](g)

        per_weight, per_read = torch.func.vmap(back)(list(saved), grads[0])
        for weight, g in zip(owned, per_weight, strict=True):
            tape.give(weight, Direct(g))
        read: list[Tensor | None] = [None] * len(saved)
        for i, g in zip(smooth, per_read, strict=True):
            read[i] = g if needs[i] else None
        return tuple(read)

    return tape.apply(forward, backward, [leaves[i] for i in rows])
