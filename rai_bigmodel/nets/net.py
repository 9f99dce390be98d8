"""What is a net? A frozen configuration whose ``build`` gives a module, and what that module is called with.

Every module has ``encode`` (raw values → a vector a row, ``width`` wide) and ``head`` (that vector → the
outputs), so that a pretrained body gets a new head, and two bodies one head. Its tensors come in the order
pixels, words, series, table; ``takes`` says which of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from rai_bigmodel.errors import InputError
from rai_bigmodel.nets.reads import UNKNOWN

if TYPE_CHECKING:
    from rai_bigmodel.nets.reads import Reads

KINDS = ("pixels", "tokens", "series", "table")
"""What a module may be called with, in the order of its arguments."""


class Net(Protocol):
    """A configuration: frozen, checked when it is made, and enough to build the module."""

    def build(self, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None) -> nn.Module:
        """The module for what is read, weights drawn from `generator` (without one: to be loaded)."""
        ...


def takes(reads: Reads) -> tuple[str, ...]:
    """What a module is called with, in the order of its arguments: some of ``KINDS``."""
    there = {
        "pixels": reads.pixels is not None,
        "tokens": reads.tokens is not None,
        "series": reads.series is not None,
        "table": bool(reads.features),
    }
    return tuple(kind for kind in KINDS if there[kind])


def example(reads: Reads, rows: int = 2) -> tuple[Tensor, ...]:
    """Raw tensors a module that reads so can be called with: typical values, all rows alike.

    Shapes: pixels ``(rows, channels, height, width)``, tokens ``(rows, length)`` int64, series
    ``(rows, length, features)``, table ``(rows, features)``, the others float32.
    """
    out: list[Tensor] = []
    if (p := reads.pixels) is not None:
        out.append(torch.full((rows, p.channels, p.height, p.width), p.center))
    if (t := reads.tokens) is not None:
        out.append(torch.full((rows, t.length), UNKNOWN, dtype=torch.int64))
    if (s := reads.series) is not None:
        out.append(torch.full((rows, s.length, s.features), s.center))
    if reads.features:
        fills = [reads.numbers[f].fill if f in reads.numbers else 0.0 for f in reads.features]
        out.append(torch.tensor([fills], dtype=torch.float32).repeat(rows, 1))
    return tuple(out)


def free(reads: Reads) -> tuple[dict[int, Any], ...]:
    """The sizes an exported file leaves open, argument by argument: the batch, and the length of what has one.

    As ``dynamic_shapes`` of ``torch.onnx.export`` and ``torch.export.export`` wants them.
    """
    batch = torch.export.Dim("batch")
    length = torch.export.Dim("length")
    return tuple(
        {0: batch, 1: length} if kind in {"tokens", "series"} else {0: batch} for kind in takes(reads)
    )


def only(net: str, reads: Reads, *allowed: str) -> str:
    """The one kind that is read, where a net reads one of `allowed`.

    Raises:
        InputError: nothing is read, several kinds are, or one that the net does not read.
    """
    got = takes(reads)
    if len(got) == 1 and got[0] in allowed:
        return got[0]
    msg = f"{net}: reads one of {', '.join(allowed)}, got {' and '.join(got) or 'nothing to read'}"
    raise InputError(msg)


class Scaled(nn.Module):
    """Pictures or series around 0: ``(x - center) / scale``; constants only, nothing to learn."""

    center: Tensor
    scale: Tensor

    def __init__(self, center: float, scale: float) -> None:
        super().__init__()
        self.register_buffer("center", torch.tensor(center, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Raw values → numbers around 0; a missing value becomes 0."""
        z = (x - self.center) / self.scale
        return torch.where(torch.isnan(z), torch.zeros_like(z), z)

    def back(self, z: Tensor) -> Tensor:
        """Numbers around 0 → raw units."""
        return z * self.scale + self.center
