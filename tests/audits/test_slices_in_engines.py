"""Weak slices and copies of rows that stay in their engine: from cells alone, the same whatever the engine."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import duckdb
import narwhals as nw
import numpy as np
import polars as pl
import pytest
from cohorts import rng

from rai_bigmodel import tables
from rai_bigmodel.audits.data import Data
from rai_bigmodel.audits.slices import Slices
from rai_bigmodel.subject import AtLeast, Splits
from rai_bigmodel.subjects.of_table import of_table
from rai_bigmodel.tables import coded

if TYPE_CHECKING:
    from pathlib import Path

    from rai_bigmodel.evidence import Findings

ROLES = {
    "truth": ("y",),
    "sensitive": ("g",),
    "score": ("p",),
    "feature": ("word", "few", "many", "flag"),
}
ENGINES = {
    "pandas": lambda f: f.to_pandas(),
    "pandas nullable": lambda f: f.to_pandas(use_pyarrow_extension_array=True),
    "polars": lambda f: f.lazy(),
    "arrow": lambda f: f.to_arrow(),
    "duckdb": lambda f: duckdb.from_arrow(f.to_arrow()),
}


def _rows(n: int, seed: int, *, weak: float = 0.0) -> pl.DataFrame:
    """A model that errs in a fifth of the rows, and in more of those of group b with much of `many`."""
    r = np.random.default_rng(seed)
    g, many = r.choice(["a", "b", "c"], n), np.round(r.normal(size=n), 3)
    y = r.integers(0, 2, n)
    wrong = r.random(n) < 0.2 + weak * ((g == "b") & (many > 0.8))
    right = np.where(y == 1, 0.9, 0.1)
    return pl.DataFrame(
        {
            "g": g,
            "word": [None if v == "gone" else v for v in r.choice(["x", "y", "gone"], n)],
            "few": r.integers(0, 4, n),
            "many": [None if v < 0.05 else m for v, m in zip(r.random(n), many, strict=True)],
            "flag": r.random(n) < 0.5,
            "y": y,
            "p": np.where(wrong, 1 - right, right),
        }
    )


def _there(native: object, name: str = "rows") -> tables.Frame:
    return tables.Frame(name=name, frame=nw.from_native(native).lazy(), roles=ROLES)


def _slices(cohort: tables.Frame | tables.Table, seed: int = 0) -> Findings:
    return Slices()(of_table(cohort), Splits(held_out=cohort), np.random.default_rng(seed))


def _values(found: Findings, metric: str) -> list[float | None]:
    return [m.value for m in found.measurements if m.metric == metric]


def test_every_engine_finds_the_same_slices() -> None:
    """All numbers, words and notes, from pandas, Polars, Arrow and DuckDB; the planted slice comes first."""
    rows = _rows(6_000, 1, weak=0.4)
    found = {name: _slices(_there(make(rows))) for name, make in ENGINES.items()}
    one = found["polars"]

    assert all(each == one for each in found.values())
    worst = one.measurements[0]
    assert "g is b" in worst.labels["slice"]
    assert "many is above" in worst.labels["slice"]
    assert worst.value is not None
    assert worst.value > 0.2
    assert one.measurements[1].value >= 1
    assert "by chance" in one.notes[1]


def test_a_csv_and_a_parquet_file_have_the_same_slices(tmp_path: Path) -> None:
    """What is text in a csv is counted as the numbers that it stands for."""
    _rows(4_000, 2, weak=0.4).write_csv(tmp_path / "rows.csv")
    _rows(4_000, 2, weak=0.4).write_parquet(tmp_path / "rows.parquet")
    found = [
        _slices(tables.open_table(tmp_path / name, roles=ROLES, memory=0, name="rows"))
        for name in ("rows.csv", "rows.parquet")
    ]

    assert found[0].measurements == found[1].measurements
    assert found[0].exhibits == found[1].exhibits


def test_cells_are_those_of_a_loop_over_rows() -> None:
    """Values, ranges and what is missing, and whether the decision was wrong."""
    rows = _rows(500, 3)
    told = [
        coded.Told("g", values=(("b",), ("a", "c"))),
        coded.Told("word", values=((None,), ("x",))),
        coded.Told("many", cuts=(-0.5, 0.5), missing=True),
    ]
    cut = AtLeast(column="p", threshold=0.5)
    loop: collections.Counter[tuple[int, ...]] = collections.Counter()
    for g, word, _, many, _, y, p in rows.rows():
        at = 4 if many is None else 1 if many <= -0.5 else 2 if many <= 0.5 else 3
        loop[1 if g == "b" else 2, {None: 1, "x": 2}.get(word, 0), at, int((p >= 0.5) != (y == 1))] += 1
    for make in ENGINES.values():
        found = coded.counted(_there(make(rows)), told, numbers={"many"}, truth="y", decision=cut)

        assert found is not None
        keys = zip(*found.codes.tolist(), found.wrong.astype(int).tolist(), strict=True)
        assert dict(zip(keys, found.rows.tolist(), strict=True)) == loop


def _false_discoveries(runs: int) -> int:
    """Runs in which a slice is called significant though errors fall alike everywhere."""
    return sum(
        _values(_slices(_there(_rows(2_000, s)), s), "slices.count_significant")[0] > 0 for s in range(runs)
    )


def test_where_nothing_differs_hardly_a_slice_is_significant() -> None:
    """Forty draws at a rate of .05: more than five would come once in a hundred such tests."""
    assert _false_discoveries(40) <= 5


@pytest.mark.zoo
def test_false_discoveries_are_held_in_four_hundred_draws() -> None:
    """At most the stated rate, but for the luck of the draws."""
    assert _false_discoveries(400) <= 30


def test_planted_slices_are_found_in_nearly_every_draw() -> None:
    """A group and a range in which the model errs in six of ten rows instead of two."""
    runs = [_slices(_there(_rows(4_000, s, weak=0.4)), s) for s in range(10)]

    assert sum("g is b" in f.measurements[0].labels.get("slice", "") for f in runs) >= 9
    assert sum((_values(f, "slices.count_significant")[0] or 0) >= 1 for f in runs) >= 9


def test_columns_that_would_make_too_many_cells_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which are looked at does not depend on outcomes: sensitive ones first, then in order."""
    monkeypatch.setattr("rai_bigmodel.audits.slices_in_engine.MAX_CELLS", 4 * 4 * 4)
    found = _slices(_there(_rows(3_000, 4, weak=0.4).lazy()))

    assert found.notes[2] == (
        "Columns that would have made more cells than are counted were not looked at: few, many, flag."
    )


def test_a_column_of_too_many_values_is_cut_at_edges_near_its_quarters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand ranges of equal width are counted instead of values."""
    r = np.random.default_rng(5)
    rows = _rows(3_000, 5).with_columns(many=pl.Series(r.normal(size=3_000)))
    there = _there(rows.lazy())
    monkeypatch.setattr("rai_bigmodel.tables.engine.MAX_CELLS", 2_000)
    spread = coded.ranged(there, "many")

    assert spread is not None
    assert sum(n for _, n in spread) == 3_000
    for edge, _ in spread[::100]:
        below = sum(n for e, n in spread if e <= edge)
        assert below == pytest.approx(int((rows["many"] <= edge).sum()), abs=1)
    assert there.distinct("many") is None
    assert _values(_slices(there), "slices.count_significant")[0] is not None


@pytest.mark.parametrize("at_once", [coded.AT_ONCE, 300])
@pytest.mark.parametrize("name", [*ENGINES, "csv"])
def test_copies_are_counted_where_rows_stay(
    name: str, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in memory: missing values, NaN and both zeros alike, numbers of a csv as numbers; at once and in parts."""
    monkeypatch.setattr(coded, "AT_ONCE", at_once)
    rows = (
        _rows(300, 6)
        .drop("p")
        .with_columns(many=pl.Series([0.0, -0.0, None, float("nan"), 1.5] * 60), few=pl.Series([1, 2] * 150))
    )
    rows = pl.concat([rows, rows[:40]]).with_columns(d=pl.col("y"))
    roles = {k: v for k, v in ROLES.items() if k != "score"} | {"prediction": ("d",)}
    if name == "csv":
        rows.with_columns(many=pl.col("many").fill_nan(None)).write_csv(tmp_path / "rows.csv")
        cohort = tables.open_table(tmp_path / "rows.csv", roles=roles, memory=0)
    else:
        cohort = tables.Frame(name=name, frame=nw.from_native(ENGINES[name](rows)).lazy(), roles=roles)
    table = tables.of(rows, roles=roles)
    found = [Data()(of_table(c), Splits(held_out=c), rng()) for c in (table, cohort)]

    assert isinstance(cohort, tables.Frame)
    assert _values(found[1], "data.duplicate_rate") == _values(found[0], "data.duplicate_rate")
    assert (_values(found[1], "data.duplicate_rate")[0] or 0) >= 40 / 340


def test_rows_too_many_to_compare_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine would take too long, or memory for each of them; the reason is said."""
    monkeypatch.setattr(coded, "MOST_COMPARED", 100)
    there = _there(_rows(300, 7).lazy())
    found = Data()(of_table(there), Splits(held_out=there), rng())
    one = next(m for m in found.measurements if m.metric == "data.duplicate_rate")

    assert one.value is None
    assert "too many of them to be compared" in one.why
