"""`rai audit --baseline`: what changed against the model that runs today, from the command line to the verdict."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rai_bigmodel import api, cli
from rai_bigmodel.subjects.of_onnx import of_onnx

MODEL = Path(__file__).parents[1] / "reports" / "samples" / "demo" / "model.onnx"
AUDIT = """
subject: {table: new.csv, score: p}
data: {file: new.csv, truth: y, sensitive: [g], id: id}
audits: {performance: {}, fairness: {}}
"""


def _written(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as out:
        write = csv.DictWriter(out, list(rows[0]))
        write.writeheader()
        write.writerows(rows)


def _read(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(name="here")
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scores of a new and an old model for the same rows; the columns that the sample's model reads are there too."""
    r = np.random.default_rng(4)
    features = of_onnx(MODEL).card["features"]
    rows = []
    for i in range(400):
        y = int(r.integers(2))
        row = {"id": f"r{i}", "g": str(r.choice(["a", "b"])), "y": y}
        row |= {"p": round(float(np.clip(0.5 + 0.5 * (y - 0.5) + r.normal(0, 0.2), 0, 1)), 4)}
        rows.append(row | {f: round(float(r.normal()), 3) for f in features})
    old = [
        row | {"p": round(float(np.clip(row["p"] + r.normal(0, 0.2) - 0.1 * (row["g"] == "b"), 0, 1)), 4)}
        for row in rows
    ]
    _written(tmp_path / "new.csv", rows)
    _written(tmp_path / "old.csv", old)
    random.Random(1).shuffle(old)  # noqa: S311 - an order, no secret
    _written(tmp_path / "shuffled.csv", old)
    (tmp_path / "audit.yaml").write_text(AUDIT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PREDICTIONS = ["audit", "--predictions", "new.csv", "--truth", "y", "--score", "p", "--sensitive", "g"]


def _changes(out: str) -> dict[str, Any]:
    return {
        m.metric: m
        for e in api.load(out).evidence
        for m in e.measurements
        if m.labels.get("against") == "baseline" and not {"group", "class"} & set(m.labels)
    }


def _policy(here: Path, limit: float) -> str:
    path = here / "policy.yaml"
    path.write_text(
        "name: ratchet\nrules:\n  - {metric: performance.accuracy, where: {against: baseline}, "
        f"at_least: {limit}, because: no worse than today}}\n"
    )
    return str(path)


def test_a_table_is_paired_with_a_table_in_the_same_order_or_by_ids(here: Path) -> None:
    """The same changes either way; the baseline stands in the manifest by the digest of its file."""
    assert cli._run([*PREDICTIONS, "--baseline", "old.csv", "--out", "one"]) == 0
    assert cli._run([*PREDICTIONS, "--id", "id", "--baseline", "shuffled.csv", "--out", "two"]) == 0
    one, two = _changes("one"), _changes("two")
    manifest = api.load("one").manifest.evidence

    assert one["performance.accuracy"].value > 0.05
    assert one["performance.accuracy"].interval.low > 0
    assert one["performance.accuracy"] == two["performance.accuracy"]
    assert one["fairness.demographic_parity_difference"] == two["fairness.demographic_parity_difference"]
    assert {s.role for s in manifest.subjects} == {"primary", "baseline"}
    assert set(manifest.configuration) == {"baseline"}


def test_a_ratchet_is_judged_on_the_change(here: Path) -> None:
    """No worse than a point is kept, ten points better is not, and no baseline leaves it undecided."""
    assert cli._run([*PREDICTIONS, "--baseline", "old.csv", "--out", "out"]) == 0
    assert cli._run([*PREDICTIONS, "--out", "alone"]) == 0

    assert cli._run(["gate", "out", "--policy", _policy(here, -0.01)]) == 0
    assert cli._run(["gate", "out", "--policy", _policy(here, 0.3)]) == 1
    assert cli._run(["gate", "alone", "--policy", _policy(here, -0.01)]) == 3


def test_what_was_paired_is_not_overridden_by_another_run(here: Path) -> None:
    """`gate --baseline DIR` adds unpaired changes only where nothing was paired."""
    assert cli._run([*PREDICTIONS, "--baseline", "old.csv", "--out", "out"]) == 0
    before, policy = api.load("out"), api.read_policy(_policy(here, -0.01))
    verdict = api.judge(before, policy, baseline="out")

    assert verdict.rulings[0].measurement is not None
    assert "pairing" not in verdict.rulings[0].measurement.labels
    assert verdict.rulings[0].measurement.interval.method == "tango"


@pytest.mark.parametrize("asked", ["file", "relatives", "model"])
def test_an_audit_file_and_a_model_have_a_baseline_too(here: Path, asked: str) -> None:
    """On the command line or under relatives; an ONNX file beside a table, and a table beside an ONNX file."""
    if asked == "model":
        call = ["audit", "--model", str(MODEL), "--data", "new.csv", "--truth", "y", "--sensitive", "g"]
        call += ["--baseline", "old.csv", "--score", "p"]
    elif asked == "file":
        call = ["audit", "audit.yaml", "--baseline", str(MODEL)]
    else:
        (here / "audit.yaml").write_text(f"{AUDIT}relatives: {{baseline: {{table: old.csv, score: p}}}}\n")
        call = ["audit", "audit.yaml"]

    assert cli._run([*call, "--out", "out"]) == 0
    changes = _changes("out")

    assert changes["performance.roc_auc"].interval.method == "paired delong"
    assert (
        changes["performance.accuracy"].value < 0
        if asked == "model"
        else changes["performance.accuracy"].value > 0
    )


def test_decisions_alone_are_compared_as_decisions(here: Path) -> None:
    """Accuracy has a change, ranking has none and says why."""
    rows = _read(here / "new.csv")
    _written(here / "decided.csv", [{"y": r["y"], "d": int(float(r["p"]) >= 0.6)} for r in rows])
    call = ["audit", "audit.yaml", "--baseline", "decided.csv", "--prediction", "d", "--out", "out"]
    (here / "audit.yaml").write_text(AUDIT.replace(", id: id", ""))

    assert cli._run(call) == 0
    changes = _changes("out")

    assert changes["performance.accuracy"].value is not None
    assert changes["performance.roc_auc"].value is None
    assert "only decisions" in changes["performance.roc_auc"].why


@pytest.mark.parametrize(
    ("change", "call", "message"),
    [
        (
            "fewer",
            PREDICTIONS,
            "old.csv: has 399 rows, and new.csv has 400; a baseline answers about the same rows",
        ),
        ("order", PREDICTIONS, "'y' differs from that of new.csv in"),
        ("ids", [*PREDICTIONS, "--id", "id"], "1 rows of new.csv are not there, the first has 'id' r0"),
        ("twice", [*PREDICTIONS, "--id", "id"], "'id' does not tell rows apart"),
        ("score", PREDICTIONS, "'p' is not there"),
        ("gone", PREDICTIONS, "old.csv: no such file"),
        ("nothing named", ["audit", "audit.yaml"], "--prediction or --score names what it answers"),
        ("twice named", ["audit", "audit.yaml", "--score", "p"], "a baseline is named twice"),
    ],
)
def test_a_baseline_of_other_rows_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], change: str, call: list[str], message: str
) -> None:
    """One line, exit 2, nothing written."""
    rows = _read(here / "old.csv")
    if change == "fewer":
        rows = rows[:-1]
    elif change == "order":
        rows = rows[1:] + rows[:1]
    elif change == "ids":
        rows[0]["id"] = "x"
    elif change == "twice":
        rows[0]["id"] = "r1"
    elif change == "score":
        rows = [{k: v for k, v in row.items() if k != "p"} for row in rows]
    elif change == "twice named":
        (here / "audit.yaml").write_text(f"{AUDIT}relatives: {{baseline: {{table: old.csv, score: p}}}}\n")
    _written(here / "old.csv", rows)
    if change == "gone":
        (here / "old.csv").unlink()

    assert cli._run([*call, "--baseline", "old.csv", "--out", "out"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1 or "Usage" in said
    assert not (here / "out" / "manifest.json").exists()


def test_audits_beside_a_baseline_that_no_file_names_cannot_be_repeated(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`verify --rerun` says what would be right instead of calling the evidence forged."""
    assert cli._run(["audit", "audit.yaml", "--baseline", "old.csv", "--score", "p"]) == 0
    assert cli._run(["verify", ".", "--rerun"]) == 2
    assert "put it under relatives" in capsys.readouterr().err
    (here / "audit.yaml").write_text(f"{AUDIT}relatives: {{baseline: {{table: old.csv, score: p}}}}\n")
    assert cli._run(["audit", "audit.yaml"]) == 0
    assert cli._run(["verify", ".", "--rerun"]) == 0
