"""How unusual is a row? An autoencoder squeezes it through a narrow code; what it cannot rebuild is unusual.

Shapes: B rows, F columns, C × H × W pixels, D numbers after preprocessing, M numbers in the code.

- ``x_BF`` or ``x_BCHW``: raw float32, in the units of the data; NaN where a value is missing.
- ``z``: the same, around 0, missing values at their fill.
- ``code_BM`` = ``encode(x)``: for a classifier on top.
- ``forward(x)``: the reconstruction, in raw units and in the input's shape.
- ``error_B`` = ``error(x)``: the mean squared error over what was there, in scaled units: the anomaly score,
  and as a mean over rows the loss to train with.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import checks
from rai_bigmodel.nets.cnn import pooled
from rai_bigmodel.nets.mlp import ACTIVATIONS
from rai_bigmodel.nets.net import only
from rai_bigmodel.nets.reads import Input
from rai_bigmodel.nets.weights import bare, draw

if TYPE_CHECKING:
    from rai_bigmodel.nets.reads import Reads


class Autoencoder(Record):
    """An autoencoder for tables of numbers and for pictures (Hinton and Salakhutdinov 2006).

    Args:
        hidden: widths from the input to the code, and back in reverse; of filters where ``convolutional``,
            each with a 2 × 2 pool.
        code: numbers in the middle.
        convolutional: for pictures.
    """

    hidden: tuple[int, ...] = (400, 300)
    code: int = 32
    activation: Literal["tanh", "relu", "gelu"] = "relu"
    convolutional: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.widths("hidden", self.hidden)
        checks.between("code", self.code, 1)
        checks.choice("activation", self.activation, ACTIVATIONS)
        if self.convolutional and not self.hidden:
            msg = "hidden: a convolutional autoencoder needs at least one width, got none"
            raise InputError(msg)

    def build(
        self, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None
    ) -> Reconstructing:
        """The module for columns of numbers or for pictures, with weights drawn from `generator`.

        Raises:
            InputError: something else is to be read, or outputs are asked for: it gives back what it read.
        """
        if outputs != 1:
            msg = f"autoencoder: it gives back what it read and has no outputs of its own, got outputs {outputs}"
            raise InputError(msg)
        return draw(Reconstructing(self, reads), generator)


class Reconstructing(nn.Module):
    """The module of an ``Autoencoder``: raw rows or pictures in, the same rebuilt out."""

    fill: Tensor
    center: Tensor
    scale: Tensor

    def __init__(self, config: Autoencoder, reads: Reads) -> None:
        super().__init__()
        kind = only("autoencoder", reads, "table", "pixels")
        if reads.categories:
            msg = f"autoencoder: reads numbers and pictures, got the labels {next(iter(reads.categories))!r}"
            raise InputError(msg)
        if config.convolutional and kind != "pixels":
            msg = "autoencoder: convolutional goes with pictures, got a table"
            raise InputError(msg)
        self.config, self.reads, self.features = config, reads, reads.features
        self.width = config.code
        self.wanted: tuple[int, ...] = (len(reads.features),)
        inputs = [reads.numbers[f] for f in reads.features]
        if (p := reads.pixels) is not None:
            inputs, self.wanted = [Input(p.center, p.center, p.scale)], (p.channels, p.height, p.width)
        for name in ("fill", "center", "scale"):
            values = torch.tensor([getattr(i, name) for i in inputs], dtype=torch.float32)
            self.register_buffer(name, values)
        if config.convolutional:
            self.encoder, self.decoder = _convolutional(config, reads)
        else:
            self.encoder, self.decoder = _dense(config, self.wanted)

    def scaled(self, x: Tensor) -> Tensor:
        """Raw values → numbers around 0, missing ones at their fill.

        Raises:
            InputError: the rows have another shape.
        """
        checks.shape("autoencoder", "rows", x, (None, *self.wanted))
        return (torch.where(torch.isnan(x), self.fill, x) - self.center) / self.scale

    def encode(self, x: Tensor) -> Tensor:
        """Raw rows → codes ``(B, M)``.

        Raises:
            InputError: the rows have another shape.
        """
        return self.encoder(self.scaled(x))

    def forward(self, x: Tensor) -> Tensor:
        """Raw rows → their reconstruction, in raw units and the same shape.

        Raises:
            InputError: the rows have another shape.
        """
        return self.decoder(self.encode(x)) * self.scale + self.center

    def error(self, x: Tensor) -> Tensor:
        """Mean squared error ``(B,)`` of each row in scaled units, over the values that were there.

        A row with nothing there has the error 0: there is nothing it could be unlike.

        Raises:
            InputError: the rows have another shape.
        """
        z = self.scaled(x)
        there = (~torch.isnan(x)).to(z.dtype)
        squares = (self.decoder(self.encoder(z)) - z) ** 2 * there
        return squares.flatten(1).sum(dim=1) / there.flatten(1).sum(dim=1).clamp(min=1)


class Grown(nn.Module):
    """Twice as large (or as large as it once was): each pixel repeated."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Pictures → larger pictures."""
        return F.interpolate(x_BCHW, size=self.size, mode="nearest")


def _dense(config: Autoencoder, wanted: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
    activation = ACTIVATIONS[config.activation]
    widths = [torch.Size(wanted).numel(), *config.hidden, config.code]
    there: list[nn.Module] = [nn.Flatten()]
    back: list[nn.Module] = []
    for i, (wide, narrow) in enumerate(pairwise(widths)):
        there += [activation()] * (i > 0) + [bare(nn.Linear, wide, narrow)]
    for i, (wide, narrow) in enumerate(zip(widths[-2::-1], widths[:0:-1], strict=True)):
        back += [activation()] * (i > 0) + [bare(nn.Linear, narrow, wide)]
    return nn.Sequential(*there), nn.Sequential(*back, nn.Unflatten(1, wanted))


def _convolutional(config: Autoencoder, reads: Reads) -> tuple[nn.Sequential, nn.Sequential]:
    assert reads.pixels is not None
    activation = ACTIVATIONS[config.activation]
    sizes = [(reads.pixels.height >> i, reads.pixels.width >> i) for i in range(len(config.hidden))]
    height, width = pooled(reads.pixels, len(config.hidden))
    channels = [reads.pixels.channels, *config.hidden]
    there: list[nn.Module] = []
    back: list[nn.Module] = []
    for size, wide, narrow in zip(sizes, channels[:-1], channels[1:], strict=True):
        there += [bare(nn.Conv2d, wide, narrow, 3, padding=1), activation(), nn.MaxPool2d(2)]
        # Growing and a convolution rather than a transposed one, which leaves a chequered pattern
        # (Odena et al. 2016, doi:10.23915/distill.00003).
        back = [activation(), Grown(size), bare(nn.Conv2d, narrow, wide, 3, padding=1), *back]
    middle = channels[-1] * height * width
    there += [nn.Flatten(), bare(nn.Linear, middle, config.code)]
    back = [bare(nn.Linear, config.code, middle), nn.Unflatten(1, (channels[-1], height, width)), *back]
    return nn.Sequential(*there), nn.Sequential(*back)
