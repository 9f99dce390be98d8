"""How does any torch module become a subject? By declaring what it reads and what its numbers mean."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Subject
from rai_bigmodel.subjects.of_callable import answered, decided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from rai_bigmodel.subject import Array, Inputs

BATCH = 4096
"""Rows asked about at once, so that memory stays bounded."""


def of_module(
    module: nn.Module,
    *,
    features: Sequence[str],
    gives: Literal["logits", "probabilities", "numbers"],
    labels: Sequence[str] = ("0", "1"),
    positive: str = "1",
    threshold: float = 0.5,
    name: str = "",
) -> Subject:
    """A module that reads float32 rows ``(batch, features)`` as a subject of kind ``torch``, in evaluation mode.

    The digest is that of its weights, its architecture as it prints itself, and its decision.

    Args:
        features: the columns, in the order that the module reads them.
        gives: what comes out, ``(batch,)``, ``(batch, 1)`` or ``(batch, labels)``: logits (a sigmoid or a softmax makes
            them probabilities), probabilities, or predicted numbers.
        labels: what it decides between, in the order of its outputs; none for numbers.
        positive: of two labels, the one whose score counts; a single output is the score of this one.
        threshold: a probability at or above it is a positive decision.

    Raises:
        InputError: the labels cannot be used; in ``predict``, a column is missing or no number, or the module fails.
        MissingExtra: safetensors is not installed.
    """
    import torch

    from rai_bigmodel.training.inputs import stack

    name = name or type(module).__name__
    labels = () if gives == "numbers" else tuple(labels)
    if gives != "numbers" and len(labels) < 2:
        msg = f"{name}: at least two labels are needed for {gives}, got {list(labels)}"
        raise InputError(msg)
    decision = decided(labels, positive=positive, threshold=threshold, name=name)
    columns = tuple(features)
    module = module.eval()
    device = next((p.device for p in module.parameters()), torch.device("cpu"))

    def ask(x_NF: Array) -> Array:
        module.eval()
        with torch.no_grad():
            parts = [
                module(torch.from_numpy(x_NF[i : i + BATCH]).to(device)) for i in range(0, len(x_NF), BATCH)
            ]
            out = torch.cat(parts).double()
            if out.ndim == 2 and out.shape[1] == 1:
                out = out[:, 0]
            if gives == "logits":
                out = torch.sigmoid(out) if out.ndim == 1 else torch.softmax(out, dim=-1)
            if len(labels) == 2 and out.ndim == 2 and out.shape[1] == 2:
                out = out[:, labels.index(decision.positive)]
        said: Array = out.cpu().numpy()
        return said

    def predict(inputs: Inputs) -> Array:
        x_NF = np.ascontiguousarray(stack(inputs, columns, where=name))
        return answered(lambda: ask(x_NF), name=name, inputs=inputs, labels=len(labels))

    return Subject(
        name=name,
        kind="torch",
        digest=_digest(module, (columns, gives, repr(decision))),
        decision=decision,
        predict=predict,
        module=module,
        card={"features": list(columns)},
    )


def _digest(module: nn.Module, declared: tuple[object, ...]) -> str:
    import safetensors.torch

    state = {k: t.detach().contiguous().cpu().clone() for k, t in module.state_dict().items()}
    whole = hashlib.sha256()
    for part in (safetensors.torch.save(state), str(module).encode(), repr(declared).encode()):
        whole.update(len(part).to_bytes(8, "little") + part)
    return f"sha256:{whole.hexdigest()}"
