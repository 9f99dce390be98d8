"""Which networks can be built? A frozen configuration each, whose ``build`` gives the module."""

from rai_bigmodel.errors import MissingExtra

try:
    import torch  # noqa: F401 - asked for once, at the door, so that none of the files below has to
except ImportError:
    package, extra = "torch", "train"
    raise MissingExtra(package, extra, "training and loading networks") from None

from rai_bigmodel.nets.autoencoder import Autoencoder, Reconstructing
from rai_bigmodel.nets.cnn import CNN, Convolutional
from rai_bigmodel.nets.fusion import Fusion, Joined
from rai_bigmodel.nets.lstm import LSTM, Recurrent
from rai_bigmodel.nets.mlp import MLP, Tabular, log_likelihood
from rai_bigmodel.nets.net import Net, example, free, takes
from rai_bigmodel.nets.private import private_twin
from rai_bigmodel.nets.reads import (
    FIRST_WORD,
    PADDING,
    UNKNOWN,
    Category,
    Input,
    Pixels,
    Reads,
    Series,
    Tokens,
)
from rai_bigmodel.nets.transformer import Attentive, Transformer

KINDS: dict[str, type[MLP | CNN | LSTM | Transformer | Autoencoder | Fusion]] = {
    "mlp": MLP,
    "cnn": CNN,
    "lstm": LSTM,
    "transformer": Transformer,
    "autoencoder": Autoencoder,
    "fusion": Fusion,
}
"""The name of each in a recipe, ``net: {cnn: {widths: [32, 64]}}``."""

__all__ = [
    "CNN",
    "FIRST_WORD",
    "KINDS",
    "LSTM",
    "MLP",
    "PADDING",
    "UNKNOWN",
    "Attentive",
    "Autoencoder",
    "Category",
    "Convolutional",
    "Fusion",
    "Input",
    "Joined",
    "Net",
    "Pixels",
    "Reads",
    "Reconstructing",
    "Recurrent",
    "Series",
    "Tabular",
    "Tokens",
    "Transformer",
    "example",
    "free",
    "log_likelihood",
    "private_twin",
    "takes",
]
