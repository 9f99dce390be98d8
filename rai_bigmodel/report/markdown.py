"""What stands in a pull request? The verdict as Markdown: a headline, what stops it or was waived, and every rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rai_bigmodel.report.outputs import Told, told

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Verdict

MARKS = {"fail": "❌", "inconclusive": "❔", "waived": "⏸️", "pass": "✅"}
_ORDER = tuple(MARKS)


def markdown(verdict: Verdict, dossier: Dossier) -> bytes:
    """The verdict as GitHub's Markdown in UTF-8; the same bytes every time."""
    rules = sorted(told(verdict, dossier), key=lambda r: (r.warning, _ORDER.index(r.outcome)))
    primary = dossier.manifest.primary
    lines = [f"## {MARKS[verdict.outcome]} {plain(verdict.headline)}", ""]
    # A waiver is never hidden: who gave it, and until when, stands above what one has to unfold.
    shown = [r for r in rules if r.stops or r.outcome == "waived"]
    told_first = [f"- **{plain(r.title)}**: {plain(r.word)}. {plain(r.words)}" for r in shown]
    lines += [*told_first, ""] if told_first else []
    lines += [
        "<details><summary>All rules</summary>",
        "",
        "| | rule | what was found | why the rule is there |",
        "|---|---|---|---|",
        *(_row(rule) for rule in rules),
        "",
        "</details>",
        "",
    ]
    if primary is not None:
        lines.append(f"Subject {plain(primary.name)}, `{primary.digest or 'no digest'}`; ")
    lines.append(f"run `{dossier.manifest.run}`, policy `{verdict.policy.digest}`.")
    return ("\n".join(lines) + "\n").encode("utf-8")


def _row(rule: Told) -> str:
    warning = " (warning)" if rule.warning else ""
    return (
        f"| {MARKS[rule.outcome]} {rule.word}{warning} | {plain(rule.title)} | {plain(rule.words)} "
        f"| {plain(rule.because)} |"
    )


def plain(text: str) -> str:
    """Text that stays text: no markup, no table cell, no link, no mention of a person or an issue."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|#~&$])", r"\\\1", text)
    # A zero-width space breaks @name, and :// without which no address becomes a link.
    return re.sub(r"@(?=\w)", "@\u200b", escaped).replace("://", ":\u200b//").replace("www.", "www\u200b.")
