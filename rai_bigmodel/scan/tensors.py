"""Do the tensors in a torch file fit the storages they lie in? Shapes alone can ask for terabytes.

A tensor is a view of a storage: offset, shape, strides. With a stride of 0 a file of 1.5 kB holds a shape of 10⁹, which
becomes 4 GB at the first copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rai_bigmodel.scan.pickles import Called, Named, Pickle, Saved

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.scan.found import Seen

SMALL = 1 << 20
"""Bytes that a view may have beyond its storage: an expanded mask or a row of positions does no harm."""

_BYTES = {
    **dict.fromkeys(("Bool", "Byte", "Char", "QInt8", "QUInt8", "QUInt2x4", "QUInt4x2", "Untyped"), 1),
    **dict.fromkeys(("BFloat16", "Half", "Short"), 2),
    **dict.fromkeys(("Float", "Int", "QInt32"), 4),
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}


def check(pickled: Pickle, seen: Seen, *, at: str, stored: Callable[[str], int | None] | None) -> int:
    """Add a fault for each storage or tensor that cannot be what it says; gives the bytes of all storages.

    Args:
        at: the pickle's member.
        stored: the bytes that lie under a storage's key, ``None`` where there are none; ``None`` where the file does
            not keep them by key.
    """
    total, known = 0, set()
    for saved in pickled.saved:
        there = _storage(saved)
        if there is None:
            seen.fault(
                "odd-storage", at, "refers to an object outside the pickle that is no storage of torch"
            )
            continue
        key, numel, each = there
        if key in known:
            continue
        known.add(key)
        total += numel * each
        if stored is not None and (got := stored(key)) != numel * each:
            has = "is not in the file" if got is None else f"has {got:,} bytes"
            seen.fault("storage-size", f"{at}: storage {key}", f"{has}, {numel:,} × {each} bytes are claimed")
    for made in pickled.calls:
        if made.name.endswith((".bytearray", "Storage", "Tensor")) and _asks_for(made.arguments) > SMALL:
            seen.fault("giant", at, f"calls {made.name} for {_asks_for(made.arguments):,} elements")
        elif made.name in {
            f"torch._utils.{n}" for n in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
        }:
            _tensor(made, seen, at)
    return total


def _storage(saved: Saved) -> tuple[str, int, int] | None:
    """Key, elements and bytes an element of a storage."""
    match saved.identity:
        case ("storage", Named(name), str(key), _, int(numel), *_) if numel >= 0:
            word = name.rpartition(".")[2].removesuffix("Storage")
            return (key, numel, _BYTES[word]) if word in _BYTES else None
    return None


def _tensor(made: Called, seen: Seen, at: str) -> None:
    match made.arguments:
        case (Saved() as saved, int(offset), size, stride, *_):
            shape, strides = _numbers(size), _numbers(stride)
        case _:
            seen.fault("odd-tensor", at, f"calls {made.name} with other arguments than a storage and a shape")
            return
    there = _storage(saved)
    if there is None:
        return
    key, numel, each = there
    where = f"{at}: storage {key}"
    if shape is None or strides is None or len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        seen.fault("odd-tensor", where, "a tensor's offset, shape or strides are not whole numbers from 0")
        return
    elements = 1
    for n in shape:
        elements *= n
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if elements else offset - 1
    # Version 3 lies in untyped bytes: its element is as large as its dtype says, at most 16 bytes.
    if last >= numel:
        seen.fault("tensor-range", where, f"a tensor reaches to element {last:,} of a storage with {numel:,}")
    if elements > numel and elements * each > SMALL:
        why = f"a tensor of shape {list(shape)[:8]} has {elements:,} elements on a storage with {numel:,}"
        seen.fault("giant", where, f"{why}: a copy of it takes {elements * each:,} bytes")


def _numbers(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, Called) and value.name == "torch.Size":
        value = value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else ()
    if isinstance(value, tuple | list) and all(type(n) is int for n in value):
        return tuple(value)
    return None


def _asks_for(arguments: Any) -> int:
    """The elements that calling a class of torch, or bytearray, with these numbers would make."""
    elements, numbers = 1, 0
    for one in arguments if isinstance(arguments, tuple) else ():
        for n in _numbers(one) or ((one,) if type(one) is int else ()):
            elements *= max(n, 0)
            numbers += 1
    return elements if numbers else 0
