"""How does a graph come to work in half precision, without a value that half precision cannot hold?

Half precision ends at 65,504 and knows some three digits. A node works in it when its operator is one of those below
and nothing that it reads or gives is large on any row at hand; the rest stays in single precision, sums of many terms,
exponentials and losses always, as in the mixed precision that networks are trained with (Micikevicius et al. 2018). A
cast stands wherever a tensor passes from one to the other. Converters that give every node a fixed list of operators
cast values to half precision on the way between two nodes that were to stay in single, where they overflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENDS = 65_504.0
"""The largest number of half precision."""
ROOM = ENDS / 64
"""Values beyond it stay in single precision, so that sums of a few of them do not overflow either."""
_HALF = frozenset([
    "MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU", "RNN", "Add", "Sub", "Mul", "Div", "Neg",
    "Abs", "Relu", "LeakyRelu", "Elu", "Selu", "Gelu", "Tanh", "Sigmoid", "Erf", "MaxPool",
    "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Reshape", "Flatten", "Transpose", "Squeeze",
    "Unsqueeze", "Concat", "Split", "Slice", "Gather", "Expand", "Identity", "Clip", "Min", "Max",
])  # fmt: skip


def halved(model: Any, kinds: Mapping[str, str], most: Mapping[str, float]) -> None:
    """Turn an onnx model's nodes to half precision where they fit; its inputs and outputs stay as they are.

    Args:
        kinds: the type of every tensor that a node gives, as onnxruntime names it.
        most: the largest absolute value of every tensor of single precision, over the rows at hand.
    """
    import onnx

    graph = model.graph
    weights = {t.name: t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    single = {name for name, kind in kinds.items() if kind == "tensor(float)"} | set(weights)
    single |= {i.name for i in graph.input if i.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    far = {name for name in single - set(weights) if not most.get(name, np.inf) <= ROOM}
    far |= {name for name, tensor in weights.items() if not _largest(tensor) <= ROOM}
    kept = {o.name for o in graph.output} | {n for node in graph.node for n in _reached(node)}
    half = [
        node.op_type in _HALF
        and not node.domain
        and not ({*node.input, *node.output} & far)
        and not ({*node.output} & kept)
        and bool({*node.output} & single)
        for node in graph.node
    ]
    given = {
        name for node, fits in zip(graph.node, half, strict=True) if fits for name in node.output
    } & single
    nodes, made = [], {}
    for node, fits in zip(graph.node, half, strict=True):
        for i, name in enumerate(node.input):
            if name not in single or fits == (name in given):
                continue
            if (name, fits) not in made:
                made[name, fits] = f"{name}_{'half' if fits else 'single'}"
                if name in weights:
                    graph.initializer.append(_rounded(weights[name], made[name, fits]))
                else:
                    to = onnx.TensorProto.FLOAT16 if fits else onnx.TensorProto.FLOAT
                    nodes.append(onnx.helper.make_node("Cast", [name], [made[name, fits]], to=to))
            node.input[i] = made[name, fits]
        nodes.append(node)
    used = {name for node in nodes for name in (*node.input, *_reached(node))} | kept
    left = [t for t in graph.initializer if t.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(left)


def _rounded(tensor: Any, name: str) -> Any:
    import onnx

    values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
    return onnx.numpy_helper.from_array(values, name)


def _largest(tensor: Any) -> float:
    import onnx

    return float(np.abs(onnx.numpy_helper.to_array(tensor)).max(initial=0.0))


def _reached(node: Any) -> Iterator[str]:
    """The names that the graphs inside a node read from outside."""
    for attribute in node.attribute:
        for graph in [*([attribute.g] if attribute.g.node else []), *attribute.graphs]:
            for one in graph.node:
                yield from one.input
                yield from _reached(one)
            yield from (o.name for o in graph.output)
