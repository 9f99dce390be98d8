"""Which networks can be built? A frozen configuration each, whose ``build`` gives the module."""

from rai_bigmodel.nets.mlp import MLP, Input, Tabular

__all__ = ["MLP", "Input", "Tabular"]
