"""How does a convolutional net read a raw picture?

Shapes: B rows, C channels, H × W pixels, K outputs.

- ``x_BCHW``: raw float32 pictures, any height and width that survives the pools.
- ``z_BCHW``: scaled, then through blocks of convolution, norm, activation and a 2 × 2 max-pool each.
- ``logits_BK``: what ``forward`` returns.

No batch norm: it mixes the rows of a batch, which private training cannot allow. GroupNorm does not (Wu and He
2018, arXiv:1803.08494).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import checks
from rai_bigmodel.nets.mlp import ACTIVATIONS
from rai_bigmodel.nets.net import Scaled, only
from rai_bigmodel.nets.weights import bare, draw

if TYPE_CHECKING:
    from rai_bigmodel.nets.reads import Pixels, Reads


class CNN(Record):
    """A convolutional net for pictures.

    Args:
        widths: filters of the blocks, each of which halves height and width.
        kernel: side of the filters; odd, so that a picture keeps its size.
        hidden: width of the layer before the head.
        groups: of the GroupNorm in every block; ``None`` goes without a norm.
    """

    widths: tuple[int, ...] = (32, 64)
    kernel: int = 3
    hidden: int = 128
    activation: Literal["tanh", "relu", "gelu"] = "relu"
    groups: int | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.widths("widths", self.widths)
        checks.between("kernel", self.kernel, 1, 99)
        checks.between("hidden", self.hidden, 1)
        checks.choice("activation", self.activation, ACTIVATIONS)
        checks.chance("dropout", self.dropout)
        if not self.kernel % 2:
            msg = f"kernel must be odd, so that a picture keeps its size, got {self.kernel}"
            raise InputError(msg)
        if self.groups is not None and any(
            width % self.groups if self.groups > 0 else 1 for width in self.widths
        ):
            msg = f"groups must divide every one of the widths {list(self.widths)}, got {self.groups}"
            raise InputError(msg)

    def build(
        self, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None
    ) -> Convolutional:
        """The module for pictures of this size, with weights drawn from `generator`.

        Raises:
            InputError: something else is to be read, or the pictures are too small for so many pools.
        """
        return draw(Convolutional(self, reads, outputs=outputs), generator)


class Convolutional(nn.Module):
    """The module of a ``CNN``: raw ``x_BCHW`` in, ``logits_BK`` out."""

    def __init__(self, config: CNN, reads: Reads, *, outputs: int = 1) -> None:
        super().__init__()
        only("cnn", reads, "pixels")
        assert reads.pixels is not None
        self.config, self.reads, self.features = config, reads, reads.features
        self.scaled = Scaled(reads.pixels.center, reads.pixels.scale)
        self.wanted = (None, reads.pixels.channels, reads.pixels.height, reads.pixels.width)
        blocks: list[nn.Module] = []
        channels = reads.pixels.channels
        for width in config.widths:
            blocks.append(bare(nn.Conv2d, channels, width, config.kernel, padding=config.kernel // 2))
            if config.groups is not None:
                blocks.append(bare(nn.GroupNorm, config.groups, width))
            blocks += [ACTIVATIONS[config.activation](), nn.MaxPool2d(2)]
            channels = width
        height, width = pooled(reads.pixels, len(config.widths))
        self.blocks = nn.Sequential(*blocks)
        self.hidden = nn.Sequential(
            nn.Flatten(),
            bare(nn.Linear, channels * height * width, config.hidden),
            ACTIVATIONS[config.activation](),
            nn.Dropout(config.dropout),
        )
        self.width = config.hidden
        self.head = bare(nn.Linear, config.hidden, outputs)

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """Raw pictures → the hidden layer ``(B, width)``.

        Raises:
            InputError: the pictures have another size or number of channels.
        """
        checks.shape("cnn", "pictures", x_BCHW, self.wanted)
        return self.hidden(self.blocks(self.scaled(x_BCHW)))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Raw pictures → logits ``(B, K)``.

        Raises:
            InputError: the pictures have another size or number of channels.
        """
        return self.head(self.encode(x_BCHW))


def pooled(pixels: Pixels, pools: int) -> tuple[int, int]:
    """Height and width after so many 2 × 2 pools.

    Raises:
        InputError: nothing would be left.
    """
    height, width = pixels.height >> pools, pixels.width >> pools
    if not height or not width:
        msg = (
            f"widths: {pools} pools leave nothing of pictures of {pixels.height} × {pixels.width}; use fewer"
        )
        raise InputError(msg)
    return height, width
