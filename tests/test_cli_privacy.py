"""Bad input about privacy from the command line: one clear line each, exit 2, no traceback, nothing half written."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from rai_bigmodel import api, cli
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import checkpoint, fit

RECIPE = """
data: digits
net: {{mlp: {{hidden: [4]}}}}
train: {{epochs: {epochs}}}
privacy: {{{privacy}}}
"""
GOOD = {"epsilon": "4", "delta": "1e-5", "sample_rate": "0.1", "expected_batch_size": "100"}


def refused(capsys, arguments: list[str]) -> str:
    """The one line that a refused call leaves."""
    assert cli._run([*arguments]) == 2
    said = capsys.readouterr().err.strip()

    assert len(said.splitlines()) == 1
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"epsilon": "0"}, "epsilon must be a positive number, got 0"),
        ({"epsilon": "-1"}, "epsilon must be a positive number"),
        ({"delta": "0"}, "delta must lie between 0 and 1, both excluded, got 0"),
        ({"delta": "1"}, "delta must lie between 0 and 1, both excluded, got 1"),
        ({"sample_rate": "1.5"}, "sample_rate must lie above 0 and at most at 1, got 1.5"),
        ({"epsilon": "null", "noise_multiplier": "-1"}, "noise_multiplier must not be negative, got -1"),
        (
            {"epsilon": "null", "noise_multiplier": "0.05"},
            "noise_multiplier of 0.05 in 10 steps at a sample rate of 0.1",
        ),
        ({"epsilon": "null", "noise_multiplier": "1e-300"}, "promises nothing"),
        ({"epsilon": "1e300"}, "epsilon must be at most 500, more promises nothing, got 1e+300"),
        ({"expected_batch_size": "1e300"}, "does not fit into float32"),
        ({"clip": "1e300"}, "does not fit into float32"),
        ({"sample_rate": "1e-300"}, "steps must be a whole number between 1 and 10,000,000, got more"),
        ({"noise_multiplier": "1"}, "either epsilon or noise_multiplier"),
        ({"epochs": "0"}, "epochs must be positive, got 0"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused(tmp_path, capsys, change, why) -> None:
    """ε ≤ 0, δ outside (0, 1), σ < 0, q > 1, no steps."""
    change = dict(change)
    epochs = change.pop("epochs", "1")
    privacy = ", ".join(f"{k}: {v}" for k, v in {**GOOD, **change}.items())
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(epochs=epochs, privacy=privacy), "utf-8")

    assert why in refused(capsys, ["train", str(recipe), "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def rows(count: int, seed: int) -> Table:
    r = np.random.default_rng(seed)
    x, z = r.normal(size=(2, count)).round(6)
    columns = {
        "x": x,
        "z": z,
        "y": (x + r.normal(size=count) > 0).astype(float),
        "sex": r.choice(np.array(["f", "m"], dtype=object), count),
    }
    roles = {"feature": ("x", "z"), "truth": ("y",), "sensitive": ("sex",)}
    return Table(name=f"rows {seed}", columns=columns, roles=roles)


def write(path, table: Table) -> None:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(table.columns)
        out.writerows(zip(*(values.tolist() for values in table.columns.values()), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A plain run, its ONNX file, and the rows it was trained on and never saw, as files."""
    here = tmp_path_factory.mktemp("elsewhere")
    data = Splits(train=rows(200, 1), calibrate=rows(80, 2), held_out=rows(200, 3))
    run = fit.train(MLP(hidden=(8,)), data, epochs=2)
    checkpoint.save_run(run, here / "run")
    api.export(run, here / "model.onnx")
    write(here / "train.csv", data.train)
    write(here / "held_out.csv", data.held_out)
    return here


def asked(folder, audits: str, *, subject: str = "run/", train: str = "train.csv") -> str:
    """An audit.yaml of these files."""
    path = folder / "audit.yaml"
    path.write_text(
        f"subject: {subject}\n"
        f"data: {{file: held_out.csv, train: {train}, truth: y, positive: 1, sensitive: [sex], features: [x, z]}}\n"
        f"audits: {{privacy: {{{audits}}}}}\n",
        "utf-8",
    )
    return str(path)


@pytest.mark.parametrize(
    ("audits", "why"),
    [
        ("canaries: 10", "the largest refutable epsilon is about 1.05"),
        ("canaries: 1000", "no privacy ledger"),
        (
            "black_box_canaries: 10",
            "black_box_canaries must be 0 (none) or at least 100, got 10: with 10 the",
        ),
        ("black_box_canaries: 1000", "leave black_box_canaries out"),
        ("membership: true, references: 9", "references must lie between 0 (none) and 4, got 9"),
        ("deep: true", "membership: true"),
        ("claimed_epsilon: 0, claimed_delta: 1.0e-5", "claimed_epsilon must be a positive number"),
        ("claimed_epsilon: 3.0", "belong together"),
        ("extract: -1", "extract must be 0"),
        ("membrship: true", "membrship"),
        ("attributes: [colour]", "sensitive attribute: 'colour'"),
    ],
)
def test_an_audit_that_cannot_be_made_is_refused(folder, tmp_path, capsys, audits, why) -> None:
    """Ten canaries, a card without a ledger, and parameters that say nothing; no evidence is written."""
    out = tmp_path / "out"

    assert why in refused(capsys, ["audit", asked(folder, audits), "--out", str(out)])
    assert not (out / "manifest.json").exists()
    assert not (out / "evidence").exists()


def test_members_that_are_non_members_too_are_refused(folder, tmp_path, capsys) -> None:
    """A file of training rows with some of the held-out ones in it, without a column of ids."""
    held_out = (folder / "held_out.csv").read_text("utf-8").splitlines()
    both = (folder / "train.csv").read_text("utf-8").splitlines() + held_out[1:20]
    (folder / "both.csv").write_text("\n".join(both) + "\n", "utf-8")
    # An ONNX file does not say what it was trained on, as a run does.
    audit = asked(folder, "membership: true", train="both.csv", subject="model.onnx")
    call = ["audit", audit, "--out", str(tmp_path / "out")]

    assert "19 rows" in (said := refused(capsys, call))
    assert "members and non-members at once" in said


@pytest.mark.parametrize("subject", ["model.onnx", "run/"])
def test_members_of_an_exported_model_are_asked_about_from_the_command_line(
    folder, tmp_path, subject: str
) -> None:
    """An ONNX file has no recipe, which the evidence says; a run from disk is trained again for its references."""
    call = ["audit", asked(folder, "membership: true, references: 1", subject=subject), "--out"]
    assert cli._run([*call, str(tmp_path / "out")]) == 0
    found = api.load(tmp_path / "out").evidence[0].measurements
    areas = {
        m.labels.get("attack"): m
        for m in found
        if m.metric == "privacy.membership_auc" and "group" not in m.labels
    }

    assert areas["loss"].value is not None
    assert areas["quantile"].value is not None
    if subject == "run/":
        assert areas["rmia"].value is not None
    else:
        assert "cannot be trained again" in areas["rmia"].why


def test_black_box_canaries_are_asked_for_like_the_others_and_stand_on_the_page(folder, tmp_path) -> None:
    """A private run from disk, through `rai audit` and `rai report`: an attack of its own, in words as well."""
    from rai_bigmodel.accounting import Privacy

    promise = Privacy(noise_multiplier=4.0, delta=1e-5, sample_rate=1.0, expected_batch_size=60)
    data = Splits(train=rows(200, 1), calibrate=rows(80, 2), held_out=rows(200, 3))
    checkpoint.save_run(fit.train(MLP(hidden=(8,)), data, epochs=5, privacy=promise), folder / "private")
    asking = asked(folder, "canaries: 100, black_box_canaries: 100", subject="private/")
    out = tmp_path / "out"
    assert cli._run(["audit", asking, "--out", str(out)]) == 0
    assert cli._run(["report", str(out)]) == 0
    page = (out / "report.html").read_text("utf-8")
    found = [m for m in api.load(out).evidence[0].measurements if m.metric == "privacy.epsilon_lower_bound"]

    assert [m.labels for m in found] == [
        {"method": "gaussian-fit"},
        {"method": "snj"},
        {"method": "f-dp"},
        {"method": "snj", "attack": "black-box canaries"},
        {"method": "f-dp", "attack": "black-box canaries"},
    ]
    assert all(m.value is not None for m in found[1:])  # of a fit one in 500 does not look normal
    assert "By method: attack black-box canaries" in page
    assert "ε by black-box canaries, snj: not refuted (largest refutable ε = " in page


def test_a_delta_of_one_over_the_rows_is_named_in_the_card(folder) -> None:
    """δ = 0.01 with 200 training rows: a warning with both numbers."""
    from rai_bigmodel.accounting import Privacy

    promise = Privacy(noise_multiplier=1.0, delta=0.01, sample_rate=0.2, expected_batch_size=40)
    data = Splits(train=rows(200, 1), calibrate=rows(80, 2), held_out=rows(200, 3))
    notes = fit.train(MLP(hidden=()), data, epochs=1, privacy=promise, batch_size=20).card.notes

    assert any("batch_size was not used" in note for note in notes)
    assert any("δ = 0.01 is not below one over the 200 training rows" in note for note in notes)
