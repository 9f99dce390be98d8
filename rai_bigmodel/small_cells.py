"""Which numbers would tell of a handful of people, and how are they kept from being worked out?

The policy. A *cell* is the rows of one group of a sensitive attribute or intersection, and within it the rows of one
outcome. A cell of 1 to 4 rows is named and counted among the groups, and every number about it is null, with why: in
measurements, changes, gaps that name it, and exhibits. What is hidden must not come back by subtraction:

- Groups add up to all rows, and the groups of an intersection to those of each of its attributes. Where such a sum is
  known, at least two of its cells are hidden, and together they hold 5 rows or more; the smallest others are hidden for
  that, whatever their size (complementary suppression, Cox 1980), until no equation gives a small cell away. What is
  worked out from a hidden group is null too: gaps over all groups, and where one that is large enough to be compared
  had to be hidden, every gap of its attribute. A rule on it is undecided: put rare groups together with others first.
- Selected rows are those among positives and those among negatives. Where either outcome of a group is a small cell,
  everything about the group that looks at outcomes is hidden, and only how it was decided about is left. The same sums
  over groups are then closed with other groups that have under 30 rows of that outcome; a larger group is not given up
  for it, so a count of outcomes may remain deducible where there is none.
- Rows of which a part of the group is not known are hidden where they are few, and no group is given up for them.

The numerator of a share is no cell: that 2 of 100 were selected is shown. Nothing here depends on what was found, only
on how many rows there are.

Of several labels each is such an outcome, against all others. Where a group has few rows of one, or few without it,
all that looks at this label is hidden of the group, and its averages over labels; its accuracy too where that would
tell the label's cell, which is the one that is missing among them.

What follows is left out at the one door where findings become evidence (`withheld`), so that the page, the terminal and
every reader of the evidence see the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.counts import MISSING
from rai_bigmodel.stats.disparity import SMALLEST_ROWS
from rai_bigmodel.subject import attributes_of, decision_in, task_of
from rai_bigmodel.tables import Table as Rows
from rai_bigmodel.tables.bins import binned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rai_bigmodel.plugins import Audit
    from rai_bigmodel.stats.counts import GroupCounts
    from rai_bigmodel.subject import Array, Cohort, Subject

    Cells = Mapping[tuple[str, ...], int]

FEWEST = 5
FEW = "this group has fewer than 5 rows, so no number about it is kept"
BESIDE = "left out so that a group of fewer than 5 rows cannot be worked out from what the others add up to"
OUTCOMES = (
    "of one outcome there are fewer than 5 rows of this group, so nothing that looks at outcomes is kept"
)
PAIR = (
    "one of the two groups is hidden, because it or another one has fewer than 5 rows; group these rows together with "
    "others to have the gap measured"
)


class Hidden(NamedTuple):
    """What is not shown.

    Args:
        groups: attribute → group → why, of groups that are hidden as a whole.
        outcomes: attribute → the groups of which nothing is shown that looks at outcomes; of several labels, at all of
            them together.
        labels: attribute → label → the groups of which nothing is shown that looks at this one of several labels.
        compared: attributes of which a hidden group is large enough to be compared: what is worked out from all
            groups compared tells of it.
    """

    groups: dict[str, dict[str, str]]
    outcomes: dict[str, set[str]]
    compared: set[str]
    labels: dict[str, dict[str, set[str]]]


def hidden_cells(cohort: Cohort, subject: Subject, audits: Iterable[Audit]) -> Hidden:
    """The cells to hide, of every attribute and intersection that these audits compare groups by."""
    found = Hidden({}, {}, set(), {})
    for rows, attributes in _asked(cohort, audits):
        counted = {}
        for attribute in sorted(attributes, key=lambda a: a.count("*")):
            try:
                counted[attribute] = _counted(rows, subject, attribute.split("*"))
            except InputError:
                continue  # an audit that asks for it says so
        _hide(counted, found)
    return Hidden(
        {a: of for a, of in found.groups.items() if of},
        {a: of for a, of in found.outcomes.items() if of},
        found.compared,
        {a: of for a, of in found.labels.items() if of},
    )


class _Counted(NamedTuple):
    """Rows of each group, and how many have the positive outcome; or of several labels, how many have each."""

    n: Cells
    positives: Cells | None
    labels: dict[str, Cells]


def _hide(counted: Mapping[str, _Counted], found: Hidden) -> None:
    """Add to what is hidden what these attributes ask for."""
    n = {a: one.n for a, one in counted.items()}
    small = {a: {c for c, k in cells.items() if 0 < k < FEWEST} for a, cells in n.items()}
    if not any(small.values()):
        closed: dict[str, set[tuple[str, ...]]] = {a: set() for a in n}
    else:
        closed = {}
        for a, cells in n.items():
            known = {b: {_name(c) for c in of} for b, of in closed.items()}
            closed[a] = _closed(cells, small[a], a, known)
        _close_together(n, small, closed)
    for a, (cells, positives, labels) in counted.items():
        own = found.groups.setdefault(a, {})
        own |= {_name(c): FEW if c in small[a] else BESIDE for c in closed[a]}
        if any(cells[c] >= SMALLEST_ROWS for c in closed[a]):
            found.compared.add(a)
        outcomes = found.outcomes.setdefault(a, set())
        if positives is not None:
            outcomes |= {_name(c) for c in _few(cells, positives, a, closed[a])}
        told: dict[tuple[str, ...], list[int]] = {}
        for label, of in labels.items():
            few = _few(cells, of, a, closed[a])
            if few:
                found.labels.setdefault(a, {}).setdefault(label, set()).update(map(_name, few))
            for c in few:
                told.setdefault(c, []).append(of[c])
        # What is right over all labels, less what is right of each shown, is what is right of those that are not.
        outcomes |= {_name(c) for c, rows in told.items() if len(rows) < 2 or sum(rows) < FEWEST}


def _few(cells: Cells, having: Cells, attribute: str, closed: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The groups of which few rows have an outcome, or few have not, and those hidden with them."""
    few: set[tuple[str, ...]] = set()
    for of in (having, {c: k - having[c] for c, k in cells.items()}):
        tiny = {c for c, k in of.items() if 0 < k < FEWEST} - closed
        if tiny:
            few |= _closed(of, tiny, attribute, {}, largest=SMALLEST_ROWS, beside=closed)
    return few - closed


def _asked(cohort: Cohort, audits: Iterable[Audit]) -> Iterable[tuple[Cohort, tuple[str, ...]]]:
    """The rows, with numbers in the bins that an audit states, and what it compares groups by."""
    if usual := _all_of(cohort):
        yield cohort, usual
    for audit in audits:
        bins, strata, named = (getattr(audit, name, None) for name in ("bins", "given", "attributes"))
        rows, own = cohort, usual
        if isinstance(bins, dict) and bins:
            rows = binned(cohort, bins, strata=strata.values() if isinstance(strata, dict) else ())
            own = _all_of(rows)
        deeper = tuple(a for a in named if a not in own) if isinstance(named, tuple) else ()
        if own and (rows is not cohort or deeper):
            yield rows, (*own, *deeper)


def _all_of(cohort: Cohort) -> tuple[str, ...]:
    return attributes_of(cohort, intersections=True) if cohort.roles.get("sensitive") else ()


def _counted(cohort: Cohort, subject: Subject, by: list[str]) -> _Counted:
    """Rows of each group, and those with the positive outcome, or with each of several labels."""
    truth = next(iter(cohort.roles.get("truth", ())), "")
    found, labels = _both(cohort, subject, by, truth), {}
    if found is not None:
        names, n, positives = found.groups, found.n, found.positives
    else:
        assert isinstance(cohort, Rows)
        codes, names = cohort.groups(by)
        n, positives = np.bincount(codes, minlength=len(names)), None
        if truth and task_of(subject) == "classes":
            labels = _by_label(cohort, truth, codes, len(names))
    parts = [tuple(name.split("*")) if len(by) > 1 else (name,) for name in names]

    def cells(rows: Array) -> Cells:
        return dict(zip(parts, map(int, rows.tolist()), strict=True))

    return _Counted(
        cells(n),
        None if positives is None else cells(positives),
        {label: cells(rows) for label, rows in labels.items()},
    )


def _by_label(cohort: Rows, truth: str, codes: Array, groups: int) -> dict[str, Array]:
    """How many rows of each group ``(groups,)`` have each label."""
    said, names = cohort.coded(truth)
    counted = np.bincount(codes.astype(np.int64) * len(names) + said, minlength=groups * len(names)).reshape(
        groups, len(names)
    )
    return {name: counted[:, i] for i, name in enumerate(names)}


def _both(cohort: Cohort, subject: Subject, by: list[str], truth: str) -> GroupCounts | None:
    """Rows and positive outcomes of each group, in the count that audits will ask for; ``None`` without yes or no."""
    if not isinstance(cohort, Rows):
        return cohort.count(by, truth=truth, decision=decision_in(subject, cohort))
    decided = [decision_in(subject, cohort)] if subject.kind == "table" else []
    for decision in (*decided, truth):  # where decisions cannot be counted, outcomes alone may be
        try:
            return cohort.count(by, truth=truth, decision=decision)
        except (InputError, KeyError):
            continue
    return None


def _name(cell: tuple[str, ...]) -> str:
    return "*".join(cell)


def _closed(
    cells: Cells,
    small: set[tuple[str, ...]],
    attribute: str,
    known: Mapping[str, set[str]],
    *,
    largest: int | None = None,
    beside: Iterable[tuple[str, ...]] = (),
) -> set[tuple[str, ...]]:
    """The small cells and those to be hidden with them, until no known sum gives one away.

    Args:
        attribute: whose groups the cells are.
        known: what is hidden of the attributes that make up an intersection; a sum that is hidden gives nothing away.
        largest: cells of so many rows or more are not given up.
        beside: cells that are hidden already.
    """
    hidden, columns = {*small, *beside}, attribute.split("*")
    lines: list[list[tuple[str, ...]]] = []
    for i in range(len(columns)):
        total = "*".join(columns[:i] + columns[i + 1 :])
        by_rest: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
        for cell in cells:
            if cells[cell]:
                by_rest.setdefault(cell[:i] + cell[i + 1 :], []).append(cell)
        lines += [
            line for rest, line in by_rest.items() if not rest or _name(rest) not in known.get(total, {})
        ]
    guarded = {c for c in small if MISSING not in c}

    def given_up(line: list[tuple[str, ...]]) -> bool:
        """Hide one more cell of a line, the smallest; whether there is one."""
        others = sorted((cells[c], c) for c in line if c not in hidden)
        if not others or (largest is not None and others[0][0] >= largest):
            return False
        hidden.add(others[0][1])
        guarded.add(others[0][1])
        return True

    while open_lines := [
        line for line in lines if guarded.intersection(line) and _gives_away(line, cells, hidden)
    ]:
        if not sum(given_up(line) for line in open_lines):
            break
    return hidden


def _gives_away(line: list[tuple[str, ...]], cells: Cells, hidden: set[tuple[str, ...]]) -> bool:
    gone = [c for c in line if c in hidden]
    return len(gone) < 2 or sum(cells[c] for c in gone) < FEWEST


def _close_together(
    n: Mapping[str, Cells],
    small: Mapping[str, set[tuple[str, ...]]],
    hidden: Mapping[str, set[tuple[str, ...]]],
) -> None:
    """Hide more until the sums of all attributes together determine no small cell whose group is known."""
    sums = []
    for a, cells in n.items():
        columns = a.split("*")
        sums.append([(a, c) for c in cells])
        for i in range(len(columns)) if len(columns) > 1 else ():
            total = "*".join(columns[:i] + columns[i + 1 :])
            for rest in n.get(total, {}):
                inside = [(a, c) for c in cells if c[:i] + c[i + 1 :] == rest]
                sums.append([*inside, (total, rest)])
    while told := [u for u in _deduced(sums, hidden) if u[1] in small[u[0]] and MISSING not in u[1]]:
        near = {u for line in sums if set(told) & set(line) for u in line}
        shown = sorted((n[a][c], a, c) for a, c in near if c not in hidden[a] and n[a][c])
        if not shown:
            far = ((a, c) for a, cells in n.items() for c in cells)
            shown = sorted((n[a][c], a, c) for a, c in far if c not in hidden[a] and n[a][c])
        if not shown:
            return
        _, attribute, cell = shown[0]
        hidden[attribute].add(cell)


def _deduced(
    sums: list[list[tuple[str, tuple[str, ...]]]], hidden: Mapping[str, set[tuple[str, ...]]]
) -> list[tuple[str, tuple[str, ...]]]:
    """The hidden cells that the sums determine: those that are the same in every solution of the equations.

    Args:
        sums: the parts of each, and behind those of another attribute their total.
    """
    unknown = sorted({(a, c) for line in sums for a, c in line if c in hidden[a]})
    if not unknown:
        return []
    place = {u: i for i, u in enumerate(unknown)}
    equations = np.zeros((len(sums), len(unknown)))
    for row, line in zip(equations, sums, strict=True):
        for u in line:
            if u in place:
                row[place[u]] = 1.0 if u[0] == line[0][0] else -1.0
    _, values, directions = np.linalg.svd(equations, full_matrices=True)
    free = directions[int((values > 1e-9).sum()) :]
    moves = np.abs(free).max(axis=0, initial=0.0)
    return [u for u, most in zip(unknown, moves, strict=True) if most < 1e-9]
