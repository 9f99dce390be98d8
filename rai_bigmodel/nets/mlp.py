"""How does a multi-layer perceptron read a raw table, or a picture?

Shapes: B rows of the batch, F features (columns), D numbers after preprocessing, K outputs (1 for a yes/no
outcome), C × H × W pixels.

- ``x_BF``: raw float32, in the units of the data, NaN where a value is missing; a column of labels carries
  its codes (0: missing or unknown).
- ``x_BCHW``: raw float32 pictures, flattened.
- ``z_BD``: numbers around 0, then indicators of what was missing, then the embedded labels.
- ``logits_BK``: what ``forward`` returns; always two-dimensional, so a yes/no net gives ``(B, 1)``. A Gaussian
  head gives ``(B, 2)``: mean and log variance.

Filling, scaling and coding live inside the module as buffers, so an exported file takes raw columns and a
private model carries no constant that was read off its training rows. Only ``nn.Linear`` and ``nn.Embedding``
have parameters, so Opacus can train it as it stands.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import checks
from rai_bigmodel.nets.net import Scaled, only
from rai_bigmodel.nets.reads import Input
from rai_bigmodel.nets.weights import bare, draw

if TYPE_CHECKING:
    from rai_bigmodel.nets.reads import Reads

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
LOG_VARIANCE = 10.0
"""A Gaussian head's log variance stays within ± this, so that no row's likelihood overflows."""


class MLP(Record):
    """A multi-layer perceptron for tables and pictures.

    Args:
        hidden: widths of the hidden layers; none makes it a logistic regression.
        activation: between the layers. The bounded ``tanh`` suits private training, whose clipped
            gradients it keeps small (Papernot et al. 2021, arXiv:2007.14191).
        limit: scaled inputs are bent smoothly into ±limit (``limit * tanh(z / limit)``), so that one
            extreme amount cannot decide alone; ``None`` leaves them as they are.
        missing: one more input a number, 1 where it was missing and 0 elsewhere.
        dropout: the share of each hidden layer that a training step leaves out.
        head: ``logits``, or ``gaussian`` for a number with its uncertainty: mean and log variance (Nix and
            Weigend 1994).
    """

    hidden: tuple[int, ...] = (64, 32)
    activation: Literal["tanh", "relu", "gelu"] = "tanh"
    limit: float | None = 3.0
    missing: bool = False
    dropout: float = 0.0
    head: Literal["logits", "gaussian"] = "logits"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.widths("hidden", self.hidden)
        checks.choice("activation", self.activation, ACTIVATIONS)
        checks.positive("limit", self.limit)
        checks.chance("dropout", self.dropout)
        checks.choice("head", self.head, ("logits", "gaussian"))

    def build(self, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None) -> Tabular:
        """The module for a table's columns in this order, or for pictures, with weights from `generator`.

        Raises:
            InputError: something else is to be read, or a Gaussian head is asked for several outputs.
        """
        return draw(Tabular(self, reads, outputs=outputs), generator)


class Scaling(nn.Module):
    """Fills what is missing, scales what is there and embeds labels; only the embeddings learn."""

    fill_F: Tensor
    center_F: Tensor
    scale_F: Tensor

    def __init__(self, reads: Reads, config: MLP) -> None:
        super().__init__()
        self.limit, self.missing = config.limit, config.missing
        # A label's code is neither filled nor scaled.
        inputs = [reads.numbers.get(f, Input()) for f in reads.features]
        for name in ("fill", "center", "scale"):
            values = torch.tensor([getattr(i, name) for i in inputs], dtype=torch.float32)
            self.register_buffer(f"{name}_F", values)
        self.numbers = [i for i, f in enumerate(reads.features) if f in reads.numbers]
        self.labels = [i for i, f in enumerate(reads.features) if f in reads.categories]
        labels = [reads.categories[reads.features[i]] for i in self.labels]
        self.codes = [c.codes for c in labels]
        self.embeddings = nn.ModuleList(bare(nn.Embedding, c.codes, c.width) for c in labels)
        self.width = len(self.numbers) * (2 if self.missing else 1) + sum(c.width for c in labels)

    def filled(self, x_BF: Tensor) -> Tensor:
        """The raw rows with a declared value where one was missing."""
        return torch.where(torch.isnan(x_BF), self.fill_F, x_BF)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Raw rows → numbers around 0 ``(B, D)``."""
        filled_BF = self.filled(x_BF)
        z_BF = bent((filled_BF - self.center_F) / self.scale_F, self.limit)
        if not self.labels and not self.missing:
            return z_BF
        parts = [z_BF[:, self.numbers]] if self.numbers else []
        if self.missing and self.numbers:
            parts.append(torch.isnan(x_BF[:, self.numbers]).to(z_BF.dtype))
        for i, count, embedding in zip(self.labels, self.codes, self.embeddings, strict=True):
            code_B = filled_BF[:, i]
            known_B = (code_B >= 0) & (code_B < count)
            parts.append(embedding(torch.where(known_B, code_B, torch.zeros_like(code_B)).long()))
        return torch.cat(parts, dim=1)


class Flat(nn.Module):
    """Pictures as one row of numbers around 0 each."""

    def __init__(self, reads: Reads, config: MLP) -> None:
        super().__init__()
        assert reads.pixels is not None
        self.limit = config.limit
        self.scaled = Scaled(reads.pixels.center, reads.pixels.scale)
        self.wanted = (None, reads.pixels.channels, reads.pixels.height, reads.pixels.width)
        self.width = reads.pixels.channels * reads.pixels.height * reads.pixels.width

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Raw pictures → numbers around 0 ``(B, C·H·W)``."""
        checks.shape("scaling", "pictures", x_BCHW, self.wanted)
        return bent(self.scaled(x_BCHW).flatten(1), self.limit)


class Tabular(nn.Module):
    """The module of an ``MLP``: raw ``x_BF`` or ``x_BCHW`` in, ``logits_BK`` out."""

    def __init__(self, config: MLP, reads: Reads, *, outputs: int = 1) -> None:
        super().__init__()
        if not (reads.features or reads.pixels):
            msg = "a net needs at least one feature, got none"
            raise InputError(msg)
        pictures = only("mlp", reads, "table", "pixels") == "pixels"
        if config.head == "gaussian":
            if outputs != 1:
                msg = f"mlp: a gaussian head predicts one number, got outputs {outputs}"
                raise InputError(msg)
            outputs = 2
        self.config, self.reads, self.features = config, reads, reads.features
        self.scaling = Flat(reads, config) if pictures else Scaling(reads, config)
        layers: list[nn.Module] = []
        width = self.scaling.width
        for hidden in config.hidden:
            layers += [bare(nn.Linear, width, hidden), ACTIVATIONS[config.activation]()]
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
            width = hidden
        self.width = width
        self.body = nn.Sequential(*layers)
        self.head = bare(nn.Linear, width, outputs)

    def filled(self, x_BF: Tensor) -> Tensor:
        """Raw rows with missing values filled: what attributions are taken over."""
        if isinstance(self.scaling, Flat):
            return torch.where(torch.isnan(x_BF), self.scaling.scaled.center, x_BF)
        return self.scaling.filled(x_BF)

    def encode(self, x_BF: Tensor) -> Tensor:
        """Raw rows → the last hidden layer ``(B, width)``.

        Raises:
            InputError: the rows have another shape.
        """
        if isinstance(self.scaling, Scaling) and (x_BF.ndim != 2 or x_BF.shape[1] != len(self.features)):
            msg = f"scaling: needs rows of {len(self.features)} columns, got the shape {tuple(x_BF.shape)}"
            raise InputError(msg)
        return self.body(self.scaling(x_BF))

    def forward(self, x_BF: Tensor) -> Tensor:
        """Raw rows ``(B, F)`` or pictures ``(B, C, H, W)`` → logits ``(B, K)``, or mean and log variance.

        Raises:
            InputError: the rows have another shape.
        """
        out_BK: Tensor = self.head(self.encode(x_BF))
        if self.config.head == "logits":
            return out_BK
        return torch.cat([out_BK[:, :1], bent(out_BK[:, 1:], LOG_VARIANCE)], dim=1)


def bent(z: Tensor, limit: float | None) -> Tensor:
    """Numbers bent smoothly into ±limit; near 0 they stay what they are."""
    return z if limit is None else limit * torch.tanh(z / limit)


def log_likelihood(gaussian_B2: Tensor, y_B: Tensor) -> Tensor:
    """The log density ``(B,)`` of each true number under a Gaussian head's mean and log variance, in nats."""
    mean_B, log_variance_B = gaussian_B2[:, 0], gaussian_B2[:, 1]
    squares_B = (y_B - mean_B) ** 2 * torch.exp(-log_variance_B)
    return -0.5 * (math.log(2 * math.pi) + log_variance_B + squares_B)
