"""What one use of a parameter leaves behind: every row's gradient, without writing it out where that is dear.

A share knows three things: how long each row's gradient is (`settle`), the gradients themselves (`per_row`), and
the sum of them under given weights (`add_to`). Lengths follow ghost clipping (Li et al. 2022), and the choice
between lengths by products of activations and by gradients written out is that of Bu et al. 2023: T² against p·d.
Written out, a gradient needs no second product for the sum, so that memory decides: see `Outer.settle`.

Shapes: B rows, T places in a row (words, steps, pixels), D numbers read and P numbers given at each place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rai_bigmodel.training.clipping_products import add_product

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1 << 18
"""Numbers written out at once where a pass over rows is cut into pieces: 1 MiB, which a core's cache holds."""


class Share(Protocol):
    """The gradients of B rows with respect to one parameter, from one use of it."""

    def settle(self, memo: Memo) -> tuple[Tensor, Share]:
        """The length of each row's gradient, ``(B,)``, and the same share as it is best kept."""

    def per_row(self) -> Tensor:
        """The gradients themselves, ``(B, *shape of the parameter)``."""

    def add_to(self, total: Tensor, factors: Tensor) -> None:
        """Add Σ_b factors_b · gradient_b to `total`, which has the parameter's shape."""


class Memo:
    """What was computed for the last few shares, if the next one asks for the same.

    A layer's weight and bias come of one gradient, its query, key and value of one input, and tables of words and of
    places of one gradient again.
    """

    def __init__(self) -> None:
        self._known: list[tuple[Tensor, Callable[[Tensor], Tensor], Tensor]] = []

    def of(self, g: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        """What `make` makes of `g`: computed once."""
        known = self.find(g, make)
        return self.keep(g, make, make(g)) if known is None else known

    def find(self, g: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor | None:
        """The same if it is known."""
        return next((made for of, kind, made in self._known if of is g and kind is make), None)

    def keep(self, g: Tensor, make: Callable[[Tensor], Tensor], made: Tensor) -> Tensor:
        """Remember what was made on the way to something else; the oldest of a few is forgotten for it."""
        self._known = [(g, make, made), *self._known[:3]]
        return made


@dataclass(frozen=True)
class Direct:
    """Gradients that are written out, ``(B, *shape)``; ``(B,)`` of a parameter that is a single number."""

    g: Tensor

    def settle(self, memo: Memo) -> tuple[Tensor, Share]:
        """Lengths, and what is kept."""
        return memo.of(self.g, length), self

    def per_row(self) -> Tensor:
        """Written out."""
        return self.g

    def add_to(self, total: Tensor, factors: Tensor) -> None:
        """The weighted sum."""
        g_BN = flat(self.g).to(factors.dtype)
        if total.is_contiguous() and total.dtype == factors.dtype:
            total.view(-1).addmv_(g_BN.T, factors)
        else:
            total.add_((factors @ g_BN).view(total.shape))


@dataclass(frozen=True)
class Summed:
    """A bias: the gradient is Σ_t g_t.

    Args:
        g: the gradient of what it was added to, ``(B, T, P)``.
    """

    g: Tensor

    def settle(self, memo: Memo) -> tuple[Tensor, Share]:
        """Lengths, and what is kept."""
        found = Direct(memo.of(self.g, summed))
        return length(found.g), found

    def per_row(self) -> Tensor:
        """Written out."""
        return summed(self.g)

    def add_to(self, total: Tensor, factors: Tensor) -> None:
        """The weighted sum."""
        Direct(self.per_row()).add_to(total, factors)


@dataclass(frozen=True)
class Outer:
    """A matrix that multiplies: the gradient is Σ_t g_t x_tᵀ, ``(B, P, D)``.

    Args:
        x: what was read, ``(B, T, D)``, or ``(B, D)`` for one place a row.
        g: the gradient of what was given, ``(B, T, P)`` or ``(B, P)``.
        transposed: whether the parameter is stored as ``(D, P)``.
        summed: whether `Summed` of the same gradient comes next.
    """

    x: Tensor
    g: Tensor
    transposed: bool = False
    summed: bool = False

    def settle(self, memo: Memo) -> tuple[Tensor, Share]:
        """Lengths, and what is kept."""
        if self.x.dim() == 2:
            return length(self.x) * memo.of(self.g, length), self
        B, T, D = self.x.shape
        P = self.g.shape[2]
        if T == 1:
            return length(self.x) * length(self.g), self
        x, g = floats(self.x), floats(self.g)
        # All of what was given is too much for the cache: what a few rows are needed for is done at once.
        sums = g.new_empty((B, P)) if self.summed else None
        if P * D <= T * (P + D):
            # Written out, the gradients are smaller than what they are made of, and save a second product.
            left, right = self._sides()
            found, lengths = g.new_empty((B, left.shape[2], right.shape[2])), g.new_empty(B)
            for s in pieces(B, P * D):
                torch.bmm(left[s].mT, right[s], out=found[s])
                torch.linalg.vector_norm(found[s].flatten(1), dim=1, out=lengths[s])
                if sums is not None:
                    torch.sum(g[s], 1, out=sums[s])
            share: Share = Direct(found)
        else:
            lengths, share = self._products(memo, x, g, sums), self
        if sums is not None:
            memo.keep(self.g, summed, sums)
        return lengths, share

    def _products(self, memo: Memo, x: Tensor, g: Tensor, sums: Tensor | None) -> Tensor:
        """Lengths from products between places; sums over the places of `g`, too, where they are asked for."""
        B, T, P = g.shape
        few = B * T * T <= CHUNK
        read = memo.of(x, products) if few else None
        given = memo.find(g, products) if few else None
        every, squares = g.new_empty((B if few else 0, T, T)), g.new_empty(B)
        for s in pieces(B, T * max(P, T)):
            if sums is not None:
                torch.sum(g[s], 1, out=sums[s])
            mine = products(g[s]) if given is None else given[s]
            if few:
                every[s] = mine
            torch.sum(mine * (products(x[s]) if read is None else read[s]), (1, 2), out=squares[s])
        if few and given is None:
            memo.keep(g, products, every)
        # Rounding may leave a length of nothing a little below it.
        return squares.clamp_(min=0).sqrt_()

    def _sides(self) -> tuple[Tensor, Tensor]:
        """The factors of the gradient, in the order of the parameter's dimensions."""
        x, g = floats(self.x), floats(self.g)
        return (x, g) if self.transposed else (g, x)

    def per_row(self) -> Tensor:
        """Written out."""
        x, g = (floats(t if t.dim() == 3 else t[:, None]) for t in (self.x, self.g))
        return x.mT @ g if self.transposed else g.mT @ x

    def add_to(self, total: Tensor, factors: Tensor) -> None:
        """The weighted sum."""
        x, g = floats(self.x), floats(self.g)
        f = factors.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))
        if x.dim() == 3 and x.stride(0) < x.stride(1):
            # Steps first, as an LSTM leaves them: the sum does not care for the order, and nothing is copied.
            x, g, f = x.transpose(0, 1), g.transpose(0, 1), f.transpose(0, 1)
        # The narrower of the two is the cheaper one to scale.
        x, g = (x * f, g) if x.shape[-1] < g.shape[-1] else (x, g * f)
        left, right = (x, g) if self.transposed else (g, x)
        if x.dim() == 3:
            left, right = left.flatten(0, 1), right.flatten(0, 1)
        if total.dtype == left.dtype:
            add_product(total, left, right)
        else:
            total.add_(left.T @ right)


@dataclass(frozen=True)
class Lookup:
    """A table from which places were read: g_t goes to line ids_t of the table.

    Args:
        ids: which lines, ``(B, T)``.
        g: the gradient of what was read, ``(B, T, P)``; nothing where a line is not trained (padding).
        lines: how many lines the table has.
    """

    ids: Tensor
    g: Tensor
    lines: int

    def settle(self, memo: Memo) -> tuple[Tensor, Share]:
        """Lengths, and what is kept."""
        if self.ids.shape[1] == 1:
            return length(self.g), self
        squares_BT = memo.of(self.g, squared)
        if (found := repeats(self.ids)) is not None:
            # Places that read the same line are one: their gradients are added before they are squared.
            where_K, first_K = found
            g_KP = floats(self.g).flatten(0, 1)[torch.from_numpy(where_K).to(self.g.device)]
            line_K = torch.from_numpy(first_K.cumsum() - 1).to(self.g.device)
            sums_NP = g_KP.new_zeros((int(first_K.sum()), g_KP.shape[1])).index_add_(0, line_K, g_KP)
            squares_BT = squares_BT.cpu().clone()
            squares = squares_BT.numpy().reshape(-1)
            squares[where_K] = 0
            squares[where_K[first_K]] = squared(sums_NP).cpu().numpy()
        return squares_BT.sum(1).sqrt_().to(self.g.device), self

    def per_row(self) -> Tensor:
        """Written out."""
        B, T, P = self.g.shape
        table = floats(self.g).new_zeros((B * self.lines, P))
        first = torch.arange(B, device=self.ids.device)[:, None] * self.lines
        table.index_add_(0, (self.ids + first).flatten(), floats(self.g).reshape(B * T, P))
        return table.view(B, self.lines, P)

    def add_to(self, total: Tensor, factors: Tensor) -> None:
        """The weighted sum."""
        g = floats(self.g) * factors[:, None, None]
        total.index_add_(0, self.ids.flatten(), g.flatten(0, 1).to(total.dtype))


def together(shares: list[Share]) -> Share:
    """Several uses of one parameter as one share: a row's gradient is the sum of all of them.

    Uses of a matrix are more places of one use; a table that is also a matrix (tied weights) keeps both and
    the products between them; everything else is written out and added.
    """
    if len(shares) == 1:
        return shares[0]
    kinds = {type(share) for share in shares}
    if kinds == {Outer}:
        joined = _outer([s for s in shares if isinstance(s, Outer)])
        if joined is not None:
            return joined
    elif kinds == {Lookup}:
        return _lookup([s for s in shares if isinstance(s, Lookup)])
    elif kinds == {Outer, Lookup}:
        outer = _outer([s for s in shares if isinstance(s, Outer)])
        if outer is not None and not outer.transposed:
            return Tied(outer, _lookup([s for s in shares if isinstance(s, Lookup)]))
    total = shares[0].per_row().clone()
    for share in shares[1:]:
        total += share.per_row()
    return Direct(total)


@dataclass(frozen=True)
class Tied:
    """A table that is also a matrix, as where words are read and predicted by the same weights."""

    outer: Outer
    table: Lookup

    def settle(self, memo: Memo) -> tuple[Tensor, Share]:
        """Lengths, and what is kept."""
        own, outer = self.outer.settle(memo)
        read, _ = self.table.settle(memo)
        crossed = []
        x, g_out, ids, g_in = self.outer.x, self.outer.g, self.table.ids, self.table.g
        for s in pieces(len(x), x.shape[1] * ids.shape[1]):
            picked = floats(g_out[s]).gather(2, ids[s][:, None, :].expand(-1, x.shape[1], -1))
            crossed.append((picked * (floats(x[s]) @ floats(g_in[s]).transpose(1, 2))).sum((1, 2)))
        # |a + b|² = |a|² + |b|² + 2 a·b, which rounding may leave a little below nothing.
        lengths = (own.square() + read.square() + 2 * joined(crossed, x)).clamp_(min=0).sqrt_()
        return lengths, self if isinstance(outer, Outer) else Direct(self.per_row())

    def per_row(self) -> Tensor:
        """Written out."""
        return self.outer.per_row() + self.table.per_row()

    def add_to(self, total: Tensor, factors: Tensor) -> None:
        """The weighted sum."""
        self.outer.add_to(total, factors)
        self.table.add_to(total, factors)


def length(g: Tensor) -> Tensor:
    """The length of each row, ``(B,)``, in float32 at least."""
    return torch.linalg.vector_norm(flat(floats(g)), dim=1)


def flat(g: Tensor) -> Tensor:
    """All numbers of each row side by side: ``(B, ...)`` → ``(B, N)``, where one number a row is an N of 1."""
    return g if g.dim() == 2 else g.flatten(1) if g.dim() > 1 else g[:, None]


def squared(g: Tensor) -> Tensor:
    """The square of each place's length: ``(..., P)`` → ``(...)``."""
    return torch.linalg.vector_norm(floats(g), dim=-1).square_()


def repeats(ids: Tensor) -> tuple[Any, Any] | None:
    """Places that read a line which another place of their row reads, too; None if there are no such.

    Args:
        ids: which lines, ``(B, T)``.

    Returns:
        The K places, b · T + t, those of one line side by side, ``(K,)``; and whether each is the first of its line.
    """
    # Arrays so small cost a third in NumPy of what they cost in torch.
    B, T = ids.shape
    bits = (T - 1).bit_length()
    keys_BT = ids.cpu().numpy() << bits | np.arange(T)
    keys_BT.sort(axis=1)
    lines_BT = keys_BT >> bits
    same_BT = np.zeros((B, T), bool)
    np.equal(lines_BT[:, 1:], lines_BT[:, :-1], out=same_BT[:, 1:])
    some_BT = same_BT.copy()
    some_BT[:, :-1] |= same_BT[:, 1:]
    at_K = np.flatnonzero(some_BT)
    if not len(at_K):
        return None
    places_K = at_K // T * T + (keys_BT.reshape(-1)[at_K] & ((1 << bits) - 1))
    return places_K, ~same_BT.reshape(-1)[at_K]


def summed(g: Tensor) -> Tensor:
    """The sum over the places of each row: ``(B, T, P)`` → ``(B, P)``."""
    return floats(g).sum(1)


def products(x: Tensor) -> Tensor:
    """Products between the places of each row: ``(..., T, D)`` → ``(..., T, T)``."""
    x = floats(x)
    return x @ x.transpose(-1, -2)


def _outer(shares: list[Outer]) -> Outer | None:
    """Uses of a matrix as more places of one use; None where they are stored both ways."""
    if len({share.transposed for share in shares}) > 1:
        return None
    placed = [[floats(t if t.dim() == 3 else t[:, None]) for t in (share.x, share.g)] for share in shares]
    x, g = (torch.cat(parts, 1) if len(parts) > 1 else parts[0] for parts in zip(*placed, strict=True))
    return Outer(x, g, shares[0].transposed)


def _lookup(shares: list[Lookup]) -> Lookup:
    if len(shares) == 1:
        return shares[0]
    ids, g = torch.cat([s.ids for s in shares], 1), torch.cat([floats(s.g) for s in shares], 1)
    return Lookup(ids, g, shares[0].lines)


def floats(x: Tensor) -> Tensor:
    """Half precision is too short for sums of squares."""
    return x.float() if x.dtype in {torch.float16, torch.bfloat16} else x


def pieces(rows: int, each: int) -> list[slice]:
    """Slices of rows that write out at most `CHUNK` numbers each."""
    step = max(1, CHUNK // max(each, 1))
    return [slice(i, i + step) for i in range(0, rows, step)]


def joined(parts: list[Tensor], like: Tensor) -> Tensor:
    """Parts of the rows as one tensor, which may be without rows."""
    return torch.cat(parts) if parts else floats(like).new_zeros(0)
