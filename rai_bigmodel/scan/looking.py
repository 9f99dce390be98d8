"""How is a model file looked at without being loaded? By a child process with limits; its answer becomes a record."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record

if TYPE_CHECKING:
    import os

TIMEOUT = 120.0
"""Seconds that looking at one file may take; the child's own limit on computing time is lower."""
_CHILD = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from rai_bigmodel.scan.child import main; main()"
UNREAD = frozenset(["unreadable", "unknown-kind"])
"""Findings that say nothing about the file but that it could not be judged."""


class Finding(Record):
    """One thing that makes a file unsafe.

    Args:
        code: its name, for programs: ``dangerous-global``, ``bomb``, ``external`` …
        at: the member, tensor or node; empty for the whole file.
        why: what was seen, and why that is not safe.
    """

    code: str
    at: str
    why: str

    @property
    def words(self) -> str:
        """The finding in one line."""
        return files.visible(f"{self.at}: {self.why}" if self.at else self.why)


class Scanned(Record):
    """What looking at one file gave.

    Args:
        path: the file.
        kind: ``torch torchscript pickle safetensors onnx zip keras npz npy tar unknown``, going by its bytes.
        safe: whether nothing was found; a file that could not be judged is not safe.
        findings: what was found.
        beside: the other files that hold an ONNX model's weights, by the names that it gives them.
    """

    path: str
    kind: str
    safe: bool
    findings: tuple[Finding, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether it could be read, and is of a kind that is known."""
        return not self.findings or any(f.code not in UNREAD for f in self.findings)


class _Elsewhere(Record):
    tensor: str
    location: str
    offset: int
    length: int


class _Answer(Record):
    kind: str
    findings: tuple[Finding, ...]
    elsewhere: tuple[_Elsewhere, ...]


def scan(path: str | os.PathLike[str]) -> Scanned:
    """Look at a model file without loading it: torch, pickle, joblib, safetensors, ONNX, NumPy, Keras, zip, tar.

    Nothing in the file is run and no other file is written. For ONNX the files that hold its weights are looked up,
    not read: each must be a plain file with one name, inside the model's folder, and long enough.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    with files.reading(path) as handle:
        return _scanned(handle, str(path), Path(path).name, Path(path).parent)


def scan_bytes(content: bytes, *, where: str, folder: Path | None = None) -> Scanned:
    """The same for the bytes of a file.

    Args:
        where: names the source; its ending says what the bytes are meant to be.
        folder: where weights in other files are looked up; without one they count as unsafe.
    """
    with files.unnamed(content) as handle:
        return _scanned(handle, where, Path(where).name, folder)


def refuse_unsafe(
    model: bytes | str | os.PathLike[str],
    *,
    where: str = "",
    kinds: tuple[str, ...] = (),
    folder: Path | None = None,
) -> Scanned:
    """Refuse a model file, or its bytes, that is not safe to load; what every loader asks first.

    Args:
        where: names bytes in errors.
        kinds: what the loader can load, as in `Scanned.kind`; empty for any.
        folder: where bytes came from, and their weights in other files are looked up.

    Raises:
        InputError: it is unsafe, cannot be read, or is of another kind; one line with the first reason.
    """
    shown = where or ("model" if isinstance(model, bytes) else str(model))
    if isinstance(model, bytes):
        # Bytes have no ending that says what they are meant to be; the loader knows.
        named = shown if "." in shown or not kinds else f"{shown}.{kinds[0]}"
        one = scan_bytes(model, where=named, folder=folder)
    else:
        one = scan(model)
    if not one.safe:
        more = f" (and {len(one.findings) - 1} more: rai scan)" if len(one.findings) > 1 else ""
        msg = f"{shown}: unsafe, not loaded: {one.findings[0].words}{more}"
        raise InputError(msg)
    if kinds and one.kind not in kinds:
        msg = f"{shown}: {' or '.join(kinds)} is needed, its bytes are {one.kind}"
        raise InputError(msg)
    return one


def _scanned(handle: int, path: str, name: str, folder: Path | None) -> Scanned:
    answer = _asked(handle, name)
    findings = list(answer.findings)
    for one in answer.elsewhere:
        if why := _outside(one, folder):
            found = Finding(code="external", at=one.tensor, why=why)
            findings += [found] if found not in findings else []
    if answer.kind == "unknown" and not findings:
        findings.append(Finding(code="unknown-kind", at="", why="is of no kind that can be judged"))
    beside = tuple(sorted({one.location for one in answer.elsewhere}))
    return Scanned(path=path, kind=answer.kind, safe=not findings, findings=tuple(findings), beside=beside)


def _asked(handle: int, name: str) -> _Answer:
    import json

    # No environment, no user's site, nothing from the working directory: only the paths this process imports from.
    paths = [str(Path(__file__).resolve().parents[2]), *(p for p in sys.path if p)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
            [sys.executable, "-I", "-S", "-c", _CHILD, json.dumps(paths), name or "model"],
            stdin=handle,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _gave_up(f"looking at it took more than {TIMEOUT:g} seconds")
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
        if done.returncode < 0 or last[0].startswith("MemoryError"):
            return _gave_up("looking at it took more memory or time than a model file needs")
        msg = f"looking at {name!r} failed: {last[0]}"
        raise RuntimeError(msg)  # a bug of the reader: said as such, and the file stays unloaded
    return files.parse_json(done.stdout, _Answer, where="scan")


def _gave_up(why: str) -> _Answer:
    return _Answer(kind="unknown", findings=(Finding(code="limits", at="", why=why),), elsewhere=())


def _outside(one: _Elsewhere, folder: Path | None) -> str:
    """Why a tensor's data may not be read from where the model says; empty when they may."""
    location = files.visible(one.location)[:200]
    if folder is None:
        return f"keeps its data in another file, {location!r}"
    parts = re.split(r"[/\\]", one.location)
    if (
        not one.location
        or one.location.startswith(("/", "\\"))
        or re.match(r"[A-Za-z]:", one.location)
        or ".." in parts
        or "\0" in one.location
    ):
        return f"keeps its data in {location!r}, which is not inside the model's folder"
    path = folder
    for part in parts:
        path /= part
        try:
            status = path.lstat()
        except (OSError, ValueError):
            return f"keeps its data in {location!r}, which is not there"
        if stat.S_ISLNK(status.st_mode):
            return f"keeps its data in {location!r}, which is a symbolic link or lies behind one"
        if path == folder.joinpath(*parts) and not stat.S_ISREG(status.st_mode):
            return f"keeps its data in {location!r}, which is no plain file"
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            return f"keeps its data in {location!r}, a hard link: the file has another name, maybe elsewhere"
        if stat.S_ISREG(status.st_mode) and one.offset + one.length > status.st_size:
            return (
                f"keeps its data in {location!r} at byte {one.offset:,} to {one.offset + one.length:,}, "
                f"the file has {status.st_size:,}"
            )
    return ""
