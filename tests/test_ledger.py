"""Does every use of some rows leave a line that cannot be taken back quietly?"""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dossiers import ROWS, dossier, estimate

from rai_bigmodel import api, files, ledger
from rai_bigmodel.cli import cli
from rai_bigmodel.dossier import Dossier
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import DataId
from rai_bigmodel.rules import Policy, Rule

POLICY = Policy(name="p", rules=(Rule(metric="fairness.gap", at_most=0.1, because="So."),))


def run(value: float) -> Dossier:
    """One run of many: its number tells it from the others."""
    return dossier(estimate(value))


def gate(folder: Path, policy: Path, *more: str) -> Any:
    return CliRunner().invoke(
        cli, ["gate", str(folder), "--policy", str(policy), *more], standalone_mode=False
    )


@pytest.fixture(name="policy")
def a_policy_file(tmp_path: Path) -> Path:
    """A policy that allows three runs on the same rows."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        "name: p\nmax_attempts: 3\nrules:\n  - {metric: fairness.gap, at_most: 0.1, because: So.}\n"
    )
    return path


def test_the_fourth_run_on_the_same_rows_is_inconclusive_though_it_would_pass(
    tmp_path: Path, policy: Path
) -> None:
    """No green by retry: three models fail, the fourth is good, and fresh rows are needed to say so."""
    codes = []
    for i, value in enumerate((0.3, 0.31, 0.32, 0.01)):
        folder = api.save(run(value), tmp_path / "runs" / str(i))
        api.record(run(value), folder)
        last = gate(folder, policy)
        codes.append(last.return_value)

    assert codes == [1, 1, 1, 3]
    assert "run 4 of this policy on these rows; the policy allows 3" in last.stdout


def test_judging_one_run_again_is_no_new_attempt(tmp_path: Path, policy: Path) -> None:
    """Only another run of audits counts; the page and the terminal say which one it is."""
    folder = api.save(run(0.01), tmp_path / "runs" / "a")
    api.record(run(0.01), folder)
    again = [gate(folder, policy) for _ in range(5)]

    assert [g.return_value for g in again] == [0] * 5
    assert "This is run 1 of this policy on these rows." in again[-1].stderr
    assert "run 1 of this policy on these rows" in _page(folder, policy)


def test_runs_that_were_audited_and_never_judged_are_told(tmp_path: Path, policy: Path) -> None:
    """Looking at many models and judging the best one shows."""
    folder = api.save(run(0.01), tmp_path / "runs" / "best")
    for i in range(6):
        api.record(run(0.01 + i / 1000), tmp_path / "runs" / str(i))

    assert "run 1 of this policy on these rows (6 audits of them in all)" in _page(folder, policy)


def test_other_rows_and_other_policies_are_counted_apart() -> None:
    """A run on fresh rows is the first; so is one of another policy."""
    verdict = api.judge(run(0.3), POLICY)
    line = ledger.Entry(time="", did="gate", run="r", rows=ROWS.digest, subject="", policy="p")
    other_rows = DataId(name="fresh", digest="sha256:" + "f" * 64, rows=10)

    assert verdict.attempts is None
    assert ledger.attempts([line], run(0.3), policy="p").run == 2
    assert ledger.attempts([line], run(0.3), policy="q").run == 1
    assert ledger.rows_of(dossier(estimate(0.1))) != other_rows.digest


def test_without_a_ledger_runs_are_not_counted_and_a_policy_that_counts_is_undecided(
    tmp_path: Path, policy: Path
) -> None:
    """A checkout that forgets cannot prove how often it tried."""
    folder = api.save(run(0.01), tmp_path / "runs" / "a")
    first = gate(folder, policy)

    assert first.return_value == 3
    assert "are not counted" in first.stdout
    assert gate(folder, policy).return_value == 3  # its own line in the new ledger counts no audit
    api.record(run(0.01), folder)
    assert gate(folder, policy).return_value == 0


@pytest.mark.parametrize("harm", ["changed", "taken out", "put in"])
def test_a_changed_ledger_is_refused_with_its_line(tmp_path: Path, policy: Path, harm: str) -> None:
    """A line edited, removed from the middle or slipped in breaks the chain: exit 2, the line is named."""
    folder = tmp_path / "runs" / "a"
    api.save(run(0.3), folder)
    for value in (0.3, 0.31, 0.32, 0.33):
        api.record(run(value), folder)
    path = ledger.beside(folder)
    lines = path.read_bytes().splitlines(keepends=True)
    if harm == "changed":
        lines[1] = files.canonical_json({**json.loads(lines[1]), "run": "sha256:" + "0" * 64})
    elif harm == "taken out":
        del lines[1]
    else:
        lines.insert(1, lines[0])
    path.write_bytes(b"".join(lines))

    with pytest.raises(InputError, match=r"ledger\.jsonl: line [23] does not follow"):
        ledger.read(path)
    result = gate(folder, policy)
    assert isinstance(result.exception, InputError)


def _append(folder: str) -> None:
    api.record(run(0.3), folder)


def test_processes_that_write_at_once_keep_the_chain(tmp_path: Path) -> None:
    """Twelve lines from four processes, each holding on to the one before."""
    folder = str(tmp_path / "runs" / "a")
    Path(folder).mkdir(parents=True)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(_append, [folder] * 12)

    assert len(ledger.read(ledger.beside(folder))) == 12


def test_a_ledger_that_cannot_be_written_is_said_and_the_verdict_stands(tmp_path: Path, policy: Path) -> None:
    """A link in its place is refused; the gate still gives its exit code."""
    folder = api.save(run(0.01), tmp_path / "runs" / "a")
    (tmp_path / "elsewhere").write_text("")
    ledger.beside(folder).symlink_to(tmp_path / "elsewhere")
    result = gate(folder, policy)

    assert result.return_value == 3
    assert "was not counted" in result.stderr
    assert (tmp_path / "elsewhere").read_text() == ""


def _page(folder: Path, policy: Path) -> str:
    out = folder / "report.html"
    CliRunner().invoke(
        cli, ["report", str(folder), "--policy", str(policy), "--out", str(out)], standalone_mode=False
    )
    return out.read_text(encoding="utf-8").replace("\u00a0", " ")
