"""What kind of file is it, going by its bytes, and which reader looks at it?"""

from __future__ import annotations

import ast
import bz2
import io
import lzma
import re
import zlib
from typing import IO, TYPE_CHECKING

from rai_bigmodel.scan import archives, onnx, pickles, safetensors, tensors
from rai_bigmodel.scan.found import Malformed, Seen

if TYPE_CHECKING:
    from collections.abc import Callable

PICKLED = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".bin", ".ckpt", ".dill", ".p")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""The first of the five pickles in a torch file from before 1.6."""
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x5d\x00\x00": "xz"}
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
MAX_UNPACKED = 256_000_000


def kind_of(head: bytes, name: str) -> str:
    """The kind that the first bytes and, where those say nothing, the name speak for."""
    name = name.lower()
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"\x89HDF"):
        return "hdf5"
    if head[257:262] == b"ustar":
        return "tar"
    if head[:1] == b"\x80" and head[1:2] <= b"\x05" and len(head) > 1 and not name.endswith(".safetensors"):
        return "pickle"
    if name.endswith(".onnx"):
        return "onnx"
    if name.endswith(".safetensors") or (len(head) > 8 and head[8:9] == b"{" and head[4:8] == bytes(4)):
        return "safetensors"
    if any(head.startswith(magic) for magic in _PACKED) or _ZLIB.match(head):
        return "packed"
    if name.endswith(PICKLED) or name == "data.pkl":
        return "pickle"
    return "onnx" if head[:1] == b"\x08" else "unknown"


def look(stream: IO[bytes], size: int, name: str) -> Seen:
    """Look at one file; whatever is wrong stands in what comes back."""
    seen = Seen()
    look_inside(stream, size, name, seen)
    if not seen.faults and seen.kind in {"torch", "pickle", "safetensors", "onnx"}:
        stream.seek(max(0, size - 22))
        if seen.kind != "torch" and stream.read(4) == b"PK\x05\x06":
            seen.fault("two-kinds", "", f"is {seen.kind} at its beginning and a zip archive at its end")
    return seen


def look_inside(
    stream: IO[bytes],
    size: int,
    name: str,
    seen: Seen,
    *,
    stored: Callable[[str], int | None] | None = None,
) -> None:
    """Look at a file, or at a member of an archive, which then keeps the archive's kind."""
    outer = seen.kind
    stream.seek(0)
    kind = kind_of(stream.read(512), name)
    stream.seek(0)
    at = "" if outer == "unknown" else name
    if kind == "zip" and outer != "unknown":
        inner = Seen()
        archives.look_zip(stream, size, inner)
        for f in inner.faults:
            seen.fault(f.code, f"{name}: {f.at}", f.why)
    elif kind == "zip":
        archives.look_zip(stream, size, seen)
        if name.lower().endswith((".onnx", ".safetensors")):
            seen.fault("misnamed", "", f"is a zip archive, whatever its name {name!r} says")
    elif kind == "tar" and outer == "unknown":
        archives.look_tar(stream, size, seen)
    elif kind == "pickle":
        seen.kind = "pickle"
        _pickle(stream, size, at, seen, stored)
        if name.lower().endswith((".onnx", ".safetensors")):
            seen.fault("misnamed", "", f"is a pickle, whatever its name {name!r} says")
    elif kind == "safetensors":
        safetensors.look(stream, size, seen)
        if seen.faults:
            stream.seek(0)
            if stream.read(1) == b"\x80":
                stream.seek(0)
                _pickle(stream, size, at, seen, stored)
                seen.fault("misnamed", at, "is a pickle, whatever its name says")
    elif kind == "onnx":
        _onnx(stream, name, seen)
    elif kind == "npy":
        seen.kind = "npy"
        _npy(stream, size, at, seen)
    elif kind == "packed":
        _packed(stream, size, name, seen)
    if outer != "unknown":
        seen.kind = outer


def _onnx(stream: IO[bytes], name: str, seen: Seen) -> None:
    import mmap

    try:
        content: bytes | mmap.mmap = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # not a file of its own
        content = stream.read()
    inner = Seen()
    onnx.look(content, inner)
    if name.lower().endswith(".onnx") or not any(f.code == "broken-onnx" for f in inner.faults):
        seen.kind = "onnx"
        for f in inner.faults:
            seen.fault(*f)
        seen.elsewhere += inner.elsewhere


def _pickle(
    stream: IO[bytes], size: int, at: str, seen: Seen, stored: Callable[[str], int | None] | None
) -> None:
    """A pickle, and those that follow it in torch's older files."""
    legacy, count, claimed = False, 0, 0
    while True:
        try:
            pickled = pickles.read(stream)
        except Malformed as error:
            _named(error.args[1], at, seen)
            seen.fault("broken-pickle", at, f"cannot be followed to its end ({error.args[0]})")
            return
        _named(pickled, at, seen)
        legacy = legacy or (count == 0 and pickled.result == _TORCH_MAGIC)
        if pickled.saved or pickled.calls:
            claimed += tensors.check(pickled, seen, at=at, stored=stored)
        count += 1
        rest = size - stream.tell()
        if (not legacy and not _next(stream)) or (legacy and count == 5) or rest <= 0:
            break
    if legacy:
        seen.kind = "torch"
        if claimed > rest:
            seen.fault(
                "storage-size", at, f"{claimed:,} bytes of storages are claimed, {max(rest, 0):,} are there"
            )
    elif rest > 0:
        seen.fault("trailing", at, f"{rest:,} bytes behind the end of the pickle cannot be understood")
    elif any(p.startswith("torch.") for p in pickled.names):
        seen.kind = "torch"


def _next(stream: IO[bytes]) -> bool:
    """Whether another pickle begins here."""
    here = stream.tell()
    head = stream.read(2)
    stream.seek(here)
    return len(head) == 2 and head[0] == 0x80 and head[1] <= 5


def _named(pickled: pickles.Pickle, at: str, seen: Seen) -> None:
    for name in pickled.names:
        if pickles.dangerous(name):
            seen.fault(
                "dangerous-global", at, f"loading it as a pickle would reach for {name}, which can run code"
            )
        elif name not in pickles.ALLOWED:
            why = "which is not among what weights are made of (what torch.load(weights_only=True) allows)"
            seen.fault("unlisted-global", at, f"asks for {name}, {why}")
    for odd in pickled.odd:
        seen.fault("odd-pickle", at, odd)


def _npy(stream: IO[bytes], size: int, at: str, seen: Seen) -> None:
    """An array of NumPy; an array of objects is a pickle."""
    version = stream.read(8)[6:7]
    length = int.from_bytes(stream.read(2 if version == b"\x01" else 4), "little")
    try:
        if length > 65536:
            msg = f"of {length:,} bytes"
            raise ValueError(msg)  # noqa: TRY301 - told like what the parser refuses
        header = ast.literal_eval(stream.read(length).decode("latin1"))
        described, shape = header["descr"], header["shape"]
        numel = 1
        for n in shape:
            numel *= n
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        seen.fault("header", at, f"the header of the array cannot be read ({str(error)[:80]})")
        return
    if "O" in str(described):
        seen.fault("object-array", at, "is an array of objects, which is kept as a pickle")
    elif isinstance(described, str) and (digits := re.fullmatch(r"[<>|=]?[a-zA-Z](\d+)(\[.*\])?", described)):
        each = int(digits[1]) * (4 if "U" in described else 1)
        if numel < 0 or numel * each > size:
            seen.fault("giant", at, f"claims {numel:,} × {each} bytes in {size:,}")


def _packed(stream: IO[bytes], size: int, name: str, seen: Seen) -> None:
    """A pickle behind gzip, bz2, xz or zlib, as joblib writes."""
    head = stream.read(6)
    stream.seek(0)
    unpacker = (
        bz2.BZ2Decompressor()
        if head.startswith(b"BZh")
        else lzma.LZMADecompressor()
        if head.startswith((b"\xfd7zXZ", b"\x5d\x00\x00"))
        else zlib.decompressobj(47)  # gzip or zlib, by its header
    )
    whole = bytearray()
    limit = min(MAX_UNPACKED, 2000 * size + (1 << 20))
    try:
        while (part := stream.read(1 << 16)) and len(whole) <= limit:
            whole += unpacker.decompress(part, limit + 1 - len(whole))
    except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        if name.lower().endswith(PICKLED):
            seen.kind = "packed"
            seen.fault("broken-packing", "", f"cannot be unpacked ({error})")
        return
    if len(whole) > limit:
        seen.kind = "packed"
        seen.fault("bomb", "", f"{size:,} bytes unpack to more than {limit:,}")
        return
    inner = re.sub(r"\.(gz|bz2|xz|lzma|z)$", "", name, flags=re.I)
    if kind_of(bytes(whole[:512]), inner) != "packed":
        look_inside(io.BytesIO(bytes(whole)), len(whole), inner, seen)
