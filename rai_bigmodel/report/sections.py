"""How is each audit set out? Its rules, its tables and pictures by what they are about, all subjects side by side."""

from __future__ import annotations

from functools import reduce
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel import files
from rai_bigmodel.evidence import Dots, Heatmap, Table, is_about
from rai_bigmodel.report import measured
from rai_bigmodel.report.exhibits import ShownExhibit, shown_exhibit
from rai_bigmodel.report.facts import ORDER, audit_name, rows_of
from rai_bigmodel.report.language import _, percent, say, side_by_side, spoken
from rai_bigmodel.report.methods import method_words
from rai_bigmodel.report.patterns import Said
from rai_bigmodel.report.phrases import named, prose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import Evidence, Exhibit
    from rai_bigmodel.report.rules import ShownRule


class About(NamedTuple):
    """What one attribute has: its pictures, its gaps, each of its groups."""

    name: str
    exhibits: tuple[ShownExhibit, ...]
    gaps: tuple[measured.ShownTable, ...]
    groups: tuple[measured.ShownTable, ...]


class Relative(NamedTuple):
    """What one relative has beyond its column in the tables."""

    role: str
    exhibits: tuple[ShownExhibit, ...]
    tables: tuple[measured.ShownTable, ...]
    notes: tuple[str, ...]


class Block(NamedTuple):
    """One run of an audit: all roles beside each other, on the same rows, timings apart.

    ``prefix`` begins the anchors of its footnotes; it is short, because they are many.
    """

    anchor: str
    prefix: str
    title: str
    lede: str
    failures: tuple[tuple[str, str], ...]
    overall: tuple[measured.ShownTable, ...]
    exhibits: tuple[ShownExhibit, ...]
    attributes: tuple[About, ...]
    others: tuple[measured.ShownTable, ...]
    relatives: tuple[Relative, ...]
    footnotes: tuple[str, ...]
    notes: tuple[str, ...]


class Section(NamedTuple):
    """One audit: its question, the rules about it, its blocks."""

    anchor: str
    name: str
    question: str
    rules: tuple[ShownRule, ...]
    blocks: tuple[Block, ...]

    @property
    def failed(self) -> bool:
        """Whether any run of it broke."""
        return any(block.failures for block in self.blocks)


def sections(dossier: Dossier, rules: Sequence[ShownRule]) -> Iterable[Section]:
    """Each audit in the order of the page; a plugin's come last."""
    by_audit: dict[str, list[tuple[str, Evidence]]] = {}
    for name, evidence in zip(dossier.manifest.names, dossier.evidence, strict=True):
        by_audit.setdefault(evidence.audit, []).append((name, evidence))
    known = {name: i for i, name in enumerate(ORDER)}
    numbers = count(1)
    for audit in sorted(by_audit, key=lambda a: (known.get(a, len(known)), a)):
        found = by_audit[audit]
        question = next((e.question for _, e in found if e.subject.role == "primary"), found[0][1].question)
        yield Section(
            anchor=f"audit-{audit}",
            name=audit_name(audit),
            question=spoken(prose(question)) or audit,
            rules=tuple(r for r in rules if audit in r.audits),
            blocks=tuple(_blocks(audit, found, numbers)),
        )


def _variant(name: str, evidence: Evidence) -> tuple[str, bool]:
    """The label in a file's name, and whether it holds timings."""
    stem = name.removesuffix(".json")
    clock = stem.endswith("-clock")
    stem = stem.removesuffix("-clock").removeprefix(files.slug(evidence.audit))
    if evidence.subject.role != "primary":
        stem = stem.removeprefix(f"@{files.slug(evidence.subject.role)}")
    return stem.removeprefix("-"), clock


def _blocks(audit: str, found: Sequence[tuple[str, Evidence]], numbers: Iterator[int]) -> Iterable[Block]:
    by_variant: dict[tuple[bool, str], dict[str, Evidence]] = {}
    for name, evidence in found:
        label, clock = _variant(name, evidence)
        by_variant.setdefault((clock, label), {})[evidence.subject.role] = evidence
    for i, ((clock, label), roles) in enumerate(sorted(by_variant.items())):
        ordered = dict(sorted(roles.items(), key=lambda item: (item[0] != "primary", item[0])))
        title = prose(label).replace("-", " ").capitalize()
        if clock:
            title = say("Timings: {title}", title=title) if title else _("Timings")
        shown = measured.shown(ordered)
        first = next(iter(ordered.values()))
        pictures = _by_attribute(first.exhibits, [a.name for a in shown.attributes])
        told = _notes(ordered)
        yield Block(
            anchor="" if i == 0 else f"audit-{audit}-{i + 1}",
            prefix=f"n{next(numbers)}",
            title=title,
            lede=_lede(ordered, clock=clock),
            failures=tuple(
                (named(role), spoken(prose(e.failure))) for role, e in ordered.items() if e.failure
            ),
            overall=shown.overall,
            exhibits=pictures.get("", ()),
            attributes=tuple(
                About(named(a.name), pictures.get(a.name, ()), a.gaps, a.groups) for a in shown.attributes
            ),
            others=shown.others,
            relatives=tuple(_relatives(ordered, dict(shown.relatives), told)),
            footnotes=shown.notes,
            notes=told[next(iter(ordered))],
        )


def _by_attribute(
    exhibits: Sequence[Exhibit], attributes: Sequence[str]
) -> Mapping[str, tuple[ShownExhibit, ...]]:
    """The pictures by the attribute they are about; those about none, or about several, under ""."""
    out: dict[str, tuple[ShownExhibit, ...]] = {}
    for exhibit in exhibits:
        about = [a for a in attributes if is_about(exhibit.title, a)]
        name = about[0] if len(about) == 1 else ""
        out[name] = (*out.get(name, ()), shown_exhibit(exhibit))
    return out


def _relatives(
    roles: measured.Roles,
    tables: Mapping[str, tuple[measured.ShownTable, ...]],
    notes: Mapping[str, tuple[str, ...]],
) -> Iterable[Relative]:
    """Relatives with anything of their own; dots, grids and tables give way to numbers, for the page's size."""
    for role, evidence in list(roles.items())[1:]:
        left = (Dots, Heatmap, Table) if role in tables else ()
        exhibits = tuple(shown_exhibit(x) for x in evidence.exhibits if not isinstance(x, left))
        if exhibits or notes[role] or role in tables:
            yield Relative(named(role), exhibits, tables.get(role, ()), notes[role])


def _notes(roles: measured.Roles) -> dict[str, tuple[str, ...]]:
    """Each note once, with the first subject that it is said of."""
    seen: set[str] = set()
    out: dict[str, tuple[str, ...]] = {}
    for role, evidence in roles.items():
        own = [note for note in dict.fromkeys(evidence.notes) if note not in seen]
        seen.update(own)
        out[role] = tuple(spoken(prose(note)) for note in own)
    return out


def _lede(roles: measured.Roles, *, clock: bool) -> str:
    data = dict.fromkeys(rows_of(e.data.rows, e.data.name) for e in roles.values() if e.data.rows)
    parts = [say("Measured on {rows}.", rows=side_by_side(list(data)))] if data else []
    level = measured.usual_level(roles.values())
    if level is not None:
        methods = {
            m.interval.method for e in roles.values() for m in e.measurements if m.interval is not None
        }
        named_methods = Said.of(_("; "), [method_words(m) for m in sorted(methods)])
        parts.append(say("Intervals at {level} ({methods}).", level=percent(level), methods=named_methods))
    if clock:
        parts.append(_("Timings differ from run to run and are kept out of the run's digest."))
    return reduce(lambda first, second: say("{first} {second}", first=first, second=second), parts or [""])
