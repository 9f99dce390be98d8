"""How does an attribution of a picture become a picture? Grey where it was, coloured where it counts, as PNG bytes.

A PNG is a header, the rows compressed, and an end, each with its checksum (W3C PNG, third edition); zlib is all
that it takes, and the same numbers give the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array

SIDE = 96
"""How large a picture is shown at least, in pixels: small ones are enlarged by a whole number."""
RAISES, LOWERS = np.array([36, 82, 150]), np.array([214, 92, 20])
"""Blue and orange, as the page's own heat maps; told apart also by who sees no red or no green."""


def png(rgb: Array) -> bytes:
    """A PNG of 8-bit colours ``(height, width, 3)``."""
    height, width, _ = rgb.shape
    rows = np.zeros((height, 1 + width * 3), dtype=np.uint8)  # each row begins with its filter, 0
    rows[:, 1:] = rgb.astype(np.uint8).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def heat(parts: Array, values: Array, picture: Array | None = None) -> bytes:
    """A heat map over a picture, as a PNG: blue where it raises the score, orange where it lowers it.

    Args:
        parts: to which patch each pixel belongs ``(C, H, W)``.
        values: what each patch adds ``(d,)``.
        picture: what lies under it ``(C, H, W)``; left out, the heat alone.
    """
    return png(enlarged(blended(parts, values, picture)))


def blended(parts: Array, values: Array, picture: Array | None = None) -> Array:
    """Colours ``(H, W, 3)``, 0 to 255."""
    each = values[parts[0]]
    largest = np.abs(values).max()
    strength = (np.abs(each) / largest if largest > 0 else np.zeros_like(each))[..., None]
    under = (
        np.full((*each.shape, 3), 255.0) if picture is None else grey(picture)[..., None].repeat(3, axis=2)
    )
    colour = np.where((each >= 0)[..., None], RAISES, LOWERS)
    # A picture stays to be seen under its strongest patch.
    most = 1.0 if picture is None else 0.65
    out: Array = np.round(under + most * strength * (colour - under))
    return out


def grey(picture: Array) -> Array:
    """A picture ``(C, H, W)`` in any unit as light ``(H, W)`` from 0 to 255, its channels averaged."""
    plain = np.nan_to_num(
        picture.mean(axis=0).astype(np.float64),
        nan=float(np.nanmean(picture)) if np.isfinite(picture).any() else 0.0,
    )
    low, high = plain.min(), plain.max()
    out: Array = (plain - low) / (high - low) * 255.0 if high > low else np.full(plain.shape, 128.0)
    return out


def enlarged(rgb: Array) -> Array:
    """Each pixel as a square of them, until the longer side has `SIDE`."""
    times = max(1, SIDE // max(rgb.shape[:2]))
    out: Array = rgb.repeat(times, axis=0).repeat(times, axis=1)
    return out


def beside(rows: list[list[Array]], *, gap: int = 4) -> bytes:
    """Pictures of one size ``(H, W, 3)`` in rows, with white between them, as one PNG."""
    size = rows[0][0].shape
    line = np.full((size[0], gap, 3), 255.0)
    strips = []
    for row in rows:
        cells = [part for picture in row for part in (picture, line)][:-1]
        strips.append(np.concatenate(cells, axis=1))
    between = np.full((gap, strips[0].shape[1], 3), 255.0)
    return png(np.concatenate([part for strip in strips for part in (strip, between)][:-1], axis=0))
