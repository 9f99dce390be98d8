"""How does a net that has learned something else get a new head? Its vector of a row, under a small perceptron.

Shapes: B rows, M numbers in the body's vector, K outputs; the input as the body reads it.

- ``code_BM`` = ``encode(x)``: what the body makes of a row: an autoencoder's code, the mean over a language model's
  positions, the last hidden layer of a classifier.
- ``logits_BK``: the perceptron on it.

The body's weights come from the run that a recipe names under ``from``; without one they are drawn as any others. What
the body had on top of its vector (a head, a decoder) is not built: nothing of it would be trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import checks
from rai_bigmodel.nets.autoencoder import Autoencoder
from rai_bigmodel.nets.cnn import CNN
from rai_bigmodel.nets.lstm import LSTM
from rai_bigmodel.nets.mlp import ACTIVATIONS, MLP
from rai_bigmodel.nets.transformer import Transformer
from rai_bigmodel.nets.weights import bare, draw

if TYPE_CHECKING:
    from rai_bigmodel.nets.reads import Reads

BODIES = ("mlp", "cnn", "lstm", "transformer", "autoencoder")


class Tuned(Record, omit_defaults=True):
    """A body, exactly one of the five, and what is put on top of it.

    Args:
        hidden: widths of the layers between the body's vector and the outputs; none makes it a logistic regression
            on that vector.
        activation: between those layers.
        dropout: the share of the body's vector, and of each layer on it, that a training step leaves out.
    """

    mlp: MLP | None = None
    cnn: CNN | None = None
    lstm: LSTM | None = None
    transformer: Transformer | None = None
    autoencoder: Autoencoder | None = None
    hidden: tuple[int, ...] = ()
    activation: Literal["tanh", "relu", "gelu"] = "tanh"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.widths("hidden", self.hidden)
        checks.choice("activation", self.activation, ACTIVATIONS)
        checks.chance("dropout", self.dropout)
        named = [k for k in BODIES if getattr(self, k) is not None]
        if len(named) != 1:
            msg = (
                f"tuned: exactly one of {', '.join(BODIES)} is its body, got {' and '.join(named) or 'none'}"
            )
            raise InputError(msg)

    @property
    def kind(self) -> str:
        """What kind of network the body is."""
        return next(k for k in BODIES if getattr(self, k) is not None)

    @property
    def body(self) -> MLP | CNN | LSTM | Transformer | Autoencoder:
        """What the new head stands on."""
        found: MLP | CNN | LSTM | Transformer | Autoencoder = getattr(self, self.kind)
        return found

    def build(self, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None) -> OnTop:
        """The module for what the body reads, with weights drawn from `generator`.

        Raises:
            InputError: something else is to be read.
        """
        return OnTop(self, reads, outputs=outputs, generator=generator)


class OnTop(nn.Module):
    """The module of a ``Tuned``: what the body reads in, ``logits_BK`` out."""

    def __init__(
        self, config: Tuned, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config, self.reads, self.features = config, reads, reads.features
        self.body = config.body.build(reads, generator=generator)
        for part in ("head", "decoder"):
            if getattr(self.body, part, None) is not None:
                self.body.set_submodule(part, nn.Identity())
        layers: list[nn.Module] = []
        width = self.body.width
        for hidden in config.hidden:
            layers += [nn.Dropout(config.dropout)] * bool(config.dropout)
            layers += [draw(bare(nn.Linear, width, hidden), generator), ACTIVATIONS[config.activation]()]
            width = hidden
        layers += [nn.Dropout(config.dropout)] * bool(config.dropout)
        self.width = width
        self.top = nn.Sequential(*layers)
        self.head = draw(bare(nn.Linear, width, outputs), generator)

    @property
    def embedding(self) -> nn.Module:
        """The body's layer that turns ids into vectors, for explanations."""
        found = self.body.embedding
        assert isinstance(found, nn.Module)
        return found

    def encode(self, x: Tensor) -> Tensor:
        """Raw rows → the vector under the head ``(B, width)``.

        Raises:
            InputError: the tensor has another shape; the message names the body.
        """
        return self.top(self.body.encode(x))

    def forward(self, x: Tensor) -> Tensor:
        """Raw rows → logits ``(B, K)``.

        Raises:
            InputError: the tensor has another shape; the message names the body.
        """
        return self.head(self.encode(x))
