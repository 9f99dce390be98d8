"""How are the weights moved? What a recipe says under ``train:``."""

from __future__ import annotations

from numbers import Real
from typing import Literal

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record

Loss = Literal["bce", "cross_entropy", "mse", "gaussian", "language_model", "reconstruction"]
Clipping = Literal["fast", "opacus"]
Parallel = Literal["ddp", "fsdp"]
Precision = Literal["float32", "bfloat16"]
OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop")
SCHEDULES = ("constant", "cosine", "linear")
CLIPPINGS = ("fast", "opacus")
PARALLELS = ("ddp", "fsdp")
PRECISIONS = ("float32", "bfloat16")


class Train(Record):
    """How the weights are moved.

    Args:
        lr: the learning rate; ``None`` is 0.001, and 0.01 with privacy, where steps are few.
        schedule: how the learning rate goes on after the warm-up: as it is, or down to 0 by half a cosine or
            a straight line.
        warmup: so many steps in which the learning rate rises in a straight line.
        epochs: how often each row is seen; a private training takes ``epochs / sample_rate`` steps. 0 goes with
            `prune`: the weights that are left stay as they were.
        batch_size: rows a step of a plain training, of all its processes together; a private one draws its own.
        accumulate: in how many parts the rows of a step pass through the network, when they are too many
            for the memory; what a step does stays the same. Running out of memory doubles it.
        clip: the largest norm that the gradient of a step keeps in a plain training; ``None`` leaves it.
        clipping: what clips the rows' gradients of a private training: ``fast``, our own engine, with noise from a
            cipher, or ``opacus``, its hooks and torch's noise. Both give the same step.
        momentum: of ``sgd`` and ``rmsprop``.
        patience: a plain training stops after so many epochs without a better loss on the calibration
            rows, and keeps the best weights; ``None`` goes on to the end and keeps the last.
        keep: which weights are kept; ``None`` is ``best`` with patience and ``last`` without.
        loss: ``None`` is the one that suits the outcome.
        class_weights: label → how much its rows count in a plain training; ``balanced`` makes all labels
            count alike.
        precision: ``bfloat16`` computes the large products in it (autocast); weights stay float32, and so do the
            lengths and sums of a private training.
        device: where it computes, as torch names it: ``cpu``, ``cuda``, ``cuda:1``; of several processes each
            takes its own card for ``cuda``.
        threads: how many compute. One by default: small nets are no faster with more (and far slower beside
            other programs), and the bytes then do not depend on how many cores a machine has.
        parallel: how several processes share a training: ``ddp`` gives each the whole network, ``fsdp`` a part of
            every weight, of its gradient and of what the optimizer remembers of it, for networks that are too large.
        recompute: what the layers of a network gave is not kept for the backward pass but computed again there: less
            memory, about a third more time, the same gradients.
        every: a resumable checkpoint after every so many steps; ``None`` is at the end of an epoch, where
            ten seconds have passed.
        energy_in: the country (ISO code of three letters) whose electricity is used, for an estimate of
            energy and CO2e; ``None`` measures neither.

    Raises:
        InputError: a value is out of its range.
    """

    optimizer: Literal["adamw", "adam", "sgd", "rmsprop"] = "adamw"
    lr: float | None = None
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup: int = 0
    epochs: int = 30
    batch_size: int = 64
    accumulate: int = 1
    clip: float | None = None
    clipping: Clipping = "fast"
    weight_decay: float = 0.0
    momentum: float = 0.9
    patience: int | None = None
    keep: Literal["best", "last"] | None = None
    loss: Loss | None = None
    class_weights: dict[str, float] | Literal["balanced"] | None = None
    precision: Precision = "float32"
    device: str = "cpu"
    threads: int = 1
    parallel: Parallel = "ddp"
    recompute: bool = False
    every: int | None = None
    energy_in: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("clipping", CLIPPINGS),
            ("parallel", PARALLELS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in known:
                what = f"train: {name}"
                raise InputError.unknown(what, getattr(self, name), known)
        # A file is read strictly; from Python anything may come.
        for name in ("epochs", "batch_size", "accumulate", "warmup", "patience", "threads", "every"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Real) and float(value).is_integer()):
                msg = f"train: {name} must be a whole number, got {value!r}"
                raise InputError(msg)
        for name in ("lr", "clip", "weight_decay", "momentum"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Real):
                msg = f"train: {name} must be a number, got {value!r}"
                raise InputError(msg)
        positive = ("lr", "batch_size", "accumulate", "clip", "patience", "threads", "every")
        for name in positive:
            value = getattr(self, name)
            if value is not None and value <= 0:
                msg = f"train: {name} must be positive, got {value}"
                raise InputError(msg)
        for name in ("epochs", "weight_decay", "momentum", "warmup"):
            value = getattr(self, name)
            if value < 0:
                msg = f"train: {name} must not be negative, got {value}"
                raise InputError(msg)
        if isinstance(self.class_weights, dict):
            for label, value in self.class_weights.items():
                if value < 0:
                    msg = f"train: class_weights.{label} must not be negative, got {value}"
                    raise InputError(msg)

    @property
    def keeps_best(self) -> bool:
        """Whether the weights of the lowest calibration loss are kept."""
        return self.keep == "best" or (self.keep is None and self.patience is not None)
