"""What stands on the page, in which order? From a dossier and its verdict to plain words, before any markup."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel import files
from rai_bigmodel.evidence import Dots, Heatmap, Table
from rai_bigmodel.report import measured
from rai_bigmodel.report.exhibits import ShownExhibit, shown_exhibit
from rai_bigmodel.report.governance import Governance, governance
from rai_bigmodel.report.phrases import OUTCOMES, name_of, named, prose, sentence
from rai_bigmodel.report.rules import ShownRule, sentences, shown_rules
from rai_bigmodel.words import number, percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import Decision, Evidence, SubjectId
    from rai_bigmodel.rules import Verdict
    from rai_bigmodel.statements import Statements

_ORDER = [
    "performance",
    "calibration",
    "fairness",
    "slices",
    "explainability",
    "privacy",
    "robustness",
    "language",
    "deployment",
    "data",
    "sustainability",
]

_SHORT = 12


class Fact(NamedTuple):
    """A fact of the head: its name, its words, and a digest where it has one."""

    name: str
    words: str
    code: str = ""


class Card(NamedTuple):
    """The verdict: what it is, the sentences that matter most, and how many rules ended how."""

    outcome: str
    mark: str
    headline: str
    sentences: tuple[str, ...]
    tally: tuple[tuple[int, str, str], ...]


class Missing(NamedTuple):
    """What there is no number for, and why; `cases` are the groups, features … it is missing for."""

    what: str
    why: str
    cases: tuple[str, ...]


class Block(NamedTuple):
    """One run of an audit: all roles beside each other, on the same rows, timings apart."""

    anchor: str
    title: str
    lede: str
    failures: tuple[tuple[str, str], ...]
    shown: measured.Shown
    exhibits: tuple[ShownExhibit, ...]
    relatives: tuple[tuple[str, tuple[measured.ShownTable, ...], tuple[ShownExhibit, ...]], ...]
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


class Page(NamedTuple):
    """Everything the template shows."""

    title: str
    kicker: str
    subtitle: str
    manifest: str
    run: str
    verdict: str
    card: Card | None
    facts: tuple[Fact, ...]
    rules: tuple[ShownRule, ...]
    warnings: tuple[ShownRule, ...]
    confidence: str
    sections: tuple[Section, ...]
    governance: Governance
    missing: tuple[Missing, ...]
    not_run: tuple[tuple[str, str], ...]
    repeat: tuple[tuple[str, tuple[Fact, ...]], ...]


def page(dossier: Dossier, verdict: Verdict | None, *, statements: Statements | None = None) -> Page:
    """The whole page in words."""
    rules = shown_rules(verdict, dossier) if verdict is not None else []
    subject = _subject(dossier)
    made = dossier.manifest.circumstances.created
    return Page(
        title=named(subject.name) if subject else "A model",
        kicker=f"Model audit · {_date(made)}",
        subtitle=_subtitle(subject, dossier),
        manifest=dossier.manifest.digest,
        run=dossier.manifest.run,
        verdict=verdict.outcome if verdict else "",
        card=_card(verdict, dossier) if verdict else None,
        facts=tuple(_facts(subject, dossier, verdict)),
        rules=tuple(r for r in rules if not r.warning),
        warnings=tuple(r for r in rules if r.warning),
        confidence=percent(verdict.policy.confidence) if verdict else "",
        sections=tuple(_sections(dossier, rules)),
        governance=governance(dossier, verdict, statements, rules=rules),
        missing=tuple(_missing(dossier)),
        not_run=tuple(
            (sentence(prose(k)), sentence(prose(v)))
            for k, v in sorted(dossier.manifest.evidence.not_run.items())
        ),
        repeat=tuple(_repeat(dossier, verdict, statements)),
    )


# --- the head -----------------------------------------------------------------------------------


def _subject(dossier: Dossier) -> SubjectId | None:
    return dossier.manifest.primary or next(iter(dossier.manifest.evidence.subjects), None)


def short(digest: str) -> str:
    """A digest one can recognise at a glance; the whole of it stands at the end of the page."""
    kind, colon, digits = digest.partition(":")
    return prose(f"{kind}{colon}{digits[:_SHORT]}…") if len(digits) > _SHORT else prose(digest)


def _date(created: str) -> str:
    try:
        return dt.datetime.fromisoformat(created).date().isoformat()
    except ValueError:
        return prose(created) or "undated"


def _subtitle(subject: SubjectId | None, dossier: Dossier) -> str:
    rows = _rows_audited(dossier)
    what = f"{prose(subject.kind)} model" if subject else "model"
    return f"A {what}, audited on {' and '.join(rows)}." if rows else f"A {what}."


def _rows_audited(dossier: Dossier) -> list[str]:
    """Which rows the primary was measured on, the ones most audits used first."""
    used = [e.data for e in dossier.evidence if e.subject.role == "primary" and e.data.rows]
    names = [f"{plural(d.rows, 'row')} of {named(d.name)}" for d in used]
    return sorted(dict.fromkeys(names), key=lambda name: (-names.count(name), names.index(name)))[:2]


def decision_words(decision: Decision | None) -> str:
    """How a score becomes a decision."""
    if decision is None:
        return "not stated"
    if decision.kind == "argmax":
        return "the label with the largest score"
    at = "unknown" if decision.threshold is None else number(decision.threshold)
    return f"the label {named(decision.positive)} at a score of {at} or more"


def _facts(subject: SubjectId | None, dossier: Dossier, verdict: Verdict | None) -> Iterable[Fact]:
    stated = dict(dossier.manifest.evidence.facts)
    if subject:
        shipped = any(s.role == "onnx" for s in dossier.manifest.evidence.subjects)
        words = named(subject.name) + (", and the ONNX file made from it" if shipped else "")
        yield Fact("Subject", words, short(subject.digest) or "no digest")
    yield Fact("Rows", ", ".join(_rows_audited(dossier)) or "not stated")
    yield Fact("What the label means", prose(stated.pop("label_means", "")) or "not stated")
    yield Fact("Where the attributes come from", prose(stated.pop("attributes_from", "")) or "not stated")
    decided = prose(stated.pop("decision_from", ""))
    decision = decision_words(subject.decision if subject else None)
    yield Fact("Decision", f"{decision}: {decided}" if decided else decision)
    if verdict:
        policy = verdict.policy
        words = (
            f"{named(policy.name)}, {plural(len(policy.rules), 'rule')}, {percent(policy.confidence)} confidence; "
            + (verdict.attempts.words if verdict.attempts else "runs on these rows are not counted")
        )
        yield Fact("Policy", words, short(policy.digest))
    else:
        yield Fact("Policy", "none; runs on these rows are not counted")
    for name, words in sorted(stated.items()):
        yield Fact(prose(name).replace("_", " ").capitalize(), prose(words))


def _card(verdict: Verdict, dossier: Dossier) -> Card:
    counting: list[str] = [r.outcome for r in verdict.rulings if r.rule.severity == "fail"]
    many = {"fail": "fail", "inconclusive": "inconclusive", "waived": "waived", "pass": "pass"}
    tally = [(counting.count(o), w if counting.count(o) == 1 else many[o], o) for o, w in OUTCOMES.items()]
    warned = sum(r.rule.severity == "warn" and r.outcome != "pass" for r in verdict.rulings)
    if warned:
        tally.append((warned, "warning" if warned == 1 else "warnings", "warned"))
    marks = {"fail": "✕", "inconclusive": "◐", "pass": "✓"}
    return Card(
        outcome=verdict.outcome,
        mark=marks[verdict.outcome],
        headline=re.sub(r"(?<=\d) (?=\w)", "\u00a0", prose(verdict.headline)),
        sentences=tuple(sentences(verdict, dossier)),
        tally=tuple(tally),
    )


# --- the audits ---------------------------------------------------------------------------------


def _sections(dossier: Dossier, rules: Sequence[ShownRule]) -> Iterable[Section]:
    by_audit: dict[str, list[tuple[str, Evidence]]] = {}
    for name, evidence in zip(dossier.manifest.names, dossier.evidence, strict=True):
        by_audit.setdefault(evidence.audit, []).append((name, evidence))
    known = {name: i for i, name in enumerate(_ORDER)}
    for audit in sorted(by_audit, key=lambda a: (known.get(a, len(known)), a)):
        found = by_audit[audit]
        question = next((e.question for _, e in found if e.subject.role == "primary"), found[0][1].question)
        yield Section(
            anchor=f"audit-{audit}",
            name=audit.replace("_", " "),
            question=prose(question) or audit,
            rules=tuple(r for r in rules if audit in r.audits),
            blocks=tuple(_blocks(audit, found)),
        )


def _variant(name: str, evidence: Evidence) -> tuple[str, bool]:
    """The label in a file's name, and whether it holds timings."""
    stem = name.removesuffix(".json")
    clock = stem.endswith("-clock")
    stem = stem.removesuffix("-clock").removeprefix(files.slug(evidence.audit))
    if evidence.subject.role != "primary":
        stem = stem.removeprefix(f"@{files.slug(evidence.subject.role)}")
    return stem.removeprefix("-"), clock


def _blocks(audit: str, found: Sequence[tuple[str, Evidence]]) -> Iterable[Block]:
    by_variant: dict[tuple[bool, str], dict[str, Evidence]] = {}
    for name, evidence in found:
        label, clock = _variant(name, evidence)
        by_variant.setdefault((clock, label), {})[evidence.subject.role] = evidence
    for i, ((clock, label), roles) in enumerate(sorted(by_variant.items())):
        ordered = dict(sorted(roles.items(), key=lambda item: (item[0] != "primary", item[0])))
        title = prose(label).replace("-", " ").capitalize()
        if clock:
            title = "Timings" + (f": {title}" if title else "")
        shown = measured.shown(ordered)
        own = dict(shown.relatives)
        pictures = {role: _exhibits(e, beside_tables=role in own) for role, e in ordered.items()}
        yield Block(
            anchor="" if i == 0 else f"audit-{audit}-{i + 1}",
            title=title,
            lede=_lede(ordered, clock=clock),
            failures=tuple((named(role), prose(e.failure)) for role, e in ordered.items() if e.failure),
            shown=shown,
            exhibits=next(iter(pictures.values())),
            relatives=tuple(
                (role, own.get(role, ()), pictures[role])
                for role in list(ordered)[1:]
                if role in own or pictures[role]
            ),
            notes=tuple(dict.fromkeys(prose(note) for e in ordered.values() for note in e.notes)),
        )


def _exhibits(evidence: Evidence, *, beside_tables: bool) -> tuple[ShownExhibit, ...]:
    """The pictures of one subject; a relative's dots, grids and tables give way to its numbers, for the page's size."""
    left = (Dots, Heatmap, Table) if beside_tables else ()
    return tuple(shown_exhibit(exhibit) for exhibit in evidence.exhibits if not isinstance(exhibit, left))


def _lede(roles: measured.Roles, *, clock: bool) -> str:
    data = dict.fromkeys(
        f"{plural(e.data.rows, 'row')} of {named(e.data.name)}" for e in roles.values() if e.data.rows
    )
    parts = [f"Measured on {' and '.join(data)}."] if data else []
    level = measured.usual_level(roles.values())
    if level is not None:
        methods = {
            m.interval.method for e in roles.values() for m in e.measurements if m.interval is not None
        }
        parts.append(f"Intervals at {percent(level)} ({', '.join(prose(m) for m in sorted(methods))}).")
    if clock:
        parts.append("Timings differ from run to run and are kept out of the run's digest.")
    return " ".join(parts)


# --- the end ------------------------------------------------------------------------------------


def _missing(dossier: Dossier) -> Iterable[Missing]:
    """Broken audits first, then each metric and reason with all it is missing for."""
    found: dict[tuple[str, str], list[str]] = {}
    for e in dossier.evidence:
        if e.failure:
            of_role = "" if e.subject.role == "primary" else f" ({named(e.subject.role)})"
            yield Missing(f"{sentence(e.audit)}{of_role}", f"The audit broke: {prose(e.failure)}", ())
    for e in dossier.evidence:
        whose = () if e.subject.role == "primary" else (named(e.subject.role),)
        for m in e.measurements:
            if m.value is None:
                labels = (named(v) for k, v in m.labels.items() if k not in {"high", "low"} and v != "sized")
                case = ", ".join((*labels, *whose))
                found.setdefault(
                    (f"{e.audit}: {name_of(m.metric, m.labels).lower()}", prose(m.why)), []
                ).append(case)
    for (what, why), cases in found.items():
        yield Missing(sentence(what), sentence(why), tuple(case for case in cases if case))


def _repeat(
    dossier: Dossier, verdict: Verdict | None, statements: Statements | None
) -> Iterable[tuple[str, tuple[Fact, ...]]]:
    made, when = dossier.manifest.evidence, dossier.manifest.circumstances
    run = [
        Fact("Run", "the digest of everything that can be reproduced", dossier.manifest.run),
        Fact("Manifest", "the digest of manifest.json", dossier.manifest.digest),
        Fact("Made by", prose(dossier.manifest.tool)),
        Fact("Made", prose(when.created) or "undated"),
        Fact("Machine", prose(when.host) or "not stated"),
        Fact("Threads", f"{made.threads:,}"),
    ]
    if verdict:
        run.append(Fact("Policy", named(verdict.policy.name), verdict.policy.digest))
    if statements:
        run.append(Fact("Statements", "what statements.yaml says", statements.digest))
    yield "This run", tuple(run)
    yield (
        "Subjects",
        tuple(
            Fact(
                prose(s.role),
                f"{named(s.name)} ({prose(s.kind)}): {decision_words(s.decision)}",
                prose(s.digest) or "no digest",
            )
            for s in made.subjects
        ),
    )
    yield (
        "Rows",
        tuple(Fact(named(d.name), plural(d.rows, "row"), prose(d.digest) or "no digest") for d in made.data),
    )
    yield "Configuration", tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(made.configuration.items()))
    yield "Versions", tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(made.versions.items()))
    asked = []
    for name, e in zip(dossier.manifest.names, dossier.evidence, strict=True):
        params = "" if not e.params else files.canonical_json(e.params).decode("utf-8", "replace").strip()
        asked.append(Fact(prose(name), f"seed {e.seed}", prose(params)))
    yield "Seeds and parameters", tuple(asked)
    yield "Evidence files", tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(made.files.items()))
    yield "Timing files", tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(when.clocks.items()))
