"""Who has waived which rule, for which artefact, until when, and does it count today?

Waivers have a file and an owner of their own, apart from the policy. One turns a rule that fails or is
inconclusive into *waived*: shown with its names and its date, never hidden, and without effect on the verdict.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.rules import Label, Ruling, Waiver, label_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.dossier import Manifest
    from rai_bigmodel.rules import Policy, Rule

LONGEST = 180
"""Days a waiver may reach ahead."""


class Waivers(Record):
    """What ``waivers.yaml`` says."""

    waivers: tuple[Waiver, ...]


def check(waivers: Sequence[Waiver], policy: Policy, *, today: dt.date, where: str = "waivers") -> None:
    """Refuse waivers that cannot be meant.

    Raises:
        InputError: one reaches too far ahead, or speaks of a rule that this policy does not have.
    """
    for i, waiver in enumerate(waivers):
        at = f"{where}: $.waivers[{i}]"
        if (waiver.until - today).days > LONGEST:
            last = today + dt.timedelta(days=LONGEST)
            msg = (
                f"{at}.expires: {waiver.expires} is more than {LONGEST} days ahead; at most {last} is allowed"
            )
            raise InputError(msg)
        if waiver.policy != policy.name or any(_speaks_of(waiver, rule) for rule in policy.rules):
            continue
        if waiver.rule:
            what = f"{at}.rule"
            raise InputError.unknown(what, waiver.rule, [rule.id for rule in policy.rules if rule.id])
        msg = f"{at}: the policy {policy.name!r} has no rule on {waiver.metric}{_labels(waiver.where)}"
        raise InputError(msg)


def waived(
    ruling: Ruling, waivers: Sequence[Waiver], *, policy: Policy, manifest: Manifest, today: dt.date
) -> Ruling:
    """The ruling after waivers: *waived* where one counts, else as it was, with why one does not count."""
    if ruling.outcome not in {"fail", "inconclusive"}:
        return ruling
    about = [w for w in waivers if w.policy == policy.name and _speaks_of(w, ruling.rule)]
    refusals = [(w, _refusal(w, ruling.rule, manifest, today)) for w in about]
    for waiver, refusal in refusals:
        if not refusal:
            words = (
                f"Waived until {waiver.expires} by {waiver.approver} for {waiver.owner}: {waiver.because} "
                f"Without the waiver: {ruling.words}"
            )
            return Ruling(
                rule=ruling.rule,
                outcome="waived",
                measurement=ruling.measurement,
                words=words,
                waiver=waiver,
            )
    if not refusals:
        return ruling
    words = f"{ruling.words} {refusals[0][1]}"
    return Ruling(rule=ruling.rule, outcome=ruling.outcome, measurement=ruling.measurement, words=words)


def _refusal(waiver: Waiver, rule: Rule, manifest: Manifest, today: dt.date) -> str:
    """Why a waiver about this rule does not count; empty when it does."""
    if not rule.waivable:
        return "A waiver was handed in; the policy does not allow this rule to be waived."
    if waiver.until < today:
        return f"Its waiver expired on {waiver.expires}, so the rule counts again."
    read = next((s.digest for s in manifest.evidence.subjects if s.role == rule.role), "")
    if not read or read != waiver.subject:
        return f"Its waiver is for another artefact, {waiver.subject[:19]}…."
    return ""


def _speaks_of(waiver: Waiver, rule: Rule) -> bool:
    if waiver.rule:
        return waiver.rule == rule.id
    return bool(rule.metric) and waiver.metric == rule.metric and _texts(waiver.where) == _texts(rule.where)


def _texts(where: dict[str, Label]) -> dict[str, str]:
    return {key: label_text(value) for key, value in where.items()}


def _labels(where: dict[str, Label]) -> str:
    return f" with {', '.join(f'{k}: {v}' for k, v in _texts(where).items())}" if where else ""
