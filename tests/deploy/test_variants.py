"""Is every net's file in less precision still the model, and is one that is not refused?"""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16

from rai_bigmodel import cli
from rai_bigmodel.deploy import export, parity, quantise, to_onnx
from rai_bigmodel.deploy.edges import edges
from rai_bigmodel.deploy.session import open_session
from rai_bigmodel.errors import CheckFailed, InputError
from rai_bigmodel.nets import CNN, LSTM, MLP, Autoencoder, Transformer
from rai_bigmodel.subject import Splits, inputs_of
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit
from rai_bigmodel.training.checkpoint import Run, save_run
from rai_bigmodel.training.pruning import prune
from rai_bigmodel.training.recipe import Prune, Text

ROWS = 240
LONG = [
    pytest.param(name, marks=pytest.mark.zoo)
    for name in ("lstm", "transformer", "autoencoder", "language", "number")
]
WORDS = np.array(["calm", "kind", "warm", "cold", "rude", "vile"], dtype=object)
NETS = {
    "mlp": (MLP(hidden=(16, 8)), ("amount", "age"), "big", {}),
    "cnn": (CNN(widths=(4, 8), hidden=8), ("image",), "digit", {}),
    "lstm": (LSTM(hidden=12), ("image",), "digit", {}),
    "transformer": (
        Transformer(width=8, heads=2, layers=1, feedforward=16), ("text",), "rude", {"text": Text(length=6)},
    ),
    "autoencoder": (Autoencoder(hidden=(16,), code=4), ("image",), "", {}),
    "language": (
        Transformer(width=8, heads=2, layers=1, feedforward=16, causal=True),
        ("text",),
        "",
        {"text": Text(length=6)},
    ),
    "number": (MLP(hidden=(16,)), ("amount", "age"), "price", {}),
}  # fmt: skip


def columns() -> dict[str, np.ndarray]:
    r = np.random.default_rng(4)
    digit, amount = r.integers(0, 3, ROWS), r.normal(size=ROWS)
    image = r.normal(4, 1, (ROWS, 1, 8, 8)).astype(np.float32)
    for row, d in enumerate(digit):
        image[row, 0, 2 * d : 2 * d + 2] += 5
    text = np.array([" ".join(WORDS[r.integers(0, 6, 1 + i % 5)]) for i in range(ROWS)], dtype=object)
    return {
        "image": image,
        "digit": digit.astype(float),
        "text": text,
        "rude": np.array([float("rude" in t or "vile" in t) for t in text]),
        "amount": amount,
        "age": r.normal(40, 10, ROWS),
        "price": 200 + 30 * amount,
        "big": (amount + r.normal(size=ROWS) / 4 > 0).astype(float),
    }


COLUMNS = columns()


def splits_of(name: str) -> Splits:
    _, features, truth, _ = NETS[name]
    wanted = {c: COLUMNS[c] for c in (*features, *([truth] if truth else []))}
    whole = Table(name="toy", columns=wanted, roles={"feature": features, "truth": (truth,) if truth else ()})
    cut = np.split(np.arange(ROWS), [90, 140])
    train, calibrate, held_out = (
        whole.take(rows, name=f"toy {part}")
        for rows, part in zip(cut, ("train", "calibrate", "held out"), strict=True)
    )
    return Splits(train=train, calibrate=calibrate, held_out=held_out)


MADE: dict[str, tuple[Run, bytes]] = {}


def run_of(name: str) -> tuple[Run, bytes]:
    """A run and its file in single precision, each made once."""
    if name not in MADE:
        net, _, _, more = NETS[name]
        run = fit.train(net, splits_of(name), epochs=8, lr=0.01, batch_size=20, name=name, **more)
        MADE[name] = run, to_onnx.to_onnx(run)
    return MADE[name]


def checked(name: str, content: bytes) -> parity.Parity:
    run, full = run_of(name)
    splits = splits_of(name)
    return parity.check(
        parity.of_run(run), content, held_out=splits.held_out, calibrate=splits.calibrate, full=full
    )


@pytest.mark.parametrize("variant", ["fp16", "int8"])
@pytest.mark.parametrize("name", ["mlp", "cnn", *LONG])
def test_every_net_in_less_precision_answers_as_the_run(name: str, variant: quantise.Variant) -> None:
    """On held-out rows, at the edges and row by row; half precision is nearer than 8 bits; the file says what it is."""
    run, full = run_of(name)
    content = export.made(run, variant, splits_of(name), full=full)
    agreed, session = checked(name, content), open_session(content, where=name)
    kinds = {t.data_type for t in onnx.load_from_string(content).graph.initializer}

    assert agreed.good
    assert 0 < agreed.max_abs_difference <= parity.TOLERANCES[variant]
    assert (session.variant, session.trained, session.decision) == (variant, run.digest, run.decision)
    assert (onnx.TensorProto.FLOAT16 if variant == "fp16" else onnx.TensorProto.INT8) in kinds


def test_convolutions_are_rounded_by_ranges_of_the_calibration_rows() -> None:
    """Not at every call, which makes them several times slower; without such rows one line says what is needed."""
    run, full = run_of("cnn")
    ops = {
        n.op_type
        for n in onnx.load_from_string(export.made(run, "int8", splits_of("cnn"), full=full)).graph.node
    }

    assert "QuantizeLinear" in ops
    assert not ops & {"ConvInteger", "DynamicQuantizeLinear"}
    with pytest.raises(InputError, match="need calibration rows, and the run's own are not at hand"):
        export.made(run, "int8", None, full=full)


def test_nothing_of_the_building_machine_is_in_a_variant() -> None:
    """No path and no other metadata than ours; equal runs give equal bytes."""
    run, full = run_of("cnn")
    for variant in ("fp16", "int8"):
        content = export.made(run, variant, splits_of("cnn"), full=full)  # type: ignore[arg-type]

        assert content == export.made(run, variant, splits_of("cnn"), full=full)  # type: ignore[arg-type]
        assert b"/tmp" not in content
        assert str(Path.cwd()).encode() not in content
        assert len(onnx.load_from_string(content).metadata_props) == 1


# --- Z34: what an export can get wrong, and its twin -----------------------------------------------


def test_z34_overflow_in_half_precision_is_found_although_a_cpu_hides_it() -> None:
    """A converter that casts everything meets values beyond 65,504 at the edges; ours keeps those nodes in single."""
    run, full = run_of("mlp")
    naive = convert_float_to_float16(onnx.load_from_string(full), keep_io_types=True)
    for prop in naive.metadata_props:
        prop.value = prop.value.replace('"features"', '"variant":"fp16","features"', 1)

    with pytest.raises(CheckFailed, match=r"overflows: .* reaches 1e\+09, half precision ends at 65,504"):
        checked("mlp", naive.SerializeToString())
    assert checked("mlp", quantise.fp16(full, edges(run.card.reads))).good


def changed(content: bytes, change: object) -> bytes:
    model = onnx.load_from_string(content)
    change(model)  # type: ignore[operator]
    return model.SerializeToString()


def test_z34_a_wrong_constant_is_found_and_the_exact_export_is_quiet() -> None:
    """A scale of the inputs off by 2 %: another model on every row."""

    def off(model: object) -> None:
        tensor = next(t for t in model.graph.initializer if "scale" in t.name)  # type: ignore[attr-defined]
        values = onnx.numpy_helper.to_array(tensor) * np.float32(1.02)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    _, full = run_of("mlp")

    with pytest.raises(CheckFailed, match="answers differ by up to"):
        checked("mlp", changed(full, off))
    assert checked("mlp", full).good


def test_z34_dropout_left_in_the_graph_is_found() -> None:
    """A mask that a trace froze: the same numbers are dropped for every row."""

    def drop(model: object) -> None:
        node = next(n for n in reversed(model.graph.node) if n.op_type == "Gemm")  # type: ignore[attr-defined]
        width = next(t.dims[-1] for t in model.graph.initializer if t.name == node.input[1])  # type: ignore[attr-defined]
        mask = np.where(np.arange(width) % 3 == 0, 0, 1.5).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(mask, "mask"))  # type: ignore[attr-defined]
        made = onnx.helper.make_node("Mul", [node.input[0], "mask"], ["dropped"])
        at = list(model.graph.node).index(node)  # type: ignore[attr-defined]
        node.input[0] = "dropped"
        model.graph.node.insert(at, made)  # type: ignore[attr-defined]

    with pytest.raises(CheckFailed, match="differ by up to"):
        checked("cnn", changed(run_of("cnn")[1], drop))


# --- Z35: labels in another order, and the twin ----------------------------------------------------


def swapped(model: object) -> None:
    """The last two of three labels change places behind the network."""
    graph = model.graph  # type: ignore[attr-defined]
    last = graph.node[-1]
    last.output[0], name = "straight", last.output[0]
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([0, 2, 1]), "order"))
    graph.node.append(onnx.helper.make_node("Gather", ["straight", "order"], [name], axis=1))


def test_z35_labels_in_another_order_are_named_and_the_twin_is_quiet() -> None:
    """The message says which label is under which name."""
    run, full = run_of("cnn")
    found = parity.parity(run, changed(full, swapped), inputs_of(splits_of("cnn").held_out))

    assert found.order == "its labels are in another order: what it gives for '2' is that of '1'"
    assert not found.good
    with pytest.raises(CheckFailed, match="labels are in another order"):
        checked("cnn", changed(full, swapped))
    assert checked("cnn", full).order == ""


def test_z35_the_score_of_the_other_label_is_named() -> None:
    """One minus the score is the score of the other label."""
    run, full = run_of("mlp")

    def turned(model: object) -> None:
        graph = model.graph  # type: ignore[attr-defined]
        last = graph.node[-1]
        last.output[0], name = "straight", last.output[0]
        graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1), "one"))
        graph.node.append(onnx.helper.make_node("Sub", ["one", "straight"], [name]))

    found = parity.parity(run, changed(full, turned), inputs_of(splits_of("mlp").held_out))

    assert found.order == "its score is that of the other label"


def test_z35_labels_that_are_named_otherwise_are_found() -> None:
    """The graph is right and the metadata are not."""
    run, full = run_of("mlp")

    def renamed(model: object) -> None:
        prop = model.metadata_props[0]  # type: ignore[attr-defined]
        prop.value = prop.value.replace('"labels":["0","1"]', '"labels":["1","0"]')

    found = parity.parity(run, changed(full, renamed), inputs_of(splits_of("mlp").held_out))

    assert "names its labels ['1', '0'], what it was made from ['0', '1']" in found.order


# --- rows that share a range ------------------------------------------------------------------------


def test_a_row_far_out_that_moves_its_neighbours_is_found() -> None:
    """Dynamic 8 bits share one range a batch; a net without a limit on its inputs lets one row widen it for all."""
    splits = splits_of("mlp")
    unlimited = fit.train(MLP(hidden=(16, 8), limit=None), splits, epochs=8, lr=0.01, batch_size=20)
    full = to_onnx.to_onnx(unlimited)

    with pytest.raises(CheckFailed, match="at the edges of what may come"):
        parity.check(
            parity.of_run(unlimited),
            quantise.int8(full, None),
            held_out=splits.held_out,
            calibrate=splits.calibrate,
            full=full,
        )


# --- the command ------------------------------------------------------------------------------------


def test_rai_export_writes_variants_that_agree_and_nothing_else(tmp_path: Path, capsys) -> None:
    """--int8 --fp16 beside one another; --out names a single one; what is refused leaves no file and exits with 1."""
    run, _ = run_of("mlp")
    save_run(run, tmp_path / "run")

    assert cli._run(["export", str(tmp_path / "run"), "--int8", "--fp16"]) == 0
    assert {p.name for p in (tmp_path / "run").glob("*.onnx")} == {"model.int8.onnx", "model.fp16.onnx"}
    assert "the edges of what may come; no rows were at hand" in capsys.readouterr().err
    assert cli._run(["export", str(tmp_path / "run"), "--int8", "--out", str(tmp_path / "m.onnx")]) == 0
    assert open_session((tmp_path / "m.onnx").read_bytes(), where="m").variant == "int8"

    unlimited = fit.train(MLP(hidden=(16, 8), limit=None), splits_of("mlp"), epochs=8, lr=0.01, batch_size=20)
    save_run(unlimited, tmp_path / "wide")
    capsys.readouterr()

    assert cli._run(["export", str(tmp_path / "wide"), "--int8"]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not list((tmp_path / "wide").glob("*.onnx"))


WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "onnxscript", "safetensors"}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from rai_bigmodel.subjects.of_onnx import of_onnx
for i, path in enumerate(sys.argv[2:]):
    rows = dict(np.load(f"{sys.argv[1]}/{i}.npz", allow_pickle=True))
    np.save(f"{sys.argv[1]}/{i}.npy", of_onnx(path).predict(rows))
"""


@pytest.mark.parametrize("nets", [("mlp", "cnn"), pytest.param(tuple(NETS), marks=pytest.mark.zoo)])
def test_every_variant_answers_alike_in_a_process_where_torch_cannot_be_imported(
    tmp_path: Path, nets: tuple[str, ...]
) -> None:
    """In a fresh interpreter without torch and onnx, pruned too; numbers equal the run's to the stated tolerance."""
    wanted, paths = [], []
    for name in nets:
        run, full = run_of(name)
        splits = splits_of(name)
        rows = {c: splits.held_out.columns[c] for c in NETS[name][1]}  # type: ignore[attr-defined]
        for variant in ("fp32", "fp16", "int8"):
            np.savez(tmp_path / f"{len(paths)}.npz", **rows)  # type: ignore[arg-type]
            paths.append(tmp_path / f"{name}.{variant}.onnx")
            paths[-1].write_bytes(export.made(run, variant, splits, full=full))  # type: ignore[arg-type]
            answers = of_run(run).predict(rows)
            wanted.append((answers, parity.TOLERANCES[variant] * max(1.0, np.abs(answers).max())))
        thin = dataclasses.replace(run, module=copy.deepcopy(run.module))
        prune(thin.module, Prune(share=0.5))
        np.savez(tmp_path / f"{len(paths)}.npz", **rows)  # type: ignore[arg-type]
        paths.append(tmp_path / f"{name}.pruned.onnx")
        paths[-1].write_bytes(to_onnx.to_onnx(thin))
        answers = of_run(thin).predict(rows)
        wanted.append((answers, parity.TOLERANCES["fp32"] * max(1.0, np.abs(answers).max())))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path), *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for i, (answers, tolerance) in enumerate(wanted):
        assert np.abs(np.load(tmp_path / f"{i}.npy") - answers).max() <= tolerance, paths[i].name
