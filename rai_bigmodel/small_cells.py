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

It stands at the one door where findings become evidence (`collect`), so that the page, the terminal and every reader of
the evidence see the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Bars, Curve, Dot, Dots, Findings, Table, is_about
from rai_bigmodel.stats.counts import MISSING
from rai_bigmodel.stats.disparity import SMALLEST_ROWS
from rai_bigmodel.subject import attributes_of, decision_in
from rai_bigmodel.tables import Table as Rows
from rai_bigmodel.tables.bins import binned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rai_bigmodel.evidence import Exhibit, Measurement
    from rai_bigmodel.plugins import Audit
    from rai_bigmodel.stats.counts import GroupCounts
    from rai_bigmodel.subject import Cohort, Subject

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
DECIDED = ("selection_rate", "scoring_rate", "impact_ratio", "group_share", "mean_prediction")
"""What tells of a group without looking at outcomes."""
_OUTCOME_COLUMN = "positive outcomes"
_RATIOS = ("impact ratio", "ratio to the highest")


class Hidden(NamedTuple):
    """What is not shown.

    Args:
        groups: attribute → group → why, of groups that are hidden as a whole.
        outcomes: attribute → the groups of which nothing is shown that looks at outcomes.
        compared: attributes of which a hidden group is large enough to be compared: what is worked out from all
            groups compared tells of it.
    """

    groups: dict[str, dict[str, str]]
    outcomes: dict[str, set[str]]
    compared: set[str]


def hidden_cells(cohort: Cohort, subject: Subject, audits: Iterable[Audit]) -> Hidden:
    """The cells to hide, of every attribute and intersection that these audits compare groups by."""
    found = Hidden({}, {}, set())
    for rows, attributes in _asked(cohort, audits):
        counted = {}
        for attribute in sorted(attributes, key=lambda a: a.count("*")):
            try:
                counted[attribute] = _counted(rows, subject, attribute.split("*"))
            except InputError:
                continue  # an audit that asks for it says so
        _hide(counted, found)
    groups = {a: of for a, of in found.groups.items() if of}
    return Hidden(groups, {a: of for a, of in found.outcomes.items() if of}, found.compared)


def _hide(counted: Mapping[str, tuple[Cells, Cells | None]], found: Hidden) -> None:
    """Add to what is hidden what these attributes ask for."""
    n = {a: cells for a, (cells, _) in counted.items()}
    small = {a: {c for c, k in cells.items() if 0 < k < FEWEST} for a, cells in n.items()}
    if not any(small.values()):
        closed: dict[str, set[tuple[str, ...]]] = {a: set() for a in n}
    else:
        closed = {}
        for a, cells in n.items():
            known = {b: {_name(c) for c in of} for b, of in closed.items()}
            closed[a] = _closed(cells, small[a], a, known)
        _close_together(n, small, closed)
    for a, (cells, positives) in counted.items():
        own = found.groups.setdefault(a, {})
        own |= {_name(c): FEW if c in small[a] else BESIDE for c in closed[a]}
        if any(cells[c] >= SMALLEST_ROWS for c in closed[a]):
            found.compared.add(a)
        if positives is None:
            continue
        few = set()
        for of in (positives, {c: k - positives[c] for c, k in cells.items()}):
            tiny = {c for c, k in of.items() if 0 < k < FEWEST} - closed[a]
            if tiny:
                few |= _closed(of, tiny, a, {}, largest=SMALLEST_ROWS, beside=closed[a])
        found.outcomes.setdefault(a, set()).update(_name(c) for c in few - closed[a])


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


def _counted(
    cohort: Cohort, subject: Subject, by: list[str]
) -> tuple[dict[tuple[str, ...], int], dict[tuple[str, ...], int] | None]:
    """Rows of each group, and those with the positive outcome where outcomes are a yes or no."""
    truth = next(iter(cohort.roles.get("truth", ())), "")
    found = _both(cohort, subject, by, truth)
    if found is not None:
        names, n, positives = found.groups, found.n.tolist(), found.positives.tolist()
    else:
        assert isinstance(cohort, Rows)
        codes, names = cohort.groups(by)
        n, positives = np.bincount(codes, minlength=len(names)).tolist(), None
    parts = [tuple(name.split("*")) if len(by) > 1 else (name,) for name in names]
    cells = dict(zip(parts, map(int, n), strict=True))
    return cells, None if positives is None else dict(zip(parts, map(int, positives), strict=True))


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


# --- at the door ----------------------------------------------------------------------------------


def suppressed(findings: Findings, hidden: Hidden) -> Findings:
    """The findings without the numbers that are hidden; what names of groups and attributes there are stays."""
    if not hidden.groups and not hidden.outcomes:
        return findings
    return Findings(
        measurements=tuple(_shown(m, hidden) for m in findings.measurements),
        exhibits=tuple(_drawn(e, hidden) for e in findings.exhibits),
        notes=findings.notes,
    )


def _shown(m: Measurement, hidden: Hidden) -> Measurement:
    attribute = m.labels.get("attribute", "")
    groups, outcomes = hidden.groups.get(attribute, {}), hidden.outcomes.get(attribute, set())
    own = m.labels.get("group", "")
    pair = {m.labels[k] for k in ("high", "low", "to") if k in m.labels}
    looks = m.metric.rpartition(".")[2] not in DECIDED
    if own in groups:
        why = groups[own]
    elif own and own in outcomes and looks:
        why = OUTCOMES
    elif own and m.n is not None and 0 < m.n < FEWEST:
        why = FEW
    elif not own and attribute and _rests_on_hidden(m, hidden):
        why = PAIR
    elif pair & groups.keys():
        why = BESIDE
    else:
        return m
    return msgspec.structs.replace(m, value=None, interval=None, n=None, excluded=0.0, why=why)


def _rests_on_hidden(m: Measurement, hidden: Hidden) -> bool:
    """Whether a number about a whole attribute was worked out from a group that is hidden.

    Over all groups, every gap is; over groups compared, where one of them is hidden. A p-value of all groups tells too
    little of any.
    """
    attribute, scope = m.labels["attribute"], m.labels.get("scope", "")
    looks = "demographic" not in m.metric and "conditional" not in m.metric and scope != ""
    groups = hidden.groups.get(attribute, {})
    if m.kind == "p_value" or not ("fairness" in m.metric or m.metric.endswith("_difference")):
        return False
    if attribute in hidden.compared or (scope == "all" and groups):
        return True
    outcomes = hidden.outcomes.get(attribute, set()) if looks else set()
    return bool(outcomes) and (scope == "all" or bool(outcomes & {*m.labels.values()}))


def _drawn(exhibit: Exhibit, hidden: Hidden) -> Exhibit:
    """An exhibit whose lines about hidden groups are empty but for the name."""
    about = [a for a in {*hidden.groups, *hidden.outcomes} if is_about(exhibit.title, a)]
    groups = {g for a in about for g in hidden.groups.get(a, {})}
    outcomes = {g for a in about for g in hidden.outcomes.get(a, set())}
    if isinstance(exhibit, Dots | Bars):
        decided = "positive decision, by" in exhibit.title and "outcome" not in exhibit.title
        gone = groups if decided else groups | outcomes
        points = exhibit.dots if isinstance(exhibit, Dots) else exhibit.bars
        kept = tuple(Dot(label=d.label, value=None) if _names(d.label) & gone else d for d in points)
        name = "dots" if isinstance(exhibit, Dots) else "bars"
        return msgspec.structs.replace(exhibit, **{name: kept})
    if isinstance(exhibit, Table) and " within " in exhibit.title:
        return _strata(exhibit, groups)
    compared = any(a in hidden.compared for a in about)
    if isinstance(exhibit, Table):
        return _table(exhibit, groups, outcomes, compared=compared)
    if isinstance(exhibit, Curve) and compared:
        return msgspec.structs.replace(exhibit, lines=tuple(x for x in exhibit.lines if "gap" not in x.label))
    return exhibit


def _table(exhibit: Table, groups: set[str], outcomes: set[str], *, compared: bool) -> Table:
    """Rows of hidden groups hold their name; where the highest rate is hidden, no ratio to it is kept."""
    ratios = [
        i for i, c in enumerate(exhibit.columns) if c in _RATIOS or c.startswith("95 % interval of the ratio")
    ]
    best = next((row for row in exhibit.rows if ratios and row[ratios[0]] == 1.0), None)
    lost = set(ratios) if best is not None and _names(str(best[0])) & groups else set()
    few = {i for i, c in enumerate(exhibit.columns) if c == _OUTCOME_COLUMN}
    rows = []
    for row in exhibit.rows:
        names = _names(str(row[0]))
        gone = set(range(1, len(row))) if names & groups else lost | (few if names & outcomes else set())
        rows.append(tuple(_blank(v) if i in gone else v for i, v in enumerate(row)))
    caption = "" if compared or lost else exhibit.caption
    return msgspec.structs.replace(exhibit, rows=tuple(rows), caption=caption)


def _strata(exhibit: Table, groups: set[str]) -> Table:
    """A group with few rows in one stratum is left out of all, and with it the rows of each stratum."""
    gone = {
        i
        for i, name in enumerate(exhibit.columns)
        if i > 1 and (name in groups or any(0 < _of(str(row[i])) < FEWEST for row in exhibit.rows))
    }
    gone |= {1} if gone else set()
    rows = tuple(tuple(_blank(v) if i in gone else v for i, v in enumerate(row)) for row in exhibit.rows)
    return msgspec.structs.replace(exhibit, rows=rows)


def _of(cell: str) -> int:
    """The rows behind a cell that reads ``0.412 of 1,203``."""
    rows = cell.rpartition(" of ")[2].replace(",", "")
    return int(rows) if rows.isdecimal() else 0


def _blank(value: str | float | None) -> str | None:
    return "" if isinstance(value, str) else None


def _names(label: str) -> set[str]:
    """The group that a line is about, as it may be written: with the mark of small ones, or as a law joins parts."""
    plain = label.removesuffix(" †")
    return {plain, "*".join(plain.split(", "))}
