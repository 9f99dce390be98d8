"""The performance audit against scikit-learn, and where a number cannot be had."""

from __future__ import annotations

import numpy as np
import pytest
from cohorts import rng, splits, subject

from rai_bigmodel.audits.performance import Performance
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import decisions_of, scores_of, truth_of


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
