"""What does one private step cost beside the same step without privacy: in time, and in memory?

    python benchmarks/private_step.py              # the table
    python benchmarks/private_step.py mlp text     # of some nets: mlp cnn lstm transformer text

*Noise* is the plain step with our noise on its gradients and nothing clipped: what is left to clipping is above it.
A step is forward, backward, clipping, noise and SGD. All ways of a net take turns in one process, so that a busy
machine troubles them alike; what is compared are medians of processor time, one thread. Memory is the rise of the
process' largest resident size over the built net after ten steps, the median of five fresh processes. *Tuned* are
Opacus' hooks as a careful user would run them: the C library keeps freed memory (MALLOC_MMAP_THRESHOLD_,
MALLOC_TRIM_THRESHOLD_), and the batch is cut into physical batches of 64 rows where that is faster.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.training import clipping, noise

if TYPE_CHECKING:
    from collections.abc import Callable

CLIP, SIGMA, LR = 1.0, 1.0, 0.01
NETS = ("mlp", "cnn", "lstm", "transformer", "text")
KEEPING = {"MALLOC_MMAP_THRESHOLD_": "4294967295", "MALLOC_TRIM_THRESHOLD_": "4294967295"}


class LSTM(nn.Module):
    """One layer of 128 over 32 steps of 64 numbers."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.lstm, self.head = kind(64, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores."""
        return self.head(self.lstm(x)[0][:, -1])


class Block(nn.Module):
    """Attention and a feed-forward part, normalised before each."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.before, self.between = nn.LayerNorm(d), nn.LayerNorm(d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores."""
        y = self.before(x)
        q, k, v = (f(y).unflatten(2, (4, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        x = x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.between(x))))


class Transformer(nn.Module):
    """Two blocks of width 128 over 64 words of 1,000."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(1000, 128), nn.Embedding(64, 128)
        self.blocks, self.head = nn.Sequential(Block(128), Block(128)), nn.Linear(128, 10)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Scores."""
        # Opacus' ghost clipping cannot read expanded ids.
        places = torch.arange(ids.shape[1]).expand(ids.shape).contiguous()
        return self.head(self.blocks(self.words(ids) + self.places(places)).mean(1))


class Text(nn.Module):
    """The mean of 32 of 10,000 word vectors of 64 numbers, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(10_000, 64), nn.Linear(64, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Scores."""
        return self.head(self.words(ids).mean(1))


def net(name: str, way: str) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """The module, and a batch for it."""
    torch.manual_seed(0)
    if name == "mlp":
        module, x = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)), torch.randn(256, 784)
    elif name == "cnn":
        module = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1568, 10),
        )  # fmt: skip
        x = torch.randn(256, 1, 28, 28)
    elif name == "lstm":
        kind = nn.LSTM
        if way.startswith(("hooks", "ghost")):
            from opacus.layers import DPLSTM

            kind = DPLSTM
        module, x = LSTM(kind), torch.randn(64, 32, 64)
    elif name == "transformer":
        module, x = Transformer(), torch.randint(0, 1000, (64, 64))
    else:
        module, x = Text(), torch.randint(0, 10_000, (64, 32))
    return module, x, torch.randint(0, 2, (len(x),))


def stepper(name: str, way: str) -> Callable[[], None]:
    """A function that takes one step."""
    module, x, y = net(name, way)
    optimizer = torch.optim.SGD(module.parameters(), lr=LR)
    if way == "plain":

        def step() -> None:
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()

    elif way in {"ours", "noise"}:
        clipper, weights = clipping.clipper(module), list(module.parameters())
        # All gradients side by side, so that noise for the whole model is one call.
        flat, at = torch.zeros(sum(w.numel() for w in weights)), 0
        for weight in weights:
            weight.grad = flat[at : at + weight.numel()].view_as(weight)
            at += weight.numel()
        fill = noise.source()

        def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(module(x), y, reduction="none")

        def step() -> None:
            fill(flat, SIGMA * CLIP / len(x))
            if way == "ours":
                clipper.accumulate(loss, x, y, clip=CLIP, scale=1 / len(x))
            else:
                F.cross_entropy(module(x), y).backward()
            optimizer.step()

    elif way.startswith("hooks"):
        from opacus.grad_sample import GradSampleModule
        from opacus.optimizers import DPOptimizer

        hooked = GradSampleModule(module, batch_first=True, loss_reduction="mean")
        private = DPOptimizer(
            optimizer,
            noise_multiplier=SIGMA,
            max_grad_norm=CLIP,
            expected_batch_size=len(x),
            loss_reduction="mean",
        )
        cut = 64 if way == "hooks, cut" else len(x)

        def step() -> None:
            for i in range(0, len(x), cut):
                private.signal_skip_step(do_skip=i + cut < len(x))
                F.cross_entropy(hooked(x[i : i + cut]), y[i : i + cut]).backward()
                private.step()
                private.zero_grad()

    else:
        from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import (
            GradSampleModuleFastGradientClipping,
        )
        from opacus.optimizers.optimizer_fast_gradient_clipping import DPOptimizerFastGradientClipping
        from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

        hooked = GradSampleModuleFastGradientClipping(
            module, batch_first=True, loss_reduction="mean", max_grad_norm=CLIP, use_ghost_clipping=True
        )
        private = DPOptimizerFastGradientClipping(
            optimizer,
            noise_multiplier=SIGMA,
            max_grad_norm=CLIP,
            expected_batch_size=len(x),
            loss_reduction="mean",
        )
        criterion = DPLossFastGradientClipping(hooked, private, nn.CrossEntropyLoss(), loss_reduction="mean")

        def step() -> None:
            private.zero_grad()
            criterion(hooked(x), y).backward()
            private.step()

    return step


def times(name: str, ways: tuple[str, ...], *, seconds: float = 2.0) -> dict[str, float]:
    """Way → median processor time of a step; the ways take turns."""
    steps = {way: stepper(name, way) for way in ways}
    found: dict[str, list[float]] = {way: [] for way in ways}
    for step in steps.values():
        step(), step()
    end = time.perf_counter() + seconds * len(ways)
    while time.perf_counter() < end or len(found["plain"]) < 5:
        for way, step in steps.items():
            # The slow ones need fewer turns; a few in a row, as in a training, keep caches as they would be.
            for _ in range(1 if way.startswith(("hooks", "ghost")) else 5):
                start = time.process_time()
                step()
                found[way].append(time.process_time() - start)
    return {way: statistics.median(t) for way, t in found.items()}


def grown(name: str, way: str) -> float:
    """By how many MB this process grows over ten steps."""
    step = stepper(name, way)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(10):
        step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def elsewhere(*arguments: str, **environment: str) -> str:
    """What a fresh process prints."""
    command = [sys.executable, __file__, *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout  # noqa: S603


def memory(name: str, way: str) -> float:
    """By how many MB a fresh process grows, the median of five: where freed blocks come to lie differs."""
    return statistics.median(float(elsewhere(name, "--memory", way)) for _ in range(5))


def row(name: str) -> list[str]:
    """The cells of one net."""
    plain, *rest = map(float, elsewhere(name, "--times", "plain/noise/ours/hooks/ghost").split())
    kept, *tuned = map(float, elsewhere(name, "--times", "plain/hooks/hooks, cut", **KEEPING).split())
    noisy, ours, hooks, ghost = (f"{t / plain:.2f}" for t in rest)
    sizes = {way: memory(name, way) for way in ("plain", "ours", "hooks", "ghost")}
    risen = [f"{size:.0f} MB ({size / sizes['plain']:.2f})" for size in sizes.values()]
    return [name, f"{plain * 1e3:.2f} ms", noisy, ours, hooks, f"{min(tuned) / kept:.2f}", ghost, *risen]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "nets", nargs="*", metavar="NET", help=f"of {', '.join(NETS)}; all when none is named"
    )
    parser.add_argument("--memory", metavar="WAY", help="MB by which this process grows with one way")
    parser.add_argument("--times", metavar="WAY/WAY", help="seconds of a step by these ways, taking turns")
    asked = parser.parse_args()
    if unknown := [name for name in asked.nets if name not in NETS]:
        parser.error(f"{', '.join(unknown)}: no such net; there are {', '.join(NETS)}")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if asked.memory:
        print(grown(asked.nets[0], asked.memory))
        return
    if asked.times:
        print(*times(asked.nets[0], tuple(asked.times.split("/"))).values())
        return
    print(f"load {os.getloadavg()[0]:.1f}; torch {torch.__version__}")
    head = "net | plain | noise | ours | hooks | hooks, tuned | ghost | memory: plain | ours | hooks | ghost"
    print(f"| {head} |\n{'|---' * (head.count('|') + 1)}|", flush=True)
    for name in asked.nets or NETS:
        print(f"| {' | '.join(row(name))} |", flush=True)


if __name__ == "__main__":
    main()
