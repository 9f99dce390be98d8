"""How does a Hugging Face text classifier become a subject, or an encoder with a head of the user's?"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.nets.reads import PADDING
from rai_bigmodel.subject import Array, Inputs, Subject

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from torch import nn

BATCH = 64
"""Texts scored at once."""
LENGTH = 256
"""So many pieces of a text are read unless said otherwise."""


def of_huggingface(
    model: str | os.PathLike[str] = "",
    *,
    package: str = "",
    head: nn.Module | None = None,
    labels: tuple[str, ...] = (),
    positive: str = "",
    threshold: float = 0.5,
    text: str = "text",
    length: int | None = None,
    name: str = "",
) -> Subject:
    """A sequence classifier, or an encoder under `head`, as a subject of kind ``huggingface``; from files at hand only.

    It takes a column of texts. With two labels it gives the probability of the positive one ``(rows,)``, by the
    sigmoid of one logit or the softmax of two; with more the probabilities ``(rows, labels)``. Its digest is that of
    the weights as safetensors (the head's with them), the configuration, the tokenizer, how texts are cut and how it
    decides. Its ``module`` takes the ids that ``read`` makes of texts, and gives logits.

    Args:
        model: the model's folder (``config.json``, ``tokenizer.json``, ``*.safetensors``).
        package: in place of a folder, an installed package that holds these files.
        head: mean of the encoder's last vectors ``(rows, width)`` → logits; ``None`` where the model is a
            sequence classifier.
        labels: in the order of the logits; empty for those of the model's configuration.
        positive: of two labels; empty for the second.
        threshold: the probability from which on the positive label is given.
        text: the column of texts.
        length: the most pieces of one text; what is longer is cut off. 256 by default, or the model's positions where
            it has fewer.

    Raises:
        InputError: the files are not there or no model, or labels do not fit the logits; in ``predict``, the column
            is missing or holds no texts.
        MissingExtra: torch or transformers is not installed.
    """
    from rai_bigmodel.nets import Base, Encoded, Reads, Tokens, pretrained
    from rai_bigmodel.nets.huggingface import loaded, positions
    from rai_bigmodel.training import inputs as raw

    folder = pretrained.folder_of(package=package, folder=model)
    whole = loaded(folder, "AutoModel" if head is not None else "AutoModelForSequenceClassification")
    if head is None and "ForSequenceClassification" not in str(whole.config.architectures):
        msg = f"{folder}: is no sequence classifier ({whole.config.architectures}); hand over a head for its vectors"
        raise InputError(msg)
    if length is None:
        length = min(LENGTH, positions(whole) or LENGTH)
    base = Base(digest=pretrained.digest_of(folder), package=package, folder="" if package else str(model))
    reads = Reads(tokens=Tokens(words=(), length=length, level="pieces", column=text, base=base))
    module = Encoded(whole, reads, ours=pretrained.places_of(base), head=head).eval()
    if not labels and head is None:
        labels = tuple(str(whole.config.id2label[i]) for i in range(len(whole.config.id2label)))
    decision = _decision(module, labels, positive, threshold, name or folder.name)

    def read(inputs: Inputs) -> tuple[Array, ...]:
        return (raw.tensors(reads, inputs, where=name or folder.name)["tokens"],)

    def predict(inputs: Inputs) -> Array:
        (ids_NT,) = read(inputs)
        return _probabilities(module, ids_NT, decision)

    return Subject(
        name=name or package or folder.name,
        kind="huggingface",
        digest=_digest(module, folder, reads, decision),
        decision=decision,
        predict=predict,
        module=module,
        read=read,
        card={"base": base.digest, "parameters": sum(p.numel() for p in module.parameters())},
    )


def _decision(module: Any, labels: tuple[str, ...], positive: str, threshold: float, name: str) -> Decision:
    """How the probabilities decide; what the module gives for one text says how many logits there are."""
    import torch

    with torch.inference_mode():
        logits = module(torch.ones(1, module.reads.tokens.length, dtype=torch.int64)).shape[1]
    if not labels and logits <= 2:
        labels = ("0", "1")
    # One logit speaks of the second of two labels.
    if len(labels) != max(2, logits) or len(set(labels)) < len(labels):
        msg = f"labels: {max(2, logits)} different ones are needed for {logits} logits, got {list(labels)}"
        raise InputError(msg)
    if positive and positive not in labels:
        what = f"{name}: positive: label"
        raise InputError.unknown(what, positive, labels)
    if len(labels) > 2:
        return Decision(kind="argmax", threshold=None, positive=positive, labels=labels)
    if not 0 <= threshold <= 1:
        msg = f"threshold must lie from 0 to 1, got {threshold}"
        raise InputError(msg)
    return Decision(kind="threshold", threshold=threshold, positive=positive or labels[1], labels=labels)


def _probabilities(module: Any, ids_NT: Array, decision: Decision) -> Array:
    import torch

    # Columns of padding alone cost time and change nothing.
    parts = torch.from_numpy(ids_NT).split(BATCH)
    parts = [part[:, : max(1, int((part != PADDING).sum(dim=1).max()))] for part in parts]
    with torch.inference_mode():
        logits = torch.cat([module(part) for part in parts]).double()
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        shares: Array = torch.softmax(logits, dim=1).numpy()
    if len(decision.labels) > 2:
        return shares
    return np.ascontiguousarray(shares[:, decision.labels.index(decision.positive)])


def _digest(module: Any, folder: Path, reads: Any, decision: Decision) -> str:
    """Of the weights in use, the files that say how they are used, and the decision."""
    from rai_bigmodel.nets.pretrained import CONFIG, TOKENIZER
    from rai_bigmodel.training import shards

    length, weighed = shards.digest(shards.state_of(module))
    whole = hashlib.sha256(length.to_bytes(8, "little") + weighed)
    how = {"length": reads.tokens.length, "head": repr(module.head)}
    parts = [files.read_bytes(folder / CONFIG), files.read_bytes(folder / TOKENIZER)]
    for part in (*parts, files.canonical_json(how), files.canonical_json(decision)):
        whole.update(len(part).to_bytes(8, "little") + part)
    return f"sha256:{whole.hexdigest()}"
