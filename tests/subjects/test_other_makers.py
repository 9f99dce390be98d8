"""Are files audited that boosters and Keras export? Graphs of the same shape, made by hand.

LightGBM and XGBoost through onnxmltools, and Keras 3 on torch, give such graphs; what those packages wrote was
audited once with them installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rai_bigmodel import api, cli
from rai_bigmodel.errors import InputError
from rai_bigmodel.scan import scan
from rai_bigmodel.subjects.of_foreign_onnx import of_foreign_onnx

ML = "ai.onnx.ml"
CUT = 0.25


def saved(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: Any = ()) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ML, 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def stump(path: Path, *, zipmap: bool) -> Path:
    """One tree on the second of two columns, as a booster's export: a raw score, the logistic, labels, a map."""
    tree = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [1, 0, 0],
        "nodes_values": [CUT, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_missing_value_tracks_true": [0, 0, 0],
        "class_treeids": [0, 0],
        "class_nodeids": [1, 2],
        "class_ids": [0, 0],
        "class_weights": [-2.0, 1.0],
        "classlabels_int64s": [0, 1],
        "post_transform": "LOGISTIC",
    }
    nodes = [helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "p"], domain=ML, **tree)]
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])]
    if zipmap:
        nodes.append(
            helper.make_node("ZipMap", ["p"], ["probabilities"], domain=ML, classlabels_int64s=[0, 1])
        )
        element = helper.make_map_type_proto(
            TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
        )
        outputs.append(helper.make_value_info("probabilities", helper.make_sequence_type_proto(element)))
    else:
        outputs.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 2]))
    return saved(path, nodes, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])], outputs)


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_boosters_file_is_safe_and_audited_whole(tmp_path: Path, zipmap: bool) -> None:
    """Scanned, asked with and without a map of labels, and audited from the command line; scores as on paper."""
    model = stump(tmp_path / "booster.onnx", zipmap=zipmap)
    subject = of_foreign_onnx(model, features=["a", "b"])
    r = np.random.default_rng(0)
    a, b = r.normal(size=(2, 300))
    wanted = np.where(b <= CUT, 1 / (1 + np.exp(2)), 1 / (1 + np.exp(-1)))
    lines = [
        "a,b,y,g",
        *(f"{x},{z},{int(z > 0)},{'st'[i % 2]}" for i, (x, z) in enumerate(zip(a, b, strict=True))),
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    rows = ["--data", str(tmp_path / "rows.csv"), "--truth", "y", "--sensitive", "g"]
    asked = ["audit", "--model", str(model), *rows, "--feature", "a", "--feature", "b"]

    assert scan(model).safe
    assert subject.weigh({"a": a, "b": b})["load_ms"] > 0  # type: ignore[misc, index]
    assert subject.predict({"a": a, "b": b}) == pytest.approx(wanted, abs=1e-6)
    assert cli._run([*asked, "--out", str(tmp_path / "out"), "--quiet"]) == 0
    found = {m.metric: m.value for e in api.load(tmp_path / "out").evidence for m in e.measurements}
    assert found["performance.accuracy"] == pytest.approx(np.mean((b > CUT) == (b > 0)))


def kernel(path: Path) -> Path:
    """A net for pictures with channels last, as Keras has them: transposed, averaged, two weights, softmax."""
    nodes = [
        helper.make_node("Transpose", ["keras_tensor"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("GlobalAveragePool", ["first"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["45"], axis=-1),
    ]
    info = helper.make_tensor_value_info
    weights = [onnx.numpy_helper.from_array(np.eye(2, 3, dtype=np.float32), "w")]
    return saved(
        path,
        nodes,
        [info("keras_tensor", TensorProto.FLOAT, ["batch", 6, 5, 2])],
        [info("45", TensorProto.FLOAT, ["Softmax45_dim_0", 3])],
        weights,
    )


def test_pictures_are_read_with_channels_last_or_first(tmp_path: Path) -> None:
    """As the file has them, or moved where only that fits; more rows than a piece."""
    subject = of_foreign_onnx(kernel(tmp_path / "k.onnx"), labels=["a", "b", "c"])
    last = np.random.default_rng(0).normal(size=(70, 6, 5, 2))
    logits = last.mean(axis=(1, 2)) @ np.eye(2, 3)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    assert subject.predict(last) == pytest.approx(wanted, abs=1e-6)
    assert subject.predict(np.moveaxis(last, -1, 1)) == pytest.approx(wanted, abs=1e-6)
    assert subject.predict({"image": last[:3]}) == pytest.approx(wanted[:3], abs=1e-6)
    assert subject.weigh(last)["load_ms"] > 0  # type: ignore[misc, index]


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (np.zeros((3, 7, 5, 2)), r"an array of shape \(7, 5, 2\)"),
        (np.zeros((3, 6, 5)), r"an array of shape \(6, 5\)"),
        ({"a": np.zeros(3), "b": np.zeros(3)}, "2 columns"),
        (np.full((3, 6, 5, 2), "x", dtype=object), r"an array of shape \(6, 5, 2\)"),
    ],
)
def test_rows_that_are_no_such_pictures_are_one_line(tmp_path: Path, given: Any, got: str) -> None:
    """What the input reads, and what came."""
    subject = of_foreign_onnx(kernel(tmp_path / "k.onnx"), labels=["a", "b", "c"])

    with pytest.raises(
        InputError, match=r"reads one array a row of shape \(6, 5, 2\).*, got " + got
    ) as error:
        subject.predict(given)
    assert "\n" not in str(error.value)
