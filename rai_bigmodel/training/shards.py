"""How do weights lie on a disk? As safetensors, in several files where one would be too large.

Several files come with ``model.safetensors.index.json`` as Hugging Face writes it: which tensor is in which file.
They are read by memory map, tensor by tensor, so that a model is in memory once.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rai_bigmodel import files
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Record

try:
    import safetensors
    import safetensors.torch
except ImportError:
    package, extra = "safetensors", "train"
    raise MissingExtra(package, extra, "saving and loading trained networks") from None

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MODEL = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_SHARD_BYTES = 5_000_000_000
COPIED = 64_000_000
"""Models up to so many bytes are copied out of their file, larger ones stay mapped to it."""

_TYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
}
"""In the order in which safetensors lays types out, backwards."""


class Index(Record):
    """What the index file holds."""

    metadata: dict[str, Any]
    weight_map: dict[str, str]


def state_of(module: torch.nn.Module) -> dict[str, Tensor]:
    """Name → weights and constants, as they are written."""
    return {name: tensor.detach().contiguous().cpu() for name, tensor in module.state_dict().items()}


def differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Which tensors are missing, too many, or of another shape or type, the first eight in words; empty if none."""
    there = {name: _kind(tensor) for name, tensor in expected.items()}
    got = {name: _kind(tensor) for name, tensor in found.items()}
    wrong = sorted(
        [f"{k} is missing" for k in there.keys() - got.keys()]
        + [f"{k} is not part of it" for k in got.keys() - there.keys()]
        + [f"{k} is {got[k]} instead of {there[k]}" for k in there.keys() & got.keys() if got[k] != there[k]]
    )
    return files.visible("; ".join(wrong[:8]))


def _kind(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} of {tensor.dtype}"


def digest(state: Mapping[str, Tensor]) -> tuple[int, bytes]:
    """Length and sha256 of the one safetensors file of these tensors, without making a copy of them."""
    order = list(_TYPES)
    names = sorted(state, key=lambda name: (-order.index(state[name].dtype), name))
    header, end = {}, 0
    for name in names:
        begin, end = end, end + state[name].nbytes
        header[name] = {
            "dtype": _TYPES[state[name].dtype],
            "shape": list(state[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    whole = hashlib.sha256(len(text).to_bytes(8, "little") + text)
    for name in names:
        whole.update(state[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return 8 + len(text) + end, whole.digest()


def write(state: Mapping[str, Tensor], folder: Path, *, max_shard_bytes: int) -> None:
    """Write the tensors into a folder, in as many files as they need; what is there of another model goes first.

    Raises:
        InputError: the folder cannot be written, or the disk has too little room.
    """
    for path in (folder / INDEX, *folder.glob("model.safetensors"), *folder.glob("model-*-of-*.safetensors")):
        files.remove(path)
    whole = sum(tensor.nbytes for tensor in state.values())
    files.refuse_full(folder, whole + 1_000_000)
    parts = _parts(state, max_shard_bytes)
    if len(parts) == 1:
        _write_one(parts[0], folder / MODEL)
        return
    where: dict[str, str] = {}
    for i, part in enumerate(parts, start=1):
        name = f"model-{i:05d}-of-{len(parts):05d}.safetensors"
        _write_one(part, folder / name)
        where |= dict.fromkeys(part, name)
    index = Index(metadata={"total_size": whole}, weight_map=where)
    files.write_bytes(folder / INDEX, files.canonical_json(index))


def _parts(state: Mapping[str, Tensor], most: int) -> list[dict[str, Tensor]]:
    """The tensors in their order, a new part where one would grow too large; a larger tensor has its own."""
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in state.items():
        if parts[-1] and size + tensor.nbytes > most:
            parts.append({})
            size = 0
        parts[-1][name] = tensor
        size += tensor.nbytes
    return parts


def _write_one(state: dict[str, Tensor], path: Path) -> None:
    with files.writing(path) as temporary:
        try:
            safetensors.torch.save_file(apart(state), temporary)
        except safetensors.SafetensorError as error:
            msg = f"{path}: cannot be written ({files.visible(str(error))})"
            raise InputError(msg) from None


def apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share their memory, as tied weights do, each with its own: safetensors asks for it."""
    seen: set[int] = set()
    out = {}
    for name, tensor in state.items():
        out[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return out


def read(folder: Path) -> dict[str, Tensor]:
    """Name → tensor of the model in a folder: small ones copied, large ones mapped to their files.

    Raises:
        InputError: a file is missing or is not a safetensors file, or the index does not fit the files.
    """
    index_path = folder / INDEX
    if (folder / MODEL).is_file() or not index_path.is_file():
        return _own(_read_one(folder / MODEL))
    index = files.parse_json(files.read_bytes(index_path), Index, where=str(index_path))
    out: dict[str, Tensor] = {}
    for name in sorted(set(index.weight_map.values())):
        if files.slug(name) != name:
            msg = f"{index_path}: {files.visible(name)!r} is not the name of a file beside it"
            raise InputError(msg)
        out |= _read_one(folder / name)
    if set(out) != set(index.weight_map):
        odd = sorted(set(out) ^ set(index.weight_map))
        msg = f"{index_path}: the index and its files do not hold the same tensors: {', '.join(odd[:6])}"
        raise InputError(files.visible(msg))
    return _own(out)


def _read_one(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        files.read_bytes(path)  # says what is there instead
    try:
        with safetensors.safe_open(path, framework="pt") as opened:
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict
    except (safetensors.SafetensorError, ValueError, KeyError, OSError, RuntimeError) as error:
        msg = f"{path}: not a valid safetensors file ({files.visible(str(error))})"
        raise InputError(msg) from None
    return state


def _own(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a small model as copies; by the size of the whole, not of one of its files."""
    if sum(tensor.nbytes for tensor in state.values()) > COPIED:
        return state
    return {name: tensor.clone() for name, tensor in state.items()}
