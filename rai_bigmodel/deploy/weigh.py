"""What does opening a file cost? Load time and memory, measured in a process of its own that holds nothing else."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.subject import Array

LOADS = 5
TIMEOUT = 120.0
_CHILD = """
import io, json, sys, time
sys.path[:] = json.loads(sys.argv[1])
import numpy, onnxruntime
def memory(what):
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))
    except (OSError, StopIteration):
        return None
size = int.from_bytes(sys.stdin.buffer.read(8), "little")
content = sys.stdin.buffer.read(size)
feeds = dict(numpy.load(io.BytesIO(sys.stdin.buffer.read())))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 4
try:
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
except OSError:
    pass
before, took = memory("VmRSS"), []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    took.append((time.perf_counter() - started) * 1000)
    for i in range(0, len(next(iter(feeds.values()))), int(sys.argv[3])):
        session.run(None, {name: x[i : i + int(sys.argv[3])] for name, x in feeds.items()})
    if len(took) == 1:
        after = memory("VmHWM")
found = {"load_ms": sorted(took)[len(took) // 2]}
if before is not None and after is not None:
    found["peak_bytes"] = float(max(0, after - before))
print(json.dumps(found))
"""


def weigh(content: bytes, inputs: Mapping[str, Array], *, piece: int) -> dict[str, float] | None:
    """The median of five load times, and by how much memory peaks while one is loaded and answers these rows.

    Args:
        inputs: what the graph is fed with, by the names of its inputs.
        piece: how many rows are asked about at once.

    Returns:
        ``load_ms``, and where the system tells it ``peak_bytes``: what comes on top of Python, NumPy and onnxruntime;
        ``None`` where the process could not be had.
    """
    packed = io.BytesIO()
    plain = {name: x.astype(str) if x.dtype == object else x for name, x in inputs.items()}  # no pickles
    np.savez(packed, **plain)  # type: ignore[arg-type]
    given = len(content).to_bytes(8, "little") + content + packed.getvalue()
    paths = json.dumps([p for p in sys.path if p])
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
            [sys.executable, "-I", "-S", "-c", _CHILD, paths, str(LOADS), str(piece)],
            input=given,
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
        )
        found: dict[str, float] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return found
