"""How are a picture, or words, judged together with a row of a table?

Shapes: B rows, K outputs; ``x_BCHW``, ``ids_BT`` or ``x_BTF`` as the part reads it, and ``x_BF`` the table's row.

- ``one_BD`` | ``other_BE``: what each part makes of its own, without its head, side by side.
- ``logits_BK``: one small perceptron on both (late fusion: Baltrušaitis et al. 2019, arXiv:1705.09406).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import torch
from torch import Tensor, nn

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import checks
from rai_bigmodel.nets.cnn import CNN
from rai_bigmodel.nets.lstm import LSTM
from rai_bigmodel.nets.mlp import MLP
from rai_bigmodel.nets.net import takes
from rai_bigmodel.nets.transformer import Transformer
from rai_bigmodel.nets.weights import bare, draw

if TYPE_CHECKING:
    from rai_bigmodel.nets.reads import Reads


class Fusion(Record):
    """A table's row beside a picture (`cnn`), a text (`lstm` or `transformer`) or a series (`lstm`).

    Args:
        mlp: for the table; its last hidden layer is joined (its scaled columns where it has none).
        hidden: width of the layer on both.
    """

    mlp: MLP = MLP(hidden=(32,))
    cnn: CNN | None = None
    lstm: LSTM | None = None
    transformer: Transformer | None = None
    hidden: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.between("hidden", self.hidden, 1)
        named = [k for k in ("cnn", "lstm", "transformer") if getattr(self, k) is not None]
        if len(named) != 1:
            msg = f"fusion: one of cnn, lstm, transformer goes with the mlp, got {' and '.join(named) or 'none'}"
            raise InputError(msg)
        if self.mlp.head != "logits":
            msg = "mlp: its head is not used in a fusion; leave head out"
            raise InputError(msg)
        if self.lstm is not None and self.lstm.head == "steps":
            msg = "lstm: a fusion needs one vector a row; head may be last or mean, got 'steps'"
            raise InputError(msg)
        if self.transformer is not None and self.transformer.causal:
            msg = "transformer: a fusion needs one vector a row; causal may not be true"
            raise InputError(msg)

    @property
    def other(self) -> CNN | LSTM | Transformer:
        """What goes with the table."""
        found = self.cnn or self.lstm or self.transformer
        assert found is not None
        return found

    def build(self, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None) -> Joined:
        """The module for a table and what goes with it, with weights drawn from `generator`.

        Raises:
            InputError: no table is to be read, or not what the other part reads.
        """
        return Joined(self, reads, outputs=outputs, generator=generator)


class Joined(nn.Module):
    """The module of a ``Fusion``: what the other part reads, and raw ``x_BF``, in; ``logits_BK`` out."""

    def __init__(
        self, config: Fusion, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not reads.features:
            msg = (
                f"fusion: reads a table beside something else, got {' and '.join(takes(reads)) or 'nothing'}"
            )
            raise InputError(msg)
        self.config, self.reads, self.features = config, reads, reads.features
        beside = msgspec.structs.replace(reads, features=(), numbers={}, categories={})
        table = msgspec.structs.replace(reads, pixels=None, tokens=None, series=None)
        # A part without its head: nothing of it would be trained.
        self.other = config.other.build(beside, generator=generator)
        self.table = config.mlp.build(table, generator=generator)
        for part in (self.other, self.table):
            part.set_submodule("head", nn.Identity())
        self.width = config.hidden
        self.joint = draw(bare(nn.Linear, self.other.width + self.table.width, config.hidden), generator)
        self.head = draw(bare(nn.Linear, config.hidden, outputs), generator)

    def encode(self, other: Tensor, x_BF: Tensor) -> Tensor:
        """Raw pictures, words or series, and raw rows → the joint layer ``(B, width)``.

        Raises:
            InputError: a tensor has another shape; the message names the part.
        """
        both_BD = torch.cat([self.other.encode(other), self.table.encode(x_BF)], dim=1)
        return torch.tanh(self.joint(both_BD))

    def forward(self, other: Tensor, x_BF: Tensor) -> Tensor:
        """Raw pictures, words or series, and raw rows → logits ``(B, K)``.

        Raises:
            InputError: a tensor has another shape; the message names the part.
        """
        return self.head(self.encode(other, x_BF))
