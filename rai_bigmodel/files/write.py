"""How is a file written so that nothing half-done is ever seen? Whole or not at all, by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel.errors import InputError
from rai_bigmodel.files.read import regular_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rai_bigmodel.files.text import PathLike


def write_bytes(path: PathLike, content: bytes) -> None:
    """Write a file whole or not at all; a symbolic link in its place is refused.

    Raises:
        InputError: the folder is not there or cannot be written.
    """
    with writing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def writing(path: PathLike, *, secret: bool = False) -> Any:
    """A temporary path beside `path`, moved into its place when the block ends without an error.

    Args:
        secret: nobody but its owner may read it.
    """
    path = Path(path)
    _refuse_link(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror})"
        raise InputError(msg) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o600 if secret else 0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror})"
        raise InputError(msg) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def appending(path: PathLike) -> Iterator[tuple[bytes, Callable[[bytes], None]]]:
    """What a file holds, and a function that adds a line to it; nobody else appends meanwhile.

    Raises:
        InputError: it cannot be written, or is a symbolic link.
    """
    path = Path(path)
    _refuse_link(path)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror})"
        raise InputError(msg) from None
    with os.fdopen(handle, "r+b") as there:
        with contextlib.suppress(ImportError):  # Windows has no such locks
            import fcntl

            fcntl.flock(there, fcntl.LOCK_EX)
        there.seek(0)
        content = there.read()

        def write(line: bytes) -> None:
            end = there.seek(0, os.SEEK_END)
            if trouble := _added(there.fileno(), line):
                os.ftruncate(there.fileno(), end)  # half a line would spoil all that come after it
                msg = f"{path}: cannot be written ({trouble})"
                raise InputError(msg)

        yield content, write


def _added(handle: int, line: bytes) -> str:
    """Add a line to an open file, all of it or, with why, not."""
    try:
        written = os.write(handle, line)
        os.fsync(handle)
    except OSError as error:
        return error.strerror or str(error)
    return "" if written == len(line) else os.strerror(errno.ENOSPC)


_ALONE: dict[str, list[int]] = {}
"""Folder → its handle and how often this process is at work in it."""


@contextlib.contextmanager
def alone(folder: PathLike) -> Iterator[None]:
    """Work in a folder that no other process works in; within one process it may be nested.

    Raises:
        InputError: another process is at work there.
    """
    name = os.path.realpath(folder)
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        yield
        return
    if name not in _ALONE:
        handle = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            msg = f"{folder}: another rai is writing there; wait for it, or choose another folder"
            raise InputError(msg) from None
        except OSError:  # a file system without locks
            pass
        _ALONE[name] = [handle, 0]
    _ALONE[name][1] += 1
    try:
        yield
    finally:
        _ALONE[name][1] -= 1
        if not _ALONE[name][1]:
            os.close(_ALONE.pop(name)[0])


_LEFT = r"\.(.*\.part|probe\..*)$"


def is_left_over(name: str) -> bool:
    """Whether a file is one that `writing` or `make_folder` was stopped at, and nobody will take up."""
    return re.match(_LEFT, name) is not None


def make_folder(path: PathLike) -> Path:
    """A folder one can write to, made when it is not there.

    Raises:
        InputError: it is a file, a symbolic link, or cannot be written.
    """
    path = Path(path)
    _refuse_link(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        msg = f"{path}: is a file, a folder is needed"
        raise InputError(msg) from None
    except OSError as error:
        msg = f"{path}: cannot be made ({error.strerror})"
        raise InputError(msg) from None
    try:
        handle, name = tempfile.mkstemp(dir=path, prefix=".probe.")
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror})"
        raise InputError(msg) from None
    os.close(handle)
    Path(name).unlink()
    return path


def refuse_unwritable(path: PathLike) -> None:
    """Refuse a folder that could not be made or written to, before hours of work; nothing is made.

    Raises:
        InputError: it is a file or a symbolic link, or the folder it would stand in cannot be written.
    """
    path = Path(path)
    _refuse_link(path)
    nearest = next((p for p in (path, *path.parents) if p.exists()), Path())
    if not nearest.is_dir():
        msg = f"{nearest}: is a file, a folder is needed"
        raise InputError(msg)
    if not os.access(nearest, os.W_OK | os.X_OK):
        msg = f"{path}: cannot be written (no permission in {nearest})"
        raise InputError(msg)


def refuse_full(folder: PathLike, needed: int) -> None:
    """Refuse to begin to write so many bytes where they do not fit.

    Raises:
        InputError: the disk has less room.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        msg = f"{folder}: too little room on the disk: {needed:,} bytes are needed, {free:,} are free"
        raise InputError(msg)


def remove(path: PathLike) -> None:
    """Remove a file if it is there."""
    Path(path).unlink(missing_ok=True)


def remove_folder(path: PathLike) -> None:
    """Remove an empty folder; one that is not empty, or not there, stays as it is."""
    with contextlib.suppress(OSError):
        Path(path).rmdir()


def remove_with_files(path: str | os.PathLike[str]) -> None:
    """Remove a folder and the plain files in it, if it is there; what else it holds is refused."""
    if Path(path).is_dir():
        for inside in regular_files(path).values():
            remove(inside)
        remove_folder(path)


def _refuse_link(path: Path) -> None:
    try:
        linked = stat.S_ISLNK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # too long a name, a NUL in it, a file where a folder should be
        msg = f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})"
        raise InputError(msg) from None
    if linked:
        msg = f"{path}: is a symbolic link; writing through links is refused"
        raise InputError(msg)
