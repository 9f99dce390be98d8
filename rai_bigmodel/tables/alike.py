"""Which rows stand in two tables at once? Told by ids where both have them, else by all columns that both have.

Where rows of one table are alike as well, rows of the two may agree by chance; then so many must that chance cannot
have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.stats import copies
from rai_bigmodel.stats.counts import MISSING
from rai_bigmodel.stats.intervals import clopper_pearson
from rai_bigmodel.tables.memory import Table
from rai_bigmodel.tables.names import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.subject import Array, Cohort

CHANCE = 1e-3
"""How seldom rows that agree by chance may be taken for rows that are on both sides."""


class Shared(NamedTuple):
    """How many rows of a table also stand in another.

    Args:
        rows: so many.
        by_chance: whether they may be others' rows that merely look alike.
    """

    rows: int
    by_chance: bool


def shared_ids(these: Cohort, those: Cohort) -> tuple[str, ...]:
    """The columns of ids that both have."""
    return tuple(c for c in these.roles.get("id", ()) if c in those.roles.get("id", ()))


def shared_rows(these: Cohort, those: Cohort, columns: Sequence[str]) -> Shared:
    """How many of `those` rows also stand among `these`, alike in every one of the columns, of which there is one."""
    keys = keys_of([these, those], tuple(dict.fromkeys(columns)))
    inside, outside = ([part[s] for part in keys] for s in (slice(these.rows), slice(these.rows, None)))
    both = copies.shared(outside, inside)
    alike = these.rows - copies.distinct(inside)
    if not alike and those.rows == copies.distinct(outside):
        by_chance = 0.0
    else:
        by_chance = clopper_pearson(min(these.rows, 2 * alike), these.rows, 2 * CHANCE)[1]
    more = bool(both) and clopper_pearson(both, those.rows, 2 * CHANCE)[0] > by_chance
    return Shared(both, by_chance=not more)


def keys_of(parts: list[Cohort], columns: tuple[str, ...]) -> list[Array]:
    """Columns over several tables, text as codes that stand for the same values in all."""
    out = []
    for column in columns:
        values = [part.arrays(column)[column] for part in parts]
        text = any(x.dtype == object for x in values)
        if values[0].ndim > 1:
            out.append(_alike(values))
            continue
        if not text:
            out.append(as_one(values))
        elif len(parts) == 1 and isinstance(parts[0], Table):
            out.append(parts[0].coded(column)[0])  # of one table any codes tell its values apart
        else:
            out.append(codes_of(parts, column)[0])
    return out


def codes_of(parts: list[Cohort], column: str) -> tuple[Array, list[str]]:
    """Codes of text over several tables, −1 where it is missing; and the names, sorted."""
    known = []
    for part in parts:
        if isinstance(part, Table):
            known.append(part.codes(column))
        else:
            names, codes = np.unique(canonical(part.arrays(column)[column]).astype(str), return_inverse=True)
            known.append((codes, tuple(names.tolist())))
    if len(known) == 1 and MISSING not in known[0][1]:
        return known[0][0], list(known[0][1])
    levels = sorted({name for _, names in known for name in names} - {MISSING})
    place = {MISSING: -1} | {name: i for i, name in enumerate(levels)}
    found = [np.array([place[name] for name in names] or [0])[codes] for codes, names in known]
    return as_one(found), levels


def as_one(parts: list[Array]) -> Array:
    """Several parts of a column as one; of a single part no copy is made."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _alike(values: list[Array]) -> Array:
    """A code for each picture or series ``(rows,)``, the same for the same one."""
    index: dict[bytes, int] = {}
    rows = (row.tobytes() for part in values for row in part)
    return np.fromiter((index.setdefault(row, len(index)) for row in rows), dtype=np.int64)
