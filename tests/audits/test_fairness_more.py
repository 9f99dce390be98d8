"""The fairness audit beyond yes and no: weights, classes, numbers, bins, strata, scores, and the tables of laws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from cohorts import rng, splits, subject

from rai_bigmodel import plugins, tables
from rai_bigmodel.audits.fairness import Fairness
from rai_bigmodel.collect import Asked, collect
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Curve, Decision, Findings, Measurement, Table
from rai_bigmodel.stats import scores as ranking
from rai_bigmodel.subject import Splits, decisions_of, scores_of, task_of, truth_of
from rai_bigmodel.subjects.of_table import of_table
from rai_bigmodel.tables import Table as Rows
from rai_bigmodel.tables.bins import bin_names

if TYPE_CHECKING:
    from rai_bigmodel.subject import Subject


def _find(findings: Findings, name: str, **labels: str) -> Measurement:
    """The one measurement of this name with these labels and no others of scope or class."""
    wanted = {"scope": "sized", **labels}
    found = [
        m
        for m in findings.measurements
        if m.metric == f"fairness.{name}"
        and all(m.labels.get(k, v if k == "scope" else None) == v for k, v in wanted.items())
        and ("class" in m.labels) == ("class" in labels)
    ]
    assert len(found) == 1, [m.labels for m in found]
    return found[0]


def _with(data: Splits, roles: dict[str, tuple[str, ...]] | None = None, **columns: np.ndarray) -> Splits:
    rows = data.held_out
    assert isinstance(rows, Rows)
    return Splits(
        held_out=replace(rows, columns={**rows.columns, **columns}, roles={**rows.roles, **(roles or {})})
    )


def _predictions(**columns: np.ndarray) -> tuple[Subject, Splits]:
    rows = Rows(
        name="p",
        columns=columns,
        roles={"truth": ("y",), "prediction": ("d",), "sensitive": ("g",)},
    )
    return of_table(rows), Splits(held_out=rows)


# --- weights ----------------------------------------------------------------------------------------


def test_weighted_disparities_are_those_of_fairlearn() -> None:
    """Fairlearn's differences and ratio with sample_weight."""
    from fairlearn import metrics as fl

    w = np.random.default_rng(5).uniform(0.5, 3, 2000)
    data = _with(splits(2000), {"weight": ("w",)}, w=w)
    y, d = truth_of(data.held_out).astype(int), decisions_of(subject(), data.held_out).astype(int)
    given = {"sensitive_features": data.held_out.columns["race"], "sample_weight": w}
    found = Fairness(intersections=False)(subject(), data, rng())
    for name in (
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "equal_opportunity_difference",
        "equalized_odds_difference",
    ):
        theirs = getattr(fl, name)(y, d, **given)

        assert _find(found, name, attribute="race").value == pytest.approx(theirs, abs=1e-12)
    assert any("weights" in note for note in found.notes)


def test_uneven_weights_widen_the_interval_and_even_ones_change_nothing() -> None:
    """Kish's effective size: rows that weigh the same say as much as rows without weights."""
    plain = Fairness(intersections=False)(subject(), splits(2000), rng())
    spans = []
    for w in (np.full(2000, 2.0), np.where(np.arange(2000) % 10, 0.1, 10.0)):
        found = Fairness(intersections=False)(subject(), _with(splits(2000), {"weight": ("w",)}, w=w), rng())
        interval = _find(found, "demographic_parity_difference", attribute="race").interval
        assert interval is not None
        spans.append(interval)
    alone = _find(plain, "demographic_parity_difference", attribute="race").interval
    assert alone is not None

    assert spans[0].high == pytest.approx(alone.high, abs=1e-12)
    assert spans[1].high - spans[1].low > 1.5 * (alone.high - alone.low)


def test_what_is_measured_on_rows_that_count_alike_is_null_where_they_do_not() -> None:
    """AUCs, calibration, scoring rates, differences within strata and tables of laws: a reason, never a number."""
    audit = Fairness(intersections=False, given={"race": "sex"}, laws=("nyc-ll144", "four-fifths"), text=True)
    plain = audit(subject(), splits(600), rng())
    found = audit(subject(), _with(splits(600), {"weight": ("w",)}, w=np.linspace(1, 3, 600)), rng())
    unweighted = ("roc_auc", "ece_debiased", "scoring_rate", "subgroup_auc", "bpsn_auc", "bnsp_auc")
    names = {f"fairness.{n}" for n in (*unweighted, "conditional_difference")}
    nulls = [m for m in found.measurements if m.metric in names]

    assert {m.metric for m in nulls} == names <= {m.metric for m in plain.measurements}
    assert all(m.value is None and "rows carry weights" in m.why for m in nulls)
    assert not [e for e in found.exhibits if "Law" in e.title or "Four" in e.title or "threshold" in e.title]
    assert any("tables of laws" in note for note in found.notes)


def test_an_audit_that_counts_every_row_alike_says_so_where_rows_carry_weights() -> None:
    """Each audit's evidence, except that of the fairness audit, which goes by the weights."""
    asked = [Asked(n, plugins.load(n)) for n in ("performance", "fairness", "data")]
    weighted = _with(splits(600), {"weight": ("w",)}, w=np.linspace(1, 3, 600))
    for data, expected in ((weighted, {"performance", "data"}), (splits(600), set())):
        dossier = collect(subject(), data, asked)
        said = {e.audit for e in dossier.evidence if any("counts every row alike" in n for n in e.notes)}

        assert said == expected


def test_a_zero_weight_is_refused_with_the_number_of_rows() -> None:
    """One line that names the column."""
    data = _with(splits(600), {"weight": ("w",)}, w=np.r_[np.zeros(4), np.ones(596)])
    with pytest.raises(InputError, match=r"'w' is zero or negative in 4 of 600 rows"):
        Fairness()(subject(), data, rng())


# --- rows that stay in an engine ---------------------------------------------------------------------


class _Engine:
    """A cohort that counts and hands out no row."""

    stays = True

    def __init__(self, table: Rows) -> None:
        self.table = table

    def __getattr__(self, name: str) -> object:
        if name in {"arrays", "binary", "groups", "columns"}:
            msg = f"asked for {name}"
            raise AssertionError(msg)
        return getattr(self.table, name)


def test_rows_that_stay_in_an_engine_are_counted_there_and_give_the_same_measurements() -> None:
    """One GROUP BY an attribute is all that is asked for; what it gives equals the audit in memory."""
    r = np.random.default_rng(0)
    g, y, d = r.choice(np.array(["a", "b"], dtype=object), 500), *r.integers(0, 2, (2, 500)).astype(float)
    box, data = _predictions(g=g, y=y, d=d)
    assert isinstance(data.held_out, Rows)
    there = Fairness()(box, Splits(held_out=_Engine(data.held_out)), rng())  # type: ignore[arg-type]

    assert there.measurements == Fairness()(box, data, rng()).measurements
    assert any("engine" in note for note in there.notes)


# --- more than two labels ----------------------------------------------------------------------------


def _three(rows: int = 1500, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r = np.random.default_rng(seed)
    group = r.choice(np.array(["a", "b"], dtype=object), rows)
    truth = r.choice(np.array(["cat", "dog", "owl"], dtype=object), rows)
    right = r.uniform(size=rows) < np.where((group == "b") & (truth == "owl"), 0.4, 0.9)
    said = np.where(right, truth, r.choice(np.array(["cat", "dog", "owl"], dtype=object), rows))
    return group, truth, said.astype(object)


def test_each_label_is_held_against_the_rest_and_averages_stand_beside() -> None:
    """One label against the rest is the binary audit of that label; the macro average is the plain one."""
    group, truth, said = _three()
    box, data = _predictions(g=group, y=truth, d=said)
    found = Fairness()(box, data, rng())
    owl = _find(found, "equal_opportunity_difference", attribute="g", **{"class": "owl"})
    macro = _find(found, "equal_opportunity_difference", attribute="g", **{"class": "macro"})
    rates = [
        [
            ((said == c) & (truth == c) & (group == g)).sum() / ((truth == c) & (group == g)).sum()
            for g in "ab"
        ]
        for c in ("cat", "dog", "owl")
    ]

    assert owl.value == pytest.approx(abs(rates[2][0] - rates[2][1]))
    assert owl.interval is not None
    assert owl.interval.low > 0.2
    assert macro.value == pytest.approx(abs(np.mean([a for a, _ in rates]) - np.mean([b for _, b in rates])))
    assert macro.interval is not None
    assert macro.interval.low < macro.value < macro.interval.high
    per_group = _find(found, "true_positive_rate", attribute="g", group="b", **{"class": "macro"})
    assert per_group.value == pytest.approx(np.mean([b for _, b in rates]))


def test_accuracy_of_many_labels_needs_no_label() -> None:
    """The share of agreement, for each group and as the widest gap."""
    group, truth, said = _three()
    box, data = _predictions(g=group, y=truth, d=said)
    found = Fairness()(box, data, rng())
    right = {g: float((truth == said)[group == g].mean()) for g in "ab"}

    assert _find(found, "accuracy", attribute="g", group="a").value == pytest.approx(right["a"])
    gap = _find(found, "accuracy_difference", attribute="g")
    assert gap.value == pytest.approx(abs(right["a"] - right["b"]))


def test_where_an_average_over_labels_says_nothing_there_is_a_why() -> None:
    """Selection rates of all labels add up to one."""
    group, truth, said = _three()
    box, data = _predictions(g=group, y=truth, d=said)
    m = _find(
        Fairness()(box, data, rng()), "demographic_parity_difference", attribute="g", **{"class": "macro"}
    )

    assert m.value is None
    assert "depend on each other" in m.why


def test_a_subject_that_picks_the_likeliest_of_many_labels_is_asked_for_all_of_them() -> None:
    """Argmax over labels gives the decisions of the table that records them."""
    group, truth, said = _three(600)
    labels = ("cat", "dog", "owl")
    onehot = {label: (said == label).astype(float) for label in labels}
    rows = Rows(
        name="p",
        columns={"g": group, "y": truth, **onehot},
        roles={"truth": ("y",), "feature": labels, "sensitive": ("g",)},
    )
    box = subject(
        lambda inputs: np.stack([inputs[c] for c in labels], axis=1),
        decision=Decision(kind="argmax", threshold=None, positive="", labels=labels),
    )
    table, data = _predictions(g=group, y=truth, d=said)
    ours = Fairness()(box, Splits(held_out=rows), rng()).measurements
    theirs = Fairness()(table, data, rng()).measurements

    assert ours == theirs


# --- numbers ------------------------------------------------------------------------------------------


def _numbers(apart: float, seed: int = 0) -> tuple[Subject, Splits]:
    r = np.random.default_rng(seed)
    group = r.choice(np.array(["a", "b", "c"], dtype=object), 900)
    y = r.normal(50, 10, 900)
    return _predictions(g=group, y=y, d=y + r.normal(0, 5, 900) + np.where(group == "b", apart, 0.0))


def test_a_group_whose_numbers_are_put_too_high_stands_apart() -> None:
    """Mean prediction of each group is Fairlearn's; the widest difference in mean error names both groups."""
    from fairlearn.metrics import MetricFrame, mean_prediction

    box, data = _numbers(3.0)
    found = Fairness()(box, data, rng())
    columns = data.held_out.columns
    frame = MetricFrame(
        metrics=mean_prediction, y_true=columns["y"], y_pred=columns["d"], sensitive_features=columns["g"]
    ).by_group
    gap = _find(found, "mean_error_difference", attribute="g")

    for group in "abc":
        assert _find(found, "mean_prediction", attribute="g", group=group).value == pytest.approx(
            frame[group]
        )
    assert gap.labels["high"] == "b"
    assert gap.interval is not None
    assert gap.interval.low > 1.0


def test_equal_errors_are_not_told_apart() -> None:
    """The clean twin: at most 3 alarms in 20 seeds."""
    alarms = 0
    for seed in range(20):
        box, data = _numbers(0.0, seed)
        interval = _find(Fairness()(box, data, rng()), "mean_error_difference", attribute="g").interval
        assert interval is not None
        alarms += interval.low > 0

    assert alarms <= 3


@pytest.mark.parametrize(
    ("truth", "said", "kind"),
    [
        ([0.0, 1, 1], [0.0, 1, 0], "binary"),
        ([0.0, 1, 2], [0.0, 1, 2], "classes"),
        ([0.5, 1, 2], [0.4, 1.1, 2], "number"),
        (["a", "b", "c"], ["a", "b", "b"], "classes"),
    ],
)
def test_what_kind_of_outcome_there_is_can_be_seen_from_the_columns(truth, said, kind) -> None:
    """Two labels, a few whole numbers or text, or numbers."""
    as_column = [np.array(v, dtype=object if isinstance(v[0], str) else float) for v in (truth, said)]
    box, _ = _predictions(g=np.array(["a", "b", "a"], dtype=object), y=as_column[0], d=as_column[1])

    assert task_of(box) == kind


# --- bins -----------------------------------------------------------------------------------------------


def test_a_number_is_compared_in_the_bins_that_were_stated() -> None:
    """Edges belong to the bin above them; missing stays missing; the subject still sees the number."""
    age = np.tile([24.0, 25.0, 39.9, 40.0, 60.0, np.nan], 100)
    data = _with(splits(600), {"sensitive": ("age",), "feature": ("x", "age")}, age=age)
    found = Fairness(bins={"age": (25, 40, 60)})(
        subject(lambda i: i["x"] + 0 * np.nan_to_num(i["age"])), data, rng()
    )
    rows = {m.labels["group"]: m.n for m in found.measurements if m.metric == "fairness.selection_rate"}

    assert rows == {"under 25": 100, "25 to 40": 200, "40 to 60": 100, "60 or more": 100, "(missing)": 100}


@pytest.mark.parametrize("engine", [False, True])
def test_a_number_in_bins_is_an_attribute_though_nobody_called_it_sensitive(engine) -> None:
    """As the contract's example asks for age: alone and crossed with the others, never left out in silence."""
    draw = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "race": draw.choice(["a", "b"], 600),
            "age": np.tile([24.0, 30.0, 50.0], 200),
            "y": draw.integers(0, 2, 600),
            "d": draw.integers(0, 2, 600),
        }
    )
    roles = {"truth": ("y",), "prediction": ("d",), "sensitive": ("race",), "feature": ("age",)}
    rows = tables.of(frame.lazy() if engine else frame, roles=roles)
    data, asked = Splits(held_out=rows), of_table(rows)
    found = Fairness(bins={"age": (25, 40)})(asked, data, rng())
    alone = Fairness(bins={"age": (25, 40)}, attributes=("age",))(asked, data, rng())
    strata = Fairness(bins={"age": (25, 40)}, given={"race": "age"})(asked, data, rng())

    def attributes(findings):
        return {m.labels["attribute"] for m in findings.measurements}

    assert attributes(found) == {"race", "age", "race*age"}
    assert attributes(alone) == {"age"}
    assert attributes(strata) == {"race"}
    rates = {m.labels["group"]: m.n for m in alone.measurements if m.metric == "fairness.selection_rate"}
    assert rates == {"under 25": 200, "25 to 40": 200, "40 or more": 200}


@pytest.mark.parametrize(
    ("bins", "said"),
    [
        ({"age": ()}, "ascending"),
        ({"age": (40, 25)}, "ascending"),
        ({"race": (1,)}, "text"),
        ({"ages": (1,)}, "'age'"),
    ],
)
def test_bins_that_cannot_be_used_are_refused(bins, said) -> None:
    """No edges, edges that descend, text, a column that is not there."""
    data = _with(splits(60), {"sensitive": ("age",)}, age=np.arange(60.0))
    with pytest.raises(InputError, match=said):
        Fairness(bins=bins)(subject(), data, rng())


def test_edges_are_named_as_they_were_written() -> None:
    """No trailing zeros, fractions kept."""
    assert bin_names((25.0, 37.5)) == ["under 25", "25 to 37.5", "37.5 or more"]


# --- strata ------------------------------------------------------------------------------------------------


def test_strata_must_be_of_an_attribute_that_is_compared_and_of_a_column_that_is_there() -> None:
    """Both messages list what there is."""
    with pytest.raises(InputError, match=r"given: attribute: 'rase' is not there.*race"):
        Fairness(given={"rase": "sex"})(subject(), splits(), rng())
    with pytest.raises(InputError, match=r"'sexx' is not there.*sex"):
        Fairness(given={"race": "sexx"})(subject(), splits(), rng())


# --- scores ------------------------------------------------------------------------------------------------


def test_each_group_has_its_auc_and_text_the_three_of_borkan() -> None:
    """scikit-learn's AUC on the rows that each is about."""
    from sklearn.metrics import roc_auc_score

    data = splits(1500)
    y, s = truth_of(data.held_out), scores_of(subject(), data.held_out)
    race = data.held_out.columns["race"]
    found = Fairness(intersections=False, text=True)(subject(), data, rng())
    for group in "ABC":
        inside = race == group
        rows = {
            "roc_auc": inside,
            "subgroup_auc": inside,
            "bpsn_auc": (inside & ~y) | (~inside & y),
            "bnsp_auc": (inside & y) | (~inside & ~y),
        }
        for name, chosen in rows.items():
            m = _find(found, name, attribute="race", group=group)

            assert m.value == pytest.approx(roc_auc_score(y[chosen], s[chosen]), abs=1e-12)
            assert m.interval == ranking.auc_interval(s[chosen], y[chosen])


def test_the_curve_over_thresholds_marks_the_one_in_use() -> None:
    """Where the mark stands, the gap, the accuracy and the selection rate are those of the decisions."""
    data = splits(1500)
    found = Fairness(attributes=("sex",))(subject(), data, rng())
    curve = next(e for e in found.exhibits if isinstance(e, Curve))
    at = curve.lines[0].x.index(0.5)
    decided = decisions_of(subject(), data.held_out)
    lines = {line.label: line.y[at] for line in curve.lines}

    assert curve.mark == 0.5
    assert lines["selection rate"] == pytest.approx(decided.mean(), abs=1e-4)
    assert lines["accuracy"] == pytest.approx((decided == truth_of(data.held_out)).mean(), abs=1e-4)
    assert lines["widest gap in selection rates"] == pytest.approx(
        _find(found, "demographic_parity_difference", attribute="sex").value, abs=1e-4
    )


# --- the tables of laws -----------------------------------------------------------------------------------


def _applicants() -> Splits:
    counts = {("m", "A"): (500, 300), ("m", "B"): (300, 120), ("f", "A"): (400, 160), ("f", "C"): (15, 9)}
    sex, race, x = [], [], []
    for (s, r), (n, selected) in counts.items():
        sex += [s] * n
        race += [r] * n
        x += [5.0] * selected + [-5.0] * (n - selected)
    sex += [None] * 20
    race += ["A"] * 20
    x += [5.0] * 20
    columns = {
        "sex": np.array(sex, dtype=object),
        "race": np.array(race, dtype=object),
        "x": np.array(x),
        "y": np.arange(len(x)) % 2 * 1.0,
    }
    roles = {"feature": ("x",), "truth": ("y",), "sensitive": ("sex", "race")}
    return Splits(held_out=Rows(name="applicants", columns=columns, roles=roles))


def _tables(findings: Findings, start: str) -> dict[str, Table]:
    return {e.title: e for e in findings.exhibits if isinstance(e, Table) and e.title.startswith(start)}


def test_the_new_york_tables_have_the_form_the_rule_asks_for() -> None:
    """Known on paper: 420 of 800 men and 169 of 415 women are selected, 20 applicants are of unknown sex."""
    found = Fairness(laws=("nyc-ll144",))(subject(), _applicants(), rng())
    tables = _tables(found, "Local Law 144")
    sex = tables["Local Law 144: selection rates and impact ratios by sex"]
    rows = {row[0]: row for row in sex.rows}

    assert sex.columns[:5] == ("category", "applicants", "selected", "selection rate", "impact ratio")
    assert "not part of the rule" in sex.columns[5]
    assert rows["m"][1:5] == (800, 420, 0.525, 1.0)
    assert rows["f"][1:5] == (415, 169, 0.4072, 0.7757)
    assert "not included above: 20" in sex.caption
    assert "Local Law 144: scoring rates and impact ratios by sex and race" in tables


def test_a_category_under_two_percent_is_listed_with_its_number_and_rate_and_has_no_ratio() -> None:
    """15 of 1,215 women of C: 1.2 %; the highest rate is sought among the others."""
    found = Fairness(laws=("nyc-ll144",))(subject(), _applicants(), rng())
    joint = _tables(found, "Local Law 144")[
        "Local Law 144: selection rates and impact ratios by sex and race"
    ]
    rows = {row[0]: row for row in joint.rows}

    assert rows["f, C"][1:5] == (15, 9, 0.6, None)
    assert "1.2%" in str(rows["f, C"][6])
    assert rows["m, A"][4] == 1.0
    assert rows["f, A"][4] == pytest.approx(0.4 / 0.6, abs=1e-4)


def test_the_scoring_rate_is_the_share_above_the_median_of_all() -> None:
    """Half of all rows, save ties at the median."""
    data = splits(1001)
    found = Fairness(intersections=False)(subject(), data, rng())
    s = scores_of(subject(), data.held_out)
    race = data.held_out.columns["race"]
    for group in "ABC":
        m = _find(found, "scoring_rate", attribute="race", group=group)

        assert m.value == pytest.approx((s > np.median(s))[race == group].mean())


def test_the_four_fifths_table_shows_the_ratio_and_the_line_and_judges_nothing() -> None:
    """The highest rate times .8 stands in the caption; no column says yes or no."""
    found = Fairness(laws=("four-fifths",), intersections=False)(subject(), _applicants(), rng())
    table = next(iter(_tables(found, "Four-fifths rule of thumb by sex").values()))

    assert {row[0]: row[4] for row in table.rows} == {"m": 1.0, "f": 0.7757}
    assert f"{0.8 * 0.525:.4f}" in table.caption
    assert not {"yes", "no"} & {cell for row in table.rows for cell in row}


# --- the whole path ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binary", "classes", "number"])
def test_what_the_audit_finds_is_judged_and_stands_on_the_page(kind, tmp_path) -> None:
    """From collect to the page: the metric's words, and a rule about it, for yes and no, labels and numbers."""
    from rai_bigmodel import api
    from rai_bigmodel.collect import Asked, collect
    from rai_bigmodel.policy import Policy, Rule

    audit, rule = Fairness(), {"metric": "fairness.accuracy_difference", "where": {"attribute": "g"}}
    if kind == "binary":
        box, data = subject(), _applicants()
        audit = Fairness(given={"sex": "race"}, laws=("nyc-ll144",), text=True)
        rule = {"metric": "fairness.conditional_difference", "where": {"attribute": "sex", "given": "race"}}
    elif kind == "classes":
        group, truth, said = _three()
        box, data = _predictions(g=group, y=truth, d=said)
    else:
        box, data = _numbers(3.0)
        rule = {"metric": "fairness.mean_error_difference", "where": {"attribute": "g"}}
    dossier = collect(box, data, [Asked("fairness", audit)])
    policy = Policy(name="p", rules=(Rule(**rule, at_most=0.01, because="to see it"),))
    verdict = api.judge(dossier, policy)
    page = api.write_report(dossier, verdict, path=tmp_path / "report.html").read_text("utf-8")

    assert dossier.evidence[0].failure == ""
    assert verdict.rulings[0].outcome == "fail"
    assert f'data-metric="{rule["metric"]}" data-outcome="fail"' in page
    assert ("Local Law 144" in page) == (kind == "binary")


def test_weights_come_by_the_command_line(tmp_path) -> None:
    """--weight names the column, and the notes say that rows count by it."""
    from click.testing import CliRunner

    from rai_bigmodel.cli import cli

    r = np.random.default_rng(0)
    lines = [
        "y,d,g,w",
        *(f"{i % 2},{(i // 2) % 2},{'ab'[i % 3 % 2]},{w:.3f}" for i, w in enumerate(r.uniform(1, 2, 300))),
    ]
    (tmp_path / "p.csv").write_text("\n".join(lines))
    columns = ["--truth", "y", "--prediction", "d", "--sensitive", "g", "--weight", "w"]
    done = CliRunner().invoke(
        cli, ["audit", "--predictions", str(tmp_path / "p.csv"), *columns, "--out", str(tmp_path / "out")]
    )

    assert done.exit_code == 0, done.output
    assert "weights" in (tmp_path / "out" / "evidence" / "fairness.json").read_text("utf-8")
