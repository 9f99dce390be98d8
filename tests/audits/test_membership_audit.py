"""Membership inference as an audit: memorised rows are told, fresh ones are not, and what cannot be known is null."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cohorts import logistic, rng, splits, subject, table

from rai_bigmodel.audits.privacy import Privacy
from rai_bigmodel.audits.privacy_membership import ASKED, UNCOUNTED, of_membership
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Splits


def told(findings, metric: str, **labels: str):
    """The measurements of a metric with these labels and no group, or the group's."""
    return [
        m
        for m in findings.measurements
        if m.metric == f"privacy.{metric}"
        and all(m.labels.get(k) == v for k, v in labels.items())
        and ("group" in labels or "group" not in m.labels)
    ]


def memorised(data: Splits):
    """A model that is sure of the outcome in the rows of `train`, and has the usual score elsewhere."""
    rows = data.train.arrays("x", "y")
    outcome = dict(zip(rows["x"].tolist(), rows["y"].tolist(), strict=True))

    def predict(inputs):
        usual = logistic(inputs)
        known = np.array([outcome.get(x, -1.0) for x in inputs["x"].tolist()])
        return np.where(known < 0, usual, np.where(known > 0, 0.999, 0.001))

    return predict


def test_a_model_that_memorised_its_rows_is_found_in_all_and_in_each_group() -> None:
    """By the loss and by the quantile attack, while the inputs alone tell nothing."""
    data = splits()
    findings = Privacy(membership=True)(subject(memorised(data)), data, rng())

    for attack in ("loss", "quantile"):
        assert told(findings, "membership_auc", attack=attack)[0].interval.low > 0.85
    rate = told(findings, "membership_tpr", attack="loss", fpr="0.01")[0]
    assert rate.interval.low > 0.9
    assert told(findings, "blind_baseline_auc")[0].interval.low <= 0.5
    assert told(findings, "blind_baseline_auc")[0].n == 600
    assert told(findings, "membership_auc", attribute="sex", group="f")[0].interval.low > 0.85
    assert findings.notes == (ASKED,)


def test_rows_never_trained_on_are_not_told() -> None:
    """A fixed score: every interval holds one half (at .001); 600 non-members are refused at 0.1 %."""
    findings = Privacy(membership=True)(subject(), splits(), rng())

    for found in told(findings, "membership_auc"):
        rung = found.interval.rung(0.001)
        assert rung[1] <= 0.5 <= rung[2]
    refused = told(findings, "membership_tpr", attack="loss", fpr="0.001")[0]
    assert refused.value is None
    assert "3,000 would do" in refused.why


def test_held_out_rows_of_another_kind_prove_nothing() -> None:
    """Shifted by one deviation, the inputs alone tell them: null with why, whatever the model does."""
    data = splits()
    shifted = dataclasses.replace(
        data.held_out, columns={**data.held_out.columns, "x": data.held_out.columns["x"] + 1.0}
    )
    findings = Privacy(membership=True)(
        subject(memorised(data)), Splits(held_out=shifted, train=data.train), rng()
    )
    areas = told(findings, "membership_auc")

    assert [m.value for m in areas] == [None]
    assert "inputs alone" in areas[0].why
    assert told(findings, "blind_baseline_auc")[0].interval.low > 0.6
    assert not told(findings, "membership_tpr")


def test_training_rows_are_asked_about_only_where_the_auditor_says_so() -> None:
    """By default nothing is measured on them; for a private model the evidence says that ε does not count it."""
    private = subject(card={"ledger": {"steps": 10}})

    assert not told(Privacy()(subject(), splits(), rng()), "membership_auc")
    assert UNCOUNTED in of_membership(private, splits(), (), rng()).notes
    assert UNCOUNTED not in of_membership(subject(), splits(), (), rng()).notes


def test_text_and_missing_features_are_looked_at_too() -> None:
    """A text whose values differ between the two is seen without the model; holes alike on both sides do no harm."""

    def holes(seed: int) -> np.ndarray:
        values = np.random.default_rng(seed).normal(size=600)
        values[::7] = np.nan
        return values

    def rows(seed: int, words: list[str]):
        drawn = np.random.default_rng(seed + 50).choice(np.array(words, dtype=object), 600)
        return table(600, seed=seed, town=drawn, hole=holes(seed))

    alike = Splits(held_out=rows(0, ["a", "b"]), train=rows(1, ["a", "b"]))
    other = Splits(held_out=rows(0, ["a", "b", "c", "c"]), train=rows(1, ["a", "b"]))

    assert told(Privacy(membership=True)(subject(), other, rng()), "membership_auc")[0].value is None
    assert told(Privacy(membership=True)(subject(), alike, rng()), "membership_auc", attack="quantile")[
        0
    ].value


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (Splits(held_out=table(200)), "no training rows"),
        (Splits(held_out=table(40), train=table(200, seed=1)), "at least 60"),
    ],
)
def test_what_cannot_be_attacked_is_null_with_why(data: Splits, why: str) -> None:
    """One line each for the area and the baseline."""
    findings = Privacy(membership=True)(subject(), data, rng())

    for name in ("membership_auc", "blind_baseline_auc"):
        assert why in told(findings, name)[0].why


def test_a_row_on_both_sides_is_refused() -> None:
    """By its id, with how many."""

    def named(seed: int, start: int):
        rows = table(100, seed=seed)
        columns = {**rows.columns, "id": np.array([f"r{i}" for i in range(start, start + 100)], dtype=object)}
        return dataclasses.replace(rows, columns=columns, roles={**rows.roles, "id": ("id",)})

    with pytest.raises(InputError, match="20 rows"):
        Privacy(membership=True)(subject(), Splits(held_out=named(0, 0), train=named(1, 80)), rng())
    assert Privacy(membership=True)(subject(), Splits(held_out=named(0, 0), train=named(1, 100)), rng())


def test_a_predicted_number_is_attacked_by_its_error() -> None:
    """Exact on training rows, half a deviation off elsewhere."""
    data = splits()
    known = set(data.train.columns["x"].tolist())
    targets = dict(
        zip(data.train.columns["x"].tolist(), data.train.columns["y"].tolist(), strict=True)
    ) | dict(zip(data.held_out.columns["x"].tolist(), data.held_out.columns["y"].tolist(), strict=True))

    def predict(inputs):
        off = np.random.default_rng(77).normal(size=len(inputs["x"])) * 0.5
        return np.array([targets[x] for x in inputs["x"].tolist()]) + np.where(
            [x in known for x in inputs["x"].tolist()], 0.05 * off, off
        )

    box = subject(predict, decision=Decision(kind="threshold", threshold=None, positive="", labels=()))
    found = of_membership(box, data, (), rng())

    assert [m.value > 0.85 for m in found.measurements if m.metric == "privacy.membership_auc"] == [
        True,
        True,
    ]
