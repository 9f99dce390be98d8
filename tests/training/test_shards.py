"""Are weights read as they were written, in one file or in many, small or large?"""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit, shards
from rai_bigmodel.training.checkpoint import Run, digest_of, load_run, save_run, weights
from rai_bigmodel.training.recipe import Net

TYPES = list(shards._TYPES)
NAMES = st.text('abc.é"\\_0', min_size=1, max_size=6)
SHAPES = st.lists(st.integers(0, 4), max_size=3)


@st.composite
def states(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    out = {}
    for name in draw(st.lists(NAMES, unique=True, min_size=1, max_size=6)):
        kind, shape = draw(st.sampled_from(TYPES)), draw(SHAPES)
        bits = torch.from_numpy(
            np.random.default_rng(draw(st.integers(0, 99))).integers(0, 2, (*shape, 8), dtype=np.uint8)
        )
        out[name] = bits.sum(-1).to(kind)
    return out


@given(states(), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_what_is_read_and_its_digest_is_that_of_one_file(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, torch.Tensor], most: int
) -> None:
    """Any types, shapes and names, in any number of files; the digest never depends on how many there are."""
    folder = tmp_path_factory.mktemp("run")
    shards.write(state, folder, max_shard_bytes=most)
    read = shards.read(folder)
    content = safetensors.torch.save(state)

    assert shards.digest(state) == (len(content), hashlib.sha256(content).digest())
    assert read.keys() == state.keys()
    for name, tensor in state.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


@pytest.fixture(scope="module")
def run() -> Run:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 40))
    columns = {"a": a, "b": b, "y": (a > b).astype(float)}
    table = Table(name="t", columns=columns, roles={"feature": ("a", "b"), "truth": ("y",)})
    return fit.train(MLP(hidden=(30, 30)), Splits(train=table, calibrate=table, held_out=table), epochs=1)


def test_a_large_run_lies_in_files_with_an_index_as_hugging_face_writes_it(run: Run, tmp_path: Path) -> None:
    """Same digest, same weights; the index names each tensor's file; no file is larger than asked."""
    save_run(run, tmp_path, max_shard_bytes=2_000)
    again = load_run(tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf-8"))
    parts = sorted(p.name for p in tmp_path.glob("model-*.safetensors"))

    assert weights(again.module) == weights(run.module)
    assert again.digest == run.digest
    assert len(parts) > 2
    assert parts[0] == f"model-00001-of-{len(parts):05d}.safetensors"
    assert set(index["weight_map"]) == set(run.module.state_dict())
    assert set(index["weight_map"].values()) == set(parts)
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in run.module.state_dict().values())
    largest = max(t.nbytes for t in run.module.state_dict().values())
    assert all(
        sum(t.nbytes for t in safetensors.torch.load_file(tmp_path / p).values()) <= max(2_000, largest)
        for p in parts
    )


def test_a_smaller_model_in_its_place_leaves_nothing_of_the_larger(run: Run, tmp_path: Path) -> None:
    """Written over: many files by one, and one by many."""
    save_run(run, tmp_path, max_shard_bytes=2_000)
    save_run(run, tmp_path)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["card.json", "model.safetensors"]
    save_run(run, tmp_path, max_shard_bytes=2_000)
    assert not (tmp_path / "model.safetensors").exists()
    assert load_run(tmp_path).digest == run.digest


def test_a_missing_or_foreign_file_of_many_is_refused(run: Run, tmp_path: Path) -> None:
    """A file that is gone, an index that names a path elsewhere, and one that does not fit its files."""
    save_run(run, tmp_path, max_shard_bytes=2_000)
    index = tmp_path / "model.safetensors.index.json"
    whole = json.loads(index.read_text(encoding="utf-8"))
    first = tmp_path / "model-00001-of-{:05d}.safetensors".format(len(set(whole["weight_map"].values())))
    shutil.move(first, tmp_path / "kept")
    with pytest.raises(InputError, match=r"model-00001.*no such file"):
        load_run(tmp_path)
    shutil.move(tmp_path / "kept", first)
    for change, said in (
        ({"head.bias": "../../etc/passwd"}, "is not the name of a file beside it"),
        ({"strange": first.name}, "do not hold the same tensors: strange"),
    ):
        changed = {**whole, "weight_map": {**whole["weight_map"], **change}}
        index.write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(InputError, match=said):
            load_run(tmp_path)


def test_a_full_disk_is_one_clear_line_and_leaves_no_card(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is needed and what is free; nothing that looks like a run."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(
        InputError, match=r"too little room on the disk: [\d,]+ bytes are needed, 1,000 are free"
    ):
        save_run(run, tmp_path / "run")

    assert list((tmp_path / "run").iterdir()) == []


def test_a_model_of_another_number_of_outputs_says_which_keys_differ(run: Run, tmp_path: Path) -> None:
    """The card is right, the weights are of another net."""
    save_run(run, tmp_path)
    card = run.card
    other = card.recipe.net.config.build(card.reads, outputs=3)
    shards.write(shards.state_of(other), tmp_path, max_shard_bytes=10**9)
    with pytest.raises(InputError, match=r"head\.bias is \[3\] of torch\.float32 instead of \[1\]"):
        load_run(tmp_path)


LOADING = """
import sys, torch
from pathlib import Path
import rai_bigmodel.training.fit
from rai_bigmodel.training.checkpoint import load_run
def peak():  # not getrusage: what that says a process inherits from the one that started it
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024
torch.zeros((64, 64)) @ torch.zeros((64, 64))
before = peak()
run = load_run(sys.argv[1])
size = sum(t.nbytes for t in run.module.state_dict().values())
print(size, (peak() - before) / size)
"""


@pytest.mark.zoo
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from Linux' /proc")
@pytest.mark.parametrize("most", [10**10, 150_000_000])
def test_loading_a_large_model_peaks_at_little_more_than_its_size(
    run: Run, tmp_path: Path, most: int
) -> None:
    """600 MB in one file or in several: what loading adds to the process's memory is at most 1.2 times that."""
    net = MLP(hidden=(7_000,) * 4)
    card = run.card
    module = net.build(card.reads)
    recipe = msgspec.structs.replace(card.recipe, net=Net(mlp=net))
    digest = digest_of(module, net=recipe.net, reads=card.reads, aim=card.aim, decision=card.decision)
    save_run(
        Run(module=module, card=msgspec.structs.replace(card, recipe=recipe, digest=digest)),
        tmp_path,
        max_shard_bytes=most,
    )
    del module
    command = [sys.executable, "-c", LOADING, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size, ratio = done.stdout.split()

    assert int(size) > 550_000_000
    assert 0.5 < float(ratio) <= 1.2
