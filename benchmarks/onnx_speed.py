"""How fast is the file that ships, beside the network it came from? Prints the table of ``benchmarks/README.md``.

Each net of the recipes is trained for one epoch (speed does not ask how well) and exported in single precision, half
and 8 bits. All take turns, one thread each, by processor time: what else the machine does costs no side anything.

    OMP_NUM_THREADS=1 python benchmarks/onnx_speed.py [--only NET] [--compiled] [--pieces]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from rai_bigmodel import datasets, nets
from rai_bigmodel.deploy import export, to_onnx
from rai_bigmodel.deploy.session import open_session
from rai_bigmodel.errors import RaiError
from rai_bigmodel.subject import Splits, inputs_of
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit, recipe
from rai_bigmodel.training.scoring import score_columns

if TYPE_CHECKING:
    from rai_bigmodel.training.checkpoint import Run

RECIPES = Path(__file__).parents[1] / "examples" / "recipes"
PLAIN = "plain CNN, 28 × 28"
"""Convolutions and ReLU alone, on pictures of the size that most examples have."""
NETS = (PLAIN, "digits_mlp", "digits_cnn", "digits_lstm", "toxicity_transformer", "digits_autoencoder")
BATCHES = (1, 256)
PIECES = (256, 64, 32, 16, 8)
SECONDS = 6.0
FEWEST = 25
MILLION = 1_000_000


def trained(name: str) -> tuple[Run, Splits]:
    """The recipe's net after one epoch, and its rows."""
    if name == PLAIN:
        r = np.random.default_rng(0)
        columns = {"image": r.normal(size=(300, 1, 28, 28)).astype(np.float32), "y": np.arange(300) % 10.0}
        table = Table(name="made up", columns=columns, roles={"feature": ("image",), "truth": ("y",)})
        splits = Splits(train=table, calibrate=table, held_out=table)
        return fit.train(nets.CNN(widths=(32, 64)), splits, epochs=1), splits
    asked = recipe.read(RECIPES / f"{name}.yaml")
    asked = msgspec.structs.replace(
        asked, train=msgspec.structs.replace(asked.train, epochs=1, keep=None, patience=None)
    )
    splits = datasets.by_name(asked.data)
    return fit.train_recipe(asked, splits=splits), splits


def medians(ways: dict[str, object], seconds: float = SECONDS) -> dict[str, float]:
    """Milliseconds of processor time of each way, taking turns."""
    for ask in ways.values():
        for _ in range(3):
            ask()  # type: ignore[operator]
    taken: dict[str, list[float]] = {name: [] for name in ways}
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends or len(next(iter(taken.values()))) < FEWEST:
        for name, ask in ways.items():
            started = time.process_time()
            ask()  # type: ignore[operator]
            taken[name].append((time.process_time() - started) * 1000)
    return {name: float(np.median(t)) for name, t in taken.items()}


def of_net(name: str, *, compiled: bool) -> None:
    """The row of one net: raw columns to answers, by the run and by each file."""
    run, splits = trained(name)
    files = {}
    full = to_onnx.to_onnx(run)
    for variant in ("fp32", "fp16", "int8"):
        try:
            files[variant] = export.made(run, variant, splits, full=full)
        except RaiError as error:
            print(f"{name} {variant}: {error}", file=sys.stderr)
    whole = inputs_of(splits.held_out)
    shown = [name, f"{len(full) / 1024:,.0f}"]
    for batch in BATCHES:
        rows = np.arange(batch) % splits.held_out.rows
        some = {c: v[rows] for c, v in whole.items()} if isinstance(whole, dict) else whole[rows]
        ways: dict[str, object] = {
            "torch": lambda some=some: score_columns(run.module, some, where=name, aim=run.card.aim)
        }
        if compiled:
            made = torch.compile(run.module)
            ways["compiled"] = lambda some=some, made=made: score_columns(
                made, some, where=name, aim=run.card.aim
            )
        for variant, content in files.items():
            session = open_session(content, where=variant)
            ways[variant] = lambda some=some, session=session: session.score(some)
        found = medians(ways)
        shown.append(f"{found['torch']:.3f}")
        shown += [f"{found['torch'] / found[way]:.2f}" for way in ways if way != "torch"]
    print("| " + " | ".join(shown) + " |", flush=True)


GIVEN = """
import sys, time
import numpy as np, onnxruntime
model, rows, arena, size = sys.argv[1], dict(np.load(sys.argv[2])), sys.argv[3] == "with", int(sys.argv[4])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.enable_cpu_mem_arena = arena
runtime = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
took, ends = [], time.perf_counter() + 2
while time.perf_counter() < ends or len(took) < 5:
    started = time.process_time()
    for i in range(0, 256, size):
        runtime.run(None, {k: x[i : i + size] for k, x in rows.items()})
    took.append((time.process_time() - started) * 1000)
print(float(np.median(took)))
"""


def pieces(name: str) -> None:
    """Milliseconds of 256 rows by how many are given at once, with onnxruntime's arena and without.

    Each in a process of its own: what a process did before decides how dear fresh memory is.
    """
    run, splits = trained(name)
    content = to_onnx.to_onnx(run)
    rows = np.arange(256) % splits.held_out.rows
    whole = inputs_of(splits.held_out)
    some = {c: v[rows] for c, v in whole.items()} if isinstance(whole, dict) else whole[rows]
    with tempfile.TemporaryDirectory() as folder:
        model, given = Path(folder) / "m.onnx", Path(folder) / "rows.npz"
        model.write_bytes(content)
        np.savez(given, **open_session(content, where=name).inputs(some))
        for arena in ("with", "without"):
            found = [seconds(GIVEN, str(model), str(given), arena, str(size)) for size in PIECES]
            print(f"| {name}, {arena} the arena | {' | '.join(f'{ms:.2f}' for ms in found)} |", flush=True)


def bare() -> None:
    """A million rows through a small net: columns to scores, beside onnxruntime on rows that are laid out already."""
    r = np.random.default_rng(0)
    names = tuple(f"f{i}" for i in range(30))

    def columns(rows: int) -> dict[str, np.ndarray]:
        return {name: r.normal(size=rows) for name in names}

    few = {**columns(500), "y": np.arange(500) % 2.0}
    table = Table(name="made up", columns=few, roles={"feature": names, "truth": ("y",)})
    run = fit.train(nets.MLP(hidden=(64, 32)), Splits(train=table, calibrate=table, held_out=table), epochs=1)
    session = open_session(to_onnx.to_onnx(run), where="bare")
    many = columns(MILLION)
    laid_out = np.stack([v.astype(np.float32) for v in many.values()], axis=1)
    (given,) = session.input_names

    def of_batches(size: int) -> None:
        for i in range(0, MILLION, size):
            session.runtime.run(None, {given: laid_out[i : i + size]})

    sizes = (256, 1024, 2048, 4096, 16_384, 65_536)
    ways: dict[str, object] = {f"bare {size}": lambda size=size: of_batches(size) for size in sizes}
    ways["ours"] = lambda: session.score(many)
    found = medians(ways, 0)
    best = min((ms, way) for way, ms in found.items() if way != "ours")
    print(", ".join(f"{way} {ms:.0f} ms" for way, ms in found.items()))
    print(f"ours reaches {best[0] / found['ours']:.0%} of the best ({best[1]})")


OPENED = """
import sys, time
from rai_bigmodel.subjects.of_onnx import of_onnx
of_onnx(sys.argv[1])
assert "torch" not in sys.modules
print(time.process_time())
"""
COMMAND = """
import atexit, sys, time
atexit.register(lambda: print(time.process_time()))
from rai_bigmodel.cli import main
main(sys.argv[1:])
"""


def seconds(code: str, *asked: str) -> float:
    """What a fresh interpreter prints last: its processor seconds, as a rule."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
        [sys.executable, "-c", code, *asked], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def start() -> None:
    """How long ``rai audit --model`` takes to have its model, and all of it on a hundred rows."""
    model = str(Path(__file__).parents[1] / "reports" / "samples" / "demo" / "model.onnx")
    features = open_session(Path(model).read_bytes(), where="sample").features
    r = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.csv"
        lines = [",".join([*features, "paid", "region"])]
        made = r.normal(size=(100, len(features))).round(2).astype(str).tolist()
        lines += [",".join([*row, str(i % 2), "ns"[i % 2]]) for i, row in enumerate(made)]
        rows.write_text("\n".join(lines))
        asked = ["audit", "--model", model, "--data", str(rows), "--truth", "paid", "--sensitive", "region"]
        opened = np.median([seconds(OPENED, model) for _ in range(5)])
        out = [str(Path(folder) / f"out{i}") for i in range(3)]
        whole = np.median([seconds(COMMAND, *asked, "--quiet", "--out", o) for o in out])
    print(f"from nothing to a model that is ready: {opened:.2f} s; the whole command: {whole:.2f} s")


def main() -> None:
    """All of it, or one net."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--pieces", action="store_true", help="time batches of several sizes instead")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.pieces:
        print("| net, ms for 256 rows in pieces of | " + " | ".join(map(str, PIECES)) + " |")
        for name in (*NETS, "text_lm") if asked.only is None else (asked.only,):
            pieces(name)
        return
    head = ["torch ms", *(["compile ×"] if asked.compiled else []), "fp32 ×", "fp16 ×", "int8 ×"]
    print("| " + " | ".join(["net", "KB", *(f"{h} @{b}" for b in BATCHES for h in head)]) + " |")
    print("|" + "---|" * (2 + len(BATCHES) * len(head)))
    for name in NETS if asked.only is None else (asked.only,):
        if name in NETS:
            of_net(name, compiled=asked.compiled)
    if asked.only in {None, "bare"}:
        bare()
    if asked.only in {None, "start"}:
        start()


if __name__ == "__main__":
    main()
