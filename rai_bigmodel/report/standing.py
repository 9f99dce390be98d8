"""Two questions that every reader has: is it better than what is simpler or runs today, and would the verdict change?

Everything is from evidence that is there. Where a relative, a curve or seeds were not given, that is said, with what
to give; an answer that holds without an interval says so.
"""

from __future__ import annotations

import datetime as dt
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.evidence import Curve
from rai_bigmodel.report.called import role_words
from rai_bigmodel.report.digits import even, interval_words
from rai_bigmodel.report.language import _, apart, n_, number, percent, say
from rai_bigmodel.report.phrases import limit_words, name_of, named, rule_title

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.rules import Policy, Verdict

CHALLENGERS = ("reference", "baseline")
STEP = 0.05
_HIGH = ("accuracy", "balanced_accuracy", "roc_auc", "f1_macro", "r2")
_GAPS = ("fairness.demographic_parity_difference", "fairness.mean_error_difference")


class Answer(NamedTuple):
    """One line: what is asked, and what there is to say."""

    asked: str
    said: str


class Standing(NamedTuple):
    """The two sections; `columns` are the subjects beside each other, `rows` a measure with a cell for each."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[tuple[str, str], ...], str], ...]
    lacking: str
    answers: tuple[Answer, ...]


def standing(verdict: Verdict | None, dossier: Dossier) -> Standing:
    """Both sections, in words."""
    roles = [r for r in CHALLENGERS if any(e.subject.role == r for e in dossier.evidence)]
    rows = (*(_beside(dossier, roles) if roles else ()), *_changes(dossier, len(roles)))
    lacking = ""
    if not rows:
        lacking = _(
            "Nothing simpler and nothing that runs today was audited on these rows. A relative of role reference or "
            "baseline in audit.yaml would stand here."
        )
    columns = tuple((role, role_words(role)) for role in ("primary", *roles))
    return Standing(columns, rows, lacking, tuple(_would_it_change(verdict, dossier)))


def _flat(dossier: Dossier, role: str) -> dict[tuple[str, str], Measurement]:
    """What compares: performance of all rows, and the widest gaps by attribute."""
    out: dict[tuple[str, str], Measurement] = {}
    for evidence in dossier.evidence:
        for m in evidence.measurements if evidence.subject.role == role else ():
            keys = set(m.labels) - {"high", "low", "scope"}
            whole = evidence.audit == "performance" and not m.labels
            gap = m.metric in _GAPS and keys == {"attribute"} and m.labels.get("scope") != "all"
            if m.value is not None and m.kind == "estimate" and (whole or gap):
                out.setdefault((m.metric, m.labels.get("attribute", "")), m)
    return out


def _beside(dossier: Dossier, roles: Sequence[str]) -> Iterable[tuple[str, tuple[tuple[str, str], ...], str]]:
    own, others = _flat(dossier, "primary"), [_flat(dossier, role) for role in roles]
    for key, m in own.items():
        found = [other.get(key) for other in others]
        if not any(found):
            continue
        name = name_of(m.metric, m.labels)
        attribute = m.labels.get("attribute")
        named_roles = roles if len(roles) > 1 else ("",)
        told = [
            _told(m, other, role) for other, role in zip(found, named_roles, strict=True) if other is not None
        ]
        yield (
            say("{name}, by {attribute}", name=name, attribute=named(attribute)) if attribute else name,
            tuple(("", "") if x is None else _cell(x) for x in (m, *found)),
            apart(told),
        )


def _changes(dossier: Dossier, others: int) -> Iterable[tuple[str, tuple[tuple[str, str], ...], str]]:
    """What `rai audit --baseline` measured in pairs: the change itself, with its own interval."""
    for evidence in dossier.evidence:
        for m in evidence.measurements if evidence.subject.role == "primary" else ():
            keys = set(m.labels) - {"high", "low", "scope"}
            whole = evidence.audit == "performance" and keys == {"against"}
            gap = m.metric in _GAPS and keys == {"against", "attribute"} and m.labels.get("scope") != "all"
            if m.value is None or m.interval is None or not (whole or gap):
                continue
            name, attribute = name_of(m.metric, m.labels), m.labels.get("attribute")
            name = say("{name}, by {attribute}", name=name, attribute=named(attribute)) if attribute else name
            head = say("{name}: change against {other}", name=name, other=named(m.labels["against"]))
            low, high = m.interval.low, m.interval.high
            shown = low is not None and high is not None and (low > 0 or high < 0)
            rose = low is not None and low > 0
            good = rose == (m.metric.rpartition(".")[2] in _HIGH)
            told = (_("better") if good else _("worse")) if shown else _("none shown")
            yield head, (_cell(m), *((("", ""),) * others)), told


def _cell(m: Measurement) -> tuple[str, str]:
    interval = "" if m.interval is None else interval_words(m.interval.low, m.interval.high)
    return even(m.value or 0.0), interval


def _told(m: Measurement, other: Measurement, role: str) -> str:
    """Whether the two intervals lie apart: careful, because the same rows stand behind both."""
    said = _apart(m, other)
    return say("{role}: {said}", role=named(role), said=said) if role else said


def _apart(m: Measurement, other: Measurement) -> str:
    a, b = m.interval, other.interval
    ends = () if a is None or b is None else (a.low, a.high, b.low, b.high)
    if not ends or None in ends:
        return _("no interval")
    a_low, a_high, b_low, b_high = (end or 0.0 for end in ends)
    if a_low <= b_high and b_low <= a_high:
        return _("none shown")
    larger = a_low > b_high
    return _("better") if larger == (m.metric.rpartition(".")[2] in _HIGH) else _("worse")


# --- would the verdict change? ------------------------------------------------------------------


def _would_it_change(verdict: Verdict | None, dossier: Dossier) -> Iterable[Answer]:
    if verdict is not None:
        yield from _other_confidence(verdict, dossier)
    yield from _other_threshold(verdict, dossier)
    yield from _other_seed(verdict, dossier)


def _other_confidence(verdict: Verdict, dossier: Dossier) -> Iterable[Answer]:
    from msgspec.structs import replace

    from rai_bigmodel.policy import judge

    words = {"pass": _("met"), "fail": _("not met"), "inconclusive": _("undecided")}
    said = []
    for confidence in (0.9, 0.95, 0.99):
        if abs(confidence - verdict.policy.confidence) < 1e-9:
            continue
        # The policy at another confidence has the same rules, so that waivers speak of them as before.
        again = judge(
            replace(verdict.policy, confidence=confidence),
            dossier,
            today=dt.date.fromisoformat(verdict.judged_on) if verdict.judged_on else dt.date.min,
            waivers=verdict.waivers,
            subject=verdict.pinned,
            attempts=verdict.attempts,
        )
        moved = sum(a.outcome != b.outcome for a, b in zip(again.rulings, verdict.rulings, strict=True))
        said.append(
            say(
                "At {confidence} the policy is {outcome}; {moved}.",
                confidence=percent(confidence),
                outcome=words[again.outcome],
                moved=n_("{count} ruling is another", "{count} rulings are others", moved)
                if moved
                else _("every ruling is the same"),
            )
        )
    yield Answer(
        _("At another confidence"), reduce(lambda a, b: say("{first} {second}", first=a, second=b), said)
    )


def _limits(policy: Policy | None, metric: str, attribute: str) -> list[float]:
    """The limits of the primary's rules on a metric and an attribute."""
    rules = policy.rules if policy else ()
    return [
        limit.value
        for rule in rules
        if rule.role == "primary"
        for limit in rule.limits
        if limit.metric == metric and str(limit.where.get("attribute", attribute)) == attribute
    ]


def _other_threshold(verdict: Verdict | None, dossier: Dossier) -> Iterable[Answer]:
    """Read off the curves over the threshold; without intervals, so a direction and no verdict."""
    found = False
    for curve, attribute in _curves(dossier):
        gap = next((x for x in curve.lines if x.label == "widest gap in selection rates"), None)
        if gap is None or curve.mark is None:
            continue
        found = True
        limit = next(iter(_limits(verdict.policy if verdict else None, _GAPS[0], attribute)), None)
        said = []
        for at in (curve.mark - STEP, curve.mark + STEP):
            nearest = min(range(len(gap.x)), key=lambda i: abs(gap.x[i] - at))
            if abs(gap.x[nearest] - at) > STEP / 2 or (0 < curve.mark < 1 and not 0 < at < 1):
                continue  # no threshold lies there, or none at which anything was counted
            value = gap.y[nearest]
            said.append(say("at {at} it is {value}", at=number(round(at, 3)), value=even(value)))
        if not said:
            continue
        here = gap.y[min(range(len(gap.x)), key=lambda i: abs(gap.x[i] - (curve.mark or 0.0)))]
        beside = "" if limit is None else say("; the limit is {limit}", limit=number(limit))
        yield Answer(
            say("With another threshold, by {attribute}", attribute=named(attribute)),
            say(
                "The widest gap in selection rates is {here} now; {moved}{limit} (without intervals).",
                here=even(here),
                moved=apart(said),
                limit=beside,
            ),
        )
    if not found:
        primary = dossier.manifest.primary
        decision = primary.decision if primary else None
        told = _("No threshold decides, so there is none to move.")
        if decision is not None and decision.kind == "threshold" and decision.labels:
            told = _("There is no curve over the threshold: only decisions were given.")
            if decision.threshold is not None:
                told = (
                    _(
                        "There is no curve over the threshold: the fairness audit says what it left out, and why."
                    )
                    if dossier.find("fairness")
                    else _(
                        "There is no curve over the threshold: the fairness audit, which draws it, was not run."
                    )
                )
        yield Answer(_("With another threshold"), told)


def _curves(dossier: Dossier) -> Iterable[tuple[Curve, str]]:
    for evidence in dossier.evidence:
        if evidence.audit != "fairness" or evidence.subject.role != "primary":
            continue
        attributes = {m.labels["attribute"] for m in evidence.measurements if "attribute" in m.labels}
        for exhibit in evidence.exhibits:
            if isinstance(exhibit, Curve) and exhibit.x_axis == "decision threshold":
                attribute = next((a for a in attributes if exhibit.title.endswith(f", by {a}")), "")
                if attribute:
                    yield exhibit, attribute


def _other_seed(verdict: Verdict | None, dossier: Dossier) -> Iterable[Answer]:
    """For every rule on the primary, whether its limit lies between the lowest and the highest of the seeds."""
    spread: dict[tuple[str, frozenset[tuple[str, str]]], dict[str, float]] = {}
    for evidence in dossier.evidence:
        for m in evidence.measurements if evidence.subject.role == "recipe" else ():
            if m.value is not None and "spread" in m.labels:
                key = frozenset((k, v) for k, v in m.labels.items() if k not in {"spread", "high", "low"})
                spread.setdefault((m.metric, key), {})[m.labels["spread"]] = m.value
    if not spread:
        yield Answer(
            _("With another seed"),
            _(
                "Not known: it was trained under one seed (rai train --seeds N gives a relative of role recipe)."
            ),
        )
        return
    hanging, steady = [], 0
    for rule in verdict.policy.rules if verdict else ():
        for limit in rule.limits if rule.role == "primary" else ():
            for (metric, key), ends in spread.items():
                where = {k: str(v) for k, v in limit.where.items()}
                if metric != limit.metric or len(ends) < 2 or not where.items() <= dict(key).items():
                    continue
                if dict(key).get("scope") == "all" and "scope" not in where:
                    continue
                low, high = ends["lowest"], ends["highest"]
                if limit.keeps(low) == limit.keeps(high):
                    steady += 1
                else:
                    hanging.append(
                        say(
                            "{title} ({low} to {high}, {limit} asked)",
                            title=rule_title(rule),
                            low=even(low),
                            high=even(high),
                            limit=limit_words(limit),
                        )
                    )
    if hanging:
        yield Answer(_("With another seed"), say("It hangs on the seed: {rules}.", rules=apart(hanging)))
    else:
        yield Answer(
            _("With another seed"),
            n_(
                "{count} limit lies on the same side of every seed's number.",
                "{count} limits lie on the same side of every seed's number.",
                steady,
            ),
        )
