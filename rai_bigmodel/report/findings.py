"""What did the audits find, the gravest first, and what follows from each? In four short answers.

What it means, how sure it is, what would settle it, what could be tried. Nothing here is a new judgement: a finding is
a rule that is not shown to be kept, an audit that broke, or an explanation that failed its tests. What could be tried
begins with what does not read a sensitive attribute, and never says that groups be treated differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.report import lookalikes
from rai_bigmodel.report.called import OUTCOMES, outcome_word
from rai_bigmodel.report.language import _, apart, percent, say, spoken
from rai_bigmodel.report.phrases import N_, closed, limit_words, named, prose, rule_title
from rai_bigmodel.report.rules import MARKS, failing, limit_of, value_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Policy, Ruling, Verdict


class Finding(NamedTuple):
    """One finding: where it is told in full, its mark and words, and the four answers."""

    anchor: str
    outcome: str
    mark: str
    word: str
    title: str
    means: str
    sure: str
    settles: str
    try_first: str


class _Kind(NamedTuple):
    """What a metric out of its limit means, and what could be tried."""

    means: str
    try_first: str


_ELSEWHERE = N_(
    "First models that never read the attribute: without the features that stand in for it, with simpler settings or "
    "reweighed rows, where the model is trained. Then the label: was it decided unequally?"
)
_GAP = _Kind(
    N_(
        "One group gets the positive decision less often. That says nothing of why, and not yet that it is unjust."
    ),
    N_(
        "First models that never read the attribute: rai mitigate looks for features that stand in for it, tries "
        "simpler settings and reweighed rows, and says what each costs. Then the label: was it decided unequally?"
    ),
)
_ERRORS = _Kind(
    N_(
        "The model is wrong more often for one group, measured against labels that may themselves be unequal."
    ),
    N_(
        "First look at the labels and at how many rows the group has; then try what never reads the attribute."
    ),
)
_RANKED = _Kind(
    N_("The model ranks the cases of one group less well than those of others."),
    N_(
        "First look at the labels and at how many rows the group has; then try what never reads the attribute."
    ),
)
_NUMBERS = _Kind(
    N_(
        "What the model predicts differs between groups, measured against outcomes that may themselves be unequal."
    ),
    N_(
        "First look at the outcomes and at how many rows the group has; then try what never reads the attribute."
    ),
)
_USEFUL = _Kind(
    N_("The model does its own task less well than the policy asks."),
    N_("More rows, other features or longer training; if the simple yardstick does as well, use that one."),
)
_SCORES = _Kind(
    N_("A score cannot be read as a probability."),
    N_("Fit a calibration on the calibration rows, or decide by rank alone."),
)
_SLICE = _Kind(
    N_("The model does worse for some rows than its average tells."),
    N_("Look at the rows of the slice: labels, missing values, how many of them were there to learn from."),
)
_PRIVACY = _Kind(
    N_("Training gives away more about single people than the policy allows."),
    N_(
        "More noise, a smaller sample rate, fewer steps; what was spent cannot be taken back, only trained anew."
    ),
)
_EXPLAINED = _Kind(
    N_("The explanations do not show what the model does."),
    N_(
        "Another method, more steps, another start; until one passes, give nobody a reason that rests on them."
    ),
)
_SHIPPED = _Kind(
    N_("The file that ships is not the model that was audited."),
    N_("Export without reduced precision, or calibrate the variant on more rows, and audit the file again."),
)
_LEAK = _Kind(
    N_("The numbers on this page may be better than they will be in use."),
    N_("Take the column or the rows out, unless they are truly known beforehand, and train again."),
)
_ROWS = _Kind(
    N_("The rows themselves are not what the policy asks for."),
    N_(
        "Look at where they come from: who is not among them, what is missing of whom, how outcomes were recorded."
    ),
)
_OTHER = _Kind(
    N_("What was measured is beyond what the policy allows."),
    N_("Look at the audit below: it says how the number came about."),
)
_BY_METRIC = {
    "fairness.true_positive_rate": _ERRORS,
    "fairness.false_positive_rate": _ERRORS,
    "fairness.false_negative_rate": _ERRORS,
    "fairness.equal_opportunity_difference": _ERRORS,
    "fairness.equalized_odds_difference": _ERRORS,
    "fairness.accuracy_difference": _ERRORS,
    "fairness.accuracy": _ERRORS,
    "fairness.precision": _ERRORS,
    "fairness.roc_auc": _RANKED,
    "fairness.subgroup_auc": _RANKED,
    "fairness.bpsn_auc": _RANKED,
    "fairness.bnsp_auc": _RANKED,
    "fairness.mean_prediction": _NUMBERS,
    "fairness.mean_error_difference": _NUMBERS,
    "fairness.ece_debiased": _SCORES,
    "data.group_share": _ROWS,
    "data.label_rate": _ROWS,
    "data.missing_rate": _ROWS,
    "privacy.accuracy_cost": _ERRORS,
    "privacy.calibration_cost": _ERRORS,
}
_BY_AUDIT = {
    "performance": _USEFUL,
    "calibration": _SCORES,
    "fairness": _GAP,
    "slices": _SLICE,
    "explainability": _EXPLAINED,
    "privacy": _PRIVACY,
    "deployment": _SHIPPED,
    "data": _LEAK,
}


def _kind(metric: str) -> _Kind:
    return _BY_METRIC.get(metric) or _BY_AUDIT.get(metric.partition(".")[0], _OTHER)


def findings(verdict: Verdict | None, dossier: Dossier) -> list[Finding]:
    """What is not shown to be kept, the gravest first; then audits that broke and explanations that failed."""
    found: list[Finding] = []
    if verdict is not None:
        order = [*OUTCOMES]
        wanted = [(i, r) for i, r in enumerate(verdict.rulings, 1) if r.outcome in {"fail", "inconclusive"}]
        wanted.sort(key=lambda x: (x[1].rule.severity == "warn", order.index(x[1].outcome), x[0]))
        found += [_of_ruling(r, f"rule-{i}", verdict.policy, dossier) for i, r in wanted]
    return _once([*found, *_beside(dossier)])


def _once(found: Iterable[Finding]) -> list[Finding]:
    """What could be tried is told with the first finding that calls for it."""
    out: list[Finding] = []
    for finding in found:
        told = any(finding.try_first == before.try_first for before in out)
        out.append(finding._replace(try_first="") if told else finding)
    return out


def _of_ruling(ruling: Ruling, anchor: str, policy: Policy, dossier: Dossier) -> Finding:
    limit, m = limit_of(ruling), ruling.measurement
    kind = _kind(limit.metric)
    unknown = m is None or m.value is None
    if ruling.outcome == "fail":
        means = say("{first} {second}", first=failing(ruling, policy, dossier), second=_(kind.means))
    elif unknown:
        means = closed(spoken(prose(ruling.words)))
    else:
        means = say(
            "Nobody can say yet: {value} was measured, {limit} is asked.",
            value=value_words(m, limit),
            limit=limit_words(limit),
        )
    return Finding(
        anchor=anchor,
        outcome=ruling.outcome,
        mark=MARKS[ruling.outcome],
        word=outcome_word(ruling.outcome),
        title=rule_title(ruling.rule),
        means=means,
        sure=_sure(ruling, policy),
        settles=_("A measurement: there is no number.") if unknown else _settles(ruling, policy),
        try_first="" if unknown or _kept(ruling, policy) else _tries(kind, dossier),
    )


def _tries(kind: _Kind, dossier: Dossier) -> str:
    """What could be tried with this subject: only a run of ours can be trained again by ``rai mitigate``."""
    primary = dossier.manifest.primary
    return _(
        _ELSEWHERE if kind is _GAP and primary is not None and primary.kind != "torch" else kind.try_first
    )


def _sure(ruling: Ruling, policy: Policy) -> str:
    m = ruling.measurement
    if m is None or m.value is None:
        return _("Not at all: nothing was measured.")
    if m.origin == "declared":
        return _("As sure as whoever declared it.")
    if m.kind == "exact":
        return _("Counted, not estimated: there is no chance in it.")
    if ruling.outcome == "fail":
        return say(
            "Beyond chance, also after correction: of models that keep every rule at most {share} would be accused.",
            share=percent(round(1 - policy.confidence, 6)),
        )
    if _kept(ruling, policy):
        return _("The number alone would keep the limit; something else forbids a pass.")
    return _(
        "The interval reaches both sides of the limit, or is beyond it only until corrected for all rules."
    )


def _kept(ruling: Ruling, policy: Policy) -> bool:
    """Whether a rule is open though its bound keeps the limit: rows left out, another subject, evidence too old."""
    m, limit = ruling.measurement, limit_of(ruling)
    rung = m.interval.rung(policy.alpha) if m is not None and m.interval else None
    return rung is not None and limit.keeps(rung[4 if limit.at_most is not None else 3])


def _settles(ruling: Ruling, policy: Policy) -> str:
    """The rows that would decide it, where the judge could tell how many; else what the ruling says."""
    if ruling.outcome == "fail":
        return _("These rows settle it. Other rows, from elsewhere or later, may say otherwise.")
    m, text = ruling.measurement, prose(ruling.words)
    open_for_others = _kept(ruling, policy)
    if (
        m is not None
        and m.excluded > ruling.rule.excluded_at_most
        and (open_for_others or limit_of(ruling).keeps(m.value))
    ):
        return _("Rows of which fewer are left out: groups that are known, and large enough to be compared.")
    if open_for_others:
        return closed(spoken(text))
    at = text.find("About ")
    if at < 0:
        return _("More rows, or a limit that these rows can decide (rai policy check).")
    end = text.find("seems.", at)
    return spoken(text[at : end + 6] if end > 0 else text[at:])


def _open(
    anchor: str, title: str, *, word: str, means: str, sure: str, settles: str, tries: str = ""
) -> Finding:
    """A finding that no rule is about; it decides nothing."""
    return Finding(anchor, "inconclusive", MARKS["inconclusive"], word, title, means, sure, settles, tries)


def _look_alike(dossier: Dossier) -> Iterable[Finding]:
    for attribute, same in lookalikes.of_dossier(dossier):
        # Two names that look the same are written out, or nobody could tell them apart here either.
        names = apart([f"{named(name)} ({' '.join(f'U+{ord(c):04X}' for c in name[:12])})" for name in same])
        what = say("Names of {attribute} look alike: {names}", attribute=named(attribute), names=names)
        yield _open(
            "audit-fairness" if attribute else "contents",
            what if attribute else say("Names of columns look alike: {names}", names=names),
            word=_("not judged"),
            means=_(
                "They are counted apart, as their texts differ; if one was meant, its numbers are torn in two."
            ),
            sure=_("Certain that the texts differ; not what was meant."),
            settles=_("Whoever made the data."),
            tries=_("Write them the same before the audit, if one was meant."),
        )


def _beside(dossier: Dossier) -> Iterable[Finding]:
    yield from _look_alike(dossier)
    for evidence in dossier.evidence:
        role = "" if evidence.subject.role == "primary" else f" ({named(evidence.subject.role)})"
        if evidence.failure:
            yield _open(
                f"audit-{evidence.audit}",
                say("The audit {name} broke", name=prose(evidence.audit)) + role,
                word=_("broke"),
                means=_("What it asks was not answered; no rule about it can pass."),
                sure=closed(spoken(prose(evidence.failure))),
                settles=_("Running it again once the cause is mended."),
            )
        for m in evidence.measurements:
            if m.metric == "explainability.faithful" and m.value == 0 and not role:
                yield _open(
                    "audit-explainability",
                    _("The explanation failed its tests"),
                    word=_("not judged"),
                    means=_(_EXPLAINED.means),
                    sure=_("As sure as the battery of tests, whose outcomes stand with it."),
                    settles=_("An explanation that passes."),
                    tries=_(_EXPLAINED.try_first),
                )
