"""How do the measurements of one audit become tables that a person can read across?

What has no label stands in one table with a column for each subject, so that relatives are read beside the
primary. What is about an attribute gets a table of gaps and a table with its groups as rows. Everything else
is set out by its labels. Why a number is missing, or holds only with a caveat, is told below the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rai_bigmodel.evidence import Evidence, Measurement
from rai_bigmodel.report.phrases import ROLES, name_of, named, phrase, prose
from rai_bigmodel.report.rules import interval_words
from rai_bigmodel.words import number, percent

Roles = Mapping[str, Evidence]
"""Role → evidence of one audit on the same rows; the primary first."""

MOST_COLUMNS = 6
_SIDES = ("high", "low")


class Cell(NamedTuple):
    """One number in a table, or the statement that there is none; `notes` point below the table."""

    value: str = ""
    interval: str = ""
    small: str = ""
    notes: tuple[int, ...] = ()
    missing: bool = False


class Row(NamedTuple):
    """A row: its head, a smaller word under it, its cells."""

    head: str
    small: str
    cells: tuple[Cell, ...]


class ShownTable(NamedTuple):
    """A table: `title` names it, `corner` heads its first column, a column is a name and a smaller word."""

    title: str
    corner: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]


class Shown(NamedTuple):
    """The tables of one block: those without labels first, then by attribute, then the rest, then relatives'."""

    overall: tuple[ShownTable, ...]
    attributes: tuple[tuple[str, tuple[ShownTable, ...]], ...]
    others: tuple[ShownTable, ...]
    relatives: tuple[tuple[str, tuple[ShownTable, ...]], ...]
    notes: tuple[str, ...]


class _Notes:
    """Collects what stands below the tables: each text once, numbered as it comes."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def of(self, *texts: str) -> tuple[int, ...]:
        """The numbers of these texts; empty ones have none."""
        return tuple(self.texts.setdefault(text, len(self.texts) + 1) for text in texts if text)


def shown(roles: Roles) -> Shown:
    """All measurements of one audit as tables."""
    notes = _Notes()
    level = usual_level(roles.values())
    flat = {role: [m for m in e.measurements if _kind(m) == "flat"] for role, e in roles.items()}
    overall = _beside(flat, notes, level, title="Overall", corner="Measure")
    first = next(iter(roles), "")
    attributes = []
    for attribute in dict.fromkeys(m.labels["attribute"] for e in roles.values() for m in e.measurements if _by(m)):
        gaps = {
            role: [m for m in e.measurements if _kind(m) == "gap" and m.labels["attribute"] == attribute]
            for role, e in roles.items()
        }
        tables = list(_beside(gaps, notes, level, title=f"{named(attribute)}: between groups", corner="Measure"))
        tables += _groups(_of_group(roles[first], attribute), attribute, notes, level)
        if tables:
            attributes.append((attribute, tuple(tables)))
    others = _others(roles[first].measurements, notes, level) if first else []
    relatives = []
    for role, evidence in list(roles.items())[1:]:
        tables = []
        for attribute in dict.fromkeys(m.labels["attribute"] for m in evidence.measurements if _by(m)):
            tables += _groups(_of_group(evidence, attribute), attribute, notes, level)
        tables += _others(evidence.measurements, notes, level)
        if tables:
            relatives.append((role, tuple(tables)))
    return Shown(
        overall=tuple(overall),
        attributes=tuple(attributes),
        others=tuple(others),
        relatives=tuple(relatives),
        notes=tuple(notes.texts),
    )


def usual_level(evidence: Iterable[Evidence]) -> float | None:
    """The level most intervals have; ``None`` where there is no interval."""
    levels = [m.interval.level for e in evidence for m in e.measurements if m.interval is not None]
    return max(sorted(set(levels)), key=levels.count) if levels else None


def role_words(role: str) -> str:
    """What a role means, in a few words."""
    return ROLES.get(role, "")


def _kind(m: Measurement) -> str:
    keys = {k for k in m.labels if k not in _SIDES} - {"scope", "against", "given"}
    if not keys:
        return "flat"
    if keys == {"attribute"}:
        return "gap"
    return "group" if keys == {"attribute", "group"} else "other"


def _by(m: Measurement) -> bool:
    return _kind(m) in {"gap", "group"}


def _of_group(evidence: Evidence, attribute: str) -> list[Measurement]:
    return [m for m in evidence.measurements if _kind(m) == "group" and m.labels["attribute"] == attribute]


def _beside(
    by_role: Mapping[str, Sequence[Measurement]], notes: _Notes, level: float | None, *, title: str, corner: str
) -> list[ShownTable]:
    """One row a measure, one column a role; a single role has its interval and rows in columns of their own."""
    found: dict[tuple[object, ...], dict[str, Measurement]] = {}
    for role, measurements in by_role.items():
        for m in measurements:
            extra = tuple(sorted((k, v) for k, v in m.labels.items() if k not in _SIDES and v != "sized"))
            key = (m.metric, extra)
            while role in found.get(key, {}):
                key = (*key, "again")
            found.setdefault(key, {})[role] = m
    if not found:
        return []
    roles = [role for role, measurements in by_role.items() if measurements]
    rows = []
    for row in found.values():
        any_m = next(iter(row.values()))
        head, small = name_of(any_m.metric, any_m.labels), _small(any_m)
        if len(roles) == 1:
            rows.append(Row(head, small, _spread(any_m, notes, level)))
        else:
            cells = tuple(_cell(row[r], notes, level, rows=True) if r in row else Cell() for r in roles)
            rows.append(Row(head, small, cells))
    if len(roles) > 1:
        return [ShownTable(title, corner, tuple((named(r), role_words(r)) for r in roles), tuple(rows))]
    columns = [("Value", ""), ("Interval", ""), ("Highest and lowest", ""), ("Rows", "")]
    used = [i for i in range(4) if any(row.cells[i].value for row in rows)]
    cut = tuple(Row(row.head, row.small, tuple(row.cells[i] for i in used)) for row in rows)
    of_role = "" if roles[0] == "primary" else f" ({named(roles[0])})"
    return [ShownTable(title + of_role, corner, tuple(columns[i] for i in used), cut)]


def _spread(m: Measurement, notes: _Notes, level: float | None) -> tuple[Cell, ...]:
    cell = _cell(m, notes, level)
    between = _between(m)
    return (
        Cell(cell.value, "", "", cell.notes, cell.missing),
        Cell(cell.interval),
        Cell(between),
        Cell("" if m.n is None else f"{m.n:,}"),
    )


def _between(m: Measurement) -> str:
    sides = [named(m.labels[key]) for key in _SIDES if key in m.labels]
    return " and ".join(sides)


def _small(m: Measurement) -> str:
    parts = ["small groups among them"] if m.labels.get("scope") == "all" else []
    if "against" in m.labels:
        parts.append(f"change against {named(m.labels['against'])}")
    if "given" in m.labels and "{given}" not in phrase(m.metric).name:
        parts.append(f"given {named(m.labels['given'])}")
    return ", ".join(parts)


def _cell(m: Measurement, notes: _Notes, level: float | None, *, rows: bool = False) -> Cell:
    told = notes.of(
        prose(m.why),
        f"{percent(m.excluded)} of the rows are left out of this." if m.excluded and not m.why else "",
        "Declared, not measured." if m.origin == "declared" else "",
    )
    if m.value is None:
        return Cell("not measured", "", "", told, missing=True)
    interval = ""
    if m.interval is not None:
        interval = interval_words(m.interval.low, m.interval.high)
        if m.interval.level != level:
            interval += f" ({percent(m.interval.level)})"
    small = ""
    if rows:
        between = _between(m)
        small = ", ".join(x for x in (between, "" if m.n is None else f"n {m.n:,}") if x)
    unit = phrase(m.metric).unit
    return Cell(number(m.value) + (f" {unit}" if unit else ""), interval, small, told)


def _groups(measurements: Sequence[Measurement], attribute: str, notes: _Notes, level: float | None) -> list[ShownTable]:
    """Groups as rows, metrics as columns, cut into tables that fit a page."""
    if not measurements:
        return []
    groups = list(dict.fromkeys(m.labels["group"] for m in measurements))
    metrics = list(dict.fromkeys((m.metric, _small(m)) for m in measurements))
    by = {(m.labels["group"], m.metric, _small(m)): m for m in measurements}
    parts = -(-len(metrics) // MOST_COLUMNS)
    size = -(-len(metrics) // parts)
    tables = []
    for start in range(0, len(metrics), size):
        part = metrics[start : start + size]
        rows = []
        for group in groups:
            here = [by.get((group, *metric)) for metric in part]
            most = max((m.n for m in here if m is not None and m.n is not None), default=None)
            cells = [Cell("" if most is None else f"{most:,}")]
            for m in here:
                cell = Cell() if m is None else _cell(m, notes, level)
                if m is not None and m.n is not None and m.n != most:
                    cell = cell._replace(small=f"n {m.n:,}")
                cells.append(cell)
            rows.append(Row(named(group), "", tuple(cells)))
        columns = (("Rows", ""), *((name_of(metric, {}), small) for metric, small in part))
        title = f"{named(attribute)}: each group"
        if parts > 1:
            title += f" ({start // size + 1} of {parts})"
        tables.append(ShownTable(title, "Group", columns, tuple(rows)))
    return tables


def _others(measurements: Sequence[Measurement], notes: _Notes, level: float | None) -> list[ShownTable]:
    """What has other labels, one table for each set of them, laid so that it is longer than wide."""
    families: dict[tuple[str, ...], list[Measurement]] = {}
    for m in measurements:
        if _kind(m) == "other":
            keys = tuple(k for k in m.labels if k not in _SIDES and not (k == "scope" and m.labels[k] == "sized"))
            families.setdefault(tuple(sorted(keys)), []).append(m)
    tables = []
    for keys, family in families.items():
        metrics = list(dict.fromkeys(m.metric for m in family))
        cases = list(dict.fromkeys(tuple(m.labels[k] for k in keys) for m in family))
        by: dict[tuple[str, tuple[str, ...]], Measurement] = {}
        for m in family:
            by.setdefault((m.metric, tuple(m.labels[k] for k in keys)), m)
        what = " and ".join(key.replace("_", " ") for key in keys)
        by_case = f"By {what}"

        def cell(metric: str, case: tuple[str, ...], by: dict[tuple[str, tuple[str, ...]], Measurement] = by) -> Cell:
            m = by.get((metric, case))
            return Cell() if m is None else _cell(m, notes, level, rows=True)

        if len(cases) <= min(len(metrics), MOST_COLUMNS):
            columns = tuple((_case(case), "") for case in cases)
            rows = tuple(Row(name_of(x, {}), "", tuple(cell(x, case) for case in cases)) for x in metrics)
            tables.append(ShownTable(by_case, "Measure", columns, rows))
            continue
        for start in range(0, len(metrics), MOST_COLUMNS):
            part = metrics[start : start + MOST_COLUMNS]
            rows = tuple(
                Row(_case(case), "", tuple(cell(x, case) for x in part))
                for case in cases
                if any((x, case) in by for x in part)
            )
            columns = tuple((name_of(x, {}), "") for x in part)
            tables.append(ShownTable(by_case, what[:1].upper() + what[1:], columns, rows))
    return tables


def _case(values: Sequence[str]) -> str:
    return ", ".join(named(value) for value in values)
