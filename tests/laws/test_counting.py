"""Counting parts and adding them equals counting the whole; every group rate is Fairlearn's and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import counts as c
from rai_bigmodel.stats.counts import GroupCounts
from rai_bigmodel.tables import Table


@st.composite
def _rows(draw: st.DrawFn, *, least: int = 1) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    k = draw(st.integers(1, 5))
    n = draw(st.integers(least, 60))
    group = draw(hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    truth, decision = (draw(hnp.arrays(bool, n)) for _ in range(2))
    return k, group, truth, decision


@given(_rows(), st.randoms(use_true_random=False), st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_counting_parts_in_any_order_and_adding_is_counting_the_whole(rows, random, parts) -> None:
    """Shards of any size in any order give the same integers."""
    k, group, truth, decision = rows
    order = list(range(len(group)))
    random.shuffle(order)
    shards = [s for s in np.array_split(np.array(order), parts) if len(s)]

    whole = GroupCounts.of(group, truth, decision, groups=k)
    added = sum(GroupCounts.of(group[s], truth[s], decision[s], groups=k) for s in shards)

    assert added == whole


@given(_rows(), _rows(), _rows())
@settings(max_examples=60, deadline=None)
def test_adding_is_associative_and_commutative_also_where_groups_differ(a, b, d) -> None:
    """Shards that have seen different groups add up to the same in any order."""
    x, y, z = (
        GroupCounts.of(g, t, p, groups=[f"g{name}{i}" for i in range(k)][::-1])
        for name, (k, g, t, p) in zip(("", "", "'"), (a, b, d), strict=True)
    )

    assert (x + y) + z == x + (y + z)
    assert (x + y).total.cells.tolist() == (y + x).total.cells.tolist()


@given(_rows(least=4))
@settings(max_examples=80, deadline=None)
def test_every_group_rate_is_that_of_fairlearn(rows) -> None:
    """Fairlearn's MetricFrame gives the same number for each group that has one."""
    from fairlearn import metrics as fl

    k, group, truth, decision = rows
    counted = GroupCounts.of(group, truth, decision, groups=k)
    names = {
        "selection_rate": fl.selection_rate,
        "true_positive_rate": fl.true_positive_rate,
        "false_positive_rate": fl.false_positive_rate,
        "false_negative_rate": fl.false_negative_rate,
    }
    for name, theirs in names.items():
        rate = c.RATES[name](counted)
        for i in range(k):
            if rate.trials[i]:
                mask = group == i
                expected = theirs(truth[mask].astype(int), decision[mask].astype(int), **_pos(name))
                assert rate.values[i] == pytest.approx(expected, abs=1e-12)


def _pos(name: str) -> dict[str, int]:
    return {"pos_label": 1}


@given(_rows(least=4))
@settings(max_examples=80, deadline=None)
def test_accuracy_and_precision_are_those_of_scikit_learn(rows) -> None:
    """The same oracle for the two rates that Fairlearn takes from scikit-learn."""
    from sklearn import metrics as sk

    k, group, truth, decision = rows
    counted = GroupCounts.of(group, truth, decision, groups=k)
    for i in range(k):
        mask = group == i
        if mask.any():
            assert c.accuracy(counted).values[i] == pytest.approx(
                sk.accuracy_score(truth[mask], decision[mask])
            )
        if decision[mask].any():
            expected = sk.precision_score(truth[mask], decision[mask])
            assert c.precision(counted).values[i] == pytest.approx(expected)


@given(_rows())
@settings(max_examples=60, deadline=None)
def test_a_table_counts_as_its_codes_do(rows) -> None:
    """GROUP BY on text and counting codes give the same integers, empty groups apart."""
    k, group, truth, decision = rows
    if len(set(group.tolist())) < 2 or len(set(group.tolist())) == len(group):
        return
    table = Table(
        name="t",
        columns={"g": np.array([f"g{v}" for v in group], dtype=object), "y": truth.astype(float)},
        roles={"truth": ("y",), "sensitive": ("g",)},
    )
    counted = table.count(["g"], truth="y", decision=decision)
    coded = GroupCounts.of(group, truth, decision, groups=[f"g{i}" for i in range(k)])

    assert dict(zip(counted.groups, counted.cells.tolist(), strict=True)) == {
        g: cells for g, cells in zip(coded.groups, coded.cells.tolist(), strict=True) if sum(cells)
    }


@pytest.mark.parametrize(
    ("group", "truth", "decision", "message"),
    [
        ([0, 1], [0, 1, 1], [0, 1], "one length"),
        ([0, 2], [0, 1], [0, 1], "from 0 to 1"),
        ([0, 1], [0, 2], [0, 1], "truth must be 0 or 1"),
    ],
)
def test_counting_refuses_what_cannot_be_counted(group, truth, decision, message) -> None:
    """Lengths, codes and values are checked, and the message shows what was got."""
    with pytest.raises(InputError, match=message):
        GroupCounts.of(np.array(group), np.array(truth), np.array(decision), groups=2)
