"""Hostile model files 1 to 18, once each from the command line: no code runs, nothing outside is read, one line."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from test_scan import external, header, int64, loop, made, model, net, tensor, torch_file, zipped

from rai_bigmodel import cli
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit
from rai_bigmodel.training.checkpoint import save_run


class Touch:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (self.path,)


def stride_of_0() -> bytes:
    return torch_file({"w": torch.zeros(1).expand(10**9)})


def script() -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own: what is deprecated still comes
        torch.jit.save(torch.jit.script(net()), out)  # type: ignore[no-untyped-call]
    return out.getvalue()


def archive_with_link() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as whole:
        link = tarfile.TarInfo("weights.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        whole.addfile(link)
    return out.getvalue()


def elsewhere(location: str) -> Callable[[Path], bytes]:
    return lambda folder: external(location.format(folder=folder))


def graph(*nodes, **how) -> Callable[[Path], bytes]:
    return lambda _: model(*nodes, **how).SerializeToString()


FILES: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "1 a pickle that runs code": ("m.pt", lambda f: pickle.dumps(Touch(f / "ran"))),
    "2 a module that needs weights_only=False": ("m.pt", lambda _: torch_file(net())),
    "3 a pickle named safetensors": ("m.safetensors", lambda f: pickle.dumps(Touch(f / "ran"))),
    "4 a header of 2^63 bytes": ("m.safetensors", lambda _: header(2**63)),
    "4 offsets that overlap": ("m.safetensors", lambda _: header(data=8, a=tensor(), b=tensor())),
    "5 a tensor of stride 0": ("m.pt", lambda _: stride_of_0()),
    "6 TorchScript": ("m.pt", lambda _: script()),
    "7 half an archive": ("m.pt", lambda _: torch_file({"w": torch.ones(100)})[:300]),
    "8 a zip bomb": ("m.zip", lambda _: zipped(("z", bytes(20_000_000)), how=zipfile.ZIP_DEFLATED)),
    "9 a member that climbs out": ("m.zip", lambda _: zipped(("../../x", b"1"))),
    "10 a link in an archive": ("m.tar", lambda _: archive_with_link()),
    "11 weights above the folder": ("m.onnx", elsewhere("../secret")),
    "12 weights at a path": ("m.onnx", elsewhere("{folder}/../secret")),
    "13 weights behind a symbolic link": ("m.onnx", elsewhere("link.bin")),
    "14 weights behind a hard link": ("m.onnx", elsewhere("hard.bin")),
    "15 weights past the end of a file": ("m.onnx", lambda _: external("short.bin", offset=10**6)),
    "16 a loop of 10^9 rounds": ("m.onnx", graph(*loop(10**9))),
    "16 a tensor out of nothing": (
        "m.onnx",
        graph(made("ConstantOfShape", "s"), inits=[int64("s", 10**6, 10**6)]),
    ),
    "17 an operator of somebody's": ("m.onnx", graph(domains=["evil"])),
    "18 a dimension of 0": ("m.onnx", graph(shape=(0, 2))),
    "18 a negative dimension": ("m.onnx", graph(shape=(-1, 2))),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is whole but for its weights."""
    columns = {"a": np.arange(20.0), "y": np.arange(20) % 2.0}
    rows = Table(name="toy", columns=columns, roles={"feature": ("a",), "truth": ("y",)})
    there = tmp_path_factory.mktemp("run")
    save_run(fit.train(MLP(hidden=()), Splits(train=rows, calibrate=rows, held_out=rows), epochs=1), there)
    return there


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_by_every_command_that_takes_it(
    name: str, run: Path, tmp_path: Path, capsys
) -> None:
    """rai scan: exit 1, unsafe. A command that would load it: exit 2, one line, nothing run and nothing written."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(np.ones(2, np.float32).tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret")
    os.link(tmp_path / "secret", folder / "hard.bin")
    (folder / "short.bin").write_bytes(bytes(8))
    ending, content = FILES[name]
    path = folder / ending
    if name.startswith("17"):
        from onnx import helper

        node = helper.make_node("Steal", ["x"], ["z"], domain="evil")
        path.write_bytes(model(node, domains=["evil"]).SerializeToString())
    else:
        path.write_bytes(content(folder))

    assert cli._run(["scan", str(path)]) == 1
    said = capsys.readouterr()
    assert "UNSAFE" in said.out
    assert "Traceback" not in said.out + said.err
    if ending == "m.onnx":
        (folder / "rows.csv").write_text("a,b,y,g\n1,2,0,u\n2,1,1,v\n")
        asked = [
            "audit",
            "--model",
            str(path),
            "--data",
            str(folder / "rows.csv"),
            "--feature",
            "a",
            "--feature",
            "b",
        ]
        asked += ["--truth", "y", "--sensitive", "g", "--out", str(tmp_path / "out")]
    else:  # whatever it is, it stands where the weights of a run are read
        (folder / "card.json").write_bytes((run / "card.json").read_bytes())
        path.rename(folder / "model.safetensors")
        asked = ["export", str(folder), "--out", str(tmp_path / "out")]

    assert cli._run(asked) == 2
    said = capsys.readouterr()
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert "unsafe, not loaded" in said.err or "safetensors" in said.err
    assert "Traceback" not in said.err
    assert not (folder / "ran").exists()
    assert not (tmp_path / "out").exists()
