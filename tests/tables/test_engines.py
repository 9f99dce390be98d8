"""The same integers from every engine: what each calls missing, true and one must not matter."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_bigmodel import api, tables
from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.counts import GroupCounts
from rai_bigmodel.subject import AtLeast

ROLES = {"truth": ("y",), "sensitive": ("g", "h"), "prediction": ("d",), "score": ("s",)}
ENGINES = {
    "polars": lambda f: f,
    "polars lazy": lambda f: f.lazy(),
    "pandas": lambda f: f.to_pandas(),
    "pandas nullable": lambda f: f.to_pandas(use_pyarrow_extension_array=True),
    "arrow": lambda f: f.to_arrow(),
    "duckdb": lambda f: duckdb.connect(":memory:").from_arrow(f.to_arrow()),
}

MISSING = "(missing)"
NAMES = st.sampled_from(["NA", "nan", "None", "", "a*b", "%", "é", "01", "1.0", None])
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 2.5, -3.0, float("nan"), None])
GROUPS = {
    "text": (pl.String, NAMES),
    "float": (pl.Float64, NUMBERS),
    "small float": (pl.Float32, NUMBERS),
    "whole": (pl.Int32, st.sampled_from([0, 1, -7, 2000, None])),
    "boolean": (pl.Boolean, st.sampled_from([True, False, None])),
    "category": (pl.Categorical, NAMES),
}


def frame(rows: int = 400, *, seed: int = 0) -> pl.DataFrame:
    """Two attributes with missing values, an outcome, a score that says its decision."""
    rng = np.random.default_rng(seed)
    score = np.r_[0.0, 1.0, 0.5, 0.25, rng.random(rows - 4)]
    return pl.DataFrame(
        {
            "g": rng.choice(np.array(["a", "NA", "b", None], dtype=object), rows).tolist(),
            "h": [None if x > 2 else float(x) for x in rng.integers(0, 4, rows)],
            "y": rng.integers(0, 2, rows),
            "d": score >= 0.5,
            "s": score,
        }
    )


def engine(name: str, native: object) -> tables.Frame | tables.Table:
    """The rows as they are when they stay in their engine, whatever their size."""
    import narwhals as nw

    if name == "table":
        return tables.of(native, roles=ROLES)
    lazy = nw.from_native(ENGINES[name](native)).lazy()
    return tables.Frame(name=name, frame=lazy, roles=ROLES)


def naive(rows: list[tuple[str, int, bool]]) -> GroupCounts:
    """Counting with a loop: names, outcome, decision."""
    names = sorted({r[0] for r in rows})
    cells = np.zeros((len(names), 4), dtype=np.int64)
    for name, y, d in rows:
        cells[names.index(name), 2 * y + d] += 1
    return GroupCounts.of_cells(names, cells)


def said(value: object) -> str:
    """What the contract says a group of one value is called."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(sorted(GROUPS)))
def test_every_engine_gives_the_integers_of_a_loop(data, kind) -> None:
    """Text that looks missing, NaN beside null, both zeros, booleans, categories: one GROUP BY, one answer."""
    dtype, values = GROUPS[kind]
    rows = data.draw(st.lists(st.tuples(values, st.integers(0, 1), st.booleans()), min_size=24, max_size=40))
    rows += [(rows[0][0], 0, True), (rows[0][0], 1, False)]
    groups = [r[0] for r in rows]
    if len({said(g) for g in groups}) < 2:
        return
    native = pl.DataFrame(
        {"g": pl.Series(groups, dtype=dtype), "y": [r[1] for r in rows], "d": [r[2] for r in rows]}
    )
    roles = {"truth": ("y",), "sensitive": ("g",), "prediction": ("d",)}
    want = naive([(said(g), y, d) for g, y, d in rows])
    import narwhals as nw

    found = {
        "table": tables.of(native, roles=roles),
        "table from pandas": tables.of(native.to_pandas(), roles=roles),
    }
    for name, make in ENGINES.items():
        found[name] = tables.Frame(name=name, frame=nw.from_native(make(native)).lazy(), roles=roles)
    counts = {name: cohort.count(["g"], truth="y", decision="d") for name, cohort in found.items()}

    assert {name: c for name, c in counts.items() if c != want} == {}
    assert len({c.digest for name, c in found.items() if not name.startswith("table")}) == 1


@pytest.mark.parametrize("name", ENGINES)
def test_intersections_thresholds_and_histograms_are_those_of_the_table(name) -> None:
    """What is counted in memory is counted in the engine, in the same order, to the last integer."""
    native = frame()
    table, there = tables.of(native, roles=ROLES), engine(name, native)
    cut = AtLeast(column="s", threshold=0.5)
    counted, names = there.histogram(["g"], score="s", truth="y", bins=64)
    known, same = table.histogram(["g"], score="s", truth="y", bins=64)

    assert there.rows == table.rows == 400
    for by in ([], ["g"], ["h"], ["g", "h"], ["h", "g"]):
        assert there.count(by, truth="y", decision=cut) == table.count(by, truth="y", decision=cut)
        assert there.count(by, truth="y", decision="d") == there.count(by, truth="y", decision=cut)
    assert names == same == ("(missing)", "NA", "a", "b")
    assert (counted == known).all()
    assert counted.shape == (4, 2, 64)
    assert there.labels("y") == ("0", "1")
    assert there.missing(("g", "h")) == {"g": native["g"].null_count(), "h": native["h"].null_count()}


def test_bins_are_closed_on_the_left_and_the_last_one_on_both_sides() -> None:
    """By hand: 0, 0.25, 0.5 and 1 in four bins."""
    native = pl.DataFrame({"g": ["a", "b"] * 2, "y": [0, 1, 0, 1], "s": [0.0, 0.25, 0.5, 1.0]})
    roles = {"truth": ("y",), "sensitive": ("g",), "score": ("s",)}
    for cohort in (tables.of(native, roles=roles), tables.of(native.lazy(), roles=roles)):
        counts, names = cohort.histogram((), score="s", truth="y", bins=4)

        assert names == ("all",)
        assert counts.tolist() == [[[1, 0, 1, 0], [0, 1, 0, 1]]]


@pytest.mark.parametrize("name", ENGINES)
def test_weights_are_summed_where_the_rows_are(name) -> None:
    """Rows to the last integer, Σw and Σw² to 1e-12, as of the table in memory."""
    native = frame().with_columns(w=np.random.default_rng(4).lognormal(size=400))
    roles = {**ROLES, "weight": ("w",)}
    import narwhals as nw

    table = tables.of(native, roles=roles)
    there = tables.Frame(name=name, frame=nw.from_native(ENGINES[name](native)).lazy(), roles=roles)
    cut = AtLeast(column="s", threshold=0.5)
    for by in ([], ["g"], ["g", "h"]):
        want, found = (c.count(by, truth="y", decision=cut, weight="w") for c in (table, there))

        assert found.counts == want.counts == there.count(by, truth="y", decision=cut)
        assert found.weights == pytest.approx(want.weights, rel=1e-12)
        assert found.squares == pytest.approx(want.squares, rel=1e-12)
    for bad in (0.0, -1.0, math.nan, math.inf):
        spoiled = native.with_columns(w=pl.when(pl.int_range(400) < 3).then(bad).otherwise(pl.col("w")))
        one = nw.from_native(ENGINES[name](spoiled)).lazy()
        with pytest.raises(InputError, match="zero or negative in 3 of 400 rows"):
            tables.Frame(name=name, frame=one, roles=roles).count(["g"], truth="y", decision="d", weight="w")


def test_a_weighted_audit_is_the_same_where_rows_stay() -> None:
    """Every rate and gap with Kish's sizes, from one GROUP BY with sums."""
    native = frame(600).with_columns(w=np.random.default_rng(4).lognormal(size=600))
    given = {"truth": "y", "prediction": "d", "sensitive": ("g", "h"), "weight": "w"}
    found = []
    for rows in (native, native.lazy()):
        evidence = next(e for e in api.audit_predictions(rows, **given).evidence if e.audit == "fairness")
        assert not evidence.failure
        found.append({(m.metric, str(sorted(m.labels.items()))): m for m in evidence.measurements})

    assert set(found[0]) == set(found[1])
    for k, m in found[0].items():
        assert found[1][k].value == (None if m.value is None else pytest.approx(m.value, rel=1e-9, abs=1e-12))
        assert found[1][k].n == m.n


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)))
def test_shards_in_any_order_add_up_to_the_whole(order) -> None:
    """Exactly, whichever engine counted which."""
    native = frame()
    shards = [native[i * 100 : (i + 1) * 100] for i in range(4)]
    names = ["polars", "pandas", "duckdb", "arrow"]
    counts = [engine(names[i], shards[i]).count(["g", "h"], truth="y", decision="d") for i in order]
    whole = engine("polars lazy", native).count(["g", "h"], truth="y", decision="d")

    assert sorted(sum(counts).groups) == sorted(whole.groups)
    assert {g: c.tolist() for g, c in zip(sum(counts).groups, sum(counts).cells, strict=True)} == {
        g: c.tolist() for g, c in zip(whole.groups, whole.cells, strict=True)
    }


def test_one_group_by_serves_every_attribute_and_intersection() -> None:
    """The engine is asked once; a counter in the pipe proves it."""
    asked = []

    def seen(part: pl.DataFrame) -> pl.DataFrame:
        asked.append(part.height)
        return part

    there = tables.of(frame().lazy().map_batches(seen), roles=ROLES)
    for by in ([], ["g"], ["h"], ["g", "h"]):
        there.count(by, truth="y", decision="d")

    assert there.rows == 400
    assert len(asked) == 1


def test_an_attribute_too_fine_to_cross_is_counted_alone(monkeypatch) -> None:
    """Where all attributes together make too many cells, each is asked for by itself."""
    monkeypatch.setattr("rai_bigmodel.tables.engine.MAX_CELLS", 24)
    table, there = tables.of(frame(), roles=ROLES), engine("duckdb", frame())

    assert there.count(["g"], truth="y", decision="d") == table.count(["g"], truth="y", decision="d")
    assert there.digest


@pytest.mark.parametrize("name", ["polars lazy", "pandas", "duckdb"])
@pytest.mark.parametrize(
    ("change", "call", "message"),
    [
        ({"s": 1.5}, {}, "outside 0 to 1 in 400 of 400 rows"),
        ({"s": float("nan")}, {}, "not a number or outside 0 to 1 in 400"),
        ({"y": 2}, {"truth": "y"}, "none is declared positive"),
        ({}, {"truth": "yy"}, "'yy' is not there.*Did you mean 'y'"),
        ({"g": "a"}, {}, "one value"),
        ({"g": None}, {}, "one value"),
        ({}, {"by": ["id"]}, "400 different values in 400 rows.*is it an id"),
        ({}, {"truth": "h"}, "'h' is missing in"),
        ({}, {"truth": np.zeros(400)}, "must be columns"),
        ({}, {"weight": "s"}, "'s' is missing, not finite, zero or negative in 1 of 400 rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_in_an_engine_is_one_line(name, change, call, message) -> None:
    """As in memory, and with how many rows are wrong."""
    native = frame().with_columns(id=pl.int_range(400).cast(pl.String))
    native = native.with_columns(**{k: pl.lit(v) for k, v in change.items()})
    asked = {"by": ["g"], "truth": "y", "decision": AtLeast(column="s", threshold=0.5)} | call
    there, by = engine(name, native), asked.pop("by")
    with pytest.raises(InputError, match=message) as caught:
        there.count(by, **asked)

    assert "\n" not in str(caught.value)


def test_rows_do_not_leave_an_engine_and_the_refusal_says_what_would_do() -> None:
    """Neither columns nor labels row by row."""
    there = engine("duckdb", frame())
    for ask in (lambda: there.arrays("g"), lambda: there.binary("y")):
        with pytest.raises(InputError, match=r"stay in their engine; hand over a table in memory"):
            ask()


def test_what_is_no_dataframe_is_refused() -> None:
    """With the type that was got."""
    with pytest.raises(InputError, match=r"a dataframe is needed .*got builtins\.list"):
        tables.of([1, 2], roles=ROLES)
    with pytest.raises(InputError, match="has no rows"):
        tables.of(frame()[:0], roles=ROLES)
    with pytest.raises(InputError, match="column for truth: 'yy' is not there"):
        tables.of(frame(), roles={"truth": ("yy",)})


def test_odd_types_have_names_too() -> None:
    """Decimals are numbers, dates say themselves, whole numbers that a float cannot hold keep every digit."""
    big = 2**60 + 1
    native = pl.DataFrame(
        {
            "dec": [Decimal("1.00"), Decimal("2.50"), None] * 8,
            "day": [dt.date(2024, 1, 2), None, dt.date(2023, 1, 2)] * 8,
            "big": [big, big + 1, None] * 8,
            "y": [0, 1] * 12,
        }
    )
    expected = {
        "dec": ("(missing)", "1", "2.5"),
        "day": ("(missing)", "2023-01-02", "2024-01-02"),
        "big": ("(missing)", str(big), str(big + 1)),
    }
    for column, names in expected.items():
        roles = {"truth": ("y",), "sensitive": (column,)}
        for native_ in (native, native.lazy(), duckdb.connect(":memory:").from_arrow(native.to_arrow())):
            assert tables.of(native_, roles=roles).count([column], truth="y", decision="y").groups == names


@pytest.mark.parametrize(
    "make", [lambda f: f, lambda f: f.lazy(), lambda f: f.to_pandas(), lambda f: f.to_arrow()]
)
def test_a_dataframe_of_predictions_is_audited_like_the_file(make, tmp_path) -> None:
    """The same accuracy and the same gap from a dataframe as from the csv it was written to."""
    native = frame(600)
    native.write_csv(tmp_path / "rows.csv")
    given = {"truth": "y", "score": "s", "sensitive": ("g", "h")}
    dossiers = [api.audit_predictions(rows, **given) for rows in (tmp_path / "rows.csv", make(native))]
    values = [
        {
            (m.metric, str(sorted(m.labels.items()))): (m.value, m.n)
            for e in d.evidence
            for m in e.measurements
            if e.audit in {"fairness", "performance"} and m.metric != "fairness.any_disparity_p"
        }
        for d in dossiers
    ]
    lazy = isinstance(make(native), pl.LazyFrame)
    there = {k for k, (value, _) in values[1].items() if value is not None}

    assert all(not e.failure for d in dossiers for e in d.evidence)
    assert lazy or there == {k for k, (value, _) in values[0].items() if value is not None}
    assert ("performance.accuracy", "[]") in there
    in_bins = ("_auc", "scoring_rate", "ece_debiased", "brier", "log_loss") if lazy else ()
    for k in there:
        near = any(k[0].endswith(name) for name in in_bins)
        assert values[1][k][0] == (pytest.approx(values[0][k][0], abs=5e-3) if near else values[0][k][0])
        assert values[1][k][1] == values[0][k][1]


def test_pandas_missing_markers_are_one_group() -> None:
    """None, NaN and NA in a column of objects."""
    native = pd.DataFrame({"g": ["a", None, float("nan"), pd.NA] * 5, "y": [0, 1] * 10})
    cohort = tables.of(native, roles={"truth": ("y",), "sensitive": ("g",)})

    assert cohort.count(["g"], truth="y", decision="y").n.tolist() == [15, 5]


def test_a_dictionary_of_arrow_is_text() -> None:
    """Categories read as what they stand for."""
    column = pa.array(["x", "y", None, "NA"] * 5).dictionary_encode()
    native = pa.table({"g": column, "y": [0, 1] * 10})
    cohort = tables.of(native, roles={"truth": ("y",), "sensitive": ("g",)})

    assert cohort.count(["g"], truth="y", decision="y").groups == ("(missing)", "NA", "x", "y")


# --- bins and strata ---------------------------------------------------------------------------------------


def aged() -> pl.DataFrame:
    """A number with both infinities, NaN and null among it; departments that differ in how many they take."""
    rng = np.random.default_rng(5)
    age: list[float | None] = [None, float("nan"), float("inf"), float("-inf"), 25.0, 40.0, 60.0]
    age += rng.uniform(18, 80, 593).round(1).tolist()
    department = rng.integers(0, 3, 600)
    return pl.DataFrame(
        {
            "age": age,
            "sex": rng.choice(["f", "m"], 600).tolist(),
            "department": np.array(["law", "art", "physics"])[department].tolist(),
            "y": rng.integers(0, 2, 600),
            "s": np.clip(rng.random(600) * 0.6 + department * 0.2, 0, 1),
        }
    ).with_columns(d=pl.col("s") >= 0.5)


@pytest.mark.parametrize("name", [n for n in ENGINES if n not in {"pandas", "arrow"}])
@pytest.mark.parametrize("decided", ["prediction", "score"])
def test_bins_and_strata_are_counted_in_an_engine_as_in_memory(name, decided) -> None:
    """Every number of the attribute and of the strata, their exhibits too: nothing is off by a row."""
    import narwhals as nw

    from rai_bigmodel.audits.fairness import Fairness
    from rai_bigmodel.subject import Splits
    from rai_bigmodel.subjects.of_table import of_table

    native = aged()
    column = {"prediction": "d", "score": "s"}[decided]
    roles = {"truth": ("y",), "sensitive": ("sex", "age"), decided: (column,), "feature": ("department",)}
    audit = Fairness(
        bins={"age": (25, 40, 60)},
        given={"sex": "department", "age": "department*sex", "sex*age": "department"},
    )
    # Of scores, an engine counts bins; what follows from decisions is the same.
    kept = ("selection_rate", "difference", "ratio", "rate", "precision", "accuracy", "rows_needed")

    def found(rows: tables.Table | tables.Frame) -> tuple[dict[object, object], list[object]]:
        findings = audit(of_table(rows), Splits(held_out=rows), np.random.default_rng(0))
        measured = {
            (m.metric, tuple(sorted(m.labels.items()))): m
            for m in findings.measurements
            if m.metric.endswith(kept) and not m.metric.endswith("scoring_rate")
        }
        return measured, [e for e in findings.exhibits if " within " in e.title]

    lazy = nw.from_native(ENGINES[name](native)).lazy()
    here = found(tables.of(native, roles=roles))
    there = found(tables.Frame(name="rows", frame=lazy, roles=roles))

    assert here == there
    assert len(here[1]) == 3
    assert any(m.value for (metric, _), m in here[0].items() if metric.endswith("conditional_difference"))


def test_bins_of_text_and_edges_that_descend_are_refused_in_an_engine_too() -> None:
    """The same lines as in memory."""
    from rai_bigmodel.tables.bins import binned

    rows = engine("polars lazy", frame())
    for bins, said in (
        ({"g": (1.0,)}, "holds text"),
        ({"h": (2.0, 1.0)}, "ascending"),
        ({"hh": (1.0,)}, "'h'"),
    ):
        with pytest.raises(InputError, match=said):
            binned(rows, bins)


def test_a_large_csv_is_put_into_bins_by_duckdb(tmp_path) -> None:
    """Everything in it is text; what is no number is refused in one line."""
    from rai_bigmodel.tables.bins import binned

    rows = aged().filter(pl.col("age").is_finite())
    rows.write_csv(tmp_path / "rows.csv")
    roles = {"truth": ("y",), "sensitive": ("age", "sex"), "prediction": ("d",)}
    counted = [
        binned(tables.open_table(tmp_path / "rows.csv", roles=roles, memory=memory), {"age": (25, 40)}).count(
            ["age"], truth="y", decision="d"
        )
        for memory in (0, None)
    ]

    assert counted[0] == counted[1]
    assert counted[0].groups == ("25 to 40", "40 or more", "under 25")
    words = binned(tables.open_table(tmp_path / "rows.csv", roles=roles, memory=0), {"sex": (1.0,)})
    with pytest.raises(InputError, match=r"rows\.csv: cannot be read as csv \(.*DOUBLE"):
        words.count(["sex"], truth="y", decision="d")


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame([[0, "a", 1, 1]], columns=["y", "g", "d", "g"]), "a column stands twice .*'g' 2 times"),
        (pd.DataFrame([[0, "a", 1]], columns=["y", "g", 0]), "the name of the column 0 is no text"),
    ],
)
def test_columns_without_a_name_of_their_own_are_refused_in_one_line(frame, said: str) -> None:
    """As scikit-learn's users have them; the way out is named."""
    with pytest.raises(InputError, match=said) as refused:
        tables.of(frame, roles={"truth": ("y",), "sensitive": ("g",)})
    assert "\n" not in str(refused.value)


def test_a_threshold_of_numpy_is_a_threshold() -> None:
    frame = pl.DataFrame({"y": [0, 1] * 40, "p": [0.2, 0.9] * 40, "g": ["a", "a", "b", "b"] * 20})
    made = api.audit_predictions(frame, truth="y", score="p", sensitive=["g"], threshold=np.float32(0.25))
    assert made.evidence[0].subject.decision.threshold == 0.25
