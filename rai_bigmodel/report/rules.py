"""How is one ruling shown? In words, with its number, its interval, its rows and a small picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.report import charts
from rai_bigmodel.report.called import OUTCOMES, outcome_word
from rai_bigmodel.report.digits import interval_words, left_out
from rai_bigmodel.report.language import (
    _,
    counted,
    figure,
    listed,
    n_,
    number,
    rows_said,
    say,
    side_by_side,
    spoken,
)
from rai_bigmodel.report.phrases import closed, limit_words, name_of, named, phrase, prose, rule_title, within

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
        word=outcome_word(ruling.outcome),
        mark=MARKS[ruling.outcome],
        warning=rule.severity == "warn",
        title=rule_title(rule),
        words=closed(spoken(prose(ruling.words))),
        because=spoken(prose(rule.because)),
        control=tuple(prose(c) for c in rule.control),
        value=value_words(m, limit),
        interval=interval_said(m, policy, limit),
        rows=_rows(m, limit, rule.role, dossier),
        picture=_picture(m, policy, limit),
    )


def value_words(m: Measurement | None, limit: Limit) -> str:
    """The measured number with its unit, never written so that it looks equal to a limit it is not."""
    if m is None or m.value is None:
        return _("not measured")
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
        return _("declared, not measured")
    return {
        "exact": _("an exact number"),
        "p_value": _("a p-value"),
        "clock": _("a timing"),
    }.get(m.kind, _("no interval"))


def group_rows(m: Measurement, role: str, dossier: Dossier) -> dict[str, Measurement]:
    """The rates of the two groups that a gap names, by group, where the evidence has them."""
    base = m.labels.get("rate") or phrase(m.metric).base
    audit = m.metric.partition(".")[0]
    names = [m.labels[key] for key in ("high", "low") if key in m.labels]
    found: dict[str, Measurement] = {}
    # A change of a gap, and a gap within strata, are not the distance between two rates of the evidence.
    if not base or {"against", "given"} & m.labels.keys():
        return found
    for evidence in dossier.find(audit, role):
        for other in evidence.measurements:
            # Of several labels each has rates of its own, and of several seeds each end of the spread.
            same = "against" not in other.labels and all(
                other.labels.get(key) == m.labels.get(key) for key in ("attribute", "class", "spread")
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
        out = tuple(f"{named(name)} {counted(rates[name].n or 0)}" for name in names)
    elif len(names) == 2:
        both = side_by_side([named(name) for name in names])
        out = (both,) + ((f"n {counted(m.n)}",) if m.n is not None else ())
    elif m.n is not None:
        out = (f"n {counted(m.n)}",)
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
    out = [failing(r, verdict.policy, dossier) for r in told]
    told += open_[: 1 if fails else 2]
    out += [
        say("Undecided: {title}. {words}", title=rule_title(r.rule), words=closed(spoken(prose(r.words))))
        for r in told[len(out) :]
    ]
    if told:
        left = [len(rs) - sum(r in told for r in rs) for rs in (fails, open_, passes)]
        out += _others(left)
    elif passes:
        out += [_("Every rule that counts is shown to be kept, at the policy's confidence.")]
        out += _nearest(passes, verdict.policy)
    if waived:
        out.append(
            n_(
                "{count} rule is waived and does not count.",
                "{count} rules are waived and do not count.",
                len(waived),
            )
        )
    return out


def _others(left: Sequence[int]) -> list[str]:
    """How the rules ended that no sentence is about: those that fail, are inconclusive, pass."""
    fails, undecided, passes = left
    ends = [
        (fails, n_("{count} fails", "{count} fail", fails)),
        (undecided, n_("{count} is inconclusive", "{count} are inconclusive", undecided)),
        (passes, n_("{count} passes", "{count} pass", passes)),
    ]
    parts = [words for n, words in ends if n]
    if not parts:
        return []
    if len(parts) > 1:
        return [say("Of the other {count} rules, {parts}.", count=counted(sum(left)), parts=listed(parts))]
    if fails:
        return [n_("The other rule fails.", "The other {count} rules fail.", fails)]
    if undecided:
        return [n_("The other rule is inconclusive.", "The other {count} rules are inconclusive.", undecided)]
    return [n_("The other rule passes.", "The other {count} rules pass.", passes)]


def failing(ruling: Ruling, policy: Policy, dossier: Dossier) -> str:
    """By how much a rule is broken, and how far even the cautious end of the interval lies from its limit."""
    m, limit = ruling.measurement, limit_of(ruling)
    if m is None or m.value is None:
        return say("{title}: {words}", title=rule_title(ruling.rule), words=spoken(prose(ruling.words)))
    rates = group_rows(m, ruling.rule.role, dossier)
    ends = ends_at(m, policy)
    end = None if ends is None else ends[0 if limit.at_most is not None else 1]
    if len(rates) == 2 and m.metric.endswith("_difference"):
        (high, a), (low, b) = rates.items()
        if a.value is not None and b.value is not None:
            text = say(
                "By {attribute}, {low} has the lowest {rate}, {least}, and {high} the highest, {most}: "
                "{points} points apart.",
                attribute=named(m.labels.get("attribute", "group")),
                low=named(low),
                rate=within(phrase(a.metric).name),
                least=_percentage(b),
                high=named(high),
                most=_percentage(a),
                points=_points(m.value, limit.value),
            )
            if end is None:
                return text
            more = say(
                "Even the cautious end of the interval is {end} points; the limit is {limit}.",
                end=_points(end, limit.value),
                limit=_points(limit.value),
            )
            return say("{first} {second}", first=text, second=more)
    both = [named(m.labels[key]) for key in ("high", "low") if key in m.labels]
    # The group is told even where the rule names it: this is read where the rule does not stand.
    own = tuple(
        named(m.labels[key]) for key in ("group", "feature") if key in m.labels and key in limit.where
    )
    about = (*own, *_which(m, limit), *((side_by_side(both),) if len(both) == 2 else ()))
    text = say(
        "{name} is {value}; the rule asks for {limit}.",
        name=name_of(m.metric, m.labels) + "".join(f" ({name})" for name in about),
        value=number(m.value, beside=limit.value),
        limit=limit_words(limit),
    )
    if end is None:
        return text
    more = say("Even the cautious end of the interval is {end}.", end=number(end, beside=limit.value))
    return say("{first} {second}", first=text, second=more)


def _percentage(m: Measurement) -> str:
    assert m.value is not None
    share = f"{figure(f'{100 * m.value:.1f}')} %"
    return share if m.n is None else say("{share} ({rows})", share=share, rows=rows_said(m.n))


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
    title, words = rule_title(ruling.rule), spoken(prose(ruling.words))
    return [say("Closest to its limit: {title}. {words}", title=title, words=words)]
