"""Do the ways that make a file quick leave its answers as they are?"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from rai_bigmodel import nets
from rai_bigmodel.deploy import session as opened
from rai_bigmodel.deploy import to_onnx
from rai_bigmodel.deploy.fusable import written_to_fuse
from rai_bigmodel.deploy.side_by_side import SideBySide
from rai_bigmodel.evidence import Decision

TWO = Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1"))


@pytest.mark.parametrize("columns", [1, 2, 5, 6])
def test_columns_side_by_side_are_the_stacked_columns(columns: int) -> None:
    """Of any number of columns and kinds of numbers, missing and infinite ones too, full or not."""
    r = np.random.default_rng(columns)
    table = SideBySide(64, columns)
    for rows in (64, 1, 63):
        given = [
            r.normal(size=rows).astype((np.float64, np.float32, np.int64)[j % 3]) for j in range(columns)
        ]
        given[0] = np.where(r.random(rows) < 0.3, np.nan, np.inf)

        assert np.array_equal(
            table.filled(given), np.stack([x.astype(np.float32) for x in given], axis=1), equal_nan=True
        )


def gelu(order: str) -> bytes:
    """A graph that is a GELU, its half first, as torch writes it, or a product of other things."""
    inner = {"half first": ["half", "more"], "no half": ["third", "more"], "no erf": ["half", "x"]}[order]
    nodes = [
        helper.make_node("Div", ["x", "root"], ["part"]),
        helper.make_node("Erf", ["part"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["more"]),
        helper.make_node("Mul", inner, ["some"]),
        helper.make_node("Mul", ["x", "some"], ["y"]),
    ]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    numbers = {"root": np.sqrt(2), "one": 1, "half": 0.5, "third": 1 / 3}
    weights = [onnx.numpy_helper.from_array(np.float32(v), name) for name, v in numbers.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def operators(content: bytes, path: str) -> set[str]:
    """What onnxruntime makes of a graph."""
    options = opened.options_of()
    options.optimized_model_filepath = path
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(path).graph.node}


def test_a_gelu_is_one_operator_to_the_runtime_and_the_same_number(tmp_path) -> None:
    """As torch writes it, five; with the half last, one. Worked out node by node both give the same bits."""
    before = gelu("half first")
    model = onnx.load_from_string(before)
    written_to_fuse(model)
    after = model.SerializeToString()
    x = np.linspace(-9, 9, 5001, dtype=np.float32)
    plain = opened.options_of()
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    said = [
        onnxruntime.InferenceSession(c, plain, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for c in (before, after)
    ]

    assert np.array_equal(*said)
    assert "Gelu" not in operators(before, str(tmp_path / "before.onnx"))
    assert operators(after, str(tmp_path / "after.onnx")) == {"Gelu"}


@pytest.mark.parametrize("order", ["no half", "no erf"])
def test_other_products_are_left_alone(order: str) -> None:
    """A third is no half, and half of something else no GELU."""
    model = onnx.load_from_string(gelu(order))
    written_to_fuse(model)

    assert model.SerializeToString() == gelu(order)


def test_pictures_in_pieces_are_answered_as_at_once() -> None:
    """More pictures than a piece and not a multiple of it, by a net with GELU and a norm; large ones come by fours."""
    reads = nets.Reads(pixels=nets.Pixels(channels=1, height=8, width=8))
    module = nets.CNN(widths=(8,), groups=4, activation="gelu").build(
        reads, generator=torch.Generator().manual_seed(0)
    )
    about = to_onnx.About(name="n", features=("image",), decision=TWO, trained="", reads=reads)
    made = to_onnx.exported(
        to_onnx.scorer_of(module.eval(), lambda m, x: torch.sigmoid(m(*x))[:, 0]), nets.example(reads), about
    )
    session = opened.open_session(made.content, where="n")
    pictures = np.random.default_rng(0).normal(size=(2 * opened.PIECE + 3, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        wanted = torch.sigmoid(module(torch.from_numpy(pictures)))[:, 0].numpy()

    assert session.score(pictures) == pytest.approx(wanted, abs=1e-6)
    assert opened.piece_of(64) == opened.PIECE
    assert opened.piece_of(28 * 28) == 32
    assert opened.piece_of(3 * 224 * 224) == opened.FEWEST
