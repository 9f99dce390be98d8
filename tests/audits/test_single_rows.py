"""Single rows: reasons known on paper, what may be shown, counterfactuals by a naive twin, curves of a known model."""

from __future__ import annotations

import itertools

import cohorts
import numpy as np
import pytest

from rai_bigmodel.audits import counterfactuals
from rai_bigmodel.audits.explainability import Explainability
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Bars, Curve, Decision, Heatmap, Table
from rai_bigmodel.files import canonical_json
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table as Rows

NAMES = ("a", "b", "c", "d", "e", "f")
WEIGHTS = np.array([3.0, -2.0, 1.0, 0.5, 0.0, 0.0])


def _logit(columns) -> np.ndarray:
    return np.stack([columns[f] for f in NAMES], axis=1) @ WEIGHTS


def _sigmoid(columns) -> np.ndarray:
    return 1 / (1 + np.exp(-_logit(columns)))


def _held(n: int = 120, seed: int = 0) -> Rows:
    x = np.random.default_rng(seed).normal(size=(n, 6))
    columns = {f: x[:, i] for i, f in enumerate(NAMES)}
    y = (_logit(columns) + np.random.default_rng(1).normal(size=n) > 0).astype(float)
    return Rows(name="held out", columns={**columns, "y": y}, roles={"feature": NAMES, "truth": ("y",)})


def _found(predict=_sigmoid, table: Rows | None = None, **how):
    how = {"rows": 120, **how}
    subject = cohorts.subject(predict)
    return Explainability(**how)(subject, Splits(held_out=table or _held()), cohorts.rng())


def _one(findings, kind, title: str):
    return next(e for e in findings.exhibits if isinstance(e, kind) and e.title.startswith(title))


def test_the_reasons_of_a_linear_score_are_its_largest_terms_towards_the_decision() -> None:
    """Of a linear model the reasons are weight × way from the median, towards what was decided."""
    table = _held()
    found = _found(_logit_as_score, table, cases=(5, 17), top=2)
    rows = {r[0]: r for r in _one(found, Table, "Single rows").rows}
    middle = np.array([np.median(table.columns[f]) for f in NAMES])
    for number in (5, 17):
        terms = WEIGHTS * (np.array([table.columns[f][number - 1] for f in NAMES]) - middle)
        _, answer, decided, reasons, *_ = rows[f"row {number}"]
        sign = 1 if decided == "1" else -1
        paper = [NAMES[i] for i in np.argsort(-sign * terms)[:2] if sign * terms[i] > 0]

        assert reasons == "; ".join(paper)
        assert answer == pytest.approx(_logit_as_score(_taken(table, number - 1))[0], rel=0.01)


def _logit_as_score(columns) -> np.ndarray:
    return 0.5 + 0.02 * _logit(columns)


def _taken(table: Rows, i: int) -> dict[str, np.ndarray]:
    return {f: table.columns[f][i : i + 1] for f in NAMES}


def test_what_a_row_holds_is_shown_only_where_that_was_asked_for() -> None:
    """No value of a person reaches the evidence by default; with `values: true` the reasons say it."""
    table = _held()
    table.columns["a"][4] = 1234.5
    hidden, shown = (
        _found(_logit_as_score, table, cases=(5,), mutable={"a": (-3.0, 3.0)}, values=v)
        for v in (False, True)
    )

    assert "1,234" not in str(hidden)
    assert "1234.5" not in canonical_json(hidden).decode()
    assert "a = 1,234" in str(shown) or "a = 1,235" in str(shown)


def test_the_hardest_rows_are_those_furthest_from_right() -> None:
    """By the gap between score and outcome, among the rows that are explained."""
    table = _held()
    far = np.abs(_sigmoid(table.columns) - table.columns["y"])
    found = _found(table=table, hardest=2)
    called = [r[0] for r in _one(found, Table, "Single rows").rows]

    assert called == [f"row {i + 1}" for i in np.argsort(-far)[:2]]


def test_rows_shown_one_by_one_change_no_number_of_all_rows() -> None:
    """The measurements are the same bytes with and without them."""
    without, beside = _found(), _found(hardest=3, dependence=2)

    assert canonical_json(without.measurements) == canonical_json(beside.measurements)
    assert len(beside.exhibits) > len(without.exhibits)


def test_reasons_stay_or_do_not_after_another_training() -> None:
    """Trainings that agree keep every reason; one that turns the weights round keeps none of them."""

    def refit(flip: bool):
        def again(cohort, rng, how):
            sign = -1.0 if flip else 1.0
            return cohorts.subject(lambda c: 0.5 + sign * 0.02 * _logit(c))

        return again

    for flip, kept in ((False, "2.0 of 2"), (True, "0.0 of 2")):
        from dataclasses import replace

        subject = replace(cohorts.subject(_logit_as_score), refit=refit(flip))
        data = Splits(held_out=_held(), train=_held(seed=3))
        found = Explainability(cases=(5,), refits=3, top=2)(subject, data, cohorts.rng())

        assert _one(found, Table, "Single rows").rows[0][-1].startswith(kept)
    alone = _one(_found(cases=(5,), refits=3), Table, "Single rows")
    assert "cannot be trained again" in alone.caption


def test_a_failed_explanation_gives_no_reasons(monkeypatch) -> None:
    """The row is named with what failed; no bar, no reason, no picture of it."""
    from rai_bigmodel.audits import explainability
    from rai_bigmodel.audits.battery import Tested

    monkeypatch.setattr(
        explainability, "battery", lambda *_, **__: Tested((), faithful=False, why="it was planted")
    )
    found = _found(cases=(5,))

    assert "FAILED" in _one(found, Table, "Single rows").rows[0][3]
    assert [e.title for e in found.exhibits if isinstance(e, Bars | Heatmap)] == [
        "How much each feature moves the score, on average"
    ]


# --- what would have had to differ ------------------------------------------------------------------


def test_the_smallest_change_is_that_of_a_naive_search() -> None:
    """Over all pairs of a fine grid no change that flips is smaller, but for the grid's own width."""
    table = _held()
    decide = counterfactuals.deciding(cohorts.subject(_sigmoid))
    mutable = {"a": (-2.0, 2.0), "b": (-2.0, 2.0)}
    scale = counterfactuals.scales(table.columns, mutable)
    fine = np.linspace(-2, 2, 81)
    for i in range(6):
        row = _taken(table, i)
        found = counterfactuals.smallest(row, mutable, decide, scale)
        single = [
            abs(v - float(row[f][0])) / scale[f].step
            for f, v in itertools.product(mutable, fine)
            if int(decide({**row, f: np.array([v])})[0]) != int(decide(row)[0])
        ]
        if not single:
            assert found is None or len(found.to) > 1
            continue
        assert found is not None
        assert found.size <= min(single) + 1e-9
        changed = {**row, **{f: np.array([v]) for f, v in found.to.items()}}
        assert int(decide(changed)[0]) != int(decide(row)[0])


def test_two_features_are_changed_where_one_is_not_enough_and_none_where_nothing_is() -> None:
    """The range decides: what lies outside it is never offered."""
    decide = counterfactuals.deciding(cohorts.subject(_sigmoid))
    row = {f: np.array([v]) for f, v in zip(NAMES, (-1.0, 1.0, 0, 0, 0, 0), strict=True)}
    scale = counterfactuals.scales(_held().columns, {"a": (), "b": ()})
    narrow = {"a": (-1.0, 0.0), "b": (-1.0, 1.0)}
    both = counterfactuals.smallest(row, narrow, decide, scale)
    none = counterfactuals.smallest(
        row, {"c": (-0.1, 0.1)}, decide, counterfactuals.scales(_held().columns, {"c": ()})
    )

    assert both is not None
    assert all(narrow[f][0] <= v <= narrow[f][1] for f, v in both.to.items())
    assert none is None


def test_whole_numbers_stay_whole_and_labels_come_from_the_declared_ones() -> None:
    """A count of loans is not halved; a word is one that was named."""

    def predict(columns):
        return 0.05 + 0.1 * columns["loans"] + 0.3 * (columns["word"] == "good")

    columns = {
        "loans": np.array([0.0, 1.0, 2.0, 3.0] * 10),
        "word": np.array(["bad", "good"] * 20, dtype=object),
    }
    decide = counterfactuals.deciding(cohorts.subject(predict))
    row = {f: v[:1] for f, v in columns.items()}
    mutable = {"loans": (0.0, 9.0), "word": ("good", "fine")}
    found = counterfactuals.smallest(
        row, {"loans": (0.0, 9.0)}, decide, counterfactuals.scales(columns, mutable)
    )
    both = counterfactuals.smallest(
        row, {"loans": (0.0, 4.0), "word": ("good",)}, decide, counterfactuals.scales(columns, mutable)
    )

    assert found.to == {"loans": 5.0}
    assert both.to == {"loans": 2.0, "word": "good"}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"cases": (0,)}, "counted from 1 to 120, got 0"),
        ({"cases": (121,)}, "counted from 1 to 120, got 121"),
        ({"cases": (1,), "mutable": {"z": (0.0, 1.0)}}, "mutable: feature.*'z'"),
        ({"cases": (1,), "mutable": {"a": (1.0, 0.0)}}, "needs \\[low, high\\]"),
        ({"cases": (1,), "mutable": {"a": ("x",)}}, "needs \\[low, high\\]"),
        ({"together": {"ab": ("a", "z")}}, "together: 'ab': feature.*'z'"),
        ({"together": {"ab": ("a",), "ac": ("a",)}}, "belongs to one of them"),
        ({"method": "grad_cam"}, "grad_cam explains pixels"),
        ({"method": "deep_lift"}, "needs gradients.*use shapley or ablation"),
    ],
)
def test_a_wrong_request_is_one_clear_line(how, said) -> None:
    """What is wrong, what was got, what would do."""
    with pytest.raises(InputError, match=said) as caught:
        _found(**how)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"hardest": -1}, "hardest must be at least 0"),
        ({"hardest": 9}, "at most 8 rows, got 9"),
        ({"refits": 2}, "say which by cases or hardest"),
        ({"mutable": {"a": (0.0, 1.0)}}, "say which by cases or hardest"),
    ],
)
def test_settings_that_say_nothing_are_refused_before_anything_runs(how, said) -> None:
    """At the parameter itself."""
    with pytest.raises(ValueError, match=said):
        Explainability(**how)


def test_the_hardest_rows_of_unknown_outcomes_are_refused() -> None:
    """Nobody can say which they are."""
    table = _held()
    blind = Rows(name="t", columns=table.columns, roles={"feature": NAMES})

    with pytest.raises(InputError, match="needs an outcome"):
        _found(table=blind, hardest=1)


# --- curves, columns that belong together, directions ---------------------------------------------------


def test_a_curve_of_a_linear_model_is_a_line_that_every_row_follows() -> None:
    """Slope as the weight; all rows rise; no extreme value is on the axis."""
    table = _held()
    found = _found(_logit_as_score, table, dependence=1)
    (curve,) = [e for e in found.exhibits if isinstance(e, Curve)]
    mean, low, high = curve.lines
    slope = (mean.y[-1] - mean.y[0]) / (mean.x[-1] - mean.x[0])

    assert curve.x_axis == "a"
    assert slope == pytest.approx(0.02 * 3.0, rel=0.02)
    assert all(a < m < b for a, m, b in zip(low.y, mean.y, high.y, strict=True))
    assert "rises for 100% of them and falls for 0%" in curve.caption
    assert max(mean.x) < table.columns["a"].max()


def test_a_curve_says_where_rows_disagree() -> None:
    """The product of two features: flat on average, up for half of the rows and down for the others."""

    def predict(columns):
        return (
            0.5
            + 0.2 * np.tanh(columns["a"] * columns["b"])
            + 0.05 * np.tanh(columns["c"] + columns["d"] + columns["e"])
        )

    table = _held()
    table.columns["b"][:] = np.tile([1.0, -1.0], 60)
    found = _found(predict, table, dependence=6)
    curve = next(e for e in found.exhibits if isinstance(e, Curve) and e.x_axis == "a")
    up = int(curve.caption.split("rises for ")[1].split("%")[0])

    assert np.ptp(curve.lines[0].y) < 0.01
    assert up == 50


def test_columns_that_belong_together_are_one_feature_whose_attributions_are_summed() -> None:
    """Of a linear model, before a network and before answers alone; and they are permuted together."""
    table = _held()
    apart, joined = (
        _found(_logit_as_score, table, shown=6, **how) for how in ({}, {"together": {"ab": ("a", "b")}})
    )
    share = {
        i: {m.labels["feature"]: m for m in f.measurements if m.metric == "explainability.importance"}
        for i, f in enumerate((apart, joined))
    }
    dropped = {
        m.labels["feature"] for m in joined.measurements if m.metric == "explainability.permutation_drop"
    }

    assert set(share[0]) == set(NAMES)
    assert set(share[1]) == {"ab", *NAMES[2:]}
    assert "ab" in dropped
    middle = {f: np.median(table.columns[f]) for f in NAMES}
    paper = np.abs(
        0.02 * (3 * (table.columns["a"] - middle["a"]) - 2 * (table.columns["b"] - middle["b"]))
    ).mean()
    assert share[1]["ab"].value == pytest.approx(paper, rel=1e-3)


def test_directions_say_which_way_low_and_high_values_push() -> None:
    """A feature with a positive weight pushes down where it is low and up where it is high; no cell holds few rows."""
    grid = _one(_found(_logit_as_score), Heatmap, "Which way")
    by_name = dict(zip(grid.rows, grid.values, strict=True))

    assert by_name["a"][0] < 0 < by_name["a"][4]
    assert by_name["b"][4] < 0 < by_name["b"][0]
    few = _found(_logit_as_score, _held(20))
    assert all(v is None for row in _one(few, Heatmap, "Which way").values for v in row)


def test_a_shortcut_is_said_and_a_shared_load_is_not() -> None:
    """One feature that decides alone; six that decide together."""

    def alone(columns):
        return 1 / (1 + np.exp(-6 * columns["a"] - 0.2 * sum(columns[f] for f in NAMES[1:])))

    def shared(columns):
        return 1 / (1 + np.exp(-2 * sum(columns[f] for f in NAMES)))

    told = {}
    for name, predict in (("alone", alone), ("shared", shared)):
        table = _held(200)
        y = (predict(table.columns) > 0.5).astype(float)
        rows = Rows(name="t", columns={**table.columns, "y": y}, roles=table.roles)
        told[name] = [n for n in _found(predict, rows).notes if n.startswith("Shortcut")]

    assert len(told["alone"]) == 1
    assert "a alone carries the decision" in told["alone"][0]
    assert told["shared"] == []


def test_the_decision_of_a_label_is_said_by_its_name() -> None:
    """The other of two labels where the score is below the threshold."""
    from dataclasses import replace

    decision = Decision(kind="threshold", threshold=0.5, positive="granted", labels=("refused", "granted"))
    subject = replace(cohorts.subject(_sigmoid), decision=decision)
    table = _held()
    y = np.where(table.columns["y"] == 1, "granted", "refused").astype(object)
    rows = Rows(
        name="t",
        columns={**table.columns, "y": y},
        roles={"feature": NAMES, "truth": ("y",)},
        positive="granted",
    )
    found = Explainability(cases=(1, 2, 3, 4))(subject, Splits(held_out=rows), cohorts.rng())

    assert {r[2] for r in _one(found, Table, "Single rows").rows} <= {"granted", "refused"}
