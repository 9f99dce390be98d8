"""Columns that are read batch by batch are those that DuckDB gives as a whole."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from rai_bigmodel.tables.arrow import fetch_numbers

MANY = 300_000
"""More rows than DuckDB puts into one batch, and no multiple of eight or of a batch but this once."""


@pytest.mark.parametrize("guess", [0, 1, 1_000, MANY, 2 * MANY])
def test_columns_are_those_that_duckdb_gives_as_a_whole(guess: int) -> None:
    """Numbers and holes agree with `fetchnumpy`, however many rows were expected."""
    select = (
        "SELECT CASE WHEN range % 7 = 3 THEN NULL ELSE range / 4 END AS some, range::DOUBLE AS all, "
        f"CASE WHEN range > 200001 THEN NULL ELSE (range % 100)::UTINYINT END AS late, (range % 2)::INTEGER AS i "
        f"FROM range({MANY + 5})"
    )
    with duckdb.connect(":memory:") as engine:
        whole = engine.sql(select).fetchnumpy()
        found = fetch_numbers(engine.sql(select), rows=guess)

    assert list(found) == ["some", "all", "late", "i"]
    for name, (values, gone) in found.items():
        expected = np.ma.getmaskarray(whole[name])
        assert (gone is None) == (not expected.any())
        assert gone is None or (gone == expected).all()
        assert (values[~expected] == np.ma.getdata(whole[name])[~expected]).all()
        assert values.dtype == np.ma.getdata(whole[name]).dtype


def test_no_rows_are_columns_of_none() -> None:
    """An empty result has its columns."""
    with duckdb.connect(":memory:") as engine:
        found = fetch_numbers(engine.sql("SELECT 1.5::DOUBLE AS x WHERE false"), rows=9)

    assert found["x"].values.tolist() == []
    assert found["x"].gone is None


def test_text_is_refused() -> None:
    """Only numbers lie in memory as NumPy's do."""
    with (
        duckdb.connect(":memory:") as engine,
        pytest.raises(TypeError, match="'who' is no column of numbers"),
    ):
        fetch_numbers(engine.sql("SELECT 'a' AS who"), rows=1)


def test_what_breaks_on_the_way_is_the_engines_error() -> None:
    """A cast that fails in the last row is an error and no column that ends before it."""
    select = f"SELECT (CASE WHEN range = {MANY - 1} THEN 'x' ELSE '1' END)::DOUBLE AS x FROM range({MANY})"
    with duckdb.connect(":memory:") as engine, pytest.raises(duckdb.Error, match=r"(?i)conver"):
        fetch_numbers(engine.sql(select), rows=MANY)
