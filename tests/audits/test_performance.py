"""The performance audit against scikit-learn, and where a number cannot be had."""

from __future__ import annotations

import numpy as np
import pytest
from cohorts import rng, splits, subject

from rai_bigmodel.audits.performance import Performance
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Splits, decisions_of, scores_of, truth_of
from rai_bigmodel.subjects.of_table import of_table
from rai_bigmodel.tables import Table


def test_every_number_is_that_of_scikit_learn() -> None:
    """Accuracy, balanced accuracy, AUC, Brier score and log loss."""
    from sklearn import metrics as sk

    data = splits(500)
    y, d, s = (
        truth_of(data.held_out),
        decisions_of(subject(), data.held_out),
        scores_of(subject(), data.held_out),
    )
    found = {m.metric: m for m in Performance()(subject(), data, rng()).measurements}
    expected = {
        "accuracy": sk.accuracy_score(y, d),
        "balanced_accuracy": sk.balanced_accuracy_score(y, d),
        "roc_auc": sk.roc_auc_score(y, s),
        "brier": sk.brier_score_loss(y, s),
        "log_loss": sk.log_loss(y, s),
    }
    for name, value in expected.items():
        m = found[f"performance.{name}"]
        assert m.value == pytest.approx(value, abs=1e-9)
        assert m.interval is not None
        assert m.interval.low <= m.value <= m.interval.high
        assert len(m.interval.ladder) == 13


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda x: np.full(len(x["x"]), np.nan), "600 of 600 scores are not finite"),
        (lambda _: np.zeros(3), r"shape \(3,\) for 600 rows"),
    ],
)
def test_scores_that_are_not_scores_are_refused(scores, message) -> None:
    """NaN and wrong shapes are named with their counts."""
    with pytest.raises(InputError, match=message):
        Performance()(subject(scores), splits(), rng())


def test_probabilities_of_two_labels_are_read_by_the_positive_one() -> None:
    """A subject may give ``(rows, labels)``; the column of the positive label counts."""
    both = subject(
        lambda x: np.stack([1 / (1 + np.exp(-x["x"])), 1 / (1 + np.exp(x["x"]))], axis=1),
        decision=Decision(kind="threshold", threshold=0.5, positive="1", labels=("1", "0")),
    )
    found = {m.metric: m.value for m in Performance()(both, splits(), rng()).measurements}

    assert found["performance.roc_auc"] > 0.7


def test_f1_is_scikit_learns_and_its_ladder_ends_where_the_draws_do() -> None:
    """The macro average of both labels; a rung that 100,000 draws cannot reach is left out."""
    from sklearn.metrics import f1_score

    data = splits(500)
    found = {m.metric: m for m in Performance()(subject(), data, rng()).measurements}
    f1 = found["performance.f1_macro"]
    expected = f1_score(truth_of(data.held_out), decisions_of(subject(), data.held_out), average="macro")

    assert f1.value == pytest.approx(expected, abs=1e-12)
    assert f1.interval.low < f1.value < f1.interval.high
    # 10 of 100,000 draws lie beyond the ends of .0002, and on one side fewer by the correction.
    assert min(rung[0] for rung in f1.interval.ladder if None not in rung) == 0.0005
    assert min(rung[0] for rung in f1.interval.ladder) == 0.0001


def test_the_generalisation_gap_says_that_training_rows_were_seen() -> None:
    """Accuracy there less accuracy here; without training rows a null with a reason."""
    data = splits(500)
    here, there = ((decisions_of(subject(), c) == truth_of(c)).mean() for c in (data.held_out, data.train))
    gap = Performance()(subject(), data, rng()).measurements[-1]
    none = Performance()(subject(), Splits(held_out=data.held_out), rng()).measurements[-1]

    assert gap.value == pytest.approx(there - here, abs=1e-12)
    assert "training rows were looked at" in gap.why
    assert gap.interval.low < gap.value < gap.interval.high
    assert none.value is None
    assert none.why == "no training rows were given"


def _three_labels(rows: int = 600):
    """Probabilities of three labels, the outcome drawn from them, and a box that gives them."""
    r = np.random.default_rng(3)
    chances = r.dirichlet(np.ones(3), size=rows)
    y = (r.random((rows, 1)) > np.cumsum(chances, axis=1)).sum(axis=1)
    names = np.array(["cat", "dog", "emu"], dtype=object)
    table = Table(
        name="rows",
        columns={"i": np.arange(float(rows)), "y": names[y], "d": names[chances.argmax(axis=1)]},
        roles={"feature": ("i",), "truth": ("y",)},
    )
    decision = Decision(kind="argmax", threshold=None, positive="", labels=("cat", "dog", "emu"))
    return subject(lambda x: chances[x["i"].astype(int)], decision=decision), table, chances, y


def test_several_labels_are_measured_as_scikit_learn_does() -> None:
    """Accuracy, balanced accuracy, F1, log loss, and the macro AUC of each against the rest."""
    from sklearn import metrics as sk

    box, table, chances, y = _three_labels()
    d = chances.argmax(axis=1)
    found = {
        (m.metric.partition(".")[2], m.labels.get("class")): m
        for m in Performance()(box, Splits(held_out=table), rng()).measurements
    }
    expected = {
        "accuracy": sk.accuracy_score(y, d),
        "balanced_accuracy": sk.balanced_accuracy_score(y, d),
        "f1_macro": sk.f1_score(y, d, average="macro"),
        "log_loss": sk.log_loss(y, chances),
        "roc_auc": sk.roc_auc_score(y, chances, multi_class="ovr"),
    }
    for name, value in expected.items():
        m = found[name, None]
        assert m.value == pytest.approx(value, abs=1e-9)
        assert m.interval.low <= m.value <= m.interval.high
    assert found["roc_auc", "dog"].value == pytest.approx(sk.roc_auc_score(y == 1, chances[:, 1]), abs=1e-12)


def test_the_interval_of_the_macro_auc_is_as_wide_as_resampling_rows_says() -> None:
    """Summed placements against 200 bootstraps of rows."""
    from sklearn.metrics import roc_auc_score

    box, table, chances, y = _three_labels(400)
    found = next(
        m
        for m in Performance()(box, Splits(held_out=table), rng()).measurements
        if m.metric == "performance.roc_auc" and not m.labels
    )
    r = np.random.default_rng(0)
    drawn = [roc_auc_score(y[i], chances[i], multi_class="ovr") for i in r.integers(0, 400, (200, 400))]

    assert (found.interval.high - found.interval.low) / 3.92 == pytest.approx(np.std(drawn), rel=0.2)


def test_a_table_of_decided_labels_has_accuracy_and_no_ranking() -> None:
    """Several labels in a column of predictions."""
    _, table, chances, y = _three_labels()
    decided = Table(name="rows", columns=table.columns, roles={"truth": ("y",), "prediction": ("d",)})
    found = {
        m.metric: m for m in Performance()(of_table(decided), Splits(held_out=decided), rng()).measurements
    }

    assert found["performance.accuracy"].value == pytest.approx((chances.argmax(axis=1) == y).mean())
    assert found["performance.roc_auc"].why == "only decisions were given, no scores"


def test_a_label_that_the_subject_does_not_give_is_named() -> None:
    """With those it does."""
    box, table, *_ = _three_labels()
    y = table.columns["y"].copy()
    y[0] = "dgo"
    odd = Table(name="rows", columns={**table.columns, "y": y}, roles=table.roles)
    with pytest.raises(InputError, match="'dgo' is not there; there are: cat, dog, emu"):
        Performance()(box, Splits(held_out=odd), rng())


def test_predicted_numbers_are_measured_as_scikit_learn_does() -> None:
    """Errors and R²; the gap is that of the mean absolute error."""
    from sklearn import metrics as sk

    data = splits(400)
    roles = {"feature": ("x",), "truth": ("z",)}
    held, train = (Table(name=c.name, columns=c.columns, roles=roles) for c in (data.held_out, data.train))
    box = subject(
        lambda x: x["x"] * 0.5, decision=Decision(kind="threshold", threshold=None, positive="", labels=())
    )
    found = {m.metric: m for m in Performance()(box, Splits(held_out=held, train=train), rng()).measurements}
    y, p = held.columns["z"], held.columns["x"] * 0.5
    expected = {
        "mae": sk.mean_absolute_error(y, p),
        "rmse": sk.root_mean_squared_error(y, p),
        "r2": sk.r2_score(y, p),
        "generalisation_gap": sk.mean_absolute_error(y, p)
        - sk.mean_absolute_error(train.columns["z"], train.columns["x"] * 0.5),
    }
    for name, value in expected.items():
        m = found[f"performance.{name}"]
        assert m.value == pytest.approx(value, abs=1e-12)
        assert m.interval.low < m.value < m.interval.high
        assert len(m.interval.ladder) == 13
