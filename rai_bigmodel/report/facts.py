"""How are a dossier's own things called on the page: its audits, rows, decisions, digests and runs?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.report.language import _, counted, number, rows_said, say, spoken
from rai_bigmodel.report.phrases import N_, named, prose

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Decision
    from rai_bigmodel.rules import Verdict

_SHORT = 12


class Fact(NamedTuple):
    """A fact of the page: its name, its words, and a digest where it has one."""

    name: str
    words: str
    code: str = ""


_AUDITS = {
    "performance": N_("performance"),
    "calibration": N_("calibration"),
    "fairness": N_("fairness"),
    "slices": N_("slices"),
    "explainability": N_("explainability"),
    "privacy": N_("privacy"),
    "robustness": N_("robustness"),
    "language": N_("language"),
    "deployment": N_("deployment"),
    "data": N_("data"),
    "sustainability": N_("sustainability"),
}
"""The audits of ours in the order of the page, each with its name."""

ORDER = tuple(_AUDITS)


def audit_name(audit: str) -> str:
    """The name of an audit of ours in the language of the page; a plugin's is its own."""
    return _(_AUDITS[audit]) if audit in _AUDITS else prose(audit).replace("_", " ")


def short(digest: str) -> str:
    """A digest one can recognise at a glance; the whole of it stands at the end of the page."""
    kind, colon, digits = digest.partition(":")
    return prose(f"{kind}{colon}{digits[:_SHORT]}…") if len(digits) > _SHORT else prose(digest)


def rows_of(rows: int, name: str) -> str:
    """``796 rows of loanapp held-out``."""
    return say("{rows} of {name}", rows=rows_said(rows), name=data_name(name))


_PARTS = {
    "train": N_("{name} train"),
    "calibrate": N_("{name} calibrate"),
    "held-out": N_("{name} held-out"),
}


def data_name(name: str) -> str:
    """The name of some rows: which part of the data they are is said in the language of the page."""
    whole, _space, part = named(name).rpartition(" ")
    return say(_PARTS[part], name=whole) if whole and part in _PARTS else spoken(named(name))


def decision_words(decision: Decision | None) -> str:
    """How a score becomes a decision."""
    if decision is None:
        return _("not stated")
    if decision.kind == "argmax":
        return _("the label with the largest score")
    if decision.threshold is None:
        # Recorded in a table; or a subject that predicts, rebuilds or writes, and decides nothing.
        if len(decision.labels) > 2:
            return say("one of {count} labels, as recorded", count=counted(len(decision.labels)))
        label = named(decision.positive)
        return say("the label {label} where it is recorded", label=label) if decision.positive else _("none")
    at = number(decision.threshold)
    return say("the label {label} at a score of {score} or more", label=named(decision.positive), score=at)


def runs_said(verdict: Verdict | None) -> str:
    """Which run of this policy on these rows it is, where runs are counted."""
    if verdict is None or verdict.attempts is None:
        return _("runs on these rows are not counted")
    return spoken(verdict.attempts.words)
