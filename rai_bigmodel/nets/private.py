"""How does a net get gradients a row from Opacus' hooks, where a layer of it has none of its own?

Our own engine (`training.clipping`) needs none of this. Opacus knows every layer of ours but the fused ``nn.LSTM``.
Its ``DPLSTM`` computes the same from single cells; ``private_twin`` puts it there *around the same parameters*: train
the twin, and the net itself is trained.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

from torch import nn

from rai_bigmodel.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from opacus.layers import DPLSTM

M = TypeVar("M", bound=nn.Module)


def private_twin(module: M) -> M:
    """A net that computes the same from the same parameters, with every layer one that Opacus knows.

    Nothing has to be copied back: both hold the very same parameters and buffers. An optimizer of `module` is
    one of the twin. Export and inference keep to `module`, whose layers are the fast ones.

    Raises:
        InputError: a language model's head is tied to its embedding: Opacus would see half of the gradient.
        MissingExtra: Opacus is not installed and the net has an LSTM.
    """
    if any(getattr(part, "tied", False) for part in module.modules()):
        msg = (
            "tied: a head tied to its embedding cannot be trained privately by Opacus' hooks; set tied to false, or "
            "train with clipping: fast"
        )
        raise InputError(msg)
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    twin = copy.deepcopy(module, shared)
    for name, layer in list(twin.named_modules()):
        if isinstance(layer, nn.LSTM):
            twin.set_submodule(name, _celled(layer))
    return twin


def _celled(lstm: nn.LSTM) -> DPLSTM:
    try:
        from opacus.layers import DPLSTM
    except ImportError:
        package, extra = "opacus", "privacy"
        raise MissingExtra(package, extra, "private training of an LSTM") from None
    twin = DPLSTM(
        lstm.input_size,
        lstm.hidden_size,
        num_layers=lstm.num_layers,
        bias=lstm.bias,
        batch_first=lstm.batch_first,
        dropout=lstm.dropout,
        bidirectional=lstm.bidirectional,
    )
    for inner, outer in twin.old_to_new.items():
        parameter = getattr(lstm, outer)
        owner, _, name = inner.rpartition(".")
        twin.get_submodule(owner).register_parameter(name, parameter)
        twin.register_parameter(outer, parameter)
    return twin.train(lstm.training)
