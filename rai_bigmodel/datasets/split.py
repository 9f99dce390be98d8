"""How are rows divided at random, with the same mix in each part?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array


def stratified(strata: Array, size: int, rng: np.random.Generator) -> Array:
    """A random part of exactly `size` rows that holds its share of every stratum, as a mask ``(rows,)``.

    Each stratum gives its exact share rounded down; the rows still lacking come one each from the
    strata with the largest remainders (Hamilton's method), so no stratum is off by a whole row.

    Args:
        strata: a code or name for each row, ``(rows,)``.
        size: how many rows to take, at most as many as there are.
    """
    _, codes = np.unique(strata, return_inverse=True)
    counts = np.bincount(codes)
    # In whole numbers, so that the same rows are taken on every machine.
    floors, remainders = np.divmod(counts * size, len(codes))
    lacking = size - int(floors.sum())
    floors[np.argsort(-remainders, kind="stable")[:lacking]] += 1
    chosen = np.zeros(len(codes), dtype=bool)
    for stratum, quota in enumerate(floors):
        rows = np.flatnonzero(codes == stratum)
        chosen[rng.permutation(rows)[:quota]] = True
    return chosen
