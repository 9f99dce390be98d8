"""What does a recipe for a training say? Its file is read strictly into these records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from rai_bigmodel import files
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.nets import (
    CNN,
    LSTM,
    MLP,
    Autoencoder,
    Fusion,
    HuggingFace,
    Input,
    Lora,
    Transformer,
    Tuned,
)
from rai_bigmodel.training.asked import Data, data_said
from rai_bigmodel.training.planting import Canaries
from rai_bigmodel.training.settings import Train

if TYPE_CHECKING:
    import os

WITHIN = ("net", "layer")


class Net(Record, omit_defaults=True):
    """Which network: exactly one, by its kind.

    Raises:
        InputError: none is named, or more than one.
    """

    mlp: MLP | None = None
    cnn: CNN | None = None
    lstm: LSTM | None = None
    transformer: Transformer | None = None
    autoencoder: Autoencoder | None = None
    fusion: Fusion | None = None
    huggingface: HuggingFace | None = None
    tuned: Tuned | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        named = [kind for kind in self.__struct_fields__ if getattr(self, kind) is not None]
        if len(named) != 1:
            kinds = ", ".join(self.__struct_fields__)
            msg = f"net: exactly one of {kinds} is needed, got {', '.join(named) or 'none'}"
            raise InputError(msg)

    @property
    def kind(self) -> str:
        """What kind of network it is, such as ``mlp``."""
        return next(kind for kind in self.__struct_fields__ if getattr(self, kind) is not None)

    @property
    def config(self) -> Any:
        """The one configuration that is there; its ``build`` gives the module."""
        return getattr(self, self.kind)

    @classmethod
    def of(cls, config: Any) -> Net:
        """The net of a configuration.

        Raises:
            InputError: it is no configuration of a network that is known here.
        """
        for field in msgspec.structs.fields(cls):
            if isinstance(config, field.type.__args__[0]):
                return cls(**{field.name: config})
        msg = f"net: must be a configuration such as MLP(hidden=(64, 32)), got {type(config).__name__}"
        raise InputError(msg)


class Text(Record):
    """How texts are cut into the tokens that a network reads.

    Args:
        level: words, or single characters; a Hugging Face encoder has a tokenizer of its own, and only `length` counts.
        length: the most tokens of one text; what is longer is cut off.
        most: the most words of the vocabulary, the most frequent ones.
        words: the vocabulary itself, where it is declared; else it is measured.
    """

    level: Literal["word", "character"] = "word"
    length: int = 64
    most: int = 5_000
    words: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("length", "most"):
            if getattr(self, name) <= 0:
                msg = f"text: {name} must be positive, got {getattr(self, name)}"
                raise InputError(msg)


class Scale(Record):
    """What every number of a picture or a series is scaled by: ``(x - center) / scale``."""

    center: float
    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale <= 0:
            msg = f"scale must be positive, got {self.scale}"
            raise InputError(msg)


class From(Record, omit_defaults=True):
    """The run whose weights a training begins with, in place of drawn ones.

    What it read, with every constant that fills, scales and codes it, is read again; its head goes where the outcome
    is another.

    Args:
        run: its folder, relative to the recipe that names it.
        digest: the run that it must be; empty for whichever lies there. The card keeps the one that was found.
        freeze: parts that keep their weights, as the net names them: ``body``, ``embedding``, ``blocks.0``.
        lora: what was taken over stays as it is but for small matrices beside its linear layers, which are added to
            the weights in the end (`targets`: the last part of their names, ``query``; none for all of them).
        public: why nobody among the training rows was among those of the run; a private training needs it from a run
            without privacy, and from any whose rows are not at hand to be compared.
    """

    run: str
    digest: str = ""
    freeze: tuple[str, ...] = ()
    lora: Lora | None = None
    public: str = ""


class Prune(Record, omit_defaults=True):
    """The smallest weights of the run are set to 0 and stay there (Han et al. 2015, arXiv:1506.02626).

    Weights of layers are, biases, norms and embeddings are not. Training goes on with those that are left.

    Args:
        share: of the weights that are set to 0.
        within: the smallest of the whole net, or of each layer.
        keep: parts that are left whole, as the net names them: ``head``.
    """

    share: float
    within: Literal["net", "layer"] = "net"
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share < 1:
            msg = f"prune: share must lie between 0 and 1, got {self.share}"
            raise InputError(msg)
        if self.within not in WITHIN:
            what = "prune: within"
            raise InputError.unknown(what, self.within, WITHIN)


class Distil(Record, omit_defaults=True):
    """Another run's answers to the training rows are learned too (Hinton et al. 2015, arXiv:1503.02531).

    Args:
        run: the folder of the teacher, relative to the recipe that names it.
        digest: the run that it must be; empty for whichever lies there.
        share: how much of the loss is the teacher's; with 1 the outcomes of the training rows are not looked at.
        temperature: teacher's and student's logits are divided by it before they are compared.
    """

    run: str
    digest: str = ""
    share: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            msg = f"distil: share must be above 0 and at most 1, got {self.share}"
            raise InputError(msg)
        if self.temperature <= 0:
            msg = f"distil: temperature must be positive, got {self.temperature}"
            raise InputError(msg)


class Recipe(Record):
    """A whole training: which data, which network, how, with which privacy, from which seed.

    Args:
        data: a name that ``datasets`` knows, or a name with what it needs to know (`Data`); empty where the
            rows were handed over in Python.
        inputs: column → how it is filled and scaled. Where it is not declared it is measured: on the
            training rows of a plain model, on the calibration rows of a private one.
        categories: column of labels → the labels that are told apart; measured like `inputs`.
        pixels, series: how pictures and series are scaled; measured like `inputs`.
        text: how texts are cut.
        target: how an outcome that is a number is scaled; measured like `inputs`.
        canaries: secrets planted into the texts of a language model, for the `privacy` audit.
        start: ``from`` in the file: the run whose weights are taken over, and with them what it reads.
        prune: which of its weights are set to 0.
        distil: whose answers are learned beside the outcomes.
        name: what the model is called; empty for a name made of data and net.
    """

    data: str | Data
    net: Net
    train: Train = Train()
    privacy: Privacy | None = None
    seed: int = 7
    inputs: dict[str, Input] | None = None
    name: str = ""
    categories: dict[str, tuple[str, ...]] | None = None
    pixels: Scale | None = None
    series: Scale | None = None
    text: Text = Text()
    target: Scale | None = None
    canaries: Canaries | None = None
    # Unset, not null: they then stand in no JSON, and cards and checkpoints of other recipes hold.
    start: From | UnsetType = msgspec.field(default=UNSET, name="from")
    prune: Prune | UnsetType = UNSET
    distil: Distil | UnsetType = UNSET

    def __post_init__(self) -> None:
        self._refuse_odd_descent()
        if self.privacy is not None and (found := self._against_privacy()):
            raise InputError("; ".join(found))
        if not 0 <= self.seed < 2**63:
            msg = f"seed must lie between 0 and 2^63, got {self.seed}"
            raise InputError(msg)

    def _against_privacy(self) -> list[str]:
        """All that does not go with privacy, each with the way out."""
        train, found = self.train, []
        for name, why in (
            ("patience", "a private training takes a fixed number of steps"),
            ("clip", "a private training clips the gradient of each row, by privacy.clip"),
            ("class_weights", "how far one row may move the sum would depend on its weight"),
        ):
            if getattr(train, name) is not None:
                found.append(f"train: {name} does not go with privacy: {why} (leave {name} out)")
        if self.net.huggingface is not None:
            found.append(
                "privacy: a Hugging Face encoder cannot be trained privately yet (leave privacy out)"
            )
        if train.parallel != "ddp":
            found.append(
                "train: parallel fsdp does not go with privacy: a row's gradient is clipped as a whole, and no process "
                "would have the whole (leave parallel out: several processes share it by ddp)"
            )
        if train.recompute:
            found.append(
                "train: recompute does not go with privacy: gradients that are formed within a layer computed again "
                "cannot be clipped row by row (leave recompute out; accumulate saves memory too)"
            )
        if train.precision != "float32" and train.clipping != "fast":
            found.append(
                "train: precision bfloat16 does not go with Opacus' hooks, which clip in it (leave clipping out)"
            )
        if train.keep == "best":
            found.append(
                "train: keep does not go with privacy: the weights of the last step are kept (leave it out)"
            )
        return found

    def _refuse_odd_descent(self) -> None:
        """What goes with ``from``, ``prune`` and ``distil``, and what does not."""
        if self.train.epochs == 0 and self.prune is UNSET:
            msg = "train: epochs must be positive, got 0 (without a training only prune makes another model)"
            raise InputError(msg)
        if self.prune is not UNSET and self.start is UNSET:
            msg = "prune: needs the run whose weights are pruned (from: {run: …})"
            raise InputError(msg)
        adapted = self.start is not UNSET and self.start.lora is not None
        if self.train.parallel != "ddp" and (adapted or self.prune is not UNSET):
            name = "lora" if adapted else "prune"
            msg = f"train: parallel fsdp does not go with {name}, which needs whole weights (leave it out)"
            raise InputError(msg)
        if self.start is not UNSET:
            for key in ("inputs", "categories", "pixels", "series"):
                if getattr(self, key) is not None:
                    msg = f"{key} does not go with from: the run's own constants are used (leave {key} out)"
                    raise InputError(msg)
            if self.text.words is not None:
                msg = "text: words does not go with from: the run's own vocabulary is used (leave words out)"
                raise InputError(msg)
            if self.start.lora is not None and self.net.huggingface is not None:
                msg = "from: lora goes with our own nets; a Hugging Face encoder names its own (net.huggingface.lora)"
                raise InputError(msg)
            if self.prune is not UNSET and self.start.lora is not None:
                msg = "from: lora does not go with prune: what it adds in the end would fill what is 0 again"
                raise InputError(msg)
        if self.privacy is None:
            return
        for name, why in (
            ("prune", "prune a private run with epochs: 0 and without privacy: its ε then still holds"),
            ("distil", "the teacher's answers carry what it learned from other rows past the noise"),
        ):
            if getattr(self, name) is not UNSET:
                msg = f"{name} does not go with privacy: {why}"
                raise InputError(msg)

    @property
    def descends(self) -> bool:
        """Whether another run had a part in it, so that it cannot be trained again from its own rows alone."""
        return self.start is not UNSET or self.distil is not UNSET


def steps_of(recipe: Recipe) -> int:
    """How many steps a private training takes, whatever its rows."""
    assert recipe.privacy is not None
    return max(1, round(recipe.train.epochs / recipe.privacy.sample_rate))


def shortened(recipe: Recipe, *, epochs: int = 1) -> Recipe:
    """The same recipe with a few steps only: for tests of what comes after a training."""
    return msgspec.structs.replace(
        recipe, train=msgspec.structs.replace(recipe.train, epochs=epochs, warmup=0)
    )


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
    where = str(path)
    said = files.read_yaml(path, dict[str, Any])
    if isinstance(given := said.get("data"), dict):
        said["data"] = msgspec.to_builtins(data_said(given, where=where))
    return files.convert(said, Recipe, where=where)
