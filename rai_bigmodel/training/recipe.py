"""What does a recipe for a training say? Its file is read strictly into these records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from rai_bigmodel import files
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import MLP, Input
from rai_bigmodel.training.asked import Data

if TYPE_CHECKING:
    import os


class Net(Record):
    """Which network, by its kind."""

    mlp: MLP


class Train(Record):
    """How the weights are moved.

    Args:
        lr: the learning rate; ``None`` is 0.001, and 0.01 with privacy, where steps are few.
        epochs: how often each row is seen; a private training takes ``epochs / sample_rate`` steps.
        batch_size: rows a step of a plain training; a private one draws its own.
        patience: a plain training stops after so many epochs without a better loss on the calibration
            rows, and keeps the best weights; ``None`` goes on to the end and keeps the last.
        momentum: of ``sgd`` only.
        threads: how many compute. One by default: small nets are no faster with more (and far slower beside
            other programs), and the bytes then do not depend on how many cores a machine has.

    Raises:
        InputError: a value is out of its range.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float | None = None
    epochs: int = 30
    batch_size: int = 64
    weight_decay: float = 0.0
    momentum: float = 0.9
    patience: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer not in {"adamw", "sgd"}:
            what = "train: optimizer"
            raise InputError.unknown(what, self.optimizer, ("adamw", "sgd"))
        for name in ("lr", "epochs", "batch_size", "patience", "threads"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                msg = f"train: {name} must be positive, got {value}"
                raise InputError(msg)
        for name in ("weight_decay", "momentum"):
            value = getattr(self, name)
            if value < 0:
                msg = f"train: {name} must not be negative, got {value}"
                raise InputError(msg)


class Recipe(Record):
    """A whole training: which data, which network, how, with which privacy, from which seed.

    Args:
        data: a name that ``datasets`` knows, or a name with what it needs to know (`Data`); empty where the
            rows were handed over in Python.
        inputs: column → how it is filled and scaled. Where it is not declared it is measured: on the
            training rows of a plain model, on the calibration rows of a private one.
        name: what the model is called; empty for a name made of data and net.
    """

    data: str | Data
    net: Net
    train: Train = Train()
    privacy: Privacy | None = None
    seed: int = 7
    inputs: dict[str, Input] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.privacy is not None and self.train.patience is not None:
            msg = (
                "train: patience does not go with privacy: a private training takes a fixed number of steps "
                "(leave patience out)"
            )
            raise InputError(msg)
        if not 0 <= self.seed < 2**63:
            msg = f"seed must lie between 0 and 2^63, got {self.seed}"
            raise InputError(msg)


def shortened(recipe: Recipe, *, epochs: int = 1) -> Recipe:
    """The same recipe with a few steps only: for tests of what comes after a training."""
    return msgspec.structs.replace(recipe, train=msgspec.structs.replace(recipe.train, epochs=epochs))


def learning_rate(recipe: Recipe) -> float:
    """The learning rate a recipe says, or the one that suits it."""
    if recipe.train.lr is not None:
        return recipe.train.lr
    return 1e-3 if recipe.privacy is None else 1e-2


def read(path: str | os.PathLike[str]) -> Recipe:
    """The recipe in a YAML file.

    Raises:
        InputError: it is not there, or says something that a recipe cannot say; with the path of the key.
    """
    return files.read_yaml(path, Recipe)
