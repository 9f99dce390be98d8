"""Do page, model card and ML-BOM show controls and statements as they stand, and nothing where nobody asked?"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import msgspec
import pytest
import report_dossier as made
from click.testing import CliRunner

from rai_bigmodel import api, policy
from rai_bigmodel.cli import cli
from rai_bigmodel.errors import MissingExtra
from rai_bigmodel.report import html
from rai_bigmodel.report.bom import bom
from rai_bigmodel.report.card import card
from rai_bigmodel.rules import Verdict
from rai_bigmodel.statements import About, Statement, Statements
from rai_bigmodel.verify import check

HOSTILE = "<script>alert(1)</script>\u202e|`x`\n# forged"
SAID = Statements(
    frameworks=("sr-26-2",),
    about=About(use=("lending",), jurisdiction=("us", "eu")),
    statements={
        "intended_use": Statement(says="Deciding mortgages.", by="Jane Roe", date="2026-10-02"),
        "owner": Statement(says=HOSTILE, by=HOSTILE, date="2026-10-02"),
    },
)


def governed(*cited: str) -> Any:
    """The dossier of the other tests, judged by its policy, whose first rule alone names these controls."""
    dossier = made.dossier()
    written = made.verdict(dossier).policy
    rules = tuple(msgspec.structs.replace(r, control=() if i else cited) for i, r in enumerate(written.rules))
    changed = msgspec.structs.replace(written, rules=rules)
    return dossier, policy.judge(changed, dossier, today=made.TODAY)


def page(dossier: Any, verdict: Verdict | None, said: Statements | None = None) -> str:
    return html.render(dossier, verdict, statements=said).decode()


def states(text: str) -> dict[str, str]:
    return dict(re.findall(r'data-control="(.*?)" data-state="(.*?)"', text))


def test_where_nobody_asked_the_page_says_nothing_of_frameworks() -> None:
    """No rule names a control and nobody stated anything: no section, no link in the contents."""
    dossier, verdict = governed()
    text = page(dossier, verdict)

    assert 'id="controls"' not in text
    assert 'id="statements"' not in text
    assert "#statement-" not in text


def test_a_framework_that_a_rule_names_is_shown_with_every_control_that_applies() -> None:
    """Collapsed, the weakest first, each linked to rules, audits and statements that are on the page."""
    dossier, verdict = governed("gdpr/25", "eu-ai-act/15-1")
    text = page(dossier, verdict)
    found = states(text)

    assert {"gdpr/22", "gdpr/25", "eu-ai-act/10-2-f"} <= set(found)
    assert not {"eu-ai-act/53-1", "nyc-ll144/impact-ratio"} & set(found)
    assert found["eu-ai-act/10-2-f"] == "broken"
    assert found["eu-ai-act/12"] == "needs"
    assert '<details class="framework" data-framework="gdpr"><summary>' in text
    assert '<a class="control" href="#control-gdpr-25">' in text
    assert "Left out, because" in text
    links = set(re.findall(r'href="#(.*?)"', text))
    assert links <= set(re.findall(r'id="(.*?)"', text))


def test_every_anchor_of_the_page_stands_once() -> None:
    """Two frameworks that need one statement link to the same question."""
    dossier, verdict = governed("gdpr/25", "eu-ai-act/15-1", "lending/hmda", "model-cards/ethics")
    anchors = re.findall(r' id="(.*?)"', page(dossier, verdict, SAID))

    assert len(anchors) == len(set(anchors))


def test_statements_are_shown_with_name_and_date_and_what_is_missing_comes_first() -> None:
    """What audit.yaml says is told, and is no statement: it has no name and no date."""
    dossier, verdict = governed()
    text = page(dossier, verdict, SAID)

    assert text.index("Missing (") < text.index("Stated (")
    assert re.search(r'id="statement-tier" data-missing', text)
    assert re.search(r'id="statement-intended_use">.*Deciding mortgages\..*Jane Roe, 2026-10-02', text)
    assert "audit.yaml says, without a name and a date: what the lender decided" in text
    assert states(text)["sr-26-2/inventory"] == "needs"
    assert SAID.digest in text


def test_what_people_wrote_is_shown_and_never_run() -> None:
    """Markup, a bidirectional control and a line break in a statement stay text, on the page and in the card."""
    dossier, verdict = governed()
    text = page(dossier, verdict, SAID)
    written = card(dossier, verdict, statements=SAID).decode()

    assert "<script" not in text
    assert "&lt;script&gt;" in text
    for one in (text, written):
        assert "\u202e" not in one
    assert "\\<script\\>" in written
    assert not re.search(r"^# forged", written, re.M)


def test_a_control_outside_the_catalogue_is_said_and_escaped() -> None:
    """The page names it; it does not vanish."""
    dossier, verdict = governed("ours/<7>")

    assert "not in the catalogue: ours/&lt;7&gt;." in page(dossier, verdict)


def test_old_entries_are_called_old_from_the_day_of_the_verdict() -> None:
    """The day is that of the judgement, so the same evidence gives the same page next year."""
    dossier, verdict = governed("gdpr/25")
    later = msgspec.structs.replace(verdict, judged_on="2027-12-22")

    assert "more than a year" not in page(dossier, verdict)
    assert "3 of 3 entries were last looked at more than a year before 22 December 2027." in page(
        dossier, later
    )
    assert page(dossier, verdict) == page(dossier, verdict)


def test_nothing_on_the_page_claims_compliance_or_counts_a_percentage() -> None:
    """Evidence is relevant to a text; it shows no more."""
    dossier, verdict = governed("gdpr/25", "eu-ai-act/15-1")
    text = page(dossier, verdict, SAID)
    section = re.sub(r"<.*?>", "", text[text.index('id="controls"') : text.index('id="statements"')])

    assert set(re.findall(r"\S+ \S+ compl(?:y|ies|iant)\b", section)) == {"that it complies"}
    assert not re.search(r"\d\s*%", section.replace("2 %", "", 1))


def test_verify_renders_with_the_statements_beside_the_evidence(tmp_path) -> None:
    """A page with statements holds while they lie there unchanged, and not when one was changed."""
    run, said = tmp_path / "run", tmp_path / "run" / "statements.yaml"
    api.save(made.dossier(), run)
    said.write_text("statements: {owner: {says: A person., by: B, date: 2026-10-01}}")
    done = CliRunner().invoke(
        cli, ["report", str(run), "--card", str(tmp_path / "c.md")], standalone_mode=False
    )
    before = check(run)
    said.write_text(said.read_text().replace("A person", "Nobody"))

    assert done.exception is None
    assert b"A person." in (run / "report.html").read_bytes()
    assert "A person" in (tmp_path / "c.md").read_text()
    assert before.holds, before.checks
    assert not check(run).holds


# --- model card ------------------------------------------------------------------------------------

SECTIONS = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
]


def test_the_card_has_the_nine_sections_and_says_what_is_missing() -> None:
    """In the order of the paper; what nobody stated is not filled in."""
    dossier, verdict = governed()
    text = card(dossier, verdict, statements=SAID).decode()

    assert re.findall(r"^## (.*)$", text, re.M) == SECTIONS
    assert "- **Intended use**: Deciding mortgages. (Jane Roe, 2026-10-02)" in text
    assert "- **Prohibited use**: *missing*." in text
    assert "**Intersection race\\*sex: each group" in text
    assert card(dossier, verdict, statements=SAID).decode() == text


def test_every_number_of_the_cards_tables_is_in_the_evidence() -> None:
    """A changed measurement changes the card, and a card of nothing has no table."""
    dossier, _ = governed()
    text = card(dossier).decode()
    numbers = [m.value for e in dossier.evidence for m in e.measurements if m.value is not None]
    cells = [float(x) for x in re.findall(r"\| (-?\d\.\d+) \(", text)]

    assert len(cells) > 20
    assert [c for c in cells if not any(abs(c - n) < 0.0006 for n in numbers)] == []
    assert "not judged" in text


# --- ML-BOM -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> Any:
    """The schema of CycloneDX 1.6 as the library ships it."""
    with pytest.MonkeyPatch.context() as patch:
        # Its grammars take ten seconds to import and check the form of international addresses; a BOM of ours has none.
        patch.setitem(sys.modules, "rfc3987_syntax", None)
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    return JsonStrictValidator(SchemaVersion.V1_6)


@pytest.mark.parametrize("case", ["governed", "unjudged", "hostile", "without a verdict, with statements"])
def test_the_bom_is_valid_cyclonedx_1_6_and_the_same_every_time(case: str, validator: Any) -> None:
    """Whatever names the data have."""
    dossier, verdict = governed()
    given = {
        "governed": (dossier, verdict, SAID),
        "unjudged": (dossier, None, None),
        "hostile": (made.hostile(), None, None),
        "without a verdict, with statements": (dossier, None, SAID),
    }[case]
    text = bom(given[0], given[1], statements=given[2]).decode()

    assert validator.validate_str(text) is None
    assert bom(given[0], given[1], statements=given[2]).decode() == text


def test_a_broken_bom_is_not_valid(validator: Any) -> None:
    """The validator does look at the model card."""
    written = json.loads(bom(governed()[0]))
    written["metadata"]["component"]["modelCard"]["compliance"] = "100 %"

    assert validator.validate_str(json.dumps(written)) is not None


def test_the_bom_holds_model_data_versions_and_every_number_of_the_primary() -> None:
    """Values as the evidence has them, digits and all; relatives and timings stay out."""
    dossier, verdict = governed()
    written = json.loads(bom(dossier, verdict, statements=SAID))
    model = written["metadata"]["component"]
    found = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    numbers = [
        (m.metric, repr(m.value))
        for e in dossier.evidence
        if e.subject.role == "primary"
        for m in e.measurements
        if m.value is not None and m.kind != "clock"
    ]

    assert (written["specVersion"], model["type"], model["name"]) == (
        "1.6",
        "machine-learning-model",
        "loan-mlp",
    )
    assert [(one["type"], one["value"]) for one in found] == numbers
    assert {c["type"] for c in written["components"]} == {"data", "library"}
    assert {"name": "rai:missing-statement", "value": "tier"} in model["modelCard"]["properties"]
    assert model["modelCard"]["considerations"]["useCases"] == ["Deciding mortgages. (Jane Roe, 2026-10-02)"]
    assert any(
        f["groupAtRisk"] == "race: Black" for f in model["modelCard"]["considerations"]["fairnessAssessments"]
    )
    assert "hashes" not in model  # a network's digest is not that of a file's bytes


def test_without_the_library_the_extra_is_named_and_nothing_is_written(monkeypatch, tmp_path) -> None:
    """One line; the card beside it is not written either."""
    monkeypatch.setitem(sys.modules, "cyclonedx.model.bom", None)

    with pytest.raises(MissingExtra, match=r"rai_bigmodel\[bom\]"):
        api.write_documents(governed()[0], card=tmp_path / "card.md", bom=tmp_path / "bom.json")
    assert list(tmp_path.iterdir()) == []


def test_an_onnx_file_is_named_by_the_digest_of_its_bytes() -> None:
    """There the digest is that of a file, so that other tools can compare it."""
    dossier, _ = governed()
    primary = msgspec.structs.replace(dossier.manifest.primary, kind="onnx")
    produced = msgspec.structs.replace(dossier.manifest.evidence, subjects=(primary,))
    manifest = msgspec.structs.replace(dossier.manifest, evidence=produced)
    written = json.loads(bom(msgspec.structs.replace(dossier, manifest=manifest)))

    assert written["metadata"]["component"]["hashes"] == [
        {"alg": "SHA-256", "content": primary.digest.removeprefix("sha256:")}
    ]
