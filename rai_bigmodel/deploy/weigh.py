"""What does opening a file cost? Load time and memory, measured in a process of its own that holds nothing else."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rai_bigmodel.deploy.session import Session
    from rai_bigmodel.subject import Inputs

LOADS = 5
TIMEOUT = 120.0
_CHILD = """
import io, json, sys, time
sys.path[:] = json.loads(sys.argv[1])
import numpy, onnxruntime
try:
    import resource
except ImportError:
    resource = None
def peak():
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
size = int.from_bytes(sys.stdin.buffer.read(8), "little")
content = sys.stdin.buffer.read(size)
feeds = dict(numpy.load(io.BytesIO(sys.stdin.buffer.read())))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.enable_cpu_mem_arena = False
options.log_severity_level = 4
before, took = peak(), []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    took.append((time.perf_counter() - started) * 1000)
    session.run(None, feeds)
    if len(took) == 1:
        after = peak()
print(json.dumps({"load_ms": sorted(took)[len(took) // 2], "peak_bytes": float(after - before)}))
"""


def weigh(content: bytes, session: Session, rows: Inputs) -> dict[str, float] | None:
    """The median of five load times, and by how much memory peaks while one is loaded and answers these rows.

    Returns:
        ``load_ms`` and ``peak_bytes``: what comes on top of Python, NumPy and onnxruntime; ``None`` where the process
        could not be had.
    """
    packed = io.BytesIO()
    np.savez(packed, **session.inputs(rows))  # type: ignore[arg-type]
    given = len(content).to_bytes(8, "little") + content + packed.getvalue()
    paths = json.dumps([p for p in sys.path if p])
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
            [sys.executable, "-I", "-S", "-c", _CHILD, paths, str(LOADS)],
            input=given,
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
        )
        found: dict[str, float] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return found
