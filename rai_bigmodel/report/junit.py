"""How does a build server read a verdict? As JUnit XML: one test suite a policy, one test case a rule.

A rule that fails is a failure. One that is inconclusive and blocks is an error: the test could not be carried
out. Whatever does not stop the gate (warnings, waived rules, an inconclusive rule that only warns) is skipped, with
its words; a build server shows those without turning red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from rai_bigmodel.report.outputs import Told, told

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Verdict


def junit(verdict: Verdict, dossier: Dossier) -> bytes:
    """The verdict as JUnit XML in UTF-8; the same bytes every time."""
    rules = told(verdict, dossier)
    kinds = [_kind(rule) for rule in rules]
    counts = {
        "tests": str(len(rules)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": "rai gate", **counts})
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": f"policy {_xml(verdict.policy.name)}",
            **counts,
            "timestamp": _moment(dossier.manifest.circumstances.created),
        },
    )
    properties = ET.SubElement(suite, "properties")
    primary = dossier.manifest.primary
    for name, value in (
        ("outcome", verdict.outcome),
        ("headline", verdict.headline),
        ("policy", verdict.policy.digest),
        ("manifest", dossier.manifest.digest),
        ("subject", primary.digest if primary else ""),
    ):
        ET.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    for rule, kind in zip(rules, kinds, strict=True):
        case = ET.SubElement(
            suite,
            "testcase",
            {
                "classname": _xml(f"{verdict.policy.name}.{rule.metric}"),
                "name": _xml(f"{rule.id}: {rule.title}"),
                "time": "0",
            },
        )
        if kind == "skipped":
            ET.SubElement(case, kind, {"message": _xml(f"{rule.word}: {rule.words}")})
        elif kind:
            told_why = ET.SubElement(case, kind, {"message": _xml(rule.words), "type": rule.outcome})
            told_why.text = _xml(f"{rule.because} ({rule.evidence})")
        else:
            ET.SubElement(case, "system-out").text = _xml(rule.words)
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8") + b"\n"


def _kind(rule: Told) -> str:
    if rule.stops:
        return "failure" if rule.outcome == "fail" else "error"
    return "" if rule.outcome == "pass" else "skipped"


def _moment(created: str) -> str:
    """The time as JUnit writes it: no zone."""
    return created[:19]


def _xml(text: str) -> str:
    """What XML 1.0 can hold: `visible` has taken the control characters, two code points are left."""
    return "".join(c if c not in "\ufffe\uffff" else "�" for c in text)
