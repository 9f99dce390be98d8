"""Is the sum of clipped gradients that of rows taken one by one, whatever the network?"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by
from torch.utils.checkpoint import checkpoint

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
        total = [t + g * min(1.0, clip / float(length)) for t, g in zip(total, grads, strict=True)]
    return torch.stack(lengths), total


def agrees(module, build_loss, *batch, rtol=1e-6):
    """Lengths and sums equal those of rows one by one in double precision.

    To `rtol` of each length, and of the length that rows of no common direction would add up to: rows may cancel
    one another, their rounding errors do not (ordinary float32 autograd errs by as much).
    """
    exact = copy.deepcopy(module).double()
    wide = [t.double() if t.is_floating_point() else t for t in batch]
    lengths, _ = one_by_one(exact, build_loss(exact), wide, clip=1.0)
    clip = float(lengths.median())
    lengths, total = one_by_one(exact, build_loss(exact), wide, clip=clip)
    found = clipping.clipper(module).accumulate(build_loss(module), *batch, clip=clip)
    torch.testing.assert_close(found.double(), lengths, rtol=rtol, atol=0)
    trained = [p for p in module.parameters() if p.requires_grad]
    scale = float(lengths.clamp(max=clip).norm())
    apart = (
        sum(float((p.grad.double() - t).square().sum()) for p, t in zip(trained, total, strict=True)) ** 0.5
    )

    assert apart <= rtol * scale


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


class Shared(nn.Module):
    """An LSTM that is called twice, or one of whose matrices has another use or is not trained."""

    def __init__(self, how):
        super().__init__()
        self.lstm, self.how = nn.LSTM(6, 6, batch_first=True), how
        if how == "frozen":
            self.lstm.weight_ih_l0.requires_grad_(requires_grad=False)

    def forward(self, x):
        out = self.lstm(x)[0]
        if self.how == "called":
            out = self.lstm(out)[0]
        if self.how == "state":
            out = out + F.linear(out[..., :6], self.lstm.weight_hh_l0[:6])
        if self.how == "input":
            out = torch.cat([out, F.linear(x, self.lstm.weight_ih_l0)], 2)
        return out.sum(1)


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
    "back": (lambda: nn.Sequential(nn.ConvTranspose1d(3, 4, 3, stride=2), nn.Flatten(), nn.Linear(52, 3)), (3, 6)),
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

    agrees(module, classes, x, y, rtol=1e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("how", ["called", "state", "input", "frozen", "plain"])
@pytest.mark.parametrize("steps", [2, 30])
def test_matrices_of_an_lstm_agree_together_and_apart(how, steps):
    """They are settled as one, unless one of them has a life of its own."""
    torch.manual_seed(4)
    module = Shared(how).double()

    agrees(module, classes, torch.randn(9, steps, 6).double(), torch.arange(9) % 3, rtol=1e-11)


WIDE = {
    "mlp": (lambda: nn.Sequential(nn.Linear(130, 70), nn.Tanh(), nn.Linear(70, 3)), (130,)),
    "places": (
        lambda: nn.Sequential(
            nn.Linear(70, 90), nn.Tanh(), nn.Linear(90, 66), nn.Flatten(), nn.Linear(198, 3)
        ),
        (3, 70),
    ),
    "lstm": (lambda: nn.Sequential(nn.LSTM(20, 64, batch_first=True), Last(), nn.Linear(64, 3)), (5, 20)),
}


class Last(nn.Module):
    def forward(self, given):
        return given[0][:, -1]


@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize("rows", [31, 101])
def test_layers_wide_enough_for_the_quicker_library_agree(kind, rows):
    """Single precision, where both libraries do a part of one sum."""
    torch.manual_seed(5)
    build, shape = WIDE[kind]

    agrees(build(), classes, torch.randn(rows, *shape), torch.arange(rows) % 3)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("length", [4, 9, 17])
def test_a_language_model_agrees_also_where_a_table_is_used_twice(tied, raw, length):
    """Tied weights with their cross term, tables of places that belong to no row, and as many rows as places."""
    torch.manual_seed(1)
    module = Words(tied=tied, raw=raw).double()

    agrees(module, next_word, torch.randint(0, 11, (9, length)), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch's own vmap of attention
def test_vmap_agrees_too():
    """The same lengths and sums from torch.func's per-row gradients."""
    torch.manual_seed(2)
    module = Block().double()
    x = torch.randn(6, 5, 8, dtype=torch.float64)
    weights = {name: p.detach() for name, p in module.named_parameters()}

    def of_row(weights, row):
        return torch.func.functional_call(module, weights, (row[None],)).square().sum()

    rows = torch.func.vmap(torch.func.grad(of_row), in_dims=(None, 0))(weights, x)
    lengths = torch.cat([g.flatten(1) for g in rows.values()], 1).norm(dim=1)
    clip = float(lengths.median())
    factors = (clip / lengths).clamp(max=1)
    found = clipping.clipper(module).accumulate(lambda x: module(x).square().sum((1, 2)), x, clip=clip)

    torch.testing.assert_close(found, lengths, rtol=1e-12, atol=0)
    for name, p in module.named_parameters():
        torch.testing.assert_close(
            p.grad, torch.einsum("b,b...->...", factors, rows[name]), rtol=1e-10, atol=1e-12
        )


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 7),
    steps=st.integers(1, 12),
    read=st.integers(1, 9),
    given_=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_any_shape_agrees(rows, steps, read, given_, seed):
    """Few and many rows, places and features: whichever way a length is had, it is the same."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(read, given_), nn.Tanh(), nn.LSTM(given_, 2, batch_first=True)).double()

    agrees(
        module,
        lambda module: lambda x: module(x)[0].square().sum((1, 2)),
        torch.randn(rows, steps, read).double(),
        rtol=1e-9,
    )


@settings(max_examples=50, deadline=None)
@given(
    channels=st.integers(1, 3), out=st.integers(1, 4), groups=st.integers(1, 2), kernel=st.integers(1, 3),
    stride=st.integers(1, 2), padding=st.integers(0, 2), dilation=st.integers(1, 2), size=st.integers(5, 9),
    back=st.booleans(), wide=st.booleans(),
)  # fmt: skip
def test_any_convolution_agrees(channels, out, groups, kernel, stride, padding, dilation, size, back, wide):
    """Every geometry, there and back, in double precision and by the library that knows single precision alone."""
    kind = nn.ConvTranspose2d if back else nn.Conv2d
    layer = kind(
        channels * groups,
        out * groups,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    dtype = torch.float64 if wide else torch.float32
    module = nn.Sequential(layer, nn.Tanh()).to(dtype)
    x = torch.randn(3, channels * groups, size, size + 1, dtype=dtype)

    agrees(module, lambda module: lambda x: module(x).cos().sum((1, 2, 3)), x, rtol=1e-9 if wide else 1e-6)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 6), length=st.integers(1, 12), lines=st.integers(1, 15), width=st.integers(1, 5),
    padded=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_words_agree_however_often_they_come_again(rows, length, lines, width, padded, seed):
    """No word, some, or all of them twice or more in a row of the batch, each place with a gradient of its own."""
    torch.manual_seed(seed)
    table = nn.Embedding(lines, width, padding_idx=lines - 1 if padded else None).double()
    counts = torch.randn(length, width, dtype=torch.float64)
    ids = torch.randint(0, lines, (rows, length))

    # The last term gives each row some length, where all of its words are padding too.
    def build(module):
        return lambda ids: (module[0](ids).sin() * counts).sum((1, 2)) + module[1](ids[:, :1].double()).sum(1)

    agrees(nn.ModuleList([table, nn.Linear(1, 1).double()]), build, ids, rtol=1e-12)


def test_places_that_cancel_have_no_length():
    """The same word with opposite gradients: nothing is left of rounding."""
    table = nn.Embedding(3, 4)
    clipper = clipping.clipper(table)
    signs = torch.tensor([1.0, -1.0])[None, :, None] / 3

    found = clipper.accumulate(
        lambda ids: (table(ids) * signs).sum((1, 2)), torch.tensor([[1, 1], [0, 2]]), clip=1.0
    )

    assert float(found[0]) == 0
    assert float(found[1]) == pytest.approx((8 / 9) ** 0.5, rel=1e-6)


class Odd(nn.Module):
    """Raw parameters in many ways."""

    def __init__(self):
        super().__init__()
        self.token, self.gain = nn.Parameter(torch.randn(1, 1, 4)), nn.Parameter(torch.rand(4) + 0.5)
        self.heat = nn.Parameter(torch.tensor(0.3))
        self.mix, self.twice = nn.Parameter(torch.randn(4, 6)), nn.Linear(6, 6)
        self.frozen = nn.Linear(6, 6).requires_grad_(requires_grad=False)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = self.gain.abs() * x
        x += self.gain
        x = x * self.heat.exp() - self.heat
        x = torch.einsum("btd,dp->btp", x, self.mix) + x @ self.mix
        return self.frozen(self.twice(self.twice(x).relu())).sum(2) + F.linear(x, self.twice.weight.T).mean(2)


def test_parameters_used_by_hand_agree_and_the_slow_ones_are_said(caplog):
    """Tokens, gains, a single number, matrices, a layer used twice and turned round; einsum alone has no rule."""
    torch.manual_seed(3)
    module = Odd().double()
    with caplog.at_level(logging.WARNING):
        agrees(
            module,
            lambda module: lambda x: module(x).square().sum(1),
            torch.randn(5, 5, 4).double(),
            rtol=1e-10,
        )

    assert "mix: einsum has no rule" in caplog.text
    assert "twice" not in caplog.text


def test_a_slow_use_is_said_once_and_not_at_every_step(caplog):
    """A training takes thousands of steps, and its log stays readable."""
    module = nn.Sequential(nn.Linear(3, 3), nn.PReLU())
    engine = clipping.clipper(module)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            engine.accumulate(lambda x: module(x).square().sum(1), torch.randn(4, 3), clip=1.0)

    assert caplog.text.count("1.weight: prelu has no rule of its own") == 1


def test_hugging_faces_conv1d_agrees():
    """Its places of all rows lie in one matrix."""
    conv1d = pytest.importorskip("transformers.pytorch_utils").Conv1D
    module = nn.Sequential(conv1d(6, 4), nn.Tanh(), conv1d(3, 6)).double()

    agrees(
        module,
        lambda module: lambda x: module(x).square().sum((1, 2)),
        torch.randn(5, 7, 4).double(),
        rtol=1e-10,
    )


def test_several_calls_add_up_and_a_batch_without_rows_adds_nothing():
    """Physical batches make one logical batch; no rows: the gradients are there and zero."""
    module = NETS["mlp"][0]().double()
    engine, x, y = clipping.clipper(module), torch.randn(9, 10).double(), torch.arange(9) % 3
    empty = engine.accumulate(classes(module), x[:0], y[:0], clip=0.3)
    assert not any(p.grad.any() for p in module.parameters())
    whole = engine.accumulate(classes(module), x, y, clip=0.3, scale=0.5)
    at_once = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    parts = [
        engine.accumulate(classes(module), x[i : i + 4], y[i : i + 4], clip=0.3, scale=0.5) for i in (0, 4, 8)
    ]

    assert empty.shape == (0,)
    torch.testing.assert_close(torch.cat(parts), whole)
    torch.testing.assert_close([p.grad for p in module.parameters()], at_once)


def test_only_adapters_are_trained_and_the_rest_stays_without_gradient():
    """Low-rank adapters beside frozen layers."""
    torch.manual_seed(4)
    module = Words().double().requires_grad_(requires_grad=False)
    for block in module.blocks:
        block.q = nn.Sequential(nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)).double()
    agrees(module, next_word, torch.randint(0, 11, (5, 6)), rtol=1e-10)

    assert module.read.weight.grad is None


def test_half_precision_stays_near():
    """bf16 autocast: lengths within two percent of the exact ones, gradients in the parameters' own type."""
    torch.manual_seed(5)
    module, x = Words(tied=False), torch.randint(0, 11, (6, 7))
    exact, _ = one_by_one(module, next_word(module), (x,), clip=1.0)

    def half(ids):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = module(ids)
        return F.cross_entropy(out.float()[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none").mean(1)

    found = clipping.clipper(module).accumulate(half, x, clip=1.0)

    torch.testing.assert_close(found.double(), exact, rtol=0.02, atol=0)
    assert all(p.grad.dtype == torch.float32 for p in module.parameters())


class Places(nn.Module):
    """Layers that give views of what they computed, which are then changed in place."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = F.relu(self.one(x), inplace=True)
        x = self.two(x).mul_(0.5).add_(1)
        return self.three(x)


class Twice(nn.Module):
    """A layer called twice, and a table of words that is also called as a matrix."""

    def __init__(self):
        super().__init__()
        self.words, self.again = nn.Embedding(7, 4), nn.Linear(4, 4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.words.weight

    def forward(self, ids):
        return self.out(self.again(self.again(self.words(ids)).tanh()))


class ByHand(nn.Module):
    """A layer of which the weight is read elsewhere, too."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x).tanh() @ self.layer.weight + self.layer.bias.square().sum()


@pytest.mark.parametrize(
    ("module", "batch"),
    [
        (Places(), torch.randn(9, 5, 4)),
        (Places(), torch.randn(9, 4)),
        (Places(), torch.randn(9, 1, 4)),
        (Twice(), torch.randint(0, 7, (9, 5))),
        (ByHand(), torch.randn(9, 4)),
    ],
)
def test_layers_agree_however_they_are_called(module, batch):
    """Results changed in place, layers called twice, tied, or with a weight that is used by hand, too."""
    torch.manual_seed(7)
    batch = batch.double() if batch.is_floating_point() else batch

    agrees(module.double(), lambda module: lambda x: module(x).square().flatten(1).sum(1), batch, rtol=1e-10)


def test_plain_layers_are_watched_without_looking_at_every_function():
    """Where layers make all use of the parameters; not where one is used by hand; and no layer is left changed."""
    engines = {}
    for module in (Twice(), ByHand(), nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))):
        x = torch.randint(0, 7, (40, 5)) if isinstance(module, Twice) else torch.randn(40, 4)
        engines[type(module)] = clipping.clipper(module)
        engines[type(module)].accumulate(lambda x, m=module: m(x).square().flatten(1).sum(1), x, clip=1.0)
        assert not any("forward" in layer.__dict__ for layer in module.modules())

    assert {kind: len(engine.layers) for kind, engine in engines.items()} == {
        Twice: 3,
        ByHand: 0,
        nn.Sequential: 2,
    }


class Turning(nn.Sequential):
    """From some step on a weight is also used by hand, or a layer more often."""

    how = ""

    def forward(self, x):
        out = super().forward(x)
        if self.how == "by hand":
            return out + x @ self[0].weight.T
        return super().forward(out) if self.how == "again" else out


@pytest.mark.parametrize("how", ["by hand", "again"])
def test_a_path_that_changes_between_steps_is_seen(how):
    """After a first step of plain layers alone the network does more with them: the next step agrees all the same."""
    torch.manual_seed(8)
    module, x = Turning(nn.Linear(4, 4), nn.Tanh()).double(), torch.randn(40, 4).double()
    engine = clipping.clipper(module)

    def loss(x):
        return module(x).square().sum(1)

    engine.accumulate(loss, x, clip=0.5)
    module.how = how
    module.zero_grad()
    found = engine.accumulate(loss, x, clip=0.5)
    lengths, total = one_by_one(module, loss, (x,), clip=0.5)

    torch.testing.assert_close(found, lengths, rtol=1e-10, atol=0)
    torch.testing.assert_close([p.grad for p in module.parameters()], total, rtol=1e-10, atol=1e-12)


class Overwritten(nn.Module):
    """What a layer read is changed before its gradient is formed: autograd refuses that, too."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        x = x * 2
        out = self.layer(x)
        x += 1
        return out + x


class Checkpointed(nn.Module):
    def __init__(self, *, reentrant):
        super().__init__()
        self.first, self.second, self.reentrant = nn.Linear(4, 4), nn.Linear(4, 3), reentrant

    def forward(self, x):
        return checkpoint(self.second, self.first(x), use_reentrant=self.reentrant)


class Gate(nn.Module):
    """A mixture of experts that has a name of its own, so that only what it does gives it away."""

    def __init__(self):
        super().__init__()
        self.choose, self.one, self.two = nn.Linear(4, 2), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        first = self.choose(x).argmax(1) == 0
        out = x.new_zeros((len(x), 3))
        out[first], out[~first] = self.one(x[first]), self.two(x[~first])
        return out


class TinyMoE(Gate):
    pass


class First(nn.Module):
    """Every row is moved by what the first row says."""

    def __init__(self):
        super().__init__()
        self.of_first, self.out = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(x + self.of_first(x[:1]))


class Escapes(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x)
        return x * w

    @staticmethod
    def backward(ctx, g):
        return g, (g * ctx.saved_tensors[0]).sum(0)


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.out = nn.Parameter(torch.ones(4)), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(Escapes.apply(x, self.w))


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (TinyMoE(), "TinyMoE\\) sends rows to experts"),
        (Gate(), "depend on the other rows|takes another path"),
        (nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)), "depend on the other rows"),
        (First(), "depend on the other rows"),
        (nn.Sequential(nn.GRU(4, 3)), "GRU.*use nn.LSTM"),
        (nn.MultiheadAttention(4, 2), "MultiheadAttention.*scaled_dot_product_attention"),
        (nn.LSTM(4, 3, proj_size=2), "proj_size"),
        (nn.Linear(4, 3).requires_grad_(requires_grad=False), "all are frozen"),
        (Hidden(), "gradient of w was formed where it cannot be clipped"),
        (Overwritten(), "layer.weight: what it was used with was changed in place"),
        (Checkpointed(reentrant=True), "checkpoint"),
        (Checkpointed(reentrant=False), "checkpoint"),
    ],
)
def test_what_cannot_be_clipped_is_refused_by_name(module, words):
    """Experts, mixed rows, unknown kernels, and a parameter whose gradient comes another way."""
    torch.manual_seed(6)
    x = torch.randn(12, 4)
    with pytest.raises(InputError, match=words):
        clipping.clipper(module).accumulate(lambda x: module(x).square().sum(1), x, clip=1.0)


class Remembers(nn.Module):
    """Rows do not touch one another, and the mean of what passed is kept beside the weights, or only how often."""

    def __init__(self, *, rows):
        super().__init__()
        self.layer, self.rows = nn.Linear(4, 3), rows
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("times", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.times += 1
        if self.rows:
            self.mean += x.detach().mean(0)
        return self.layer(x)


def test_a_buffer_that_keeps_something_of_the_rows_is_refused():
    """It is saved with the weights and no noise covers it; a counter tells of nobody."""
    x = torch.randn(40, 4)
    for module in (Remembers(rows=False), Remembers(rows=True)):
        with (
            pytest.raises(InputError, match="mean: keeps statistics")
            if module.rows
            else contextlib.nullcontext()
        ):
            clipping.clipper(module).accumulate(lambda x, m=module: m(x).square().sum(1), x, clip=1.0)

        assert not module.mean.any()


def test_a_loss_for_the_whole_batch_is_refused():
    """One number a row is asked for."""
    module = nn.Linear(4, 3)
    with pytest.raises(InputError, match=r"one number a row, \(\d+,\), got \(\)"):
        clipping.clipper(module).accumulate(lambda x: module(x).mean(), torch.randn(5, 4), clip=1.0)


PROCESSES = """
import os, sys, torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from rai_bigmodel.training import clipping
rank = int(sys.argv[1])
distributed.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
torch.manual_seed(0)
module, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(10, 4)
wrapped = DistributedDataParallel(module)
def grads(net, rows):
    for p in module.parameters():
        p.grad = None
    clipping.clipper(net).accumulate(lambda x: net(x).square().sum(1), rows, clip=0.5)
    return [p.grad.clone() for p in module.parameters()]
alone = grads(module, x)
for _ in range(2):
    shared = grads(wrapped, x[:7] if rank == 0 else x[7:])
    for g in shared:
        distributed.all_reduce(g)
    torch.testing.assert_close(shared, alone)
print("agree")
distributed.destroy_process_group()
"""


@pytest.mark.zoo
def test_two_processes_add_up_to_one(tmp_path):
    """Under DistributedDataParallel each process has the sum of its own rows; added, they are that of all rows."""
    script = tmp_path / "two.py"
    script.write_text(textwrap.dedent(PROCESSES))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    both = [
        subprocess.Popen(
            [sys.executable, script, str(rank), tmp_path / "meet"], stdout=subprocess.PIPE, text=True, env=env
        )
        for rank in (0, 1)
    ]

    assert [p.communicate(timeout=60)[0].strip() for p in both] == ["agree", "agree"]
