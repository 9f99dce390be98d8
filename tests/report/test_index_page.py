"""Does the overview show every run, the newest first, and nothing that is not so?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dossiers import dossier, estimate

from rai_bigmodel import api
from rai_bigmodel.cli import cli
from rai_bigmodel.errors import InputError
from rai_bigmodel.report import html
from rai_bigmodel.report.index import found, index
from rai_bigmodel.rules import Policy, Rule

POLICY = Policy(name="p", rules=(Rule(metric="fairness.gap", at_most=0.1, because="So."),))


def put(folder: Path, value: float, day: int, *, judged: bool = True, page: bool = True) -> None:
    sealed = dossier(estimate(value), created=f"2026-11-{day:02}T10:00:00+00:00")
    api.save(sealed, folder)
    verdict = api.judge(sealed, POLICY) if judged else None
    if verdict:
        api.save_verdict(sealed, verdict, folder)
    if page:
        api.write_report(sealed, verdict, path=folder / "report.html")


@pytest.fixture(name="runs")
def a_folder_of_runs(tmp_path: Path) -> Path:
    """Three runs made out of order, one not judged, one broken, one with a hostile name."""
    put(tmp_path / "b", 0.3, 2)
    put(tmp_path / "a", 0.01, 3)
    put(tmp_path / "<img src=x onerror=alert(1)>", 0.1, 1)
    put(tmp_path / "later", 0.1, 4, judged=False, page=False)
    put(tmp_path / "broken", 0.1, 5)
    (tmp_path / "broken" / "evidence" / "fairness.json").write_text("{}")
    (tmp_path / "no run").mkdir()
    return tmp_path


def test_runs_are_listed_newest_first_and_broken_ones_last_with_why(runs: Path) -> None:
    """By when they were made, not by name; what cannot be read is not left out."""
    listed = index(found(runs)).runs

    assert [run.outcome or run.word for run in listed[:4]] == ["not judged", "pass", "fail", "inconclusive"]
    assert [run.folder for run in listed[:3]] == ["later", "a", "b"]
    assert "was changed after the audit" in listed[4].broken


def test_each_rule_of_the_newest_policy_is_followed_through_the_runs(runs: Path) -> None:
    """One picture a rule, a row a judged run, newest first."""
    (trend,) = index(found(runs)).trends

    assert [value for _, value in trend.values] == ["0.01", "0.3", "0.1"]
    assert trend.picture.count("<circle") == 3
    assert trend.picture.count('class="bound"') == 1


def test_a_verdict_about_evidence_that_was_since_replaced_is_not_shown(tmp_path: Path) -> None:
    """Audited again after it was judged: the old verdict says nothing of the new evidence."""
    put(tmp_path / "a", 0.01, 1)
    kept = (tmp_path / "a" / "verdict.json").read_bytes()
    put(tmp_path / "a", 0.3, 2, judged=False)
    (tmp_path / "a" / "verdict.json").write_bytes(kept)
    (run,) = index(found(tmp_path)).runs

    assert run.outcome == ""
    assert "audited again" in run.word


def test_the_page_is_one_file_without_script_whose_links_stay_inside(runs: Path) -> None:
    """A hostile folder name is text; links are relative and percent-encoded."""
    result = CliRunner().invoke(cli, ["index", str(runs)], standalone_mode=False)
    text = (runs / "index.html").read_text(encoding="utf-8")

    assert result.return_value == 0
    assert "<img" not in text
    assert "&lt;img" in text
    assert "<script" not in text
    assert "default-src 'none'" in text.replace("&#39;", "'")
    links = [part.partition('"')[0] for part in text.split('href="')[1:]]
    assert all(link == "data:," or link.endswith("/report.html") for link in links)
    assert not any(c in link for link in links for c in "<> ")


@pytest.mark.parametrize("what", ["nowhere", "empty"])
def test_a_folder_without_runs_is_one_line(tmp_path: Path, what: str) -> None:
    """Not there, or nothing in it."""
    if what == "empty":
        (tmp_path / "empty").mkdir()
    result: Any = CliRunner().invoke(cli, ["index", str(tmp_path / what)], standalone_mode=False)

    assert isinstance(result.exception, InputError)


def test_the_overview_is_written_in_chinese_too(runs: Path) -> None:
    """The same runs, links and numbers; only a name of rows and why a folder cannot be read stay English."""
    result = CliRunner().invoke(cli, ["index", str(runs), "--lang", "zh"], standalone_mode=False)
    text = (runs / "index.html").read_text(encoding="utf-8")
    english = html.render_index(found(runs)).decode()
    left = re.findall(r'<span lang="en">(.*?)</span>', text)

    assert result.return_value == 0
    assert '<html lang="zh-Hans">' in text
    assert "未满足" in text
    assert re.findall(r'href="([^"]*)"', text) == re.findall(r'href="([^"]*)"', english)
    assert re.findall(r'c[xy]="([^"]*)"', text) == re.findall(r'c[xy]="([^"]*)"', english)
    assert all(words == "held-out" or "was changed after the audit" in words for words in left)
