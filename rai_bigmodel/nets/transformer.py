"""How does a Transformer read words: to classify a text, or to say the next word?

Shapes: B rows, T positions, D width, N heads of E = D / N each, V ids, K outputs.

- ``ids_BT``: int64, 0 = padding behind, 1 = unknown.
- ``x_BTD``: embedded words, through blocks of attention and a feed-forward, each on normed input and added
  (pre-norm: Xiong et al. 2020, arXiv:2002.04745).
- ``logits_BK`` of a classifier (mean over the real positions), ``logits_BTV`` of a language model, whose
  position t sees positions 0 to t only and speaks of position t + 1.

One block serves both. Notable: rotary positions (Su et al. 2021, arXiv:2104.09864) or sinusoids (Vaswani et al.
2017, arXiv:1706.03762); query, key and value are layers of their own, so Opacus has per-row gradients of
each; attention is torch's fused one. A row of padding alone reads as one position of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import checks
from rai_bigmodel.nets.net import only
from rai_bigmodel.nets.reads import PADDING
from rai_bigmodel.nets.weights import bare, draw

if TYPE_CHECKING:
    from rai_bigmodel.nets.reads import Reads

_NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
_SLOWEST = 10_000.0
"""Position frequencies fall from 1 to nearly 1 over this (both papers')."""


class Transformer(Record):
    """A Transformer for words.

    Args:
        width: of a word's vector, a multiple of 2 × heads.
        feedforward: width of each block's hidden layer.
        causal: a language model: outputs are the ids, at every position.
        positions: ``rotary`` turns queries and keys, so attention knows distances; ``sinusoidal`` is added.
        norm: ``layer`` or ``rms`` (Zhang and Sennrich 2019, arXiv:1910.07467).
        tied: a language model's last layer is its embedding (Press and Wolf 2017, arXiv:1608.05859).
        dropout: the share of every block's output that a training step leaves out.
    """

    width: int = 64
    heads: int = 8
    layers: int = 2
    feedforward: int = 512
    causal: bool = False
    positions: Literal["rotary", "sinusoidal"] = "rotary"
    norm: Literal["layer", "rms"] = "layer"
    tied: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "heads", "feedforward"):
            checks.between(name, getattr(self, name), 1)
        checks.between("layers", self.layers, 1, 1000)
        checks.choice("positions", self.positions, ("rotary", "sinusoidal"))
        checks.choice("norm", self.norm, _NORMS)
        checks.chance("dropout", self.dropout)
        if self.width % (2 * self.heads):
            msg = f"width must be a multiple of 2 × heads ({2 * self.heads}), got {self.width}"
            raise InputError(msg)
        if self.tied and not self.causal:
            msg = "tied goes with causal: a classifier's outputs are not words"
            raise InputError(msg)

    def build(self, reads: Reads, *, outputs: int = 1, generator: torch.Generator | None = None) -> Attentive:
        """The module for words, with weights drawn from `generator`; a language model's outputs are the ids.

        Raises:
            InputError: something else is to be read, or a language model is asked for other outputs.
        """
        net = Attentive(self, reads, outputs=outputs)
        # Times √width at the entrance, so that words start as large as sinusoids, and tied logits near 1.
        return draw(net, generator, embedding_std=1 / math.sqrt(self.width))


class Attention(nn.Module):
    """Every position looks at the others: softmax(q·k / √E) v."""

    def __init__(self, config: Transformer) -> None:
        super().__init__()
        self.config = config
        self.query = bare(nn.Linear, config.width, config.width)
        self.key = bare(nn.Linear, config.width, config.width)
        self.value = bare(nn.Linear, config.width, config.width)
        self.out = bare(nn.Linear, config.width, config.width)

    def forward(self, x_BTD: Tensor, turn: tuple[Tensor, Tensor] | None, seen_B11T: Tensor | None) -> Tensor:
        """Positions → what each takes from those it may see."""
        batch, length, width = x_BTD.shape
        heads = (batch, length, self.config.heads, width // self.config.heads)
        q_BNTE, k_BNTE, v_BNTE = (
            layer(x_BTD).view(heads).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        if turn is not None:
            q_BNTE, k_BNTE = turned(q_BNTE, turn), turned(k_BNTE, turn)
        y_BNTE = F.scaled_dot_product_attention(
            q_BNTE, k_BNTE, v_BNTE, attn_mask=seen_B11T, is_causal=self.config.causal
        )
        return self.out(y_BNTE.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Attention, then a feed-forward; each reads a normed input and adds to what was there."""

    def __init__(self, config: Transformer) -> None:
        super().__init__()
        self.attention_norm = bare(_NORMS[config.norm], config.width)
        self.attention = Attention(config)
        self.feedforward_norm = bare(_NORMS[config.norm], config.width)
        self.feedforward = nn.Sequential(
            bare(nn.Linear, config.width, config.feedforward),
            nn.GELU(),
            bare(nn.Linear, config.feedforward, config.width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, turn: tuple[Tensor, Tensor] | None, seen_B11T: Tensor | None) -> Tensor:
        """Positions → positions."""
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), turn, seen_B11T))
        return x_BTD + self.dropout(self.feedforward(self.feedforward_norm(x_BTD)))


class Attentive(nn.Module):
    """The module of a ``Transformer``: raw ``ids_BT`` in, logits out."""

    def __init__(self, config: Transformer, reads: Reads, *, outputs: int = 1) -> None:
        super().__init__()
        only("transformer", reads, "tokens")
        assert reads.tokens is not None
        if config.causal:
            if outputs not in {1, reads.tokens.ids}:
                msg = f"transformer: a language model's outputs are its {reads.tokens.ids} ids, got {outputs}"
                raise InputError(msg)
            outputs = reads.tokens.ids
        self.config, self.reads, self.features = config, reads, reads.features
        self.width = config.width
        self.embedding = bare(nn.Embedding, reads.tokens.ids, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = bare(_NORMS[config.norm], config.width)
        self.tied = config.tied
        self.head = None if config.tied else bare(nn.Linear, config.width, outputs)

    def encode(self, ids_BT: Tensor) -> Tensor:
        """Raw words → one vector a row ``(B, width)``: the mean over the real positions.

        Raises:
            InputError: the tensor has another shape.
        """
        x_BTD = self.positions(ids_BT)
        real_BT = _real(ids_BT)
        share_BT = real_BT.to(x_BTD.dtype) / real_BT.sum(dim=1, keepdim=True)
        return (x_BTD * share_BT[:, :, None]).sum(dim=1)

    def positions(self, ids_BT: Tensor) -> Tensor:
        """Raw words → one vector a position ``(B, T, width)``.

        Raises:
            InputError: the tensor has another shape.
        """
        checks.shape("transformer", "word ids", ids_BT, (None, None))
        x_BTD = self.embedding(ids_BT) * math.sqrt(self.width)
        turn = None
        if self.config.positions == "rotary":
            turn = angles(ids_BT, self.width // self.config.heads)
        else:
            x_BTD = x_BTD + torch.cat(angles(ids_BT, self.width), dim=1)
        x_BTD = self.dropout(x_BTD)
        # Padding stands behind, where no earlier position of a language model looks.
        seen_B11T = None if self.config.causal else _real(ids_BT)[:, None, None, :]
        for block in self.blocks:
            x_BTD = block(x_BTD, turn, seen_B11T)
        return self.norm(x_BTD)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Raw words → logits ``(B, K)`` of a text, or ``(B, T, V)`` of every next word.

        Raises:
            InputError: the tensor has another shape.
        """
        x = self.positions(ids_BT) if self.config.causal else self.encode(ids_BT)
        return F.linear(x, self.embedding.weight) if self.head is None else self.head(x)


def _real(ids_BT: Tensor) -> Tensor:
    """Which positions are not padding; the first always counts, so that an empty text has one."""
    first_T = torch.arange(ids_BT.shape[1], device=ids_BT.device) == 0
    return (ids_BT != PADDING) | first_T


def angles(ids_BT: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Sine and cosine ``(T, width / 2)`` of position × frequency; frequencies fall geometrically."""
    position_T = torch.arange(ids_BT.shape[1], device=ids_BT.device, dtype=torch.float32)
    step_W = torch.arange(0, width, 2, device=ids_BT.device, dtype=torch.float32)
    angle_TW = position_T[:, None] * torch.exp(step_W * (-math.log(_SLOWEST) / width))
    return torch.sin(angle_TW), torch.cos(angle_TW)


def turned(x_BNTE: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Each pair (e, e + E/2) turned by its position's angle, so that q·k depends on the distance alone."""
    sine_TW, cosine_TW = turn
    one, other = x_BNTE.chunk(2, dim=-1)
    return torch.cat([one * cosine_TW - other * sine_TW, one * sine_TW + other * cosine_TW], dim=-1)
