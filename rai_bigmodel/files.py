"""How does this package touch the file system? Only here: safe readers, atomic writers, digests, slugs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import Distribution

T = TypeVar("T")
PathLike = str | os.PathLike[str]
"""How a file or folder is named."""

MAX_CONFIG_BYTES = 1_000_000
MAX_CONFIG_NODES = 20_000
MAX_CONFIG_DEPTH = 40

# --- reading ---------------------------------------------------------------------------------


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


def read_yaml(path: PathLike, kind: type[T]) -> T:
    """A YAML file as a record of `kind`, unknown keys and wrong types refused with their path."""
    return parse_yaml(read_bytes(path), kind, where=str(path))


def parse_yaml(text: bytes, kind: type[T], *, where: str) -> T:
    """YAML 1.2 (core schema) as a record of `kind`; `where` names the source in errors.

    Refused with their path: duplicate keys, unknown keys, tags, aliases that explode, numbers
    that are not finite, wrong types.

    Raises:
        InputError: as above, in one line.
    """
    if len(text) > MAX_CONFIG_BYTES:
        msg = f"{where}: {len(text):,} bytes are more than the {MAX_CONFIG_BYTES:,} a configuration may have"
        raise InputError(msg)
    return convert(_YamlReader(where).read(text), kind, where=where)


def parse_json(text: bytes, kind: type[T], *, where: str) -> T:
    """JSON as a record of `kind`; duplicate keys, NaN and unknown fields are refused."""
    return convert(_canonical(text) or _strict_json(text, where), kind, where=where)


def _canonical(text: bytes) -> object:
    """What a canonical JSON text says, quickly; null for any other text.

    Written again it is the same bytes, so no key stood twice and no number was rounded or out of range.
    """
    try:
        raw: object = msgspec.json.decode(text)
        return raw if canonical_json(raw) == text else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _strict_json(text: bytes, where: str) -> object:
    import json

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(items)
        if len(out) < len(items):
            twice = next(k for i, (k, _) in enumerate(items) if k in dict(items[:i]))
            msg = f"{where}: the key {twice!r} stands twice in one object"
            raise InputError(msg)
        return out

    def constant(name: str) -> float:
        msg = f"{where}: {name} is not JSON; a number must be finite"
        raise InputError(msg)

    try:
        raw: object = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
        if re.search(rb"\\u[dD][89a-fA-F]", text):
            # Half a character: it cannot be written again, so better said here than by a crash there.
            json.dumps(raw, ensure_ascii=False).encode()
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        msg = visible(f"{where}: not valid JSON ({error})")
        raise InputError(msg) from None
    return raw


# Texts, compiled where an error is told: what has none to tell does not wait for it.
_UNKNOWN = r"(?s)Object contains unknown field `(?P<key>.*?)`(?: - at `(?P<path>.*)`)?$"
_MISSING = r"(?s)Object missing required field `(?P<key>.*?)`(?: - at `(?P<path>.*)`)?$"
_WRONG = r"(?s)(?P<what>.*) - at `(?P<path>.*)`$"


def convert(raw: object, kind: type[T], *, where: str = "", at: str = "$") -> T:
    """Plain values as a record of `kind`, strictly; `at` is the path in `where` that they came from.

    Raises:
        InputError: unknown keys, missing keys, wrong types and broken rules, with their path.
    """
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        text = str(error)
        if m := re.match(_UNKNOWN, text):
            text = f"{m['path'] or '$'}.{m['key']}: unknown key"
        elif m := re.match(_MISSING, text):
            text = f"{m['path'] or '$'}.{m['key']}: this key is required"
        elif m := re.match(_WRONG, text):
            text = f"{m['path']}: {m['what'][0].lower()}{m['what'][1:]}"
        else:
            text = f"$: {text}"
        text = f"{at}{text[1:]}" if text.startswith("$") else text
        msg = f"{where}: {text}" if where else text
        raise InputError(visible(msg)) from None


class _YamlReader:
    """Builds plain values from the node graph, so that every refusal can name its path."""

    # Texts, compiled when the first scalar like it is met: most files have no octal number.
    _OCT = r"0o[0-7]+$"
    _HEX = r"0x[0-9a-fA-F]+$"
    _FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"
    _NONFINITE = r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"

    def __init__(self, where: str) -> None:
        self.where = where
        self.nodes = 0

    def read(self, text: bytes) -> object:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            # Events are read without recursion; composing a deep nest would overflow libyaml's C stack.
            depth = 0
            for event in yaml.parse(text, Loader=loader):
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                tag = getattr(event, "tag", None)
                if depth > MAX_CONFIG_DEPTH or tag:
                    line = f"line {event.start_mark.line + 1}"
                    what = f"the tag {tag!r} is not allowed" if tag else "nested too deeply"
                    raise self._fail(line, what)
            node = yaml.compose(text, Loader=loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            msg = f"{self.where}{at}: not valid YAML ({getattr(error, 'problem', None) or error})"
            raise InputError(visible(msg)) from None
        except InputError:
            raise
        except (RecursionError, UnicodeDecodeError, ValueError) as error:
            msg = f"{self.where}: not valid YAML ({type(error).__name__})"
            raise InputError(msg) from None
        if node is None:
            msg = f"{self.where}: the file is empty"
            raise InputError(msg)
        return self._build(node, "$", 0)

    def _fail(self, path: str, what: str) -> InputError:
        return InputError(visible(f"{self.where}: {path}: {what}"))

    def _build(self, node: Any, path: str, depth: int) -> object:
        self.nodes += 1
        if self.nodes > MAX_CONFIG_NODES or depth > MAX_CONFIG_DEPTH:
            raise self._fail(path, "too large once its aliases are written out, or nested too deeply")
        if node.id == "scalar":
            return self._scalar(node, path)
        if node.id == "sequence":
            return [self._build(child, f"{path}[{i}]", depth + 1) for i, child in enumerate(node.value)]
        out: dict[object, object] = {}
        for key_node, value_node in node.value:
            key = self._build(key_node, path, depth + 1)
            if not isinstance(key, str | int | float | bool):
                raise self._fail(path, "a key must be a plain word")
            inside = f"{path}.{key}"
            if key in out:
                raise self._fail(inside, "this key stands twice")
            out[key] = self._build(value_node, inside, depth + 1)
        return out

    def _scalar(self, node: Any, path: str) -> object:
        text = node.value
        if node.style:  # quoted or a block: always a text
            return text
        if text in {"", "~", "null", "Null", "NULL"}:
            return None
        if text in {"true", "True", "TRUE"}:
            return True
        if text in {"false", "False", "FALSE"}:
            return False
        if text[0] not in "+-.0123456789":
            return text
        if re.match(self._FLOAT, text):
            if not {".", "e", "E"} & set(text):
                return int(text) if len(text) < 40 else text
            number = float(text)
            if not math.isfinite(number):
                raise self._fail(path, f"a finite number is needed, got {text}")
            return number
        if re.match(self._NONFINITE, text):
            raise self._fail(path, f"a finite number is needed, got {text}")
        if re.match(self._OCT, text):
            return int(text[2:], 8)
        if re.match(self._HEX, text):
            return int(text[2:], 16)
        return text


# --- writing ---------------------------------------------------------------------------------


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


def regular_files(folder: PathLike) -> dict[str, Path]:
    """Name → path of everything in a folder; what is not a plain file (a link, a folder) is refused."""
    out = {}
    for path in sorted(Path(folder).iterdir()):
        if not stat.S_ISREG(path.lstat().st_mode):
            msg = f"{path}: not a plain file"
            raise InputError(msg)
        out[path.name] = path
    return out


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


# --- names, digests, canonical text ------------------------------------------------------------


def canonical_json(record: object) -> bytes:
    """The one JSON text of a record: sorted keys, no spaces, a newline at the end."""
    return msgspec.json.encode(record, order="sorted") + b"\n"


def digest(content: bytes) -> str:
    """``sha256:`` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


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


def slug(name: str) -> str:
    """A file name made of letters, digits, ``_``, ``-`` and ``.``; what had to go is told apart by a hash."""
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60].strip("-.")
    reserved = bool(re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)$", kept.split(".")[0]))
    if kept and kept == name and not reserved:
        return kept
    return f"{'_' * reserved}{kept or 'unnamed'}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"


def visible(text: str) -> str:
    """One line in which control, bidirectional and zero-width characters are written as escapes."""
    return "".join(c if _plain(c) else c.encode("unicode_escape").decode("ascii") for c in text)


_HIDDEN = frozenset(
    [
        *(*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x61C, 0xFEFF, 0x180E),
        *(*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070)),
        *(*range(0xD800, 0xE000), *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080)),
    ]
)


def _plain(character: str) -> bool:
    return ord(character) not in _HIDDEN
