"""Which networks can be built? A frozen configuration each, whose ``build`` gives the module."""

from rai_bigmodel.nets.mlp import MLP, Tabular
from rai_bigmodel.nets.reads import Category, Input, Pixels, Reads, Series, Tokens

__all__ = ["MLP", "Category", "Input", "Pixels", "Reads", "Series", "Tabular", "Tokens"]
