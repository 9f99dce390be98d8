"""What do programs and pull requests read of a verdict? One plain row a rule, for every format beside the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel import files
from rai_bigmodel.dossier import file_name
from rai_bigmodel.report.called import OUTCOMES
from rai_bigmodel.report.phrases import prose, rule_title
from rai_bigmodel.report.rules import interval_said, limit_of, value_words

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Outcome, Policy, Rule, Ruling, Verdict


class Told(NamedTuple):
    """One rule as other programs are told it; all text is on one line, with hidden characters made visible."""

    id: str
    metric: str
    title: str
    outcome: Outcome
    word: str
    words: str
    because: str
    warning: bool
    stops: bool
    evidence: str
    control: tuple[str, ...]
    waived_because: str


def told(verdict: Verdict, dossier: Dossier) -> list[Told]:
    """Every rule, in the order of the policy; ids are unique."""
    out: list[Told] = []
    for ruling in verdict.rulings:
        wanted = _id(ruling.rule)
        taken = {one.id for one in out}
        name = next(n for n in (wanted, *(f"{wanted}-{i}" for i in range(2, 10_000))) if n not in taken)
        out.append(_told(ruling, name, verdict.policy, dossier))
    return out


def _told(ruling: Ruling, name: str, policy: Policy, dossier: Dossier) -> Told:
    rule = ruling.rule
    warning = rule.severity == "warn"
    undecided = ruling.outcome == "inconclusive" and rule.when_inconclusive == "block"
    return Told(
        id=name,
        metric=rule.limits[0].metric,
        title=prose(rule_title(rule)),
        outcome=ruling.outcome,
        word=OUTCOMES[ruling.outcome],
        words=prose(f"{_seen(ruling, policy)} {ruling.words}".strip()),
        because=prose(rule.because),
        warning=warning,
        stops=not warning and (ruling.outcome == "fail" or undecided),
        evidence=_file(ruling, dossier),
        control=tuple(prose(c) for c in rule.control),
        waived_because=prose(ruling.waiver.because) if ruling.waiver else "",
    )


def _seen(ruling: Ruling, policy: Policy) -> str:
    """``0.215, 0.13 to 0.31.``, as the page has it; nothing where nothing was measured."""
    m, limit = ruling.measurement, limit_of(ruling)
    if m is None or m.value is None:
        return ""
    said = interval_said(m, policy, limit)
    return f"{value_words(m, limit)}{f', {said}' if said else ''}."


def _id(rule: Rule) -> str:
    """The rule's own id, or one made of what it says."""
    if rule.id:
        return files.slug(rule.id)
    limit = rule.limits[0]
    where = "-".join(f"{k}-{v}" for k, v in sorted(limit.where.items()))
    return files.slug(
        "-".join(part for part in (limit.metric, where, rule.role) if part != "primary" and part)
    )


def _file(ruling: Ruling, dossier: Dossier) -> str:
    """Where in the folder the measurement that decided it stands; the manifest where there is none."""
    for name, evidence in zip(dossier.manifest.names, dossier.evidence, strict=True):
        if evidence.subject.role == ruling.rule.role and ruling.measurement in evidence.measurements:
            return f"evidence/{name}"
    audit = ruling.rule.limits[0].metric.partition(".")[0]
    name = file_name(audit, role=ruling.rule.role)
    return f"evidence/{name}" if name in dossier.manifest.names else "manifest.json"
