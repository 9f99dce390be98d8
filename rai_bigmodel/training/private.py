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
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.nets.private import private_twin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from rai_bigmodel.accounting import Privacy

Loss = Callable[["Tensor", "tuple[Tensor, ...]", "Tensor | None"], "Tensor"]
"""(what the module gave, its inputs, the outcomes) → the mean loss of these rows."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A module whose steps are private.

    Args:
        plain: the module itself, without hooks.
        module: the module in Opacus' hooks, which fill ``parameter.grad_sample``.
        optimizer: Opacus' wrapper that clips, adds noise and divides.
        sampling: draws the rows of each step.
        noise: the generator of the noise: with `sampling` the secret of the training.
        rate: the declared chance of each row to be drawn.
        loss: the mean loss of what the module gives for some rows.
    """

    plain: Any
    module: Any
    optimizer: Any
    sampling: torch.Generator
    noise: torch.Generator
    rate: float
    loss: Loss

    def draw(self, rows: int) -> Tensor:
        """The rows of one step, each in with probability `rate`, independently; it may be none."""
        # In float64: float32 would round a small rate to a multiple of 2^-24.
        chances = torch.rand(rows, generator=self.sampling, dtype=torch.float64)
        return torch.nonzero(chances < self.rate)[:, 0]

    def step(self, x: Tensor | tuple[Tensor, ...], y: Tensor | None, *, most: int | None = None) -> None:
        """Move the weights by the clipped and noisy gradient of these rows; without a row, by noise alone.

        Args:
            x: what the module reads, one tensor or several.
            most: so many rows pass through the module at once; what the step does stays the same.
        """
        inputs = (x,) if isinstance(x, torch.Tensor) else x
        rows = len(inputs[0])
        for parameter in self.optimizer.params:
            parameter.summed_grad = None  # of a step that ran out of memory half-way
        self.optimizer.zero_grad()
        starts = range(0, rows, most or max(1, rows))
        for start in starts:
            part = slice(start, start + (most or rows))
            some = tuple(tensor[part] for tensor in inputs)
            self.loss(self.module(*some), some, None if y is None else y[part]).backward()
            if start != starts[-1]:
                # Clips and adds up the gradients of these rows; the noise is added once, at the end.
                self.optimizer.signal_skip_step(do_skip=True)
                self.optimizer.step()
                self.optimizer.zero_grad()
        if not rows:
            for parameter in self.optimizer.params:
                parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
        self.optimizer.step()


def yes_or_no(out_BK: Tensor, inputs: tuple[Tensor, ...], y_BK: Tensor | None) -> Tensor:  # noqa: ARG001 - a Loss
    """The mean loss of a yes or no."""
    assert y_BK is not None
    return F.binary_cross_entropy_with_logits(out_BK, y_BK)


@contextlib.contextmanager
def engine(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    privacy: Privacy,
    noise_multiplier: float,
    loss: Loss = yes_or_no,
) -> Iterator[Engine]:
    """Make the steps of `module` private inside the block; afterwards the module is an ordinary one again.

    Noise and sampling come from generators that the operating system seeds and nobody records, unless
    ``privacy.noise_seed`` is set.

    Args:
        loss: the mean loss of (what the module gave, its inputs, the outcomes).

    Raises:
        InputError: the module has layers that cannot be trained privately; all are named.
        MissingExtra: Opacus is not installed.
    """
    # Where Opacus has no per-row gradients for a layer, one that it knows takes its place, on the same weights.
    twin = private_twin(module)
    refuse_obstacles(twin)
    from opacus.grad_sample import GradSampleModule
    from opacus.optimizers import DPOptimizer

    noise, sampling = torch.Generator(), torch.Generator()
    seed = privacy.noise_seed
    noise.manual_seed(secrets.randbits(63) if seed is None else 2 * seed)
    sampling.manual_seed(secrets.randbits(63) if seed is None else 2 * seed + 1)
    hooked = GradSampleModule(twin, batch_first=True, loss_reduction="mean")
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
                plain=module,
                module=hooked,
                optimizer=private,
                sampling=sampling,
                noise=noise,
                rate=privacy.sample_rate,
                loss=loss,
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
