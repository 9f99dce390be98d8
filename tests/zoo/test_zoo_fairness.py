"""Planted unfairness is found and its clean twin left alone: Z15 to Z21 and Z39, judged by policies.

A few seeds here; twenty behind the marker `zoo`, where a clean twin may alarm three times (a rate of 5 % exceeds
that in 1.6 % of suites).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from cohorts import subject
from dossiers import dossier, evidence

from rai_bigmodel.audits.data import Data
from rai_bigmodel.audits.explainability import Explainability
from rai_bigmodel.audits.fairness import Fairness
from rai_bigmodel.evidence import Findings
from rai_bigmodel.policy import Policy, Rule, judge
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable

FEW, MANY, ALARMS = 3, 20, 3
DP, EO = "demographic_parity_difference", "equal_opportunity_difference"


class Sample(NamedTuple):
    """Rows with known truth: groups by attribute, outcomes, decisions."""

    attributes: dict[str, np.ndarray]
    truth: np.ndarray
    decision: np.ndarray
    more: dict[str, np.ndarray] = {}


def _splits(s: Sample) -> Splits:
    columns = {
        **s.attributes,
        **s.more,
        "y": s.truth.astype(float),
        "x": np.where(s.decision, 5.0, -5.0),
    }
    roles = {"feature": ("x",), "truth": ("y",), "sensitive": tuple(s.attributes), "id": tuple(s.more)}
    return Splits(held_out=Table(name="zoo", columns=columns, roles=roles))


def _audit(s: Sample, audit: Fairness | None = None, seed: int = 0) -> Findings:
    return (audit or Fairness())(subject(), _splits(s), np.random.default_rng(seed))


def _outcome(found: Findings, metric: str, limit: float, **where: str) -> str:
    name = metric if "." in metric else f"fairness.{metric}"
    policy = Policy(
        name="zoo", rules=(Rule(metric=name, where=where, at_most=limit, because="a planted fault"),)
    )
    part = evidence(*found.measurements, audit=name.partition(".")[0])
    return judge(policy, dossier(part), today=dt.date(2026, 11, 21)).outcome


def _seeds() -> list[object]:
    return [pytest.param(FEW, id="few"), pytest.param(MANY, id="many", marks=pytest.mark.zoo)]


def _count(runs: int, happens: Callable[[int], bool]) -> int:
    return sum(happens(seed) for seed in range(runs))


def _few(runs: int) -> int:
    """Alarms a clean twin may give: three in twenty; none in three."""
    return ALARMS if runs == MANY else 0


def _selected(r: np.random.Generator, rates: dict[str, tuple[int, float]]) -> Sample:
    """Each group's rows and true selection rate; outcomes have nothing to do with it."""
    group = np.concatenate([np.full(n, g, dtype=object) for g, (n, _) in rates.items()])
    p = np.concatenate([np.full(n, rate) for n, rate in rates.values()])
    return Sample({"g": group}, r.uniform(size=len(p)) < 0.5, r.uniform(size=len(p)) < p)


# --- Z15 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", _seeds())
def test_z15_a_gap_in_selection_is_found(runs: int) -> None:
    """.55 against .40 in two groups of 1,000: the rule that forbids .05 fails in at least 80 % of runs."""

    def fails(seed: int) -> bool:
        s = _selected(np.random.default_rng(seed), {"a": (1000, 0.55), "b": (1000, 0.4)})
        return _outcome(_audit(s), DP, 0.05, attribute="g") == "fail"

    assert _count(runs, fails) >= 0.8 * runs


@pytest.mark.parametrize("runs", _seeds())
def test_z15_twin_fifteen_equal_groups_of_a_hundred_alarm_nobody(runs: int) -> None:
    """A bootstrap of the widest gap fails all of these."""

    def fails(seed: int) -> bool:
        s = _selected(np.random.default_rng(seed), {f"g{i:02}": (100, 0.5) for i in range(15)})
        return _outcome(_audit(s), DP, 0.1, attribute="g") == "fail"

    assert _count(runs, fails) <= _few(runs)


# --- Z16 ------------------------------------------------------------------------------------------------


def _xor(seed: int, extra: float) -> Sample:
    r = np.random.default_rng(seed)
    a, b = (r.choice(np.array(["0", "1"], dtype=object), 4000) for _ in range(2))
    return Sample(
        {"a": a, "b": b},
        r.uniform(size=4000) < 0.5,
        r.uniform(size=4000) < 0.5 + extra * np.where(a == b, 1, -1),
    )


@pytest.mark.parametrize("runs", _seeds())
def test_z16_an_intersection_only_bias_is_found_in_the_intersection_alone(runs: int) -> None:
    """An XOR of two attributes: margins equal, .6 against .4 in the cells."""

    def found(seed: int) -> bool:
        said = _audit(_xor(seed, 0.1))
        return _outcome(said, DP, 0.1, attribute="a*b") == "fail" and all(
            _outcome(said, DP, 0.1, attribute=single) == "pass" for single in ("a", "b")
        )

    assert _count(runs, found) >= 0.8 * runs


@pytest.mark.parametrize("runs", _seeds())
def test_z16_twin_without_the_xor_the_intersection_is_left_alone(runs: int) -> None:
    """The same rows with one rate."""
    assert _count(
        runs,
        lambda seed: (
            _outcome(_audit(_xor(seed, 0), Fairness(attributes=("a*b",))), DP, 0.05, attribute="a*b")
            == "fail"
        ),
    ) <= _few(runs)


# --- Z17 ------------------------------------------------------------------------------------------------


def _errors(seed: int, apart: float) -> Sample:
    """Selection rates equal in both groups; true positive rates .7 + apart against .7."""
    r = np.random.default_rng(seed)
    group = np.repeat(np.array(["a", "b"], dtype=object), 2000)
    truth = r.uniform(size=4000) < 0.5
    p = np.where(truth, 0.7, 0.3) + np.where(group == "a", np.where(truth, apart, -apart), 0.0)
    return Sample({"g": group}, truth, r.uniform(size=4000) < p)


@pytest.mark.parametrize("runs", _seeds())
def test_z17_unequal_opportunity_is_found_where_selection_is_equal(runs: int) -> None:
    """A gap of .2 in true positive rates fails; the rule on selection rates passes."""

    def found(seed: int) -> bool:
        said = _audit(_errors(seed, 0.2))
        return (
            _outcome(said, EO, 0.1, attribute="g") == "fail"
            and _outcome(said, DP, 0.1, attribute="g") == "pass"
        )

    assert _count(runs, found) >= 0.8 * runs


@pytest.mark.parametrize("runs", _seeds())
def test_z17_twin_with_equal_opportunity_is_left_alone(runs: int) -> None:
    """Neither rule fails."""

    def alarm(seed: int) -> bool:
        said = _audit(_errors(seed, 0.0))
        return any(_outcome(said, metric, 0.05, attribute="g") == "fail" for metric in (EO, DP))

    assert _count(runs, alarm) <= _few(runs)


# --- Z18 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", _seeds())
def test_z18_a_mirage_in_twelve_rows_decides_nothing_and_the_same_rate_in_many_rows_does(runs: int) -> None:
    """None of 12 selected is inconclusive; none of 1,200 fails."""

    def right(seed: int) -> bool:
        r = np.random.default_rng(seed)
        small = _audit(_selected(r, {"a": (150, 0.3), "b": (150, 0.3), "tiny": (12, 0.0)}))
        large = _audit(_selected(r, {"a": (150, 0.3), "b": (150, 0.3), "tiny": (1200, 0.0)}))
        return (
            _outcome(small, DP, 0.1, attribute="g") == "inconclusive"
            and _outcome(large, DP, 0.1, attribute="g") == "fail"
        )

    assert _count(runs, right) >= runs - (1 if runs == MANY else 0)


# --- Z19 ------------------------------------------------------------------------------------------------


def _proxy(seed: int, strength: float) -> Sample:
    """A score that reads only a stand-in that agrees with the group as often as `strength` says."""
    r = np.random.default_rng(seed)
    group = r.choice(np.array(["a", "b"], dtype=object), 3000)
    stand_in = np.where(r.uniform(size=3000) < strength, group, np.where(group == "a", "b", "a"))
    return Sample(
        {"g": group}, r.uniform(size=3000) < 0.5, r.uniform(size=3000) < np.where(stand_in == "a", 0.65, 0.35)
    )


@pytest.mark.parametrize("runs", _seeds())
def test_z19_a_proxy_carries_the_disparity_though_the_attribute_is_never_read(runs: int) -> None:
    """Agreement .95 (correlation .9) fails the rule; a stand-in that is noise does not (the clean twin)."""

    def outcome(seed: int, strength: float) -> str:
        return _outcome(_audit(_proxy(seed, strength)), DP, 0.05, attribute="g")

    assert _count(runs, lambda seed: outcome(seed, 0.95) == "fail") >= 0.8 * runs
    assert _count(runs, lambda seed: outcome(seed, 0.5) == "fail") <= _few(runs)


def _told(seed: int, correlation: float) -> Findings:
    """A black box that reads two columns, one of which goes with the group as strongly as `correlation` says."""
    r = np.random.default_rng(seed)
    group = r.choice(np.array(["a", "b"], dtype=object), 1000)
    side = np.where(group == "a", 1.0, -1.0)
    area = correlation * side + np.sqrt(1 - correlation**2) * r.normal(size=1000)
    columns = {"g": group, "area": area, "x": r.normal(size=1000), "y": (r.uniform(size=1000) < 0.5) * 1.0}
    roles = {"feature": ("area", "x"), "truth": ("y",), "sensitive": ("g",)}
    data = Splits(held_out=Table(name="zoo", columns=columns, roles=roles))
    return Explainability()(subject(), data, r)


@pytest.mark.parametrize("runs", _seeds())
def test_z19_the_proxy_detector_finds_the_stand_in_and_not_the_noise(runs: int) -> None:
    """Correlation .9 breaks a rule that allows an AUC of .6 in every run; the twin is never beyond chance by it."""

    def outcome(seed: int, correlation: float) -> str:
        return _outcome(_told(seed, correlation), "explainability.proxy_strength", 0.6, attribute="g")

    assert _count(runs, lambda seed: outcome(seed, 0.9) == "fail") == runs
    assert _count(runs, lambda seed: outcome(seed, 0.0) == "fail") == 0


@pytest.mark.zoo
def test_z19_twin_noise_is_not_told_from_a_guess() -> None:
    """The rule that allows a guess and no more, .5, fails at most three times in twenty."""

    def fails(seed: int) -> bool:
        return _outcome(_told(seed, 0.0), "explainability.proxy_strength", 0.5, attribute="g") == "fail"

    assert _count(MANY, fails) <= ALARMS


# --- Z20 ------------------------------------------------------------------------------------------------


def _departments(seed: int, within: float, mixed: bool) -> Sample:
    """Two departments, one easy and one hard; within each, group a is `within` more likely to be selected."""
    r = np.random.default_rng(seed)
    group = r.choice(np.array(["a", "b"], dtype=object), 4000)
    hard = r.uniform(size=4000) < (np.where(group == "a", 0.8, 0.2) if mixed else 0.5)
    p = np.where(hard, 0.25, 0.65) + np.where(group == "a", within, 0.0)
    where = np.where(hard, "hard", "easy").astype(object)
    return Sample({"g": group}, r.uniform(size=4000) < 0.5, r.uniform(size=4000) < p, {"department": where})


@pytest.mark.parametrize("runs", _seeds())
def test_z20_a_reversal_within_departments_is_found_and_said(runs: int) -> None:
    """Over all rows a is selected less, within each department .12 more: the stratified rule fails, a note says so."""

    def found(seed: int) -> bool:
        said = _audit(_departments(seed, 0.12, mixed=True), Fairness(given={"g": "department"}))
        m = next(m for m in said.measurements if m.metric == "fairness.conditional_difference")
        return (
            _outcome(said, "conditional_difference", 0.05, attribute="g", given="department") == "fail"
            and m.labels["high"] == "a"
            and any("at equal department" in note for note in said.notes)
        )

    assert _count(runs, found) >= 0.8 * runs


@pytest.mark.parametrize("runs", _seeds())
def test_z20_twin_with_nothing_within_departments_is_left_alone(runs: int) -> None:
    """Neither where both groups apply alike, nor where they do not and the difference over all rows is large."""

    def alarm(seed: int) -> bool:
        outcomes = []
        for mixed in (False, True):
            said = _audit(_departments(seed, 0.0, mixed=mixed), Fairness(given={"g": "department"}))
            outcomes.append(_outcome(said, "conditional_difference", 0.05, attribute="g") == "fail")
            outcomes.append(any("at equal department" in note for note in said.notes))
        return any(outcomes)

    assert _count(runs, alarm) <= _few(runs)


# --- Z21 ------------------------------------------------------------------------------------------------


def _labels(seed: int, flipped: float) -> Sample:
    """A decision that is equally good for both groups; of one group's positives a share is recorded as negative."""
    r = np.random.default_rng(seed)
    group = np.repeat(np.array(["a", "b"], dtype=object), 2000)
    truth = r.uniform(size=4000) < 0.5
    decision = np.where(r.uniform(size=4000) < 0.9, truth, ~truth)
    recorded = truth & ~((group == "b") & (r.uniform(size=4000) < flipped))
    return Sample({"g": group}, recorded, decision)


@pytest.mark.parametrize("runs", _seeds())
def test_z21_labels_that_err_in_one_group_are_told_of_and_the_model_is_not_failed_for_its_decisions(
    runs: int,
) -> None:
    """A third of b's positives recorded as negative: a note says labels differ; the rule on selection passes."""

    def right(seed: int) -> bool:
        said = _audit(_labels(seed, 0.33))
        return (
            any("through the labels, not the model" in note for note in said.notes)
            and _outcome(said, DP, 0.1, attribute="g") == "pass"
        )

    assert _count(runs, right) >= 0.8 * runs


@pytest.mark.parametrize("runs", _seeds())
def test_z21_twin_without_flips_no_such_note(runs: int) -> None:
    """Outcomes equally frequent."""
    assert _count(
        runs, lambda seed: any("the labels" in note for note in _audit(_labels(seed, 0.0)).notes)
    ) <= _few(runs)


# --- Z39 ------------------------------------------------------------------------------------------------


def _copies(seed: int, times: int) -> Sample:
    r = np.random.default_rng(seed)
    s = _selected(r, {"a": (100, 0.5), "b": (100, 0.5)})
    mark = r.normal(size=200)
    return Sample(
        {"g": np.tile(s.attributes["g"], times)},
        np.tile(s.truth, times),
        np.tile(s.decision, times),
        {"mark": np.tile(mark, times)},
    )


@pytest.mark.parametrize("runs", _seeds())
def test_z39_rows_copied_ten_times_are_told_of_by_the_duplicate_rate(runs: int) -> None:
    """Nine tenths duplicates fail the rule that allows 1 %; the unique twin passes, and its interval is wider."""

    def width(s: Sample) -> float:
        m = next(m for m in _audit(s).measurements if m.metric == f"fairness.{DP}")
        assert m.interval is not None
        assert m.interval.high is not None
        assert m.interval.low is not None
        return m.interval.high - m.interval.low

    def outcome(s: Sample) -> str:
        data = _splits(s)
        table = data.held_out
        assert isinstance(table, Table)
        roles = {**table.roles, "feature": ("x", "mark"), "id": ()}
        table = Table(name="zoo", columns=table.columns, roles=roles)
        found = Data()(subject(), Splits(held_out=table), np.random.default_rng(0))
        return _outcome(found, "data.duplicate_rate", 0.01)

    for seed in range(runs):
        copied, unique = _copies(seed, 10), _copies(seed, 1)

        assert outcome(copied) == "fail"
        assert outcome(unique) == "pass"
        assert width(copied) < width(unique) / 2
