"""Is every hostile model file found, by name, without being run, and is no honest one accused?"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from picklescan import scanner as picklescan
from safetensors.numpy import save as safetensors_of
from torch._weights_only_unpickler import _get_allowed_globals

from rai_bigmodel.errors import InputError
from rai_bigmodel.scan import opened, pickles, refuse_unsafe, scan, scan_bytes, wire


def look(content: bytes, name: str) -> dict[str, str]:
    """Code → first reason, as the child process would find them."""
    seen = opened.look(io.BytesIO(content), len(content), name)
    return {f.code: f"{f.at} {f.why}" for f in reversed(seen.faults)}


def kind(content: bytes, name: str) -> str:
    """The kind that is told from the bytes."""
    return opened.look(io.BytesIO(content), len(content), name).kind


class Touch:
    """Its pickle makes a file; if one is ever there, something was run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def torch_file(what, **how) -> bytes:
    out = io.BytesIO()
    torch.save(what, out, **how)
    return out.getvalue()


def net() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))


def zipped(*members: tuple[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, how)
    return out.getvalue()


def rewritten(content: bytes, **members: bytes) -> bytes:
    """A zip with members replaced or added; ``__`` in a name stands for ``/``, ``_dot_`` for ``.``."""
    new = {k.replace("__", "/").replace("_dot_", "."): v for k, v in members.items()}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        old = {m.filename: archive.read(m) for m in archive.infolist()}
    return zipped(*(old | new).items())


VIEWS = {"t": torch.arange(12).reshape(3, 4).T[1:], "e": torch.ones(2).expand(3, 2)}
KINDS = {"a": torch.ones(3, dtype=torch.bfloat16), "b": torch.nn.Parameter(torch.ones(1))}
ARRAYS = {"a": np.ones((2, 3), np.float32), "b": np.zeros(0), "c": np.array([True])}

# --- honest files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "of_kind", "made"),
    [
        ("m.pt", "torch", lambda: torch_file(net().state_dict())),
        ("m.ckpt", "torch", lambda: torch_file({"epoch": 3, "model": net().state_dict(), "lr": [0.1, None]})),
        ("m.bin", "torch", lambda: torch_file(net().state_dict(), _use_new_zipfile_serialization=False)),
        ("views.pt", "torch", lambda: torch_file(VIEWS)),
        ("half.pt", "torch", lambda: torch_file(KINDS)),
        ("optimizer.pt", "torch", lambda: torch_file(torch.optim.Adam(net().parameters()).state_dict())),
        ("m.safetensors", "safetensors", lambda: safetensors_of(ARRAYS)),
        ("plain.pkl", "pickle", lambda: pickle.dumps({"a": [1, 2.5, "x", b"y", None, True, (1, 2, 3, 4)], "s": {1}})),
        ("old.pkl", "pickle", lambda: pickle.dumps({"a": [1, 2.5, "x"]}, protocol=0)),
        ("m.joblib", "pickle", lambda: joblib_bytes({"a": [1, 2]}, 3)),
    ],
)  # fmt: skip
def test_honest_files_are_safe(name, of_kind, made) -> None:
    """Weights, optimizers, views of one storage, plain values, old and new formats."""
    content = made()

    assert look(content, name) == {}
    assert kind(content, name) == of_kind


def joblib_bytes(what, compress: int) -> bytes:
    out = io.BytesIO()
    joblib.dump(what, out, compress=compress)
    return out.getvalue()


def test_honest_arrays_and_models_of_sklearn_and_torch_are_safe(tmp_path: Path) -> None:
    """npz, and ONNX files with subgraphs, functions and initializers, as exporters write them."""
    arrays = io.BytesIO()
    np.savez_compressed(arrays, a=np.arange(5.0), b=np.array(["x", "yy"]))

    assert look(arrays.getvalue(), "a.npz") == {}
    assert look(model().SerializeToString(), "m.onnx") == {}


def test_what_is_allowed_is_part_of_what_torch_allows() -> None:
    """No name is let through that ``torch.load(weights_only=True)`` would refuse."""
    assert set(_get_allowed_globals()) >= pickles.ALLOWED


# --- pickles (1, 2, 3, 5, 6) -----------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_code_is_told_by_the_name_it_reaches_for(tmp_path: Path, protocol: int) -> None:
    """In every protocol, in a torch archive, in a legacy file, renamed, packed; and nothing is run."""
    evil = pickle.dumps(Touch(tmp_path / "run"), protocol=protocol)
    for name, content in {
        "m.pkl": evil,
        "m.safetensors": evil,
        "m.onnx": evil,
        "m.pt": rewritten(torch_file({"a": 1}), archive__data_dot_pkl=evil),
        "m.joblib": zlib.compress(evil),
        "m.bin": torch_file({"x": Touch(tmp_path / "run")}, _use_new_zipfile_serialization=False),
    }.items():
        found = look(content, name)
        if name in {"m.safetensors", "m.onnx"} and protocol < 2:
            assert found, name  # a text to these formats: refused as no safetensors, no ONNX
        else:
            assert "system" in found["dangerous-global"], name
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "dangerous-global"),
        (b"(S'true'\nios\nsystem\n.", "dangerous-global"),
        (b"c__builtin__\neval\n(S'1'\ntR.", "dangerous-global"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "dangerous-global"),
        (b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.", "dangerous-global"),
        (b"\x80\x02cacme.models\nNet\n)R.", "unlisted-global"),
        (b"\x80\x02\x82\x01.", "dangerous-global"),  # copyreg extension
        (b"\x80\x04\x8c\x01a\x8c\x01b\x85\x93.", "odd-pickle"),  # a name that is worked out
        (b"\x80\x02ccollections\nOrderedDict\n)R)R.", "odd-pickle"),  # calls what a call gave
        (b"\x80\x02ctorch\nFloatStorage\n}b.", "odd-pickle"),  # changes a class
        (b"\x80\x02cos\nsystem\n(U\x04trueR", "broken-pickle"),  # breaks off behind the call
        (b"\x80\x02}.cos\nsystem\n(S'true'\ntR.", "trailing"),  # a second one behind the first
        (b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "giant"),
    ],
)
def test_every_way_to_name_and_to_call_is_followed(content: bytes, code: str) -> None:
    """By opcode; a pickle that breaks off after its payload has run it all the same, so it is named first."""
    found = look(content, "m.pkl")

    assert code in found
    if b"cos\nsystem" in content and code != "trailing":
        assert "os.system" in found["dangerous-global"]


def test_a_whole_module_is_refused_and_says_what_would_do() -> None:
    """It needs ``weights_only=False``."""
    found = look(torch_file(net()), "m.pt")

    assert "torch.nn.modules.container.Sequential" in found["unlisted-global"]


def test_a_stride_of_0_does_not_hide_a_giant() -> None:
    """1.5 kB that a copy turns into 4 GB; and tensors that reach behind their storage, storages behind the file."""
    giant = torch_file({"a": torch.zeros(1).expand(10**9)})
    small = torch_file({"a": torch.zeros(4)})
    with zipfile.ZipFile(io.BytesIO(small)) as archive:
        told = archive.read("archive/data.pkl")
    # BININT1 4, the elements of the storage and the one size, become 255.
    beyond = told.replace(b"K\x04", b"K\xff")
    only_size = told[: told.rindex(b"K\x04")] + b"K\xff" + told[told.rindex(b"K\x04") + 2 :]

    assert len(giant) < 2000
    assert "4,000,000,000 bytes" in look(giant, "m.pt")["giant"]
    assert "storage-size" in look(rewritten(small, archive__data_dot_pkl=beyond), "m.pt")
    assert "tensor-range" in look(rewritten(small, archive__data_dot_pkl=only_size), "m.pt")


def test_torchscript_is_a_program() -> None:
    """And is not loaded as weights."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have torch.export
        torch.jit.save(torch.jit.trace(net().eval(), torch.zeros(1, 4), check_trace=False), out)

    assert "torchscript" in look(out.getvalue(), "m.pt")


# --- archives (7 to 10) -----------------------------------------------------------------------------


def test_a_truncated_archive_is_said_to_be_one() -> None:
    """At every tenth of its length."""
    whole = torch_file(net().state_dict())

    for tenth in range(1, 10):
        assert "broken-zip" in look(whole[: len(whole) * tenth // 10], "m.pt")


def test_bombs_slips_links_and_two_stories_are_found() -> None:
    """By the directory of the archive, before anything is unpacked."""
    bomb = zipped(("data.pkl", b"\x80\x02}."), ("data/0", bytes(50_000_000)), how=zipfile.ZIP_DEFLATED)
    link = zipfile.ZipInfo("data/0")
    link.external_attr = 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02}.")
        archive.writestr(link, "/etc/passwd")
    honest = zipped(("data.pkl", b"\x80\x02}."), ("x", b"y"))
    lying = honest.replace(b"data.pkl", b"DATA.pkl", 1)

    assert len(bomb) < 60_000
    assert "bomb" in look(bomb, "m.pt")
    assert "link" in look(out.getvalue(), "m.pt")
    assert look(honest, "m.pt") == {}
    assert "two-stories" in look(lying, "m.pt")
    for name in ("../../x", "/etc/x", "..\\x", "C:\\x", "a/../../x"):
        assert "slip" in look(zipped(("data.pkl", b"\x80\x02}."), (name, b"y")), "m.pt")


def test_members_that_lie_on_one_another_and_names_that_stand_twice_are_found() -> None:
    """The small bomb of David Fifield, and two readers that would take two different members."""
    two = zipped(("data.pkl", b"\x80\x02}."), ("data.pkX", b"\x80\x02}."))
    twice = two.replace(b"data.pkX", b"data.pkl")
    at = two.rindex(b"PK\x01\x02")
    over = two[: at + 42] + bytes(4) + two[at + 46 :]  # the second entry points at the first member

    assert "twice" in look(twice, "m.pt")
    assert "bomb" in look(over, "m.pt")


def test_a_tar_with_a_pickle_and_a_link_is_looked_into() -> None:
    """torch's oldest format."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        inside = tarfile.TarInfo("pickle.pkl")
        evil = b"cos\nsystem\n(S'true'\ntR."
        inside.size = len(evil)
        archive.addfile(inside, io.BytesIO(evil))
        link = tarfile.TarInfo("../x")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)

    assert set(look(out.getvalue(), "m.pt")) >= {"dangerous-global", "link", "slip"}


def test_an_array_of_objects_is_a_pickle() -> None:
    """``np.load(allow_pickle=True)`` would run it; and an array that claims more than is there is no array."""
    out, small = io.BytesIO(), io.BytesIO()
    np.save(out, np.array([{}], dtype=object), allow_pickle=True)
    np.save(small, np.zeros(100_000_000 // 10**7))

    assert "object-array" in look(out.getvalue(), "a.npy")
    assert "giant" in look(small.getvalue().replace(b"(10,)", b"(99999999,)"), "a.npy")


# --- safetensors (3, 4) ------------------------------------------------------------------------------


def header(length: int | None = None, data: int = 8, **tensors) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(data)


def tensor(dtype: str = "F32", shape: tuple = (2,), offsets: tuple = (0, 8)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (struct.pack("<Q", 1 << 63) + b"{}", "header-length"),
        (b"\x00", "header-length"),
        (header(a=tensor(), b=tensor(offsets=(4, 12)), data=12), "offsets"),
        (header(a=tensor(offsets=(8, 16)), data=16), "offsets"),
        (header(a=tensor(offsets=(0, 1 << 40), shape=(1 << 38,))), "offsets"),
        (header(a=tensor(offsets=(8, 0))), "offsets"),
        (header(a=tensor(), data=20), "offsets"),
        (header(a=tensor(shape=(3,))), "shape"),
        (header(a=tensor(shape=(1 << 62, 1 << 62))), "shape"),
        (header(a=tensor(shape=(-2,))), "header"),
        (header(a=tensor(dtype="OBJ")), "dtype"),
        (header(a=tensor(dtype=["F32"])), "dtype"),
        (header(a={**tensor(), "x": 1}), "header"),
        (header(a=[1]), "header"),
        (struct.pack("<Q", 4) + b"[1]\n", "header"),
        (struct.pack("<Q", 20) + b'{"a":1,"a":2}       ', "header"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "header"),
    ],
)
def test_a_safetensors_header_that_lies_is_refused(content: bytes, code: str) -> None:
    """Length, overlap, holes, ranges, shapes, dtypes and JSON."""
    assert code in look(content, "m.safetensors")


# --- ONNX (11 to 18) ---------------------------------------------------------------------------------


def model(*nodes, inits=(), functions=(), domains=(), shape=("n", 2)) -> onnx.ModelProto:
    graph = helper.make_graph(
        [*nodes, helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.ones((2, 1), np.float32), "w"), *inits],
    )
    opsets = [helper.make_opsetid("", 18), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions)


def external(location: str, **about: int) -> bytes:
    whole = model()
    weight = whole.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **about}.items():
        weight.external_data.add(key=key, value=str(value))
    return whole.SerializeToString()


def test_weights_in_other_files_must_be_plain_files_beside_the_model(tmp_path: Path) -> None:
    """``../``, absolute, link, hard link, missing, too short; a plain file inside is safe from a path."""
    folder, outside = tmp_path / "model", tmp_path / "secret"
    folder.mkdir()
    outside.write_bytes(bytes(64))
    (folder / "w.bin").write_bytes(bytes(8))
    (folder / "link.bin").symlink_to(outside)
    (folder / "deep").symlink_to(tmp_path)
    os.link(outside, folder / "hard.bin")
    cases = {
        "../secret": "not inside",
        "sub/../../secret": "not inside",
        str(outside): "not inside",
        "..\\secret": "not inside",
        "": "not inside",
        "link.bin": "symbolic link",
        "deep/secret": "symbolic link",
        "hard.bin": "hard link",
        "none.bin": "not there",
    }
    for location, said in cases.items():
        (folder / "m.onnx").write_bytes(external(location))
        (finding,) = scan(folder / "m.onnx").findings

        assert said in finding.why, location
    for about, said in {
        "offset": "the file has 8",
        "length": "takes 8 bytes",
    }.items():
        (folder / "m.onnx").write_bytes(external("w.bin", **{about: 10**6}))

        assert any(said in f.why for f in scan(folder / "m.onnx").findings)
    (folder / "m.onnx").write_bytes(external("w.bin"))
    assert scan(folder / "m.onnx").safe
    assert not scan_bytes(external("w.bin"), where="m.onnx").safe


def loop(trips: int | None) -> list:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_out"])],
        "body",
        [helper.make_tensor_value_info(n, t, []) for n, t in (("i", TensorProto.INT64), ("c", TensorProto.BOOL))],
        [helper.make_tensor_value_info("c_out", TensorProto.BOOL, [])],
    )  # fmt: skip
    count = helper.make_node("Constant", [], ["trips"], value=int64("t", trips or 0))
    return [count, helper.make_node("Loop", ["" if trips is None else "trips", ""], [], body=body)]


def int64(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def made(op: str, *inputs: str) -> onnx.NodeProto:
    return helper.make_node(op, inputs, ["big"])


def function(name: str, *calls: str) -> onnx.FunctionProto:
    nodes = [helper.make_node(c, ["a"], [f"b{i}"], domain="ours") for i, c in enumerate(calls)]
    return helper.make_function("ours", name, ["a"], ["b0"], nodes, [helper.make_opsetid("ours", 1)])


def call(name: str) -> onnx.NodeProto:
    return helper.make_node(name, ["x"], ["z"], domain="ours")


COUNT = [int64("a", 0), int64("b", 10**12), int64("c", 1)]
MANY = [*(function(f"f{i}", *[f"f{i + 1}"] * 9) for i in range(12)), function("f12", "last")]


@pytest.mark.parametrize(
    ("hostile", "code"),
    [
        (lambda: model(*loop(10**9)), "loop"),
        (lambda: model(*loop(None)), "loop"),
        (lambda: model(made("ConstantOfShape", "s"), inits=[int64("s", 10**6, 10**6)]), "giant"),
        (lambda: model(made("Expand", "w", "s"), inits=[int64("s", 10**9, 10**9)]), "giant"),
        (lambda: model(made("Range", "a", "b", "c"), inits=COUNT), "giant"),
        (lambda: model(made("ConstantOfShape", "s"), inits=[int64("s", -1)]), "dims"),
        (lambda: model(helper.make_node("Steal", ["x"], ["z"], domain="evil"), domains=["evil"]), "custom-op"),
        (lambda: model(helper.make_node("PythonOp", ["x"], ["z"], domain="com.microsoft")), "code-op"),
        (lambda: model(shape=(0, 2)), "dims"),
        (lambda: model(shape=(-1, 2)), "dims"),
        (lambda: model(call("f"), functions=[function("f", "f")]), "bomb"),
        (lambda: model(call("f0"), functions=MANY), "bomb"),
    ],
)  # fmt: skip
def test_a_hostile_graph_is_refused(hostile, code: str) -> None:
    """Endless loops, tensors out of nothing, foreign operators, impossible dimensions, functions that explode."""
    assert code in look(hostile().SerializeToString(), "m.onnx")


def test_a_graph_may_call_its_own_functions_and_loop_a_little() -> None:
    """The twins that must stay quiet; also when a subgraph of a loop is hostile it is seen."""
    ours = helper.make_function(
        "ours", "f", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 18)]
    )

    assert look(model(call("f"), functions=[ours], domains=["ours"]).SerializeToString(), "m.onnx") == {}
    assert look(model(*loop(100)).SerializeToString(), "m.onnx") == {}
    assert (
        look(model(made("ConstantOfShape", "s"), inits=[int64("s", 3, 4)]).SerializeToString(), "m.onnx")
        == {}
    )
    deep = loop(3)
    deep[1].attribute[0].g.node.add(op_type="Steal", domain="evil")
    assert "custom-op" in look(model(*deep).SerializeToString(), "m.onnx")


def test_weights_that_do_not_fill_their_shape_and_broken_bytes_are_refused() -> None:
    """Cut at many places; a whole model is read as the library of ONNX reads it."""
    short = model()
    short.graph.initializer[0].dims[0] = 10**9
    whole = model().SerializeToString()
    read = wire.message(whole, wire.Span(0, len(whole)), {7: "graph"})
    graph = wire.message(whole, read["graph"][0], {1: "node", 5: "initializer"})

    assert "shape" in look(short.SerializeToString(), "m.onnx")
    assert len(graph["node"]) == len(model().graph.node)
    assert len(graph["initializer"]) == len(model().graph.initializer)
    for cut in range(1, len(whole) - 1, 7):
        assert look(whole[:cut], "m.onnx"), cut
    # A message that stands twice is merged by some parsers and replaced by others.
    assert "broken-onnx" in look(whole + b"\x3a\x00", "m.onnx")


# --- the process, the door, and another scanner ------------------------------------------------------


def test_what_takes_too_long_or_too_much_is_refused(tmp_path: Path, monkeypatch) -> None:
    """Whoever does not answer in time is refused, not waited for."""
    before = time.monotonic()
    many = b"\x80\x04]" + b"2" * 1000 + b"0" * 1000 + b"."  # DUP and POP: fast

    assert scan_bytes(many, where="m.pkl").safe
    monkeypatch.setattr("rai_bigmodel.scan.looking.TIMEOUT", 0.001)
    slow = scan_bytes(many, where="m.pkl")
    assert [f.code for f in slow.findings] == ["limits"]
    assert time.monotonic() - before < 30


def test_the_child_can_open_nothing(tmp_path: Path) -> None:
    """Not a file, not a socket: its standard input is all there is."""
    import subprocess
    import sys

    code = (
        "import os, socket\nfrom rai_bigmodel.scan import child\nchild.limit(0)\n"
        "for act in (lambda: os.open('/etc/passwd', os.O_RDONLY), socket.socket, lambda: bytearray(1 << 32)):\n"
        "    try: act()\n"
        "    except (OSError, MemoryError): continue\n"
        "    raise SystemExit(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2], capture_output=True
    )

    assert done.returncode == 0, done.stderr


def test_a_loader_that_asks_gets_one_line(tmp_path: Path) -> None:
    """With the first reason; a kind that it cannot load is refused too, and a safe one passes."""
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(Touch(tmp_path / "run")))
    good = safetensors_of({"a": np.ones(2)})

    with pytest.raises(InputError, match=r"m\.pkl: unsafe, not loaded: .*system, which can run code"):
        refuse_unsafe(tmp_path / "m.pkl")
    with pytest.raises(InputError, match="onnx is needed, its bytes are safetensors"):
        refuse_unsafe(good, where="m.safetensors", kinds=("onnx",))
    refuse_unsafe(good, where="m.safetensors", kinds=("safetensors",))
    assert not (tmp_path / "run").exists()


def test_rai_scan_says_which_and_why_and_exits_with_1_or_2(tmp_path: Path, capsys) -> None:
    """0 all safe, 1 something unsafe, 2 something that cannot be judged."""
    from rai_bigmodel.cli import main

    (tmp_path / "good.safetensors").write_bytes(safetensors_of({"a": np.ones(2)}))
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Touch(tmp_path / "run")))
    (tmp_path / "notes.txt").write_text("hello")

    def rai(*args: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["scan", *args])
        return int(stopped.value.code or 0), capsys.readouterr().out

    assert rai(str(tmp_path / "good.safetensors"))[0] == 0
    code, said = rai(str(tmp_path / "good.safetensors"), str(tmp_path / "evil.pkl"), "--json")
    first, second = json.loads(said)
    assert (code, first["safe"], second["safe"]) == (1, True, False)
    assert second["findings"][0]["code"] == "dangerous-global"
    assert rai(str(tmp_path / "notes.txt"))[0] == 2
    assert rai(str(tmp_path / "none.pt"))[0] == 2


def test_what_picklescan_calls_dangerous_is_unsafe_here(tmp_path: Path) -> None:
    """The same files before another scanner: whatever it finds, we find."""
    reached = {
        "os.system": b"cos\nsystem\n(S'true'\ntR.",
        "eval": b"cbuiltins\neval\n(S'1'\ntR.",
        "subprocess": b"csubprocess\nPopen\n(S'true'\ntR.",
        "runpy": b"\x80\x04\x8c\x05runpy\x8c\x0brun_module\x93.",
        "pip": b"cpip\nmain\n(S'x'\ntR.",
        "torch.load": b"ctorch.serialization\nload\n(S'x'\ntR.",
        "numpy": b"cnumpy.testing._private.utils\nrunstring\n(S'1'\ntR.",
        "weights": pickle.dumps({"a": 1}),
    }
    agreed = 0
    for name, content in reached.items():
        for file in ("m.pkl", "m.pt"):
            path = tmp_path / f"{name}-{file}"
            path.write_bytes(zipped(("archive/data.pkl", content)) if file == "m.pt" else content)
            theirs = picklescan.scan_file_path(str(path))
            ours = look(path.read_bytes(), path.name)
            if theirs.infected_files:
                agreed += 1
                assert "dangerous-global" in ours, path.name
            if name == "weights":
                assert not theirs.infected_files
                assert ours == {}
    assert agreed >= 12
