"""What a stopped audit found is taken up, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel import cli
from rai_bigmodel.audits import data, performance

AUDIT = """
subject: {table: scored.csv, score: p}
data: {file: scored.csv, truth: y, sensitive: [g]}
audits: {performance: {}, fairness: {}, data: {}}
seed: 3
"""


@pytest.fixture
def asked(tmp_path):
    rng = np.random.default_rng(5)
    score = rng.random(400).round(3)
    rows = [
        f"{p},{int(rng.random() < p)},{g}" for p, g in zip(score, rng.choice(list("ab"), 400), strict=True)
    ]
    (tmp_path / "scored.csv").write_text("\n".join(["p,y,g", *rows, ""]))
    path = tmp_path / "audit.yaml"
    path.write_text(AUDIT)
    return path


def _stopped(asked, out, monkeypatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data.Data, "__call__", stop)
    assert cli._run(["audit", str(asked), "--out", str(out)]) == 130
    monkeypatch.undo()


def test_a_stopped_audit_looks_unfinished_and_resumes_to_the_same_run(tmp_path, asked, monkeypatch) -> None:
    """Two audits are taken up, the third is run; evidence and run are those of an audit that was never stopped."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert cli._run(["audit", str(asked), "--out", str(whole)]) == 0
    _stopped(asked, out, monkeypatch)
    left = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert left == ["unfinished/asked", "unfinished/fairness.json", "unfinished/performance.json"]
    assert cli._run(["gate", str(out), "--policy", "policy.yaml"]) == 2

    def again(*_: object) -> None:
        msg = "this audit had been finished"
        raise AssertionError(msg)

    monkeypatch.setattr(performance.Performance, "__call__", again)
    assert cli._run(["audit", str(asked), "--out", str(out), "--resume"]) == 0
    assert not (out / "unfinished").exists()
    names = sorted(p.name for p in (whole / "evidence").iterdir())
    assert sorted(p.name for p in (out / "evidence").iterdir()) == names
    assert all((out / "evidence" / n).read_bytes() == (whole / "evidence" / n).read_bytes() for n in names)


@pytest.mark.parametrize("changed", ["audit.yaml", "scored.csv"])
def test_pieces_of_something_else_are_not_taken_up(tmp_path, asked, monkeypatch, capsys, changed) -> None:
    """Another configuration or other rows since: one line, exit 2, and nothing is overwritten."""
    out = tmp_path / "out"
    _stopped(asked, out, monkeypatch)
    text = (tmp_path / changed).read_text()
    (tmp_path / changed).write_text(
        text.replace("seed: 3", "seed: 4") if changed == "audit.yaml" else text + "0.5,1,a\n"
    )
    capsys.readouterr()

    assert cli._run(["audit", str(asked), "--out", str(out), "--resume"]) == 2
    assert "begin anew without --resume" in capsys.readouterr().err
    assert (out / "unfinished" / "performance.json").exists()


def test_without_a_stopped_audit_there_is_nothing_to_resume(tmp_path, asked, capsys) -> None:
    """--resume after a finished audit, or none at all, is a mistake and is said; it goes with AUDIT.yaml alone."""
    assert cli._run(["audit", str(asked), "--out", str(tmp_path / "out"), "--resume"]) == 2
    assert "no stopped audit to resume" in capsys.readouterr().err
    table = [
        "--predictions",
        str(tmp_path / "scored.csv"),
        "--truth",
        "y",
        "--score",
        "p",
        "--sensitive",
        "g",
    ]
    assert cli._run(["audit", *table, "--out", str(tmp_path / "out"), "--resume"]) == 2
    assert "--resume goes with AUDIT.yaml" in capsys.readouterr().err


def test_an_audit_that_broke_is_tried_again(tmp_path, asked, monkeypatch) -> None:
    """A piece with a failure is not kept: the reason may be gone by the next run."""
    out = tmp_path / "out"

    def broken(*_: object) -> None:
        msg = "the roof came down"
        raise RuntimeError(msg)

    monkeypatch.setattr(performance.Performance, "__call__", broken)
    _stopped(asked, out, monkeypatch)

    assert not (out / "unfinished" / "performance.json").exists()
    assert (out / "unfinished" / "fairness.json").exists()
    assert cli._run(["audit", str(asked), "--out", str(out), "--resume"]) == 0
    assert '"failure":""' in (out / "evidence" / "performance.json").read_text()


def test_an_audit_that_is_refused_leaves_nothing(tmp_path, asked, capsys) -> None:
    """A parameter that only shows to be wrong while the audits run: exit 2, and no folder."""
    out = tmp_path / "out"
    asked.write_text(AUDIT.replace("fairness: {}", "fairness: {attributes: [nobody]}"))

    assert cli._run(["audit", str(asked), "--out", str(out)]) == 2
    assert "nobody" in capsys.readouterr().err
    assert not out.exists()
