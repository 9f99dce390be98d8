"""Which frameworks and statements stand on the page, and in which words? Nothing where nobody asked for any."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.controls import catalogue
from rai_bigmodel.controls.resolve import WORDS, Resolved, State, resolved
from rai_bigmodel.report.language import apart, counted, day, n_, say, spoken
from rai_bigmodel.report.phrases import name_of, prose, sentence
from rai_bigmodel.report.rules import MARKS
from rai_bigmodel.statements import ALWAYS, QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.report.rules import ShownRule
    from rai_bigmodel.rules import Verdict
    from rai_bigmodel.statements import Statements

_MARKS = {"broken": "✕", "inconclusive": "◐", "needs": "?", "kept": "✓", "stated": "✎"}
_LOOKS = {
    "broken": "fail",
    "inconclusive": "inconclusive",
    "needs": "inconclusive",
    "kept": "pass",
    "stated": "waived",
}
"""Whose colour of the page each state has."""


class Link(NamedTuple):
    """A place on the page, its words, and the mark and colour of a rule."""

    anchor: str
    words: str
    mark: str = ""
    outcome: str = ""


class ShownControl(NamedTuple):
    """One control: what it asks, where it stands and why, and what that rests on."""

    anchor: str
    id: str
    state: str
    look: str
    mark: str
    word: str
    title: str
    asks: str
    why: str
    links: tuple[Link, ...]
    unmeasured: tuple[str, ...]
    source: str


class ShownFramework(NamedTuple):
    """A framework with its controls; `tally` says how many stand where, `left_out` what is not about this model."""

    name: str
    title: str
    note: str
    tally: str
    controls: tuple[ShownControl, ...]
    left_out: str
    stale: str


class ShownStatement(NamedTuple):
    """A question to people, and the answer, if there is one."""

    anchor: str
    title: str
    asks: str
    says: str
    who: str


class Governance(NamedTuple):
    """What stands on the page about frameworks and statements; empty where nobody asked."""

    frameworks: tuple[ShownFramework, ...] = ()
    missing: tuple[ShownStatement, ...] = ()
    stated: tuple[ShownStatement, ...] = ()
    anchors: Mapping[str, str] = {}
    unknown: tuple[str, ...] = ()


def asked_for(verdict: Verdict | None, statements: Statements | None) -> list[str]:
    """The frameworks that the policy's rules name, and those that the statements name, which the catalogue has."""
    cited = [c.partition("/")[0] for r in (verdict.rulings if verdict else ()) for c in r.rule.control]
    named = list(statements.frameworks if statements else ())
    wanted = list(dict.fromkeys(cited + named))
    return [name for name in wanted if name in catalogue.names()] if wanted else []


def governance(
    dossier: Dossier, verdict: Verdict | None, statements: Statements | None, *, rules: Sequence[ShownRule]
) -> Governance:
    """Everything about frameworks and statements; `rules` are those of the page, in any order."""
    frameworks = asked_for(verdict, statements)
    cited = {c for r in (verdict.rulings if verdict else ()) for c in r.rule.control}
    if not frameworks and statements is None and not cited:
        return Governance()
    by_place = {int(rule.anchor.removeprefix("rule-")) - 1: rule for rule in rules}
    today = _day(dossier, verdict)
    wanted: list[str] = []
    shown: list[ShownFramework] = []
    known: set[str] = set()
    for name in frameworks:
        whole = catalogue.framework(name)
        found, left = resolved(whole, dossier, verdict=verdict, statements=statements)
        wanted += [s for r in found for s in r.control.statements]
        known |= set(catalogue.ids(name))
        controls = [_control(r, name, by_place, today) for r in _ordered(found)]
        stale = sum(r.control.stale(today) for r in found)
        shown.append(
            ShownFramework(
                name=name,
                title=spoken(whole.title),
                note=spoken(whole.note),
                tally=_tally(found),
                controls=tuple(controls),
                left_out=apart([f"{name}/{c.id}" for c in left]),
                stale=say(
                    "{stale} of {count} entries were last looked at more than a year before {day}.",
                    stale=counted(stale),
                    count=counted(len(found)),
                    day=day(today),
                )
                if stale
                else "",
            )
        )
    missing, stated = _statements([*(ALWAYS if statements else ()), *wanted], dossier, statements)
    return Governance(
        frameworks=tuple(shown),
        missing=tuple(missing),
        stated=tuple(stated),
        anchors={c.id: c.anchor for f in shown for c in f.controls},
        unknown=tuple(prose(c) for c in sorted(cited - known)),
    )


def _day(dossier: Dossier, verdict: Verdict | None) -> dt.date:
    """The day from which age counts: that of the judgement, else that of the evidence, so that bytes stay the same."""
    for text in (verdict.judged_on if verdict else "", dossier.manifest.circumstances.created):
        try:
            return dt.datetime.fromisoformat(text).date()
        except ValueError:
            continue
    return dt.date.min


def _ordered(found: Sequence[Resolved]) -> list[Resolved]:
    order = list(WORDS)
    return sorted(found, key=lambda r: order.index(r.state))


def _tally(found: Sequence[Resolved]) -> str:
    states = [r.state for r in found]
    counts = ((states.count(state), state) for state in WORDS)
    return " · ".join(_counted_state(state, n) for n, state in counts if n)


def _counted_state(state: State, n: int) -> str:
    return {
        "broken": n_("{count} measured and broken", "{count} measured and broken", n),
        "inconclusive": n_("{count} inconclusive", "{count} inconclusive", n),
        "needs": n_("{count} needs a statement", "{count} need a statement", n),
        "kept": n_("{count} measured and kept", "{count} measured and kept", n),
        "stated": n_("{count} statement supplied", "{count} statements supplied", n),
    }[state]


def _control(r: Resolved, framework: str, rules: dict[int, ShownRule], day: dt.date) -> ShownControl:
    control = r.control
    name = f"{framework}/{control.id}"
    links = [
        Link(rules[i].anchor, rules[i].title, MARKS[rules[i].outcome], rules[i].outcome) for i in r.rules
    ]
    audits: dict[str, list[str]] = {}
    for metric in r.measured:
        audits.setdefault(metric.partition(".")[0], []).append(_name(metric))
    links += [Link(f"audit-{audit}", apart(names)) for audit, names in audits.items()]
    links += [Link(f"statement-{s}", spoken(QUESTIONS[s].title), "✎", "waived") for s in r.stated]
    links += [Link(f"statement-{s}", spoken(QUESTIONS[s].title), "?", "inconclusive") for s in r.missing]
    source = say(
        "{status}, {day}, more than a year ago: {source}"
        if control.stale(day)
        else "{status}, {day}: {source}",
        status=spoken(control.status),
        day=control.as_of,
        source=spoken(control.source),
    )
    return ShownControl(
        anchor=f"control-{framework}-{control.id}",
        id=name,
        state=r.state,
        look=_LOOKS[r.state],
        mark=_MARKS[r.state],
        word=spoken(WORDS[r.state]),
        title=spoken(control.title),
        asks=spoken(control.asks),
        why=sentence(spoken(r.why)),
        links=tuple(links),
        unmeasured=tuple(_name(m) for m in r.unmeasured),
        source=source,
    )


def _name(metric: str) -> str:
    """A metric in words, its labels left open."""
    said = re.sub(r"\{.*?\}", "…", name_of(metric, {}))
    return said or metric


def _statements(
    wanted: Iterable[str], dossier: Dossier, statements: Statements | None
) -> tuple[list[ShownStatement], list[ShownStatement]]:
    """Those that are missing, and those that were given."""
    given = statements.statements if statements else {}
    missing, stated = [], []
    for name in dict.fromkeys([*wanted, *sorted(given)]):
        question, anchor = QUESTIONS[name], f"statement-{name}"
        if name in given:
            one = given[name]
            who = f"{prose(one.by)}, {prose(one.date)}"
            title, asks = spoken(question.title), spoken(question.asks)
            stated.append(ShownStatement(anchor, title, asks, spoken(prose(one.says)), who))
            continue
        noted = spoken(prose(dossier.manifest.evidence.facts.get(name, "")))
        says = say("audit.yaml says, without a name and a date: {noted}", noted=noted) if noted else ""
        missing.append(ShownStatement(anchor, spoken(question.title), spoken(question.asks), says, ""))
    return missing, stated
