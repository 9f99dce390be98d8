"""How are rows divided at random: with the same mix in each part, or with what belongs together kept together?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Splits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.subject import Array
    from rai_bigmodel.tables import Table


class Parts(NamedTuple):
    """The rows of each part, in the order of the whole."""

    train: Array
    calibrate: Array
    held_out: Array


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


def three_parts(
    strata: Array, rng: np.random.Generator, *, held_out: int, calibrate: int | None = None
) -> Parts:
    """Rows to train on, to calibrate and held out, each part with its share of every stratum.

    Args:
        strata: a code or name for each row, ``(rows,)``.
        held_out: how many rows are held out.
        calibrate: how many calibrate; a quarter of the rest unless given.

    Raises:
        InputError: there are too few rows for one in each part.
    """
    if len(strata) - held_out < 2 or held_out < 1:
        msg = f"three parts need a row each, got {len(strata):,} rows of which {held_out:,} are held out"
        raise InputError(msg)
    away = stratified(strata, held_out, rng)
    rest = np.flatnonzero(~away)
    size = round(len(rest) / 4) if calibrate is None else calibrate
    tuned = stratified(strata[rest], max(1, size), rng)
    return Parts(rest[~tuned], rest[tuned], np.flatnonzero(away))


def whole_groups(
    groups: Array, rng: np.random.Generator, *, held_out: float, calibrate: float, strata: Array | None = None
) -> Parts:
    """Rows in three parts so that no group is in two of them: what is held out is new as a group.

    Args:
        groups: what belongs together (a template, a topic, a person), ``(rows,)``.
        held_out, calibrate: shares of the groups; each part gets one group at least.
        strata: a name for each row, the same within a group: every part gets its share of the groups of each.

    Raises:
        InputError: there are fewer than three groups.
    """
    names, first, codes = np.unique(groups, return_index=True, return_inverse=True)
    if len(names) < 3:
        msg = f"three parts need at least three groups of rows that stay together, got {len(names)}"
        raise InputError(msg)
    kinds = np.zeros(len(names)) if strata is None else strata[first]
    away = max(1, min(round(held_out * len(names)), len(names) - 2))
    tuned = max(1, min(round(calibrate * len(names)), len(names) - away - 1))
    parts = three_parts(kinds, rng, held_out=away, calibrate=tuned)
    return Parts(*(np.flatnonzero(np.isin(codes, part)) for part in parts))


def as_splits(whole: Table, parts: Parts, *, facts: Mapping[str, str] | None = None) -> Splits:
    """A table in its three parts, each named after it."""
    return Splits(
        held_out=whole.take(parts.held_out, name=f"{whole.name} held-out"),
        train=whole.take(parts.train, name=f"{whole.name} train"),
        calibrate=whole.take(parts.calibrate, name=f"{whole.name} calibrate"),
        notes=whole.notes,
        facts=facts or {},
    )
