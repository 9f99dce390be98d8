"""Is an archive what it seems? Bombs, members that climb out, links, two names for one member; then what is inside.

Nothing is written: members are read into memory, up to a limit that the directory's own sizes may not pass.
"""

from __future__ import annotations

import io
import json
import re
import stat
import tarfile
import zipfile
import zlib
from typing import IO, TYPE_CHECKING

from rai_bigmodel.scan import opened
from rai_bigmodel.scan.found import Malformed

if TYPE_CHECKING:
    from rai_bigmodel.scan.found import Seen

MAX_MEMBERS = 100_000
MAX_RATIO = 100
"""Unpacked to packed. Weights do not shrink: torch stores them as they are; DEFLATE's limit is 1032."""
MAX_READ = 256_000_000
"""Bytes of one member that are looked at; a pickle without its tensors is far smaller."""
_STORAGE = re.compile(r"(?P<root>.*?/?)data/(?P<key>\d+)$")
_CODE = re.compile(r"(^|/)(code/.*\.py(\.debug_pkl)?|constants\.pkl)$")


def look_zip(stream: IO[bytes], size: int, seen: Seen) -> None:
    """A zip archive: torch's since 1.6, npz, Keras's, or TorchScript's."""
    seen.kind = "zip"
    try:
        archive = zipfile.ZipFile(stream)  # type: ignore[type-var,unused-ignore]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError) as error:
        seen.fault("broken-zip", "", f"cut short, or no zip archive after all ({error})")
        return
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        seen.fault("bomb", "", f"has {len(members):,} members, more than {MAX_MEMBERS:,}")
        return
    whole = sum(m.file_size for m in members)
    if whole > MAX_RATIO * max(size, 1 << 14):
        seen.fault("bomb", "", f"{size:,} bytes unpack to {whole:,}, {whole / size:,.0f} times as many")
    names: set[str] = set()
    end = 0
    for m in sorted(members, key=lambda m: m.header_offset):
        _name(m.orig_filename, seen)
        if stat.S_ISLNK(m.external_attr >> 16):
            seen.fault("link", m.filename, "is a symbolic link")
        if m.flag_bits & 1:
            seen.fault("encrypted", m.filename, "is encrypted, so nobody can say what it is")
        if m.filename in names:
            seen.fault(
                "twice", m.filename, "stands twice in the archive; readers differ in which one they take"
            )
        names.add(m.filename)
        if m.header_offset < end:
            seen.fault("bomb", m.filename, "lies on top of another member")
        end = max(end, _local(stream, m, seen))
    if any(f.code in {"bomb", "encrypted"} for f in seen.faults):
        return
    _members(archive, stream, {m.filename: m for m in members}, seen)


def _name(name: str, seen: Seen) -> None:
    parts = re.split(r"[/\\]", name)
    if ".." in parts or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or "\0" in name:
        seen.fault("slip", name, "would be written outside the folder it is unpacked into")


def _local(stream: IO[bytes], member: zipfile.ZipInfo, seen: Seen) -> int:
    """The end of a member, by its own header, which must tell the same story as the directory."""
    stream.seek(member.header_offset)
    head = stream.read(30)
    if len(head) < 30 or not head.startswith(b"PK\x03\x04"):
        seen.fault("broken-zip", member.filename, "has no header of its own")
        return member.header_offset
    length, extra = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
    name = stream.read(length)
    told = member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437", "replace")
    if name != told or int.from_bytes(head[8:10], "little") != member.compress_type:
        shown = name.decode("utf-8", "replace")
        seen.fault(
            "two-stories", member.filename, f"its own header calls it {shown[:100]!r} or packs it otherwise"
        )
    return member.header_offset + 30 + length + extra + member.compress_size


def _members(
    archive: zipfile.ZipFile, stream: IO[bytes], members: dict[str, zipfile.ZipInfo], seen: Seen
) -> None:
    roots = {
        name.removesuffix("data.pkl") for name in members if name == "data.pkl" or name.endswith("/data.pkl")
    }
    if roots:
        seen.kind = "torch"
    elif members and all(name.endswith(".npy") for name in members):
        seen.kind = "npz"
    if code := next((name for name in members if _CODE.search(name)), None):
        seen.kind = "torchscript"
        seen.fault("torchscript", code, "holds a program (TorchScript); weights alone would do")
    looked = bool(roots) or seen.kind == "npz"
    for name, member in members.items():
        storage = _STORAGE.match(name)
        if storage and storage["root"] in roots:
            continue
        try:
            head = _head(stream, member)
        except (zlib.error, NotImplementedError) as error:
            seen.fault("broken-zip", name, f"cannot be unpacked ({error})")
            continue
        kind = opened.kind_of(head, name)
        if name.rpartition("/")[2] == "config.json" and "metadata.json" in members:
            seen.kind, looked = "keras", True
        elif kind in {"unknown", "hdf5"} or (kind == "onnx" and not name.endswith(".onnx")):
            continue
        if member.file_size > MAX_READ:
            seen.fault(
                "too-large", name, f"{member.file_size:,} bytes of this kind are more than are looked at"
            )
            continue
        try:
            content = archive.read(member)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            OSError,
        ) as error:
            seen.fault("broken-zip", name, f"cannot be unpacked ({error})")
            continue
        if seen.kind == "keras" and name.rpartition("/")[2] == "config.json":
            _keras(content, name, seen)
            continue
        root = name.removesuffix("data.pkl")

        def stored(key: str, root: str = root) -> int | None:
            there = members.get(f"{root}data/{key}")
            return there.file_size if there else None

        opened.look_inside(
            io.BytesIO(content), len(content), name, seen, stored=stored if root in roots else None
        )
        looked = True
    if not looked and not seen.faults:
        seen.kind = "unknown"


def _head(stream: IO[bytes], member: zipfile.ZipInfo) -> bytes:
    """The first bytes of a member, without unpacking the rest."""
    stream.seek(member.header_offset + 26)
    lengths = stream.read(4)
    stream.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), io.SEEK_CUR)
    packed = stream.read(min(member.compress_size, 4096))
    if member.compress_type == zipfile.ZIP_STORED:
        return packed[:512]
    if member.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-15).decompress(packed, 512)
    msg = f"packed by method {member.compress_type}"
    raise NotImplementedError(msg)


def _keras(content: bytes, at: str, seen: Seen) -> None:
    try:
        todo = [json.loads(content)]
    except (ValueError, RecursionError):
        seen.fault("header", at, "is not JSON")
        return
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            if one.get("class_name") in {"Lambda", "__lambda__"} or one.get("registered_name"):
                what = str(one.get("registered_name") or one["class_name"])
                seen.fault("keras-code", at, f"the layer {what[:60]!r} carries or names code of its own")
            todo += one.values()
        elif isinstance(one, list):
            todo += one


def look_tar(stream: IO[bytes], size: int, seen: Seen) -> None:
    """A tar archive: torch's before 1.6, NeMo's."""
    seen.kind = "tar"
    try:
        archive = tarfile.TarFile(fileobj=stream, mode="r")
        for count, m in enumerate(archive):
            if count > MAX_MEMBERS or m.size > size:
                seen.fault("bomb", m.name, f"more than {MAX_MEMBERS:,} members, or one larger than the file")
                return
            _name(m.name, seen)
            if not m.isfile():
                if not m.isdir():
                    seen.fault("link", m.name, "is a link or a device")
                continue
            part = archive.extractfile(m)
            content = part.read(min(m.size, MAX_READ)) if part else b""
            kind = opened.kind_of(content[:512], m.name)
            if kind != "unknown" and not (kind == "onnx" and not m.name.endswith(".onnx")):
                opened.look_inside(io.BytesIO(content), len(content), m.name, seen)
    except (tarfile.TarError, Malformed, ValueError, EOFError, OSError) as error:
        seen.fault("broken-tar", "", f"cut short, or no tar archive after all ({error})")
    if not seen.faults:
        seen.kind = "unknown"
