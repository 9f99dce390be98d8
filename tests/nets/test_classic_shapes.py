"""Do the classic shapes build, train, train privately, export and explain themselves?

One case each; the exports share one file, because most of an export's seconds are the same for any net.
"""

import io
import math
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace

import numpy as np
import onnxruntime
import pytest
import torch
from captum.attr import IntegratedGradients, LayerIntegratedGradients
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from rai_bigmodel import nets
from rai_bigmodel.nets import (
    CNN,
    LSTM,
    MLP,
    Autoencoder,
    Category,
    Fusion,
    Input,
    Pixels,
    Reads,
    Series,
    Tokens,
    Transformer,
)

LENGTH = 6


def table(columns: int, labels: int = 0) -> Reads:
    names = tuple(f"c{i}" for i in range(columns + labels))
    return Reads(
        features=names,
        numbers={n: Input() for n in names[:columns]},
        categories={n: Category(values=("x", "y"), width=2) for n in names[columns:]},
    )


def words() -> Reads:
    return Reads(tokens=Tokens(words=tuple(f"w{i}" for i in range(998)), length=LENGTH))


def pixels(channels: int, side: int = 28, columns: int = 0) -> Reads:
    row = table(columns)
    return Reads(
        pixels=Pixels(channels=channels, height=side, width=side),
        features=row.features,
        numbers=row.numbers,
    )


@dataclass(frozen=True)
class Shape:
    """A configuration, what it reads, its outputs, and its number of weights counted on paper."""

    config: nets.Net
    reads: Reads
    outputs: int
    weights: int
    embedding: str = ""


LSTM_64 = 4 * 64 * (64 + 64 + 2)
BLOCK = 4 * (64 * 64 + 64) + (64 * 512 + 512) + (512 * 64 + 64) + 4 * 64
THERE = 784 * 400 + 400 + 400 * 300 + 300 + 300 * 32 + 32
SHAPES = {
    "MLP 10-20-1": Shape(MLP(hidden=(20,)), table(10), 1, 10 * 20 + 20 + 20 + 1),
    "MLP 784-128-10": Shape(MLP(hidden=(128,)), pixels(1), 10, 784 * 128 + 128 + 128 * 10 + 10),
    "CNN 1×28×28": Shape(
        CNN(), pixels(1), 10, (9 * 32 + 32) + (9 * 32 * 64 + 64) + (64 * 7 * 7 * 128 + 128) + 1290
    ),
    "CNN 3×28×28": Shape(
        CNN(groups=8),
        pixels(3),
        10,
        (27 * 32 + 32 + 64) + (9 * 32 * 64 + 64 + 128) + (64 * 7 * 7 * 128 + 128) + 1290,
    ),
    "LSTM 10-8 twice, 2": Shape(
        LSTM(hidden=8, layers=2),
        Reads(series=Series(features=10, length=LENGTH)),
        2,
        4 * 8 * (10 + 8 + 2) + 4 * 8 * (8 + 8 + 2) + 8 * 2 + 2,
    ),
    "Embedding 1000×64, LSTM 64-64-10": Shape(
        LSTM(), words(), 10, 64_000 + LSTM_64 + 64 * 10 + 10, "embedding"
    ),
    "Transformer 1000×64, 8 heads, 512": Shape(
        Transformer(layers=1), words(), 2, 64_000 + BLOCK + 2 * 64 + 64 * 2 + 2, "embedding"
    ),
    "causal Transformer of 6 layers": Shape(
        Transformer(layers=6, causal=True), words(), 1, 64_000 + 6 * BLOCK + 2 * 64 + 65_000, "embedding"
    ),
    "autoencoder 784-400-300-32": Shape(
        Autoencoder(), pixels(1), 1, THERE + (32 * 300 + 300) + (300 * 400 + 400) + (400 * 784 + 784)
    ),
    "convolutional autoencoder": Shape(
        Autoencoder(hidden=(4, 8), code=3, convolutional=True),
        pixels(3, side=9),
        1,
        (27 * 4 + 4) + (36 * 8 + 8) + (32 * 3 + 3) + (3 * 32 + 32) + (72 * 4 + 4) + (36 * 3 + 3),
    ),
    "picture and table": Shape(
        Fusion(cnn=CNN(widths=(4,), hidden=5), mlp=MLP(hidden=(3,)), hidden=6),
        pixels(1, side=8, columns=2),
        3,
        (9 * 4 + 4) + (4 * 16 * 5 + 5) + (2 * 3 + 3) + (8 * 6 + 6) + (6 * 3 + 3),
    ),
    "MLP with labels and indicators": Shape(
        MLP(hidden=(4,), missing=True, head="gaussian"),
        table(3, labels=2),
        1,
        2 * 3 * 2 + (10 * 4 + 4) + (4 * 2 + 2),
        "scaling.embeddings.0",
    ),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def built(shape: Shape, seed: int = 3) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return shape.config.build(shape.reads, outputs=shape.outputs, generator=generator)


def drawn(reads: Reads, rows: int, *, seed: int = 0, length: int = LENGTH) -> tuple[Tensor, ...]:
    """Random raw rows of what is read; the last row of words or steps is padded behind."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for kind, x in zip(nets.takes(reads), nets.example(reads, rows), strict=True):
        if kind == "tokens":
            ids = torch.randint(1, reads.tokens.ids, (rows, length), generator=generator)
            ids[-1, length // 2 :] = nets.PADDING
            out.append(ids)
            continue
        values = torch.randn((*x.shape,), generator=generator)
        if kind == "series":
            values = values[:, :length].clone()
            values[-1, length // 2 :] = math.nan
        for i, name in enumerate(reads.features if kind == "table" else ()):
            if name in reads.categories:
                values[:, i] = torch.randint(0, 3, (rows,), generator=generator)
        out.append(values)
    return tuple(out)


def losses(net: nn.Module, call: nn.Module, x: tuple[Tensor, ...]) -> Tensor:
    """A loss a row ``(B,)``: the error of an autoencoder, next words, or a class that the batch fixes."""
    if isinstance(net, nets.Reconstructing):
        return F.mse_loss(call(*x), x[0], reduction="none").flatten(1).mean(1)
    out = call(*x)
    if out.ndim == 3:
        each = F.cross_entropy(out[:, :-1].flatten(0, 1), x[0][:, 1:].flatten(), reduction="none")
        return each.view(len(out), -1).mean(1)
    if net.config.__class__ is MLP and net.config.head == "gaussian":
        return -nets.log_likelihood(out, torch.ones(len(out)))
    target = torch.arange(len(out)) % out.shape[1]
    if out.shape[1] == 1:
        return F.mse_loss(out[:, 0], torch.ones(len(out)), reduction="none")
    return F.cross_entropy(out, target, reduction="none")


@every_shape
def test_a_classic_shape_has_the_weights_counted_on_paper(shape: Shape) -> None:
    """Layer by layer, from the widths alone."""
    assert sum(p.numel() for p in built(shape).parameters()) == shape.weights


@every_shape
def test_a_classic_shape_trains(shape: Shape) -> None:
    """Three steps of Adam on one batch lower its loss."""
    net, x = built(shape).train(), drawn(shape.reads, 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    seen = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = losses(net, net, x).mean()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())

    assert all(math.isfinite(value) for value in seen)
    assert seen[-1] < seen[0]


@every_shape
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_a_classic_shape_trains_privately(shape: Shape) -> None:
    """Opacus' gradient of each row is that of the row alone, and a clipped step moves the net's own weights."""
    net, x = built(shape).train(), drawn(shape.reads, 3)
    hooked = GradSampleModule(nets.private_twin(net), batch_first=True, loss_reduction="mean")
    optimizer = DPOptimizer(
        torch.optim.SGD(net.parameters(), lr=0.1),
        noise_multiplier=0.0,
        max_grad_norm=0.5,
        expected_batch_size=3,
    )
    losses(net, hooked, x).mean().backward()
    parameters = list(net.parameters())
    alone = [
        torch.autograd.grad(losses_of_row(net, x, i), parameters) for i in range(3)
    ]  # the naive twin: one backward pass a row
    for j, parameter in enumerate(parameters):
        for i in range(3):
            assert torch.allclose(parameter.grad_sample[i], alone[i][j], rtol=1e-3, atol=1e-5)
    before = [p.detach().clone() for p in parameters]
    optimizer.step()
    norms = [math.sqrt(sum(float((g**2).sum()) for g in gradients)) for gradients in alone]
    for j, parameter in enumerate(parameters):
        clipped = sum(min(1.0, 0.5 / n) * g[j] for n, g in zip(norms, alone, strict=True)) / 3
        assert torch.allclose(before[j] - parameter, 0.1 * clipped, atol=1e-5)


def losses_of_row(net: nn.Module, x: tuple[Tensor, ...], row: int) -> Tensor:
    """The loss of one row, the batch holding it alone (its class as in the whole batch)."""
    alone = tuple(part[row : row + 1] for part in x)
    if isinstance(net, nets.Reconstructing):
        return losses(net, net, alone)[0]
    out = net(*alone)
    if out.ndim == 3 or out.shape[1] == 1 or getattr(net.config, "head", "") == "gaussian":
        return losses(net, net, alone)[0]
    return F.cross_entropy(out, torch.tensor([row % out.shape[1]]))


class Together(nn.Module):
    """Every classic shape in one module, so that exporting them all costs little more than one."""

    def __init__(self, parts: list[tuple[nn.Module, int]]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(net for net, _ in parts)
        self.counts = [count for _, count in parts]

    def forward(self, *x: Tensor) -> tuple[Tensor, ...]:
        rest = list(x)
        return tuple(
            net(*(rest.pop(0) for _ in range(count)))
            for net, count in zip(self.parts, self.counts, strict=True)
        )


SIX = "causal Transformer of 6 layers"
# Every block costs the exporter two seconds, and all six are alike: the suite writes one of them, the zoo six.
EXPORTED = {**SHAPES, SIX: replace(SHAPES[SIX], config=Transformer(layers=1, causal=True))}


def exported(shapes: list[Shape]) -> onnxruntime.InferenceSession:
    """One file of these shapes."""
    whole = Together([(built(s), len(nets.takes(s.reads))) for s in shapes]).eval()
    x = tuple(part for s in shapes for part in drawn(s.reads, 3))
    free = tuple(dict.fromkeys(part, torch.export.Dim.AUTO) for s in shapes for part in nets.free(s.reads))
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's own; what it wrote is compared below
        program = torch.onnx.export(
            whole,
            x,
            dynamo=True,
            verbose=False,
            opset_version=18,
            dynamic_shapes=(free,),
            input_names=[f"x{i}" for i in range(len(x))],
        )
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString())


@pytest.mark.parametrize(
    "shapes",
    [list(EXPORTED.values()), pytest.param([SHAPES[SIX]], marks=pytest.mark.zoo)],
    ids=["all", "six"],
)
def test_the_exported_shapes_give_the_same_logits(shapes: list[Shape]) -> None:
    """At a batch of 1 and of 5, and at another length than the example's, to 1e-5."""
    session = exported(shapes)
    for rows, length in ((1, 4), (5, 9)):
        x = [drawn(s.reads, rows, seed=rows, length=length) for s in shapes]
        flat = [part.numpy() for parts in x for part in parts]
        found = session.run(None, {f"x{i}": part for i, part in enumerate(flat)})
        for shape, parts, got in zip(shapes, x, found, strict=True):
            wanted = built(shape).eval()(*parts).detach().numpy()

            assert got.shape == wanted.shape, shape.config
            assert np.abs(got - wanted).max() <= 1e-5, shape.config


@every_shape
def test_a_classic_shape_is_explained(shape: Shape) -> None:
    """Integrated gradients of the first output: one finite number for every number read (or embedded)."""
    net, x = built(shape).eval(), drawn(shape.reads, 2)

    def first(*parts: Tensor) -> Tensor:
        return net(*parts).flatten(1)[:, 0]

    if shape.embedding:
        layer = net.get_submodule(shape.embedding)
        baseline = tuple(torch.zeros_like(part) for part in x)
        ways = LayerIntegratedGradients(first, layer).attribute(x, baselines=baseline, n_steps=4)
        # One word a position, one label a row.
        ways, wanted = (ways,), ((*x[0].shape[: 2 if shape.reads.tokens else 1], layer.embedding_dim),)
    else:
        x = tuple(torch.nan_to_num(part) for part in x)
        ways = IntegratedGradients(first).attribute(x, n_steps=4)
        wanted = tuple(part.shape for part in x)

    assert [tuple(w.shape) for w in ways] == [tuple(w) for w in wanted]
    assert all(torch.isfinite(w).all() for w in ways)
    assert any(w.abs().max() > 0 for w in ways)
