"""How is an exported model run? By onnxruntime, from bytes, without torch.

From bytes only: a path would let the runtime follow references to other files, hard links among them. Weights that
lie beside the model are read by us, each file checked, and handed over in memory (`deploy.beside`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.deploy.side_by_side import SideBySide
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Decision, Record
from rai_bigmodel.nets import pretrained
from rai_bigmodel.nets.reads import Input, Reads
from rai_bigmodel.subject import Outcome
from rai_bigmodel.training.inputs import column_of_numbers, kinds_read, named, pieces, tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.subject import Array, Inputs

KEY = "rai_bigmodel"
"""The key in the file's metadata that holds, as JSON, name, features, decision and training digest."""

MAX_BYTES = 2_000_000_000
BATCH = 4096
"""Rows of a table scored at once: between 1,024 and 4,096 a small net is quickest, because what flows through it stays
in the processor's cache (``benchmarks/onnx_speed.py``). A constant, not what the clock says at the time: sums in
another order round otherwise, and the same run must give the same bytes."""
PIECE = 64
"""Pictures, texts or series scored at once, by the same measurement."""
PIECE_OF_LANGUAGE = 8
"""Texts scored at once where every place has an answer for every word."""
NUMBERS = 25_088
FEWEST = 4
"""Pictures come in fewer at a time: with `NUMBERS` numbers, 32 pictures of 28 × 28, but never fewer than these."""


class About(Record, omit_defaults=True):
    """What an exported file says about itself, besides its graph.

    Args:
        name: what the model is called.
        features: the columns it reads, in order, raw and with NaN for missing.
        decision: how its score becomes a decision.
        trained: the digest of the run it was exported from.
        reads: what else it reads than columns of numbers: labels, pictures, texts with their vocabulary, series.
        outcome: what its answers are.
        variant: in which precision it works: ``fp32``, ``fp16`` or ``int8``.
        tokenizer: how a pretrained encoder cuts texts into pieces, as its ``tokenizer.json`` says.
    """

    name: str
    features: tuple[str, ...]
    decision: Decision
    trained: str
    reads: Reads | None = None
    outcome: Outcome = "binary"
    variant: str = "fp32"
    tokenizer: str = ""

    @property
    def read(self) -> Reads:
        """What it reads; by default columns of numbers."""
        if self.reads is not None:
            return self.reads
        return Reads(features=self.features, numbers={name: Input() for name in self.features})


class NotOurs(InputError):
    """An ONNX model that does not say what it reads and how it decides."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """An ONNX model ready to score rows.

    Args:
        digest: of the file's bytes; with weights in other files, of a list of the digests of all.
        features: the columns it reads, in order.
        reads: what it reads, and how labels and texts become numbers.
        decision: how its score becomes a decision, as its metadata say.
        outcome: what its answers are.
        trained: the digest of the run it was exported from; empty when it does not say.
        variant: in which precision it works.
    """

    name: str
    digest: str
    features: tuple[str, ...]
    decision: Decision
    reads: Reads
    outcome: Outcome
    trained: str
    variant: str
    runtime: Any = field(repr=False)
    input_names: tuple[str, ...]
    tokenizer: Any = field(default=None, repr=False)

    def inputs(self, columns: Inputs) -> dict[str, Array]:
        """Raw columns as the graph's inputs, by their names.

        Raises:
            InputError: a column is missing or holds something else.
        """
        if self.tokenizer is None:
            arrays = tensors(self.reads, columns, where=self.name)
        else:
            arrays = {"tokens": pieces(self.reads, columns, self.tokenizer, where=self.name)}
        return dict(zip(self.input_names, arrays.values(), strict=True))

    def score(self, columns: Inputs) -> Array:
        """What the model says of raw columns, or of the one array it reads; scores of the positive label ``(rows,)``.

        With several labels probabilities ``(rows, labels)``; else as `training.scoring` says.

        Raises:
            InputError: a column is missing or holds something else.
        """
        width = {"classes": (len(self.decision.labels),), "language": (2,)}.get(self.outcome, ())
        if self.reads.features and not self.reads.categories and len(self.input_names) == 1:
            return self._of_table(columns, width)
        given = self.inputs(columns)
        size = self.piece(given)
        whole = np.empty((len(next(iter(given.values()))), *width))
        for i in range(0, len(whole), size):
            some = {name: x[i : i + size] for name, x in given.items()}
            whole[i : i + size] = self.runtime.run(None, some)[0].reshape(-1, *width)
        return whole

    def piece(self, given: Mapping[str, Array]) -> int:
        """How many rows of these inputs are scored at once."""
        if self.reads.features and len(given) == 1:
            return BATCH
        if self.outcome == "language":
            return PIECE_OF_LANGUAGE
        return piece_of(max(math.prod(x.shape[1:]) for x in given.values()))

    def _of_table(self, columns: Inputs, width: tuple[int, ...]) -> Array:
        """Columns of numbers are put side by side batch by batch: a table of a million rows is never there twice."""
        by_name = named(self.reads, columns, where=self.name)
        wide = [column_of_numbers(by_name, name, where=self.name) for name in self.features]
        if apart := [
            f"{n!r} {len(x):,}" for n, x in zip(self.features, wide, strict=True) if len(x) != len(wide[0])
        ]:
            msg = f"{self.name}: columns must be of one length; {self.features[0]!r} has {len(wide[0]):,}, {apart[0]}"
            raise InputError(msg)
        whole = np.empty((len(wide[0]), *width))
        table = SideBySide(min(BATCH, max(1, len(whole))), len(wide))
        with np.errstate(over="ignore"):  # beyond single precision is infinite there too
            for i in range(0, len(whole), BATCH):
                rows_BF = table.filled([x[i : i + BATCH] for x in wide])
                said = self.runtime.run(None, {self.input_names[0]: rows_BF})[0]
                whole[i : i + len(rows_BF)] = said.reshape(len(rows_BF), *width)
        return whole


def piece_of(numbers: int) -> int:
    """How many rows of pictures, texts or series are scored at once, each of so many numbers."""
    return min(PIECE, max(FEWEST, NUMBERS // max(1, numbers)))


def options_of(threads: int = 1) -> Any:
    """How a session is to run: so many threads, quietly, with the memory of one piece kept for the next.

    onnxruntime's arena grows to the largest batch that it has seen; pieces are small, so it stays small. Without it
    the system gives and takes the memory of every tensor anew, which made convolutions up to twice as slow, depending
    on what the process did before (``benchmarks/onnx_speed.py``).

    Raises:
        MissingExtra: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        package, extra = "onnxruntime", "onnx"
        raise MissingExtra(package, extra, "running an ONNX model") from None
    if threads < 1:
        msg = f"threads must be at least 1, got {threads}"
        raise InputError(msg)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong comes as an exception; nothing below floor 6 prints
    return options


def runtime_of(
    content: bytes, *, where: str, threads: int = 1, beside: Mapping[str, bytes] | None = None
) -> Any:
    """Onnxruntime's session for a model's bytes, and for those of the files that hold its weights.

    Args:
        where: names the source in errors.
        beside: location as the model names it → the whole file.

    Raises:
        InputError: the bytes are not an ONNX model that can be run.
        MissingExtra: onnxruntime is not installed.
    """
    options = options_of(threads)
    import onnxruntime

    if len(content) > MAX_BYTES:
        msg = f"{where}: {len(content):,} bytes are more than the {MAX_BYTES:,} that one ONNX file may have"
        raise InputError(msg)
    if beside:
        names, parts = list(beside), list(beside.values())
        options.add_external_initializers_from_files_in_memory(names, parts, [len(part) for part in parts])
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a dozen classes of its own, and RuntimeError
        msg = f"{where}: not an ONNX model that can be run ({files.visible(str(error))[:300]})"
        raise InputError(msg) from None


def digest_of(content: bytes, beside: Mapping[str, bytes] | None = None) -> str:
    """The digest of a model: of its bytes, or of the list of the digests of all its files."""
    if not beside:
        return files.digest(content)
    listed = {name: files.digest(part) for name, part in beside.items()}
    return files.digest(files.canonical_json({"model": files.digest(content), "beside": listed}))


def open_session(
    content: bytes, *, where: str, threads: int = 1, beside: Mapping[str, bytes] | None = None
) -> Session:
    """A session for the bytes of an ONNX file that ``rai export`` wrote.

    Args:
        where: names the source in errors.
        threads: how many threads a run may use.
        beside: the files that hold its weights, where they are not in the bytes themselves.

    Raises:
        NotOurs: the bytes lack the metadata that say which columns they read and how they decide.
        InputError: they are not an ONNX model, or keep their weights in other files.
        MissingExtra: onnxruntime is not installed.
    """
    runtime = runtime_of(content, where=where, threads=threads, beside=beside)
    about = runtime.get_modelmeta().custom_metadata_map.get(KEY)
    if about is None:
        msg = (
            f"{where}: lacks the metadata {KEY!r} (columns and decision); it was not written by rai export: say which "
            "columns it reads (--feature COL, or subject: {model: …, features: […]} in audit.yaml)"
        )
        raise NotOurs(msg)
    record = files.parse_json(about.encode(), About, where=f"{where}: metadata {KEY!r}")
    inputs, reads = runtime.get_inputs(), record.read
    kinds = kinds_read(reads)
    if len(inputs) != len(kinds) or (reads.features and inputs[-1].shape[-1] != len(reads.features)):
        shapes = [i.shape for i in inputs]
        msg = f"{where}: names {len(record.features)} columns, but its input has the shape {shapes}"
        raise InputError(msg)
    return Session(
        name=record.name,
        digest=digest_of(content, beside),
        features=record.features,
        decision=record.decision,
        reads=reads,
        outcome=record.outcome,
        trained=record.trained,
        variant=record.variant,
        runtime=runtime,
        input_names=tuple(i.name for i in inputs),
        tokenizer=pretrained.tokenizer_read(record.tokenizer, where=where) if record.tokenizer else None,
    )
