"""A file is looked at in a process of its own, which may not use much memory, time or any other file.

Standard input is the file; one JSON object on standard output is what was seen.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import sys

from rai_bigmodel.scan import opened

MEMORY = 2 << 30
"""Bytes of address space beyond the file's own size."""
SECONDS = 60


def limit(size: int) -> None:
    """Take from this process what reading does not need: memory, time, files to open and to write."""
    with contextlib.suppress(ImportError):  # Windows has no such limits; the parent's time-out stands
        import resource

        for what, most in (
            (resource.RLIMIT_AS, MEMORY + size),
            (resource.RLIMIT_CPU, SECONDS),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 3),  # the three it has; a socket would be a fourth
        ):
            with contextlib.suppress(ValueError, OSError):  # a harder limit stands already
                resource.setrlimit(what, (most, most))


def main() -> None:
    """Look at standard input, whose name is the last argument."""
    # Before files can no longer be opened: what the readers look up by name.
    import mmap  # noqa: F401

    for encoding in ("cp437", "utf-8", "ascii", "latin-1", "raw-unicode-escape", "unicode-escape"):
        codecs.lookup(encoding)

    name = sys.argv[-1]
    with io.BufferedReader(io.FileIO(0, closefd=False)) as stream:
        size = os.fstat(0).st_size
        limit(size)
        seen = opened.look(stream, size, name)
    answer = {
        "kind": seen.kind,
        "findings": [f._asdict() for f in seen.faults],
        "elsewhere": [e._asdict() for e in seen.elsewhere],
    }
    left = memoryview(json.dumps(answer).encode())
    while left:
        left = left[os.write(1, left) :]
