"""By which conditions are rows told apart where they stay in their engine? Counted together, and halved as cells.

One GROUP BY counts all conditions and whether the decision was wrong. A row that goes to either half by the toss of a
coin sends each cell's rows there by as many tosses, so the halves of the cells are those of a random halving of rows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.audits.slice_conditions import MOST_LEVELS, PARTS
from rai_bigmodel.files import visible
from rai_bigmodel.stats.slices import Column
from rai_bigmodel.subject import column_of, decision_in
from rai_bigmodel.tables.coded import Told, counted, numbers_among, ranged
from rai_bigmodel.tables.columns import PLAIN_NUMBER
from rai_bigmodel.tables.engine import MAX_CELLS
from rai_bigmodel.tables.names import names_of
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.subject import Array, Subject
    from rai_bigmodel.tables import Frame

TOO_MANY = "the rows stay in their engine, and its columns together make more cells than are counted there"


class Halves(NamedTuple):
    """Cells of all columns, and how many rows of each are searched and how many confirm.

    Args:
        columns: as codes ``(cells,)``.
        wrong: whether the decision was wrong ``(cells,)``.
        search, confirm: rows of each cell ``(cells,)``.
        notes: how they were made, and what was not looked at.
    """

    columns: list[Column]
    wrong: Array
    search: Array
    confirm: Array
    notes: tuple[str, ...]


class _Way(NamedTuple):
    """How a column is told apart, and in words what each code says; code 0 says nothing."""

    told: Told
    words: tuple[str, ...]


def halves_of(subject: Subject, cohort: Frame, rng: np.random.Generator) -> Halves | str:
    """Both halves of the rows as cells; or, in words, why there are none.

    Which columns are looked at never depends on outcomes: sensitive ones first, then features in their order, for as
    long as their conditions make few enough cells.

    Raises:
        InputError: outcomes or decisions cannot be counted.
    """
    truth = column_of(cohort, "truth")
    decision = decision_in(subject, cohort)
    assert not isinstance(decision, np.ndarray)
    cohort.count((), truth=truth, decision=decision)  # labels and scores that cannot be used are refused here
    sensitive = cohort.roles.get("sensitive", ())
    features = [c for c in cohort.roles.get("feature", ()) if c not in sensitive]
    wanted = [c for c in dict.fromkeys((*sensitive, *features)) if c != truth]
    numbers = numbers_among(cohort, wanted)
    ways: list[_Way] = []
    left, cells = [], 4
    for column in wanted:
        way = _way(cohort, column, is_number=column in numbers, by_value=column in sensitive)
        if way is None:
            continue
        if cells * len(way.words) > MAX_CELLS:
            left.append(column)
            continue
        cells *= len(way.words)
        ways.append(way)
    if not ways:
        return "no feature or sensitive column takes two values that can be named"
    whole = counted(cohort, [way.told for way in ways], numbers=numbers, truth=truth, decision=decision)
    if whole is None:
        return TOO_MANY
    search = rng.binomial(whole.rows, 0.5)
    columns = [
        Column(visible(way.told.column), codes, way.words)
        for way, codes in zip(ways, whole.codes, strict=True)
    ]
    return Halves(columns, whole.wrong, search, whole.rows - search, _notes(left))


def _notes(left: Sequence[str]) -> tuple[str, ...]:
    said = "Rows stay in their engine: it counted all conditions together, and each row went to a half by chance."
    if not left:
        return (said,)
    names = ", ".join(map(visible, left))
    return said, f"Columns that would have made more cells than are counted were not looked at: {names}."


def _way(cohort: Frame, column: str, *, is_number: bool, by_value: bool) -> _Way | None:
    """Its most frequent values, or quarters of its numbers; ``None`` where there are not two."""
    found = cohort.distinct(column)
    if found is None:
        spread = ranged(cohort, column) if is_number else None
        return None if spread is None else _quarters(column, spread, missing=True)
    if cohort.untyped and is_number and all(v is None or PLAIN_NUMBER.match(str(v)) for v in found):
        plain = [(float(str(v)), n) for v, n in found.items() if v is not None]
    else:
        plain = [(float(v), n) for v, n in found.items() if isinstance(v, int | float)]
    values = {v for v, _ in plain}
    if is_number and len(values) > (MOST_LEVELS if by_value else PARTS):
        return _quarters(column, sorted(plain), missing=None in found)
    names = names_of(found, untyped=cohort.untyped)
    rows: dict[str, int] = {}
    for value, n in found.items():
        rows[names[value]] = rows.get(names[value], 0) + n
    top = sorted(rows, key=lambda name: (-rows[name], name))[:MOST_LEVELS]
    if len(top) < 2:
        return None
    same = [tuple(v for v in found if names[v] == name) for name in top]
    return _Way(Told(column, values=tuple(same)), ("", *(f"is {visible(name)}" for name in top)))


def _quarters(column: str, ordered: Sequence[tuple[float, int]], *, missing: bool) -> _Way | None:
    """Ranges that hold about a quarter of the numbers each.

    Args:
        ordered: values or upper ends of ranges, ascending, and how many rows have each.
    """
    values = np.array([v for v, _ in ordered])
    reached = np.cumsum([n for _, n in ordered])
    at = [(int(reached[-1]) - 1) * part // PARTS for part in range(1, PARTS)]
    cuts = sorted(
        {float(v) for v in values[np.searchsorted(reached, at, side="right")]} - {float(values[-1])}
    )
    if not cuts:
        return None
    shown = [number(cut) for cut in cuts]
    words = ["", f"is at most {shown[0]}"]
    words += [f"is above {a} and at most {b}" for a, b in pairwise(shown)]
    words += [f"is above {shown[-1]}", *(["is missing"] if missing else [])]
    return _Way(Told(column, cuts=tuple(cuts), missing=missing), tuple(words))
