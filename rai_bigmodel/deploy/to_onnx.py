"""How does a run become an ONNX file that takes raw columns and knows nothing of the machine that made it?

The file of a table: input ``columns`` ``(batch, features)`` float32, NaN for missing; output ``score`` ``(batch,)``,
the sigmoid of the logit. Pictures, texts (as ids) and series are inputs ``pixels``, ``tokens`` and ``series`` before
it; with several labels ``score`` is ``(batch, labels)``, else what ``training.scoring`` says. Name, columns, decision
and the digest of the run stand in the metadata under one key (``deploy.session.About``), with the labels and the
vocabulary that become numbers before the graph begins.
"""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.deploy.session import KEY, About, open_session
from rai_bigmodel.errors import CheckFailed, InputError, MissingExtra
from rai_bigmodel.evidence import Record
from rai_bigmodel.training.inputs import kinds_read

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from rai_bigmodel.nets.reads import Reads
    from rai_bigmodel.subject import Array, Inputs
    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.checkpoint import Run

OPSET = 18
NAMES = {"table": "columns"}
"""The name of an input in the file, where it is not that of what is read."""
TOLERANCE = 1e-5
"""The largest difference of a score that float32 arithmetic in another order explains."""


class Parity(Record):
    """How far an exported file is from the run it came from, on some rows.

    Args:
        max_abs_difference: of the answers; of those that are no probabilities, relative to their size.
        flipped: how many rows are decided otherwise.
    """

    rows: int
    max_abs_difference: float
    flipped: int

    @property
    def good(self) -> bool:
        """Whether the scores agree within the tolerance and every decision is the same."""
        return self.flipped == 0 and self.max_abs_difference <= TOLERANCE


def to_onnx(run: Run) -> bytes:
    """The run as the bytes of an ONNX model; equal runs give equal bytes.

    Raises:
        MissingExtra: onnx or onnxscript is not installed.
    """
    import torch
    from torch import Tensor, nn

    try:
        import onnx
        import onnxscript  # noqa: F401 - the exporter imports it much later, with a longer error
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "onnx", "exporting to ONNX") from None
    from rai_bigmodel.nets import example
    from rai_bigmodel.training.scoring import answer

    class Scorer(nn.Module):
        """The run's module with its answer on top, so that the file gives scores, not logits."""

        def __init__(self, module: nn.Module, aim: Aim) -> None:
            super().__init__()
            self.module, self.aim = module, aim

        def forward(self, *inputs: Tensor) -> Tensor:
            """Raw rows → what the model says of them."""
            return answer(self.module, inputs, self.aim)

    reads, aim = run.card.reads, run.card.aim
    kinds = kinds_read(reads)
    if reads.tokens is not None and reads.tokens.level == "pieces":
        msg = f"{run.name}: an encoder with a tokenizer of its own cannot be exported: the file could not cut texts"
        raise InputError(msg)
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            Scorer(run.module, aim).eval(),
            example(reads),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[NAMES.get(kind, kind) for kind in kinds],
            output_names=["score"],
            dynamic_shapes=(tuple({0: batch} for _ in kinds),),
        )
    assert program is not None  # only the exporter without dynamo gives nothing
    model = onnx.ModelProto()
    model.CopyFrom(program.model_proto)
    _strip(model)
    plain = kinds == ("table",) and not reads.categories
    about = About(
        name=run.name,
        features=run.card.features,
        decision=run.decision,
        trained=run.digest,
        reads=None if plain else reads,
        outcome=aim.outcome,
    )
    model.metadata_props.add(key=KEY, value=files.canonical_json(about).decode().strip())
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def export(run: Run, path: str | os.PathLike[str]) -> bytes:
    """Write the run as an ONNX file, once its scores agree with the run's on `edges`, and give its bytes.

    Raises:
        InputError: the file cannot be written.
        CheckFailed: it does not score or decide as the run does; it is not written.
        MissingExtra: onnx or onnxscript is not installed.
    """
    content = to_onnx(run)
    agreed = parity(run, content, edges(run))
    # Not `good`: a made-up row may lie on the threshold itself, where rounding decides. On real rows it must hold.
    if agreed.max_abs_difference > TOLERANCE:
        msg = (
            f"{run.name}: the exported file differs from the run by up to {agreed.max_abs_difference:g} in its "
            f"scores and in {agreed.flipped} of {agreed.rows} decisions; it was not written"
        )
        raise CheckFailed(msg)
    files.write_bytes(path, content)
    return content


def edges(run: Run) -> dict[str, Array]:
    """Raw columns at the edges of what a model may meet: missing, zero, typical, far out and absurd values."""
    reads = run.card.reads
    found: dict[str, Array] = {}
    if reads.numbers:
        found |= _numbers(reads)
    for name, category in reads.categories.items():
        found[name] = np.array([None, "", *category.values[:20], "a label nobody has seen"], dtype=object)
    if (p := reads.pixels) is not None:
        found[p.column] = _grids((p.channels, p.height, p.width), p.center, p.scale)
    if (s := reads.series) is not None:
        found[s.column] = _grids((s.length, s.features), s.center, s.scale)
        found[s.column][:3, 1:] = np.nan  # one step, and padding behind it
    if (t := reads.tokens) is not None:
        join = " ".join if t.level == "word" else "".join
        some = [join(t.words[i : i + t.length // 2 + 1]) for i in range(0, min(60, len(t.words)), 6)]
        longest = join([*t.words[:1], "\u2603"] * t.length)
        found[t.column] = np.array([None, "", "\u2603", *some, longest], dtype=object)
    rows = max(len(values) for values in found.values())
    return {name: values[np.arange(rows) % len(values)] for name, values in found.items()}


def _numbers(reads: Reads) -> dict[str, Array]:
    center, scale, fill = (
        np.array([getattr(one, name) for one in reads.numbers.values()])
        for name in ("center", "scale", "fill")
    )
    steps = np.array([-1e6, -50.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, 50.0, 1e6])
    rows = [np.full_like(center, np.nan), np.zeros_like(center), fill, *(center + s * scale for s in steps)]
    # One column at a time far out, the others typical: what a mistyped field looks like.
    far = np.tile(fill, (2 * len(fill), 1))
    far[np.arange(len(fill)), np.arange(len(fill))] = np.nan
    far[len(fill) + np.arange(len(fill)), np.arange(len(fill))] = 1e9
    whole = np.vstack([*rows, far])
    return {feature: whole[:, i] for i, feature in enumerate(reads.numbers)}


def _grids(shape: tuple[int, ...], center: float, scale: float) -> Array:
    """Pictures or series of one value each, and of noise: the same noise every time."""
    levels = np.array([-10.0, -3.0, -1.0, 0.0, 1.0, 3.0, 10.0])
    flat = np.broadcast_to((center + scale * levels).reshape(-1, *[1] * len(shape)), (len(levels), *shape))
    noise = center + scale * np.random.default_rng(0).normal(size=(16, *shape))
    return np.concatenate([flat, noise]).astype(np.float32)


def parity(run: Run, content: bytes, columns: Inputs) -> Parity:
    """How far the exported bytes are from the run on these raw columns.

    Raises:
        InputError: a column is missing, or a score is not a number.
        MissingExtra: onnxruntime is not installed.
    """
    from rai_bigmodel.training.fit import score_columns

    aim = run.card.aim
    before = score_columns(run.module, columns, where=run.name, aim=aim)
    after = open_session(content, where=f"{run.name} (ONNX)").score(columns)
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        msg = f"{run.name}: scores that are not finite cannot be compared"
        raise InputError(msg)
    # Rounding grows with the size of an answer; of a probability it is that of 1.
    size = np.maximum(1.0 if aim.target is None else aim.target.scale, np.abs(before))
    return Parity(
        rows=len(before),
        max_abs_difference=float((np.abs(before - after) / size).max(initial=0.0)),
        flipped=int((_decided(run, before) != _decided(run, after)).sum()),
    )


def _decided(run: Run, answers: Array) -> Array:
    """The decision of each row; all alike where nothing is decided."""
    if run.card.aim.outcome == "classes":
        return answers.argmax(axis=1)
    if run.card.aim.outcome != "binary":
        return np.zeros(len(answers))
    threshold = 0.5 if run.decision.threshold is None else run.decision.threshold
    return answers >= threshold


def _strip(model: Any) -> None:
    """Remove what the exporter tells about the building machine: source lines, stack traces, paths."""
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "rai_bigmodel", ""
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        graph.doc_string = ""
        del graph.metadata_props[:]
        if hasattr(graph, "initializer"):
            for value in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
                value.doc_string = ""
                del value.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
            for attribute in node.attribute:
                attribute.doc_string = ""
                graphs += [g for g in (attribute.g, *attribute.graphs) if g.node]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from talking: it prints progress, logs, and warns about its own parts."""
    logger = logging.getLogger("torch.onnx")
    others = logging.getLogger("onnxscript")
    levels = logger.level, others.level
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")  # third-party deprecations; the parity check judges the result
        logger.setLevel(logging.ERROR)
        others.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(levels[0])
            others.setLevel(levels[1])
