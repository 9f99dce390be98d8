"""How is one step of training made private? Every row's gradient is clipped, and noise hides each.

Two engines do the clipping: our own (`clipping`, the fast one), or Opacus' hooks. Opacus' ``make_private`` is not
used: it derives the sample rate and the divisor of the noise from the exact number of rows, which a single step then
gives away. Here both are declared (``Privacy``), the rows of a step are drawn by ourselves, and every step counts, an
empty one too.

Several processes draw the same rows from one key and take a share of them each; their clipped gradients are added, and
the noise of the first makes the sum private: the mechanism, and so its ε, is that of one process.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel import accounting
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.nets.private import private_twin
from rai_bigmodel.training import noise as noises
from rai_bigmodel.training.clipping import clipper, obstacles
from rai_bigmodel.training.distributed import ALONE, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from rai_bigmodel.accounting import Privacy
    from rai_bigmodel.training.clipping import Clipper
    from rai_bigmodel.training.settings import Clipping, Precision

NORMS: tuple[type[nn.Module], ...] = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
FITS = (1e-30, 1e30)
"""The deviations of noise that float32 holds with all its digits."""
Loss = Callable[["Tensor", "tuple[Tensor, ...]", "Tensor | None"], "Tensor"]
"""(what the module gave, its inputs, the outcomes) → the loss of each row ``(rows,)``, to which no other row adds."""


@dataclass(kw_only=True)
class Engine:
    """A module whose steps are private.

    Args:
        plain: the module itself, without hooks.
        optimizer: moves the weights by the private gradient.
        way: clips, adds noise and divides.
        sampling: draws the rows of each step: with the noise the secret of the training.
        rate: the declared chance of each row to be drawn.
        loss: each row's own loss.
        world: the processes that share each step.
        taken: how many steps were taken.
    """

    plain: nn.Module
    optimizer: torch.optim.Optimizer
    way: _Fast | _Hooks
    sampling: noises.Source
    rate: float
    loss: Loss
    world: World = ALONE
    taken: int = 0

    @property
    def generators(self) -> dict[str, Any]:
        """What decides how the training goes on, each with ``get_state`` and ``set_state``."""
        return {"sampling": self.sampling, "noise": self.way.noise}

    def draw(self, rows: int) -> Tensor:
        """This process's share of the rows of one step, each in with probability `rate`, independently.

        It may be none. All processes make the same draw, each of all rows.
        """
        return self.world.share(torch.nonzero(self.sampling.chances(rows) < self.rate)[:, 0])

    def step(self, x: Tensor | tuple[Tensor, ...], y: Tensor | None, *, most: int | None = None) -> None:
        """Move the weights by the clipped and noisy gradient of these rows; without a row, by noise alone.

        Args:
            x: what the module reads, one tensor or several; of several processes each gives its own rows.
            most: so many rows pass through the module at once; what the step does stays the same.
        """
        self.gradient(x, y, most=most)
        self.optimizer.step()
        self.taken += 1

    def gradient(
        self,
        x: Tensor | tuple[Tensor, ...],
        y: Tensor | None,
        *,
        most: int | None = None,
        noisy: bool = True,
    ) -> None:
        """Leave in ``parameter.grad`` what a step would move the weights by.

        Args:
            x, y, most: as in `step`.
            noisy: without noise it is as private as the rows: for made-up rows, and for tests.
        """
        inputs = (x,) if isinstance(x, torch.Tensor) else x
        rows = len(inputs[0])
        self.way.begin(noisy=noisy)
        for start in range(0, rows, most or max(1, rows)):
            part = slice(start, start + (most or rows))
            some = tuple(tensor[part] for tensor in inputs)
            self.way.add(self.loss, some, None if y is None else y[part])
        self.way.close(noisy=noisy)


@dataclass(frozen=True, kw_only=True)
class _Fast:
    """Our engine: all gradients lie side by side, noise first, and the clipped gradients are added to it.

    Args:
        flats: the memory of the gradients, by type and device of their weights.
        views: each weight's part of it.
        scale: one over the declared number of rows a step.
        deviation: of the noise, divided likewise.
        world: the processes whose clipped gradients are added.
        noising: whether this process adds the noise: of several one alone.
    """

    clipper: Clipper
    noise: noises.Source
    flats: tuple[Tensor, ...]
    views: tuple[Tensor, ...]
    clip: float
    scale: float
    deviation: float
    world: World = ALONE
    noising: bool = True
    generator = accounting.GENERATOR_CIPHER

    @classmethod
    def of(
        cls,
        module: nn.Module,
        noise: noises.Source,
        multiplier: float,
        privacy: Privacy,
        world: World,
        *,
        half: bool = False,
    ) -> _Fast:
        """The engine of a module.

        Raises:
            InputError: something in it cannot be clipped row by row.
        """
        clipped = clipper(module, half=half)
        views: dict[int, Tensor] = {}
        flats = []
        for kind in dict.fromkeys((w.dtype, w.device) for w in clipped.weights):
            weights = [w for w in clipped.weights if (w.dtype, w.device) == kind]
            flat = torch.zeros(sum(w.numel() for w in weights), dtype=kind[0], device=kind[1])
            for weight, part in zip(weights, flat.split([w.numel() for w in weights]), strict=True):
                views[id(weight)] = part.view(weight.shape)
            flats.append(flat)
        size = privacy.expected_batch_size
        return cls(
            clipper=clipped,
            noise=noise,
            flats=tuple(flats),
            views=tuple(views[id(w)] for w in clipped.weights),
            clip=privacy.clip,
            scale=1 / size,
            deviation=multiplier * privacy.clip / size,
            world=world,
            noising=world.first,
        )

    def begin(self, *, noisy: bool) -> None:
        """Noise, or nothing; also after a step that ran out of memory half-way."""
        for flat in self.flats:
            if noisy and self.deviation and self.noising:
                self.noise(flat, self.deviation)
            else:
                flat.zero_()
        for weight, view in zip(self.clipper.weights, self.views, strict=True):
            weight.grad = view

    def add(self, loss: Loss, inputs: tuple[Tensor, ...], y: Tensor | None) -> None:
        """The clipped gradients of some rows."""

        def of_each(inputs: tuple[Tensor, ...], y: Tensor | None) -> Tensor:
            return loss(self.clipper.module(*inputs), inputs, y)

        self.clipper.accumulate(of_each, inputs, y, clip=self.clip, scale=self.scale)

    def close(self, *, noisy: bool) -> None:
        """Add what the processes found; of one alone nothing is left to do."""
        del noisy
        self.world.add(self.flats)

    def end(self) -> None:
        """Leave no gradient behind."""
        for weight in self.clipper.weights:
            weight.grad = None


@dataclass(frozen=True, kw_only=True)
class _Hooks:
    """Opacus' hooks, which fill ``parameter.grad_sample``, and its wrapper that clips, adds noise and divides."""

    module: Any
    wrapper: Any
    noise: torch.Generator
    generator = accounting.GENERATOR

    @classmethod
    def of(
        cls, twin: nn.Module, optimizer: Any, noise: torch.Generator, multiplier: float, privacy: Privacy
    ) -> _Hooks:
        """The engine of a module whose layers are all known to Opacus."""
        from opacus.grad_sample import GradSampleModule
        from opacus.optimizers import DPOptimizer

        wrapper = DPOptimizer(
            optimizer,
            noise_multiplier=multiplier,
            max_grad_norm=privacy.clip,
            expected_batch_size=privacy.expected_batch_size,
            loss_reduction="mean",
            generator=noise,
        )
        hooked = GradSampleModule(twin, batch_first=True, loss_reduction="mean")
        return cls(module=hooked, wrapper=wrapper, noise=noise)

    def begin(self, *, noisy: bool) -> None:
        """Nothing is summed yet; also after a step that ran out of memory half-way."""
        del noisy
        for parameter in self.wrapper.params:
            parameter.summed_grad = None
        self.wrapper.zero_grad()

    def add(self, loss: Loss, inputs: tuple[Tensor, ...], y: Tensor | None) -> None:
        """Clip and add up the gradients of some rows; the noise is added once, at the end."""
        loss(self.module(*inputs), inputs, y).mean().backward()
        self.wrapper.signal_skip_step(do_skip=True)
        self.wrapper.pre_step()
        self.wrapper.zero_grad()

    def close(self, *, noisy: bool) -> None:
        """Add the noise and divide."""
        for parameter in self.wrapper.params:
            parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
        multiplier = self.wrapper.noise_multiplier
        try:
            self.wrapper.noise_multiplier = multiplier if noisy else 0.0
            self.wrapper.pre_step()
        finally:
            self.wrapper.noise_multiplier = multiplier

    def end(self) -> None:
        """Leave neither gradient nor hook behind."""
        self.wrapper.zero_grad(set_to_none=True)
        self.module.to_standard_module()


def yes_or_no(out_BK: Tensor, inputs: tuple[Tensor, ...], y_BK: Tensor | None) -> Tensor:  # noqa: ARG001 - a Loss
    """The loss of a yes or no, of each row."""
    assert y_BK is not None
    return F.binary_cross_entropy_with_logits(out_BK, y_BK, reduction="none")[:, 0]


@contextlib.contextmanager
def engine(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    privacy: Privacy,
    noise_multiplier: float,
    loss: Loss = yes_or_no,
    clipping: Clipping = "fast",
    precision: Precision = "float32",
    world: World = ALONE,
) -> Iterator[Engine]:
    """Make the steps of `module` private inside the block; afterwards the module is an ordinary one again.

    Rows are drawn, and with our own clipping noise is too, by ciphers whose keys come from the operating system and
    which nobody records, unless ``privacy.noise_seed`` is set; Opacus' noise comes from a generator of torch's that
    the operating system seeds.

    Args:
        loss: the loss of each row, of (what the module gave, its inputs, the outcomes).
        clipping: ``fast``, our own, or ``opacus``, its hooks.
        precision: ``bfloat16`` computes the large products in it; for `fast` alone. A row's gradient is clipped to the
            same norm, because its length is that of the numbers that are added, in float32.
        world: the processes that share each step; for `fast` alone.

    Raises:
        InputError: the module has parts that cannot be trained privately; all are named. Or the noise is negative, or
            of a size that float32 does not hold.
        MissingExtra: Opacus or cryptography is not installed.
    """
    if not 0 <= noise_multiplier < math.inf:
        msg = f"privacy: noise_multiplier must not be negative, got {noise_multiplier}"
        raise InputError(msg)
    deviation = noise_multiplier * privacy.clip / privacy.expected_batch_size
    if noise_multiplier and not FITS[0] < deviation < FITS[1]:
        msg = (
            f"privacy: noise of {deviation:.3g} (noise_multiplier times clip over expected_batch_size) does not fit "
            "into float32; a clip near 1 and about as many rows as a step draws do"
        )
        raise InputError(msg)
    seed = privacy.noise_seed
    key = world.said_by_first(secrets.token_bytes(32)) if seed is None else noises.key_of(seed, "sampling")
    sampling = noises.source(key)
    way: _Fast | _Hooks
    if clipping == "fast":
        refuse_obstacles(module)
        source = noises.source(None if seed is None else noises.key_of(seed, "noise"))
        world.alike(module.parameters())
        way = _Fast.of(module, source, noise_multiplier, privacy, world, half=precision == "bfloat16")
    else:
        # Where Opacus has no per-row gradients for a layer, one that it knows takes its place, on the same weights.
        twin = private_twin(module)
        refuse_obstacles(twin, clipping=clipping)
        generator = torch.Generator()
        generator.manual_seed(secrets.randbits(63) if seed is None else 2 * seed)
        way = _Hooks.of(twin, optimizer, generator, noise_multiplier, privacy)
    try:
        with warnings.catch_warnings():
            # The inputs are data and need no gradient; Opacus' hooks work all the same.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            yield Engine(
                plain=module,
                optimizer=optimizer,
                way=way,
                sampling=sampling,
                rate=privacy.sample_rate,
                loss=loss,
                world=world,
            )
    finally:
        way.end()


def refuse_obstacles(module: nn.Module, *, clipping: Clipping = "fast") -> None:
    """Refuse a module that cannot be trained privately, with every obstacle and the way out of each.

    Opacus' validator knows the layers that mix rows; of those that it merely cannot clip, our engine says itself
    which ones it cannot.

    Args:
        clipping: by which engine.

    Raises:
        InputError: as said.
        MissingExtra: Opacus is not installed.
    """
    try:
        from opacus.validators import ModuleValidator
    except ImportError:
        package, extra = "opacus", "privacy"
        raise MissingExtra(package, extra, "private training") from None
    ours = (nn.LSTM, nn.GRU, nn.RNN, nn.MultiheadAttention) if clipping == "fast" else ()
    found: list[str] = []
    # The validator looks for layers in training mode, as they will be.
    was_training = module.training
    module.train()
    for name, part in module.named_modules():
        known = ModuleValidator.VALIDATORS.get(type(part))
        # A norm mixes rows, or keeps statistics of them, also where nothing in it is trained.
        still = not any(p.requires_grad for p in part.parameters()) and not isinstance(part, NORMS)
        if known is None or isinstance(part, ours) or still:
            continue
        found += [f"{name or type(part).__name__}: {' '.join(str(o).split())}" for o in known(part)]
    module.train(was_training)
    found += obstacles(module, hooks=clipping != "fast")
    if found:
        msg = f"this network cannot be trained privately ({len(found)} obstacles): {'; '.join(found)}"
        raise InputError(msg)
