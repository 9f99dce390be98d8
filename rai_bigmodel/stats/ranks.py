"""Do two orders agree, row by row? Ranks with ties, and Spearman's correlation of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray


def ranks(values: Array) -> Array:
    """The rank of each entry within its row, from 1; ties share their mean rank.

    Args:
        values: ``(rows, columns)``.
    """
    n, d = values.shape
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    new = np.ones((n, d), dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    run = np.cumsum(new.ravel()) - 1  # numbers the runs of equal values through all rows
    place = np.tile(np.arange(1.0, d + 1), n)
    mean = np.bincount(run, weights=place) / np.bincount(run)
    out = np.empty((n, d))
    np.put_along_axis(out, order, mean[run].reshape(n, d), axis=1)
    return out


def spearman(first: Array, second: Array) -> Array:
    """Spearman's correlation of each row ``(rows,)``; NaN where one of the two is constant in that row.

    Args:
        first, second: ``(rows, columns)``.
    """
    a, b = (standardised(ranks(np.asarray(v, dtype=np.float64))) for v in (first, second))
    return np.einsum("nd,nd->n", a, b)


def standardised(values: Array) -> Array:
    """Each row with mean 0 and length 1 ``(rows, columns)``; NaN where it is constant."""
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length > 0, centred / np.where(length > 0, length, 1.0), np.nan)
