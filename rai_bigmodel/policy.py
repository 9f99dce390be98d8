"""Is the policy met? Evidence is held against rules: numbers are compared, none is computed.

Two error budgets. A measurement *passes* when its one-sided bound at the policy's confidence keeps the
limit; no correction, because a policy is met only when all its rules pass (intersection–union, Berger
1982). It *fails* when Holm's step-down (Holm 1979) rejects at 1 − confidence over the whole policy, so
that a policy of many rules does not cry wolf. Everything else, and everything unknown, is inconclusive.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal, NamedTuple

from rai_bigmodel.evidence import LADDER, Evidence, Measurement
from rai_bigmodel.rules import AttributeAware, Limit, Outcome, Policy, Rule, Ruling, Verdict
from rai_bigmodel.undecided import rows_to_settle, unmatched
from rai_bigmodel.waivers import check, waived
from rai_bigmodel.words import exact, number, percent, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Attempts, Waiver

__all__ = ["AttributeAware", "Limit", "Policy", "Rule", "Ruling", "Verdict", "judge"]


class _Claim(NamedTuple):
    """One limit against one measurement; `why` is set when nothing can come of it."""

    limit: Limit
    measurement: Measurement | None
    why: str


class _Found(NamedTuple):
    """What one claim came to."""

    outcome: Outcome
    words: str
    measurement: Measurement | None


def judge(
    policy: Policy,
    dossier: Dossier,
    *,
    today: dt.date,
    waivers: Sequence[Waiver] = (),
    subject: str = "",
    attempts: Attempts | None = None,
) -> Verdict:
    """Hold a dossier against a policy.

    Args:
        today: the date from which `max_age_days` counts, and on which waivers must be valid.
        waivers: of this policy or others; those that count turn a fail or an inconclusive into *waived*.
        subject: the digest the primary subject must have (as `Policy.subject`).
        attempts: which run of this policy on these rows this is; null where runs are not counted.

    Raises:
        InputError: a waiver reaches too far ahead, or speaks of a rule that the policy does not have.
    """
    check(waivers, policy, today=today)
    pins = (policy.subject, subject)
    blocked = _blocked(policy, dossier, today=today, pins=pins, attempts=attempts)
    claims = [
        tuple(
            tuple(_claims(limit, rule, policy, dossier, blocked=blocked, pins=pins)) for limit in rule.limits
        )
        for rule in policy.rules
    ]
    rejected = _holm(policy, claims)
    rulings = tuple(
        _any_of(rule, members, policy, alone=rejected[i][0] if rejected[i] else False)
        if rule.any_of
        else _ruling(rule, members[0], policy, rejected[i])
        for i, (rule, members) in enumerate(zip(policy.rules, claims, strict=True))
    )
    # Waived rules stay in Holm's family above: its size may not depend on what became of them.
    rulings = tuple(
        waived(ruling, waivers, policy=policy, manifest=dossier.manifest, today=today) for ruling in rulings
    )
    return Verdict(
        policy=policy,
        rulings=rulings,
        outcome=_verdict(rulings),
        waivers=tuple(waivers),
        attempts=attempts,
        judged_on=today.isoformat(),
        pinned=subject,
    )


def _verdict(rulings: Sequence[Ruling]) -> Literal["pass", "fail", "inconclusive"]:
    counting = [r for r in rulings if r.rule.severity == "fail" and r.outcome != "waived"]
    if any(r.outcome == "fail" for r in counting):
        return "fail"
    if any(r.outcome == "inconclusive" and r.rule.when_inconclusive == "block" for r in counting):
        return "inconclusive"
    return "pass" if any(r.outcome == "pass" for r in counting) else "inconclusive"


def _blocked(
    policy: Policy, dossier: Dossier, *, today: dt.date, pins: Sequence[str], attempts: Attempts | None
) -> str:
    """Why no rule at all can be decided; empty when they can."""
    primary = dossier.manifest.primary
    for pin in pins:
        if pin and (primary is None or not primary.digest):
            return f"The subject has no digest, so it cannot be told whether it is {pin[:19]}…."
        if pin and primary is not None and primary.digest != pin:
            return f"The subject is {primary.digest[:19]}…, not {pin[:19]}… as asked."
    if policy.max_age_days is not None:
        try:
            created = dt.datetime.fromisoformat(dossier.manifest.circumstances.created).date()
        except ValueError:
            return "It is not known when the evidence was made, and the policy limits its age."
        if created > today:
            return f"The evidence is from {created}, which lies ahead of the day it is judged on, {today}."
        if (today - created).days > policy.max_age_days:
            return (
                f"The evidence is from {created}, {plural((today - created).days, 'day')} ago; "
                f"the policy allows {policy.max_age_days}."
            )
    if policy.max_attempts is not None:
        if attempts is None:
            return "The policy limits how often these rows may be used, and runs on them are not counted."
        if attempts.run > policy.max_attempts:
            return f"This is {attempts.words}; the policy allows {policy.max_attempts}, so fresh rows are needed."
    return ""


def _claims(
    limit: Limit, rule: Rule, policy: Policy, dossier: Dossier, *, blocked: str, pins: Sequence[str]
) -> list[_Claim]:
    found = [
        _Claim(limit, m, blocked or _unusable(m, limit, rule, policy, evidence=evidence, pins=pins))
        for evidence in dossier.evidence
        if evidence.subject.role == rule.role
        for m in evidence.measurements
        if limit.matches(m)
    ]
    return found or [_Claim(limit, None, blocked or unmatched(limit, rule, dossier))]


def _unusable(
    m: Measurement, limit: Limit, rule: Rule, policy: Policy, *, evidence: Evidence, pins: Sequence[str]
) -> str:
    # Pins are held against the manifest in _blocked; evidence may speak of another subject than it does.
    if rule.role == "primary" and any(pin and evidence.subject.digest != pin for pin in pins):
        return f"It was measured on another subject ({evidence.subject.name}) than the one asked about."
    if policy.data and evidence.data.digest != policy.data:
        return f"It was measured on other rows ({evidence.data.name}) than the policy names."
    if evidence.failure:
        return f"The audit broke: {evidence.failure}"
    if m.value is None:
        return f"Not measured: {m.why}"
    if m.kind == "p_value" and not (rule.judge == "value" and limit.at_least is not None):
        return "A p-value can only be judged by value and at_least; the rule does not say judge: value."
    return ""


def _at(m: Measurement, alpha: float) -> tuple[float | None, float | None]:
    """The one-sided bounds at `alpha`; without that rung there are none."""
    rung = m.interval.rung(alpha) if m.interval else None
    return (rung[3], rung[4]) if rung else (None, None)


def _keep_bound(limit: Limit, m: Measurement, alpha: float) -> float | None:
    low, high = _at(m, alpha)
    return high if limit.at_most is not None else low


def _by_value(m: Measurement, rule: Rule) -> bool:
    """Whether the number itself is held against the limit, without an error rate."""
    if m.kind == "exact":
        return True
    if m.kind == "clock":
        return m.interval is None or not m.interval.ladder
    return m.kind == "estimate" and rule.judge == "value"


def _p(claim: _Claim, rule: Rule) -> float:
    """The p-value of "the limit is kept": the smallest α whose interval lies wholly beyond the limit."""
    m = claim.measurement
    if claim.why or m is None:
        return 1.0
    if m.kind == "p_value" and m.origin == "measured":
        assert m.value is not None
        return m.value if claim.limit.breaks(m.value) else 1.0
    if _by_value(m, rule) or m.origin == "declared":
        return 0.0 if claim.limit.breaks(m.value) else 1.0
    if m.interval is None:
        return 1.0
    side = 1 if claim.limit.at_most is not None else 2
    return min((rung[0] for rung in m.interval.ladder if claim.limit.breaks(rung[side])), default=1.0)


def _without_error(claim: _Claim, rule: Rule) -> bool:
    """Whether a claim carries no error and stays out of the family, whatever its value turned out to be."""
    m = claim.measurement
    if m is None:
        return False
    return _by_value(m, rule)


def _holm(policy: Policy, claims: Sequence[tuple[tuple[_Claim, ...], ...]]) -> list[list[bool]]:
    """Which claims are rejected: Holm's step-down at 1 − confidence, warnings in a family of their own.

    An ``any_of`` rule is one claim, with the largest of its members' p-values.
    """
    out: list[list[bool]] = []
    families: dict[str, list[tuple[float, int, int]]] = {"fail": [], "warn": []}
    for i, (rule, members) in enumerate(zip(policy.rules, claims, strict=True)):
        if rule.any_of:
            p = max(min(1.0, len(member) * min(_p(c, rule) for c in member)) for member in members)
            free = all(_without_error(c, rule) for member in members for c in member)
            rows = [(p, free)]
        else:
            rows = [(_p(c, rule), _without_error(c, rule)) for c in members[0]]
        out.append([free and p == 0.0 for p, free in rows])
        families[rule.severity] += [(p, i, j) for j, (p, free) in enumerate(rows) if not free]
    for family in families.values():
        for step, (p, i, j) in enumerate(sorted(family)):
            if p > policy.alpha / (len(family) - step) * (1 + 1e-12):
                break
            out[i][j] = True
    return out


def _ruling(rule: Rule, claims: Sequence[_Claim], policy: Policy, rejected: Sequence[bool]) -> Ruling:
    found = [
        _one(claim, rule, policy, alpha=policy.alpha, rejected=no)
        for claim, no in zip(claims, rejected, strict=True)
    ]
    worst = next(o for o in ("fail", "inconclusive", "pass") if any(f.outcome == o for f in found))
    decided = _tightest([f for f in found if f.outcome == worst], claims[0].limit, policy.alpha)
    words = decided.words
    if len(found) > 1:
        n = sum(f.outcome == decided.outcome for f in found)
        words += "" if words.endswith(".") else "."
        words += f" ({n} of {len(found)} measurements {_ENDS[decided.outcome]}.)"
    return Ruling(rule=rule, outcome=decided.outcome, measurement=decided.measurement, words=words)


_ENDS = {"fail": "fail", "inconclusive": "are inconclusive", "pass": "pass", "waived": "are waived"}


def _tightest(found: Sequence[_Found], limit: Limit, alpha: float) -> _Found:
    """The one that decides: furthest beyond the limit, or else the one whose proof comes nearest to it."""
    sign = 1 if limit.at_most is not None else -1

    def reach(f: _Found) -> float:
        m = f.measurement
        if m is None or m.value is None:
            return float("-inf")
        bound = None if f.outcome == "fail" else _keep_bound(limit, m, alpha)
        return sign * (m.value if bound is None else bound)

    return max(found, key=reach)


def _any_of(rule: Rule, members: Sequence[Sequence[_Claim]], policy: Policy, *, alone: bool) -> Ruling:
    share = policy.alpha / len(members)
    alpha = next((a for a in LADDER if a <= share * (1 + 1e-12)), 0.0)  # at 0 there is no rung, so no proof
    best: list[_Found] = []
    p: list[float] = []
    for member in members:
        found = [_one(claim, rule, policy, alpha=alpha, rejected=alone) for claim in member]
        if all(f.outcome == "pass" for f in found):
            first = _tightest(found, member[0].limit, alpha)
            words = f"One of {len(members)} alternatives is kept. {first.words}"
            return Ruling(rule=rule, outcome="pass", measurement=first.measurement, words=words)
        best += [f for f in found if f.outcome != "pass"]
        p += [_p(c, rule) for c, f in zip(member, found, strict=True) if f.outcome != "pass"]
    # Without a fail it is undecided because of the alternative that is furthest from being broken.
    undecided = [i for i, f in enumerate(best) if f.outcome == "inconclusive"]
    broken = next((i for i, f in enumerate(best) if f.outcome == "fail"), 0)
    decided = best[broken if alone or not undecided else max(undecided, key=p.__getitem__)]
    words = (
        f"None of {len(members)} alternatives is {'kept' if alone else 'shown to be kept'}. {decided.words}"
    )
    return Ruling(
        rule=rule, outcome="fail" if alone else "inconclusive", measurement=decided.measurement, words=words
    )


def _one(claim: _Claim, rule: Rule, policy: Policy, *, alpha: float, rejected: bool) -> _Found:
    """One limit against one measurement, in words."""
    limit, m, why = claim
    if m is None or why:
        return _Found("inconclusive", why, m)
    assert m.value is not None
    at = exact(limit.value)
    seen = number(m.value, beside=limit.value)
    sure = percent(1 - alpha)
    if m.origin == "declared":
        return _declared(claim, rule, seen=seen, at=at)
    if _by_value(m, rule):
        asked = "" if m.kind in {"exact", "clock"} else ", by value as the policy asks, without its interval"
        if limit.breaks(m.value):
            return _Found("fail", f"{seen} breaks the limit, {at}{asked}.", m)
        return _may_pass(m, rule, f"{seen} keeps the limit, {at}{asked}.")
    if m.kind == "p_value":
        if limit.keeps(m.value):
            return _may_pass(m, rule, f"No evidence against: p = {seen} is at least {at}.")
        if rejected:
            return _Found("fail", f"p = {seen} is below {at}, also after Holm's correction.", m)
        return _Found("inconclusive", f"p = {seen} is below {at}, but not after Holm's correction.", m)
    bound = _keep_bound(limit, m, alpha)
    if limit.keeps(bound):
        shown = number(bound, beside=limit.value)
        side = f"{'At most' if limit.at_most is not None else 'At least'} {shown}"
        return _may_pass(m, rule, f"{side} with {sure} confidence; the limit is {at}.")
    beyond = "above" if limit.at_most is not None else "below"
    if rejected:
        return _Found(
            "fail", f"The whole interval lies {beyond} the limit, {at}, also after Holm's correction.", m
        )
    if m.interval is None:
        return _Found("inconclusive", f"{seen} has no interval, so nothing is proved. {m.why}".strip(), m)
    p = _p(claim, rule)
    if p <= policy.alpha:
        alone = f"The interval lies {beyond} the limit, {at}, taken alone"
        words = f"{alone}, but not after Holm's correction over the policy."
    elif m.interval.rung(alpha) is None:
        words = f"It has no interval at {sure} confidence, so nothing is proved about the limit, {at}."
    elif bound is None and m.kind == "bound":
        words = f"A bound of this kind can only show that the limit, {at}, is broken; it does not."
    else:
        words = f"The interval contains the limit, {at}."
    return _Found(
        "inconclusive",
        f"{words} {rows_to_settle(limit, m, alpha, excluded_at_most=rule.excluded_at_most)}".strip(),
        m,
    )


def _may_pass(m: Measurement, rule: Rule, words: str) -> _Found:
    """A pass, unless too many rows were left out of it."""
    if m.excluded > rule.excluded_at_most:
        most = rule.excluded_at_most
        left, allowed = percent(m.excluded, beside=most), percent(most, beside=most)
        words = f"{words} But {left} of the rows were left out of it, more than {allowed}."
        return _Found("inconclusive", words, m)
    return _Found("pass", words, m)


def _declared(claim: _Claim, rule: Rule, *, seen: str, at: str) -> _Found:
    limit, m, _ = claim
    assert m is not None
    if limit.breaks(m.value):
        return _Found("fail", f"The declared value, {seen}, breaks the limit, {at}.", m)
    if m.kind == "bound" or rule.accept != "declared":
        return _Found(
            "inconclusive", f"{seen} keeps the limit, {at}, but is only declared: nobody measured it.", m
        )
    return _may_pass(
        m, rule, f"The declared value, {seen}, keeps the limit, {at}; the policy accepts the claim."
    )
