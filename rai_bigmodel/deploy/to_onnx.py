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

from rai_bigmodel import files
from rai_bigmodel.deploy.session import KEY, About
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.training.inputs import kinds_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.checkpoint import Run

OPSET = 18
NAMES = {"table": "columns"}
"""The name of an input in the file, where it is not that of what is read."""


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
    strip(model)
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


def strip(model: Any) -> None:
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
