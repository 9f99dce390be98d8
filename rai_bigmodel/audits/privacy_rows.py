"""Who was in the training, who was not, and what can be told of the two kinds of rows without asking the model?

The members are the training rows, the others the held-out ones. A row must be one of them, and the two must not
differ by how they were chosen: what a classifier sees that never saw the model (Das, Zhang and Tramèr 2024,
arXiv:2406.16201) is no sign of what the model remembers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits import coarse
from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import membership
from rai_bigmodel.tables import canonical
from rai_bigmodel.tables.alike import shared_ids, shared_rows

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort


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
    """The features of both, the members first, as a simple classifier reads them (`coarse.spread`)."""
    names = others.roles["feature"]
    both = [cohort.arrays(*names) for cohort in (members, others)]
    return coarse.spread({name: np.concatenate([np.asarray(part[name]) for part in both]) for name in names})
