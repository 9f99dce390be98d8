"""Are several processes that are stopped from outside gone soon, and is what they leave whole? The long way (zoo)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rai_bigmodel.training.checkpoint import load_run

RAI = Path(sys.executable).with_name("rai")
RECIPE = "data: loan\nnet: {{mlp: {{hidden: [8]}}}}\ntrain: {{epochs: {}, batch_size: 200, every: 20, parallel: {}}}\n"


def children(parent: int) -> list[int]:
    """The processes that torchrun started, in the order of their ranks."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [int(number) for number in listed.split()]


def gone(process: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(file: Path) -> None:
    """Until it is there."""
    for _ in range(1200):
        if file.is_file():
            return
        time.sleep(0.1)
    pytest.fail(f"{file.name} was not written")


CASES = {
    "Ctrl-C": (None, signal.SIGINT, "stopped"),
    "asked to end": (-1, signal.SIGTERM, "stopped"),
    "the first is lost": (0, signal.SIGKILL, "process 1 of 2 lost the others"),
    "the second is lost": (1, signal.SIGKILL, "process 0 of 2 lost the others"),
}


@pytest.mark.zoo
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are told from Linux' /proc")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("how", CASES)
def test_stopped_processes_are_gone_and_leave_a_checkpoint_that_resumes(
    how: str, parallel: str, tmp_path: Path
) -> None:
    """Within half a minute, with a line that says why; no part of a file, no run; one process can end the training."""
    whom, which, said = CASES[how]
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(RECIPE.format(200, parallel), encoding="utf-8")
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "--no-python",
    ]
    started = subprocess.Popen(
        [*torchrun, str(RAI), "train", str(recipe), "--out", str(run)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        wait_for(run / "resume" / "state.json")
        both = children(started.pid)
        if whom is None:
            os.killpg(started.pid, which)
        else:
            os.kill(started.pid if whom < 0 else both[whom], which)
        _, words = started.communicate(timeout=60)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)

    assert len(both) == 2
    assert all(map(gone, both))
    assert started.returncode != 0
    assert said in words
    assert not (run / "card.json").exists()
    assert not [p for p in run.rglob("*") if p.name.endswith(".part")]
    command = [str(RAI), "train", str(recipe), "--out", str(run), "--resume", "--quiet"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert ended.returncode == 0, ended.stderr
    card = load_run(run).card
    assert len(card.resumed_at) == 1
    assert card.processes == 1
    assert sorted(p.name for p in run.iterdir()) == ["card.json", "model.safetensors"]


@pytest.mark.zoo
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_one_process_that_is_stopped_exits_with_130(which: signal.Signals, tmp_path: Path) -> None:
    """One line, and the checkpoint stays."""
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(RECIPE.format(2000, "ddp"), encoding="utf-8")
    command = [str(RAI), "train", str(recipe), "--out", str(run)]
    # A background job of a shell, these tests among them, ignores Ctrl-C, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(run / "resume" / "state.json")
    started.send_signal(which)
    _, words = started.communicate(timeout=60)

    assert started.returncode == 130
    assert words.strip() == "rai: stopped"
    assert sorted(p.name for p in run.iterdir()) == ["resume"]
    assert not [p for p in run.rglob("*") if p.name.endswith(".part")]
