"""How do the measurements of one audit become tables that a person can read across?

What has no label stands in one table with a column for each subject, so that relatives are read beside the
primary. What is about an attribute gets a table of gaps and a table with its groups as rows. Everything else
is set out by its labels. Why a number is missing, or holds only with a caveat, is told below the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rai_bigmodel.evidence import Evidence, Measurement
from rai_bigmodel.report.called import role_words
from rai_bigmodel.report.digits import even, interval_words, left_out
from rai_bigmodel.report.language import _, apart, counted, percent, say, side_by_side, spoken
from rai_bigmodel.report.phrases import N_, closed, is_place, name_of, named, phrase, prose, sentence, within

Roles = Mapping[str, Evidence]
"""Role → evidence of one audit on the same rows; the primary first."""

MOST_COLUMNS = 6
_SIDES = ("high", "low")
_ASIDE = {*_SIDES, "to", "rate", "scope", "against", "given"}
"""Labels that tell more about a number, and do not say where it stands."""


class Cell(NamedTuple):
    """One number in a table, or the statement that there is none; `notes` point below the tables."""

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
    """A table: `title` names it in full, `caption` where it stands; a column is a name and a smaller word."""

    title: str
    caption: str
    corner: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]


class ByAttribute(NamedTuple):
    """The tables of one attribute: its gaps, and its groups as rows."""

    name: str
    gaps: tuple[ShownTable, ...]
    groups: tuple[ShownTable, ...]


class Shown(NamedTuple):
    """The tables of one block: those without labels first, then by attribute, the rest, and relatives' own."""

    overall: tuple[ShownTable, ...]
    attributes: tuple[ByAttribute, ...]
    others: tuple[ShownTable, ...]
    relatives: tuple[tuple[str, tuple[ShownTable, ...]], ...]
    notes: tuple[str, ...]


class _Line(NamedTuple):
    """A row before it is written: its head, a smaller word, a measurement or nothing a column, its own rows."""

    head: str
    small: str
    found: tuple[Measurement | None, ...]
    n: int | None = None


class _Notes:
    """Collects what stands below the tables: each text once, numbered as it comes."""

    def __init__(self, level: float | None) -> None:
        self.texts: dict[str, int] = {}
        self.level = level

    def of(self, *texts: str) -> tuple[int, ...]:
        """The numbers of these texts; empty ones have none."""
        return tuple(self.texts.setdefault(text, len(self.texts) + 1) for text in texts if text)


def shown(roles: Roles) -> Shown:
    """All measurements of one audit as tables."""
    notes = _Notes(usual_level(roles.values()))
    first = next(iter(roles.values()))
    overall = _beside({r: _of(e, "flat") for r, e in roles.items()}, notes, title=_("Overall"))
    attributes = []
    for attribute in _attributes(roles.values()):
        gaps = {r: _of(e, "gap", attribute) for r, e in roles.items()}
        tables = _beside(
            gaps,
            notes,
            title=say("{name}: between groups", name=named(attribute)),
            caption=_("Between groups"),
        )
        each = _groups(first, attribute, notes)
        if tables or each:
            attributes.append(ByAttribute(attribute, tuple(tables), tuple(each)))
    others = _others(first, notes)
    relatives = []
    for role, evidence in list(roles.items())[1:]:
        own = [t for a in _attributes([evidence]) for t in _groups(evidence, a, notes, whole=True)]
        own += _others(evidence, notes)
        if own:
            relatives.append((role, tuple(own)))
    return Shown(tuple(overall), tuple(attributes), tuple(others), tuple(relatives), tuple(notes.texts))


def usual_level(evidence: Iterable[Evidence]) -> float | None:
    """The level most intervals have; ``None`` where there is no interval."""
    levels = [m.interval.level for e in evidence for m in e.measurements if m.interval is not None]
    return max(sorted(set(levels)), key=levels.count) if levels else None


# --- which measurement belongs where ------------------------------------------------------------


def _kind(m: Measurement) -> str:
    keys = set(m.labels) - _ASIDE
    if not keys:
        return "flat"
    if keys == {"attribute"}:
        return "gap"
    return "group" if keys == {"attribute", "group"} else "other"


def _of(evidence: Evidence, kind: str, attribute: str = "") -> list[Measurement]:
    return [
        m
        for m in evidence.measurements
        if _kind(m) == kind and (not attribute or m.labels["attribute"] == attribute)
    ]


def _attributes(evidence: Iterable[Evidence]) -> list[str]:
    found = [m.labels["attribute"] for e in evidence for m in e.measurements if _kind(m) in {"gap", "group"}]
    return list(dict.fromkeys(found))


def _about(m: Measurement) -> str:
    """What a measurement is about besides its own place in the table."""
    parts = [_("small groups among them")] if m.labels.get("scope") == "all" else []
    if "against" in m.labels:
        parts.append(say("change against {name}", name=named(m.labels["against"])))
    if "given" in m.labels and "{given}" not in phrase(m.metric).name:
        parts.append(say("given {name}", name=named(m.labels["given"])))
    return apart(parts)


def _between(m: Measurement) -> str:
    sides = side_by_side([named(m.labels[key]) for key in _SIDES if key in m.labels])
    rate = spoken(named(m.labels["rate"]).replace("_", " ")) if "rate" in m.labels else ""
    return apart([part for part in (sides, rate) if part])


# --- tables -------------------------------------------------------------------------------------


def _beside(
    by_role: Mapping[str, Sequence[Measurement]], notes: _Notes, *, title: str, caption: str = ""
) -> list[ShownTable]:
    """One row a measure, one column a role."""
    roles = [role for role, measurements in by_role.items() if measurements]
    found: dict[tuple[str, ...], dict[str, Measurement]] = {}
    for role in roles:
        for m in by_role[role]:
            key: tuple[str, ...] = (m.metric, _about(m))
            while role in found.get(key, {}):
                key = (*key, "again")
            found.setdefault(key, {})[role] = m
    lines = []
    for row in found.values():
        if _says_nothing_new(row, found):
            continue
        some = next(iter(row.values()))
        sides = {_between(m) for m in row.values()}
        small = apart([x for x in (_about(some), *(sides if len(sides) == 1 else ())) if x])
        lines.append(_Line(name_of(some.metric, some.labels), small, tuple(row.get(role) for role in roles)))
    with_small = _("small groups among them")
    lines.sort(key=lambda line: line.small.startswith(with_small))
    columns = [(named(role), role_words(role)) for role in roles]
    return [_table(title, caption, _("Measure"), columns, lines, notes=notes)] if lines else []


def _says_nothing_new(
    row: Mapping[str, Measurement], found: Mapping[tuple[str, ...], Mapping[str, Measurement]]
) -> bool:
    """Whether a row about small groups too only repeats the one without them, because there are none."""
    some = next(iter(row.values()))
    if some.labels.get("scope") != "all":
        return False

    def told(m: Measurement) -> tuple[object, ...]:
        labels = {k: v for k, v in m.labels.items() if k != "scope"}
        return m.metric, labels, m.value, m.why, m.n, m.excluded, m.interval

    sized = ({r: told(m) for r, m in other.items()} for other in found.values() if other is not row)
    return {r: told(m) for r, m in row.items()} in sized


def _groups(evidence: Evidence, attribute: str, notes: _Notes, *, whole: bool = False) -> list[ShownTable]:
    """Groups as rows, metrics as columns, cut into tables that fit a page."""
    measurements = _of(evidence, "group", attribute)
    groups = list(dict.fromkeys(m.labels["group"] for m in measurements))
    metrics = list(dict.fromkeys((m.metric, _about(m)) for m in measurements))
    by = {(m.labels["group"], m.metric, _about(m)): m for m in measurements}
    rows = {m.labels["group"]: m.n for m in reversed(measurements) if m.n is not None}
    title = say("{name}: each group", name=named(attribute))
    tables = []
    for part in _parts(metrics):
        lines = [
            _Line(named(g), "", tuple(by.get((g, *metric)) for metric in part), rows.get(g)) for g in groups
        ]
        columns = [(name_of(metric, {}), about) for metric, about in part]
        more = "" if len(part) == len(metrics) else f": {within(columns[0][0])} …"
        caption = title if whole else _("Each group")
        tables.append(_table(title + more, caption, _("Group"), columns, lines, notes=notes))
    return tables


def _parts(items: Sequence[tuple[str, str]]) -> list[Sequence[tuple[str, str]]]:
    count = -(-len(items) // MOST_COLUMNS)
    size = -(-len(items) // count) if count else 1
    return [items[start : start + size] for start in range(0, len(items), size)]


def _others(evidence: Evidence, notes: _Notes) -> list[ShownTable]:
    """What has other labels, one table for each set of them."""
    families: dict[tuple[str, ...], list[Measurement]] = {}
    for m in _of(evidence, "other"):
        keys = tuple(k for k in m.labels if k not in _ASIDE)
        families.setdefault(keys, []).append(m)
    return [table for keys, family in families.items() for table in _family(keys, family, notes)]


def _family(keys: Sequence[str], family: Sequence[Measurement], notes: _Notes) -> list[ShownTable]:
    """Labels that are the same everywhere go to the caption, the others to the rows, or one to the columns."""
    same = [k for k in keys if len({m.labels[k] for m in family}) == 1]
    vary = [k for k in keys if k not in same] or [same.pop()]
    fixed = apart([f"{_key(k)} {_value(k, family[0].labels[k])}" for k in same])
    title = say("By {keys}", keys=side_by_side([_key(k) for k in vary]))
    title = say("{title}: {parts}", title=title, parts=fixed) if fixed else title
    metrics = list(dict.fromkeys((m.metric, _about(m)) for m in family))
    across = list(dict.fromkeys(m.labels[vary[-1]] for m in family))
    if len(metrics) == 1 and len(vary) > 1 and len(across) <= MOST_COLUMNS:
        down = list(dict.fromkeys(tuple(m.labels[k] for k in vary[:-1]) for m in family))
        at = {(tuple(m.labels[k] for k in vary[:-1]), m.labels[vary[-1]]): m for m in family}
        heads = {d: apart([f"{_key(k)} {_value(k, v)}" for k, v in zip(vary, d, strict=False)]) for d in down}
        lines = [_Line(heads[d], "", tuple(at.get((d, a)) for a in across)) for d in down]
        columns = [(f"{_key(vary[-1])} {_value(vary[-1], a)}", "") for a in across]
        name = name_of(metrics[0][0], {})
        both = say("{name}. {title}", name=name, title=title)
        return [_table(both, both, name, columns, lines, notes=notes)]
    cases = list(dict.fromkeys(tuple(m.labels[k] for k in vary) for m in family))
    by = {(m.metric, _about(m), *(m.labels[k] for k in vary)): m for m in family}
    heads = {case: apart([_value(k, v) for k, v in zip(vary, case, strict=True)]) for case in cases}
    if len(cases) <= min(len(metrics), MOST_COLUMNS):
        lines = [
            _Line(name_of(x, {}), about, tuple(by.get((x, about, *c)) for c in cases)) for x, about in metrics
        ]
        return [_table(title, title, _("Measure"), [(heads[c], "") for c in cases], lines, notes=notes)]
    corner = side_by_side([_key(k) for k in vary])
    tables = []
    for part in _parts(metrics):
        lines = [_Line(heads[c], "", tuple(by.get((*metric, *c)) for metric in part)) for c in cases]
        columns = [(name_of(x, {}), about) for x, about in part]
        tables.append(_table(title, title, corner[:1].upper() + corner[1:], columns, lines, notes=notes))
    return tables


_NAMES = {"attribute", "group", "feature", "class", "given", "canary", "against"}
"""Labels whose values the data name; those of the others are words of ours."""


_KEYS = {
    "attribute": N_("attribute"),
    "group": N_("group"),
    "feature": N_("feature"),
    "class": N_("class"),
    "given": N_("given"),
    "variant": N_("variant"),
    "batch": N_("batch"),
    "quantile": N_("quantile"),
    "check": N_("check"),
    "method": N_("method"),
    "attack": N_("attack"),
    "fpr": N_("FPR"),
    "slice": N_("slice"),
    "canary": N_("canary"),
    "start": N_("start"),
    "epoch": N_("epoch"),
    "kind": N_("kind"),
    "corruption": N_("corruption"),
    "severity": N_("severity"),
    "epsilon": N_("epsilon"),
    "category": N_("category"),
    "spread": N_("spread"),
}


def _key(key: str) -> str:
    """The word for a label's key; that of a plugin is its own."""
    return _(_KEYS[key]) if key in _KEYS else prose(key).replace("_", " ")


def _value(key: str, value: str) -> str:
    return named(value) if key in _NAMES and not is_place(value) else spoken(named(value))


def _table(
    title: str,
    caption: str,
    corner: str,
    columns: Sequence[tuple[str, str]],
    lines: Sequence[_Line],
    *,
    notes: _Notes,
) -> ShownTable:
    """Rows of numbers, and at the end how many rows of data they rest on; a lone column has its interval apart."""
    lines = [line for line in lines if any(m is not None for m in line.found)]
    alone = len(columns) == 1
    rows = []
    for line in lines:
        counts = [m.n for m in line.found if m is not None and m.n is not None]
        most = max(counts, default=None) if line.n is None else line.n
        cells = [Cell() if m is None else _cell(m, notes, line, most) for m in line.found]
        if alone:
            cells = [cells[0]._replace(interval=""), Cell(cells[0].interval)]
        rows.append(Row(line.head, line.small, (*cells, Cell("" if most is None else counted(most)))))
    heads = [*columns, *([(_("Interval"), "")] if alone else []), (_("Rows"), "")]
    if list(columns) == [("primary", role_words("primary"))]:
        heads[0] = (_("Value"), "")
    kept = [i for i in range(len(heads)) if i < len(columns) or any(row.cells[i].value for row in rows)]
    return ShownTable(
        title,
        caption,
        corner,
        tuple(heads[i] for i in kept),
        tuple(Row(row.head, row.small, tuple(row.cells[i] for i in kept)) for row in rows),
    )


def _cell(m: Measurement, notes: _Notes, line: _Line, most: int | None) -> Cell:
    told = notes.of(
        closed(sentence(spoken(prose(m.why)))),
        say("Compared with {name}.", name=named(m.labels["to"])) if "to" in m.labels else "",
        _("Declared, not measured.") if m.origin == "declared" else "",
    )
    if m.value is None:
        return Cell(_("not measured"), notes=told, missing=True)
    interval = ""
    if m.interval is not None:
        interval = interval_words(m.interval.low, m.interval.high)
        if m.interval.level != notes.level:
            interval += f" ({percent(m.interval.level)})"
    between = _between(m)
    small = [] if not between or between in line.small else [between]
    if m.n is not None and m.n != most:
        small.append(f"n {counted(m.n)}")
    if m.excluded:
        small.append(left_out(m.excluded))
    words = phrase(m.metric)
    value = even(m.value, unit=words.unit)
    if words.flag and m.value in {0, 1}:
        value = _("yes") if m.value else _("no")
    return Cell(value, interval, apart(small), told)
