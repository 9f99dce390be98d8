"""What does a simple classifier read of rows that hold pictures, series or texts? A few numbers of each."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.subject import Array

PARTS = 64
"""A picture or a series is looked at as so many numbers at most."""
WORDS, CHARACTERS = 40, 30
"""Of a column of texts, the most frequent ones, which are counted."""


def spread(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Columns as numbers ``(rows,)`` with NaN for missing, or labels.

    Of a picture or a series at most 64 means of neighbouring numbers; of a text its length and how often it has
    each of the most frequent words and characters.
    """
    out: dict[str, Array] = {}
    for name, values in columns.items():
        if values.ndim > 1:
            out |= _means(name, values)
        elif values.dtype != object:
            out[name] = np.where(np.isfinite(values), values, np.nan)
        elif _are_texts(values):
            out |= _counts(name, values)
        else:
            out[name] = values
    return out


def _means(name: str, values: Array) -> dict[str, Array]:
    flat = values.reshape(len(values), -1).astype(np.float64)
    starts = np.unique(np.linspace(0, flat.shape[1], min(PARTS, flat.shape[1]) + 1).astype(int)[:-1])
    there = np.isfinite(flat)
    sums = np.add.reduceat(np.where(there, flat, 0.0), starts, axis=1)
    counted = np.add.reduceat(there.astype(np.float64), starts, axis=1)
    means = np.where(counted > 0, sums / np.maximum(counted, 1), np.nan)
    return {f"{name} {i}": means[:, i] for i in range(means.shape[1])}


def _are_texts(values: Array) -> bool:
    """Whether hardly any two rows have the same value: then they are no labels."""
    return len(set(values.tolist())) > max(20, len(values) // 2)


def _counts(name: str, texts: Array) -> dict[str, Array]:
    rows = [str(text or "") for text in texts.tolist()]
    found = {f"{name}: length": np.array([len(row) for row in rows], dtype=np.float64)}
    for cut, most in ((re.compile(r"\w+"), WORDS), (re.compile(r"\S"), CHARACTERS)):
        counted = [Counter(cut.findall(row.lower())) for row in rows]
        total: Counter[str] = Counter()
        for one in counted:
            total.update(one)
        for part in sorted(total, key=lambda part: (-total[part], part))[:most]:
            found[f"{name}: {cut.pattern} {part}"] = np.array(
                [one[part] for one in counted], dtype=np.float64
            )
    return found
