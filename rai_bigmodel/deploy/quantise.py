"""How does an exported file become smaller? Half precision, or whole numbers of 8 bits.

Half precision: `deploy.half`.

Whole numbers of 8 bits come in two ways (Jacob et al. 2018). *Dynamic*: weights are rounded once, and what flows
between layers at every call, by the range that it has in that batch: for nets of matrix products. *Static*: the range
is measured once, on calibration rows, and what lies outside saturates: for nets with convolutions, which dynamic
rounding makes several times slower.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.deploy.half import ENDS, halved
from rai_bigmodel.deploy.session import KEY, About, open_session, options_of
from rai_bigmodel.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rai_bigmodel.subject import Array, Inputs

Variant = Literal["fp32", "fp16", "int8"]
CALIBRATION_ROWS = 512
"""Rows that static ranges are measured on, evenly spaced over those given."""
_CONVOLUTIONS = frozenset(["Conv", "ConvTranspose"])


def fp16(content: bytes, *rows: Inputs) -> bytes:
    """The file in half precision, its inputs and outputs as before.

    Args:
        rows: sets of raw rows whose values say which nodes must stay in single precision.

    Raises:
        InputError: a row cannot be read by the model.
    """
    model = _onnx().load_from_string(content)
    most: dict[str, float] = {}
    for some in rows:
        for name, largest in ranges(content, some).items():
            most[name] = max(most.get(name, 0.0), largest)
    halved(model, _opened_up(content)[1], most)
    return _said(model, content, "fp16")


def int8(content: bytes, calibration: Inputs | None, *, static: bool | None = None) -> bytes:
    """The file with weights, and most of what flows, in whole numbers of 8 bits.

    Args:
        calibration: raw rows that ranges are measured on.
        static: whether ranges are measured beforehand; by default only for a net with convolutions.

    Raises:
        InputError: calibration rows are needed and none were given, or one cannot be read.
    """
    onnx = _onnx()
    model = onnx.load_from_string(content)
    if static is None:
        static = any(node.op_type in _CONVOLUTIONS for node in model.graph.node)
    if static and calibration is None:
        msg = (
            f"{_name(content)}: 8 bits for convolutions need calibration rows, and the run's own are not at hand; "
            "--data AUDIT.yaml names a file whose data: has them under calibrate"
        )
        raise InputError(msg)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        given, before, after = (Path(folder) / name for name in ("given.onnx", "before.onnx", "after.onnx"))
        files.write_bytes(given, content)
        # Shapes in symbols break on a recurrent layer, and are not needed here.
        quant_pre_process(str(given), str(before), skip_symbolic_shape=True)
        if static:
            assert calibration is not None
            quantize_static(
                str(before),
                str(after),
                _Rows(_fed(content, calibration)),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
        else:
            quantize_dynamic(str(before), str(after), weight_type=QuantType.QInt8)
        made = onnx.load_from_string(files.read_bytes(after))
    return _said(made, content, "int8")


def ranges(content: bytes, rows: Inputs) -> dict[str, float]:
    """The largest absolute value of every tensor of numbers inside a file, over these rows.

    What is not finite in single precision already counts as infinite; a missing value at the input does not count.
    """
    runtime, kinds = _opened_up(content)
    inside = [name for name, kind in kinds.items() if kind == "tensor(float)"]
    feeds = _fed(content, rows)
    found = {name: _largest(values) for name, values in feeds.items() if values.dtype == np.float32}
    for name, values in zip(inside, runtime.run(inside, feeds), strict=True):
        found[name] = _largest(values)
    return found


def overflows(variant: bytes, content: bytes, rows: Inputs) -> tuple[str, float] | None:
    """The first tensor that a file holds in half precision although its values do not fit there, and the largest.

    A runtime without half-precision arithmetic (a CPU) works in single precision behind the scenes and hides it; the
    GPU that the file is meant for would not.

    Args:
        variant: the file in half precision.
        content: the same model in single precision, which says what the values are.
    """
    half = {name for name, kind in _opened_up(variant)[1].items() if kind == "tensor(float16)"}
    for name, most in ranges(content, rows).items():
        if name in half and not most <= ENDS:
            return name, most
    return None


def _opened_up(content: bytes) -> tuple[Any, dict[str, str]]:
    """A session that gives every tensor of the graph, as it stands there, and the type of each."""
    import onnxruntime

    onnx = _onnx()
    model = onnx.load_from_string(content)
    there = [o.name for o in model.graph.output]
    inside = [o for n in model.graph.node for o in n.output if o and o not in there]
    # Without types: the runtime infers them, and those of a converted file are stale.
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inside)
    del model.graph.value_info[:]
    options = options_of()
    # Without optimisation: a node that is fused away has no value to look at.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    runtime = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return runtime, {o.name: o.type for o in runtime.get_outputs()}


def _largest(values: Array) -> float:
    values = np.abs(values[~np.isnan(values)])
    return float(values.max(initial=0.0))


def _fed(content: bytes, rows: Inputs) -> dict[str, Array]:
    """What the file is called with for these raw rows."""
    session = open_session(content, where=_name(content))
    given = session.inputs(rows)
    every = max(1, -(-len(next(iter(given.values()))) // CALIBRATION_ROWS))
    return {name: x[::every] for name, x in given.items()}


def _name(content: bytes) -> str:
    about = _about(_onnx().load_from_string(content))
    return "ONNX model" if about is None else about.name


def _about(model: Any) -> About | None:
    said = next((p.value for p in model.metadata_props if p.key == KEY), None)
    return None if said is None else files.parse_json(said.encode(), About, where=f"metadata {KEY!r}")


class _Rows:
    """All calibration rows as one batch, in the shape that onnxruntime asks for."""

    def __init__(self, feeds: Mapping[str, Array]) -> None:
        self.left: list[Mapping[str, Array]] = [feeds]

    def get_next(self) -> Mapping[str, Array] | None:
        """The batch, once."""
        return self.left.pop() if self.left else None

    def set_range(self, start_index: int, end_index: int) -> None:
        """Asked for where there are more batches than one."""


def _said(made: Any, content: bytes, variant: Variant) -> bytes:
    """The bytes of a variant that tells what it is, and nothing of how or where it was made."""
    import msgspec

    from rai_bigmodel.deploy.to_onnx import strip

    about = _about(_onnx().load_from_string(content))
    assert about is not None  # made from a file of ours
    strip(made)
    told = msgspec.structs.replace(about, variant=variant)
    made.metadata_props.add(key=KEY, value=files.canonical_json(told).decode().strip())
    whole: bytes = made.SerializeToString(deterministic=True)
    return whole


def _onnx() -> Any:
    try:
        import onnx
        import onnxruntime  # noqa: F401 - both or neither
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "onnx", "exporting to ONNX") from None
    return onnx


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tools from talking: they print advice about pre-processing, and warn about weights near 0."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
