"""What does a policy say in words, which of its rules can never be decided, and how does one begin?

Nothing here judges. `doubts` reads how wide intervals are with the rows at hand and says which values could pass or
fail at all; `starter` writes a policy to be edited, with today's numbers beside every limit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple

from rai_bigmodel.better import HIGHER, LOWER
from rai_bigmodel.controls import catalogue
from rai_bigmodel.report.digits import interval_words
from rai_bigmodel.report.phrases import KNOWN, phrase, prose, rule_title
from rai_bigmodel.rules import Limit, Rule
from rai_bigmodel.undecided import hint, nearest
from rai_bigmodel.words import exact, number, percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.rules import Policy

Domain = Literal["general", "lending", "employment"]


class Doubt(NamedTuple):
    """Why a rule can hardly be what its author meant; `never` where it can never be decided."""

    rule: str
    words: str
    never: bool


def explained(policy: Policy) -> list[str]:
    """A policy read aloud: a sentence on how it is judged, then one a rule with its reason."""
    sure = percent(policy.confidence)
    head = (
        f"{prose(policy.name)}: {plural(len(policy.rules), 'rule')} at {sure} confidence. A rule passes when its "
        "one-sided bound keeps the limit, fails when Holm's step-down over the policy rejects, and is inconclusive "
        "otherwise."
    )
    return [head, *(_aloud(i, rule) for i, rule in enumerate(policy.rules, 1))]


def _aloud(place: int, rule: Rule) -> str:
    more = []
    if rule.severity == "warn":
        more.append("only warns")
    if rule.when_inconclusive == "warn":
        more.append("may stay inconclusive")
    if rule.judge == "value":
        more.append("is judged by the value itself")
    if not rule.waivable:
        more.append("cannot be waived")
    added = f" It {', '.join(more)}." if more else ""
    return f"{place}. {prose(rule_title(rule))}.{added} Why: {prose(rule.because)}"


# --- what can never be decided -----------------------------------------------------------------------


def doubts(policy: Policy, dossier: Dossier | None = None) -> list[Doubt]:
    """What is odd about each rule: by what its metric can be at all, and by the rows at hand."""
    out: list[Doubt] = []
    for i, rule in enumerate(policy.rules, 1):
        name = rule.id or f"rule {i}"
        out += [Doubt(name, words, never=False) for words in _of_controls(rule)]
        for limit in rule.limits:
            out += [Doubt(name, words, never) for words, never in _of_limit(limit)]
            if dossier is None and limit.metric.endswith("_p") and not _takes_p(limit, rule):
                out.append(Doubt(name, f"{limit.metric}: {_P_VALUE}", never=True))
            if dossier is not None:
                out += [Doubt(name, w, n) for w, n in _of_rows(limit, rule, policy, dossier)]
    unwritten = sum(rule.because.strip().upper().startswith("TODO") for rule in policy.rules)
    if unwritten:
        out.append(
            Doubt(policy.name, f"{plural(unwritten, 'reason')} still to be written (TODO)", never=False)
        )
    return out


def _of_controls(rule: Rule) -> Iterator[str]:
    for control in rule.control:
        if control not in catalogue.ids():
            near = " or ".join(repr(name) for name in catalogue.nearest(control))
            hint = f"; did you mean {near}?" if near else " (rai controls lists it)"
            yield f"the control {control!r} is not in the catalogue{hint}"


_P_VALUE = "a p-value can only be judged with judge: value and at_least"


def _takes_p(limit: Limit, rule: Rule) -> bool:
    return rule.judge == "value" and limit.at_least is not None


def _of_limit(limit: Limit) -> Iterator[tuple[str, bool]]:
    ours = [name for name in KNOWN if name.partition(".")[0] == limit.metric.partition(".")[0]]
    if ours and limit.metric not in ours:
        near = nearest(limit.metric, ours)
        meant = f"; did you mean {near!r}?" if near else ""
        yield f"{limit.metric} is measured by no audit of this package{meant}", False
    short = limit.metric.rpartition(".")[2]
    if short in (LOWER if limit.at_least is not None else HIGHER):
        way, asked, meant = (
            ("less", "at least", "at_most") if limit.at_least is not None else ("more", "at most", "at_least")
        )
        words = f"of {limit.metric} {way} is better, and {asked} {exact(limit.value)} is asked; did you mean {meant}?"
        yield words, False
    best, worst = _ends(limit)
    at = exact(limit.value)
    if limit.keeps(worst):
        yield f"{limit.metric} can never break {at}: its worst possible value is {number(worst)}", False
    if limit.breaks(best):
        yield f"{limit.metric} can never keep {at}: its best possible value is {number(best)}", False


def _ends(limit: Limit) -> tuple[float | None, float | None]:
    """The best and the worst that can be measured; a change against a baseline spans the range both ways."""
    words = phrase(limit.metric)
    least, most = words.least, words.most
    if "against" in limit.where:
        span = None if least is None or most is None else most - least
        least, most = (None if span is None else -span), span
    return (least, most) if limit.at_most is not None else (most, least)


def _of_rows(limit: Limit, rule: Rule, policy: Policy, dossier: Dossier) -> Iterator[tuple[str, bool]]:
    found = [
        m
        for evidence in dossier.evidence
        if evidence.subject.role == rule.role
        for m in evidence.measurements
        if limit.matches(m)
    ]
    if not found:
        there = [m for e in dossier.evidence if e.subject.role == rule.role for m in e.measurements]
        meant = hint(limit, there)
        nothing = f"nothing in this evidence matches {limit.metric}{_labels(limit)}"
        yield f"{nothing}. {meant}" if meant else nothing, True
    for m in found:
        of = "".join(f" {v}" for k, v in sorted(m.labels.items()) if k not in {"scope", "high", "low"})
        yield from ((f"{m.metric}{of}: {words}", never) for words, never in _of_one(limit, rule, policy, m))


def _of_one(limit: Limit, rule: Rule, policy: Policy, m: Measurement) -> Iterator[tuple[str, bool]]:
    if m.value is None:
        yield f"not measured: {m.why}", True
    elif m.kind == "p_value" and not _takes_p(limit, rule):
        yield _P_VALUE, True
    elif m.origin == "declared" and rule.accept != "declared":
        yield "it is only declared; it can fail, and pass only with accept: declared", False
    elif m.kind == "bound":
        yield "a bound of this kind can show that the limit is broken, never that it is kept", False
    elif m.kind == "estimate" and rule.judge == "interval":
        yield from _of_width(limit, policy, m)
    if m.value is not None and m.excluded > rule.excluded_at_most:
        left, most = percent(m.excluded), percent(rule.excluded_at_most)
        yield f"{left} of the rows are left out of it, more than {most}, so it cannot pass", False


def _of_width(limit: Limit, policy: Policy, m: Measurement) -> Iterator[tuple[str, bool]]:
    rung = m.interval.rung(policy.alpha) if m.interval else None
    if rung is None or m.value is None:
        yield "it has no interval at this confidence, so nothing can be proved", True
        return
    upper = limit.at_most is not None
    keep, other = rung[4 if upper else 3], rung[1 if upper else 2]
    sign = 1.0 if upper else -1.0
    best, worst = _ends(limit)
    passes_from = None if keep is None else limit.value - (keep - m.value)
    fails_from = None if other is None else limit.value + (m.value - other)
    cannot_pass = passes_from is None or (best is not None and sign * (best - passes_from) > 0)
    cannot_fail = fails_from is None or (worst is not None and sign * (fails_from - worst) > 0)
    side, beyond = ("at most", "above") if upper else ("at least", "below")
    rows = f"with intervals as wide as with these {m.n:,} rows" if m.n else "with intervals as wide as these"
    if cannot_pass and cannot_fail:
        yield f"{rows} it can never be decided: more rows are needed", True
    elif cannot_pass:
        yield f"{rows} it can fail and never pass: more rows are needed", False
    elif cannot_fail:
        yield f"{rows} it passes where the value is {side} {number(passes_from)} and can never fail", False
    elif best is not None and phrase(m.metric).most is not None and passes_from is not None:
        room = abs(passes_from - best) / max(abs(limit.value - best), 1e-12)
        if room < 0.25:
            where = f"the value is {side} {number(passes_from)}, and fails only {beyond} {number(fails_from)}"
            yield f"{rows} it passes only where {where}", False


def _labels(limit: Limit) -> str:
    return f" with {', '.join(f'{k}: {v}' for k, v in limit.where.items())}" if limit.where else ""


# --- a beginning -----------------------------------------------------------------------------------


class _Start(NamedTuple):
    metric: str
    limit: str
    value: float
    because: str
    severity: str = "fail"
    only: tuple[Domain, ...] = ("general", "lending", "employment")
    of: Literal["decisions", "numbers", "labels", "either"] = "either"

    def limited(self, where: dict[str, str]) -> Limit:
        """Its limit, as a rule has it."""
        keeps = {self.limit: float(self.value)}
        return Limit(
            metric=self.metric,
            where=dict(where),
            at_most=keeps.get("at_most"),
            at_least=keeps.get("at_least"),
        )


_STARTS = (
    _Start("performance.roc_auc", "at_least", 0.7, "TODO: why a model that ranks worse is of no use."),
    _Start("performance.r2", "at_least", 0.3, "TODO: why one that explains less is of no use.", of="numbers"),
    _Start("performance.balanced_accuracy", "at_least", 0.6, "TODO: what the decision is worth."),
    _Start("calibration.ece_debiased", "at_most", 0.05, "TODO: who reads the scores as probabilities."),
    _Start(
        "fairness.mean_error_difference",
        "at_most",
        1,
        "TODO: how far off on average, in units of the outcome, may one group be and not another?",
        of="numbers",
    ),
    _Start(
        "fairness.equal_opportunity_difference",
        "at_most",
        0.1,
        "TODO: is the label to be trusted?",
        of="labels",
    ),
    _Start("fairness.demographic_parity_difference", "at_most", 0.1, "TODO: who decided on ten points."),
    _Start(
        "fairness.demographic_parity_ratio",
        "at_least",
        0.8,
        "TODO: the four-fifths rule of thumb is not law everywhere.",
        only=("lending", "employment"),
    ),
    _Start("fairness.equalized_odds_difference", "at_most", 0.1, "TODO: is the label to be trusted?", "warn"),
    _Start(
        "explainability.completeness_gap", "at_most", 0.05, "TODO: who is told reasons.", "warn", ("lending",)
    ),
    _Start("privacy.epsilon_spent", "at_most", 4, "TODO: what the data owner was promised."),
    _Start(
        "deployment.decision_flip_rate",
        "at_most",
        0.005,
        "TODO: what ships decides as what was audited.",
        of="decisions",
    ),
    _Start(
        "data.leak_auc",
        "at_most",
        0.98,
        "TODO: a feature that tells the outcome by itself is the outcome.",
        of="decisions",
    ),
    _Start(
        "data.train_test_overlap", "at_most", 0, "TODO: rows seen in training say nothing about new cases."
    ),
)


def starter(dossier: Dossier | None = None, *, domain: Domain = "general") -> str:
    """A policy in YAML to be edited: common rules, and beside each limit what the evidence says today.

    With a dossier only what it measured gets a rule, one for each attribute or variant; what it asked about and could
    not measure stands there as a comment, because such a rule leaves every verdict undecided.
    """
    lines = [
        "# A beginning, not advice: every limit and every reason is yours to choose and to defend.",
        "# Choose limits before looking at numbers; a limit fitted to a result proves nothing.",
        f"name: {domain}-v1",
        "confidence: 0.95",
        "rules:",
    ]
    found = [m for e in (dossier.evidence if dossier else ()) for m in e.measurements]
    measured = {m.metric for m in found if m.value is not None}
    of_labels = any(m.metric.startswith("fairness.") and "class" in m.labels for m in found)
    kind = "numbers" if "performance.mae" in measured else "labels" if of_labels else "decisions"
    kinds = {"either", kind, *(["decisions"] if of_labels else [])}
    written: list[tuple[list[str], bool]] = []
    for start in _STARTS:
        if domain in start.only and start.of in kinds:
            for where, today in _today(start, dossier, by_label=of_labels):
                written.append((_written(start, where, today.words), today.aside))
    aside = not all(left_out for _, left_out in written)
    for rule, left_out in written:
        lines += [f"  # {line.removeprefix('  ')}" if line and left_out and aside else line for line in rule]
    return "\n".join(lines) + "\n"


class _Today(NamedTuple):
    """What the evidence says of a rule, and whether the rule stands aside as a comment."""

    words: str
    aside: bool


def _today(start: _Start, dossier: Dossier | None, *, by_label: bool) -> list[tuple[dict[str, str], _Today]]:
    """The labels that tell its measurements apart, and what they say today.

    Args:
        by_label: the subject decides between several labels; what is measured for each of them alone is named for the
            one that is worst, and stands aside, for nobody but the reader knows which of them matter.
    """
    if dossier is None:
        return [({}, _Today("", aside=False))]
    limit = start.limited({})
    found: dict[tuple[tuple[str, str], ...], list[Measurement]] = {}
    for evidence in dossier.evidence:
        for m in evidence.measurements if evidence.subject.role == "primary" else ():
            label = m.labels.get("class", "") if by_label else ""
            if (start.limited({"class": label}) if label else limit).matches(m):
                labels = tuple((k, m.labels[k]) for k in ("attribute", "variant") if k in m.labels)
                found.setdefault(labels, []).append(m)
    return [_said(limit, dict(labels), several) for labels, several in found.items()]


def _said(limit: Limit, labels: dict[str, str], several: list[Measurement]) -> tuple[dict[str, str], _Today]:
    """Of several numbers that one rule speaks of, the one that decides it: what is worst, and what is not there."""
    whole = [m for m in several if "class" not in m.labels or m.labels["class"] == "macro"]
    known = [m for m in whole if m.value is not None]
    if not known and (known := [m for m in several if m.value is not None and m not in whole]):
        worst = _worst(limit, known)
        one = {**labels, "class": worst.labels["class"]}
        return one, _Today(f"{_seen(worst)}; the worst of {plural(len(known), 'label')}", aside=True)
    if not known:
        return labels, _Today(prose(f"not measured: {several[0].why}"), aside=True)
    worst = _worst(limit, known)
    more = [f"the worst of {len(known):,}"] if len(known) > 1 else []
    more += [f"{len(whole) - len(known):,} not measured"] if len(whole) > len(known) else []
    where = {**labels, **({"class": "macro"} if "class" in worst.labels else {})}
    return where, _Today("; ".join([_seen(worst), *more]), aside=False)


def _worst(limit: Limit, several: list[Measurement]) -> Measurement:
    sign = 1.0 if limit.at_most is not None else -1.0
    return max(several, key=lambda m: sign * (m.value or 0.0))


def _seen(m: Measurement) -> str:
    told = [f"{k} {v}" for k, v in m.labels.items() if k in {"feature", "group"}]
    of = f" ({prose(', '.join(told))})" if told else ""
    if m.interval is None:
        return f"today {number(m.value)}{of}"
    ends = interval_words(m.interval.low, m.interval.high)
    return f"today {number(m.value)}{of}, {ends} with {percent(m.interval.level)} confidence"


def _written(start: _Start, where: dict[str, str], today: str) -> list[str]:
    # JSON strings are YAML strings, whatever a name from the data holds.
    name = ".".join([start.metric.partition(".")[2], *where.values()])
    lines = ["", f"  - id: {json.dumps(name)}", f"    metric: {start.metric}"]
    if where:
        lines.append(f"    where: {json.dumps(where)}")
    lines.append(f"    {start.limit}: {start.value:g}{f'   # {today}' if today else ''}")
    if start.severity == "warn":
        lines.append("    severity: warn")
    lines.append(f"    because: {json.dumps(start.because)}")
    return lines
