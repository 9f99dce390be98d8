"""What does a reader with ten seconds learn? The verdict in a sentence, what decides it, and how the rules ended."""

from __future__ import annotations

import re
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.report.called import OUTCOMES
from rai_bigmodel.report.language import _, n_
from rai_bigmodel.report.patterns import filled
from rai_bigmodel.report.phrases import prose
from rai_bigmodel.report.rules import MARKS, sentences

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Ruling, Verdict


class Card(NamedTuple):
    """The verdict: what it is, the sentences that matter most, and how many rules ended how."""

    outcome: str
    mark: str
    headline: str
    sentences: tuple[str, ...]
    tally: tuple[tuple[int, str, str], ...]


def card(verdict: Verdict, dossier: Dossier) -> Card:
    """What stands first: the verdict in a sentence, what decides it, and how the rules ended."""
    counting: list[str] = [r.outcome for r in verdict.rulings if r.rule.severity == "fail"]
    tally = [(counting.count(o), _tallied(o, counting.count(o)), o) for o in OUTCOMES]
    warned = sum(r.rule.severity == "warn" and r.outcome != "pass" for r in verdict.rulings)
    if warned:
        tally.append((warned, n_("warning", "warnings", warned), "warned"))
    return Card(
        outcome=verdict.outcome,
        mark=MARKS[verdict.outcome],
        headline=_headline(verdict),
        sentences=tuple(sentences(verdict, dossier)),
        tally=tuple(tally),
    )


def _tallied(outcome: str, count: int) -> str:
    """The word under a number of rules that ended so."""
    return {
        "fail": n_("fails", "fail", count),
        "inconclusive": _("inconclusive"),
        "waived": _("waived"),
        "pass": n_("passes", "pass", count),
    }[outcome]


def _headline(verdict: Verdict) -> str:
    """The verdict in a sentence, as `Verdict.headline`; numbers stay with their words at the end of a line."""
    words = {
        "pass": _("Policy {name} is met: {tally}."),
        "fail": _("Policy {name} is not met: {tally}."),
        "inconclusive": _("Policy {name} is undecided: {tally}."),
    }[verdict.outcome]
    said = filled(words, {"name": prose(verdict.policy.name), "tally": tally_said(verdict.rulings)})
    return re.sub(r"(?<=\d) (?=\w)", "\u00a0", said)


def tally_said(rulings: Iterable[Ruling]) -> str:
    """How many rules ended how: ``1 rule fails, 7 pass, 3 warnings``."""
    found = list(rulings)
    counting: list[str] = [r.outcome for r in found if r.rule.severity == "fail"]
    counts = {o: counting.count(o) for o in OUTCOMES if counting.count(o)}
    parts = [_ended(o, n, first=i == 0) for i, (o, n) in enumerate(counts.items())]
    if warned := sum(r.rule.severity == "warn" and r.outcome != "pass" for r in found):
        parts.append(n_("{count} warning", "{count} warnings", warned))
    tally = _("{tally}, {part}")
    return reduce(lambda a, b: filled(tally, {"tally": a, "part": b}), parts or [_("no rule counts")])


def _ended(outcome: str, count: int, *, first: bool) -> str:
    """``1 fails``; the first says what is counted, ``1 rule fails``."""
    if first:
        return {
            "fail": n_("{count} rule fails", "{count} rules fail", count),
            "inconclusive": n_("{count} rule is inconclusive", "{count} rules are inconclusive", count),
            "waived": n_("{count} rule is waived", "{count} rules are waived", count),
            "pass": n_("{count} rule passes", "{count} rules pass", count),
        }[outcome]
    return {
        "fail": n_("{count} fails", "{count} fail", count),
        "inconclusive": n_("{count} is inconclusive", "{count} are inconclusive", count),
        "waived": n_("{count} is waived", "{count} are waived", count),
        "pass": n_("{count} passes", "{count} pass", count),
    }[outcome]
