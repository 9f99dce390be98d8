"""What does one use of a convolution's kernel leave behind? A share (`clipping_shares`), as any other parameter's use.

Where torch has oneDNN, all rows' gradients come from its own kernel in one call, every row a group of channels of one
picture; elsewhere patches are written out, a few rows at a time, and multiplied.

Shapes: B rows, D numbers read and P numbers given at each of T pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.training.clipping_shares import (
    Direct,
    Memo,
    Share,
    floats,
    joined,
    length,
    pieces,
    products,
)


@dataclass(frozen=True)
class Patches:
    """A kernel that slides over pixels: at each place it multiplies the patch it reads.

    A transposed convolution is the same with the two roles exchanged: the kernel slides over the gradient of
    what was given.

    Args:
        x: what is slid over, ``(B, D, height, width)``.
        g: one number a place and channel, ``(B, P, height', width')``.
        shape: of the parameter, ``(P, D / groups, height, width)`` of the kernel.
        stride, padding, dilation, groups: of the convolution.
    """

    x: Tensor
    g: Tensor
    shape: tuple[int, ...]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def settle(self, memo: Memo) -> tuple[Tensor, Share]:  # noqa: ARG002 - for shares of one layer
        """Lengths, and what is kept."""
        B = len(self.x)
        P, D = self.shape[0] // self.groups, math.prod(self.shape[1:])
        T = self.g.shape[2] * self.g.shape[3]
        if P * D * self.groups <= (self.x.numel() + self.g.numel()) // max(B, 1):
            direct = Direct(self.per_row())
            return length(direct.g), direct
        squares = []
        for s in pieces(B, self.groups * (D * T + min(T * T, P * D))):
            x, g = self._unfolded(s)
            if T * (P + D) < P * D:
                squares.append((products(x.mT) * products(g.mT)).sum((1, 2, 3)))
            else:
                squares.append(length(g @ x.mT).square_())
        return joined(squares, self.x).clamp_(min=0).sqrt_(), self

    def per_row(self) -> Tensor:
        """Written out."""
        B = len(self.x)
        x, g = floats(self.x), floats(self.g)
        if torch.backends.mkldnn.is_available() and g.dtype == torch.float32 and g.device.type == "cpu" and B:
            # One picture of all rows' channels, in which every row is a group: the library's own kernel.
            g, x = g.reshape(1, -1, *g.shape[2:]), x.reshape(1, -1, *x.shape[2:])
            return self._by_weight(x, g, rows=B).view(B, *self.shape)
        P, D = self.shape[0] // self.groups, math.prod(self.shape[1:])
        found = g.new_empty((B, self.groups, P, D))
        for s in pieces(B, self.groups * D * g.shape[2] * g.shape[3]):
            x, g = self._unfolded(s)
            torch.matmul(g, x.mT, out=found[s])
        return found.view(B, *self.shape)

    def add_to(self, total: Tensor, factors: Tensor) -> None:
        """The weighted sum."""
        g = floats(self.g) * factors[:, None, None, None].to(floats(self.g).dtype)
        total.add_(self._by_weight(floats(self.x), g, rows=1).view(total.shape))

    def _by_weight(self, x: Tensor, g: Tensor, *, rows: int) -> Tensor:
        """The kernel's gradient, summed over all pictures, of each of the `rows` whose channels lie side by side."""
        return torch.ops.aten.convolution_backward(
            g,
            x,
            g.new_empty((rows * self.shape[0], *self.shape[1:])),
            None,
            self.stride,
            self.padding,
            self.dilation,
            False,  # noqa: FBT003 - torch's own order
            [0, 0],
            rows * self.groups,
            [False, True, False],
        )[1]

    def _unfolded(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Patches ``(b, groups, D, T)`` and gradients ``(b, groups, P, T)`` of some rows."""
        x, g = floats(self.x[rows]), floats(self.g[rows])
        (high, wide), (kh, kw) = self.g.shape[2:], self.shape[2:]
        if self.stride != (1, 1) or wide < 2 * (self.padding[1] + 1) * (self.stride[1]):
            x = F.unfold(x, (kh, kw), dilation=self.dilation, padding=self.padding, stride=self.stride)
            return x.unflatten(1, (self.groups, -1)), g.flatten(2).unflatten(1, (self.groups, -1))
        # With lines of one length in both (the gradient's filled up with nothing), what a number of the kernel
        # multiplies is one stretch of memory, and a patch matrix is made by copying stretches.
        up, side = self.padding
        x = F.pad(x, (side, side, up, up + 1))
        b, channels, _, line = x.shape
        g = F.pad(g, (0, line - wide))
        step_h, step_w = self.dilation[0] * line, self.dilation[1]
        each = x.stride(1)
        patches = x.as_strided((b, channels, kh, kw, high * line), (channels * each, each, step_h, step_w, 1))
        patches = patches.reshape(b, self.groups, -1, high * line)
        return patches, g.flatten(2).unflatten(1, (self.groups, -1))
