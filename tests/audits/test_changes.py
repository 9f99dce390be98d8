"""Changes against the model that runs today: paired, labelled, and equal to the difference of the two audits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cohorts import rng, splits, subject, table

from rai_bigmodel import tables
from rai_bigmodel.audits.calibration import Calibration
from rai_bigmodel.audits.fairness import Fairness
from rai_bigmodel.audits.performance import Performance
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision, Measurement
from rai_bigmodel.subject import Splits, Subject
from rai_bigmodel.subjects.of_table import of_table

AUDITS = (Performance(), Calibration(), Fairness(intersections=False, given={"race": "sex"}))


def _worse(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Ranks by both features, one of which tells nothing."""
    return 1 / (1 + np.exp(-inputs["x"] - inputs["z"]))


def _key(m: Measurement) -> tuple[str, tuple[tuple[str, str], ...]]:
    return m.metric, tuple(
        sorted((k, v) for k, v in m.labels.items() if k not in {"high", "low", "to", "rate", "against"})
    )


def _changes(audit, after: Subject, data: Splits) -> dict[object, Measurement]:
    found = audit(after, data, rng()).measurements
    return {_key(m): m for m in found if "against" in m.labels}


@pytest.mark.parametrize("audit", AUDITS, ids=lambda a: type(a).__name__)
def test_a_change_is_what_the_subject_has_less_what_the_baseline_has(audit) -> None:
    """Every estimate of both, and nothing else; the interval holds the change, and has keep bounds."""
    data = splits(2000)
    after, before = subject(), subject(_worse, name="today")
    now, was = ({_key(m): m for m in audit(s, data, rng()).measurements} for s in (after, before))
    changes = _changes(audit, after.related(baseline=before), data)
    wanted = {k for k, m in now.items() if m.kind == "estimate" and k[0] != "performance.generalisation_gap"}

    assert wanted <= set(changes) <= set(now)
    for k, m in changes.items():
        assert m.labels["against"] == "baseline"
        if now[k].value is None or was[k].value is None:
            assert m.value is None
            assert m.why
            continue
        assert m.value == pytest.approx(now[k].value - was[k].value, abs=1e-9)
        if m.interval is not None:
            assert m.interval.low - 1e-9 <= m.value <= m.interval.high + 1e-9
            assert len(m.interval.ladder) >= 8
            # Deeper than that, draws may be too few for one side.
            assert all(None not in r[3:] for r in m.interval.ladder if r[0] >= 0.005)
            assert all(r[3:] != (None, None) for r in m.interval.ladder)
        else:
            assert m.kind == "exact" or m.why


def test_pairing_is_sharper_than_two_audits_apart() -> None:
    """Of two models that decide much alike, the change of accuracy is known twice as well."""
    data = splits(2000)
    before = subject(lambda inputs: 1 / (1 + np.exp(-2 * inputs["x"] - 0.2 * inputs["z"])), name="today")
    found = {m.metric: m for m in Performance()(subject().related(baseline=before), data, rng()).measurements}
    alone = Performance()(subject(), data, rng()).measurements[0].interval
    change = found["performance.accuracy"]

    assert change.labels == {"against": "baseline"}
    assert change.interval.method == "tango"
    assert change.interval.high - change.interval.low < (alone.high - alone.low) / 2


def test_a_note_says_which_rows_the_two_decide_differently() -> None:
    """As McNemar counts them."""
    data = splits(600)
    notes = Performance()(subject().related(baseline=subject(_worse, name="today")), data, rng()).notes

    assert len(notes) == 1
    assert notes[0].startswith("Against today: ")
    assert "that it got wrong are right now" in notes[0]


def test_the_same_model_has_not_changed() -> None:
    """Every change is 0, and no interval leaves 0 out."""
    data = splits(600)
    for audit in AUDITS:
        for m in _changes(audit, subject().related(baseline=subject(name="today")), data).values():
            assert m.value in {0.0, None}
            assert m.interval is None or m.interval.low <= 0 <= m.interval.high


def test_several_labels_are_compared_one_against_the_rest() -> None:
    """A table of predictions of three labels beside other answers to the same rows."""
    draw = np.random.default_rng(5)
    truth = draw.choice(["a", "b", "c"], 900).astype(object)

    def answers(right: float) -> np.ndarray:
        return np.where(draw.random(900) < right, truth, draw.choice(["a", "b", "c"], 900)).astype(object)

    rows = replace(
        table(900, y=truth, said=answers(0.8)),
        roles={"feature": ("x",), "truth": ("y",), "sensitive": ("sex",), "prediction": ("said",)},
    )
    other = answers(0.5)
    one_hot = np.equal.outer(other, np.array(["a", "b", "c"], dtype=object)).astype(float)
    after = of_table(rows)
    before = replace(
        after, name="today", kind="predictions", predict=lambda _: one_hot, card={"decisions_only": True}
    )
    data = Splits(held_out=rows)
    overall = _changes(Performance(), after.related(baseline=before), data)
    groups = _changes(Fairness(), after.related(baseline=before), data)

    assert overall["performance.accuracy", ()].value > 0.1
    assert overall["performance.accuracy", ()].interval.low > 0
    assert overall["performance.f1_macro", ()].interval.method == "multinomial resampling, bca"
    found = groups["fairness.selection_rate", (("attribute", "sex"), ("class", "a"), ("group", "f"))]
    assert found.interval.method == "tango"


def test_numbers_are_compared_by_their_errors() -> None:
    """Half the noise: errors fall, R² rises, and the rows' differences say how surely."""
    draw = np.random.default_rng(5)
    y = draw.normal(size=800)
    rows = replace(
        table(800, y=y),
        roles={"feature": ("x",), "truth": ("y",), "sensitive": ("sex",)},
    )
    noise = draw.normal(size=800)
    decision = Decision(kind="threshold", threshold=None, positive="", labels=())
    after, before = (
        subject(lambda _, by=by: y + by * noise, name=str(by), decision=decision) for by in (0.4, 0.8)
    )
    data = Splits(held_out=rows)
    overall = _changes(Performance(), after.related(baseline=before), data)
    means = _changes(Fairness(), after.related(baseline=before), data)

    assert overall["performance.mae", ()].interval.high < 0
    assert overall["performance.rmse", ()].interval.high < 0
    assert overall["performance.r2", ()].interval.low > 0
    assert (
        means["fairness.mean_prediction", (("attribute", "sex"), ("group", "f"))].interval.method
        == "student-t, corrected for skewness"
    )


def test_rows_with_weights_are_bounded_by_both_intervals() -> None:
    """No paired formula weighs rows, and none is used that does not."""
    rows = table(900, w=np.random.default_rng(1).uniform(1, 3, 900))
    rows = replace(rows, roles={**rows.roles, "feature": ("x", "z"), "weight": ("w",)})
    found = _changes(Fairness(), subject().related(baseline=subject(_worse)), Splits(held_out=rows))
    gap = found["fairness.demographic_parity_difference", (("attribute", "sex"), ("scope", "sized"))]

    assert gap.interval.method == "bonferroni of two"


def test_rows_in_an_engine_are_not_paired_and_say_so() -> None:
    """A lazy frame leaves nothing but counts, so every change is null with the reason."""
    import polars as pl

    columns = table(400).columns
    frame = pl.DataFrame({k: list(v) for k, v in columns.items()}).with_columns(p=pl.col("x").rank() / 400)
    rows = tables.of(
        frame.lazy(), roles={"truth": ("y",), "sensitive": ("sex",), "score": ("p",), "feature": ("z",)}
    )
    after = of_table(rows)
    found = _changes(
        Performance(), after.related(baseline=replace(after, name="today")), Splits(held_out=rows)
    )

    assert found["performance.accuracy", ()].value is None
    assert "single rows" in found["performance.accuracy", ()].why


def test_a_baseline_that_answers_another_question_is_refused() -> None:
    """Numbers beside decisions; scores of the other label."""
    data = splits(300)
    number = subject(decision=Decision(kind="threshold", threshold=None, positive="", labels=()), name="old")
    other = subject(
        decision=Decision(kind="threshold", threshold=0.5, positive="0", labels=("0", "1")), name="old"
    )

    with pytest.raises(InputError, match="the outcome of one is of the kind number, of the other binary"):
        Performance()(subject().related(baseline=number), data, rng())
    with pytest.raises(InputError, match="scores the label '0'"):
        Performance()(subject().related(baseline=other), data, rng())
