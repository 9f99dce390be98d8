"""What would an ONNX model make a runtime do? Reach for other files, foreign operators, endless loops, giant tensors.

The graph is walked as it lies in the file, its functions and subgraphs with it. Only what is written there as a
constant can be judged: a trip count that is worked out from the input is for the limits of the process that runs it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from rai_bigmodel.scan import wire
from rai_bigmodel.scan.found import Elsewhere, Malformed
from rai_bigmodel.scan.wire import Span

if TYPE_CHECKING:
    from rai_bigmodel.scan.found import Seen

MAX_TRIPS = 10_000_000
MAX_MADE = 1_000_000_000
"""Bytes that one node may make out of constants alone."""
MAX_NODES = 5_000_000
MAX_EXPANDED = 10_000_000
"""Nodes once every call of a function is written out."""
MAX_DEPTH = 40
DOMAINS = frozenset(["", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft"])
"""Operators that onnxruntime brings itself; any other domain is somebody's library."""
_RUNS_CODE = frozenset(["PythonOp", "PythonOpGrad", "ATen", "ATenGrad", "TritonOp", "EPContext"])
"""Operators of onnxruntime that call Python or ATen, or open files of their own."""

_MODEL = {7: "graph", 20: "training", 25: "functions"}
_GRAPH = {1: "node", 5: "initializer", 11: "input", 12: "output", 15: "sparse"}
_NODE = {1: "input", 2: "output", 4: "op_type", 5: "attribute", 7: "domain", 8: "overload"}
_ATTRIBUTE = {
    1: "name",
    3: "i",
    5: "t",
    6: "g",
    8: "ints",
    10: "tensors",
    11: "graphs",
    22: "sparse",
    23: "sparses",
}
_TENSOR = {
    1: "dims", 2: "type", 4: "float", 5: "int32", 6: "string", 7: "int64", 8: "name", 9: "raw",
    10: "double", 11: "uint64", 13: "external", 14: "location",
}  # fmt: skip
_VALUES = ("float", "int32", "string", "int64", "double", "uint64")
_FUNCTION = {1: "name", 7: "node", 10: "domain", 13: "overload"}
_ONCE = frozenset(["graph", "op_type", "domain", "t", "g", "type", "raw", "location", "overload", "i"])
_BITS = {
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((7, 11, 13, 14), 64),
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
    15: 128,
}


class _Called(NamedTuple):
    """A node's operator: its domain, its name, its overload."""

    domain: str
    name: str
    overload: str


@dataclass
class _Walk:
    content: Any
    seen: Seen
    functions: set[tuple[str, str]] = field(default_factory=set)
    nodes: int = 0


def look(content: Any, seen: Seen) -> None:
    """Walk a model's bytes; `content` is bytes or a map of a file."""
    walk = _Walk(content, seen)
    try:
        model = wire.message(content, Span(0, len(content)), _MODEL, _ONCE)
        if not model["graph"]:
            seen.fault("broken-onnx", "", "not an ONNX model, or not the whole of one (holds no graph)")
            return
        bodies = {}
        for span in wire.spans(model["functions"]):
            function = wire.message(content, span, _FUNCTION, _ONCE)
            domain, name = (_lower(wire.text(content, function[k])) for k in ("domain", "name"))
            walk.functions.add((domain, name))
            bodies[_Called(domain, name, wire.text(content, function["overload"]))] = function["node"]
        if model["training"]:
            seen.fault("training", "", "carries training graphs, which no loader of a finished model needs")
        calls = {which: _nodes(walk, wire.spans(nodes), {}, which.name, 0) for which, nodes in bodies.items()}
        calls[_Called("", "", "the graph")] = _graph(walk, wire.spans(model["graph"])[0], "", {}, 0)
        _expanded(calls, seen)
    except Malformed as error:
        seen.fault("broken-onnx", "", f"not an ONNX model, or not the whole of one ({error})")


def _lower(text: str) -> str:
    return "" if text == "ai.onnx" else text


def _graph(walk: _Walk, span: Span, at: str, outer: dict[str, Any], depth: int) -> list[_Called]:
    if depth > MAX_DEPTH:
        msg = f"graphs lie more than {MAX_DEPTH} deep in one another"
        raise Malformed(msg)
    content = walk.content
    graph = wire.message(content, span, _GRAPH)
    constants = dict(outer)
    for tensor in wire.spans(graph["initializer"]):
        name, values = _tensor(walk, tensor, at)
        constants[name] = values
    for sparse in wire.spans(graph["sparse"]):
        _sparse(walk, sparse, at)
    for where in ("input", "output"):
        for value in wire.spans(graph[where]):
            _dims(walk, value, where)
    return _nodes(walk, wire.spans(graph["node"]), constants, at, depth)


def _nodes(walk: _Walk, nodes: list[Span], constants: dict[str, Any], at: str, depth: int) -> list[_Called]:
    content, calls = walk.content, []
    for span in nodes:
        walk.nodes += 1
        if walk.nodes > MAX_NODES:
            msg = f"has more than {MAX_NODES:,} nodes"
            raise Malformed(msg)
        node = wire.message(content, span, _NODE, _ONCE)
        op, domain = wire.text(content, node["op_type"]), _lower(wire.text(content, node["domain"]))
        called = _Called(domain, op, wire.text(content, node["overload"]))
        calls.append(called)
        inputs = [wire.text(content, [v]) for v in node["input"]]
        outputs = [wire.text(content, [v]) for v in node["output"]]
        place = f"{at}/{outputs[0] if outputs else op}".lstrip("/")
        if (domain, op) not in walk.functions:
            if domain not in DOMAINS:
                why = f"the operator {op!r} of the domain {domain!r} needs somebody's own library to run"
                walk.seen.fault("custom-op", place, why)
            elif op in _RUNS_CODE:
                walk.seen.fault(
                    "code-op", place, f"the operator {op!r} runs code, or opens files, outside the model"
                )
        attributes: dict[str, Any] = {}
        for part in wire.spans(node["attribute"]):
            attribute = wire.message(content, part, _ATTRIBUTE, _ONCE)
            name = wire.text(content, attribute["name"])
            attributes[name] = wire.integers(content, [*attribute["i"], *attribute["ints"]])
            for tensor in wire.spans([*attribute["t"], *attribute["tensors"]]):
                attributes[name] = _tensor(walk, tensor, place)[1]
            for sparse in wire.spans([*attribute["sparse"], *attribute["sparses"]]):
                _sparse(walk, sparse, place)
            for graph in wire.spans([*attribute["g"], *attribute["graphs"]]):
                calls += _graph(walk, graph, place, constants, depth + 1)
        if op == "Constant" and outputs:
            constants[outputs[0]] = next(iter(attributes.values()), None)
        _judge(walk, op, [constants.get(name) if name else "" for name in inputs], attributes, place)
    return calls


def _judge(walk: _Walk, op: str, inputs: list[Any], attributes: dict[str, Any], at: str) -> None:
    """Loops that do not end and tensors that do not fit, where constants say so."""
    if op == "Loop":
        trips = inputs[0] if inputs else ""
        if not trips or isinstance(trips, str):
            if isinstance(trips, str):
                walk.seen.fault("loop", at, "a Loop without a trip count goes on until its body says stop")
        elif trips[0] > MAX_TRIPS:
            walk.seen.fault("loop", at, f"a Loop of {trips[0]:,} rounds; more than {MAX_TRIPS:,} are refused")
        return
    shape: Any = None
    if op == "ConstantOfShape":
        shape = inputs[0] if inputs else None
    elif op == "Expand":
        shape = inputs[1] if len(inputs) > 1 else None
    elif op in {"RandomNormal", "RandomUniform"}:
        shape = attributes.get("shape")
    elif op == "Range" and len(inputs) == 3 and all(isinstance(v, list) and v for v in inputs):
        first, last, step = (v[0] for v in inputs)
        shape = [max(0, (last - first) // step)] if step else None
    if isinstance(shape, list) and shape:
        made = 4
        for n in shape:
            made *= max(n, 0)
        if made > MAX_MADE:
            walk.seen.fault(
                "giant", at, f"{op} of shape {shape[:8]} would make some {made:,} bytes out of nothing"
            )
        if min(shape) < 0 and op == "ConstantOfShape":
            walk.seen.fault("dims", at, f"{op} of shape {shape[:8]}: a dimension is negative")


def _tensor(walk: _Walk, span: Span, at: str) -> tuple[str, list[int] | None]:
    """A tensor's name, and its values where they are few whole numbers; adds what is wrong with it."""
    content = walk.content
    tensor = wire.message(content, span, _TENSOR, _ONCE)
    name = wire.text(content, tensor["name"])
    where = f"{at}/{name}".strip("/")
    dims = wire.integers(content, tensor["dims"])
    kind = tensor["type"][0] if tensor["type"] else 0
    if dims and min(dims) < 0:
        walk.seen.fault("dims", where, f"the shape {dims[:8]} of a tensor has a negative dimension")
        return name, None
    numel = 1
    for n in dims:
        numel *= n
    if tensor["external"] or tensor["location"] == [1]:
        about = {}
        for pair in wire.spans(tensor["external"]):
            entry = wire.message(content, pair, {1: "key", 2: "value"})
            key = wire.text(content, entry["key"])
            if key in about:
                msg = f"the tensor {name!r} says twice where its {key} is"
                raise Malformed(msg)
            about[key] = wire.text(content, entry["value"])
        _external(walk, where, about, -(-numel * _BITS.get(kind, 8) // 8))
        return name, None
    raw = wire.spans(tensor["raw"])
    if raw and kind in _BITS:
        has, needs = raw[0].end - raw[0].start, -(-numel * _BITS[kind] // 8)
        if has != needs:
            walk.seen.fault("shape", where, f"the shape {dims[:8]} takes {needs:,} bytes, {has:,} are there")
    elif not raw and numel > sum(_at_most(tensor[k]) for k in _VALUES):
        walk.seen.fault("shape", where, f"the shape {dims[:8]} takes more values than are there")
    if kind not in {6, 7} or not 0 < numel <= 64:
        return name, None
    if raw:
        width = _BITS[kind] // 8
        whole = bytes(content[raw[0].start : raw[0].end])
        return name, [
            int.from_bytes(whole[i : i + width], "little", signed=True) for i in range(0, len(whole), width)
        ]
    return name, wire.integers(content, tensor["int64" if kind == 7 else "int32"])


def _at_most(values: list) -> int:
    """At most so many values: a packed field holds no more than it has bytes."""
    return sum(v.end - v.start if isinstance(v, Span) else 1 for v in values) + len(values)


def _external(walk: _Walk, at: str, about: dict[str, str], needs: int) -> None:
    location, numbers = about.get("location", ""), []
    for key in ("offset", "length"):
        written = about.get(key, "0" if key == "offset" else str(needs))
        if not written.isascii() or not written.isdigit() or len(written) > 19:
            walk.seen.fault(
                "external", at, f"the {key} of its data is {written[:40]!r}, not a whole number from 0"
            )
            return
        numbers.append(int(written))
    if numbers[1] != needs:
        walk.seen.fault(
            "external", at, f"its shape takes {needs:,} bytes, {numbers[1]:,} are named in {location!r}"
        )
    walk.seen.elsewhere.append(Elsewhere(at, location, *numbers))


def _sparse(walk: _Walk, span: Span, at: str) -> None:
    sparse = wire.message(walk.content, span, {1: "values", 2: "indices", 3: "dims"})
    for tensor in wire.spans([*sparse["values"], *sparse["indices"]]):
        _tensor(walk, tensor, at)
    dims, made = wire.integers(walk.content, sparse["dims"]), 4
    for n in dims:
        made *= max(n, 0)
    if made > MAX_MADE or (dims and min(dims) < 0):
        walk.seen.fault("giant", at, f"a sparse tensor of shape {dims[:8]} would take some {made:,} bytes")


def _dims(walk: _Walk, value: Span, where: str) -> None:
    """A dimension of an input or output that is written down must be at least 1; one that is named may be anything."""
    content = walk.content
    info = wire.message(content, value, {1: "name", 2: "type"})
    name = wire.text(content, info["name"])
    for kind in wire.spans(info["type"]):
        for tensor in wire.spans(wire.message(content, kind, {1: "tensor"})["tensor"]):
            for shape in wire.spans(wire.message(content, tensor, {2: "shape"})["shape"]):
                for dim in wire.spans(wire.message(content, shape, {1: "dim"})["dim"]):
                    for n in wire.integers(content, wire.message(content, dim, {1: "value"})["value"]):
                        if n < 1:
                            walk.seen.fault("dims", name, f"a dimension of this {where} is {n}")


def _expanded(calls: dict[_Called, list[_Called]], seen: Seen) -> None:
    """Functions that call themselves, or one another so often that writing them out would fill the memory."""
    sizes: dict[_Called, int] = {}
    open_: set[_Called] = set()
    todo = [(which, False) for which in calls]
    while todo:
        which, done = todo.pop()
        if done:
            open_.discard(which)
            sizes[which] = sum(sizes.get(c, 1) for c in calls[which])
            if sizes[which] > MAX_EXPANDED:
                seen.fault("bomb", which.name, f"written out it has more than {MAX_EXPANDED:,} nodes")
                return
        elif which not in sizes:
            if which in open_:
                seen.fault("bomb", which.name, "a function calls itself")
                return
            open_.add(which)
            todo.append((which, True))
            todo += [(c, False) for c in set(calls[which]) if c in calls]
