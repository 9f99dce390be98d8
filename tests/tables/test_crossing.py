"""Groups added up from the cells of all attributes are those counted by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel.stats import cells
from rai_bigmodel.stats.counts import GroupCounts
from rai_bigmodel.subject import AtLeast
from rai_bigmodel.tables import Table
from rai_bigmodel.tables import crossing as cr

ROWS = 5_000


def _table(**more: np.ndarray) -> Table:
    rng = np.random.default_rng(1)
    columns = {
        "a": rng.choice(["x", "y*", "z"], ROWS).astype(object),
        "b": rng.choice([None, "f", "m"], ROWS).astype(object),
        "c": rng.integers(0, 5, ROWS).astype(float),
        "s": np.round(rng.random(ROWS), 3),
        "t": rng.integers(0, 2, ROWS).astype(float),
    }
    # A combination that does not occur.
    columns["b"][(columns["a"] == "z") & (columns["c"] == 4)] = "f"
    columns |= more
    return Table(
        name="rows",
        columns=columns,
        roles={"sensitive": ("a", "b", "c"), "truth": ("t",), "score": ("s",)},
    )


@pytest.mark.parametrize("by", [(), ("a",), ("b",), ("c", "a"), ("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("most", [cr.MOST_COMBINATIONS, 10])
def test_added_up_is_counted(by, most, monkeypatch) -> None:
    """Counts and rows by score, with the cells of all columns at hand and where there would be too many of them."""
    monkeypatch.setattr(cr, "MOST_COMBINATIONS", most)
    monkeypatch.setattr("rai_bigmodel.tables.memory.MOST_COMBINATIONS", most)
    table = _table()
    codes, names = table.groups(by)
    truth, scores = table.columns["t"] == 1, table.columns["s"]

    assert table.count(by, truth="t", decision=AtLeast("s", 0.4)) == GroupCounts.of(
        codes, truth, scores >= 0.4, groups=names
    )
    found = table.by_score(by, scores, truth)
    alone = cells.of_groups(codes, scores, truth, groups=len(names))
    for one, other in zip(found, alone, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_names_of_groups_are_those_of_their_rows() -> None:
    """Missing values and escaped parts; only combinations that occur."""
    table = _table()
    codes, names = table.groups(("a", "b"))

    assert names == tuple(f"{a}*{b}" for a in ("x", "y%2A", "z") for b in ("(missing)", "f", "m"))
    rows = zip(table.columns["a"], table.columns["b"], strict=True)
    assert [names[i] for i in codes.tolist()] == [
        f"{a.replace('*', '%2A')}*{'(missing)' if b is None else b}" for a, b in rows
    ]


def test_a_count_is_not_mistaken_for_that_of_other_scores() -> None:
    """What is kept is kept for these very arrays."""
    table = _table()
    truth = table.columns["t"] == 1
    first, second = table.columns["s"], table.columns["s"] ** 2

    assert not np.array_equal(
        table.by_score(("a",), first, truth)[0].scores, table.by_score(("a",), second, truth)[0].scores
    )
    assert table.by_score((), first, ~truth)[0].negatives.sum() == truth.sum()
