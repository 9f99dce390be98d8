"""How does an LSTM read words or a series of numbers, of any length?

Shapes: B rows, T steps, F features of a step, D numbers a step (embedded or scaled), H hidden, K outputs.

- ``ids_BT``: int64, 0 = padding behind, 1 = unknown; or ``x_BTF``: raw float32, steps that are NaN throughout
  are padding behind.
- ``z_BTD`` → layer after layer, each one LSTM a direction → ``h_BTH`` (2H with two directions).
- ``logits_BK`` of a classifier, ``logits_BTK`` with a head at every step.

Padding is handled by indices, not by packing: the last real step is picked, a backward direction reads each row
turned around within its own length. So a padded batch gives the logits of each row alone, and an exported
file keeps its batch and its length free. A row of padding alone reads as one step of it.

Opacus has no per-row gradients for the fused ``nn.LSTM``; ``private.private_twin`` lends it its own layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import checks
from rai_bigmodel.nets.net import Scaled, only
from rai_bigmodel.nets.reads import PADDING
from rai_bigmodel.nets.weights import bare, draw

if TYPE_CHECKING:
    from rai_bigmodel.nets.reads import Reads


class LSTM(Record):
    """A long short-term memory for words and series (Hochreiter and Schmidhuber 1997).

    Args:
        embedding: width of a word's vector; not used on series.
        hidden: width of each layer's state, for each direction.
        layers: how many, one on top of the other.
        both: read forwards and backwards.
        head: a classifier on the ``last`` real step (backwards: the first) or on the ``mean`` over the real
            steps, or one at every step (``steps``).
        dropout: the share of what goes from layer to layer and to the head that a training step leaves out.
    """

    embedding: int = 64
    hidden: int = 64
    layers: int = 1
    both: bool = False
    head: Literal["last", "mean", "steps"] = "last"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.between("embedding", self.embedding, 1)
        checks.between("hidden", self.hidden, 1)
        checks.between("layers", self.layers, 1, 100)
        checks.choice("head", self.head, ("last", "mean", "steps"))
        checks.chance("dropout", self.dropout)

    def build(self, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None) -> Recurrent:
        """The module for words or series, with weights drawn from `generator`.

        Raises:
            InputError: something else is to be read.
        """
        return draw(Recurrent(self, reads, outputs=outputs), generator)


class Recurrent(nn.Module):
    """The module of an ``LSTM``: raw ``ids_BT`` or ``x_BTF`` in, logits out."""

    def __init__(self, config: LSTM, reads: Reads, *, outputs: int = 1) -> None:
        super().__init__()
        only("lstm", reads, "tokens", "series")
        self.config, self.reads, self.features = config, reads, reads.features
        if reads.tokens is not None:
            self.embedding = bare(nn.Embedding, reads.tokens.ids, config.embedding)
            width = config.embedding
        else:
            assert reads.series is not None
            self.scaled = Scaled(reads.series.center, reads.series.scale)
            width = reads.series.features
        # One layer each, because a direction's rows are turned around between layers.
        self.forwards, self.backwards = nn.ModuleList(), nn.ModuleList()
        for _ in range(config.layers):
            self.forwards.append(bare(nn.LSTM, width, config.hidden, batch_first=True))
            if config.both:
                self.backwards.append(bare(nn.LSTM, width, config.hidden, batch_first=True))
            width = config.hidden * (2 if config.both else 1)
        self.dropout = nn.Dropout(config.dropout)
        self.width = width
        self.head = bare(nn.Linear, width, outputs)

    def encode(self, x: Tensor) -> Tensor:
        """Raw words or series → one vector a row ``(B, width)``: the last real step, or the mean over them.

        Raises:
            InputError: the tensor has another shape.
        """
        z_BTD, real_BT = self._steps(x)
        length_B = _lengths(real_BT)
        h_BTH = self._layers(z_BTD, length_B)
        if self.config.head == "mean":
            inside_BT = (_positions(real_BT) < length_B[:, None]).to(h_BTH.dtype)
            return (h_BTH * inside_BT[:, :, None]).sum(1) / length_B[:, None]
        last_B1H = (length_B - 1)[:, None, None].expand(-1, 1, self.config.hidden)
        end_BH = h_BTH[:, :, : self.config.hidden].gather(1, last_B1H)[:, 0]
        # The backward direction ends at the first step.
        return torch.cat([end_BH, h_BTH[:, 0, self.config.hidden :]], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Raw words or series → logits ``(B, K)``, or ``(B, T, K)`` with a head at every step.

        Raises:
            InputError: the tensor has another shape.
        """
        if self.config.head != "steps":
            return self.head(self.dropout(self.encode(x)))
        z_BTD, real_BT = self._steps(x)
        return self.head(self.dropout(self._layers(z_BTD, _lengths(real_BT))))

    def _steps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of every step, and which steps are real."""
        if self.reads.tokens is not None:
            checks.shape("lstm", "word ids", x, (None, None))
            return self.embedding(x), x != PADDING
        assert self.reads.series is not None
        checks.shape("lstm", "series", x, (None, None, self.reads.series.features))
        return self.scaled(x), ~torch.isnan(x).all(dim=2)

    def _layers(self, z_BTD: Tensor, length_B: Tensor) -> Tensor:
        position_BT = _positions(z_BTD)
        turned_BT = torch.where(
            position_BT < length_B[:, None], length_B[:, None] - 1 - position_BT, position_BT
        )
        for i, forwards in enumerate(self.forwards):
            z_BTD = self.dropout(z_BTD) if i else z_BTD
            out_BTH = _run(forwards, z_BTD)
            if self.config.both:
                back_BTH = _run(self.backwards[i], _turn(z_BTD, turned_BT))
                out_BTH = torch.cat([out_BTH, _turn(back_BTH, turned_BT)], dim=2)
            z_BTD = out_BTH
        return z_BTD


def _run(lstm: nn.Module, z_BTD: Tensor) -> Tensor:
    """One layer in one direction, ``(B, T, H)``.

    While a file is written the layer is said as ONNX's own LSTM: the exporter would unroll it, and so fix
    the length to that of the example.
    """
    if not (torch.onnx.is_in_onnx_export() and isinstance(lstm, nn.LSTM)):
        h_BTH, _ = lstm(z_BTD)
        return h_BTH

    def gates(weight: Tensor) -> Tensor:
        """Torch's order of gates (input, forget, cell, output) → ONNX's (input, output, forget, cell)."""
        hidden = lstm.hidden_size
        return torch.cat([weight[:hidden], weight[3 * hidden :], weight[hidden : 3 * hidden]])[None]

    own = dict(lstm.named_parameters())
    biases = torch.cat([gates(own["bias_ih_l0"]), gates(own["bias_hh_l0"])], dim=1)
    h_T1BH = torch.onnx.ops.symbolic(
        "LSTM",
        (z_BTD.transpose(0, 1), gates(own["weight_ih_l0"]), gates(own["weight_hh_l0"]), biases),
        {"hidden_size": lstm.hidden_size},
        dtype=z_BTD.dtype,
        shape=(z_BTD.shape[1], 1, z_BTD.shape[0], lstm.hidden_size),
    )
    return h_T1BH[:, 0].transpose(0, 1)


def _positions(x_BT: Tensor) -> Tensor:
    """0, 1, … of every step ``(B, T)``."""
    return torch.arange(x_BT.shape[1], device=x_BT.device).expand(x_BT.shape[0], -1)


def _lengths(real_BT: Tensor) -> Tensor:
    """Steps up to the last real one ``(B,)``, at least 1."""
    return ((_positions(real_BT) + 1) * real_BT).amax(dim=1).clamp(min=1)


def _turn(z_BTD: Tensor, turned_BT: Tensor) -> Tensor:
    """Each row turned around within its length; turning twice gives it back."""
    return z_BTD.gather(1, turned_BT[:, :, None].expand(-1, -1, z_BTD.shape[2]))
