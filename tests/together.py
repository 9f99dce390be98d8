"""Toy rows that several processes train on together, and how a test starts those processes.

A test file that needs them is both: pytest collects it, and torchrun runs what each process does of it.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from rai_bigmodel import files
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training.recipe import Net, Recipe, Text
from rai_bigmodel.training.settings import Train

if TYPE_CHECKING:
    import pytest

NUMBERS, WORDS, PICTURES = ("a", "b"), ("text",), ("image",)


def splits(features: tuple[str, ...] = NUMBERS) -> Splits:
    """Rows that one can learn from: 61 of them, so that batches of 20 leave one over, which two cannot share."""

    def table(seed: int, rows: int) -> Table:
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=(2, rows))
        said = [" ".join(rng.choice(["red", "green", "blue"], rng.integers(2, 7))) for _ in range(rows)]
        columns = {
            "a": a,
            "b": b,
            "text": np.array(said, dtype=object),
            "image": rng.normal(size=(rows, 1, 8, 8)).astype(np.float32),
            "y": (a + b + rng.normal(size=rows) > 0).astype(float),
        }
        return Table(name=f"toy {seed}", columns=columns, roles={"feature": features, "truth": ("y",)})

    return Splits(train=table(1, 61), calibrate=table(2, 31), held_out=table(3, 31))


def recipe(net: Any, *, privacy: Any = None, **train: Any) -> Recipe:
    """Three epochs of batches of 20, unless said otherwise."""
    settings = {"epochs": 3, "batch_size": 20, "lr": 0.02} | train
    return Recipe(data="toy", net=Net.of(net), train=Train(**settings), text=Text(length=6), privacy=privacy)


class Killed(BaseException):
    """The process is gone."""


def torchrun(program: list[str], *, processes: int = 2, timeout: int = 400) -> Any:
    """Run a Python program in several processes; what they said, and torchrun's exit code."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here / "training")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *program], capture_output=True, text=True, timeout=timeout, check=False, env=environment
    )


PARTS = ("test_distributed_private", "test_spread", "test_distributed")
"""Test files whose work two processes do in one launch: to import torch takes longer than most of it. Each has
`begin(folder)`, what one process does before, and `share_the_work(folder)`; the last ends by losing a process."""


@dataclass(frozen=True)
class Shared:
    """What two processes did: the folder of one test file, what each found, and what they said."""

    folder: Path
    found: list[dict[str, Any]]
    said: str


def shared_by_two(part: str, factory: pytest.TempPathFactory) -> Shared:
    """The work of a test file, done once for all of them, whichever of pytest's workers asks first."""
    base = factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "together"
    with FileLock(f"{folder}.lock"):
        if not (folder / "said").is_file():
            for name in PARTS:
                (folder / name).mkdir(parents=True)
                importlib.import_module(name).begin(folder / name)
            done = torchrun([__file__, str(folder)])
            assert done.returncode == 0, done.stderr

            (folder / "said").write_text(done.stderr, encoding="utf-8")
    found = [json.loads((folder / part / f"{rank}.json").read_bytes()) for rank in (0, 1)]
    return Shared(folder / part, found, (folder / "said").read_text(encoding="utf-8"))


if __name__ == "__main__":
    for name in PARTS:
        there = Path(sys.argv[1]) / name
        mine = importlib.import_module(name).share_the_work(there)
        files.write_bytes(there / f"{os.environ['RANK']}.json", json.dumps(mine).encode())
