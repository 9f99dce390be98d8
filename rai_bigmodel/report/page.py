"""What stands on the page, in which order? From a dossier and its verdict to plain words, before any markup."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.report.closing import Missing, missing, not_run, repeat
from rai_bigmodel.report.facts import Fact, decision_words, rows_of, runs_said, short
from rai_bigmodel.report.findings import Finding, findings
from rai_bigmodel.report.governance import Governance, governance
from rai_bigmodel.report.headline import Card, card
from rai_bigmodel.report.language import _, apart, day, n_, percent, say, side_by_side, spoken
from rai_bigmodel.report.phrases import N_, named, prose
from rai_bigmodel.report.rules import ShownRule, shown_rules
from rai_bigmodel.report.sections import Section, sections
from rai_bigmodel.report.standing import Standing, standing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import SubjectId
    from rai_bigmodel.rules import Verdict
    from rai_bigmodel.statements import Statements


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
        card=card(verdict, dossier) if verdict else None,
        facts=tuple(_facts(subject, dossier, verdict)),
        rules=tuple(r for r in rules if not r.warning),
        warnings=tuple(r for r in rules if r.warning),
        confidence=percent(verdict.policy.confidence) if verdict else "",
        findings=tuple(findings(verdict, dossier)),
        standing=standing(verdict, dossier),
        sections=tuple(sections(dossier, rules)),
        governance=governance(dossier, verdict, statements, rules=rules),
        missing=tuple(missing(dossier)),
        not_run=tuple(not_run(dossier)),
        repeat=tuple(repeat(dossier, verdict, statements)),
    )


def _subject(dossier: Dossier) -> SubjectId | None:
    return dossier.manifest.primary or next(iter(dossier.manifest.evidence.subjects), None)


def _date(created: str) -> str:
    try:
        return day(dt.datetime.fromisoformat(created).date())
    except ValueError:
        return prose(created) or _("undated")


def _subtitle(subject: SubjectId | None, dossier: Dossier) -> str:
    rows = _rows_audited(dossier)
    what = say("A {kind} model", kind=prose(subject.kind)) if subject else _("A model")
    return say("{what}, audited on {rows}.", what=what, rows=side_by_side(rows)) if rows else f"{what}."


def _rows_audited(dossier: Dossier) -> list[str]:
    """Which rows the primary was measured on, the ones most audits used first."""
    used = [e.data for e in dossier.evidence if e.subject.role == "primary" and e.data.rows]
    names = [rows_of(d.rows, d.name) for d in used]
    return sorted(dict.fromkeys(names), key=lambda name: (-names.count(name), names.index(name)))[:2]


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
            run=runs_said(verdict),
        )
        yield Fact(_("Policy"), words, short(policy.digest))
    else:
        yield Fact(_("Policy"), _("none; without a policy runs on these rows are not counted"))
    for name, words in sorted(stated.items()):
        yield Fact(_fact_name(name), _stated(words))


_FACTS = {"threshold": N_("threshold"), "weights": N_("weights"), "notes": N_("notes")}


def _fact_name(name: str) -> str:
    return _(_FACTS[name]).capitalize() if name in _FACTS else prose(name).replace("_", " ").capitalize()


def _stated(text: str) -> str:
    return spoken(prose(text))
