"""Where does a control stand? What was measured and judged, and what people stated; never a percentage.

A control that rests on both is as good as its weaker half: a broken rule is not mended by a statement, and a kept
one does not replace a statement that is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rai_bigmodel.controls.catalogue import Control, Framework
from rai_bigmodel.evidence import Record
from rai_bigmodel.statements import About

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Rule, Verdict
    from rai_bigmodel.statements import Statements

State = Literal["broken", "inconclusive", "needs", "kept", "stated"]

WORDS: dict[State, str] = {
    "broken": "measured and broken",
    "inconclusive": "inconclusive",
    "needs": "needs a statement",
    "kept": "measured and kept",
    "stated": "statement supplied",
}
"""How each state is called; the order is that of the page."""


class Resolved(Record):
    """One control, and what there is on it.

    Args:
        why: what decides the state, in words.
        rules: the rules that speak of it, by their place in the policy, from 0.
        measured, unmeasured: of its metrics, those that the primary subject has a number for, and the others.
        stated, missing: of its statements, those that were supplied, and the others.
    """

    control: Control
    state: State
    why: str
    rules: tuple[int, ...] = ()
    measured: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    stated: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def resolve(
    control: Control,
    dossier: Dossier,
    *,
    framework: str,
    verdict: Verdict | None = None,
    statements: Statements | None = None,
) -> Resolved:
    """Where one control stands.

    A rule speaks of a control when it names it, or is about one of its metrics: a rule that fails is not left out
    because another one names the control.
    """
    numbers = {
        m.metric
        for evidence in dossier.evidence
        if evidence.subject.role == "primary"
        for m in evidence.measurements
        if m.value is not None
    }
    name = f"{framework}/{control.id}"
    rulings = verdict.rulings if verdict else ()
    about = [(i, r) for i, r in enumerate(rulings) if speaks_of(r.rule, name, control)]
    given = statements.statements if statements else {}
    missing = tuple(s for s in control.statements if s not in given)
    state: State
    outcomes = [r.outcome for _, r in about]
    if "fail" in outcomes:
        state, why = "broken", "a rule about it fails"
    elif "inconclusive" in outcomes or "waived" in outcomes:
        state = "inconclusive"
        why = "a rule about it is inconclusive" if "inconclusive" in outcomes else "a rule about it is waived"
    elif control.evidence and not outcomes:
        state = "inconclusive"
        none = "nothing relevant was measured" if not numbers & set(control.evidence) else ""
        held = "no rule holds it against a limit" if verdict else "nothing was judged"
        why = none or f"measured; {held}"
    elif missing:
        state, why = "needs", "only people can answer this"
    elif outcomes:
        state, why = "kept", "every rule about it passes"
    else:
        state, why = "stated", "no measurement is relevant to it"
    return Resolved(
        control=control,
        state=state,
        why=why,
        rules=tuple(i for i, _ in about),
        measured=tuple(m for m in control.evidence if m in numbers),
        unmeasured=tuple(m for m in control.evidence if m not in numbers),
        stated=tuple(s for s in control.statements if s in given),
        missing=missing,
    )


def speaks_of(rule: Rule, name: str, control: Control) -> bool:
    """Whether a rule names a control, or is about the primary subject and one of the control's metrics."""
    if name in rule.control:
        return True
    return rule.role == "primary" and any(limit.metric in control.evidence for limit in rule.limits)


def resolved(
    framework: Framework, dossier: Dossier, *, verdict: Verdict | None, statements: Statements | None
) -> tuple[list[Resolved], list[Control]]:
    """A framework's controls with where they stand, and those that are about another sort of model."""
    about = about_model(dossier, statements)
    inside = [c for c in framework.controls if c.applies(about)]
    found = [
        resolve(c, dossier, framework=framework.framework, verdict=verdict, statements=statements)
        for c in inside
    ]
    return found, [c for c in framework.controls if c not in inside]


_OF_LANGUAGE = ("performance.perplexity", "privacy.extractable_rate", "privacy.exposure")


def about_model(dossier: Dossier, statements: Statements | None) -> About:
    """What people said about the model's use; its kind, where nobody did, from what was measured on it."""
    said = statements.about if statements else About()
    if said.model_kind:
        return said
    language = any(
        m.metric in _OF_LANGUAGE or e.audit == "language" for e in dossier.evidence for m in e.measurements
    )
    kind = "generative" if language else "predictive"
    return About(use=said.use, jurisdiction=said.jurisdiction, model_kind=(kind,))
