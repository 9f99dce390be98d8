"""How does a multi-layer perceptron read a raw table?

Shapes: B rows of the batch, F features (columns), K outputs (1 for a yes/no outcome).

- ``x_BF``: raw float32, in the units of the data, NaN where a value is missing.
- ``logits_BK``: what ``forward`` returns; always two-dimensional, so a yes/no net gives ``(B, 1)``.

Filling and scaling live inside the module as buffers, so an exported file takes raw columns and a
private model carries no constant that was read off its training rows. Only ``nn.Linear`` has
parameters, so Opacus can train it as it stands.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Record

try:
    import torch
    from torch import Tensor, nn
except ImportError:
    package, extra = "torch", "train"
    raise MissingExtra(package, extra, "training and loading networks") from None

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.nets.reads import Input

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
_MAX_WIDTH = 100_000


class MLP(Record):
    """A multi-layer perceptron for tables.

    Args:
        hidden: widths of the hidden layers; none makes it a logistic regression.
        activation: between the layers. The bounded ``tanh`` suits private training, whose clipped
            gradients it keeps small (Papernot et al. 2021, arXiv:2007.14191).
        limit: scaled inputs are bent smoothly into ±limit (``limit * tanh(z / limit)``), so that one
            extreme amount cannot decide alone; ``None`` leaves them as they are.
    """

    hidden: tuple[int, ...] = (64, 32)
    activation: Literal["tanh", "relu", "gelu"] = "tanh"
    limit: float | None = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(not 0 < width <= _MAX_WIDTH for width in self.hidden):
            msg = f"hidden: widths must lie between 1 and {_MAX_WIDTH:,}, got {list(self.hidden)}"
            raise InputError(msg)
        if self.activation not in _ACTIVATIONS:
            what = "activation"
            raise InputError.unknown(what, self.activation, _ACTIVATIONS)
        if self.limit is not None and self.limit <= 0:
            msg = f"limit must be positive or null, got {self.limit}"
            raise InputError(msg)

    def build(
        self, inputs: Mapping[str, Input], *, outputs: int = 1, generator: torch.Generator | None = None
    ) -> Tabular:
        """The module for these columns, in this order, with weights drawn from `generator`.

        The draw is torch's own for ``nn.Linear`` (uniform within 1/√fan-in); without a generator weights
        are 0, to be loaded from a file. The global random state is never touched.
        """
        net = Tabular(self, inputs, outputs=outputs)
        with torch.no_grad():
            for layer in net.body:
                if not isinstance(layer, nn.Linear):
                    continue
                bound = 1 / math.sqrt(layer.in_features)
                for parameter in (layer.weight, layer.bias):
                    if generator is None:
                        parameter.zero_()
                    else:
                        parameter.uniform_(-bound, bound, generator=generator)
        return net


class Scaling(nn.Module):
    """Fills what is missing and scales what is there; constants only, nothing to learn."""

    fill_F: Tensor
    center_F: Tensor
    scale_F: Tensor

    def __init__(self, inputs: Sequence[Input], limit: float | None) -> None:
        super().__init__()
        self.limit = limit
        for name in ("fill", "center", "scale"):
            values = torch.tensor([getattr(i, name) for i in inputs], dtype=torch.float32)
            self.register_buffer(f"{name}_F", values)

    def filled(self, x_BF: Tensor) -> Tensor:
        """The raw rows with a declared value where one was missing."""
        return torch.where(torch.isnan(x_BF), self.fill_F, x_BF)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Raw rows → numbers around 0."""
        z_BF = (self.filled(x_BF) - self.center_F) / self.scale_F
        return z_BF if self.limit is None else self.limit * torch.tanh(z_BF / self.limit)


class Tabular(nn.Module):
    """The module of an ``MLP``: raw ``x_BF`` in, ``logits_BK`` out."""

    def __init__(self, config: MLP, inputs: Mapping[str, Input], *, outputs: int = 1) -> None:
        super().__init__()
        if not inputs:
            msg = "a net needs at least one feature, got none"
            raise InputError(msg)
        self.config = config
        self.features = tuple(inputs)
        self.scaling = Scaling(list(inputs.values()), config.limit)
        layers: list[nn.Module] = []
        width = len(inputs)
        for hidden in config.hidden:
            layers += [_linear(width, hidden), _ACTIVATIONS[config.activation]()]
            width = hidden
        self.body = nn.Sequential(*layers, _linear(width, outputs))

    def filled(self, x_BF: Tensor) -> Tensor:
        """Raw rows with missing values filled: what attributions are taken over."""
        return self.scaling.filled(x_BF)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Raw rows ``(B, F)`` → logits ``(B, K)``.

        Raises:
            InputError: the rows have another number of columns.
        """
        if x_BF.ndim != 2 or x_BF.shape[1] != len(self.features):
            msg = f"scaling: needs rows of {len(self.features)} columns, got the shape {tuple(x_BF.shape)}"
            raise InputError(msg)
        logits_BK: Tensor = self.body(self.scaling(x_BF))
        return logits_BK


def _linear(width_in: int, width_out: int) -> nn.Linear:
    """A layer with its memory but no random draw: ``MLP.build`` sets the weights."""
    return nn.utils.skip_init(nn.Linear, width_in, width_out)
