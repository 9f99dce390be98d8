"""Columns read quickly hold what columns read value by value hold."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rai_bigmodel import tables
from rai_bigmodel.tables import columns

ODD = [
    "1_000",
    "nan",
    "inf",
    "+1",
    ".5",
    "1.",
    " 1 ",
    "1e5",
    "0x10",
    "1e400",
    "true",
    "+-1",
    "-",
    "1f",
    "NA",
    "01",
]
PLAIN = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$", re.ASCII)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_reads_the_same_wherever_it_stands(tmp_path, monkeypatch, late, odd) -> None:
    """Among the first rows, or only after a column was taken for numbers, or for a few words."""
    monkeypatch.setattr(columns, "LOOKED_AT", 20)
    at = 50 if late else 3
    texts = [odd if i == at else "" if i == 7 else f"{i}.5" for i in range(60)]
    words = [odd if i == at else "" if i in {9, 55} else "ab"[i % 2] for i in range(60)]
    lines = [f"{t},{w},{i % 2}" for i, (t, w) in enumerate(zip(texts, words, strict=True))]
    path = tmp_path / "rows.csv"
    path.write_text("x,g,y\n" + "\n".join(lines) + "\n")
    table = tables.read_table(path, roles={"feature": ("x",), "sensitive": ("g",), "truth": ("y",)})
    number = bool(PLAIN.match(odd))

    assert (table.columns["x"].dtype == np.float64) == number
    if number:
        assert np.array_equal(table.columns["x"], [float(t) if t else np.nan for t in texts], equal_nan=True)
    else:
        assert table.columns["x"].tolist() == [t or None for t in texts]
    assert table.columns["g"].tolist() == [w or None for w in words]
    codes, names = table.codes("g")
    assert [names[c] for c in codes] == [w or "(missing)" for w in words]


def test_a_column_that_is_replaced_has_codes_of_its_own(tmp_path) -> None:
    """The dictionary of a file is that of the column it was read with."""
    from dataclasses import replace

    path = tmp_path / "rows.csv"
    path.write_text("g,y\n" + "a,1\nb,0\n" * 10)
    table = tables.read_table(path, roles={"sensitive": ("g",), "truth": ("y",)})
    other = replace(table, columns={**table.columns, "g": np.array(["c", "d"] * 10, dtype=object)})

    assert table.codes("g")[1] == ("a", "b")
    assert other.codes("g")[1] == ("c", "d")
