"""The search for weak slices: a planted one is found and measured, its twin is left in peace."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from cohorts import rng, subject

from rai_bigmodel.audits.slices import Slices
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table


def _rows(seed: int, *, planted: bool, rows: int = 4000, features: int = 8) -> Splits:
    """One label in ten is wrong everywhere; where planted, four in ten in race B with a large f1."""
    r = np.random.default_rng(seed)
    columns = {f"f{i}": r.normal(size=rows) for i in range(features)}
    race = r.choice(np.array(["A", "B", "C"], dtype=object), rows, p=[0.6, 0.3, 0.1])
    bad = (race == "B") & (columns["f1"] > 0.6745) & planted
    flip = r.random(rows) < np.where(bad, 0.4, 0.1)
    columns |= {"y": ((columns["f0"] > 0) ^ flip).astype(float)}
    return Splits(
        held_out=Table(
            name="rows",
            columns={**columns, "race": race},
            roles={
                "feature": tuple(f"f{i}" for i in range(features)),
                "truth": ("y",),
                "sensitive": ("race",),
            },
        )
    )


def _model():
    return subject(lambda x: (x["f0"] > 0) * 0.8 + 0.1)


def _found(seed: int, *, planted: bool):
    findings = Slices(yardstick=False)(_model(), _rows(seed, planted=planted), np.random.default_rng(seed))
    return findings.measurements


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_slice_is_found_and_its_drop_is_covered(seed: int) -> None:
    """About 7.5 % of rows, right in six of ten: both conditions named, the true drop inside the interval."""
    drop, count = _found(seed, planted=True)

    assert "race is B" in drop.labels["slice"]
    assert "f1 is above" in drop.labels["slice"]
    assert drop.interval.low > 0.1
    # Inside .60, outside .90: over all rows .90 − .3 × .075.
    assert drop.interval.low <= 0.9 - 0.3 * 0.075 - 0.6 <= drop.interval.high
    assert count.value >= 1


@pytest.mark.parametrize("seed", range(3))
def test_the_twin_without_it_is_left_in_peace(seed: int) -> None:
    """Errors spread evenly: nothing is significant, and the worst slice's drop may be zero.

    At 99.9 %: at 95 % one seed in twenty misses by design, which is measured over 200 seeds below.
    """
    drop, count = _found(seed, planted=False)
    _, low, high, *_ = drop.interval.rung(0.001)

    assert count.value == 0
    assert low <= 0 <= high


@pytest.mark.zoo
def test_planted_slices_and_twins_over_twenty_seeds() -> None:
    """Found in at least 19 of 20; twins accused in at most 3; their drop's interval misses zero in at most 3."""
    planted = [_found(s, planted=True) for s in range(20)]
    twins = [_found(s, planted=False) for s in range(100, 120)]

    assert sum(c.value >= 1 and "race is B" in d.labels["slice"] for d, c in planted) >= 19
    assert sum(c.value > 0 for _, c in twins) <= 3


@pytest.mark.zoo
def test_the_drop_of_the_worst_slice_is_covered_though_it_was_the_worst() -> None:
    """200 models whose errors are even: 95 % intervals miss zero in at most 18, and at most 14 are accused.

    Measured over 400: 19 misses, 11 above and 8 below, and 10 accused (nominal 20 and 20).
    """
    found = [_found(s, planted=False) for s in range(1000, 1200)]

    assert sum(not d.interval.low <= 0 <= d.interval.high for d, _ in found) <= 18
    assert sum(c.value > 0 for _, c in found) <= 14


def test_the_worst_drop_is_measured_on_rows_that_were_not_searched() -> None:
    """Recomputed by hand from the slice's words on the confirming half."""
    data = _rows(1, planted=True)
    findings = Slices(yardstick=False)(_model(), data, rng())
    drop = findings.measurements[0]
    confirm = np.sort(np.array_split(rng().permutation(4000), 2)[1])
    columns = {k: v[confirm] for k, v in data.held_out.columns.items()}
    right = (columns["f0"] > 0) == (columns["y"] == 1)
    search = np.sort(np.array_split(rng().permutation(4000), 2)[0])
    cut = np.quantile(data.held_out.columns["f1"], 0.75, method="lower")
    inside = (columns["race"] == "B") & (columns["f1"] > cut)

    assert drop.labels["slice"].startswith("f1 is above")
    assert not set(confirm) & set(search)
    assert drop.value == pytest.approx(right.mean() - right[inside].mean(), abs=1e-12)
    assert drop.n == 2000
    assert len(drop.interval.ladder) == 13


def test_the_yardstick_is_the_worst_leaf_of_a_tree() -> None:
    """A row of the table, not among those that are tested."""
    data = _rows(0, planted=False)
    f2 = data.held_out.columns["f2"]
    y = np.where(f2 < -1, np.random.default_rng(1).integers(0, 2, 4000), data.held_out.columns["y"])
    table = Table(name="rows", columns={**data.held_out.columns, "y": y}, roles=data.held_out.roles)
    words, *_, tested = Slices()(_model(), Splits(held_out=table), rng()).exhibits[0].rows[-1]

    assert words.startswith("Yardstick, worst leaf of a tree: ")
    assert "f2 is at most -" in words
    assert tested == "not tested"


def test_the_yardstick_needs_no_other_package(monkeypatch) -> None:
    """Its tree is ours, so that nobody waits for a library to be loaded; the numbers are as without it."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with_it, without = (Slices(yardstick=y)(_model(), _rows(0, planted=True), rng()) for y in (True, False))

    assert without.measurements == with_it.measurements
    assert len(with_it.exhibits[0].rows) == len(without.exhibits[0].rows) + 1


def test_missing_values_and_text_are_conditions_too() -> None:
    """Rows wrong where a number is missing."""
    data = _rows(2, planted=False)
    gone = np.random.default_rng(5).random(4000) < 0.15
    y = np.where(gone, np.random.default_rng(6).integers(0, 2, 4000), data.held_out.columns["y"])
    f3 = np.where(gone, np.nan, data.held_out.columns["f3"])
    table = Table(name="rows", columns={**data.held_out.columns, "y": y, "f3": f3}, roles=data.held_out.roles)
    drop = Slices(yardstick=False)(_model(), Splits(held_out=table), rng()).measurements[0]

    assert drop.labels["slice"] == "f3 is missing"


@pytest.mark.parametrize(
    ("one", "data", "why"),
    [
        (_model(), _rows(0, planted=False, rows=150), "at least 200 are needed"),
        (
            subject(decision=Decision(kind="threshold", threshold=None, positive="", labels=())),
            _rows(0, planted=False),
            "predicts a number",
        ),
        (subject(lambda x: (x["f0"] > 0) * 1.0), None, "does worse"),
    ],
)
def test_what_cannot_be_measured_is_null_with_a_reason(one, data, why) -> None:
    """Few rows, numbers, and a model that is never wrong."""
    if data is None:
        data = _rows(0, planted=False)
        columns = {**data.held_out.columns, "y": (data.held_out.columns["f0"] > 0).astype(float)}
        data = Splits(held_out=Table(name="rows", columns=columns, roles=data.held_out.roles))
    drop = Slices()(one, data, rng()).measurements[0]

    assert drop.value is None
    assert why in drop.why


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"depth": 4}, "from 1 to 3, got 4"),
        ({"share": 0.7}, "got 0.7"),
        ({"discovery_rate": 0.0}, "between 0 and 1"),
    ],
)
def test_parameters_that_make_no_search_are_refused(given, message) -> None:
    """One line with what was got."""
    with pytest.raises(InputError, match=message):
        Slices(**given)
