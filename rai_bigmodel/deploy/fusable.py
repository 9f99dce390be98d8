"""How is a graph written so that onnxruntime recognises what it can work out in one go?

torch writes GELU (Hendrycks and Gimpel 2016) as ``x · (½ · (1 + erf))``; onnxruntime knows ``(x · (1 + erf)) · ½`` and
works that out in one pass instead of five. Halving is exact in binary, so both are the same number.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


def written_to_fuse(model: Any) -> None:
    """Put the half of every GELU in an onnx model last."""
    import onnx

    graph = model.graph
    halves = {t.name for t in graph.initializer if not t.dims and float(onnx.numpy_helper.to_array(t)) == 0.5}
    made = {name: node for node in graph.node for name in node.output}
    read = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        inner = made.get(node.input[1]) if node.op_type == "Mul" else None
        if inner is None or inner.op_type != "Mul" or inner.input[0] not in halves:
            continue
        above = made.get(inner.input[1])
        erf = None if above is None or above.op_type != "Add" else made.get(above.input[0])
        if erf is None or erf.op_type != "Erf" or read[inner.output[0]] > 1:
            continue
        inner.input[0], node.input[0], node.input[1] = node.input[0], inner.output[0], inner.input[0]
