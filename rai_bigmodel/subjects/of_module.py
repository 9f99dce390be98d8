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

    from rai_bigmodel.nets.reads import Reads
    from rai_bigmodel.subject import Array, Inputs

Gives = Literal["logits", "probabilities", "numbers"]
"""What a module's numbers are."""
BATCH = 4096
"""Rows asked about at once, so that memory stays bounded."""
BATCH_OF_ARRAYS = 256
"""Pictures, texts or series asked about at once."""


ROUNDING = 1e-5
"""So far beyond 0 and 1 a softmax in single precision may come."""


def of_module(
    module: nn.Module,
    *,
    features: Sequence[str] = (),
    reads: Reads | None = None,
    gives: Gives,
    labels: Sequence[str] = ("0", "1"),
    positive: str = "1",
    threshold: float = 0.5,
    name: str = "",
) -> Subject:
    """A module that reads float32 rows ``(batch, features)``, or what `reads` says, as a subject of kind ``torch``.

    It is put into evaluation mode. It takes pixels, tokens, series and a table in this order, raw: what `reads` says
    of centres and scales is not applied, because the module is asked as it is.

    The digest is that of its weights, its architecture as it prints itself, and its decision.

    Args:
        features: the columns, in the order that the module reads them.
        reads: in their place, what else it reads (`nets.Reads`): pictures, texts with their vocabulary, series, labels.
        gives: what comes out, ``(batch,)``, ``(batch, 1)`` or ``(batch, labels)``: logits (a sigmoid or a softmax makes
            them probabilities), probabilities, or predicted numbers.
        labels: what it decides between, in the order of its outputs; none for numbers.
        positive: of two labels, the one whose score counts; a single output is the score of this one.
        threshold: a probability at or above it is a positive decision.

    Raises:
        InputError: the labels cannot be used; in ``predict``, a column is missing or no number, the module fails, or
            what is said to be probabilities lies outside 0 to 1.
        MissingExtra: safetensors is not installed.
    """
    from rai_bigmodel.deploy.module_to_onnx import answers
    from rai_bigmodel.nets.reads import Input, Reads
    from rai_bigmodel.training.inputs import columns_of, kinds_read, tensors

    name = name or type(module).__name__
    labels = () if gives == "numbers" else tuple(labels)
    if gives != "numbers" and len(labels) < 2:
        msg = f"{name}: at least two labels are needed for {gives}, got {list(labels)}"
        raise InputError(msg)
    decision = decided(labels, positive=positive, threshold=threshold, name=name)
    if bool(features) is (reads is not None):
        msg = f"{name}: exactly one of features, reads says what the module reads"
        raise InputError(msg)
    if reads is None:
        reads = Reads(features=tuple(features), numbers={f: Input() for f in features})
    declared = tuple(features) or repr(reads)
    module = module.eval()
    batch = BATCH if kinds_read(reads) == ("table",) else BATCH_OF_ARRAYS

    def read(inputs: Inputs) -> tuple[Array, ...]:
        return tuple(np.ascontiguousarray(x) for x in tensors(reads, inputs, where=name).values())

    def predict(inputs: Inputs) -> Array:
        given = read(inputs)
        said = answered(
            lambda: answers(module, given, gives, decision, batch=batch),
            name=name,
            inputs=inputs,
            labels=len(labels),
        )
        beyond = (said < -ROUNDING) | (said > 1 + ROUNDING)
        if gives == "probabilities" and beyond.any():
            bad = int(beyond.reshape(len(said), -1).any(axis=1).sum())
            msg = (
                f"{name}: is said to give probabilities, and the answers to {bad:,} of {len(said):,} rows lie outside "
                "0 to 1; gives='logits' makes probabilities of them"
            )
            raise InputError(msg)
        return said

    return Subject(
        name=name,
        kind="torch",
        digest=_digest(module, (declared, gives, repr(decision))),
        decision=decision,
        predict=predict,
        module=module,
        read=read,
        card={"features": list(columns_of(reads)), "reads": reads},
    )


def _digest(module: nn.Module, declared: tuple[object, ...]) -> str:
    import safetensors.torch

    state = {k: t.detach().contiguous().cpu().clone() for k, t in module.state_dict().items()}
    whole = hashlib.sha256()
    for part in (safetensors.torch.save(state), str(module).encode(), repr(declared).encode()):
        whole.update(len(part).to_bytes(8, "little") + part)
    return f"sha256:{whole.hexdigest()}"
