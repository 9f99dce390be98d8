"""How are an LSTM's gradients had row by row, when its fused kernel does not say what happened at each step?

The same steps are taken here, all rows at once, one layer and direction after the other, and the gates of each step
are kept. What is read from the input is one matrix product for all steps; going back, sums of products of a few
numbers a row go from step to step. With the gates' gradients known, both weight matrices are matrices like any
other (`Outer`). The module stays an ``nn.LSTM``, and outside of a private step its fused kernel is what runs.

Shapes: B rows, T steps, D numbers read, H numbers in a state; gates are in torch's order: input, forget, cell,
output, so that 4H of them make a step. Steps come first inside: each then is one piece of memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.errors import InputError
from rai_bigmodel.training.clipping_products import rows_times
from rai_bigmodel.training.clipping_rules import Watcher, constant
from rai_bigmodel.training.clipping_shares import Memo, Outer, Share, Summed

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Whole:
    """A matrix that several parameters make up, side by side: what is found out for one of them serves all.

    Args:
        outer: the gradients of all columns.
        apart: whether one of the parameters has other uses too, so that each counts for itself.
        share: as it is kept once lengths are known.
        total: the weighted sum, once it is.
    """

    outer: Outer
    apart: bool = False
    share: Share | None = None
    total: Tensor | None = None


@dataclass(frozen=True)
class Columns:
    """One of the parameters that make up a matrix.

    Args:
        start, end: its columns.
    """

    whole: Whole
    start: int
    end: int

    def settle(self, memo: Memo) -> tuple[Tensor, Share]:
        """Lengths, of all columns with the first parameter and of none with the others; and what is kept."""
        if self.whole.apart:
            return self._own().settle(memo)
        if self.start:
            return self.whole.outer.g.new_zeros(len(self.whole.outer.g)), self
        lengths, self.whole.share = self.whole.outer.settle(memo)
        return lengths, self

    def per_row(self) -> Tensor:
        """Written out, which is asked for where a parameter has several uses, before any length is."""
        self.whole.apart = True
        return self._own().per_row()

    def add_to(self, total: Tensor, factors: Tensor) -> None:
        """The weighted sum."""
        if self.whole.total is None:
            assert self.whole.share is not None
            self.whole.total = total.new_zeros((len(total), self.whole.outer.x.shape[2]))
            self.whole.share.add_to(self.whole.total, factors)
        total.add_(self.whole.total[:, self.start : self.end])

    def _own(self) -> Outer:
        return replace(self.whole.outer, x=self.whole.outer.x[:, :, self.start : self.end])


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

    kinds = [t.dtype for t in (x, h0, c0)]

    def forward(x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Any, tuple[Tensor, ...]]:
        with torch.autocast(x.device.type, enabled=False):
            read, gates, cells = _steps(x.transpose(0, 1), h0, c0, w_x, w_h, biases)
        states = read[:, :, w_x.shape[1] :]
        return (states[1:].transpose(0, 1), states[-1], cells[-1]), (read, gates, cells)

    def backward(
        saved: tuple[Tensor, ...], grads: tuple[Tensor | None, ...], needs: Sequence[bool]
    ) -> tuple[Tensor | None, ...]:
        read, gates, cells = saved
        g_TBG, g_h, g_c = _back(gates, cells, w_h, grads)
        g_BTG = g_TBG.transpose(0, 1)
        both, widths = read[:-1].transpose(0, 1), [w_x.shape[1], w_h.shape[1]]
        summed = len(weights) > 2
        if all(tape.wants(weight) for weight in weights[:2]):
            whole = Whole(Outer(both, g_BTG, summed=summed))
            shares: list[Share] = [Columns(whole, 0, widths[0]), Columns(whole, widths[0], sum(widths))]
        else:
            shares = [Outer(part, g_BTG, summed=summed) for part in both.split(widths, 2)]
        for weight, share in zip(weights[:2], shares, strict=True):
            if tape.wants(weight):
                tape.give(weight, share)
        for bias in weights[2:]:
            if tape.wants(bias):
                tape.give(bias, Summed(g_BTG))
        return (
            (g_TBG @ w_x).transpose(0, 1).to(kinds[0]) if needs[0] else None,
            g_h.to(kinds[1]) if needs[1] else None,
            g_c.to(kinds[2]) if needs[2] else None,
        )

    return tape.apply(forward, backward, [x, h0, c0])


def _steps(
    x_TBD: Tensor, h0: Tensor, c0: Tensor, w_x: Tensor, w_h: Tensor, biases: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """What every step reads and one more would, ``(T + 1, B, D + H)``; gates; cells before and after every step.

    What comes in and the state lie side by side, so that one product makes the gates of both.
    """
    T, B, D = x_TBD.shape
    H = w_h.shape[1]
    read, gates = w_x.new_zeros((T + 1, B, D + H)), w_x.new_empty((T, B, 4 * H))
    cells = w_x.new_empty((T + 1, B, H))
    read[:-1, :, :D] = x_TBD
    read[0, :, D:], cells[0] = h0, c0
    weight, bias = torch.cat([w_x, w_h], 1), biases[0] + biases[1] if biases else None
    for t in range(T):
        raw = rows_times(read[t], weight, bias)
        i, f, new, o = gates[t].view(B, 4, H).unbind(1)
        # Of all gates at once, and of the third again: fewer passes than over each of them.
        torch.sigmoid(raw, out=gates[t])
        _tanh(raw[:, 2 * H : 3 * H], new)
        torch.mul(i, new, out=cells[t + 1]).addcmul_(f, cells[t])
        _tanh(cells[t + 1], read[t + 1, :, D:]).mul_(o)
    return read, gates, cells


def _back(
    gates: Tensor, cells: Tensor, w_h: Tensor, grads: tuple[Tensor | None, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the gates before their curves ``(T, B, 4H)``, in place, and of the first two states ``(B, H)``."""
    T, B = gates.shape[:2]
    by_step = gates.view(T, B, 4, -1)
    H = by_step.shape[3]
    g_out, g_h, g_c = grads
    d_h = gates.new_zeros((B, H)) if g_h is None else g_h.to(gates.dtype, copy=True)
    d_c = gates.new_zeros((B, H)) if g_c is None else g_c.to(gates.dtype)
    sigmoid_back, tanh_back = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    # All arrays of one step stay in the processor's cache, which whole arrays of all steps would not.
    for t in range(T - 1, -1, -1):
        if g_out is not None:
            d_h += g_out[:, t]
        i, f, new, o = by_step[t].unbind(1)
        curved = _tanh(cells[t + 1], torch.empty_like(d_h))
        d_c = tanh_back(d_h * o, curved).add_(d_c)
        by_o = curved.mul_(d_h)
        by_new, by_f, by_i = d_c * i, d_c * cells[t], d_c * new
        d_c = d_c * f
        sigmoid_back(by_o, o, grad_input=o)
        tanh_back(by_new, new, grad_input=new)
        sigmoid_back(by_f, f, grad_input=f)
        sigmoid_back(by_i, i, grad_input=i)
        d_h = rows_times(gates[t], w_h.T)
    return gates, d_h, d_c


def _tanh(x: Tensor, out: Tensor) -> Tensor:
    """The curve, by NumPy where it can be: it takes a tenth of the time that torch does."""
    if x.dtype == torch.float32 and x.device.type == "cpu":
        np.tanh(x.numpy(), out=out.numpy())
        return out
    return torch.tanh(x, out=out)
