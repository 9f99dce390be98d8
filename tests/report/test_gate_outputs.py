"""Do other programs read the verdict as it was meant?"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dossiers import SUBJECT, dossier, estimate, exact

from rai_bigmodel import api, files
from rai_bigmodel.cli import cli
from rai_bigmodel.report.junit import junit
from rai_bigmodel.report.markdown import markdown
from rai_bigmodel.report.sarif import sarif
from rai_bigmodel.rules import Policy, Rule, Verdict, Waiver

TODAY = dt.date(2026, 11, 22)
HOSTILE = "<script>alert(1)</script> | a@b `x` [y](http://z) ]]>&#x;\x1b[31m\n[PASS] gate"


def rules() -> tuple[Rule, ...]:
    return (
        Rule(metric="fairness.kept", at_most=0.1, because="One."),
        Rule(id="broken", metric="fairness.broken", at_most=0.1, because=HOSTILE, control=("eu-ai-act/10",)),
        Rule(metric="fairness.near", at_most=0.1, because="Three."),
        Rule(metric="fairness.near", at_most=0.1, because="Four.", when_inconclusive="warn"),
        Rule(metric="fairness.broken", at_most=0.05, because="Five.", severity="warn"),
        Rule(id="excused", metric="fairness.other", at_most=0.1, because="Six."),
        Rule(metric="privacy.epsilon", at_most=1, because="Seven."),
        Rule(metric="fairness.gone", at_most=1, because="Eight."),
    )


@pytest.fixture(name="case")
def a_verdict() -> tuple[Verdict, Any]:
    """Every outcome, as rule and as warning, with hostile text in reasons and labels."""
    sealed = dossier(
        estimate(0.01, metric="fairness.kept"),
        estimate(0.3, metric="fairness.broken", labels={"attribute": HOSTILE + "\ufffe"}),
        estimate(0.1, metric="fairness.near"),
        estimate(0.3, metric="fairness.other"),
        exact(4.0),
    )
    excuse = Waiver(
        policy="p",
        rule="excused",
        subject=SUBJECT.digest,
        owner="A",
        approver="B",
        because="Ticket 1.",
        expires="2026-12-01",
    )
    return api.judge(sealed, Policy(name="p", rules=rules()), waivers=[excuse], today=TODAY), sealed


def test_junit_is_valid_and_counts_what_stops_the_gate(case: Any, tmp_path: Path) -> None:
    """Fails are failures, blocking inconclusive rules errors, warnings and waived rules skipped."""
    import junitparser
    import xmlschema

    verdict, sealed = case
    path = tmp_path / "gate.xml"
    path.write_bytes(junit(verdict, sealed))
    xmlschema.validate(str(path), str(Path(__file__).with_name("junit.xsd")))
    suite = next(iter(junitparser.JUnitXml.fromfile(str(path))))
    kinds = [type(c.result[0]).__name__ if c.result else "" for c in suite]

    assert kinds == ["", "Failure", "Error", "Skipped", "Skipped", "Skipped", "Failure", "Error"]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (8, 2, 2, 3)
    assert len({c.name for c in suite}) == 8


def test_sarif_is_valid_by_the_standards_own_schema(case: Any) -> None:
    """Read back through models generated from the OASIS schema, which refuse unknown keys."""
    from fluidattacks_core import sarif as oasis

    verdict, sealed = case
    content = sarif(verdict, sealed)
    model = next(
        getattr(oasis, name)
        for name in dir(oasis)
        if "runs" in getattr(getattr(oasis, name), "model_fields", {})
    )
    model.model_validate_json(content)
    results = json.loads(content)["runs"][0]["results"]

    assert [(r["kind"], r["level"]) for r in results] == [
        ("pass", "none"),
        ("fail", "error"),
        ("open", "none"),
        ("open", "none"),
        ("fail", "warning"),
        ("fail", "error"),
        ("fail", "error"),
        ("open", "none"),
    ]
    assert results[5]["suppressions"] == [{"justification": "Ticket 1.", "kind": "external"}]
    assert (
        results[1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "evidence/fairness.json"
    )
    assert (
        results[7]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "evidence/fairness.json"
    )


def test_markdown_is_one_table_whose_text_stays_text(case: Any) -> None:
    """Hostile reasons and labels add no row, no markup, no link and no mention."""
    from markdown_it import MarkdownIt

    verdict, sealed = case
    text = markdown(verdict, sealed).decode()
    top = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    tokens = [*top, *(inner for token in top for inner in token.children or ())]
    kinds = [token.type for token in tokens]
    markup = {token.content.strip() for token in tokens if token.type.startswith("html")}

    assert text.startswith("## ❌ Policy p is not met")
    assert kinds.count("tr_open") == 1 + len(verdict.rulings)
    assert kinds.count("td_open") == 4 * len(verdict.rulings)
    assert markup == {"<details><summary>All rules</summary>", "</details>"}
    assert "link_open" not in kinds
    assert "a@b" not in text
    assert "://" not in text


def test_markdown_shows_a_waiver_above_the_fold(case: Any) -> None:
    """Who waived it for whom, and until when, without a click."""
    above = markdown(*case).decode().partition("<details>")[0]

    assert "waived. " in above
    assert "Waived until 2026-12-01 by B for A: Ticket 1." in above
    assert "Kept" not in above


def test_the_outputs_are_the_same_bytes_every_time(case: Any) -> None:
    """Nothing in them comes from the clock."""
    verdict, sealed = case
    for write in (junit, sarif, markdown):
        assert write(verdict, sealed) == write(verdict, sealed)


def test_the_gate_writes_them_beside_its_exit_code(case: Any, tmp_path: Path) -> None:
    """``--junit --sarif --markdown`` each give their file; the exit code is the verdict's."""
    verdict, sealed = case
    api.save(sealed, tmp_path / "run")
    (tmp_path / "policy.yaml").write_bytes(files.canonical_json(verdict.policy))
    call = ["gate", str(tmp_path / "run"), "--policy", str(tmp_path / "policy.yaml")]
    wanted = {kind: tmp_path / "out" / f"gate.{kind}" for kind in ("junit", "sarif", "markdown")}
    for kind, path in wanted.items():
        call += [f"--{kind}", str(path)]
    result = CliRunner().invoke(cli, call, standalone_mode=False)

    assert result.return_value == 1
    assert all(path.stat().st_size > 500 for path in wanted.values())
