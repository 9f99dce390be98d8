"""How is an exported model run? By onnxruntime, from bytes, without torch.

From bytes only: a path would let the runtime follow references to other files, hard links among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Decision, Record
from rai_bigmodel.nets.reads import Input, Reads
from rai_bigmodel.subject import Outcome
from rai_bigmodel.training.inputs import kinds_read, tensors

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Inputs

KEY = "rai_bigmodel"
"""The key in the file's metadata that holds, as JSON, name, features, decision and training digest."""

MAX_BYTES = 2_000_000_000
BATCH = 4096
"""Rows scored at once: memory stays bounded, and larger batches are no faster on tables."""
BATCH_OF_ARRAYS = 256
"""Pictures, texts or series scored at once."""


class About(Record, omit_defaults=True):
    """What an exported file says about itself, besides its graph.

    Args:
        name: what the model is called.
        features: the columns it reads, in order, raw and with NaN for missing.
        decision: how its score becomes a decision.
        trained: the digest of the run it was exported from.
        reads: what else it reads than columns of numbers: labels, pictures, texts with their vocabulary, series.
        outcome: what its answers are.
    """

    name: str
    features: tuple[str, ...]
    decision: Decision
    trained: str
    reads: Reads | None = None
    outcome: Outcome = "binary"

    @property
    def read(self) -> Reads:
        """What it reads; by default columns of numbers."""
        if self.reads is not None:
            return self.reads
        return Reads(features=self.features, numbers={name: Input() for name in self.features})


@dataclass(frozen=True, kw_only=True)
class Session:
    """An ONNX model ready to score rows.

    Args:
        digest: of the file's bytes.
        features: the columns it reads, in order.
        reads: what it reads, and how labels and texts become numbers.
        decision: how its score becomes a decision, as its metadata say.
        outcome: what its answers are.
        trained: the digest of the run it was exported from; empty when it does not say.
    """

    name: str
    digest: str
    features: tuple[str, ...]
    decision: Decision
    reads: Reads
    outcome: Outcome
    trained: str
    runtime: Any
    input_names: tuple[str, ...]

    def score(self, columns: Inputs) -> Array:
        """What the model says of raw columns, or of the one array it reads; scores of the positive label ``(rows,)``.

        With several labels probabilities ``(rows, labels)``; else as `training.scoring` says.

        Raises:
            InputError: a column is missing or holds something else.
        """
        arrays = list(tensors(self.reads, columns, where=self.name).values())
        size = BATCH if self.reads.features and len(arrays) == 1 else BATCH_OF_ARRAYS
        parts = []
        for i in range(0, len(arrays[0]), size):
            some = {name: x[i : i + size] for name, x in zip(self.input_names, arrays, strict=True)}
            parts.append(self.runtime.run(None, some)[0])
        width = {"classes": (len(self.decision.labels),), "language": (2,)}.get(self.outcome, ())
        whole = np.concatenate(parts) if parts else np.empty((0, *width))
        return np.asarray(whole, dtype=np.float64).reshape(len(arrays[0]), *width)


def open_session(content: bytes, *, where: str, threads: int = 1) -> Session:
    """A session for the bytes of an ONNX file that ``rai export`` wrote.

    Args:
        where: names the source in errors.
        threads: how many threads a run may use.

    Raises:
        InputError: the bytes are not an ONNX model, keep their weights in other files, or lack the
            metadata that say which columns they read and how they decide.
        MissingExtra: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        package, extra = "onnxruntime", "onnx"
        raise MissingExtra(package, extra, "running an ONNX model") from None
    if len(content) > MAX_BYTES:
        msg = f"{where}: {len(content):,} bytes are more than the {MAX_BYTES:,} that one ONNX file may have"
        raise InputError(msg)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong comes as an exception; nothing below floor 6 prints
    try:
        runtime = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a dozen classes of its own, and RuntimeError
        msg = f"{where}: not an ONNX model that can be run ({files.visible(str(error))[:300]})"
        raise InputError(msg) from None
    about = runtime.get_modelmeta().custom_metadata_map.get(KEY)
    if about is None:
        msg = f"{where}: lacks the metadata {KEY!r} (columns and decision); it was not written by rai export"
        raise InputError(msg)
    record = files.parse_json(about.encode(), About, where=f"{where}: metadata {KEY!r}")
    inputs, reads = runtime.get_inputs(), record.read
    kinds = kinds_read(reads)
    if len(inputs) != len(kinds) or (reads.features and inputs[-1].shape[-1] != len(reads.features)):
        shapes = [i.shape for i in inputs]
        msg = f"{where}: names {len(record.features)} columns, but its input has the shape {shapes}"
        raise InputError(msg)
    return Session(
        name=record.name,
        digest=files.digest(content),
        features=record.features,
        decision=record.decision,
        reads=reads,
        outcome=record.outcome,
        trained=record.trained,
        runtime=runtime,
        input_names=tuple(i.name for i in inputs),
    )
