"""Toy rows that several processes train on together, and how a test starts those processes.

A test file that needs them is both: pytest collects it, and torchrun runs it as what each process does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training.recipe import Net, Recipe, Text, Train

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


def torchrun(program: list[str], *, processes: int = 2, timeout: int = 90) -> Any:
    """Run a Python program in several processes; what they said, and torchrun's exit code."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *program], capture_output=True, text=True, timeout=timeout, check=False, env=environment
    )


def leave(folder: Path, mine: dict[str, Any]) -> None:
    """What a process found, for the test to read."""
    files.write_bytes(folder / f"{os.environ['RANK']}.json", json.dumps(mine).encode())


def found_by_each(file: str, folder: Path, *, processes: int = 2) -> tuple[list[dict[str, Any]], str]:
    """What each process of a test file left, in the order of their ranks, and what they said."""
    done = torchrun([file, str(folder)], processes=processes)
    assert done.returncode == 0, done.stderr

    return [json.loads((folder / f"{rank}.json").read_bytes()) for rank in range(processes)], done.stderr
