"""What is left out of findings where cells are hidden? Every number about them, and what would give one away.

The one door through which findings become evidence (`collect`); which cells are hidden, and why, says `small_cells`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rai_bigmodel.evidence import Bars, Curve, Dot, Dots, Findings, Table, is_about
from rai_bigmodel.small_cells import BESIDE, FEW, FEWEST, OUTCOMES, PAIR

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Exhibit, Measurement
    from rai_bigmodel.small_cells import Hidden

DECIDED = ("selection_rate", "scoring_rate", "impact_ratio", "group_share", "mean_prediction")
"""What tells of a group without looking at outcomes."""
_OUTCOME_COLUMN = "positive outcomes"
_RATIOS = ("impact ratio", "ratio to the highest")


def suppressed(findings: Findings, hidden: Hidden) -> Findings:
    """The findings without the numbers that are hidden; what names of groups and attributes there are stays."""
    if not hidden.groups and not hidden.outcomes and not hidden.labels:
        return findings
    return Findings(
        measurements=tuple(_shown(m, hidden) for m in findings.measurements),
        exhibits=tuple(_drawn(e, hidden) for e in findings.exhibits),
        notes=findings.notes,
    )


def _shown(m: Measurement, hidden: Hidden) -> Measurement:
    attribute = m.labels.get("attribute", "")
    groups, outcomes = hidden.groups.get(attribute, {}), _outcomes(m, hidden)
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


def _outcomes(m: Measurement, hidden: Hidden) -> set[str]:
    """The groups of which nothing is shown that looks at outcomes as this number does: at all labels, or at one."""
    attribute, label = m.labels.get("attribute", ""), m.labels.get("class", "")
    labels = hidden.labels.get(attribute, {})
    if label == "macro":
        return set().union(*labels.values())
    return labels.get(label, set()) if label else hidden.outcomes.get(attribute, set())


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
    outcomes = _outcomes(m, hidden) if looks else set()
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
    if isinstance(exhibit, Table) and exhibit.columns[0] == "label":
        return msgspec.structs.replace(exhibit, rows=_gaps(exhibit)) if compared else exhibit
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


def _gaps(exhibit: Table) -> tuple[tuple[str | float | None, ...], ...]:
    """The lines of a table of gaps, one a label, with their labels alone."""
    return tuple((row[0], *map(_blank, row[1:])) for row in exhibit.rows)


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
