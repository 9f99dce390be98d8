"""The audit of explanations: what it measures where they are true, and what it withholds where they are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need the extra 'train'")

import cohorts
import torch
import trained

from rai_bigmodel import plugins
from rai_bigmodel.audits import explainability
from rai_bigmodel.audits.explainability import Explainability
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Splits, Subject
from rai_bigmodel.tables import Table
from rai_bigmodel.testing import check_audit

YES = Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1"))


def _by_metric(findings) -> dict[str, list]:
    out: dict[str, list] = {}
    for m in findings.measurements:
        out.setdefault(m.metric.removeprefix("explainability."), []).append(m)
    return out


def _shortcut(seed: int, *, shuffled: bool) -> tuple[Subject, Splits]:
    """A net trained where one column gives the outcome away, or where that column was shuffled first."""
    r = np.random.default_rng([seed, 21])
    x = r.normal(size=(1500, trained.FEATURES)).astype(np.float32)
    y = (x[:, 1:6].sum(axis=1) + 3 * r.normal(size=1500) > 0).astype(np.float32)
    x[:, 0] = (2 * y - 1) * 1.5 + 0.3 * r.normal(size=1500)
    if shuffled:
        x[:, 0] = r.permutation(x[:, 0])
    net = trained.fitted(trained.seeded(trained.mlp, seed), x[:1000], y[:1000], epochs=6, seed=seed)
    names = tuple(f"f{i}" for i in range(trained.FEATURES))

    def predict(columns):
        rows = np.stack([columns[f] for f in names], axis=1).astype(np.float32)
        with torch.no_grad():
            return torch.sigmoid(net(torch.from_numpy(rows))[:, 0]).numpy()

    held = {f: x[1000:, i].astype(np.float64) for i, f in enumerate(names)}
    group = r.choice(np.array(["a", "b"], dtype=object), 500)
    table = Table(
        name="held out",
        columns={**held, "y": y[1000:].astype(float), "g": group},
        roles={"feature": names, "truth": ("y",), "sensitive": ("g",)},
    )
    subject = Subject(
        name="net", kind="torch", digest="sha256:" + "a" * 64, decision=YES, predict=predict, module=net
    )
    return subject, Splits(held_out=table)


def test_z22_a_planted_shortcut_is_found_and_its_shuffled_twin_is_quiet() -> None:
    """It carries the attribution, and permuting it costs accuracy; shuffled before training, neither."""
    told = {}
    for shuffled in (False, True):
        found = _by_metric(Explainability(top=20, shown=20)(*_shortcut(0, shuffled=shuffled), cohorts.rng()))
        assert found["faithful"][0].value == 1.0, found["faithful"][0].why
        told[shuffled] = {
            name: next(m for m in found[name] if m.labels["feature"] == "f0")
            for name in ("attribution_share", "permutation_drop")
        }

    assert told[False]["attribution_share"].interval.low > 0.3
    assert told[False]["permutation_drop"].interval.low > 0.2
    assert told[True]["attribution_share"].interval.high < 0.1
    assert told[True]["permutation_drop"].interval.high < 0.05


@pytest.mark.zoo
@pytest.mark.parametrize("seed", range(20))
def test_z22_twenty_shortcuts_are_called_so_and_twenty_twins_are_not(seed) -> None:
    """By attribution and permutation together, in the words of a note."""
    said = {
        shuffled: [
            n
            for n in Explainability()(*_shortcut(seed, shuffled=shuffled), cohorts.rng()).notes
            if "Shortcut" in n
        ]
        for shuffled in (False, True)
    }

    assert len(said[False]) == 1
    assert "f0 alone" in said[False][0]
    assert said[True] == []


def test_of_a_true_explanation_everything_that_rests_on_it_is_measured() -> None:
    """Names as in the contract; shares add up to 1; a column that the model does not read carries exactly 0."""
    found = _by_metric(Explainability(top=2, shown=20)(*_shortcut(1, shuffled=False), cohorts.rng()))

    assert {
        "completeness_gap",
        "insertion_deletion_p",
        "randomisation_similarity",
        "ablation_agreement",
        "infidelity",
        "stability",
        "faithful",
        "attribution_share",
        "importance",
        "sensitive_share",
        "importance_difference",
        "permutation_drop",
        "proxy_strength",
    } == set(found)
    assert sum(m.value for m in found["attribution_share"]) == pytest.approx(1.0)
    (share,) = found["sensitive_share"]
    assert (share.kind, share.value) == ("exact", 0.0)
    for m in found["importance_difference"]:
        assert m.interval.low == 0.0, "groups drawn at random do not differ"


def test_a_failed_explanation_is_shown_as_failed_and_supports_no_claim(monkeypatch) -> None:
    """Which test failed and why stands on the exhibit; what rests on attributions is null with that reason."""

    def failing(case, values, explain, rng, **how):
        real = real_battery(case, -values, lambda one, r: -explain(one, r), rng, **how)
        assert real.faithful is False
        return real

    real_battery = explainability.battery
    monkeypatch.setattr(explainability, "battery", failing)
    findings = Explainability()(*_shortcut(2, shuffled=False), cohorts.rng())
    found = _by_metric(findings)

    assert found["faithful"][0].value == 0.0
    for name in ("attribution_share", "importance", "sensitive_share", "importance_difference"):
        (m,) = found[name]
        assert m.value is None
        assert "infidelity" in m.why
    assert all(m.value is not None for m in found["permutation_drop"])
    assert "FAILED" in findings.exhibits[0].caption
    assert any("No other claim" in note for note in findings.notes)


def test_a_black_box_of_numbers_and_text_is_explained_by_its_answers() -> None:
    """Shapley values; a column of text is a feature like any other; missing values are handed on."""
    r = np.random.default_rng(3)
    n = 300
    columns = {f"n{i}": r.normal(size=n) for i in range(5)}
    columns["n4"][::7] = np.nan
    columns["word"] = r.choice(np.array(["no", "yes", "maybe"], dtype=object), n)
    seen_missing = []

    def predict(inputs):
        seen_missing.append(np.isnan(inputs["n4"]).any())
        z = 2 * inputs["n0"] - inputs["n1"] + 1.5 * (inputs["word"] == "yes") + np.nan_to_num(inputs["n4"])
        return 1 / (1 + np.exp(-z))

    y = (predict(columns) > r.uniform(size=n)).astype(float)
    table = Table(name="t", columns={**columns, "y": y}, roles={"feature": tuple(columns), "truth": ("y",)})
    found = _by_metric(
        Explainability(shown=6)(cohorts.subject(predict), Splits(held_out=table), cohorts.rng())
    )
    order = [m.labels["feature"] for m in sorted(found["importance"], key=lambda m: -m.value)]

    assert found["faithful"][0].value == 1.0, found["faithful"][0].why
    assert order[0] == "n0"
    assert set(order[-2:]) == {"n2", "n3"}
    assert any(seen_missing)


def test_a_network_that_no_gradient_reaches_is_named_by_input_and_auto_asks_its_answers() -> None:
    """One line says which columns are rounded and what to use in place of gradients; another width is one line too."""

    class Rounded(torch.nn.Module):
        def forward(self, x):
            return x[:, :1] + 2 * x[:, 1:].round().sum(dim=1, keepdim=True)

    r = np.random.default_rng(5)
    names = tuple(f"f{i}" for i in range(6))
    columns = {f: 2 * r.normal(size=200) for f in names}
    table = Table(name="t", columns=columns, roles={"feature": names})

    def asked(net, **how):
        def predict(inputs):
            rows = np.stack([inputs[f] for f in names], axis=1).astype(np.float32)
            with torch.no_grad():
                return torch.sigmoid(net(torch.from_numpy(rows))[:, 0] / 4).numpy()

        subject = cohorts.subject(predict)
        return Explainability(**how)(
            replace(subject, module=net.eval()), Splits(held_out=table), cohorts.rng()
        )

    with pytest.raises(
        InputError,
        match=r"5 of 6 features \('f1', 'f2', 'f3', 'f4', 'f5'\): it is cut off.*shapley or ablation",
    ):
        asked(Rounded(), method="integrated_gradients")
    with pytest.raises(InputError, match=r"cannot be asked about rows of shape \(6,\)"):
        asked(torch.nn.Linear(5, 1))
    assert asked(Rounded()).notes[0].startswith("Shapley values")


def test_a_table_of_predictions_and_too_few_features_are_null_with_why() -> None:
    """Nothing can be asked again; of two features a random ranking is right too often."""
    table = cohorts.splits()
    asked = cohorts.subject(kind="table")
    found = Explainability()(asked, table, cohorts.rng()).measurements
    (m,) = [m for m in found if m.metric == "explainability.faithful"]
    few = _by_metric(Explainability()(cohorts.subject(), table, cohorts.rng()))

    assert m.value is None
    assert "cannot be asked again" in m.why
    assert few["faithful"][0].value is None
    assert few["importance"][0].value is None


def test_a_networks_pictures_are_explained_by_patches() -> None:
    """The case of a CNN of ours, straight from a column of pictures; a patch is permuted like a column."""
    pictures, y = trained._bars(np.random.default_rng(5), 1000)
    net = trained.fitted(trained._net("cnn", 0), pictures, y, epochs=8, seed=0)
    pictures, y = pictures[:24], y[:24]

    class Pictures:
        name, rows, digest, positive = "pictures", 24, "sha256:" + "c" * 64, "1"
        roles = {"feature": ("image",), "truth": ("y",)}

        def arrays(self, *names):
            return {name: {"image": pictures, "y": y}[name] for name in names}

        def binary(self, column):
            return y == 1

    def predict(pictures):
        with torch.no_grad():
            return torch.sigmoid(net(torch.from_numpy(pictures))[:, 0]).numpy()

    subject = Subject(
        name="cnn", kind="torch", digest="sha256:" + "d" * 64, decision=YES, predict=predict, module=net
    )
    found = _by_metric(Explainability(steps=16)(subject, Splits(held_out=Pictures()), cohorts.rng()))

    assert found["faithful"][0].value == 1.0, found["faithful"][0].why
    assert found["attribution_share"][0].labels["feature"].startswith("row ")
    assert all(m.labels["feature"].startswith("row ") for m in found["permutation_drop"])
    assert all(m.value is not None for m in found["permutation_drop"])


def test_the_audit_keeps_the_laws_of_plugins() -> None:
    """Same seed, same bytes; a null has its reason; installed under its name."""
    check_audit(plugins.load("explainability"), name="explainability")
