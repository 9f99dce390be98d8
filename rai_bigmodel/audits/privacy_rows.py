"""Who was in the training, who was not, and what can be told of the two kinds of rows without asking the model?

The members are the training rows, the others the held-out ones. A row must be one of them, and the two must not
differ by how they were chosen: what a classifier sees that never saw the model (Das, Zhang and Tramèr 2024,
arXiv:2406.16201) is no sign of what the model remembers.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import membership
from rai_bigmodel.tables import canonical
from rai_bigmodel.tables.alike import shared_ids, shared_rows

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort

PARTS = 64
"""A picture or a series is looked at as so many numbers at most."""
WORDS, CHARACTERS = 40, 30
"""Of a column of texts, the most frequent ones, which are counted."""


def no_overlap(members: Cohort, others: Cohort) -> None:
    """Refuse rows that are on both sides: by their id where there is one, else by all of their columns.

    Where rows of one side are alike as well, rows may agree by chance; then so many must that chance cannot have it.

    Raises:
        InputError: rows are on both sides, with how many.
    """
    named = shared_ids(members, others)
    for column in named:
        membership.no_overlap(*(canonical(c.arrays(column)[column]) for c in (members, others)))
    columns = [c for role in ("feature", "sensitive", "truth") for c in others.roles.get(role, ())]
    if named or not columns:
        return
    both, by_chance = shared_rows(members, others, columns)
    if both and not by_chance:
        msg = (
            f"{both:,} rows of {others.name} also stand in {members.name}, alike in every column, so they are members "
            "and non-members at once: a row must be one of them (where rows may well be alike, name a column of ids)"
        )
        raise InputError(msg)


def columns_of(members: Cohort, others: Cohort) -> dict[str, Array]:
    """The features of both, the members first: numbers with NaN for missing, or labels.

    Of a picture or a series at most 64 means of neighbouring numbers; of a text its length and how often it has
    each of the most frequent words and characters.
    """
    names = others.roles["feature"]
    both = [cohort.arrays(*names) for cohort in (members, others)]
    out: dict[str, Array] = {}
    for name in names:
        values = np.concatenate([np.asarray(part[name]) for part in both])
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
