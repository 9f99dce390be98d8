"""Does a network whose layers are computed again have the gradients that it had, in less memory?"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from together import NUMBERS, PICTURES, WORDS, recipe, splits

from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import CNN, LSTM, MLP, Autoencoder, Fusion, Transformer
from rai_bigmodel.training import fit
from rai_bigmodel.training.checkpoint import weights
from rai_bigmodel.training.measured import reads_of
from rai_bigmodel.training.recompute import recomputing

WORDLY: dict[str, Any] = {"loss": "language_model"}
NETS: dict[str, tuple[Any, tuple[str, ...], dict[str, Any]]] = {
    "mlp": (MLP(hidden=(5, 4, 3), dropout=0.3), NUMBERS, {"accumulate": 2}),
    "lstm": (LSTM(hidden=4, embedding=4, layers=2, both=True, dropout=0.3), WORDS, {}),
    "transformer": (Transformer(width=8, heads=2, feedforward=16, dropout=0.3), WORDS, {"clip": 0.5}),
    "language model": (Transformer(width=8, heads=2, feedforward=16, causal=True, tied=True), WORDS, WORDLY),
    "cnn": (CNN(widths=(3, 4), hidden=8, groups=1, dropout=0.3), PICTURES, {"precision": "bfloat16"}),
    "autoencoder": (Autoencoder(hidden=(5, 4), code=2), PICTURES, {}),
    "convolutional": (Autoencoder(hidden=(3, 4), code=2, convolutional=True), PICTURES, {}),
    "fusion": (Fusion(cnn=CNN(widths=(3, 4), hidden=8)), (*PICTURES, *NUMBERS), {}),
}


@pytest.mark.parametrize("name", NETS)
def test_the_weights_are_the_same_bytes(name: str) -> None:
    """Dropout draws again what it drew, in parts and in bfloat16 too; afterwards the module is an ordinary one."""
    net, features, how = NETS[name]
    kept, again = (
        fit.train_recipe(recipe(net, epochs=1, recompute=on, **how), splits=splits(features))
        for on in (False, True)
    )

    assert weights(again.module) == weights(kept.module)
    assert again.card.history == kept.card.history
    assert not any("forward" in vars(part) for part in again.module.modules())


def kept_bytes(net: Any, *, recompute: bool) -> int:
    """What a training pass through it keeps for the way back, weights apart."""
    table = splits(WORDS).calibrate
    assert table is not None
    asked = recipe(net)
    module = net.build(reads_of(asked, table, table)[0], outputs=2, generator=torch.Generator())
    owned = {p.untyped_storage().data_ptr() for p in module.parameters()}
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(2, 5, (8, 6), generator=torch.Generator().manual_seed(0))
    with (
        recomputing(module) if recompute else nullcontext(),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
    ):
        module(ids)
    return sum(sizes.values())


def test_what_is_kept_for_the_way_back_is_a_fraction() -> None:
    """Of a Transformer of eight blocks, between them: less than a fifth of what it keeps otherwise."""
    net = Transformer(width=16, heads=2, layers=8, feedforward=64)

    assert kept_bytes(net, recompute=True) < kept_bytes(net, recompute=False) / 5


def test_a_network_with_nothing_to_compute_again_is_refused() -> None:
    """A logistic regression has no layer whose result could be let go."""
    with pytest.raises(InputError, match=r"recompute finds nothing .* \(leave recompute out\)"):
        fit.train_recipe(recipe(MLP(hidden=()), recompute=True), splits=splits())
