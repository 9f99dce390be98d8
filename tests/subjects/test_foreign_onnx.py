"""Can a file that skl2onnx, or anybody, wrote be audited, and does one that cannot say why?"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rai_bigmodel as rai
from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.of_foreign_onnx import of_foreign_onnx
from rai_bigmodel.tables import Table

X, Y = load_breast_cancer(return_X_y=True)
NAMES = tuple(f"f{i}" for i in range(X.shape[1]))
COLUMNS = dict(zip(NAMES, X.T, strict=True))
TEXT = {**COLUMNS, "f3": np.array(["x"] * len(X))}


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)


def exported(model, *, zipmap: bool) -> bytes:
    options = None if zipmap else {id(model): {"zipmap": False}}
    return to_onnx(model, X[:1].astype(np.float32), options=options).SerializeToString()


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_pipeline_through_skl2onnx_is_audited_as_the_pipeline_is(pipeline, zipmap: bool) -> None:
    """A map of labels or a table of probabilities; scores equal to float32, and every decision."""
    group = np.array(["a", "b"], dtype=object)[np.arange(len(X)) % 2]
    roles = {"feature": NAMES, "truth": ("y",), "sensitive": ("group",)}
    table = Table(name="rows", columns={**COLUMNS, "y": Y * 1.0, "group": group}, roles=roles)
    subject = of_foreign_onnx(exported(pipeline, zipmap=zipmap), features=NAMES)
    dossier = rai.audit(
        subject, Splits(held_out=table), audits=["performance", "calibration", "fairness", "slices", "data"]
    )

    assert np.allclose(subject.predict(COLUMNS), pipeline.predict_proba(X)[:, 1], atol=1e-5)
    assert ((subject.predict(COLUMNS) >= 0.5) == pipeline.predict(X)).all()
    assert subject.decision.labels == ("0", "1")
    assert not any(e.failure for e in dossier.evidence)


def two_inputs() -> bytes:
    """age and town's code in, a number of each and a label out."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["age", "code"], ["sum"]), helper.make_node("Sigmoid", ["sum"], ["score"])],
        "g",
        [info("age", TensorProto.FLOAT, ["n", 1]), info("code", TensorProto.FLOAT, ["n", 1])],
        [info("score", TensorProto.FLOAT, ["n", 1])],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    ).SerializeToString()


def test_several_inputs_are_fed_by_name() -> None:
    """An input named like a column needs no entry; another is told which column it reads."""
    a, b = np.arange(4.0), np.ones(4)
    subject = of_foreign_onnx(two_inputs(), inputs={"code": ["town"]})

    assert np.allclose(subject.predict({"age": a, "town": b}), 1 / (1 + np.exp(-a - b)))
    with pytest.raises(InputError, match="'code' is not there"):
        of_foreign_onnx(two_inputs()).predict({"age": a, "town": b})


def test_what_cannot_be_understood_is_one_line(pipeline) -> None:
    """Too few columns, text, an output that is not there, labels only, an unknown label, a hostile file."""
    content = exported(pipeline, zipmap=False)
    mapped = exported(pipeline, zipmap=True)
    labels_only = onnx.load_from_string(content)
    del labels_only.graph.output[1]
    decides = labels_only.SerializeToString()
    for make, said in (
        (lambda: of_foreign_onnx(content, features=("f0",)), "reads 30 columns, 1 are named"),
        (lambda: of_foreign_onnx(content, features=NAMES, output="x"), "'x' is not there; there are: label"),
        (lambda: of_foreign_onnx(content, features=NAMES, positive="yes"), "got 'yes'"),
        (lambda: of_foreign_onnx(content, features=NAMES, inputs={"Y": NAMES}), "'Y' is not there"),
        (lambda: of_foreign_onnx(decides, features=NAMES), "gives no scores or probabilities; it has: .*--prediction"),
        (lambda: of_foreign_onnx(decides, features=NAMES, output="label"), "'label' gives no scores .*--prediction"),
        (lambda: of_foreign_onnx(mapped, features=NAMES, labels=("1", "0")), "gives the labels"),
        (lambda: of_foreign_onnx(b"\x80\x02cos\nsystem\n."), "unsafe, not loaded"),
        (lambda: of_foreign_onnx(content, features=NAMES).predict(TEXT), "'f3' must hold one number"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said) as error:
            make()
        assert "\n" not in str(error.value)
