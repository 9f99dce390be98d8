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
from rai_bigmodel.training.inputs import stack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.subject import Array

KEY = "rai_bigmodel"
"""The key in the file's metadata that holds, as JSON, name, features, decision and training digest."""

MAX_BYTES = 2_000_000_000
BATCH = 4096
"""Rows scored at once: memory stays bounded, and larger batches are no faster on tables."""


class About(Record):
    """What an exported file says about itself, besides its graph.

    Args:
        name: what the model is called.
        features: the columns it reads, in order, raw and with NaN for missing.
        decision: how its score becomes a decision.
        trained: the digest of the run it was exported from.
    """

    name: str
    features: tuple[str, ...]
    decision: Decision
    trained: str


@dataclass(frozen=True, kw_only=True)
class Session:
    """An ONNX model ready to score rows.

    Args:
        digest: of the file's bytes.
        features: the columns it reads, in order.
        decision: how its score becomes a decision, as its metadata say.
        trained: the digest of the run it was exported from; empty when it does not say.
    """

    name: str
    digest: str
    features: tuple[str, ...]
    decision: Decision
    trained: str
    runtime: Any
    input_name: str

    def score(self, columns: Mapping[str, Array]) -> Array:
        """Scores of the positive label ``(rows,)`` of raw columns.

        Raises:
            InputError: a column is missing or is not made of numbers.
        """
        x_NF = stack(columns, self.features, where=self.name)
        batches = (x_NF[i : i + BATCH] for i in range(0, len(x_NF), BATCH))
        parts = [self.runtime.run(None, {self.input_name: x_BF})[0] for x_BF in batches]
        whole = np.concatenate(parts) if parts else np.empty((0,))
        return np.asarray(whole, dtype=np.float64).reshape(len(x_NF), -1)[:, 0]


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
    inputs = runtime.get_inputs()
    width = inputs[0].shape[-1] if len(inputs) == 1 else None
    if width != len(record.features):
        shapes = [i.shape for i in inputs]
        msg = f"{where}: names {len(record.features)} columns, but its input has the shape {shapes}"
        raise InputError(msg)
    return Session(
        name=record.name,
        digest=files.digest(content),
        features=record.features,
        decision=record.decision,
        trained=record.trained,
        runtime=runtime,
        input_name=inputs[0].name,
    )
