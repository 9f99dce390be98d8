"""Is the sum of clipped gradients that of rows taken one by one, whatever the network?"""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rai_bigmodel.errors import InputError
from rai_bigmodel.training import clipping


def one_by_one(module, loss_per_row, batch, *, clip):
    """The naive twin: each row alone through ordinary autograd; its length, and the sum of the clipped ones."""
    trained = [p for p in module.parameters() if p.requires_grad]
    total, lengths = [torch.zeros_like(p) for p in trained], []
    for i in range(len(batch[0])):
        row = [t[i : i + 1] for t in batch]
        grads = torch.autograd.grad(loss_per_row(*row).sum(), trained, allow_unused=True)
        grads = [torch.zeros_like(p) if g is None else g for p, g in zip(trained, grads, strict=True)]
        length = sum(g.double().square().sum() for g in grads).sqrt()
        lengths.append(length)
        for t, g in zip(total, grads, strict=True):
            t += g * min(1.0, clip / float(length))
    return torch.stack(lengths), total


def agrees(module, loss_per_row, *batch, clip=None, rtol=1e-6, engine=None):
    """Lengths and sums equal those of rows one by one, to `rtol` of the whole gradient's length."""
    module.zero_grad()
    engine = engine or clipping.clipper(module)
    if clip is None:
        lengths, _ = one_by_one(module, loss_per_row, batch, clip=1.0)
        clip = float(lengths.median())
    lengths, total = one_by_one(module, loss_per_row, batch, clip=clip)
    found = engine.accumulate(loss_per_row, *batch, clip=clip)
    torch.testing.assert_close(found.double(), lengths, rtol=rtol, atol=0)
    trained = [p for p in module.parameters() if p.requires_grad]
    scale = sum(float(t.double().square().sum()) for t in total) ** 0.5
    apart = (
        sum(float((p.grad - t).double().square().sum()) for p, t in zip(trained, total, strict=True)) ** 0.5
    )

    assert apart <= rtol * scale
    return engine


class Picture(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.ReLU(inplace=True),
            nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2), nn.ReLU(), nn.Conv2d(8, 40, 3, dilation=2),
            nn.ConvTranspose2d(40, 4, 3, stride=2, padding=1, output_padding=1), nn.Flatten(), nn.Linear(4 * 8 * 8, 3),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)


class Recurrent(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.lstm = nn.LSTM(5, 7, batch_first=True, **kwargs)
        self.head = nn.Linear(7 * (2 if kwargs.get("bidirectional") else 1), 3)

    def forward(self, x):
        out, (h, c) = self.lstm(x)
        return self.head(out.mean(1)) + h.sum((0, 2))[:, None] * 0.3 + c.square().sum((0, 2))[:, None] * 0.1


class Block(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.before, self.between = nn.LayerNorm(d), nn.RMSNorm(d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        y = self.before(x)
        q, k, v = (f(y).unflatten(2, (2, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.0, is_causal=True)
        x = x + self.o(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.between(x))))


class Words(nn.Module):
    """A small language model: words and places are read from tables, and words predicted by the same table."""

    def __init__(self, *, words=11, d=8, tied=True, raw=False):
        super().__init__()
        self.read = nn.Embedding(words, d)
        self.raw = raw
        self.at = nn.Parameter(torch.randn(20, d)) if raw else nn.Embedding(20, d)
        self.blocks = nn.ModuleList([Block(d), Block(d)])
        self.out = nn.Linear(d, words, bias=False)
        if tied:
            self.out.weight = self.read.weight

    def forward(self, ids):
        n = ids.shape[1]
        x = self.read(ids)
        x = x + (self.at[:n] if self.raw else self.at(torch.arange(n)))
        for block in self.blocks:
            x = block(x)
        return self.out(x)


def classes(module):
    def loss(x, y):
        return F.cross_entropy(module(x), y, reduction="none")

    return loss


def next_word(module):
    def loss(ids):
        return F.cross_entropy(module(ids)[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none").mean(1)

    return loss


NETS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 3)), (10,)),
    "places": (lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm((5, 6)), nn.Flatten(), nn.Linear(30, 3)), (5, 4)),
    "cnn": (Picture, (2, 16, 16)),
    "line": (lambda: nn.Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)), (3, 6)),
    "line, transposed": (lambda: nn.Sequential(nn.ConvTranspose1d(3, 4, 3, stride=2), nn.Flatten(), nn.Linear(52, 3)), (3, 6)),
    "lstm": (Recurrent, (6, 5)),
    "lstm, two ways and layers": (lambda: Recurrent(num_layers=2, bidirectional=True), (6, 5)),
    "lstm without biases": (lambda: Recurrent(bias=False), (40, 5)),
    "solid": (lambda: nn.Sequential(nn.Conv3d(1, 2, 2), nn.Flatten(), nn.Linear(16, 3)), (1, 3, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clipped_gradients_are_those_of_rows_one_by_one(kind, dtype):
    """Lengths and sums agree with ordinary autograd on each row alone, to 1e-6 (1e-12 in double)."""
    torch.manual_seed(0)
    build, shape = NETS[kind]
    module = build().to(dtype)
    x, y = torch.randn(9, *shape, dtype=dtype), torch.arange(9) % 3

    agrees(module, classes(module), x, y, rtol=1e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("length", [4, 9, 17])
def test_a_language_model_agrees_also_where_a_table_is_used_twice(tied, raw, length):
    """Tied weights with their cross term, tables of places that belong to no row, and as many rows as places."""
    torch.manual_seed(1)
    module = Words(tied=tied, raw=raw).double()

    agrees(module, next_word(module), torch.randint(0, 11, (9, length)), rtol=1e-12)
