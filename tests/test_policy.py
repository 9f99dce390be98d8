"""Is the policy judged as the contract says, sentence by sentence?"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from dossiers import ROWS, SUBJECT, dossier, estimate, evidence, exact, interval
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_bigmodel import files
from rai_bigmodel.dossier import Dossier
from rai_bigmodel.errors import InputError, PolicyNotMet, PolicyUndecided
from rai_bigmodel.evidence import LADDER, Interval, Measurement, SubjectId
from rai_bigmodel.policy import Limit, Policy, Rule, Ruling, Verdict, judge

TODAY = dt.date(2026, 11, 22)
OTHER = "sha256:" + "b" * 64


def rule(metric: str = "fairness.gap", **fields: Any) -> Rule:
    if "at_least" not in fields and "any_of" not in fields:
        fields.setdefault("at_most", 0.1)
    return Rule(metric="" if "any_of" in fields else metric, because="The board says so.", **fields)


def held(*rules: Rule, against: Dossier, subject: str = "", **fields: Any) -> Verdict:
    policy = Policy(name="p", rules=rules, **fields)
    return judge(policy, against, today=TODAY, subject=subject)


def one(r: Rule, *parts: Any, **fields: Any) -> Ruling:
    (ruling,) = held(r, against=dossier(*parts), **fields).rulings
    return ruling


# --- Judging ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "outcome"), [(0.05, "pass"), (0.095, "inconclusive"), (0.105, "inconclusive"), (0.15, "fail")]
)
def test_an_estimate_is_judged_by_its_bounds_and_never_by_its_value(value: float, outcome: str) -> None:
    """A value inside the limit proves nothing when its bound lies outside, and the other way round."""
    assert one(rule(), estimate(value)).outcome == outcome


def test_a_pass_reads_the_one_sided_keep_bound_and_needs_no_correction() -> None:
    """With 40 hopeless rules beside it, a keep bound of exactly the limit still passes."""
    value = 0.1 - 1.6448536269514722 * 0.01
    others = [rule(f"fairness.other{i}") for i in range(40)]
    verdict = held(rule(), *others, against=dossier(estimate(value - 1e-9)))

    assert verdict.rulings[0].outcome == "pass"
    assert (
        "At most 0.1 with 95 % confidence" in verdict.rulings[0].words or "0.0999" in verdict.rulings[0].words
    )


def test_a_bound_at_the_limit_keeps_it_and_one_strictly_beyond_breaks_it() -> None:
    """``≤`` keeps; strictly beyond breaks: by value and by interval."""
    m = exact(0.1)

    assert one(rule("privacy.epsilon"), m).outcome == "pass"
    assert one(rule("privacy.epsilon", at_most=0.0999999), m).outcome == "fail"
    assert one(rule("privacy.epsilon", at_least=0.1), m).outcome == "pass"

    at_limit = Interval(low=0.1, high=0.2, level=0.95, method="m", ladder=((0.05, 0.1, 0.2, 0.11, 0.19),))
    assert one(rule(), estimate(0.15, interval=at_limit)).outcome == "inconclusive"
    beyond = Interval(low=0.11, high=0.2, level=0.95, method="m", ladder=((0.05, 0.11, 0.2, 0.12, 0.19),))
    assert one(rule(), estimate(0.15, interval=beyond)).outcome == "fail"


def test_failing_reads_the_two_sided_interval_and_passing_the_keep_bounds() -> None:
    """The two pairs of a rung have their own work."""
    rung = (0.05, 0.02, 0.30, 0.04, 0.09)
    m = estimate(0.06, interval=Interval(low=0.02, high=0.30, level=0.95, method="m", ladder=(rung,)))

    assert one(rule(at_most=0.09), m).outcome == "pass"
    assert one(rule(at_most=0.03), m).outcome == "inconclusive"  # keep_low is beyond, low is not
    assert one(rule(at_most=0.01), m).outcome == "fail"
    assert one(rule(at_least=0.04), m).outcome == "pass"
    assert one(rule(at_least=0.31), m).outcome == "fail"
    assert one(rule(at_least=0.10), m).outcome == "inconclusive"


def test_broken_alone_but_not_after_correction_is_inconclusive_and_says_so() -> None:
    """Alone, p = 0.05 fails; among ten rules it does not."""
    m = estimate(0.1 + 2.0 * 0.01)
    alone = one(rule(), m)
    among = held(rule(), *[rule(f"fairness.o{i}") for i in range(9)], against=dossier(m)).rulings[0]

    assert alone.outcome == "fail"
    assert among.outcome == "inconclusive"
    assert "alone" in among.words
    assert "Holm" in among.words


def test_missing_values_count_in_the_family_with_p_one() -> None:
    """Whether a value came out or is null leaves another rule's ruling as it was."""
    m = estimate(0.1 + 2.4 * 0.01)  # p = 0.02: rejected among 2, not among 3
    rules = [rule(), rule("fairness.b"), rule("fairness.c")]
    present = dossier(m, estimate(0.05, metric="fairness.b"), estimate(0.05, metric="fairness.c"))
    null = dossier(m, estimate(None, metric="fairness.b"), estimate(0.05, metric="fairness.c"))
    gone = dossier(m)

    assert held(*rules[:2], against=present).rulings[0].outcome == "fail"
    for evidence_ in (present, null, gone):
        assert held(*rules, against=evidence_).rulings[0].outcome == "inconclusive"


@pytest.mark.parametrize("judged", ["interval", "value"])
def test_the_family_does_not_depend_on_whether_a_value_came_out(judged: Any) -> None:
    """Also where the other rule is judged by value."""
    m = estimate(0.1 + 2.1 * 0.01)  # p = 0.05: rejected alone only
    rules = [rule(), rule("fairness.b", judge=judged)]
    with_value = held(*rules, against=dossier(m, estimate(0.05, metric="fairness.b"))).rulings[0]
    without = held(*rules, against=dossier(m, estimate(None, metric="fairness.b"))).rulings[0]

    assert with_value.outcome == without.outcome


def test_exact_values_stay_out_of_the_family() -> None:
    """Forty exact rules beside it do not weaken the failing of an estimate."""
    many = [exact(1.0, metric=f"privacy.e{i}") for i in range(40)]
    rules = [rule(f"privacy.e{i}", at_most=2) for i in range(40)]

    assert held(rule(), *rules, against=dossier(estimate(0.121), *many)).rulings[0].outcome == "fail"


def test_warnings_are_a_family_of_their_own() -> None:
    """Warn rules neither weaken counting rules nor are weakened by them."""
    m, n = estimate(0.121), estimate(0.121, metric="fairness.other")
    warn = [rule(f"fairness.o{i}", severity="warn") for i in range(9)]
    verdict = held(rule(), rule("fairness.other", severity="warn"), *warn, against=dossier(m, n))

    assert verdict.rulings[0].outcome == "fail"
    assert verdict.rulings[1].outcome == "inconclusive"
    assert verdict.outcome == "fail"


def _holm_adjusted(ps: list[float]) -> list[float]:
    """Holm's adjusted p-values, as in his paper: a naive twin."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    out, so_far = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(ps) - rank) * ps[i]))
        out[i] = so_far
    return out


@settings(max_examples=150, deadline=None)
@given(
    zs=st.lists(st.floats(-6, 8), min_size=1, max_size=8),
    alpha=st.sampled_from(LADDER),
    severity=st.lists(st.sampled_from(["fail", "warn"]), min_size=8, max_size=8),
)
def test_failing_is_holms_step_down_over_the_whole_policy(
    zs: list[float], alpha: float, severity: list[Any]
) -> None:
    """Each ruling is what a naive Holm with p read off the ladder says."""
    found = [estimate(0.1 + z * 0.01, metric=f"fairness.m{i}") for i, z in enumerate(zs)]
    rules = [rule(f"fairness.m{i}", severity=severity[i]) for i in range(len(zs))]
    verdict = held(*rules, against=dossier(*found), confidence=1 - alpha)

    ps = []
    for m in found:
        assert m.interval
        ps.append(min((a for a, low, *_ in m.interval.ladder if low is not None and low > 0.1), default=1.0))
    for kind in ("fail", "warn"):
        mine = [i for i in range(len(zs)) if severity[i] == kind]
        for i, adjusted in zip(mine, _holm_adjusted([ps[i] for i in mine]), strict=True):
            rungs = found[i].interval
            assert rungs
            rung = rungs.rung(alpha)
            assert rung
            keeps = rung[4] is not None and rung[4] <= 0.1
            expected = "pass" if keeps else "fail" if adjusted <= alpha * (1 + 1e-9) else "inconclusive"
            assert verdict.rulings[i].outcome == expected


def _random_measurement(draw: Any, metric: str) -> Measurement:
    kind = draw(st.sampled_from(["estimate", "estimate", "bound", "exact", "p_value", "clock"]))
    value = draw(st.one_of(st.none(), st.floats(0, 1)) if draw(st.booleans()) else st.floats(0, 1))
    excluded = draw(st.sampled_from([0.0, 0.02, 0.05]))
    origin = draw(st.sampled_from(["measured", "measured", "measured", "declared"]))
    fields: dict[str, Any] = {
        "excluded": excluded,
        "origin": origin,
        "labels": {"i": draw(st.sampled_from("ab"))},
    }
    if value is None:
        return Measurement(metric=metric, kind=kind, value=None, why="no rows", **fields)
    error = draw(st.floats(0.001, 0.2))
    spread = None
    if kind == "bound":
        spread = interval(value, error, **draw(st.sampled_from([{"low": False}, {"high": False}])))
    elif kind in {"estimate", "clock"} and draw(st.booleans()):
        spread = interval(value, error)
    return Measurement(metric=metric, kind=kind, value=value, interval=spread, **fields)


@st.composite
def situations(draw: Any) -> tuple[list[dict[str, Any]], list[Measurement]]:
    """Some rules as plain fields, and measurements for some of them."""
    metrics = [f"fairness.m{i}" for i in range(draw(st.integers(1, 4)))]
    found = [_random_measurement(draw, metric) for metric in metrics for _ in range(draw(st.integers(0, 2)))]
    rules = []
    for metric in metrics:
        fields: dict[str, Any] = {
            "severity": draw(st.sampled_from(["fail", "warn"])),
            "judge": draw(st.sampled_from(["interval", "value"])),
            "accept": draw(st.sampled_from(["measured", "declared"])),
        }
        side = draw(st.sampled_from(["at_most", "at_least"]))
        bound = draw(st.floats(0, 1))
        if draw(st.integers(0, 3)) == 0:
            fields["any_of"] = [
                (metric, side, bound),
                (draw(st.sampled_from(metrics)), side, draw(st.floats(0, 1))),
            ]
        else:
            fields["metric"] = metric
            fields[side] = bound
        rules.append(fields)
    return rules, found


def _tighter(fields: dict[str, Any], by: float) -> dict[str, Any]:
    out = dict(fields)
    if "any_of" in fields:
        metric, side, bound = fields["any_of"][0]
        out["any_of"] = [
            (metric, side, bound - by if side == "at_most" else bound + by),
            *fields["any_of"][1:],
        ]
    for side, sign in (("at_most", -1), ("at_least", 1)):
        if side in fields:
            out[side] = fields[side] + sign * by
    return out


def _made(fields: dict[str, Any]) -> Rule:
    fields = dict(fields)
    if "any_of" in fields:
        fields["any_of"] = tuple(Limit(metric=m, **{side: bound}) for m, side, bound in fields["any_of"])
    return Rule(because="x", **fields)


@settings(max_examples=400, deadline=None)
@given(situations(), st.integers(0, 3), st.floats(1e-6, 1), st.sampled_from(LADDER))
def test_a_tighter_bound_never_turns_fail_into_inconclusive_or_pass(
    situation: tuple[list[dict[str, Any]], list[Measurement]], which: int, by: float, alpha: float
) -> None:
    """With the other rules fixed; nor does it turn inconclusive into pass."""
    plain, found = situation
    which %= len(plain)
    # The law is about measured things; nothing to judge is inconclusive under every bound.
    against = dossier(*found) if found else dossier(exact(1.0, metric="fairness.unasked"))
    rank = {"pass": 0, "inconclusive": 1, "fail": 2}
    before = held(*map(_made, plain), against=against, confidence=1 - alpha)
    tightened = [_tighter(f, by) if i == which else f for i, f in enumerate(plain)]
    after = held(*map(_made, tightened), against=against, confidence=1 - alpha)

    assert rank[after.rulings[which].outcome] >= rank[before.rulings[which].outcome]


@settings(max_examples=200, deadline=None)
@given(situations(), st.sampled_from(LADDER))
def test_nothing_passes_without_a_keep_bound_or_an_exact_or_accepted_value(
    situation: tuple[list[dict[str, Any]], list[Measurement]], alpha: float
) -> None:
    """Only proof passes, whatever the mixture of kinds."""
    plain, found = situation
    against = dossier(*found) if found else dossier(exact(1.0, metric="fairness.unasked"))
    verdict = held(*map(_made, plain), against=against, confidence=1 - alpha)
    for ruling in verdict.rulings:
        if ruling.outcome != "pass":
            continue
        m = ruling.measurement
        assert m is not None
        assert m.value is not None
        assert m.excluded <= 0.02
        limits = [limit for limit in ruling.rule.limits if limit.metric == m.metric]
        if m.origin == "declared":
            assert ruling.rule.accept == "declared"
            assert m.kind != "bound"
        elif m.kind == "p_value":
            assert ruling.rule.judge == "value"
            assert any(limit.at_least is not None for limit in limits)
        elif m.interval is None:
            assert m.kind in {"exact", "clock"} or ruling.rule.judge == "value"


@pytest.mark.parametrize("side", ["at_most", "at_least"])
def test_a_null_value_is_inconclusive_with_its_why(side: str) -> None:
    """Nothing measured is never read as nothing wrong."""
    ruling = one(rule(**{side: 0.1}), estimate(None, why="one group is empty"))

    assert ruling.outcome == "inconclusive"
    assert "one group is empty" in ruling.words


def test_nothing_that_matches_is_inconclusive() -> None:
    """A rule on something that nobody measured proves nothing."""
    ruling = one(rule("fairness.unheard_of"), estimate(0.01))

    assert ruling.outcome == "inconclusive"
    assert ruling.measurement is None
    assert "Not measured" in ruling.words


def test_a_crashed_audit_is_inconclusive_and_says_what_broke() -> None:
    """Also where it left measurements behind before it broke."""
    broke = evidence(estimate(0.01), failure="ZeroDivisionError in fairness")
    ruling = one(rule(), broke)

    assert ruling.outcome == "inconclusive"
    assert "ZeroDivisionError" in ruling.words
    assert "ZeroDivisionError" in one(rule(), evidence(audit="fairness", failure="ZeroDivisionError")).words


@pytest.mark.parametrize("missing", [None, ()])
def test_an_estimate_without_the_rung_of_the_policy_proves_nothing(missing: Any) -> None:
    """No interval, or one without that rung: inconclusive, however good the value."""
    there = None if missing is None else Interval(low=0.0, high=0.02, level=0.95, method="m", ladder=())

    assert one(rule(), estimate(0.01, interval=there)).outcome == "inconclusive"
    assert one(rule(at_least=0.5), estimate(0.01, interval=there)).outcome == "inconclusive"


def test_a_side_that_is_null_proves_nothing() -> None:
    """Unbounded above cannot be at most anything; unbounded below cannot break it."""
    up = estimate(0.01, interval=interval(0.01, 0.001, high=False))
    down = estimate(0.5, interval=interval(0.5, 0.001, low=False))

    assert one(rule(at_most=1e6), up).outcome == "inconclusive"
    assert one(rule(at_most=0.1), down).outcome == "inconclusive"


def test_a_lower_bound_at_most_may_fail_and_never_pass() -> None:
    """``epsilon_lower_bound at_most 4``: an attack can refute a claim and cannot verify it."""

    def bound(value: float) -> Measurement:
        return Measurement(
            metric="privacy.lower", kind="bound", value=value, interval=interval(value, 0.01, high=False)
        )

    assert one(rule("privacy.lower", at_most=4), bound(0.2)).outcome == "inconclusive"
    assert one(rule("privacy.lower", at_most=4), bound(5.0)).outcome == "fail"
    assert one(rule("privacy.lower", at_most=4, judge="value"), bound(0.2)).outcome == "inconclusive"


# --- p_value, clock, declared, excluded ------------------------------------------------------------


def p_value(value: float, **fields: Any) -> Measurement:
    return Measurement(metric="calibration.consistency_p", kind="p_value", value=value, n=100, **fields)


def test_a_p_value_is_judged_only_by_value_and_at_least() -> None:
    """Every other rule about it is inconclusive."""
    metric = "calibration.consistency_p"

    assert one(rule(metric, at_least=0.05, judge="value"), p_value(0.05)).outcome == "pass"
    assert one(rule(metric, at_least=0.05, judge="value"), p_value(0.01)).outcome == "fail"
    assert one(rule(metric, at_least=0.05), p_value(0.9)).outcome == "inconclusive"
    assert one(rule(metric, at_most=0.05, judge="value"), p_value(0.001)).outcome == "inconclusive"


def test_a_p_value_below_the_limit_fails_only_when_holm_rejects_with_p_its_value() -> None:
    """0.03 of one test fails; 0.03 beside another rule does not."""
    r = rule("calibration.consistency_p", at_least=0.05, judge="value")

    assert one(r, p_value(0.03)).outcome == "fail"
    beside = held(r, rule(), against=dossier(p_value(0.03))).rulings[0]
    assert beside.outcome == "inconclusive"
    assert one(rule("calibration.consistency_p", at_least=0.5, judge="value"), p_value(0.3)).outcome == (
        "inconclusive"
    )


def test_a_p_value_may_stand_in_any_of() -> None:
    """The member's own at_least is what counts."""
    members = (
        Limit(metric="calibration.consistency_p", at_least=0.05),
        Limit(metric="calibration.ece", at_most=0.02),
    )

    assert one(rule(any_of=members, judge="value"), p_value(0.4)).outcome == "pass"


def test_an_undecided_any_of_says_which_alternative_leaves_it_open() -> None:
    """A broken alternative beside one that nobody measured: the second is why there is no fail."""
    members = (Limit(metric="fairness.gap", at_most=0.1), Limit(metric="privacy.epsilon", at_most=4))
    for order in (members, members[::-1]):
        ruling = one(rule(any_of=order), estimate(0.3))
        assert ruling.outcome == "inconclusive"
        assert ruling.words.endswith("Not measured: the audit 'privacy' was not run.")
        assert "Holm" not in ruling.words
    beside = one(rule(any_of=members[:1] * 2), estimate(0.3))

    assert beside.outcome == "fail"


def test_a_clock_is_judged_by_its_ladder_where_it_has_one_and_else_by_value() -> None:
    """Order statistics give a latency its ladder; a load time has none."""

    def clock(value: float, spread: Interval | None) -> Measurement:
        return Measurement(metric="deployment.latency_ms", kind="clock", value=value, interval=spread)

    r = rule("deployment.latency_ms", at_most=10)
    assert one(r, clock(9.9, None)).outcome == "pass"
    assert one(r, clock(10.1, None)).outcome == "fail"
    assert one(r, clock(9.9, interval(9.9, 1.0))).outcome == "inconclusive"
    bare = Interval(low=9.0, high=10.5, level=0.95, method="m")
    assert one(r, clock(9.9, bare)).outcome == "pass"


def test_a_declared_value_may_fail_by_value_and_passes_only_where_claims_are_accepted() -> None:
    """A claim against oneself is believed; one in one's favour needs ``accept: declared``."""
    metric = "sustainability.energy_kwh"

    def claim(value: float) -> Measurement:
        return Measurement(metric=metric, kind="estimate", value=value, origin="declared")

    assert one(rule(metric, at_most=5), claim(6)).outcome == "fail"
    assert one(rule(metric, at_most=5), claim(4)).outcome == "inconclusive"
    assert "nobody measured" in one(rule(metric, at_most=5), claim(4)).words
    assert one(rule(metric, at_most=5, accept="declared"), claim(4)).outcome == "pass"
    assert one(rule(metric, at_most=5, accept="declared"), claim(6)).outcome == "fail"


def test_declared_members_of_any_of_fail_by_value_too() -> None:
    """Two claims that both break their limits are a fail, not an unknown."""
    claims = [Measurement(metric=f"a.b{i}", kind="estimate", value=9.0, origin="declared") for i in (1, 2)]
    members = tuple(Limit(metric=f"a.b{i}", at_most=5) for i in (1, 2))

    assert one(rule(any_of=members), *claims).outcome == "fail"


@pytest.mark.parametrize(("excluded", "outcome"), [(0.02, "pass"), (0.0201, "inconclusive")])
def test_more_than_two_percent_left_out_forbids_passing(excluded: float, outcome: str) -> None:
    """Exactly two percent is still allowed."""
    assert one(rule(), estimate(0.01, excluded=excluded)).outcome == outcome
    assert one(rule("privacy.epsilon"), exact(0.01, excluded=excluded)).outcome == outcome


def test_rows_left_out_never_forbid_failing() -> None:
    """They cannot undo a gap between those that are in."""
    assert one(rule(), estimate(0.5, excluded=0.9)).outcome == "fail"


def test_a_rule_may_set_its_own_share_of_rows_left_out() -> None:
    """``excluded_at_most`` counts for passing, in both directions."""
    assert one(rule(excluded_at_most=0.1), estimate(0.01, excluded=0.05)).outcome == "pass"
    strict = one(rule(excluded_at_most=0.0), estimate(0.01, excluded=0.001))
    assert strict.outcome == "inconclusive"
    assert "0.1 %" in strict.words


def test_the_share_left_out_never_looks_equal_to_the_one_allowed() -> None:
    """2.0001 % is not written as 2 %."""
    assert "2 % of the rows" not in one(rule(), estimate(0.01, excluded=0.020001)).words


# --- Matching --------------------------------------------------------------------------------------


def test_a_rule_matches_labels_that_contain_every_pair_of_where() -> None:
    """More labels do no harm; another value does."""
    race = estimate(0.01, labels={"attribute": "race", "scope": "sized", "high": "White"})
    sex = estimate(0.5, labels={"attribute": "sex", "scope": "sized"})

    assert one(rule(where={"attribute": "race"}), race, sex).outcome == "pass"
    assert one(rule(where={"attribute": "sex"}), race, sex).outcome == "fail"
    assert one(rule(where={"attribute": "age"}), race, sex).outcome == "inconclusive"
    assert one(rule(where={"attribute": "race", "high": "Black"}), race, sex).outcome == "inconclusive"


@pytest.mark.parametrize(("label", "value"), [("scope", "all"), ("against", "baseline"), ("class", "3")])
def test_scope_all_against_and_class_are_matched_only_where_named(label: str, value: str) -> None:
    """Unless `where` names them they are not there."""
    plain, special = estimate(0.01), estimate(0.5, labels={label: value})

    assert one(rule(), plain, special).outcome == "pass"
    assert one(rule(), special).outcome == "inconclusive"
    assert one(rule(where={label: value}), plain, special).outcome == "fail"


def test_numbers_and_booleans_in_where_match_their_canonical_text() -> None:
    """A group that reads "1" is matched by 1, by 1.0 and by "1"."""
    m = estimate(0.01, labels={"group": "1"})
    for value in (1, 1.0, "1"):
        assert one(rule(where={"group": value}), m).outcome == "pass"
    assert one(rule(where={"group": True}), m).outcome == "inconclusive"


def test_a_rule_speaks_of_the_primary_unless_it_names_a_role() -> None:
    """The plain twin's numbers are not the primary's."""
    primary, twin = evidence(estimate(0.01)), evidence(estimate(0.5), role="plain")

    assert one(rule(), primary, twin).outcome == "pass"
    assert one(rule(role="plain"), primary, twin).outcome == "fail"
    assert one(rule(), twin).outcome == "inconclusive"
    assert one(rule(role="onnx"), primary, twin).outcome == "inconclusive"


def test_several_measurements_are_one_ruling() -> None:
    """All pass: pass; one fails: fail; else inconclusive; words say how many there were."""
    good, bad, unsure = (
        estimate(value, labels={"attribute": name}) for value, name in ((0.01, "a"), (0.5, "b"), (0.1, "c"))
    )

    assert one(rule(), good, estimate(0.02, labels={"attribute": "d"})).outcome == "pass"
    fails = one(rule(), good, bad, unsure)
    assert fails.outcome == "fail"
    assert fails.measurement == bad
    assert "1 of 3" in fails.words
    undecided = one(rule(), good, unsure)
    assert undecided.outcome == "inconclusive"
    assert undecided.measurement == unsure
    assert one(rule(), good, estimate(None)).outcome == "inconclusive"


def test_each_measurement_of_a_rule_counts_in_the_family() -> None:
    """The family is of (rule, measurement) pairs: 0.05 fails alone and not beside nine good ones."""
    m = estimate(0.1 + 2.0 * 0.01, labels={"attribute": "x"})
    nine = [estimate(0.01, labels={"attribute": f"a{i}"}) for i in range(9)]

    assert one(rule(), m).outcome == "fail"
    assert one(rule(), m, *nine).outcome == "inconclusive"


# --- any_of ----------------------------------------------------------------------------------------

EITHER = (Limit(metric="fairness.gap", at_most=0.1), Limit(metric="fairness.ratio", at_least=0.8))


def ratio(value: float, error: float = 0.01) -> Measurement:
    return estimate(value, error, metric="fairness.ratio")


def test_any_of_passes_when_one_member_passes_at_the_shared_confidence() -> None:
    """The members share the error: each must pass at 1 − (1 − confidence)/m."""
    either = rule(any_of=EITHER)
    just = 0.1 - 1.8 * 0.01  # passes at 0.95 (1.645), not at 0.975 (1.960)

    assert one(rule(), estimate(just)).outcome == "pass"
    assert one(either, estimate(just), ratio(0.5)).outcome == "inconclusive"
    assert one(either, estimate(0.1 - 1.97 * 0.01), ratio(0.5)).outcome == "pass"
    assert one(either, estimate(0.5), ratio(0.95)).outcome == "pass"


def test_any_of_takes_the_nearest_rung_not_above() -> None:
    """0.05/3 is no rung: 0.01 is taken; where no rung is small enough, nothing passes."""
    three = (*EITHER, Limit(metric="fairness.third", at_most=1))
    at_02, at_01 = 0.1 - 2.2 * 0.01, 0.1 - 2.4 * 0.01

    assert one(rule(any_of=three), estimate(at_02)).outcome == "inconclusive"
    assert one(rule(any_of=three), estimate(at_01)).outcome == "pass"
    assert one(rule(any_of=three), estimate(-1.0), confidence=0.9999).outcome == "inconclusive"


def test_any_of_fails_with_the_largest_p_of_its_members() -> None:
    """All members must be refuted; one that is unknown keeps it open."""
    either = rule(any_of=EITHER)

    assert one(either, estimate(0.5), ratio(0.2)).outcome == "fail"
    assert one(either, estimate(0.5), ratio(0.79)).outcome == "inconclusive"
    assert one(either, estimate(0.5)).outcome == "inconclusive"
    assert one(either, estimate(0.5), estimate(None, metric="fairness.ratio")).outcome == "inconclusive"


def test_a_member_that_matches_several_pays_for_looking_at_each() -> None:
    """Two measurements at p = 0.05 refute a member with p = 0.10: with one of them it fails, with both not."""
    twice = [estimate(0.121, labels={"attribute": name}) for name in "ab"]

    assert one(rule(any_of=EITHER), twice[0], ratio(0.5)).outcome == "fail"
    assert one(rule(any_of=EITHER), *twice, ratio(0.5)).outcome == "inconclusive"


def test_any_of_is_one_claim_in_the_family() -> None:
    """Its p is compared once, by Holm, with the other rules' p."""
    members = held(
        rule(any_of=EITHER), rule("fairness.b"), against=dossier(estimate(0.121), ratio(0.5))
    ).rulings

    assert members[0].outcome == "inconclusive"  # p = 0.05 among two
    assert one(rule(any_of=EITHER), estimate(0.121), ratio(0.5)).outcome == "fail"


# --- subject, data, age --------------------------------------------------------------------------


@pytest.mark.parametrize("pin", ["policy", "gate"])
def test_a_pinned_subject_makes_every_rule_inconclusive_for_another_or_none(pin: str) -> None:
    """By the policy or by ``gate --subject``; also rules about other roles."""

    def ask(against: Dossier, digest: str, r: Rule) -> Ruling:
        fields = {"subject": digest} if pin == "gate" else {}
        policy = Policy(name="p", rules=(r,), subject=digest if pin == "policy" else "")
        return judge(policy, against, today=TODAY, **fields).rulings[0]

    good = dossier(evidence(estimate(0.01)), evidence(estimate(0.5), role="plain"))
    assert ask(good, SUBJECT.digest, rule()).outcome == "pass"
    assert ask(good, OTHER, rule()).outcome == "inconclusive"
    assert ask(good, OTHER, rule(role="plain")).outcome == "inconclusive"
    assert "not sha256:bbb" in ask(good, OTHER, rule()).words

    nameless = dossier(estimate(0.5), subjects=(SubjectId(name="api", kind="callable", digest=""),))
    assert ask(nameless, SUBJECT.digest, rule()).outcome == "inconclusive"
    nobody = dossier(estimate(0.5), subjects=())
    assert ask(nobody, SUBJECT.digest, rule()).outcome == "inconclusive"


def test_a_pin_is_held_against_the_evidence_and_not_only_against_the_manifest() -> None:
    """Evidence of another artefact cannot pass under a manifest that names the pinned one."""
    smuggled = dossier(evidence(estimate(0.01), digest=OTHER))

    assert held(rule(), against=smuggled, subject=SUBJECT.digest).rulings[0].outcome == "inconclusive"
    assert held(rule(), against=smuggled).rulings[0].outcome == "pass"


def test_other_rows_than_the_policy_names_are_inconclusive() -> None:
    """``data`` pins the rows; rows without a digest are other rows."""
    assert one(rule(), estimate(0.01), data=ROWS.digest).outcome == "pass"
    assert one(rule(), estimate(0.01), data=OTHER).outcome == "inconclusive"
    assert one(rule(), estimate(0.5), data=OTHER).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("created", "days", "outcome"),
    [
        ("2026-11-20T10:00:00+00:00", 2, "pass"),
        ("2026-11-20T10:00:00+00:00", 1, "inconclusive"),
        ("2027-01-01T00:00:00+00:00", 30, "inconclusive"),
        ("1970-01-01T00:00:00+00:00", 30, "inconclusive"),
        ("", 30, "inconclusive"),
        ("yesterday", 30, "inconclusive"),
    ],
)
def test_evidence_that_is_too_old_or_of_unknown_age_is_inconclusive(
    created: str, days: int, outcome: str
) -> None:
    """Only where the policy limits the age; the future is not known either."""
    against = dossier(estimate(0.01), created=created)

    assert held(rule(), against=against, max_age_days=days).outcome == outcome
    assert held(rule(), against=against).outcome == "pass"


def test_evidence_from_the_future_is_said_to_be() -> None:
    """No age below zero is written."""
    (ruling,) = held(
        rule(), against=dossier(estimate(0.01), created="2026-11-23T01:00:00+00:00"), max_age_days=30
    ).rulings

    assert ruling.words.startswith("The evidence is from 2026-11-23, which lies ahead of the day")


def test_a_limit_on_attempts_is_inconclusive_while_runs_are_not_counted() -> None:
    """What is not known does not pass."""
    assert one(rule(), estimate(0.01), max_attempts=3).outcome == "inconclusive"


# --- Verdict -----------------------------------------------------------------------------------------

GOOD, BAD, UNSURE = (
    estimate(value, metric=f"fairness.{name}")
    for value, name in ((0.01, "good"), (0.5, "bad"), (0.1, "unsure"))
)


@pytest.mark.parametrize(
    ("rules", "outcome"),
    [
        ([rule("fairness.good")], "pass"),
        ([rule("fairness.good"), rule("fairness.bad")], "fail"),
        ([rule("fairness.unsure"), rule("fairness.bad")], "fail"),
        ([rule("fairness.good"), rule("fairness.unsure")], "inconclusive"),
        ([rule("fairness.good"), rule("fairness.unsure", when_inconclusive="warn")], "pass"),
        ([rule("fairness.unsure", when_inconclusive="warn")], "inconclusive"),
        ([rule("fairness.good"), rule("fairness.bad", severity="warn")], "pass"),
        ([rule("fairness.bad", severity="warn")], "inconclusive"),
        ([rule("fairness.good", severity="warn")], "inconclusive"),
        (
            [rule("fairness.good", severity="warn"), rule("fairness.unsure", when_inconclusive="warn")],
            "inconclusive",
        ),
    ],
)
def test_the_verdict_follows_from_the_counting_rules(rules: list[Rule], outcome: str) -> None:
    """fail, else inconclusive if one blocks or none passes, else pass; warnings change nothing."""
    verdict = held(*rules, against=dossier(GOOD, BAD, UNSURE))

    assert verdict.outcome == outcome
    assert verdict.exit_code == {"pass": 0, "fail": 1, "inconclusive": 3}[outcome]


def test_the_verdict_speaks_of_the_policy_and_never_of_the_model() -> None:
    """met, not met, undecided; and a program can stop on it."""
    against = dossier(GOOD, BAD, UNSURE)
    met, not_met, undecided = (
        held(rule(f"fairness.{name}"), against=against) for name in ("good", "bad", "unsure")
    )

    assert met.headline.startswith("Policy p is met")
    assert not_met.headline.startswith("Policy p is not met")
    assert undecided.headline.startswith("Policy p is undecided")
    met.raise_for_outcome()
    with pytest.raises(PolicyNotMet):
        not_met.raise_for_outcome()
    with pytest.raises(PolicyUndecided):
        undecided.raise_for_outcome()


def test_the_tally_counts_rules_and_warnings_apart() -> None:
    """Measurements are not rules."""
    two = [estimate(0.01, metric="fairness.good", labels={"a": x}) for x in "xy"]
    verdict = held(
        rule("fairness.good"),
        rule("fairness.bad"),
        rule("fairness.bad", severity="warn"),
        against=dossier(*two, BAD),
    )

    assert verdict.tally == "1 rule fails, 1 passes, 1 warning"


def test_judging_is_pure() -> None:
    """The same policy and dossier give the same bytes."""
    one_, two = (held(rule(), against=dossier(BAD, GOOD)) for _ in range(2))

    assert files.canonical_json(one_) == files.canonical_json(two)


# --- Keys --------------------------------------------------------------------------------------------

POLICY = """
name: lending-v1
confidence: 0.95
rules:
  - metric: fairness.demographic_parity_difference
    where: {attribute: race}
    at_most: 0.10
    because: Board decision 2026-04.
    severity: fail
    when_inconclusive: block
    control: [eu-ai-act/10-2-f, nyc-ll144/impact-ratio]
"""


def read(text: str) -> Policy:
    return files.parse_yaml(text.encode(), Policy, where="policy.yaml")


def test_the_policy_of_the_contract_is_read() -> None:
    """Word for word."""
    policy = read(POLICY)

    assert policy.alpha == 0.05
    assert policy.rules[0].control == ("eu-ai-act/10-2-f", "nyc-ll144/impact-ratio")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("at_most: 0.10", "at_mots: 0.10", "$.rules[0].at_mots: unknown key"),
        ("name: lending-v1", "name: lending-v1\nrule: []", "$.rule: unknown key"),
        ("    because: Board decision 2026-04.\n", "", "$.rules[0].because: this key is required"),
        ("because: Board decision 2026-04.", "because: ' '", "$.rules[0]"),
        ("because: Board decision 2026-04.", "because:", "$.rules[0].because"),
        ("at_most: 0.10", "at_most: .nan", "$.rules[0].at_most: a finite number is needed"),
        ("at_most: 0.10", "at_most: .inf", "$.rules[0].at_most: a finite number is needed"),
        ("at_most: 0.10", "at_most: 1e999", "$.rules[0].at_most: a finite number is needed"),
        ("at_most: 0.10", "at_most: NaN", "$.rules[0].at_most"),
        ("at_most: 0.10", "at_most: '0.10'", "$.rules[0].at_most"),
        ("at_most: 0.10", "at_most: true", "$.rules[0].at_most"),
        ("at_most: 0.10", "at_most: 0,10", "$.rules[0].at_most"),
        ("at_most: 0.10", "at_most: 0.1\n    at_least: 0.0", "exactly one of at_most and at_least"),
        ("    at_most: 0.10\n", "", "exactly one of at_most and at_least"),
        ("severity: fail", "severity: error", "$.rules[0].severity"),
        ("confidence: 0.95", "confidence: 0.94", "confidence must be one of"),
        ("confidence: 0.95", "confidence: 95", "confidence must be one of"),
        ("demographic_parity_difference", "minimum_detectable_difference", "describes the sample"),
        ("demographic_parity_difference", "rows_needed", "describes the sample"),
        ("fairness.demographic_parity_difference", "gap", "audit.name"),
        ("control:", "excluded_at_most: 2\n    control:", "excluded_at_most"),
        ("confidence: 0.95", "confidence: 0.95\nconfidence: 0.5", "$.confidence: this key stands twice"),
    ],
)
def test_a_mistake_in_a_policy_is_one_line_with_its_path(old: str, new: str, said: str) -> None:
    """Unknown keys, missing reasons, limits that are not numbers."""
    assert old in POLICY
    with pytest.raises(InputError) as error:
        read(POLICY.replace(old, new, 1))

    assert said in str(error.value)
    assert str(error.value).startswith("policy.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "name: p\nrules: []",
        "name: p\nrules:\n- {because: x}",
        "name: p\nrules:\n- {because: x, metric: a.b, at_most: 1, any_of: [{metric: a.b, at_most: 1}]}",
        "name: p\nrules:\n- {because: x, at_most: 1, any_of: [{metric: a.b, at_most: 1}]}",
        "name: p\nrules:\n- {because: x, where: {a: b}, any_of: [{metric: a.b, at_most: 1}]}",
        "name: p\nrules:\n- {because: x, any_of: [{metric: a.rows_needed, at_most: 1}]}",
        "name: p\nrules:\n- {because: x, any_of: [{metric: a.b}]}",
        "name: p\nrules:" + 2 * "\n- {because: x, metric: a.b, at_most: 1, id: i}",
        "rules:\n- {because: x, metric: a.b, at_most: 1}",
        "[]",
    ],
)
def test_a_policy_that_says_nothing_or_two_things_is_refused(text: str) -> None:
    """No rules, metric and any_of at once, limits beside any_of, one id twice."""
    with pytest.raises(InputError):
        read(text)


def test_a_limit_is_written_as_the_policy_wrote_it() -> None:
    """A value that keeps 0.1004 is not said to keep 0.1."""
    words = one(rule("privacy.epsilon", at_most=0.10041), exact(0.1004)).words

    assert "0.10041" in words
    assert "0.1004 keeps" in words
