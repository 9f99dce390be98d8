"""The command line: one exit code each, one clear line for bad input, data to stdout."""

from __future__ import annotations

import csv
import gc
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import ClassVar

import numpy as np
import pytest
from cohorts import rng, splits, subject
from dossiers import dossier as made_up
from dossiers import exact

import rai_bigmodel as rai
from rai_bigmodel import api, cli, plugins
from rai_bigmodel.audits.performance import Performance
from rai_bigmodel.collect import Asked, collect

POLICY = """
name: p
rules:
  - metric: performance.accuracy
    at_least: {limit}
    because: A reason.
"""


@pytest.fixture
def dossier(tmp_path):
    """Evidence of a made-up model with an accuracy of about 0.75."""
    found = collect(subject(), splits(), [Asked("performance", plugins.load("performance"))])
    return rai.save(found, tmp_path / "out")


def _policy(tmp_path, limit: str):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.format(limit=limit))
    return path


@pytest.mark.parametrize(
    ("limit", "code", "word"), [("0.5", 0, "met"), ("0.95", 1, "not met"), ("0.745", 3, "undecided")]
)
def test_the_gate_exits_with_its_verdict(tmp_path, dossier, capsys, limit, code, word) -> None:
    """0 met, 1 not met, 3 undecided, and the last line says so."""
    assert cli._run(["gate", str(dossier), "--policy", str(_policy(tmp_path, limit))]) == code
    out = capsys.readouterr().out

    assert f"Policy p is {word}:" in out
    assert (dossier / "verdict.json").exists()


def test_the_gate_prints_one_line_a_rule_or_json(tmp_path, dossier, capsys) -> None:
    """Data go to stdout; --json is the verdict file."""
    policy = str(_policy(tmp_path, "0.5"))
    cli._run(["gate", str(dossier), "--policy", policy])
    assert len(capsys.readouterr().out.splitlines()) == 2

    cli._run(["gate", str(dossier), "--policy", policy, "--json"])
    told = json.loads(capsys.readouterr().out)

    assert told["outcome"] == "pass"
    assert told == json.loads((dossier / "verdict.json").read_text())


def test_the_gate_pins_the_subject(tmp_path, dossier, capsys) -> None:
    """Another digest, with or without its prefix, makes every rule inconclusive."""
    policy = str(_policy(tmp_path, "0.5"))

    assert cli._run(["gate", str(dossier), "--policy", policy, "--subject", "b" * 64]) == 0
    assert cli._run(["gate", str(dossier), "--policy", policy, "--subject", "sha256:" + "c" * 64]) == 3
    capsys.readouterr()
    for unset in ("", " "):  # a variable of a build that was never set
        assert cli._run(["gate", str(dossier), "--policy", policy, "--subject", unset]) == 2
        assert capsys.readouterr().err == "rai: --subject: a digest is needed, got ''\n"


def test_click_errors_are_two_and_never_its_own_one(capsys) -> None:
    """An unknown command, an unknown option, a missing argument, a wrong type: one line."""
    for args in (["nonsense"], ["gate", "--nonsense"], ["gate"], ["audit"], ["audit", "--threshold", "x"]):
        assert cli._run(args) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_ctrl_c_is_130(monkeypatch, capsys) -> None:
    """Wherever it strikes."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "load", stop)

    assert cli._run(["report", "x"]) == 130


def test_our_own_bug_is_four_and_says_how_to_report_it(monkeypatch, capsys) -> None:
    """The traceback is for the report; the last line is for the reader."""

    def bug(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(api, "load", bug)

    assert cli._run(["report", "x"]) == 4
    assert "bug of rai itself" in capsys.readouterr().err.splitlines()[-1]


def test_the_terminal_names_the_number_where_a_rule_speaks_of_several(tmp_path, capsys) -> None:
    """Not *accuracy ≥ 0.99: 0.9* where it is a ROC AUC; and which of the features tells the outcome."""
    found = [
        exact(0.7, metric="performance.accuracy"),
        exact(0.9, metric="performance.roc_auc"),
        *(exact(v, metric="data.leak_auc", labels={"feature": f}) for f, v in (("a", 0.5), ("b", 0.99))),
    ]
    rai.save(made_up(*found), tmp_path / "out")
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "name: p\nrules:\n  - {any_of: [{metric: performance.accuracy, at_least: 0.99}, "
        "{metric: performance.roc_auc, at_least: 0.8}], because: x}\n"
        "  - {metric: data.leak_auc, at_most: 0.98, because: x}\n"
    )
    cli._run(["gate", str(tmp_path / "out"), "--policy", str(policy)])
    said = capsys.readouterr().out

    assert "performance.accuracy ≥ 0.99 or 1 more: 0.9 (performance.roc_auc)." in said
    assert "data.leak_auc ≤ 0.98: 0.99 (feature=b)." in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: p\nrules:\n  - {metric: a.b, at_most: 1}\n", "$.rules[0].because: this key is required"),
        ("name: p\nrules:\n  - {metric: a.b, at_mots: 1, because: x}\n", "$.rules[0].at_mots: unknown key"),
        (
            "name: p\nrules:\n  - {metric: a.b, at_most: .nan, because: x}\n",
            "$.rules[0].at_most: a finite number",
        ),
        (
            "name: p\nrules:\n  - {metric: a.b, at_most: 1, because: x}\nname: q\n",
            "$.name: this key stands twice",
        ),
        ("name: p\nrules: []\n", "at least one rule"),
        (
            "name: p\nmax_age_days: -1\nrules:\n  - {metric: a.b, at_most: 1, because: x}\n",
            "max_age_days must be 0 or more, got -1",
        ),
        (
            "name: p\nmax_attempts: 0\nrules:\n  - {metric: a.b, at_most: 1, because: x}\n",
            "max_attempts must be 1 or more, got 0",
        ),
    ],
)
def test_a_wrong_policy_is_one_line_with_its_path(tmp_path, dossier, capsys, text, message) -> None:
    """Unknown keys, missing reasons and bounds that are not numbers, exit 2."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)

    assert cli._run(["gate", str(dossier), "--policy", str(path)]) == 2
    err = capsys.readouterr().err.strip()
    assert message in err
    assert len(err.splitlines()) == 1


def test_evidence_that_was_edited_is_refused(tmp_path, dossier, capsys) -> None:
    """Exit 2 and the file's name."""
    path = dossier / "evidence" / "performance.json"
    path.write_bytes(path.read_bytes().replace(b'"value":0.7', b'"value":0.9', 1))

    assert cli._run(["gate", str(dossier), "--policy", str(_policy(tmp_path, "0.5"))]) == 2
    assert "performance.json: was changed after the audit" in capsys.readouterr().err


def test_a_foreign_file_and_an_empty_folder_are_refused(tmp_path, dossier, capsys) -> None:
    """Exit 2 each."""
    policy = str(_policy(tmp_path, "0.5"))
    (dossier / "evidence" / "extra.json").write_text("{}")
    assert cli._run(["gate", str(dossier), "--policy", policy]) == 2
    assert "extra.json" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli._run(["gate", str(tmp_path / "empty"), "--policy", policy]) == 2
    assert cli._run(["gate", str(tmp_path / "nowhere"), "--policy", policy]) == 2


@pytest.fixture
def predictions(tmp_path):
    """A csv of scores with a planted gap."""
    r = np.random.default_rng(0)
    group = r.choice(["a", "b"], 800)
    y = r.integers(0, 2, 800)
    score = np.clip(0.5 + 0.2 * (y - 0.5) + 0.25 * ((group == "a") - 0.5) + r.normal(0, 0.15, 800), 0, 1)
    path = tmp_path / "scored.csv"
    word = ["nan", "", *(f"{s:.4f}" for s in score[2:])]
    rows = "".join(
        f"{g},{t},{s:.4f},{i},{w}\n" for i, (g, t, s, w) in enumerate(zip(group, y, score, word, strict=True))
    )
    path.write_text(f"g,y,p,row,word\n{rows}")
    return path


def test_a_table_of_predictions_is_audited_judged_and_reported(tmp_path, predictions, capsys) -> None:
    """Five audits; no module, no torch; the planted gap fails a rule."""
    out = tmp_path / "out"
    args = ["audit", "--predictions", str(predictions), "--truth", "y", "--score", "p", "--sensitive", "g"]
    assert cli._run([*args, "--id", "row", "--out", str(out)]) == 0
    assert {p.name for p in (out / "evidence").iterdir()} == {
        "performance.json",
        "calibration.json",
        "fairness.json",
        "slices.json",
        "data.json",
    }
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "name: p\nrules:\n  - {metric: fairness.demographic_parity_difference, at_most: 0.1, because: x}\n"
    )
    assert cli._run(["gate", str(out), "--policy", str(policy)]) == 1
    assert cli._run(["report", str(out), "--policy", str(policy)]) == 0
    assert b'data-verdict="fail"' in (out / "report.html").read_bytes()
    assert cli._run(["report", str(out)]) == 0
    assert b"data-verdict" not in (out / "report.html").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--truth", "yy"], "'yy' is not there; there are: g, p, row, word, y"),
        (["--score", "row"], "outside 0 to 1"),
        (["--sensitive", "row"], "is it an id"),
        (["--positive", "yes"], "labels '0', '1' and 'yes' is not one of them"),
        (["--threshold", "7"], "from 0 to 1"),
        (["--score", "word"], "'word' is missing or holds text in 2 of 800 rows, the first is 'nan'"),
        (["--predictions", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, predictions, capsys, change, message) -> None:
    """Exit 2, no traceback, nothing half-written."""
    given = {
        "--predictions": str(predictions),
        "--truth": "y",
        "--score": "p",
        "--sensitive": "g",
        "--out": str(tmp_path / "out"),
    } | dict(zip(change[::2], change[1::2], strict=True))
    code = cli._run(["audit", *(part for pair in given.items() for part in pair)])
    err = capsys.readouterr().err.strip()

    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    tmp_path, predictions, monkeypatch
) -> None:
    """A file in its place, or in the place of its parent: exit 2, and nothing was read."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(api, "audit_predictions", None)  # calling it would be our own bug, exit 4
    args = ["audit", "--predictions", str(predictions), "--truth", "y", "--score", "p", "--sensitive", "g"]

    assert cli._run([*args, "--out", str(tmp_path / "file")]) == 2
    assert cli._run([*args, "--out", str(tmp_path / "file" / "deeper")]) == 2


def test_a_recipe_that_cannot_be_trained_leaves_no_folder(tmp_path, capsys) -> None:
    """Unknown data and an unknown key: exit 2, one line, nothing made."""
    pytest.importorskip("torch", reason="training needs the extra 'train'")
    recipe = tmp_path / "recipe.yaml"
    for text in ("data: loans\nnet: {mlp: {}}\n", "data: loan\nnet: {mlp: {hiden: [3]}}\n"):
        recipe.write_text(text)
        assert cli._run(["train", str(recipe), "--out", str(tmp_path / "run")]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1

    assert not (tmp_path / "run").exists()


def test_a_stopped_training_exits_with_130_and_resumes_to_the_same_run(tmp_path, capsys, monkeypatch) -> None:
    """Ctrl-C leaves a checkpoint and nothing that looks finished; --resume ends with the weights of one not stopped."""
    pytest.importorskip("torch", reason="training needs the extra 'train'")
    from rai_bigmodel.training import course

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: loan\nnet: {mlp: {hidden: [4], dropout: 0.2}}\ntrain: {epochs: 2, every: 7}\n")
    command = ["train", str(recipe), "--out"]
    assert cli._run([*command, str(tmp_path / "whole")]) == 0
    assert cli._run([*command, str(tmp_path / "none"), "--resume"]) == 2
    assert "no checkpoint to resume from" in capsys.readouterr().err
    tell = course.Clock.tell

    def stop(clock, *args) -> None:
        if clock.place.step == 16:
            raise KeyboardInterrupt
        tell(clock, *args)

    monkeypatch.setattr(course.Clock, "tell", stop)
    assert cli._run([*command, str(tmp_path / "run")]) == 130
    monkeypatch.undo()
    left = sorted(p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*.*"))

    assert left == ["resume/000000014.safetensors", "resume/state.json"]
    assert cli._run([*command, str(tmp_path / "run"), "--resume"]) == 0
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["card.json", "model.safetensors"]
    whole, run = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "run"))
    assert whole == run


def test_an_audit_that_breaks_leaves_evidence_of_it_and_exits_with_three(
    tmp_path, predictions, monkeypatch, capsys
) -> None:
    """Never silence: the failure is written, and a rule about it is inconclusive."""
    from rai_bigmodel.audits import performance

    def broken(*_: object) -> None:
        msg = "the roof came down"
        raise RuntimeError(msg)

    monkeypatch.setattr(performance.Performance, "__call__", broken)
    out = tmp_path / "out"
    args = ["audit", "--predictions", str(predictions), "--truth", "y", "--score", "p", "--sensitive", "g"]

    assert cli._run([*args, "--out", str(out)]) == 3
    assert "the roof came down" in capsys.readouterr().err
    assert "the roof came down" in (out / "evidence" / "performance.json").read_text()
    assert cli._run(["gate", str(out), "--policy", str(_policy(tmp_path, "0.5"))]) == 3
    assert "The audit broke" in capsys.readouterr().out


def test_every_help_text_has_an_example() -> None:
    """A reader learns from what one would really type."""
    commands = dict(cli.cli.commands)
    for name, group in cli.cli.commands.items():
        commands |= {f"{name} {sub}": command for sub, command in getattr(group, "commands", {}).items()}
    for name, command in commands.items():
        assert f"rai {name}" in (command.epilog or ""), name


def test_the_version_is_the_packages_own(capsys) -> None:
    """`rai --version`."""
    from importlib import metadata

    assert cli._run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"rai_bigmodel {metadata.version('rai_bigmodel')}"


def test_a_reader_that_goes_away_is_no_error(dossier, tmp_path) -> None:
    """`rai gate … | head -0` ends quietly."""
    command = f"{sys.executable} -m rai_bigmodel audits | head -c 0; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert "Traceback" not in done.stderr


def test_the_same_seed_gives_the_same_bytes(tmp_path) -> None:
    """Evidence and the run's digest repeat; what else is asked changes nothing."""
    one, two = (
        collect(subject(), splits(), [Asked(n, plugins.load(n)) for n in names], seed=5)
        for names in (("fairness", "performance"), ("performance", "fairness", "data"))
    )
    first, second = ({e.audit: e for e in d.evidence} for d in (one, two))

    assert first["fairness"] == second["fairness"]
    again = collect(
        subject(), splits(), [Asked(n, plugins.load(n)) for n in ("fairness", "performance")], seed=5
    )
    assert again.manifest.run == one.manifest.run


class _Inside(Performance):
    """An audit that must see the network, as a plugin may bring one."""

    needs: ClassVar[tuple[str, ...]] = ("predict", "module")


def test_an_unmet_need_is_a_null_with_its_reason_and_no_crash() -> None:
    """A white-box audit of a black box."""
    (found,) = collect(subject(), splits(), [Asked("performance", _Inside())]).evidence
    (m,) = found.measurements

    assert m.value is None
    assert "the network itself was not handed over" in m.why
    assert rng() is not None


@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_a_table_of_labels_or_numbers_is_audited_as_what_it_is(tmp_path, capsys, kind) -> None:
    """Three labels, and predicted numbers: every audit answers or says why not, and the page is written."""
    r = np.random.default_rng(0)
    group = r.choice(["a", "b"], 400)
    truth = r.choice(["cat", "dog", "owl"], 400) if kind == "labels" else np.round(r.normal(size=400), 4)
    said = np.roll(truth, 1)
    path, out = tmp_path / "rows.csv", tmp_path / "out"
    path.write_text("g,t,p\n" + "".join(f"{g},{t},{p}\n" for g, t, p in zip(group, truth, said, strict=True)))
    args = ["--truth", "t", "--prediction", "p", "--sensitive", "g", "--out", str(out)]

    assert cli._run(["audit", "--predictions", str(path), *args]) == 0
    assert cli._run(["report", str(out)]) == 0
    found = json.loads((out / "evidence" / "data.json").read_text())["measurements"]
    assert [m["why"] for m in found if m["metric"] == "data.leak_auc" and m["value"] is None]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            ["--prediction", "d", "--score", "p", "--sensitive", "g"],
            "is one of 3 labels; leave the score out",
        ),
        (["--prediction", "t", "--sensitive", "g"], "'t' is named as truth and as prediction"),
        (["--prediction", "d", "--sensitive", "t"], "'t' is named as truth and as sensitive"),
        (["--prediction", "d", "--sensitive", "g*g"], "the intersection 'g*g' names a column twice"),
    ],
)
def test_columns_that_cannot_be_what_they_are_called_are_one_line(tmp_path, capsys, args, told) -> None:
    """A score beside several labels, one column as two things, an intersection of a column with itself."""
    rows = "".join(f"{'xyz'[i % 3]},{'xyz'[i % 2]},0.5,{'ab'[i // 2 % 2]}\n" for i in range(60))
    (tmp_path / "rows.csv").write_text("t,d,p,g\n" + rows)
    out = tmp_path / "out"

    assert (
        cli._run(
            ["audit", "--predictions", str(tmp_path / "rows.csv"), "--truth", "t", *args, "--out", str(out)]
        )
        == 2
    )
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    assert told in err
    assert not (out / "evidence").exists()


def test_scores_of_several_labels_are_null_with_why_where_only_decisions_were_given(tmp_path) -> None:
    """AUC, Brier score and log loss of a table of labels; and accuracy is a number."""
    rows = "".join(f"{'xyz'[i % 3]},{'xyz'[i % 2]},{'ab'[i // 2 % 2]}\n" for i in range(60))
    (tmp_path / "rows.csv").write_text("t,d,g\n" + rows)
    found = api.audit_predictions(tmp_path / "rows.csv", truth="t", prediction="d", sensitive=["g"])
    by_name = {m.metric: m for e in found.evidence for m in e.measurements if e.audit == "performance"}

    assert by_name["performance.accuracy"].value is not None
    for name in ("roc_auc", "brier", "log_loss"):
        assert by_name[f"performance.{name}"].value is None
        assert "only decisions were given" in by_name[f"performance.{name}"].why


def test_names_that_end_a_script_or_a_tag_reach_every_document_as_text(tmp_path, monkeypatch) -> None:
    """A column, its groups and a policy that are markup, from a csv to the page, the overview and what others read."""
    monkeypatch.chdir(tmp_path)
    column, groups = "</script><script>alert(1)</script>", ['"><img src=x onerror=alert(1)>', "]]>", "=cmd|x"]
    drawn = np.random.default_rng(3)
    score = drawn.random(300).round(3)
    with (tmp_path / "p.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([column, "y", "p"])
        out.writerows([groups[i % 3], int(drawn.random() < p), p] for i, p in enumerate(score))
    (tmp_path / "policy.yaml").write_text(
        "name: '</script><b>'\nrules:\n"
        f"  - {{metric: fairness.demographic_parity_difference, where: {{attribute: '{column}'}}, at_most: 0.5,"
        " because: ']]> </script>'}\n"
    )
    table = ["--predictions", "p.csv", "--truth", "y", "--score", "p", "--sensitive", column]
    judged = ["out", "--policy", "policy.yaml"]

    assert cli._run(["audit", *table, "--out", "out"]) == 0
    assert cli._run(["gate", *judged, "--junit", "j.xml", "--sarif", "s.json", "--markdown", "m.md"]) == 0
    assert cli._run(["report", *judged, "--card", "card.md"]) == 0
    assert cli._run(["index", "."]) == 0
    for page in (tmp_path / "out" / "report.html", tmp_path / "index.html"):
        text = page.read_text(encoding="utf-8")
        assert "&lt;/script&gt;" in text
        assert not re.search(r"<script|<img|</script", text)
    for document in (tmp_path / "m.md", tmp_path / "card.md"):
        assert not re.search(r"(?<!\\)<(script|img|b>|/script)", document.read_text(encoding="utf-8"))
    assert ET.parse(tmp_path / "j.xml").getroot().tag == "testsuites"  # noqa: S314 - our own markup
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["version"] == "2.1.0"


def test_only_an_audit_of_predictions_in_its_own_process_collects_seldom(tmp_path, predictions) -> None:
    """Whoever calls a command from Python keeps the collector as it was."""
    code = (
        "import atexit, gc\n"
        "atexit.register(lambda: print('seldom' if gc.get_threshold()[0] > 10_000 else 'as ever'))\n"
        "from rai_bigmodel.cli import main\nmain()\n"
    )
    asked = ["audit", "--predictions", str(predictions), "--truth", "y", "--score", "p", "--sensitive", "g"]
    said = [
        subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True).stdout
        for args in ([*asked, "--out", str(tmp_path / "out"), "--quiet"], ["audits"])
    ]
    before = gc.get_threshold()
    assert cli._run([*asked, "--out", str(tmp_path / "again"), "--quiet"]) == 0

    assert [text.split("\n")[-2] for text in said] == ["seldom", "as ever"]
    assert gc.get_threshold() == before
