"""How is a file read that somebody else wrote? Plain files only, without following what leads elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel.errors import InputError
from rai_bigmodel.files.text import PathLike, visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution


def read_bytes(path: PathLike) -> bytes:
    """The bytes of a regular file.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    path = Path(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        msg = f"{path}: no such file"
        raise InputError(msg) from None
    except IsADirectoryError:
        msg = f"{path}: is a folder, a file is needed"
        raise InputError(msg) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        msg = f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        raise InputError(msg) from None


@contextlib.contextmanager
def reading(path: PathLike) -> Iterator[int]:
    """A handle to read a regular file by, for a process of its own; a pipe or a device is refused.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    try:
        # Without waiting: opening a pipe would hang until somebody writes to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        msg = f"{path}: no such file"
        raise InputError(msg) from None
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})"
        raise InputError(msg) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            msg = f"{path}: is no plain file"
            raise InputError(msg)
        yield handle
    finally:
        os.close(handle)


def read_beside(folder: str | os.PathLike[str], name: str) -> bytes:
    """The bytes of a plain file inside a folder: no link leads to it, and it has no other name.

    Every step is opened from the one before, so nothing can be put in between after it was looked at.

    Args:
        name: parts joined by ``/``.

    Raises:
        InputError: it is not there, or not such a file.
    """
    parts = [part for part in re.split(r"[/\\]", name) if part not in {"", "."}]
    if not parts or ".." in parts or name.startswith(("/", "\\")):
        msg = f"{visible(name)!r}: is not inside the folder"
        raise InputError(msg)
    no_link = getattr(os, "O_NOFOLLOW", 0)
    opened: list[int] = []
    try:
        opened.append(os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)))
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            how = getattr(os, "O_NONBLOCK", 0) if last else getattr(os, "O_DIRECTORY", 0)
            opened.append(os.open(part, os.O_RDONLY | no_link | how, dir_fd=opened[-1]))
        status = os.fstat(opened[-1])
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            msg = f"{visible(name)!r}: is no plain file with one name"
            raise InputError(msg)
        with os.fdopen(os.dup(opened[-1]), "rb") as there:
            return there.read()
    except OSError as error:
        msg = f"{visible(name)!r}: cannot be read ({error.strerror or error})"
        raise InputError(msg) from None
    finally:
        for handle in opened:
            os.close(handle)


def mentions(distribution: Distribution, group: str) -> bool:
    """Whether an installed distribution may have entry points of a group: asked before they are parsed."""
    return group in (distribution.read_text("entry_points.txt") or "")


def name_and_version(distribution: Distribution) -> tuple[str, str]:
    """What an installed distribution is called, and its version.

    From the head of its metadata alone: what follows is a whole README, and parsing that takes long.
    """
    head = (distribution.read_text("METADATA") or "").partition("\n\n")[0]
    said = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)[ \t]*$", head, re.MULTILINE))
    if len(said) == 2:
        return said["Name"], said["Version"]
    return distribution.name, distribution.version


@contextlib.contextmanager
def unnamed(content: bytes) -> Iterator[int]:
    """A handle to read bytes by as if they were a file; no file of that content is ever seen by others."""
    with tempfile.TemporaryFile(buffering=0) as there:
        left = memoryview(content)
        while left:
            left = left[there.write(left) :]
        there.seek(0)
        yield there.fileno()


def regular_files(folder: PathLike) -> dict[str, Path]:
    """Name → path of everything in a folder; what is not a plain file (a link, a folder) is refused."""
    out = {}
    for path in sorted(Path(folder).iterdir()):
        if not stat.S_ISREG(path.lstat().st_mode):
            msg = f"{path}: not a plain file"
            raise InputError(msg)
        out[path.name] = path
    return out


def digest_of_file(path: PathLike) -> str:
    """The digest of a file's bytes, read piece by piece.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as opened:
            return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror})"
        raise InputError(msg) from None
