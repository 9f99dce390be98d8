"""Is the exported file the model, the whole model, and nothing of the machine that made it?"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from rai_bigmodel.deploy import to_onnx
from rai_bigmodel.deploy.parity import parity
from rai_bigmodel.deploy.session import KEY, open_session
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits, decisions_of, scores_of
from rai_bigmodel.subjects.of_onnx import of_onnx
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit
from rai_bigmodel.training.checkpoint import Run, save_run


def table(seed: int, rows: int = 90) -> Table:
    rng = np.random.default_rng(seed)
    columns = {"income": rng.lognormal(8, 1, rows), "flag": (rng.random(rows) < 0.3).astype(float)}
    columns["y"] = (rng.random(rows) < 0.3 + 0.5 * columns["flag"]).astype(float)
    columns["income"][::7] = np.nan
    return Table(name=f"toy {seed}", columns=columns, roles={"feature": ("income", "flag"), "truth": ("y",)})


@pytest.fixture(scope="module")
def run() -> Run:
    splits = Splits(train=table(1), calibrate=table(2), held_out=table(3))
    return fit.train(MLP(hidden=(6,)), splits, epochs=3, name="toy/net <1>")


@pytest.fixture(scope="module")
def content(run: Run) -> bytes:
    return to_onnx.to_onnx(run)


def test_the_file_decides_as_the_run_does(run: Run, content: bytes) -> None:
    """On raw rows with holes: the same decisions, scores within float32 rounding."""
    found = parity(run, content, table(3).columns)

    assert found.good
    assert found.rows == 90
    assert found.max_abs_difference < 1e-6


def test_parity_holds_on_boundary_inputs(run: Run, content: bytes) -> None:
    """One row, no value at all, extreme amounts, and more rows than a batch."""
    for values in ([np.nan], [1e30, -1e30, 0.0], list(np.linspace(-1e6, 1e6, 5000))):
        columns = {"income": np.array(values), "flag": np.full(len(values), np.nan)}

        assert parity(run, content, columns).good


def test_a_file_of_other_weights_is_not_called_good(run: Run, content: bytes) -> None:
    """The planted fault: a run whose weights moved after the export."""
    moved = fit.train(
        MLP(hidden=(6,)), Splits(train=table(4), calibrate=table(5), held_out=table(6)), epochs=30, lr=0.05
    )

    assert not parity(moved, content, table(3).columns).good


def test_equal_runs_give_equal_bytes(run: Run, content: bytes) -> None:
    """The export is reproducible."""
    assert to_onnx.to_onnx(run) == content


def texts(message: object) -> Iterator[str]:
    """Every text anywhere in a protobuf message."""
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        many = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
        for item in value if many else [value]:
            if isinstance(item, str):
                yield item
            elif hasattr(item, "ListFields"):
                yield from texts(item)


def test_nothing_of_the_building_machine_is_inside(run: Run, content: bytes) -> None:
    """No path, source line or stack trace in any text, nor this machine's paths in the bytes."""
    said = [t for t in texts(onnx.load_from_string(content)) if not t.startswith('{"decision"')]

    assert said
    assert not [t for t in said if "/" in t or "\\" in t or ".py" in t or "\n" in t]
    for needle in (
        str(Path.cwd()),
        sys.prefix,
        str(Path.home()) + "/",
        "site-packages",
        "pkg.torch",
        "Traceback",
    ):
        assert needle.encode() not in content
    assert not re.search(rb"/(usr|home|work|tmp|opt|root)/", content)


def test_the_file_says_what_it_reads_and_how_it_decides(run: Run, content: bytes) -> None:
    """One metadata key of ours holds name, columns, decision and the digest of the run; no other is there."""
    model = onnx.load_from_string(content)
    session = open_session(content, where="test")

    assert [p.key for p in model.metadata_props] == [KEY]
    assert session.features == ("income", "flag")
    assert session.decision == run.decision
    assert session.trained == run.digest
    assert session.name == "toy/net <1>"
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert not any(t.external_data for t in model.graph.initializer)


def test_exporting_says_nothing_and_leaves_the_module_as_it_was(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    """Quiet on both streams; weights and mode are untouched."""
    before = {k: v.clone() for k, v in run.module.state_dict().items()}
    to_onnx.to_onnx(run)

    assert capfd.readouterr() == ("", "")
    assert all(torch.equal(v, before[k]) for k, v in run.module.state_dict().items())
    assert not run.module.training


def test_a_run_and_its_file_are_subjects_that_agree(run: Run, content: bytes, tmp_path: Path) -> None:
    """Both doors give scores and decisions for the same cohort; kinds and digests tell them apart."""
    save_run(run, tmp_path / "run")
    (tmp_path / "m.onnx").write_bytes(content)
    trained, shipped = of_run(tmp_path / "run"), of_onnx(tmp_path / "m.onnx")

    assert np.abs(scores_of(trained, table(3)) - scores_of(shipped, table(3))).max() < 1e-6
    assert np.array_equal(decisions_of(trained, table(3)), decisions_of(shipped, table(3)))
    assert (trained.kind, shipped.kind) == ("torch", "onnx")
    assert trained.digest == run.digest == shipped.card["exported_from"] != shipped.digest
    assert shipped.module is None
    assert trained.module is not None


def test_what_opening_a_file_costs_is_measured_in_a_process_of_its_own(content: bytes) -> None:
    """Milliseconds and bytes on top of an interpreter that has onnxruntime already."""
    weight = of_onnx(content).weigh(table(3).columns)  # type: ignore[misc]

    assert weight is not None
    assert 0 < weight["load_ms"] < 10_000
    assert 0 < weight["peak_bytes"] < 1_000_000_000


def test_a_logistic_regression_exports_too() -> None:
    """A net without hidden layers and without a limit."""
    splits = Splits(train=table(1), calibrate=table(2), held_out=table(3))
    run = fit.train(MLP(hidden=(), limit=None), splits, epochs=1)

    assert parity(run, to_onnx.to_onnx(run), table(3).columns).good


def test_bytes_that_are_no_model_of_ours_are_refused(content: bytes) -> None:
    """Rubbish, a model without our metadata, and one with weights in another file: one line each."""
    stripped = onnx.load_from_string(content)
    del stripped.metadata_props[:]
    outside = onnx.load_from_string(content)
    tensor = outside.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    for wrong, said in (
        (b"rubbish", "not an ONNX model"),
        (stripped.SerializeToString(), "lacks the metadata"),
        (outside.SerializeToString(), "unsafe, not loaded: .* keeps its data in another file"),
    ):
        with pytest.raises(InputError, match=said) as error:
            of_onnx(wrong)
        assert "\n" not in str(error.value)


def test_a_missing_column_or_one_of_text_is_one_clear_line(run: Run, content: bytes) -> None:
    """Both doors say which column is missing and which there are."""
    for subject in (of_run(run), of_onnx(content)):
        with pytest.raises(InputError, match="'flag' is not there; there are: income"):
            subject.predict({"income": np.zeros(2)})
        with pytest.raises(InputError, match="'flag' must hold one number a row"):
            subject.predict({"income": np.zeros(2), "flag": np.array(["a", "b"], dtype=object)})
