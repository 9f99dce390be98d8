"""Can whoever sees every update tell which rows were there? Canaries in a private engine, among made-up rows.

Each canary has a weight of its own that no other row moves, so that its clipped gradient stands alone beside the noise
(on the net's own weights it drowns in those of the others). A coin decides
whether it is among the rows. The net, the settings, the engine and the number of steps are those of the training; its
rows are not, so no privacy is spent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from rai_bigmodel.nets import example
from rai_bigmodel.threads import torch_threads
from rai_bigmodel.training import private
from rai_bigmodel.training.probe import made_up
from rai_bigmodel.training.recipe import learning_rate
from rai_bigmodel.training.steps import optimizer_of

if TYPE_CHECKING:
    from rai_bigmodel.training.card import Card

    Array = np.ndarray

HUGE = 1e6
"""The length of a canary's gradient before it is clipped."""


class _Probed(nn.Module):
    """A net, and beside it one weight for each canary."""

    def __init__(self, net: nn.Module, canaries: int) -> None:
        super().__init__()
        self.net = net
        self.probe = nn.Linear(canaries, 1, bias=False)
        nn.init.zeros_(self.probe.weight)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The net's answer to the rows, and the probe's to which canary each row is."""
        *read, which_BM = inputs
        return self.net(*read), self.probe(which_BM)[:, 0]


def scores(card: Card, canaries: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Each canary's score and coin, both ``(canaries,)``: by how much all updates together moved its weight.

    Args:
        card: of a private training.
        canaries: how many; about half of them are among the rows, and as many ordinary rows as canaries.
        rng: throws the coins and makes up the rows; noise and sampling come from the operating system.

    Raises:
        InputError: the net cannot be trained privately.
        MissingExtra: Opacus is not installed.
    """
    recipe, ledger = card.recipe, card.ledger
    assert recipe.privacy is not None
    assert ledger is not None
    privacy = msgspec.structs.replace(recipe.privacy, noise_seed=None)
    seeds = rng.integers(0, 2**62, size=2)
    chance = torch.Generator().manual_seed(int(seeds[0]))
    net = recipe.net.config.build(card.reads, outputs=card.aim.outputs(card.reads), generator=chance)
    module = _Probed(net, canaries).train()
    member = rng.random(canaries) < 0.5
    canary_N = torch.cat([torch.from_numpy(np.flatnonzero(member)), torch.full((canaries,), -1)])
    kinds = tuple(made_up(x, len(canary_N), chance) for x in example(card.reads))
    optimizer = optimizer_of(module.parameters(), recipe.train, learning_rate(recipe))
    moved = torch.zeros(canaries, dtype=torch.float64)
    with (
        torch_threads(recipe.train.threads),
        private.engine(
            module,
            optimizer,
            privacy=privacy,
            noise_multiplier=ledger.noise_multiplier,
            loss=_loss,
            clipping=recipe.train.clipping,
            precision=recipe.train.precision,
        ) as engine,
    ):
        for _ in range(ledger.steps):
            drawn = engine.draw(len(canary_N))
            engine.step((*(x[drawn] for x in kinds), _one_hot(canary_N[drawn], canaries)), None)
            grad = module.probe.weight.grad
            assert grad is not None
            moved += grad[0].double()
    return moved.numpy(), member


def _loss(out: Any, inputs: tuple[Tensor, ...], y: Tensor | None) -> Tensor:
    """A canary moves its own weight alone, an ordinary row the net alone."""
    del y
    answer, probed_B = out
    is_canary_B = inputs[-1].sum(1)
    return HUGE * probed_B + (1 - is_canary_B) * answer.flatten(1).square().mean(1)


def _one_hot(canary_B: Tensor, canaries: int) -> Tensor:
    """Which canary each row is ``(B, canaries)``; no one where it is −1."""
    out = torch.zeros(len(canary_B), canaries)
    rows = torch.nonzero(canary_B >= 0)[:, 0]
    out[rows, canary_B[rows]] = 1
    return out
