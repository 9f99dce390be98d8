"""Are weights in a file beside the model written and read back, and read from nowhere else?"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from rai_bigmodel import api, nets
from rai_bigmodel.deploy import export, to_onnx
from rai_bigmodel.deploy.session import open_session
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits, scores_of
from rai_bigmodel.subjects.of_foreign_onnx import of_foreign_onnx
from rai_bigmodel.subjects.of_onnx import of_onnx
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit
from rai_bigmodel.training.checkpoint import Run

NAMES = tuple(f"f{i}" for i in range(20))


def table(seed: int, rows: int = 60) -> Table:
    r = np.random.default_rng(seed)
    columns = {name: r.normal(size=rows) for name in NAMES}
    columns["y"] = (columns["f0"] > 0).astype(float)
    return Table(name=f"toy {seed}", columns=columns, roles={"feature": NAMES, "truth": ("y",)})


@pytest.fixture(scope="module")
def run() -> Run:
    return fit.train(
        MLP(hidden=(32, 16)),
        Splits(train=table(1), calibrate=table(2), held_out=table(3)),
        epochs=1,
        name="t",
    )


@pytest.fixture
def shipped(run: Run, tmp_path: Path) -> Path:
    """The run with every large weight beside it."""
    export.export(run, tmp_path / "m.onnx", apart=1)
    return tmp_path / "m.onnx"


def test_weights_beside_the_model_are_written_and_read_back(run: Run, shipped: Path) -> None:
    """Two files; the same scores; a digest of both; the size of both."""
    subject = of_onnx(shipped)
    held = table(3)

    assert sorted(p.name for p in shipped.parent.iterdir()) == ["m.onnx", "m.onnx.data"]
    assert np.abs(scores_of(subject, held) - scores_of(of_run(run), held)).max() < 1e-6
    assert subject.card["size_bytes"] == sum(p.stat().st_size for p in shipped.parent.iterdir())
    assert subject.card["size_bytes"] > len(to_onnx.to_onnx(run)) / 2
    data = shipped.with_name("m.onnx.data")
    data.write_bytes(data.read_bytes()[:-1] + b"\x3f")
    assert of_onnx(shipped).digest != subject.digest


@pytest.mark.parametrize("how", ["hard link", "symbolic link", "gone", "short", "folder"])
def test_a_file_of_weights_that_is_not_plain_is_not_read(shipped: Path, how: str) -> None:
    """One line each; a link to a secret inside or outside of the folder leads nowhere."""
    data = shipped.with_name("m.onnx.data")
    elsewhere = shipped.parent.parent / f"secret {how}"
    elsewhere.write_bytes(data.read_bytes())
    content = data.read_bytes()
    data.unlink()
    if how == "hard link":
        os.link(elsewhere, data)
    elif how == "symbolic link":
        data.symlink_to(elsewhere)
    elif how == "short":
        data.write_bytes(content[:40])
    elif how == "folder":
        data.mkdir()
    with pytest.raises(InputError, match=r"unsafe, not loaded: .*m\.onnx\.data") as error:
        of_onnx(shipped)

    assert "\n" not in str(error.value)


def test_bytes_alone_have_no_weights_beside_them(shipped: Path) -> None:
    """There is no folder that bytes lie in."""
    with pytest.raises(InputError, match="keeps its data in another file"):
        of_onnx(shipped.read_bytes())


def test_other_precisions_of_so_large_a_model_are_refused(run: Run, tmp_path: Path) -> None:
    """One line; nothing is written."""
    with pytest.raises(
        InputError, match="too large for one ONNX file; only single precision is written, in two"
    ):
        export.export(run, tmp_path / "m.onnx", variant="int8", apart=1)
    assert not list(tmp_path.iterdir())


COLUMNS = 64
"""Of a matrix of weights: one of fewer is packed into many times its size by the runtime."""


def linear(folder: Path, width: int, matrices: int = 2) -> Path:
    """A foreign model, one row times matrices of weights that lie one behind the other in a file beside it."""
    weights = np.zeros((width, COLUMNS), dtype=np.float32)
    tensors, nodes = [], [helper.make_node("Pad", ["x", "pads"], ["wide"])]
    with (folder / "w.bin").open("wb") as out:
        for i in range(matrices):
            weights[:2, 0] = ([1.0, 0.0], [0.0, -1.0])[i % 2]
            out.write(weights.data)
            tensor = TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT, dims=weights.shape)
            tensor.data_location = TensorProto.EXTERNAL
            about = {"location": "w.bin", "offset": str(i * weights.nbytes), "length": str(weights.nbytes)}
            for key, value in about.items():
                tensor.external_data.add(key=key, value=value)
            tensors.append(tensor)
            nodes.append(helper.make_node("MatMul", ["wide", f"w{i}"], [f"part{i}"]))
    nodes += [
        helper.make_node("Sum", [f"part{i}" for i in range(matrices)], ["parts"]),
        helper.make_node("ReduceSum", ["parts", "second"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["score"]),
    ]
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "g",
        [info("x", TensorProto.FLOAT, ["n", 2])],
        [info("score", TensorProto.FLOAT, ["n", 1])],
        [
            *tensors,
            onnx.numpy_helper.from_array(np.array([0, 0, 0, width - 2]), "pads"),
            onnx.numpy_helper.from_array(np.array([1]), "second"),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def test_foreign_weights_beside_a_model_are_handed_over_in_memory(tmp_path: Path) -> None:
    """Two tensors, one behind the other in a file, each at its offset."""
    width = 400
    subject = of_foreign_onnx(linear(tmp_path, width), features=["a", "b"])
    a, b = np.array([1.0, 0.0]), np.array([0.0, 2.0])

    assert subject.predict({"a": a, "b": b}) == pytest.approx(1 / (1 + np.exp(-(a - b))), abs=1e-6)
    assert subject.card["size_bytes"] > 2 * width * COLUMNS * 4


def at_hand() -> int:
    """Bytes of memory that could be had."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


NEEDED = 7_000_000_000


@pytest.mark.zoo
@pytest.mark.skipif(
    at_hand() < NEEDED, reason=f"needs {NEEDED:,} bytes of memory (5.4 GB at its peak), and they are not free"
)
def test_more_than_2_gb_beside_a_model_are_handed_over(tmp_path: Path) -> None:
    """Three tensors of 800 MB in a file of 2.4 GB: more than a protobuf message holds, none more than 2 GB."""
    model = linear(tmp_path, 3_125_000, 3)
    subject = of_foreign_onnx(model, features=["a", "b"])
    a, b = np.array([1.0, 0.0]), np.array([0.0, 2.0])

    assert (tmp_path / "w.bin").stat().st_size == 2_400_000_000
    assert subject.predict({"a": a, "b": b}) == pytest.approx(1 / (1 + np.exp(-(2 * a - b))), abs=1e-6)
    (tmp_path / "w.bin").unlink()


# --- any module ---------------------------------------------------------------------------------------


class Rows(torch.nn.Module):
    """Three labels from pictures, whatever their number."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3),
            torch.nn.BatchNorm2d(4),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(64, 3),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(x)
        return out


def test_any_module_is_exported_once_it_says_what_it_reads_and_gives(tmp_path: Path) -> None:
    """Columns and a logit; pictures and labels, in less precision too; the file says what was declared."""
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    subject = api.export(
        plain,
        tmp_path / "plain.onnx",
        features=["a", "b"],
        gives="logits",
        labels=["no", "yes"],
        positive="yes",
        threshold=0.7,
    )
    rows = {"a": np.array([0.3, -1.0]), "b": np.array([2.0, 0.0])}
    with torch.no_grad():
        wanted = torch.sigmoid(plain(torch.tensor([[0.3, 2.0], [-1.0, 0.0]])))[:, 0].numpy()

    assert subject.predict(rows) == pytest.approx(wanted, abs=1e-6)
    assert (subject.decision.positive, subject.decision.threshold) == ("yes", 0.7)
    reads = nets.Reads(pixels=nets.Pixels(channels=1, height=6, width=6))
    pictures = np.random.default_rng(0).normal(size=(40, 1, 6, 6))
    held = Table(name="p", columns={"image": pictures}, roles={"feature": ("image",)})
    three = Rows()
    shown = {"reads": reads, "gives": "logits", "labels": ["a", "b", "c"]}
    full = api.export(three, tmp_path / "three.onnx", **shown)
    small = api.export(
        three, tmp_path / "small.onnx", variant="int8", splits=Splits(held_out=held, calibrate=held), **shown
    )

    assert full.predict(pictures).shape == (40, 3)
    assert np.abs(full.predict(pictures) - small.predict(pictures)).max() < 0.1
    assert small.card["variant"] == "int8"
    with pytest.raises(InputError, match="does not say what it reads and gives"):
        api.export(plain, tmp_path / "no.onnx")


@pytest.mark.zoo
def test_texts_of_any_length_are_left_open() -> None:
    """The graph takes batches of any size, and texts of any length up to that of the net."""
    words = nets.Tokens(words=tuple("abcdefgh"), length=12, level="character")
    reads = nets.Reads(tokens=words)
    for net in (nets.Transformer(width=8, heads=2, layers=1, feedforward=16), nets.LSTM(hidden=8)):
        module = net.build(reads, generator=torch.Generator().manual_seed(0)).eval()
        about = to_onnx.About(
            name="n",
            features=("text",),
            decision=Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1")),
            trained="",
            reads=reads,
        )
        made = to_onnx.exported(
            to_onnx.scorer_of(module, lambda m, x: torch.sigmoid(m(*x))[:, 0]), nets.example(reads), about
        )
        session = open_session(made.content, where="n")
        for rows, length in ((1, 12), (3, 5), (2, 1)):
            ids = np.full((rows, length), 2, dtype=np.int64)
            with torch.no_grad():
                wanted = torch.sigmoid(module(torch.from_numpy(ids)))[:, 0].numpy()

            (said,) = session.runtime.run(None, {session.input_names[0]: ids})
            assert said == pytest.approx(wanted, abs=1e-5)
