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
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET

from rai_bigmodel import files
from rai_bigmodel.deploy.fusable import written_to_fuse
from rai_bigmodel.deploy.session import KEY, About
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.training.inputs import kinds_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rai_bigmodel.nets.reads import Reads
    from rai_bigmodel.training.checkpoint import Run

OPSET = 18
NAMES = {"table": "columns"}
"""The name of an input in the file, where it is not that of what is read."""
APART = 1_500_000_000
"""Bytes of weights from which on they lie in a file of their own: one protobuf message ends at 2 GB."""
SMALL = 1024
"""Weights of fewer bytes stay in the model's own file: shapes are worked out from some of them."""
ALIGNED = 4096


class Files(NamedTuple):
    """An exported model: the file itself, and by name the files beside it that hold its weights."""

    content: bytes
    beside: dict[str, bytes]


def to_onnx(run: Run) -> bytes:
    """The run as the bytes of an ONNX model; equal runs give equal bytes.

    Raises:
        InputError: its weights are too large for one file (`to_files`).
        MissingExtra: onnx or onnxscript is not installed.
    """
    made = to_files(run)
    if made.beside:
        msg = f"{run.name}: its weights are too large for one ONNX file; only single precision is written, in two"
        raise InputError(msg)
    return made.content


def to_files(run: Run, *, location: str = "model.onnx.data", apart: int = APART) -> Files:
    """The run as an ONNX model, its weights in a file beside it where they are large.

    Args:
        location: the name of that file.
        apart: the bytes of weights from which on there is one.

    Raises:
        MissingExtra: onnx or onnxscript is not installed.
    """
    _library()  # asked for first, before anything is worked out
    from rai_bigmodel.nets import example
    from rai_bigmodel.training.scoring import answer

    reads, aim = run.card.reads, run.card.aim
    plain = kinds_read(reads) == ("table",) and not reads.categories
    about = About(
        name=run.name,
        features=run.card.features,
        decision=run.decision,
        trained=run.digest,
        reads=None if plain else reads,
        outcome=aim.outcome,
        tokenizer=_tokenizer(reads),
    )
    scorer = scorer_of(run.module, lambda module, inputs: answer(module, inputs, aim))
    return exported(scorer, example(reads), about, location=location, apart=apart)


def _library() -> Any:
    """The package onnx, once all that exporting needs is there."""
    try:
        import onnx
        import onnxscript  # noqa: F401 - the exporter imports it much later, with a longer error
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "onnx", "exporting to ONNX") from None
    return onnx


def scorer_of(module: Any, answer: Callable[[Any, tuple[Any, ...]], Any]) -> Any:
    """A module with its answer on top, so that the file gives scores, not logits."""
    from torch import Tensor, nn

    class Scorer(nn.Module):
        """Raw rows → what the model says of them."""

        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *inputs: Tensor) -> Tensor:
            out: Tensor = answer(self.module, inputs)
            return out

    return Scorer().eval()


def exported(
    scorer: Any, examples: tuple[Any, ...], about: About, *, location: str = "", apart: int = APART
) -> Files:
    """A module that answers raw tensors as an ONNX model that says what it reads; batch and length are left open.

    Args:
        examples: tensors that it can be called with.
        location, apart: as in `to_files`.

    Raises:
        MissingExtra: onnx or onnxscript is not installed.
    """
    onnx = _library()
    import torch

    from rai_bigmodel.nets import free

    def program_of(shapes: tuple[dict[int, Any], ...]) -> Any:
        return torch.onnx.export(
            scorer,
            examples,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[NAMES.get(kind, kind) for kind in kinds_read(about.read)],
            output_names=["score"],
            dynamic_shapes=(shapes,),
        )

    open_ = free(about.read)
    with _quiet():
        try:
            program = program_of(open_)
        except Exception:  # noqa: BLE001 - a dozen classes of torch's own
            # A module may fix its length (learned positions, a flattened series): the batch alone is left open.
            program = program_of(tuple({0: dims[0]} for dims in open_))
        beside = _apart(program.model, location, apart)
        model = onnx.ModelProto()
        model.CopyFrom(program.model_proto)
    strip(model)
    written_to_fuse(model)
    model.metadata_props.add(key=KEY, value=files.canonical_json(about).decode().strip())
    if not beside:
        onnx.checker.check_model(model)
    return Files(model.SerializeToString(deterministic=True), beside)


def _apart(graph_of: Any, location: str, apart: int) -> dict[str, bytes]:
    """Take large weights out of an exporter's model, into the bytes of a file beside it."""
    import onnx_ir

    weights = [v for v in graph_of.graph.initializers.values() if v.const_value is not None]
    if sum(v.const_value.nbytes for v in weights) < apart:
        return {}
    whole = bytearray()
    for value in weights:
        tensor = value.const_value
        if tensor.nbytes < SMALL:
            continue
        whole += bytes(-len(whole) % ALIGNED)
        at = len(whole)
        whole += tensor.tobytes()
        value.const_value = onnx_ir.ExternalTensor(
            location, at, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=value.name, base_dir=""
        )
    return {location: bytes(whole)}


def _tokenizer(reads: Reads) -> str:
    """The tokenizer of texts in pieces, so that the file can cut them wherever it is taken."""
    from rai_bigmodel.nets import pretrained

    if reads.tokens is None or reads.tokens.base is UNSET:
        return ""
    return files.read_bytes(pretrained.located(reads.tokens.base) / pretrained.TOKENIZER).decode()


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
