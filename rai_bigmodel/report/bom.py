"""What does an ML-BOM hold? The model, its data and the versions that made the evidence, as CycloneDX 1.6 JSON.

cyclonedx-python-lib writes the components; it does not know ``modelCard``, so that is put into its JSON here. The
tests hold the whole against the schema of 1.6 that the library ships; here that would cost seconds, nearly all of
them for importing the validator.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from rai_bigmodel import files
from rai_bigmodel.errors import MissingExtra
from rai_bigmodel.report.facts import decision_words
from rai_bigmodel.report.phrases import named, prose, rule_title
from rai_bigmodel.statements import ALWAYS, QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cyclonedx.model.component import Component

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import DataId, Measurement, SubjectId
    from rai_bigmodel.rules import Verdict
    from rai_bigmodel.statements import Statements

MODEL = "model"
PACKAGE = "cyclonedx-python-lib"
FEATURE = "an ML-BOM (--bom)"


def bom(dossier: Dossier, verdict: Verdict | None = None, *, statements: Statements | None = None) -> bytes:
    """A CycloneDX 1.6 bill of materials in JSON; the same bytes every time.

    Raises:
        MissingExtra: cyclonedx-python-lib is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.output.json import JsonV1Dot6
    except ModuleNotFoundError:
        raise MissingExtra(PACKAGE, "bom", FEATURE) from None
    made = Bom(serial_number=_serial(dossier, verdict, statements))
    made.metadata.timestamp = _when(dossier)
    made.metadata.component = _model(dossier)
    made.metadata.tools.components.add(_library("rai_bigmodel", dossier.manifest.tool.rpartition(" ")[2]))
    for data in dossier.manifest.evidence.data:
        made.components.add(_rows(data))
    for name, version in dossier.manifest.evidence.versions.items():
        if name not in {"python", "rai_bigmodel"}:
            made.components.add(_library(name, version))
    made.register_dependency(made.metadata.component, made.components)
    written = json.loads(JsonV1Dot6(made).output_as_string())
    written["metadata"]["component"]["modelCard"] = _card(dossier, verdict, statements)
    return (json.dumps(written, ensure_ascii=False, indent=2) + "\n").encode("utf-8")


def _serial(dossier: Dossier, verdict: Verdict | None, statements: Statements | None) -> uuid.UUID:
    """A number made of what the file says, so that the same evidence gives the same file."""
    judged = files.digest(files.canonical_json(verdict)) if verdict else ""
    return uuid.uuid5(
        uuid.NAMESPACE_URL,
        "\n".join([dossier.manifest.digest, judged, statements.digest if statements else ""]),
    )


def _when(dossier: Dossier) -> dt.datetime:
    try:
        made = dt.datetime.fromisoformat(dossier.manifest.circumstances.created)
    except ValueError:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return made if made.tzinfo else made.replace(tzinfo=dt.UTC)


def _model(dossier: Dossier) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    primary, manifest = dossier.manifest.primary, dossier.manifest
    facts = {
        "rai:run": manifest.run,
        "rai:manifest": manifest.digest,
        "rai:subject": primary.digest if primary else "",
        "rai:kind": prose(primary.kind) if primary else "",
    }
    # Only an ONNX file's digest is that of its bytes; a network's is of weights, architecture and decision.
    of_bytes = (
        primary is not None and primary.kind == "onnx" and re.fullmatch("sha256:[0-9a-f]{64}", primary.digest)
    )
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=named(primary.name) if primary else "a model",
        bom_ref=MODEL,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=primary.digest.removeprefix("sha256:"))]
        if primary and of_bytes
        else [],
        properties=[Property(name=name, value=value) for name, value in facts.items() if value],
    )


def _rows(data: DataId) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        type=ComponentType.DATA,
        name=named(data.name),
        bom_ref=_ref(data),
        properties=[
            Property(name="rai:rows", value=str(data.rows)),
            *([Property(name="rai:digest", value=data.digest)] if data.digest else []),
        ],
    )


def _ref(data: DataId) -> str:
    return f"data:{files.slug(data.name)}:{data.digest.removeprefix('sha256:')[:16]}"


def _library(name: str, version: str) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        type=ComponentType.LIBRARY,
        name=prose(name),
        version=prose(version),
        bom_ref=f"library:{files.slug(name)}",
        purl=PackageURL(type="pypi", name=name.replace("_", "-"), version=version),
    )


# --- the model card of the schema -------------------------------------------------------------------


def _card(dossier: Dossier, verdict: Verdict | None, statements: Statements | None) -> dict[str, Any]:
    found = {
        "bom-ref": "model-card",
        "modelParameters": _parameters(dossier, dossier.manifest.primary),
        "quantitativeAnalysis": {"performanceMetrics": list(_measured(dossier))},
        "considerations": _considerations(dossier, verdict, statements),
        "properties": list(_properties(verdict, statements)),
    }
    return {key: value for key, value in found.items() if value}


def _parameters(dossier: Dossier, primary: SubjectId | None) -> dict[str, Any]:
    found: dict[str, Any] = {"datasets": [{"ref": _ref(d)} for d in dossier.manifest.evidence.data]}
    if primary:
        found["modelArchitecture"] = prose(primary.kind)
        if primary.decision:
            found["task"] = "classification"
            found["outputs"] = [{"format": decision_words(primary.decision)}]
    return found


def _measured(dossier: Dossier) -> Iterator[dict[str, Any]]:
    for evidence in dossier.evidence:
        for m in evidence.measurements if evidence.subject.role == "primary" else ():
            if m.value is not None and m.kind != "clock":
                yield _metric(m)


def _metric(m: Measurement) -> dict[str, Any]:
    out: dict[str, Any] = {"type": m.metric, "value": repr(m.value)}
    if m.labels:
        out["slice"] = ", ".join(f"{prose(key)}={named(value)}" for key, value in sorted(m.labels.items()))
    if m.interval is not None:
        ends = {"lowerBound": m.interval.low, "upperBound": m.interval.high}
        out["confidenceInterval"] = {key: repr(end) for key, end in ends.items() if end is not None}
    return out


def _considerations(
    dossier: Dossier, verdict: Verdict | None, statements: Statements | None
) -> dict[str, Any]:
    given = statements.statements if statements else {}
    said = {name: f"{prose(s.says)} ({prose(s.by)}, {prose(s.date)})" for name, s in given.items()}
    limits = [
        f"Not measured: {prose(k)}: {prose(v)}" for k, v in sorted(dossier.manifest.evidence.not_run.items())
    ]
    limits += [
        f"{QUESTIONS[n].title}: {said[n]}" for n in ("prohibited_use", "population", "caveats") if n in said
    ]
    ethical = [
        {"name": QUESTIONS[n].title, "mitigationStrategy": said[n]}
        for n in ("risk_management", "impact_assessment", "oversight", "human_decision")
        if n in said
    ]
    fairness = [
        {
            "groupAtRisk": _group(r.measurement),
            "harms": f"{prose(rule_title(r.rule))}: {r.outcome}. {prose(r.words)}",
        }
        for r in (verdict.rulings if verdict else ())
        if r.outcome != "pass" and any(limit.metric.startswith("fairness.") for limit in r.rule.limits)
    ]
    found = {
        "useCases": [said["intended_use"]] if "intended_use" in said else [],
        "technicalLimitations": limits,
        "ethicalConsiderations": ethical,
        "fairnessAssessments": fairness,
    }
    return {key: value for key, value in found.items() if value}


def _group(m: Measurement | None) -> str:
    """The group with the lowest rate, and of which attribute."""
    if m is None:
        return "not measured"
    group = m.labels.get("low", m.labels.get("group", ""))
    return f"{named(m.labels.get('attribute', 'groups'))}{f': {named(group)}' if group else ''}"


def _properties(verdict: Verdict | None, statements: Statements | None) -> Iterator[dict[str, str]]:
    yield {"name": "rai:verdict", "value": prose(verdict.headline) if verdict else "not judged"}
    given = statements.statements if statements else {}
    for name in ALWAYS:
        if name not in given:
            yield {"name": "rai:missing-statement", "value": name}
