"""What may a model meet at the edges? Nothing, far out, absurd, too long: raw rows made up from what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.nets.reads import Reads
    from rai_bigmodel.subject import Array, Inputs


def edges(reads: Reads) -> dict[str, Array]:
    """Raw columns at the edges of what a model may meet: missing, zero, typical, far out and absurd values."""
    found: dict[str, Array] = {}
    if reads.numbers:
        found |= _numbers(reads)
    for name, category in reads.categories.items():
        found[name] = np.array([None, "", *category.values[:20], "a label nobody has seen"], dtype=object)
    if (p := reads.pixels) is not None:
        found[p.column] = _grids((p.channels, p.height, p.width), p.center, p.scale)
    if (s := reads.series) is not None:
        found[s.column] = _grids((s.length, s.features), s.center, s.scale)
        found[s.column][:3, 1:] = np.nan  # one step, and padding behind it
    if (t := reads.tokens) is not None:
        join = "".join if t.level == "character" else " ".join
        some = [join(t.words[i : i + t.length // 2 + 1]) for i in range(0, min(60, len(t.words)), 6)]
        longest = join([*(t.words[:1] or ("word",)), "\u2603"] * t.length)
        found[t.column] = np.array([None, "", "\u2603", *some, longest], dtype=object)
    rows = max(len(values) for values in found.values())
    return {name: values[np.arange(rows) % len(values)] for name, values in found.items()}


def _numbers(reads: Reads) -> dict[str, Array]:
    center, scale, fill = (
        np.array([getattr(one, name) for one in reads.numbers.values()])
        for name in ("center", "scale", "fill")
    )
    steps = np.array([-1e6, -50.0, -3.0, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, 50.0, 1e6])
    rows = [np.full_like(center, np.nan), np.zeros_like(center), fill, *(center + s * scale for s in steps)]
    # One column at a time far out, the others typical: what a mistyped field looks like.
    far = np.tile(fill, (2 * len(fill), 1))
    far[np.arange(len(fill)), np.arange(len(fill))] = np.nan
    far[len(fill) + np.arange(len(fill)), np.arange(len(fill))] = 1e9
    whole = np.vstack([*rows, far])
    return {feature: whole[:, i] for i, feature in enumerate(reads.numbers)}


def _grids(shape: tuple[int, ...], center: float, scale: float) -> Array:
    """Pictures or series of one value each, and of noise: the same noise every time."""
    levels = np.array([-10.0, -3.0, -1.0, 0.0, 1.0, 3.0, 10.0])
    flat = np.broadcast_to((center + scale * levels).reshape(-1, *[1] * len(shape)), (len(levels), *shape))
    noise = center + scale * np.random.default_rng(0).normal(size=(16, *shape))
    return np.concatenate([flat, noise]).astype(np.float32)


def within(columns: Mapping[str, Array], rows: Inputs) -> dict[str, Array]:
    """The same rows with every number moved into the range that its column has in `rows`.

    Args:
        rows: columns, or the one array that is read.
    """
    known = rows if hasattr(rows, "keys") else {name: rows for name in columns if len(columns) == 1}
    out = dict(columns)
    for name, values in columns.items():
        seen = np.asarray(known[name]) if name in known else np.empty(0)
        if values.dtype.kind == "f" and seen.dtype.kind in "fiub" and np.isfinite(seen).any():
            seen = seen[np.isfinite(seen)]
            out[name] = np.clip(values, seen.min(), seen.max())
    return out
