"""How does a code-scanning page read a verdict? As SARIF 2.1.0 (OASIS): one result a rule.

A rule that fails has the level ``error``, a warning that fails ``warning``; a rule that passes is of kind ``pass``
and an inconclusive one of kind ``open``, which by the standard carry the level ``none``. A waived rule keeps its
result, suppressed with the waiver's reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rai_bigmodel import files
from rai_bigmodel.report.outputs import Told, told

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Verdict

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(verdict: Verdict, dossier: Dossier) -> bytes:
    """The verdict as one SARIF log in UTF-8; the same bytes every time."""
    rules = told(verdict, dossier)
    name, _, version = dossier.manifest.tool.partition(" ")
    primary = dossier.manifest.primary
    run = {
        "tool": {
            "driver": {
                "name": name,
                **({"version": version} if version else {}),
                "rules": [_descriptor(rule) for rule in rules],
            }
        },
        "invocations": [{"executionSuccessful": True, "exitCode": verdict.exit_code}],
        "results": [
            _result(rule, i, subject=primary.digest if primary else "") for i, rule in enumerate(rules)
        ],
        "properties": {
            "headline": verdict.headline,
            "outcome": verdict.outcome,
            "policy": verdict.policy.digest,
            "manifest": dossier.manifest.digest,
        },
    }
    return files.canonical_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _descriptor(rule: Told) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.metric,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.because},
        "defaultConfiguration": {"level": "warning" if rule.warning else "error"},
        "properties": {"tags": list(rule.control)},
    }


def _result(rule: Told, index: int, *, subject: str) -> dict[str, Any]:
    kind = {"pass": "pass", "inconclusive": "open"}.get(rule.outcome, "fail")
    level = "none" if kind != "fail" else "warning" if rule.warning else "error"
    out: dict[str, Any] = {
        "ruleId": rule.id,
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": {"text": f"{rule.title}: {rule.word}. {rule.words}"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": rule.evidence}}}],
        "partialFingerprints": {
            "ruleAndSubject/v1": files.digest(f"{rule.id}\0{subject}".encode()).removeprefix("sha256:")
        },
    }
    if rule.outcome == "waived":
        # Without a status it counts as accepted, in the standard and in its drafts, which named the key otherwise.
        out["suppressions"] = [{"kind": "external", "justification": rule.waived_because}]
    return out
