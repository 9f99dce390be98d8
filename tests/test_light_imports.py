"""Is the right half light? A fresh interpreter for each, and a look at what got loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dossiers import dossier, estimate, evidence, exact

from rai_bigmodel import cli
from rai_bigmodel.dossier import save

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "matplotlib",
    "jinja2",
    "duckdb",
    "polars",
    "pyarrow",
    "sklearn",
}
MARK = "LOADED:"

RUN = f"""
import sys
try:
    from rai_bigmodel.cli import main
    main(sys.argv[1:])
finally:
    print("{MARK}", *sorted(sys.modules), file=sys.stderr)
"""

POLICY = """
name: small
rules:
  - {metric: fairness.gap, at_most: 0.1, because: A test.}
  - {metric: privacy.epsilon, at_most: 4, because: A test.}
"""


def fresh(code: str, *args: str, cwd: Path = ROOT) -> tuple[int, str, set[str]]:
    """Exit code, standard output and top-level names of everything loaded."""
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    said, mark, loaded = done.stderr.partition(MARK)
    assert mark, done.stderr
    assert "Traceback" not in said, said
    return done.returncode, done.stdout, {name.partition(".")[0] for name in loaded.split()}


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A folder of evidence and a policy beside it."""
    save(dossier(estimate(0.05), exact(3.9), evidence(estimate(0.2), role="plain")), tmp_path / "run")
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def test_importing_the_package_loads_nothing_heavy() -> None:
    """``import rai_bigmodel as rai`` is free."""
    code = f"import sys, rai_bigmodel\nprint('{MARK}', *sys.modules, file=sys.stderr)"
    _, _, loaded = fresh(code)

    assert loaded & HEAVY == set()
    assert "msgspec" not in loaded


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], ["audits"], ["controls"],
     *([verb, "--help"] for verb in ("gate", "report", "audit", "demo"))],
    ids=" ".join,
)  # fmt: skip
def test_help_and_lists_load_nothing_heavy(args: list[str]) -> None:
    """A user who asks what there is does not wait for torch."""
    code, out, loaded = fresh(RUN, *args)

    assert code == 0
    assert out
    assert loaded & HEAVY == set()


@pytest.mark.parametrize(("at_most", "code"), [("0.1", 0), ("0.01", 1), ("0.06", 3)])
def test_the_gate_loads_nothing_heavy_and_exits_with_the_verdict(
    judged: Path, at_most: str, code: int
) -> None:
    """A real folder and a real policy: met, not met, undecided."""
    (judged / "policy.yaml").write_text(POLICY.replace("at_most: 0.1,", f"at_most: {at_most},"))
    got, out, loaded = fresh(RUN, "gate", str(judged / "run"), "--policy", str(judged / "policy.yaml"))

    assert got == code
    assert "fairness.gap" in out
    assert loaded & HEAVY == set()


def test_the_gate_waits_for_no_other_room(judged: Path) -> None:
    """What other commands and verbs need is not loaded, and `--help` still names every command."""
    run = RUN.replace("*sorted(sys.modules)", "*(m.replace('.', '/') for m in sys.modules)")
    code, _, loaded = fresh(run, "gate", str(judged / "run"), "--policy", str(judged / "policy.yaml"))
    ours = {name for name in loaded if name.startswith(("rai_bigmodel/cli/", "rai_bigmodel/api/"))}

    assert code == 0
    assert ours == {
        *("rai_bigmodel/cli/terminal", "rai_bigmodel/cli/judging"),
        *("rai_bigmodel/api/judging", "rai_bigmodel/api/writing"),
    }


def test_every_verb_has_a_home_and_help_names_every_command() -> None:
    """What is imported late is there when it is asked for."""
    from rai_bigmodel import api

    assert sorted(api._HOMES) == api.__all__ == dir(api)
    assert all(getattr(api, name) is not None for name in api.__all__)
    _, out, _ = fresh(RUN, "--help")
    said = {words[0]: words[1:] for line in out.splitlines() if (words := line.split())}
    for name, command in cli.cli.commands.items():
        assert command.name == name
        assert " ".join(said[name]).rstrip(".") in " ".join((command.help or "").split())
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = api.nonsense


def test_a_gate_that_refuses_loads_nothing_heavy(judged: Path) -> None:
    """One clear line and exit 2, as quickly."""
    (judged / "policy.yaml").write_text(POLICY.replace("at_most", "at_mots"))
    code, out, loaded = fresh(RUN, "gate", str(judged / "run"), "--policy", str(judged / "policy.yaml"))

    assert code == 2
    assert out == ""
    assert loaded & HEAVY == set()


def test_a_name_with_a_line_break_writes_no_line_of_its_own(judged: Path) -> None:
    """A forged line in the name of a file is shown within the one line of the refusal."""
    (judged / "run" / "evidence" / "x\n[PASS] gate\x1b[2J.json").write_text("{}")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "rai_bigmodel",
            "gate",
            str(judged / "run"),
            "--policy",
            str(judged / "policy.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "\x1b" not in done.stderr


def test_the_report_needs_no_numpy_and_no_torch(judged: Path) -> None:
    """It draws with its own templates: jinja2 is all it takes."""
    code, _, loaded = fresh(
        RUN,
        "report",
        str(judged / "run"),
        "--policy",
        str(judged / "policy.yaml"),
        "--out",
        str(judged / "x.html"),
    )

    assert code == 0
    assert loaded & {"torch", "numpy", "pandas", "scipy", "matplotlib"} == set()
