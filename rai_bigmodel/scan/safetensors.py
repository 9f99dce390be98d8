"""Is the header of a safetensors file true? It is checked before a byte is set aside for a tensor."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rai_bigmodel.scan.found import Seen

MAX_HEADER = 100_000_000
"""The limit of the format itself."""
BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


def look(stream: IO[bytes], size: int, seen: Seen) -> None:
    """Check length, JSON, dtypes, shapes and offsets of the header; the tensors themselves are not read."""
    seen.kind = "safetensors"
    start = stream.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(MAX_HEADER, size - 8):
        seen.fault("header-length", "", f"claims a header of {length:,} bytes in a file of {size:,}")
        return
    try:
        header = json.loads(stream.read(length), object_pairs_hook=_once, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        seen.fault("header", "", f"the header is not valid JSON ({str(error)[:120]})")
        return
    if not isinstance(header, dict):
        seen.fault("header", "", f"the header must be an object, got a {type(header).__name__}")
        return
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(v, str) for v in about.values()):
        seen.fault("header", "__metadata__", "must hold texts only")
    spans = []
    for name, tensor in header.items():
        if span := _span(name, tensor, size - 8 - length, seen):
            spans.append((*span, name))
    end = 0
    for first, last, name in sorted(spans):
        if first != end:
            what = (
                "overlaps the tensor before it" if first < end else f"leaves a hole of {first - end:,} bytes"
            )
            seen.fault("offsets", name, f"{what} (begins at {first:,}, expected {end:,})")
        end = max(end, last)
    if not seen.faults and end != size - 8 - length:
        seen.fault("offsets", "", f"{size - 8 - length - end:,} bytes at the end belong to no tensor")


def _span(name: str, tensor: Any, room: int, seen: Seen) -> tuple[int, int] | None:
    if not isinstance(tensor, dict) or set(tensor) != {"dtype", "shape", "data_offsets"}:
        seen.fault("header", name, "must have dtype, shape and data_offsets, and nothing else")
        return None
    dtype, shape, offsets = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        seen.fault("dtype", name, f"the dtype {str(dtype)[:40]!r} is not one of the format")
        return None
    if not _whole(shape) or not _whole(offsets) or len(offsets) != 2:
        seen.fault("header", name, "shape and data_offsets must be whole numbers from 0")
        return None
    first, last = offsets
    bits = BITS[dtype]
    for n in shape:
        bits *= n
    if not first <= last <= room:
        seen.fault("offsets", name, f"lies at {first:,} to {last:,} of {room:,} bytes")
        return None
    if bits % 8 or bits // 8 != last - first:
        why = f"{dtype} of shape {shape[:8]} takes {bits // 8:,} bytes, its offsets hold {last - first:,}"
        seen.fault("shape", name, why)
        return None
    return first, last


def _whole(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 64
        and all(type(n) is int and 0 <= n < 1 << 63 for n in value)
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        msg = "a key stands twice in one object"
        raise ValueError(msg)
    return out


def _finite(name: str) -> float:
    msg = f"{name} is not JSON"
    raise ValueError(msg)
