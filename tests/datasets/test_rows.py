"""Somebody's own files of rows train a model by recipe, as they audit one."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from rai_bigmodel import api
from rai_bigmodel.cli import cli
from rai_bigmodel.errors import InputError
from rai_bigmodel.training import recipe

DATA = (
    "{file: held.csv, train: train.csv, calibrate: cal.csv, truth: late, positive: late, "
    "sensitive: [sex], features: [income, job]}"
)
RECIPE = f"data: {DATA}\nnet: {{mlp: {{hidden: [8]}}}}\ntrain: {{epochs: 3, batch_size: 32}}\n"
AUDIT = f"subject: run/\ndata: {DATA}\naudits: {{performance: {{}}, fairness: {{}}}}\n"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(4)
    for name, n in (("train", 400), ("cal", 200), ("held", 300)):
        income, job = rng.normal(size=n), rng.choice(["office", "shop", ""], n)
        late = rng.random(n) < 1 / (1 + np.exp(2 * income - (job == "shop")))
        rows = zip(income, job, rng.choice(["f", "m"], n), np.where(late, "late", "paid"), strict=True)
        lines = "".join(f"{i:.4f},{j},{s},{y}\n" for i, j, s, y in rows)
        (tmp_path / f"{name}.csv").write_text("income,job,sex,late\n" + lines)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "audit.yaml").write_text(AUDIT)
    return tmp_path


def test_a_recipe_reads_the_files_that_an_audit_reads(folder) -> None:
    """The run audits on the rows held out, sees none of them, and beats a coin; the card says what was read."""
    done = CliRunner().invoke(
        cli, ["train", str(folder / "recipe.yaml"), "--out", str(folder / "run"), "--quiet"]
    )

    assert done.exit_code == 0, done.output
    card, splits = (folder / "run" / "card.json").read_text(), api.read_splits(folder / "audit.yaml")
    assert splits.train.digest in card
    assert splits.calibrate.digest in card
    dossier = api.audit_file(folder / "audit.yaml")
    assert not any(e.failure for e in dossier.evidence)
    (auc,) = (m for e in dossier.evidence for m in e.measurements if m.metric == "performance.roc_auc")
    assert auc.value is not None
    assert auc.value > 0.7
    assert dossier.evidence[0].data.rows == 300


@pytest.mark.parametrize("predictions", [False, True])
def test_a_quiet_audit_says_nothing_at_all(folder, predictions) -> None:
    """No library's leaks at the end of the process, no warnings on the way."""
    if predictions:
        lines = (folder / "held.csv").read_text().splitlines()
        scored = [f"{line},{'p' if i == 0 else i % 97 / 97}" for i, line in enumerate(lines)]
        (folder / "scored.csv").write_text("\n".join(scored) + "\n")
        asked = [
            "--predictions",
            str(folder / "scored.csv"),
            "--truth",
            "late",
            "--positive",
            "late",
            "--score",
            "p",
        ]
        asked += ["--sensitive", "sex", "--baseline", str(folder / "scored.csv")]
    else:
        api.train_recipe(folder / "recipe.yaml", out=folder / "run")
        (folder / "audit.yaml").write_text(AUDIT.replace("fairness: {}", "explainability: {}"))
        asked = [str(folder / "audit.yaml")]
    command = [sys.executable, "-m", "rai_bigmodel", "audit", *asked, "--quiet", "--out", str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_recipe_of_files_is_written_and_read_again(folder) -> None:
    """As it stands in the file, and as the card keeps it."""
    flat = recipe.read(folder / "recipe.yaml")
    (folder / "whole.yaml").write_text(RECIPE.replace(f"data: {DATA}", f"data: {{rows: {DATA}}}"))

    assert recipe.read(folder / "whole.yaml") == flat
    assert flat.data.rows.roles["feature"] == ("income", "job")


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("truth: late, ", "", "$.data.truth: this key is required"),
        ("sensitive", "sensible", "$.data.sensible: unknown key"),
        ("cal.csv", "train.csv", "file, train and calibrate must be different files"),
        ("features: [income, job]", "features: income", "features: must be 'all' or a list of columns"),
        ("income, job", "income, jobs", "Did you mean 'job'?"),
        (
            "train: train.csv, ",
            "",
            "there is nothing to learn from (of files: data: {file: …, train: FILE, …})",
        ),
        ("positive: late, ", "", "none is declared positive"),
        ("held.csv", "gone.csv", "no such file"),
    ],
)
def test_what_cannot_be_read_is_one_line(folder, was, now, said) -> None:
    """With the path of the key, or the column; no folder is left behind."""
    (folder / "recipe.yaml").write_text(RECIPE.replace(was, now, 1))

    with pytest.raises(InputError, match=re.escape(said)):
        api.train_recipe(folder / "recipe.yaml", out=folder / "run")
    assert not (folder / "run").exists()
