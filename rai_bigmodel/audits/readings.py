"""How does what a network of ours reads become a case: which entries make a feature, and where does each start?

A table's features are its columns, a picture's are patches, a series' are features within windows of steps, a text's
are its positions, explained through their embeddings (as Captum's LayerIntegratedGradients) from that of an unknown
word. What is padding stays padding: it is at its start, so it is not there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.audits.network_cases import MEASURED, network_case

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from rai_bigmodel.audits.cases import Case
    from rai_bigmodel.nets.reads import Base, Tokens
    from rai_bigmodel.subject import Array

MOST_PARTS = 64


class Reading(NamedTuple):
    """The same rows from two starts, and in words what these are."""

    case: Case
    elsewhere: Case
    starts: tuple[str, str]


def of_table(
    module: nn.Module,
    raw: Array,
    features: tuple[str, ...],
    target: int | Array = 0,
    members: Mapping[str, tuple[str, ...]] | None = None,
    **how: Any,
) -> Reading:
    """Rows ``(n, F)`` of numbers, from the values that the module fills in (0 where it fills none).

    Args:
        members: each feature and its columns, where several columns make one (one-hot columns).
    """
    import torch

    names, parts = tuple(members or features), parts_of(features, members)

    filled: Any = getattr(module, "filled", torch.nan_to_num)
    x = filled(torch.from_numpy(raw)).numpy()
    start = filled(torch.full((1, raw.shape[1]), float("nan"))).numpy()
    first, second = (
        network_case(module, x, at, names=names, parts=parts, target=target, **how)
        for at in (start, x.mean(axis=0, keepdims=True))
    )
    return Reading(first, second, ("the values that the model fills in", "the mean row"))


def parts_of(features: Sequence[str], members: Mapping[str, tuple[str, ...]] | None) -> Array:
    """To which feature each column belongs ``(F,)``."""
    if members is None:
        return np.arange(len(features))
    whose = {column: i for i, columns in enumerate(members.values()) for column in columns}
    return np.array([whose[f] for f in features])


def of_pictures(module: Any, pictures: Array, target: int | Array = 0, **how: Any) -> Reading:
    """Pictures ``(n, C, H, W)``, in patches, from one that is even at the module's centre."""
    center = np.float32(module.reads.pixels.center)
    x = np.where(np.isnan(pictures), center, pictures).astype(np.float32)
    parts, names = patches(x.shape[1:])
    first, second = (
        network_case(module, x, at, names=names, parts=parts, target=target, **how)
        for at in (np.full((1, *x.shape[1:]), center), x.mean(axis=0, keepdims=True))
    )
    return Reading(first, second, ("an even picture", "the mean picture"))


def patches(shape: tuple[int, ...], *, most: int = MOST_PARTS) -> tuple[Array, tuple[str, ...]]:
    """Square patches of a picture ``(C, H, W)``, all channels together: to which each pixel belongs, and names."""
    channels, height, width = shape
    side = 1
    while -(-height // side) * -(-width // side) > most:
        side += 1
    down, across = np.arange(height) // side, np.arange(width) // side
    columns = int(across[-1]) + 1
    grid = down[:, None] * columns + across[None, :]
    names = tuple(f"row {i // columns + 1}, column {i % columns + 1}" for i in range(int(grid.max()) + 1))
    return np.repeat(grid[None], channels, axis=0), names


def of_series(module: Any, series: Array, target: int | Array = 0, **how: Any) -> Reading:
    """Series ``(n, T, F)``, each feature within windows of steps, from the module's centre."""
    center = np.float32(module.reads.series.center)
    gone = np.isnan(series)
    padding = gone.all(axis=2)
    x = np.where(gone, center, series).astype(np.float32)
    _, steps, features = x.shape
    parts, names = windows((steps, features))
    mean = np.where(
        padding[:, :, None], center, x.sum(axis=0) / np.maximum((~padding).sum(axis=0), 1)[:, None]
    )

    def call(_: nn.Module, ask: Callable[..., Any], x_BTF: Tensor, padded_BT: Tensor) -> Any:
        # The network tells padding by its being missing throughout.
        return ask(x_BTF.masked_fill(padded_BT[:, :, None], float("nan")))

    first, second = (
        network_case(
            module, x, at, names=names, parts=parts, target=target, beside=(padding,), call=call, **how
        )
        for at in (np.full((1, steps, features), center), mean.astype(np.float32))
    )
    return Reading(first, second, ("the centre", "the mean of every step"))


def windows(shape: tuple[int, ...], *, most: int = MOST_PARTS) -> tuple[Array, tuple[str, ...]]:
    """Each feature of a series ``(T, F)`` within windows of steps: to which each value belongs, and names."""
    steps, features = shape
    side = 1
    while -(-steps // side) * features > max(most, features):
        side += 1
    window = np.arange(steps) // side
    parts = window[:, None] * features + np.arange(features)[None, :]
    spans = [
        f"{w * side + 1}" + (f"–{min(steps, (w + 1) * side)}" if side > 1 else "")
        for w in range(int(window[-1]) + 1)
    ]
    return parts, tuple(f"step {span}, feature {f + 1}" for span in spans for f in range(features))


def of_texts(module: Any, ids: Array, target: int | Array = 0, **how: Any) -> Reading:
    """Texts as ids ``(n, T)``, a feature a position, from the embedding of an unknown word.

    What a tokenizer puts around every text (``[CLS] … [SEP]``) is no word: it stays, so it is at its start.
    """
    import torch

    from rai_bigmodel.nets.reads import PADDING, UNKNOWN

    _, steps = ids.shape
    layer, theirs = module.embedding, getattr(module, "theirs", None)

    def embedded(of: Array) -> Array:
        # The layer of a pretrained encoder is asked for the ids of its own tokenizer.
        asked = torch.from_numpy(of) if theirs is None else theirs[torch.from_numpy(of)]
        with torch.no_grad():
            out: Array = layer(asked).numpy()
        return out

    x, words = embedded(ids), ~_around(module, ids)
    unknown = embedded(np.where(words, UNKNOWN, ids))
    mean = np.where(words[:, :, None], x[words].mean(axis=0) if words.any() else 0.0, x).astype(np.float32)
    parts = np.repeat(np.arange(steps)[:, None], x.shape[2], axis=1)

    def call(net: Any, ask: Callable[..., Any], x_BTD: Tensor, ids_BT: Tensor) -> Any:
        # The words say where the padding is; what they are embedded as comes from the row that is explained.
        if getattr(net, "any_length", False) and len(ids_BT) > MEASURED:
            # What is padding in the whole batch costs as much as words do, and changes nothing.
            counted_T = torch.arange(1, ids_BT.shape[1] + 1)
            longest = max(1, int(((ids_BT != PADDING) * counted_T).max()))
            x_BTD, ids_BT = x_BTD[:, :longest], ids_BT[:, :longest]
        hook = net.embedding.register_forward_hook(lambda *_: x_BTD)
        try:
            return ask(ids_BT)
        finally:
            hook.remove()

    names = tuple(f"position {t + 1}" for t in range(steps))
    first, second = (
        network_case(module, x, at, names=names, parts=parts, target=target, beside=(ids,), call=call, **how)
        for at in (unknown, mean)
    )
    return Reading(first, second, ("an unknown word in every place", "the mean of all words"))


def _around(module: Any, ids: Array) -> Array:
    """Which positions hold nothing of the text itself ``(n, T)``: padding, and what a tokenizer adds to every text."""
    from msgspec import UNSET

    from rai_bigmodel.nets.reads import PADDING

    base = module.reads.tokens.base
    return ids == PADDING if base is UNSET else np.isin(ids, _added(base))


def _added(base: Base) -> Array:
    """Our ids of padding and of what a pretrained model's tokenizer puts around every text, so also around none."""
    from rai_bigmodel.nets import pretrained
    from rai_bigmodel.nets.reads import PADDING, UNKNOWN

    around = pretrained.places_of(base)[pretrained.tokenizer_of(base).encode("").ids]
    found: Array = np.union1d(around[around != UNKNOWN], PADDING)
    return found


def words_of(tokens: Tokens, ids: Array) -> Array:
    """The words, characters or pieces that ids stand for ``(n, T)``, as text; what is none of the text is empty."""
    from msgspec import UNSET

    if tokens.base is UNSET:
        names = np.array(["", "(unknown)", *tokens.words], dtype=object)
    else:
        from rai_bigmodel.nets import pretrained

        ours, tokenizer = pretrained.places_of(tokens.base), pretrained.tokenizer_of(tokens.base)
        names = np.empty(len(ours), dtype=object)
        names[ours] = [tokenizer.id_to_token(i) or "" for i in range(len(ours))]
        names[_added(tokens.base)] = ""
    out: Array = names[np.minimum(ids, len(names) - 1)]
    return out


def erring(module: Any) -> nn.Module:
    """An autoencoder with its error as the one output ``(B, 1)``, so that what makes it large is explained.

    The error is a row's mean squared error in the units that the network scales to.
    """
    import torch
    from torch import nn

    class Erring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module
            self.reads, self.features = module.reads, module.features

        def filled(self, x: Tensor) -> Tensor:
            return torch.where(torch.isnan(x), self.inner.fill, x)

        def forward(self, x: Tensor) -> Tensor:
            error: Tensor = self.inner.error(x)
            return error[:, None]

    return Erring().eval()


def from_rebuilt(found: Reading, module: Any) -> Reading:
    """The same rows, each from what the network makes of it: what is explained is what it cannot rebuild.

    On the way from a row's reconstruction to the row its error grows by nearly all of itself; an even picture has an
    error of its own.
    """
    import torch

    case = found.case
    with torch.no_grad():
        parts = [
            module(torch.from_numpy(case.x[i : i + case.batch])).numpy()
            for i in range(0, len(case.x), case.batch)
        ]
    rebuilt = np.concatenate(parts).astype(np.float32)
    first = replace(case, start=rebuilt, learned_nothing=_also(case.learned_nothing, rebuilt))
    return Reading(first, case, ("what the network makes of each row", found.starts[0]))


def _also(learned_nothing: Any, start: Array) -> Any:
    return lambda rng: replace(learned_nothing(rng), start=start)


READ: dict[str, Callable[..., Reading]] = {"pixels": of_pictures, "series": of_series, "tokens": of_texts}
"""What a network reads → its reading."""
