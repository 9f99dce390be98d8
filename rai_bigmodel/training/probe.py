"""Does the engine that trained do what the ledger says? Looked at with made-up rows, so that no privacy is spent.

Steps without a row show the noise alone. Made-up rows with enormous gradients show the clipping, without noise.
Draws from rows that do not exist show the sampling. Steps are counted. The engine is the one that has just
trained, its weights are left as they are, and what is found is judged by the `privacy` audit.

Where several processes trained, all of them are looked at at once: each has a share of the made-up rows, and what is
seen is what their steps move the weights by, and which rows they draw together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from rai_bigmodel.stats import conformance, sampling
from rai_bigmodel.stats.conformance import Conformance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from rai_bigmodel.accounting import Privacy
    from rai_bigmodel.training.private import Engine

    Array = np.ndarray

STEPS = 3
"""Steps whose noise is looked at."""
PART = 200_000
"""At most so many numbers of one parameter's noise."""
ROWS, DRAWS = 500, 200
"""Rows that do not exist, and how often they are drawn from: a rate off by 5 % is seen where it is 0.1."""
PLANTED, HUGE = 4, 1e6
"""Rows made up, at least two for each process, and by what their losses are multiplied."""


def conformance_of(
    engine: Engine,
    *,
    privacy: Privacy,
    noise_multiplier: float,
    like: tuple[tuple[Tensor, ...], Tensor | None],
    steps: int,
) -> Conformance:
    """What the engine does, beside what was asked of it.

    Args:
        noise_multiplier: as claimed.
        like: inputs and outcomes of a few rows; only their shapes and types are used, and of whole numbers the largest.
        steps: taken in the whole training, also before it was resumed.
    """
    some = _planted(like, max(PLANTED, 2 * engine.world.size))
    none = tuple(x[:0] for x in some[0]), None if some[1] is None else some[1][:0]
    noise = repeats = None
    deviation = noise_multiplier * privacy.clip / privacy.expected_batch_size
    if noise_multiplier:
        seen = [_gradients(engine, none, noisy=True) for _ in range(STEPS)]
        noise = conformance.noise_size(
            {name: np.concatenate([step[name] for step in seen]) for name in seen[0]}, deviation
        )
        flat = np.stack([np.concatenate(list(step.values())) for step in seen])
        # A step without any noise has no direction; the size of the noise tells it.
        if flat.shape[1] > 1 and np.abs(flat).max(1).min() > 0:
            repeats = conformance.repeated_noise(flat)
    drawn = _drawn(engine, privacy.sample_rate)
    return Conformance(
        noise_numbers=0 if noise is None else noise.numbers,
        noise_size=None if noise is None else noise.size,
        noise_p=None if noise is None else noise.p,
        noise_part="" if noise is None else noise.part,
        repeat_p=None if repeats is None else repeats.p,
        longest=max(_lengths(engine, some)) * privacy.expected_batch_size,
        steps=steps,
        rate=drawn.rate,
        rate_p=drawn.p,
        noise_deviation=None if noise is None else noise.size * deviation,
        draws=DRAWS * ROWS,
    )


def _gradients(
    engine: Engine, rows: tuple[tuple[Tensor, ...], Tensor | None], *, noisy: bool
) -> dict[str, Array]:
    """Parameter → what a step on these rows would move it by, each process taking its share of them."""
    inputs, y = rows
    mine = engine.world.share(torch.arange(len(inputs[0])))
    engine.gradient(tuple(x[mine] for x in inputs), None if y is None else y[mine], noisy=noisy)
    return {
        name: p.grad.detach().flatten()[:PART].double().cpu().numpy()
        for name, p in engine.plain.named_parameters()
        if p.grad is not None
    }


def _planted(
    like: tuple[tuple[Tensor, ...], Tensor | None], count: int
) -> tuple[tuple[Tensor, ...], Tensor | None]:
    chance = torch.Generator().manual_seed(0)
    inputs, y = like
    rows = None if y is None else torch.zeros_like(y[:1]).repeat(count, *[1] * (y.dim() - 1))
    return tuple(made_up(x, count, chance) for x in inputs), rows


def made_up(like: Tensor, rows: int, chance: torch.Generator) -> Tensor:
    """So many rows of normal numbers, or of words and labels that the network has places for."""
    shape = (rows, *like.shape[1:])
    if like.is_floating_point():
        return torch.randn(shape, generator=chance).to(like)
    return torch.randint(0, int(like.max()) + 1, shape, generator=chance).to(like)


def _lengths(engine: Engine, rows: tuple[tuple[Tensor, ...], Tensor | None]) -> Iterator[float]:
    """By how much each planted row moves the gradient, alone and beside the others; over the batch size."""
    inputs, y = rows
    loud = replace(engine, loss=lambda out, x, y: HUGE * engine.loss(out, x, y))

    def taken(which: list[int]) -> Array:
        part = tuple(x[which] for x in inputs), None if y is None else y[which]
        return np.concatenate(list(_gradients(loud, part, noisy=False).values()))

    everyone = list(range(len(inputs[0])))
    whole = taken(everyone)
    for left_out in everyone:
        yield float(np.linalg.norm(taken([left_out])))
        yield float(np.linalg.norm(whole - taken([i for i in everyone if i != left_out])))


def _drawn(engine: Engine, rate: float) -> sampling.Sampling:
    """How rows that do not exist are drawn, by all processes together."""
    found_DN = torch.zeros((DRAWS, ROWS), dtype=torch.int64)
    for draw_N in found_DN:
        draw_N[engine.draw(ROWS)] += 1
    together_DN = found_DN.to(next(engine.plain.parameters()).device)
    engine.world.add([together_DN])
    drawn_DN = together_DN.cpu().numpy()
    once_DN = np.minimum(drawn_DN, 1)
    found = sampling.sampler(once_DN.sum(1), once_DN.sum(0), rate)
    if (drawn_DN == once_DN).all():
        return found
    # A row that two processes take in one step moves it by twice the clipping norm.
    return replace(found, rate=float(drawn_DN.mean()), rate_p=0.0)
