"""What would tell of a handful of people is left out, and cannot be worked out from what is left."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cohorts import subject, table
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_bigmodel import api
from rai_bigmodel.audits.data import Data
from rai_bigmodel.audits.fairness import Fairness
from rai_bigmodel.collect import Asked, collect
from rai_bigmodel.small_cells import hidden_cells
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.of_table import of_table
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.subject import Subject


def _rows(races: dict[str, int], *, sexes: tuple[str | None, ...] = ("f", "m")) -> Table:
    """So many rows of each race, sexes in turn, outcomes at random."""
    race = np.concatenate([np.full(n, name, dtype=object) for name, n in races.items()])
    sex = np.array([sexes[i % len(sexes)] for i in range(len(race))], dtype=object)
    return replace(table(len(race)), columns={**table(len(race)).columns, "race": race, "sex": sex})


def _dossier(rows: Table, **how: Any) -> Dossier:
    asked = [Asked("fairness", Fairness(laws=("nyc-ll144", "four-fifths"), **how)), Asked("data", Data())]
    return collect(subject(), Splits(held_out=rows), asked)


def _of(dossier: Dossier, attribute: str, group: str) -> list[Any]:
    return [
        m
        for e in dossier.evidence
        for m in e.measurements
        if m.labels.get("attribute") == attribute and m.labels.get("group") == group
    ]


def test_a_small_group_is_named_without_any_number() -> None:
    """Three rows: every measurement of it is null with why, its lines in tables and pictures hold its name alone."""
    dossier = _dossier(_rows({"A": 300, "B": 200, "C": 60, "X": 3}))
    found = _of(dossier, "race", "X")

    assert found
    assert {(m.value, m.n, m.interval) for m in found} == {(None, None, None)}
    assert all("fewer than 5 rows" in m.why for m in found)
    lines = 0
    for e in dossier.evidence:
        for exhibit in e.exhibits:
            for row in getattr(exhibit, "rows", ()):
                if row[0] == "X":
                    lines += 1
                    assert set(row[1:]) <= {None, ""}
            for dot in getattr(exhibit, "dots", ()):
                if dot.label.startswith("X"):
                    lines += 1
                    assert (dot.value, dot.low, dot.high, dot.n) == (None, None, None, None)
    assert lines >= 6


def test_totals_do_not_give_it_away() -> None:
    """The next smallest group is hidden too, and every gap that rests on it; the others keep their numbers."""
    dossier = _dossier(_rows({"A": 300, "B": 200, "C": 60, "X": 3}))
    gaps = [
        m
        for m in dossier.find("fairness")[0].measurements
        if m.labels.get("attribute") == "race" and "high" in m.labels
    ]

    assert {m.value for m in _of(dossier, "race", "C")} == {None}
    assert all("cannot be worked out" in m.why for m in _of(dossier, "race", "C"))
    assert all(m.value is not None for m in _of(dossier, "race", "A") if "to" not in m.labels)
    assert gaps
    assert {m.value for m in gaps} == {None}


def test_what_is_worked_out_from_a_hidden_group_is_hidden() -> None:
    """Gaps and their intervals, what the rows can show, the spread in a caption, the gap over thresholds."""
    dossier = _dossier(_rows({"A": 300, "B": 200, "C": 60, "X": 3}), given={"race": "sex"})
    evidence = dossier.find("fairness")[0]
    about = [
        m for m in evidence.measurements if m.labels.get("attribute") == "race" and "group" not in m.labels
    ]
    table_ = next(e for e in evidence.exhibits if e.title == "Groups by race")
    curve = next(e for e in evidence.exhibits if e.title.startswith("Over the decision threshold, by race"))
    strata = next(e for e in evidence.exhibits if " within " in e.title)

    assert len(about) > 10
    assert {m.value for m in about if m.kind != "p_value"} == {None}
    assert table_.caption == ""
    assert [line.label for line in curve.lines] == ["accuracy", "selection rate"]
    hidden = [i for i, c in enumerate(strata.columns) if c in {"C", "X"}]
    assert hidden
    assert {row[i] for row in strata.rows for i in hidden} == {""}
    assert {row[1] for row in strata.rows} == {None}


def test_two_small_groups_of_five_rows_hide_each_other() -> None:
    """No other group is given up for them."""
    dossier = _dossier(_rows({"A": 300, "B": 200, "X": 3, "Z": 4}))

    assert {m.value for name in ("X", "Z") for m in _of(dossier, "race", name)} == {None}
    assert all(m.value is not None for name in ("A", "B") for m in _of(dossier, "race", name))
    gaps = {
        m.labels["scope"]: m
        for m in dossier.find("fairness")[0].measurements
        if m.metric == "fairness.demographic_parity_difference" and m.labels["attribute"] == "race"
    }

    assert gaps["sized"].value is not None
    assert gaps["all"].value is None


def test_without_small_groups_nothing_is_hidden() -> None:
    """The same evidence as the audit hands over."""
    rows = _rows({"A": 300, "B": 200})
    dossier = _dossier(rows)

    assert not hidden_cells(rows, subject(), [Fairness()]).groups
    assert all(m.value is not None for m in _of(dossier, "race", "B"))


def test_a_group_with_few_of_one_outcome_keeps_how_it_was_decided_about() -> None:
    """Two positives among 60: rates among outcomes go, all of them, for any two give the third."""
    rows = _rows({"A": 300, "B": 200, "C": 60})
    y = rows.columns["y"].copy()
    y[rows.columns["race"] == "C"] = 0.0
    y[-2:] = 1.0
    dossier = _dossier(replace(rows, columns={**rows.columns, "y": y}))
    by_metric = {m.metric.rpartition(".")[2]: m for m in _of(dossier, "race", "C")}

    assert by_metric["selection_rate"].value is not None
    assert by_metric["group_share"].value is not None
    for name in ("true_positive_rate", "false_positive_rate", "precision", "accuracy", "label_rate"):
        assert by_metric[name].value is None
        assert by_metric[name].n is None


def test_few_rows_of_no_known_group_are_hidden_and_cost_no_other_group() -> None:
    """Three rows without a race."""
    rows = _rows({"A": 300, "B": 200, "": 3})
    race = np.where(rows.columns["race"] == "", None, rows.columns["race"])
    dossier = _dossier(replace(rows, columns={**rows.columns, "race": race}))

    assert {m.value for m in _of(dossier, "race", "(missing)")} == {None}
    assert all(m.value is not None for m in _of(dossier, "race", "B"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=6, max_size=12))
def test_nobody_who_solves_the_equations_finds_a_small_cell(sizes: list[int]) -> None:
    """Attack: the hidden cells of race, of sex and of both as unknowns, every sum that is published as an equation."""
    names = [(f"r{i // 3}", f"s{i % 3}") for i in range(len(sizes))]
    pairs = [pair for pair, n in zip(names, sizes, strict=True) for _ in range(n)]
    if len({r for r, _ in pairs}) < 2 or len({s for _, s in pairs}) < 2 or len(pairs) < 40:
        return  # no groups that could be compared
    race, sex = (np.array([p[i] for p in pairs], dtype=object) for i in (0, 1))
    rows = replace(table(len(race)), columns={**table(len(race)).columns, "race": race, "sex": sex})
    hidden = hidden_cells(rows, subject(), [Fairness()]).groups
    cells = {
        "race": {(r,): int((race == r).sum()) for r in set(race)},
        "sex": {(s,): int((sex == s).sum()) for s in set(sex)},
        "race*sex": {p: pairs.count(p) for p in set(pairs)},
    }
    unknown = [(a, c) for a, of in cells.items() for c in of if "*".join(c) in hidden.get(a, {})]
    place = {u: i for i, u in enumerate(unknown)}
    equations = []

    def add(inside: list[tuple[str, tuple[str, ...]]], total: tuple[str, tuple[str, ...]] | None) -> None:
        row = np.zeros(len(unknown))
        for cell in inside:
            row[place[cell]] += 1 if cell in place else 0
        if total in place:
            row[place[total]] -= 1
        equations.append(row)

    for a in ("race", "sex", "race*sex"):
        add([(a, c) for c in cells[a] if (a, c) in place], None)
    for i, a in enumerate(("race", "sex")):
        for (name,) in cells[a]:
            inside = [("race*sex", c) for c in cells["race*sex"] if c[i] == name]
            add([c for c in inside if c in place], (a, (name,)))
    if not unknown:
        assert all(n >= 5 for of in cells.values() for n in of.values())
        return
    rank = np.linalg.matrix_rank(np.array(equations))
    for (a, c), i in place.items():
        alone = np.zeros(len(unknown))
        alone[i] = 1
        determined = np.linalg.matrix_rank(np.array([*equations, alone])) == rank
        # With one group left there is nothing to hide it behind.
        assert not (cells[a][c] < 5 and determined) or all("*".join(k) in hidden[a] for k in cells[a])


def test_no_raw_row_is_in_the_evidence(tmp_path) -> None:
    """A word that one row alone holds is in no file that is written, nor in the page."""
    word = "Zanzibarbara"
    r = np.random.default_rng(0)
    lines = ["g,who,y,p"]
    lines += [
        f"{r.choice(['a', 'b'])},{word if i == 7 else f'name{i}'},{r.integers(2)},{r.random():.3f}"
        for i in range(300)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    dossier = api.audit_predictions(tmp_path / "rows.csv", truth="y", score="p", sensitive=["g"])
    api.save(dossier, tmp_path / "out")
    api.write_report(dossier, path=tmp_path / "out" / "report.html")

    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) >= 7
    assert not [path for path in written if word in path.read_text()]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())


@pytest.mark.parametrize("attribute", ["race", "race*sex"])
def test_what_is_hidden_is_hidden_in_the_tables_of_laws(attribute: str) -> None:
    """By the names that a law writes: ``X, f``."""
    dossier = _dossier(_rows({"A": 300, "B": 200, "C": 60, "X": 3}))
    of_laws = [
        e for e in dossier.find("fairness")[0].exhibits if e.title.startswith(("Local Law", "Four-fifths"))
    ]
    named = [e for e in of_laws if e.title.endswith(attribute.replace("*", " and "))]
    about = [row for e in named for row in e.rows if str(row[0]).startswith("X")]

    assert about
    assert all(set(row[1:]) <= {None, ""} for row in about)


def _species(*, rare: tuple[int, int, int] = (4, 16, 20)) -> tuple[Table, Subject]:
    """Three labels, 400 rows of a and of b, and of c so many as said; answers that are right three times in four."""
    r = np.random.default_rng(8)
    sizes = {"a": (130, 130, 140), "b": (140, 130, 130), "c": rare}
    names = np.array(["cat", "dog", "owl"], dtype=object)
    group = np.concatenate([np.full(sum(of), g, dtype=object) for g, of in sizes.items()])
    truth = np.concatenate([np.repeat(names, of) for of in sizes.values()])
    said = np.where(r.random(len(truth)) < 0.75, truth, r.choice(names, len(truth)))
    rows = Table(
        name="species",
        columns={"g": group, "y": truth, "d": said},
        roles={"truth": ("y",), "prediction": ("d",), "sensitive": ("g",)},
    )
    return rows, of_table(rows)


def test_of_several_labels_each_is_an_outcome_whose_few_rows_are_hidden() -> None:
    """Four cats among the 40 of c: whatever looks at cats goes, and what would tell their rate by subtraction."""
    rows, box = _species()
    found = collect(box, Splits(held_out=rows), [Asked("fairness", Fairness())]).evidence[0].measurements
    of_c = {
        (m.metric.rpartition(".")[2], m.labels.get("class", "")): m for m in found if "c" in m.labels.values()
    }

    for name in ("true_positive_rate", "false_positive_rate", "false_negative_rate", "precision", "accuracy"):
        assert of_c[name, "cat"].value is None
        assert of_c[name, "cat"].n is None
        assert of_c[name, "dog"].value is not None
    assert of_c["selection_rate", "cat"].value is not None
    # Right over all labels, less right of dogs and owls, is right of cats; and so it is of the mean.
    assert of_c["accuracy", ""].value is None
    assert of_c["true_positive_rate", "macro"].value is None
    told = [m for m in found if m.value is not None and m.labels.get("class") in {"cat", "macro", None}]
    looks = [
        m
        for m in told
        if "demographic" not in m.metric and {m.labels.get("high"), m.labels.get("low")} & {"c"}
    ]

    assert not looks


def test_with_enough_rows_of_each_label_nothing_is_hidden() -> None:
    """Five of each do, and two labels with few rows that are five together leave the accuracy of all."""
    rows, box = _species(rare=(5, 16, 20))
    found = collect(box, Splits(held_out=rows), [Asked("fairness", Fairness())]).evidence[0].measurements
    assert all(m.value is not None for m in found if m.labels.get("group") == "c")

    rows, box = _species(rare=(3, 4, 40))
    hidden = hidden_cells(rows, box, [Fairness()])

    assert hidden.labels["g"].keys() == {"cat", "dog"}
    assert not hidden.outcomes.get("g")


def test_where_a_compared_group_is_hidden_no_table_tells_its_gaps() -> None:
    """Two rows of a fourth group hide the next smallest; the table of gaps by label names none then."""
    rows, box = _species(rare=(14, 16, 20))
    group = rows.columns["g"].copy()
    group[[0, 150]] = "tiny"
    rows = replace(rows, columns={**rows.columns, "g": group})
    evidence = collect(of_table(rows), Splits(held_out=rows), [Asked("fairness", Fairness())]).evidence[0]
    told = next(e for e in evidence.exhibits if e.title.startswith("Widest gaps by g"))

    assert box.kind == "table"
    assert [row[0] for row in told.rows] == ["cat", "dog", "owl", "macro"]
    assert {cell for row in told.rows for cell in row[1:]} == {""}
