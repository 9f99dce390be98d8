"""How are an LSTM's gradients had row by row, when its fused kernel does not say what happened at each step?

The forward pass is torch's own fused one. Its results are the states after every step, and from them all gates of
all steps follow at once, by two matrix products; only sums of products of a few numbers a row then go back step by
step. With the gates' gradients known, both weight matrices are matrices like any other (`Outer`).

Shapes: B rows, T steps, D numbers read, H numbers in a state; gates are in torch's order: input, forget, cell,
output, so that 4H of them make a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.errors import InputError
from rai_bigmodel.training.clipping_rules import Watcher, constant, wide
from rai_bigmodel.training.clipping_shares import Direct, Outer

if TYPE_CHECKING:
    from collections.abc import Sequence


def lstm(
    tape: Watcher,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    has_biases: bool,  # noqa: FBT001 - torch's own signature
    num_layers: int,
    dropout: float,
    train: bool,  # noqa: FBT001 - the same
    bidirectional: bool,  # noqa: FBT001 - the same
    batch_first: bool,  # noqa: FBT001 - the same
) -> tuple[Tensor, Tensor, Tensor]:
    """``torch.lstm``: layer by layer and direction by direction, each of them fused.

    Raises:
        InputError: the states are projected (`proj_size`), or the rows are packed.
    """
    if not isinstance(states, (tuple, list)):
        msg = "packed sequences cannot be clipped row by row; give the LSTM padded rows, (rows, steps, features)"
        raise InputError(msg)
    each = 4 if has_biases else 2
    directions = 2 if bidirectional else 1
    if len(weights) != each * directions * num_layers:
        msg = "an LSTM with proj_size cannot be clipped row by row; leave proj_size out and put an nn.Linear behind it"
        raise InputError(msg)
    x = x if batch_first else x.transpose(0, 1)
    h0, c0 = states
    last_h, last_c = [], []
    for layer in range(num_layers):
        found = []
        for direction in range(directions):
            at = layer * directions + direction
            own = list(weights[each * at : each * at + each])
            seen = x.flip(1) if direction else x
            out, h, c = _one(tape, seen, h0[at], c0[at], own)
            found.append(out.flip(1) if direction else out)
            last_h.append(h)
            last_c.append(c)
        x = found[0] if directions == 1 else torch.cat(found, 2)
        if dropout and train and layer + 1 < num_layers:
            x = F.dropout(x, dropout)
    return x if batch_first else x.transpose(0, 1), torch.stack(last_h), torch.stack(last_c)


def _one(
    tape: Watcher, x: Tensor, h0: Tensor, c0: Tensor, weights: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer in one direction: states ``(B, T, H)`` and the last two, ``(B, H)``."""
    constants = [constant(tape, weight) for weight in weights]
    w_x, w_h = constants[:2]
    assert w_x is not None
    assert w_h is not None
    biases = [b for b in constants[2:] if b is not None]

    def forward(x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Any, tuple[Tensor, ...]]:
        out, h, c = torch.lstm(
            x,
            (h0[None], c0[None]),
            [w_x, w_h, *biases],
            bool(biases),
            1,
            0.0,
            False,
            False,
            True,  # noqa: FBT003
        )
        return (out, h[0], c[0]), (x, h0, c0, out)

    def backward(
        saved: tuple[Tensor, ...], grads: tuple[Tensor | None, ...], needs: Sequence[bool]
    ) -> tuple[Tensor | None, ...]:
        x, h0, c0, out = saved
        before = torch.cat([h0[:, None].to(out.dtype), out[:, :-1]], 1)
        kind = w_x.dtype
        gates = F.linear(x.to(kind), w_x, sum(biases) if biases else None) + F.linear(before.to(kind), w_h)
        g_BTG, g_h, g_c = _through_time(gates, c0, w_h, grads)
        for weight, read in ((weights[0], x), (weights[1], before)):
            if tape.wants(weight):
                tape.give(weight, Outer(read, g_BTG))
        for bias in weights[2:]:
            if tape.wants(bias):
                tape.give(bias, Direct(wide(g_BTG).sum(1)))
        return (
            (g_BTG @ w_x).to(x.dtype) if needs[0] else None,
            g_h.to(h0.dtype) if needs[1] else None,
            g_c.to(c0.dtype) if needs[2] else None,
        )

    return tape.apply(forward, backward, [x, h0, c0], list(weights))


def _through_time(
    gates: Tensor, c0: Tensor, w_h: Tensor, grads: tuple[Tensor | None, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the gates before their curves ``(B, T, 4H)``, and of the first two states ``(B, H)``."""
    B, T, H = gates.shape[0], gates.shape[1], gates.shape[2] // 4
    # Steps first: each step then reads and writes one piece of memory.
    by_step = gates.view(B, T, 4, H).transpose(0, 1).contiguous()
    del gates
    i, f, c_new, o = by_step.unbind(2)
    by_step[:, :, :2].sigmoid_()
    c_new.tanh_()
    o.sigmoid_()
    cells = by_step.new_empty((T + 1, B, H))
    cells[0] = c0
    added = i * c_new
    for t in range(T):
        torch.addcmul(added[t], f[t], cells[t], out=cells[t + 1])
    del added
    curved = cells[1:].tanh()
    # How a gate moves its cell (input, forget, new) and its state (output), and how a cell moves its state.
    moves = torch.empty_like(by_step)
    torch.mul(c_new, i * (1 - i), out=moves[:, :, 0])
    torch.mul(cells[:-1], f * (1 - f), out=moves[:, :, 1])
    torch.mul(i, 1 - c_new * c_new, out=moves[:, :, 2])
    torch.mul(curved, o * (1 - o), out=moves[:, :, 3])
    from_state = o * (1 - curved * curved)

    g_out, g_h, g_c = grads
    d_h = moves.new_zeros((B, H)) if g_h is None else g_h.to(moves.dtype)
    d_c = moves.new_zeros((B, H)) if g_c is None else g_c.to(moves.dtype)
    for t in range(T - 1, -1, -1):
        if g_out is not None:
            d_h = d_h + g_out[:, t]
        d_c = torch.addcmul(d_c, d_h, from_state[t])
        moves[t, :, :3].mul_(d_c[:, None])
        moves[t, :, 3].mul_(d_h)
        d_h = moves[t].view(B, 4 * H) @ w_h
        d_c = d_c * f[t]
    return moves.view(T, B, 4 * H).transpose(0, 1).contiguous(), d_h, d_c
