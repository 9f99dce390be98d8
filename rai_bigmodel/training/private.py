"""How is one step of training made private? Every row's gradient is clipped, and noise hides each.

Opacus gives the per-row gradients, clips and adds noise. Its ``make_private`` is not used: it derives the
sample rate and the divisor of the noise from the exact number of rows, which a single step then gives away.
Here both are declared (``Privacy``), the rows of a step are drawn by ourselves, and every step counts, an
empty one too.
"""

from __future__ import annotations

import contextlib
import secrets
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from rai_bigmodel.accounting import Privacy


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A module whose steps are private.

    Args:
        plain: the module itself, without hooks.
        module: the module in Opacus' hooks, which fill ``parameter.grad_sample``.
        optimizer: Opacus' wrapper that clips, adds noise and divides.
        sampling: draws the rows of each step.
        rate: the declared chance of each row to be drawn.
    """

    plain: Any
    module: Any
    optimizer: Any
    sampling: torch.Generator
    rate: float

    def draw(self, rows: int) -> Tensor:
        """The rows of one step, each in with probability `rate`, independently; it may be none."""
        # In float64: float32 would round a small rate to a multiple of 2^-24.
        chances = torch.rand(rows, generator=self.sampling, dtype=torch.float64)
        return torch.nonzero(chances < self.rate)[:, 0]

    def step(self, x_BF: Tensor, y_BK: Tensor) -> None:
        """Move the weights by the clipped and noisy gradient of these rows; without a row, by noise alone."""
        self.optimizer.zero_grad()
        if len(x_BF):
            F.binary_cross_entropy_with_logits(self.module(x_BF), y_BK).backward()
        else:
            for parameter in self.optimizer.params:
                parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
        self.optimizer.step()


@contextlib.contextmanager
def engine(
    module: nn.Module, optimizer: torch.optim.Optimizer, *, privacy: Privacy, noise_multiplier: float
) -> Iterator[Engine]:
    """Make the steps of `module` private inside the block; afterwards the module is an ordinary one again.

    Noise and sampling come from generators that the operating system seeds and nobody records, unless
    ``privacy.noise_seed`` is set.

    Raises:
        InputError: the module has layers that cannot be trained privately; all are named.
        MissingExtra: Opacus is not installed.
    """
    refuse_obstacles(module)
    from opacus.grad_sample import GradSampleModule
    from opacus.optimizers import DPOptimizer

    noise, sampling = torch.Generator(), torch.Generator()
    seed = privacy.noise_seed
    noise.manual_seed(secrets.randbits(63) if seed is None else 2 * seed)
    sampling.manual_seed(secrets.randbits(63) if seed is None else 2 * seed + 1)
    hooked = GradSampleModule(module, batch_first=True, loss_reduction="mean")
    private = DPOptimizer(
        optimizer,
        noise_multiplier=noise_multiplier,
        max_grad_norm=privacy.clip,
        expected_batch_size=privacy.expected_batch_size,
        loss_reduction="mean",
        generator=noise,
    )
    try:
        with warnings.catch_warnings():
            # The inputs are data and need no gradient; Opacus' hooks work all the same.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            yield Engine(
                plain=module, module=hooked, optimizer=private, sampling=sampling, rate=privacy.sample_rate
            )
    finally:
        private.zero_grad(set_to_none=True)
        hooked.to_standard_module()


def refuse_obstacles(module: nn.Module) -> None:
    """Refuse a module that cannot be trained privately, with every obstacle and the way out of each.

    Raises:
        InputError: as said.
        MissingExtra: Opacus is not installed.
    """
    try:
        from opacus.validators import ModuleValidator
    except ImportError:
        package, extra = "opacus", "privacy"
        raise MissingExtra(package, extra, "private training") from None
    # The validator looks for layers in training mode, as they will be.
    was_training = module.training
    obstacles = ModuleValidator.validate(module.train(), strict=False)
    module.train(was_training)
    if obstacles:
        listed = "; ".join(" ".join(str(o).split()) for o in obstacles)
        msg = f"this network cannot be trained privately ({len(obstacles)} obstacles): {listed}"
        raise InputError(msg)
