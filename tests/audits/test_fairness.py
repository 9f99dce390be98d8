"""The fairness audit: Fairlearn's numbers, groups too small to compare, faults found and clean models left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cohorts import rng, splits, subject, table

from rai_bigmodel.audits.fairness import Fairness
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Measurement
from rai_bigmodel.subject import Splits, decisions_of, truth_of
from rai_bigmodel.tables import Table


def _found(data: Splits, audit: Fairness | None = None, **labels: str) -> dict[str, Measurement]:
    findings = (audit or Fairness(intersections=False))(subject(), data, rng())
    wanted = {"scope": "sized", **labels}
    return {
        m.metric.partition(".")[2]: m
        for m in findings.measurements
        if all(m.labels.get(k, v if k == "scope" else None) == v for k, v in wanted.items())
    }


def _rates(counts: dict[str, tuple[int, int]]) -> Splits:
    """Rows in which each group has so many rows and so many selected; every outcome is the decision."""
    groups = np.concatenate([np.full(n, g, dtype=object) for g, (n, _) in counts.items()])
    chosen = np.concatenate([np.r_[np.ones(x), np.zeros(n - x)] for n, x in counts.values()])
    columns = {"g": groups, "y": np.arange(len(groups)) % 2 * 1.0, "x": np.where(chosen, 5.0, -5.0)}
    return Splits(
        held_out=Table(
            name="t", columns=columns, roles={"feature": ("x",), "truth": ("y",), "sensitive": ("g",)}
        )
    )


def test_the_disparities_are_those_of_fairlearn() -> None:
    """Demographic parity as difference and ratio, equal opportunity, equalised odds."""
    from fairlearn import metrics as fl

    data = splits(3000)
    y, d = truth_of(data.held_out).astype(int), decisions_of(subject(), data.held_out).astype(int)
    race = data.held_out.columns["race"]
    theirs = {
        "demographic_parity_difference": fl.demographic_parity_difference,
        "demographic_parity_ratio": fl.demographic_parity_ratio,
        "equal_opportunity_difference": fl.equal_opportunity_difference,
        "equalized_odds_difference": fl.equalized_odds_difference,
    }
    found = _found(data, attribute="race")
    for name, oracle in theirs.items():
        assert found[name].value == pytest.approx(oracle(y, d, sensitive_features=race), abs=1e-12)


def test_a_planted_gap_is_named_with_both_groups_and_their_rows() -> None:
    """Z15: 0.80 against 0.50 of a thousand rows each."""
    m = _found(_rates({"left": (1000, 800), "right": (1000, 500)}), attribute="g")[
        "demographic_parity_difference"
    ]

    assert m.value == pytest.approx(0.3)
    assert (m.labels["high"], m.labels["low"], m.n) == ("left", "right", 2000)
    assert m.interval is not None
    assert m.interval.low > 0.25


def test_a_small_group_is_listed_and_counted_and_left_out_of_the_widest_gap() -> None:
    """Z18: twelve rows, none selected, widen nothing; scope all keeps them, and k counts them."""
    data = _rates({"a": (500, 250), "b": (500, 260), "tiny": (12, 0)})
    sized = _found(data, attribute="g")["demographic_parity_difference"]
    whole = _found(data, attribute="g", scope="all")["demographic_parity_difference"]

    assert {sized.labels["high"], sized.labels["low"]} == {"a", "b"}
    assert sized.excluded == pytest.approx(12 / 1012)
    assert whole.labels["low"] == "tiny"
    two = _found(_rates({"a": (500, 250), "b": (500, 260)}), attribute="g")["demographic_parity_difference"]
    assert sized.interval is not None
    assert two.interval is not None
    assert sized.interval.high > two.interval.high


def test_missing_groups_are_a_group_of_their_own_and_the_text_na_is_not_missing() -> None:
    """Null becomes (missing) and is left out; NA (Namibia) stays."""
    data = _rates({"a": (200, 100), "NA": (200, 100), "gone": (100, 50)})
    columns = dict(data.held_out.columns)
    columns["g"] = np.where(columns["g"] == "gone", None, columns["g"])
    findings = Fairness()(subject(), Splits(held_out=replace(data.held_out, columns=columns)), rng())
    names = {m.labels["group"] for m in findings.measurements if m.metric == "fairness.selection_rate"}
    gap = next(
        m
        for m in findings.measurements
        if m.metric == "fairness.demographic_parity_difference" and m.labels["scope"] == "sized"
    )

    assert names == {"a", "NA", "(missing)"}
    assert gap.excluded == pytest.approx(0.2)


def test_equal_rates_still_name_two_different_groups() -> None:
    """Pairs are of two different groups, also where nothing tells them apart."""
    m = _found(_rates({"a": (100, 50), "b": (100, 50)}), attribute="g")["demographic_parity_difference"]

    assert m.value == 0
    assert m.labels["high"] != m.labels["low"]


@pytest.mark.parametrize(
    ("left", "right"), [((100, 0), (100, 0)), ((100, 100), (100, 100)), ((20, 10), (20, 10))]
)
def test_where_nothing_can_be_compared_there_is_a_reason_and_no_number(left, right) -> None:
    """Nobody or everybody selected, or all groups too small: null with why, no warning."""
    found = _found(_rates({"a": left, "b": right}), attribute="g")
    m = found["demographic_parity_difference"]

    assert m.value is None
    assert m.why


def test_intersections_find_what_margins_hide() -> None:
    """Z16: an XOR of two attributes leaves both margins equal and the intersection far apart."""
    r = np.random.default_rng(0)
    a, b = (r.choice(np.array(["0", "1"], dtype=object), 4000) for _ in range(2))
    chosen = r.uniform(size=4000) < np.where(a == b, 0.8, 0.4)
    held_out = Table(
        name="t",
        columns={"a": a, "b": b, "y": r.integers(0, 2, 4000) * 1.0, "x": np.where(chosen, 5.0, -5.0)},
        roles={"feature": ("x",), "truth": ("y",), "sensitive": ("a", "b")},
    )
    data = Splits(held_out=held_out)
    gap = {
        attribute: _found(data, Fairness(), attribute=attribute)["demographic_parity_difference"]
        for attribute in ("a", "b", "a*b")
    }

    assert gap["a*b"].interval is not None
    assert gap["a*b"].interval.low > 0.3
    for single in ("a", "b"):
        assert gap[single].interval is not None
        assert gap[single].interval.low < 0.05


def test_parts_of_an_intersection_are_escaped() -> None:
    """A star inside a name cannot be taken for the joint."""
    held_out = table(200)
    columns = dict(held_out.columns)
    columns["race"] = np.where(columns["race"] == "A", "A*%", columns["race"])
    _, names = replace(held_out, columns=columns).groups(["race", "sex"])

    assert "A%2A%25*f" in names


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.full(60, "one", dtype=object), "one value"),
        (np.arange(60).astype(str).astype(object), "id"),
    ],
)
def test_an_attribute_with_one_value_or_one_for_each_row_is_refused(column, message) -> None:
    """One clear line that names the column."""
    held_out = table(60)
    columns = {**held_out.columns, "race": column}
    with pytest.raises(InputError, match=f"'race'.*{message}"):
        Fairness()(subject(), Splits(held_out=replace(held_out, columns=columns)), rng())


def test_an_attribute_that_is_not_sensitive_is_refused_with_those_that_are() -> None:
    """The message lists the columns that could have been meant."""
    with pytest.raises(InputError, match=r"'rase' is not there; there are: race, sex.*'race'"):
        Fairness(attributes=("rase",))(subject(), splits(), rng())


def test_the_impact_ratio_of_the_best_group_is_one_and_of_the_others_below() -> None:
    """Selection rate over that of the most selected group that is large enough."""
    findings = Fairness()(subject(), _rates({"a": (500, 400), "b": (500, 200), "tiny": (10, 10)}), rng())
    ratios = {m.labels["group"]: m for m in findings.measurements if m.metric == "fairness.impact_ratio"}

    assert ratios["a"].value == 1.0
    assert ratios["b"].value == pytest.approx(0.5)
    assert ratios["b"].labels["to"] == "a"
    assert ratios["b"].interval is not None
    assert ratios["b"].interval.high < 0.8


def test_the_note_beside_error_rates_says_what_the_label_means() -> None:
    """Where the outcome is somebody's decision a reader is told."""
    data = replace(splits(), facts={"label_means": "what the lender decided"})
    notes = Fairness()(subject(), data, rng()).notes

    assert any("what the lender decided" in note for note in notes)
