"""What stands on the page, in which order? From a dossier and its verdict to plain words, before any markup."""

from __future__ import annotations

import datetime as dt
import re
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel import files
from rai_bigmodel.evidence import Dots, Heatmap, Table
from rai_bigmodel.report import measured
from rai_bigmodel.report.exhibits import ShownExhibit, shown_exhibit
from rai_bigmodel.report.findings import Finding, findings
from rai_bigmodel.report.governance import Governance, governance
from rai_bigmodel.report.language import (
    _,
    apart,
    counted,
    day,
    n_,
    number,
    percent,
    rows_said,
    say,
    side_by_side,
    spoken,
)
from rai_bigmodel.report.patterns import filled
from rai_bigmodel.report.phrases import N_, OUTCOMES, name_of, named, prose, sentence, within
from rai_bigmodel.report.rules import ShownRule, sentences, shown_rules
from rai_bigmodel.report.standing import Standing, standing

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
    findings: tuple[Finding, ...]
    standing: Standing
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
        title=named(subject.name) if subject else _("A model"),
        kicker=say("Model audit · {day}", day=_date(made)),
        subtitle=_subtitle(subject, dossier),
        manifest=dossier.manifest.digest,
        run=dossier.manifest.run,
        verdict=verdict.outcome if verdict else "",
        card=_card(verdict, dossier) if verdict else None,
        facts=tuple(_facts(subject, dossier, verdict)),
        rules=tuple(r for r in rules if not r.warning),
        warnings=tuple(r for r in rules if r.warning),
        confidence=percent(verdict.policy.confidence) if verdict else "",
        findings=tuple(findings(verdict, dossier)),
        standing=standing(verdict, dossier),
        sections=tuple(_sections(dossier, rules)),
        governance=governance(dossier, verdict, statements, rules=rules),
        missing=tuple(_missing(dossier)),
        not_run=tuple(
            (_audit_name(k), sentence(spoken(prose(v))))
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
        return day(dt.datetime.fromisoformat(created).date())
    except ValueError:
        return prose(created) or _("undated")


def _subtitle(subject: SubjectId | None, dossier: Dossier) -> str:
    rows = _rows_audited(dossier)
    what = say("A {kind} model", kind=prose(subject.kind)) if subject else _("A model")
    return say("{what}, audited on {rows}.", what=what, rows=side_by_side(rows)) if rows else f"{what}."


def _rows_of(rows: int, name: str) -> str:
    return say("{rows} of {name}", rows=rows_said(rows), name=_data_name(name))


def _data_name(name: str) -> str:
    """The name of some rows: ours are said in the language of the page."""
    return spoken(named(name))


def _rows_audited(dossier: Dossier) -> list[str]:
    """Which rows the primary was measured on, the ones most audits used first."""
    used = [e.data for e in dossier.evidence if e.subject.role == "primary" and e.data.rows]
    names = [_rows_of(d.rows, d.name) for d in used]
    return sorted(dict.fromkeys(names), key=lambda name: (-names.count(name), names.index(name)))[:2]


def decision_words(decision: Decision | None) -> str:
    """How a score becomes a decision."""
    if decision is None:
        return _("not stated")
    if decision.kind == "argmax":
        return _("the label with the largest score")
    at = _("unknown") if decision.threshold is None else number(decision.threshold)
    return say("the label {label} at a score of {score} or more", label=named(decision.positive), score=at)


def _facts(subject: SubjectId | None, dossier: Dossier, verdict: Verdict | None) -> Iterable[Fact]:
    stated = dict(dossier.manifest.evidence.facts)
    if subject:
        shipped = any(s.role == "onnx" for s in dossier.manifest.evidence.subjects)
        name = named(subject.name)
        words = say("{name}, and the ONNX file made from it", name=name) if shipped else name
        yield Fact(_("Subject"), words, short(subject.digest) or _("no digest"))
    yield Fact(_("Rows"), apart(_rows_audited(dossier)) or _("not stated"))
    yield Fact(_("What the label means"), _stated(stated.pop("label_means", "")) or _("not stated"))
    yield Fact(
        _("Where the attributes come from"), _stated(stated.pop("attributes_from", "")) or _("not stated")
    )
    decided = _stated(stated.pop("decision_from", ""))
    decision = decision_words(subject.decision if subject else None)
    yield Fact(
        _("Decision"),
        say("{decision}: {decided}", decision=decision, decided=decided) if decided else decision,
    )
    if verdict:
        policy = verdict.policy
        words = say(
            "{policy}, {rules}, {confidence} confidence; {run}",
            policy=named(policy.name),
            rules=n_("{count} rule", "{count} rules", len(policy.rules)),
            confidence=percent(policy.confidence),
            run=_runs(verdict),
        )
        yield Fact(_("Policy"), words, short(policy.digest))
    else:
        yield Fact(_("Policy"), _("none; without a policy runs on these rows are not counted"))
    for name, words in sorted(stated.items()):
        yield Fact(_fact_name(name), _stated(words))


def _runs(verdict: Verdict | None) -> str:
    """Which run of this policy on these rows it is, where runs are counted."""
    if verdict is None or verdict.attempts is None:
        return _("runs on these rows are not counted")
    return spoken(verdict.attempts.words)


_FACTS = {"threshold": N_("threshold"), "weights": N_("weights"), "notes": N_("notes")}


def _fact_name(name: str) -> str:
    return _(_FACTS[name]).capitalize() if name in _FACTS else prose(name).replace("_", " ").capitalize()


def _stated(text: str) -> str:
    return spoken(prose(text))


def _card(verdict: Verdict, dossier: Dossier) -> Card:
    counting: list[str] = [r.outcome for r in verdict.rulings if r.rule.severity == "fail"]
    tally = [(counting.count(o), _tallied(o, counting.count(o)), o) for o in OUTCOMES]
    warned = sum(r.rule.severity == "warn" and r.outcome != "pass" for r in verdict.rulings)
    if warned:
        tally.append((warned, n_("warning", "warnings", warned), "warned"))
    marks = {"fail": "✕", "inconclusive": "◐", "pass": "✓"}
    return Card(
        outcome=verdict.outcome,
        mark=marks[verdict.outcome],
        headline=_headline(verdict),
        sentences=tuple(sentences(verdict, dossier)),
        tally=tuple(tally),
    )


def _tallied(outcome: str, count: int) -> str:
    """The word under a number of rules that ended so."""
    return {
        "fail": n_("fails", "fail", count),
        "inconclusive": _("inconclusive"),
        "waived": _("waived"),
        "pass": n_("passes", "pass", count),
    }[outcome]


def _headline(verdict: Verdict) -> str:
    """The verdict in a sentence, as `Verdict.headline`; numbers stay with their words at the end of a line."""
    counting: list[str] = [r.outcome for r in verdict.rulings if r.rule.severity == "fail"]
    counts = {o: counting.count(o) for o in OUTCOMES if counting.count(o)}
    parts = [_ended(o, n, first=i == 0) for i, (o, n) in enumerate(counts.items())]
    if warned := sum(r.rule.severity == "warn" and r.outcome != "pass" for r in verdict.rulings):
        parts.append(n_("{count} warning", "{count} warnings", warned))
    words = {
        "pass": _("Policy {name} is met: {tally}."),
        "fail": _("Policy {name} is not met: {tally}."),
        "inconclusive": _("Policy {name} is undecided: {tally}."),
    }[verdict.outcome]
    tally = _("{tally}, {part}")
    told = reduce(lambda a, b: filled(tally, {"tally": a, "part": b}), parts or [_("no rule counts")])
    said = filled(words, {"name": prose(verdict.policy.name), "tally": told})
    return re.sub(r"(?<=\d) (?=\w)", "\u00a0", said)


def _ended(outcome: str, count: int, *, first: bool) -> str:
    """``1 fails``; the first says what is counted, ``1 rule fails``."""
    if first:
        return {
            "fail": n_("{count} rule fails", "{count} rules fail", count),
            "inconclusive": n_("{count} rule is inconclusive", "{count} rules are inconclusive", count),
            "waived": n_("{count} rule is waived", "{count} rules are waived", count),
            "pass": n_("{count} rule passes", "{count} rules pass", count),
        }[outcome]
    return {
        "fail": n_("{count} fails", "{count} fail", count),
        "inconclusive": n_("{count} is inconclusive", "{count} are inconclusive", count),
        "waived": n_("{count} is waived", "{count} are waived", count),
        "pass": n_("{count} passes", "{count} pass", count),
    }[outcome]


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
            name=_audit_name(audit),
            question=spoken(prose(question)) or audit,
            rules=tuple(r for r in rules if audit in r.audits),
            blocks=tuple(_blocks(audit, found)),
        )


_AUDITS = {
    "performance": N_("performance"),
    "calibration": N_("calibration"),
    "fairness": N_("fairness"),
    "slices": N_("slices"),
    "explainability": N_("explainability"),
    "privacy": N_("privacy"),
    "robustness": N_("robustness"),
    "language": N_("language"),
    "deployment": N_("deployment"),
    "data": N_("data"),
    "sustainability": N_("sustainability"),
}


def _audit_name(audit: str) -> str:
    """The name of an audit of ours in the language of the page; a plugin's is its own."""
    return _(_AUDITS[audit]) if audit in _AUDITS else prose(audit).replace("_", " ")


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
            title = say("Timings: {title}", title=title) if title else _("Timings")
        shown = measured.shown(ordered)
        own = dict(shown.relatives)
        pictures = {role: _exhibits(e, beside_tables=role in own) for role, e in ordered.items()}
        yield Block(
            anchor="" if i == 0 else f"audit-{audit}-{i + 1}",
            title=title,
            lede=_lede(ordered, clock=clock),
            failures=tuple(
                (named(role), spoken(prose(e.failure))) for role, e in ordered.items() if e.failure
            ),
            shown=shown,
            exhibits=next(iter(pictures.values())),
            relatives=tuple(
                (role, own.get(role, ()), pictures[role])
                for role in list(ordered)[1:]
                if role in own or pictures[role]
            ),
            notes=tuple(dict.fromkeys(spoken(prose(note)) for e in ordered.values() for note in e.notes)),
        )


def _exhibits(evidence: Evidence, *, beside_tables: bool) -> tuple[ShownExhibit, ...]:
    """The pictures of one subject; a relative's dots, grids and tables give way to its numbers, for the page's size."""
    left = (Dots, Heatmap, Table) if beside_tables else ()
    return tuple(shown_exhibit(exhibit) for exhibit in evidence.exhibits if not isinstance(exhibit, left))


def _lede(roles: measured.Roles, *, clock: bool) -> str:
    data = dict.fromkeys(_rows_of(e.data.rows, e.data.name) for e in roles.values() if e.data.rows)
    parts = [say("Measured on {rows}.", rows=side_by_side(list(data)))] if data else []
    level = measured.usual_level(roles.values())
    if level is not None:
        methods = {
            m.interval.method for e in roles.values() for m in e.measurements if m.interval is not None
        }
        named_methods = apart([spoken(prose(m)) for m in sorted(methods)])
        parts.append(say("Intervals at {level} ({methods}).", level=percent(level), methods=named_methods))
    if clock:
        parts.append(_("Timings differ from run to run and are kept out of the run's digest."))
    return reduce(lambda first, second: say("{first} {second}", first=first, second=second), parts or [""])


# --- the end ------------------------------------------------------------------------------------


def _missing(dossier: Dossier) -> Iterable[Missing]:
    """Broken audits first, then each metric and reason with all it is missing for."""
    found: dict[tuple[str, str], list[str]] = {}
    for e in dossier.evidence:
        if e.failure:
            what = sentence(_audit_name(e.audit))
            role = "" if e.subject.role == "primary" else f" ({named(e.subject.role)})"
            broke = say("The audit broke: {failure}", failure=spoken(prose(e.failure)))
            yield Missing(f"{what}{role}", broke, ())
    for e in dossier.evidence:
        whose = () if e.subject.role == "primary" else (named(e.subject.role),)
        for m in e.measurements:
            if m.value is None:
                labels = (named(v) for k, v in m.labels.items() if k not in {"high", "low"} and v != "sized")
                what = say(
                    "{audit}: {name}", audit=_audit_name(e.audit), name=within(name_of(m.metric, m.labels))
                )
                found.setdefault((what, prose(m.why)), []).append(apart([*labels, *whose]))
    for (what, why), cases in found.items():
        yield Missing(sentence(what), sentence(spoken(why)), tuple(case for case in cases if case))


def _repeat(
    dossier: Dossier, verdict: Verdict | None, statements: Statements | None
) -> Iterable[tuple[str, tuple[Fact, ...]]]:
    made, when = dossier.manifest.evidence, dossier.manifest.circumstances
    run = [
        Fact(_("Run"), _("the digest of everything that can be reproduced"), dossier.manifest.run),
        Fact(_("Manifest"), _("the digest of manifest.json"), dossier.manifest.digest),
        Fact(_("Made by"), prose(dossier.manifest.tool)),
        Fact(_("Made"), prose(when.created) or _("undated")),
        Fact(_("Machine"), prose(when.host) or _("not stated")),
        Fact(_("Threads"), counted(made.threads)),
    ]
    run.append(Fact(_("Use of these rows"), _runs(verdict)))
    if verdict:
        run.append(Fact(_("Policy"), named(verdict.policy.name), verdict.policy.digest))
    if statements:
        run.append(Fact(_("Statements"), _("what statements.yaml says"), statements.digest))
    yield _("This run"), tuple(run)
    yield (
        _("Subjects"),
        tuple(
            Fact(
                prose(s.role),
                f"{named(s.name)} ({prose(s.kind)}): {decision_words(s.decision)}",
                prose(s.digest) or _("no digest"),
            )
            for s in made.subjects
        ),
    )
    yield (
        _("Rows"),
        tuple(
            Fact(_data_name(d.name), rows_said(d.rows), prose(d.digest) or _("no digest")) for d in made.data
        ),
    )
    yield (
        _("Configuration"),
        tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(made.configuration.items())),
    )
    yield _("Versions"), tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(made.versions.items()))
    asked = []
    for name, e in zip(dossier.manifest.names, dossier.evidence, strict=True):
        params = "" if not e.params else files.canonical_json(e.params).decode("utf-8", "replace").strip()
        asked.append(Fact(prose(name), say("seed {seed}", seed=e.seed), prose(params)))
    yield _("Seeds and parameters"), tuple(asked)
    yield _("Evidence files"), tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(made.files.items()))
    yield _("Timing files"), tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(when.clocks.items()))
