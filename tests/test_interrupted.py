"""Two at once, stopped half-way, a full disk, a wrong clock: nothing half-done looks finished, nothing good is lost."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rai_bigmodel import api, cli, collect, files, ledger
from rai_bigmodel.api import judging
from rai_bigmodel.errors import InputError

RAI = Path(sys.executable).with_name("rai")
POLICY = "name: p\nrules: [{metric: performance.accuracy, at_least: 0.5, because: So.}]\n"


@pytest.fixture(name="asked")
def what_is_asked(tmp_path: Path) -> list[str]:
    """The arguments of an audit of 400 scored rows into ``out``, and a policy beside it."""
    rng = np.random.default_rng(5)
    score = rng.random(400).round(3)
    rows = [
        f"{p},{int(rng.random() < p)},{g}" for p, g in zip(score, rng.choice(list("ab"), 400), strict=True)
    ]
    (tmp_path / "scored.csv").write_text("\n".join(["p,y,g", *rows, ""]))
    (tmp_path / "policy.yaml").write_text(POLICY)
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
    return ["audit", *table, "--out", str(tmp_path / "out")]


def in_a_process_that(changes: str, args: list[str]) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, in which something was changed before."""
    code = f"import sys\n{changes}\nfrom rai_bigmodel import cli\nsys.exit(cli._run(sys.argv[1:]))\n"
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False)


def one_line(told: str) -> bool:
    """Whether it is one line and no traceback."""
    return told.startswith("rai: ") and told.count("\n") == 1


# --- two at once ----------------------------------------------------------------------------------


@contextlib.contextmanager
def another_at_work(folder: Path):
    """Another process that writes into a folder."""
    code = "import sys\nfrom rai_bigmodel import files\nwith files.alone(sys.argv[1]):\n print(flush=True)\n input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    other.stdout.readline()
    yield
    other.communicate("\n")


def test_two_runs_do_not_write_one_folder_at_once(tmp_path: Path, asked: list[str], capsys) -> None:
    """The second is refused in one line and changes nothing; once the first is done it may."""
    assert cli._run(asked) == 0
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    capsys.readouterr()
    with another_at_work(tmp_path / "out"):
        code = cli._run(asked)

    told = capsys.readouterr().err
    assert code == 2
    assert "another rai is writing there" in told
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before
    assert cli._run(asked) == 0


def test_two_trainings_do_not_write_one_folder_at_once(tmp_path: Path, capsys) -> None:
    """The second is refused before it trains; a recipe that cannot be trained leaves no folder behind."""
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text("data: digits\nnet: {mlp: {hidden: []}}\ntrain: {epochs: 1}\n")
    out.mkdir()
    with another_at_work(out):
        code = cli._run(["train", str(recipe), "--out", str(out)])

    told = capsys.readouterr().err
    assert code == 2
    assert "another rai is writing there" in told
    assert one_line(told)
    assert list(out.iterdir()) == []
    recipe.write_text("data: nowhere\nnet: {mlp: {hidden: []}}\ntrain: {epochs: 1}\n")
    assert cli._run(["train", str(recipe), "--out", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()


def test_a_folder_is_held_by_a_process_and_not_by_a_block(tmp_path: Path) -> None:
    """What holds it may ask again within; nothing is left in it."""
    with files.alone(tmp_path), files.alone(tmp_path):
        pass
    with another_at_work(tmp_path), pytest.raises(InputError, match="another rai"), files.alone(tmp_path):
        pass

    assert list(tmp_path.iterdir()) == []


# --- stopped half-way -----------------------------------------------------------------------------

KILLED = """
import os, pathlib, signal
left = [{after}]
replace = pathlib.Path.replace
def stopped(self, target):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.{how})
    return replace(self, target)
pathlib.Path.replace = stopped
"""


@pytest.mark.parametrize(("after", "how"), [(0, "SIGKILL"), (2, "SIGTERM"), (5, "SIGKILL")])
def test_what_is_stopped_half_way_is_no_run_and_stands_in_nobodys_way(
    tmp_path: Path, asked: list[str], how: str, after: int, capsys
) -> None:
    """Over an earlier run too: no manifest, no verdict, no page; the next audit clears up and is whole."""
    assert cli._run(asked) == 0
    assert cli._run(["gate", str(tmp_path / "out"), "--policy", str(tmp_path / "policy.yaml")]) == 0
    told = in_a_process_that(KILLED.format(after=after, how=how), asked)
    left = [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()]
    capsys.readouterr()

    assert told.returncode == -getattr(signal, how)
    assert not {"manifest.json", "verdict.json", "report.html"} & set(left)
    assert any(name.endswith(".part") for name in left)
    assert cli._run(["gate", str(tmp_path / "out"), "--policy", str(tmp_path / "policy.yaml")]) == 2
    assert "not a (finished) folder" in capsys.readouterr().err
    assert cli._run(asked) == 0
    assert not list((tmp_path / "out").rglob("*.part"))
    assert api.load(tmp_path / "out").evidence


def test_a_page_that_was_stopped_leaves_the_one_before(tmp_path: Path, asked: list[str]) -> None:
    """The new page takes the place of the old in one step, or not at all."""
    assert cli._run(asked) == 0
    report = ["report", str(tmp_path / "out"), "--quiet"]
    assert cli._run(report) == 0
    before = (tmp_path / "out" / "report.html").read_bytes()
    in_a_process_that(KILLED.format(after=0, how="SIGKILL"), [*report, "--lang", "zh"])

    assert (tmp_path / "out" / "report.html").read_bytes() == before


# --- no room --------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_no_run(tmp_path: Path, asked: list[str]) -> None:
    """The limit on a file's size stands for the disk: writing fails in the middle of a file."""
    room = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (9000, {resource.RLIM_INFINITY}))"
    told = in_a_process_that(room, asked)

    assert told.returncode == 2
    assert one_line(told.stderr), told.stderr
    assert "cannot be written" in told.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_verdict_that_could_not_be_printed_is_no_verdict(tmp_path: Path, asked: list[str]) -> None:
    """Exit 2 and one line: 0, 1 and 3 mean that a verdict was told, and 4 that the tool is broken."""
    assert cli._run(asked) == 0
    gate = [RAI, "gate", tmp_path / "out", "--policy", tmp_path / "policy.yaml"]
    for args in (gate, [*gate, "--json"], [RAI, "audits"], [RAI, "--help"]):
        with Path("/dev/full").open("w") as full:
            told = subprocess.run(args, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

        assert told.returncode == 2
        assert one_line(told.stderr), told.stderr


def test_half_a_line_is_taken_back_from_the_ledger(
    tmp_path: Path, asked: list[str], monkeypatch, capsys
) -> None:
    """A line that did not fit would spoil the chain for every run to come."""
    assert cli._run(asked) == 0
    before = (tmp_path / "ledger.jsonl").read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, line: write(handle, line[: len(line) // 2]))
    code = cli._run(asked)
    monkeypatch.undo()

    assert code == 0
    assert "this run was not counted: " in capsys.readouterr().err
    assert (tmp_path / "ledger.jsonl").read_bytes() == before
    assert cli._run(asked) == 0
    assert len(ledger.read(tmp_path / "ledger.jsonl")) == 2


# --- clocks, zones, locales -----------------------------------------------------------------------


def at(year: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this machine stands in another year."""

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(year, 1, 1, 0, 0, 5, tzinfo=tz)

    for room in (collect, judging, ledger):
        monkeypatch.setattr(room.dt, "datetime", Clock)


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_wrong_clock_changes_the_date_and_nothing_else(
    tmp_path: Path, asked: list[str], year: int, monkeypatch, capsys
) -> None:
    """The run has the same digest; evidence from the future is not fresh; a page does not know when it is written."""
    assert cli._run(asked) == 0
    run, out = api.load(tmp_path / "out").manifest.run, str(tmp_path / "out")
    shutil.copytree(out, tmp_path / "now")
    assert cli._run(["report", out]) == 0
    page = (tmp_path / "out" / "report.html").read_bytes()
    at(year, monkeypatch)
    assert cli._run(["report", str(tmp_path / "now")]) == 0
    assert (tmp_path / "now" / "report.html").read_bytes() == page
    assert cli._run(asked) == 0
    assert api.load(out).manifest.run == run
    assert api.load(out).manifest.circumstances.created.startswith(f"{year}-01-01")
    monkeypatch.undo()
    (tmp_path / "policy.yaml").write_text(f"max_age_days: 30\n{POLICY}")
    capsys.readouterr()

    assert cli._run(["gate", out, "--policy", str(tmp_path / "policy.yaml")]) == 3
    assert ("lies ahead of" if year == 2099 else "days ago") in capsys.readouterr().out


def test_zones_and_locales_change_no_byte(tmp_path: Path, asked: list[str]) -> None:
    """Fifteen minutes off the hour, and a host program that writes a comma before its decimals, where there is one."""
    assert cli._run(asked) == 0
    pages = []
    for zone in ("UTC", "Asia/Kathmandu", "America/St_Johns"):
        comma = (
            "import locale, os, time\n"
            f"os.environ['TZ'] = '{zone}'; time.tzset()\n"
            "for name in ('de_DE.UTF-8', 'fr_FR.UTF-8', 'C.UTF-8'):\n"
            "    try:\n"
            "        locale.setlocale(locale.LC_ALL, name); break\n"
            "    except locale.Error:\n"
            "        pass"
        )
        out = tmp_path / f"{len(pages)}.html"
        policy = str(tmp_path / "policy.yaml")
        told = in_a_process_that(
            comma, ["report", str(tmp_path / "out"), "--policy", policy, "--out", str(out)]
        )
        assert told.returncode == 0, told.stderr
        pages.append(out.read_bytes())

    assert pages[0] == pages[1] == pages[2]


# --- names of files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relatives", "audits", "name"),
    [
        ("{}", '{fairness: {}, "fairness/": {use: fairness}}', "fairness.json"),
        ("{a-b: {table: s.csv, score: p}, a: {table: s.csv, score: p}}", "{fairness: {}, fairness/b: {use: fairness}}",
         "fairness@a-b.json"),
        ("{}", "{fairness: {}, fairness/A: {use: fairness}, fairness/a: {use: fairness}}", "fairness-a.json"),
    ],
)  # fmt: skip
def test_two_audits_never_leave_one_file(
    tmp_path: Path, asked: list[str], relatives: str, audits: str, name: str, capsys
) -> None:
    """Told before any work, with both of them; a disk that knows no large letters counts too."""
    (tmp_path / "scored.csv").rename(tmp_path / "s.csv")
    on = "[primary]" if relatives == "{}" else "[primary, a-b, a]"
    (tmp_path / "audit.yaml").write_text(
        "subject: {table: s.csv, score: p}\ndata: {file: s.csv, truth: y, sensitive: [g]}\n"
        f"relatives: {relatives}\naudits: {audits}\non: {on}\n"
    )

    assert cli._run(["audit", str(tmp_path / "audit.yaml"), "--out", str(tmp_path / "o")]) == 2
    told = capsys.readouterr().err
    assert one_line(told)
    assert f"would both be {name}" in told
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("name", ["../../etc/x", "CON", "", "end.", "y" * 300])
def test_names_that_are_paths_or_devices_stay_inside_the_folder(
    tmp_path: Path, asked: list[str], name: str
) -> None:
    """A role and a label become part of a file's name: letters, digits and a hash, whatever they were."""
    import json

    (tmp_path / "scored.csv").rename(tmp_path / "s.csv")
    label, role = json.dumps(f"fairness/x{name}"), json.dumps(name)
    (tmp_path / "audit.yaml").write_text(
        "subject: {table: s.csv, score: p}\ndata: {file: s.csv, truth: y, sensitive: [g]}\n"
        f"relatives: {{{role}: {{table: s.csv, score: p}}}}\n"
        f"audits: {{performance: {{}}, {label}: {{use: fairness}}}}\non: [primary, {role}]\n"
    )

    assert cli._run(["audit", str(tmp_path / "audit.yaml"), "--out", str(tmp_path / "o")]) == 0
    inside = [p.name for p in (tmp_path / "o" / "evidence").iterdir()]
    assert len(inside) == 4
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_.@-]{1,180}", file) for file in inside)
    assert cli._run(["report", str(tmp_path / "o")]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"s.csv", "policy.yaml", "audit.yaml", "o", "ledger.jsonl"}
