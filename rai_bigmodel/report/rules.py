"""How is one ruling shown? In words, with its number, its interval, its rows and a small picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.report import charts
from rai_bigmodel.report.digits import interval_words, left_out
from rai_bigmodel.report.phrases import OUTCOMES, limit_words, name_of, named, phrase, prose, rule_title
from rai_bigmodel.words import number, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.rules import Limit, Policy, Ruling, Verdict

MARKS = {"fail": "✕", "inconclusive": "◐", "waived": "◇", "pass": "✓"}


class ShownRule(NamedTuple):
    """One rule as the page has it; `picture` is SVG, everything else is text."""

    anchor: str
    metrics: tuple[str, ...]
    audits: tuple[str, ...]
    outcome: str
    word: str
    mark: str
    warning: bool
    title: str
    words: str
    because: str
    control: tuple[str, ...]
    value: str
    interval: str
    rows: tuple[str, ...]
    picture: str


def shown_rules(verdict: Verdict, dossier: Dossier) -> list[ShownRule]:
    """All rules in the order of the page: what fails first, warnings after what counts."""
    order = list(OUTCOMES)
    numbered = list(enumerate(verdict.rulings, 1))
    numbered.sort(key=lambda item: (item[1].rule.severity == "warn", order.index(item[1].outcome), item[0]))
    return [_shown(ruling, f"rule-{i}", verdict.policy, dossier) for i, ruling in numbered]


def _shown(ruling: Ruling, anchor: str, policy: Policy, dossier: Dossier) -> ShownRule:
    rule, m = ruling.rule, ruling.measurement
    metrics = tuple(dict.fromkeys(limit.metric for limit in rule.limits))
    limit = limit_of(ruling)
    return ShownRule(
        anchor=anchor,
        metrics=metrics,
        audits=tuple(dict.fromkeys(metric.partition(".")[0] for metric in metrics)),
        outcome=ruling.outcome,
        word=OUTCOMES[ruling.outcome],
        mark=MARKS[ruling.outcome],
        warning=rule.severity == "warn",
        title=rule_title(rule),
        words=prose(ruling.words),
        because=prose(rule.because),
        control=tuple(prose(c) for c in rule.control),
        value=value_words(m, limit),
        interval=interval_said(m, policy, limit),
        rows=_rows(m, limit, rule.role, dossier),
        picture=_picture(m, policy, limit),
    )


def value_words(m: Measurement | None, limit: Limit) -> str:
    """The measured number with its unit, never written so that it looks equal to a limit it is not."""
    if m is None or m.value is None:
        return "not measured"
    unit = phrase(m.metric).unit
    return number(m.value, beside=limit.value) + (f" {unit}" if unit else "")


def limit_of(ruling: Ruling) -> Limit:
    """The limit that the deciding measurement was held against."""
    m = ruling.measurement
    return next((x for x in ruling.rule.limits if m is not None and x.matches(m)), ruling.rule.limits[0])


def ends_at(m: Measurement, policy: Policy) -> tuple[float | None, float | None] | None:
    """The two-sided interval at the policy's confidence; ``None`` when there is no such interval."""
    rung = m.interval.rung(policy.alpha) if m.interval is not None else None
    return None if rung is None else (rung[1], rung[2])


def _keep(m: Measurement, policy: Policy, limit: Limit) -> float | None:
    rung = m.interval.rung(policy.alpha) if m.interval is not None else None
    return None if rung is None else rung[4 if limit.at_most is not None else 3]


def interval_said(m: Measurement | None, policy: Policy, limit: Limit) -> str:
    """Its interval at the policy's confidence, or what there is in place of one."""
    if m is None or m.value is None:
        return ""
    ends = ends_at(m, policy)
    if ends is not None:
        return interval_words(*ends, beside=limit.value)
    if m.origin == "declared":
        return "declared, not measured"
    return {
        "exact": "an exact number",
        "p_value": "a p-value",
        "clock": "a timing",
    }.get(m.kind, "no interval")


def group_rows(m: Measurement, role: str, dossier: Dossier) -> dict[str, Measurement]:
    """The rates of the two groups that a gap names, by group, where the evidence has them."""
    base = m.labels.get("rate") or phrase(m.metric).base
    audit = m.metric.partition(".")[0]
    names = [m.labels[key] for key in ("high", "low") if key in m.labels]
    found: dict[str, Measurement] = {}
    if not base:
        return found
    for evidence in dossier.find(audit, role):
        for other in evidence.measurements:
            same = (
                other.labels.get("attribute") == m.labels.get("attribute") and "against" not in other.labels
            )
            group = other.labels.get("group", "")
            if other.metric == f"{audit}.{base}" and same and group in names and "group" in other.labels:
                found.setdefault(group, other)
    return {name: found[name] for name in names if name in found}


_ASIDE = {"high", "low", "to", "rate", "scope"}


def _which(m: Measurement, limit: Limit) -> tuple[str, ...]:
    """Which of several measurements this is: the labels that the rule left open."""
    return tuple(named(v) for k, v in m.labels.items() if k not in limit.where and k not in _ASIDE)


def _rows(m: Measurement | None, limit: Limit, role: str, dossier: Dossier) -> tuple[str, ...]:
    if m is None:
        return ()
    rates = group_rows(m, role, dossier)
    names = [m.labels[key] for key in ("high", "low") if key in m.labels]
    out: tuple[str, ...] = ()
    if len(names) == 2 and all(name in rates and rates[name].n is not None for name in names):
        out = tuple(f"{named(name)} {rates[name].n:,}" for name in names)
    elif len(names) == 2:
        out = (f"{named(names[0])} and {named(names[1])}",) + ((f"n {m.n:,}",) if m.n is not None else ())
    elif m.n is not None:
        out = (f"n {m.n:,}",)
    return _which(m, limit) + out + ((left_out(m.excluded),) if m.excluded else ())


def _picture(m: Measurement | None, policy: Policy, limit: Limit) -> str:
    if m is None or m.value is None:
        return ""
    words = phrase(m.metric)
    ends = ends_at(m, policy)
    keep = _keep(m, policy, limit)
    return charts.strip(limit, value=m.value, interval=ends, keep=keep, ends=(words.least, words.most))


# --- the two or three sentences that matter most ------------------------------------------------


def sentences(verdict: Verdict, dossier: Dossier) -> list[str]:
    """What decides the verdict, in plain words, made from the rulings and nothing else."""
    counting = [r for r in verdict.rulings if r.rule.severity == "fail"]
    fails, open_, waived, passes = ([r for r in counting if r.outcome == o] for o in OUTCOMES)
    told = fails[:2]
    out = [_failing(r, verdict.policy, dossier) for r in told]
    told += open_[: 1 if fails else 2]
    out += [f"Undecided: {rule_title(r.rule)}. {prose(r.words)}" for r in told[len(out) :]]
    if told:
        left = [len(rs) - sum(r in told for r in rs) for rs in (fails, open_, passes)]
        out += _others(left)
    elif passes:
        out += ["Every rule that counts is shown to be kept, at the policy's confidence."]
        out += _nearest(passes, verdict.policy)
    if waived:
        count = len(waived)
        out.append(
            f"{plural(count, 'rule')} {'is waived and does' if count == 1 else 'are waived and do'} not count."
        )
    return out


def _others(left: Sequence[int]) -> list[str]:
    """How the rules ended that no sentence is about: those that fail, are inconclusive, pass."""
    one = ("fails", "is inconclusive", "passes")
    many = ("fail", "are inconclusive", "pass")
    ends = [(n, one[i] if n == 1 else many[i]) for i, n in enumerate(left) if n]
    if not ends:
        return []
    if len(ends) == 1:
        n, ending = ends[0]
        return [f"The other rule {ending}." if n == 1 else f"The other {n:,} rules {ending}."]
    parts = [f"{n:,} {ending}" for n, ending in ends]
    return [f"Of the other {sum(left):,} rules, {', '.join(parts[:-1])} and {parts[-1]}."]


def _failing(ruling: Ruling, policy: Policy, dossier: Dossier) -> str:
    m, limit = ruling.measurement, limit_of(ruling)
    if m is None or m.value is None:
        return f"{rule_title(ruling.rule)}: {prose(ruling.words)}"
    rates = group_rows(m, ruling.rule.role, dossier)
    ends = ends_at(m, policy)
    end = None if ends is None else ends[0 if limit.at_most is not None else 1]
    if len(rates) == 2 and m.metric.endswith("_difference"):
        (high, a), (low, b) = rates.items()
        if a.value is not None and b.value is not None:
            what = phrase(a.metric).name.lower()
            text = (
                f"By {named(m.labels.get('attribute', 'group'))}, {named(low)} has the lowest {what}, "
                f"{_percentage(b)}, and {named(high)} the highest, {_percentage(a)}: "
                f"{_points(m.value, limit.value)} points apart."
            )
            if end is None:
                return text
            return (
                f"{text} Even the cautious end of the interval is {_points(end, limit.value)} points; "
                f"the limit is {_points(limit.value)}."
            )
    value = number(m.value, beside=limit.value)
    which = "".join(f" ({name})" for name in _which(m, limit))
    text = f"{name_of(m.metric, m.labels)}{which} is {value}; the rule asks for {limit_words(limit)}."
    if end is None:
        return text
    return f"{text} Even the cautious end of the interval is {number(end, beside=limit.value)}."


def _percentage(m: Measurement) -> str:
    assert m.value is not None
    rows = f" ({plural(m.n, 'row')})" if m.n is not None else ""
    return f"{100 * m.value:.1f} %{rows}"


def _points(value: float, beside: float | None = None) -> str:
    return number(100 * value, beside=None if beside is None else 100 * beside, digits=1)


def _nearest(passing: Sequence[Ruling], policy: Policy) -> list[str]:
    """Which passing rule has least room between what is shown and its limit."""
    rooms = []
    for ruling in passing:
        m, limit = ruling.measurement, limit_of(ruling)
        if m is None or m.value is None or m.kind in {"p_value", "clock"}:
            continue
        bound = _keep(m, policy, limit)
        bound = m.value if bound is None else bound
        rooms.append((abs(limit.value - bound) / max(abs(limit.value), 1e-12), ruling))
    if not rooms:
        return []
    ruling = min(rooms, key=lambda item: item[0])[1]
    return [f"Closest to its limit: {rule_title(ruling.rule)}. {prose(ruling.words)}"]
