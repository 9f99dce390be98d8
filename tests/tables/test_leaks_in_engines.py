"""What a feature tells by itself is the same whether its rows were read or counted where they are."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cohorts import rng

from rai_bigmodel.audits.data import Data
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.of_table import of_table
from rai_bigmodel.tables import open_table

if TYPE_CHECKING:
    from pathlib import Path

ROLES = {"truth": ("y",), "sensitive": ("g",), "score": ("p",), "feature": ("*",)}


@pytest.fixture(name="path")
def rows(tmp_path: Path) -> Path:
    """A leak in numbers, a value that only one outcome has, holes, text, and a number that tells nothing."""
    r = np.random.default_rng(2)
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as out:
        write = csv.writer(out)
        write.writerow(["g", "y", "p", "leak", "code", "word", "plain"])
        for i in range(1500):
            y = int(r.integers(2))
            code = 7 if y and r.random() < 0.4 else int(r.integers(5))
            plain = "" if i % 50 == 0 else round(float(r.normal()), 2)
            word = "yes" if y and r.random() < 0.3 else str(r.choice(["a", "b"]))
            write.writerow(
                [r.choice(["a", "b"]), y, round(float(r.random()), 3), y + r.random(), code, word, plain]
            )
    return path


def _found(path: Path, memory: int) -> dict[tuple[str, str], Any]:
    table = open_table(path, roles=ROLES, memory=memory)
    found = Data()(of_table(table), Splits(held_out=table), rng())
    return {
        (m.metric, m.labels["feature"]): m
        for m in found.measurements
        if m.metric.startswith("data.leak") and "feature" in m.labels
    } | {("notes", ""): found.notes}


def test_leaks_of_rows_in_an_engine_are_those_of_rows_that_were_read(path: Path) -> None:
    """AUC and purity of numbers, purity of text, in all digits; text has no AUC there and says why."""
    read, counted = (_found(path, memory) for memory in (1 << 30, 0))

    assert read.keys() == counted.keys()
    for key, m in counted.items():
        if key == ("data.leak_auc", "word"):
            assert m.value is None
            assert "stay in their engine" in m.why
        elif key[0] != "notes":
            assert (m.value, m.n) == (pytest.approx(read[key].value, abs=1e-12), read[key].n)
    assert counted["data.leak_auc", "leak"].value > 0.98
    assert [note for note in counted["notes", ""] if "'leak' tells the outcome" in note]
    assert [note for note in counted["notes", ""] if "'code' is suspicious" in note]


def test_too_many_values_are_not_counted_and_that_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GROUP BY as long as the table tells no more than the rows, which stay where they are."""
    monkeypatch.setattr("rai_bigmodel.tables.engine.MAX_CELLS", 500)
    found = _found(path, 0)

    assert found["data.leak_auc", "leak"].value is None
    assert "more different values" in found["data.leak_auc", "leak"].why
    assert found["data.leak_purity", "code"].value is not None
