"""Findings and standing questions: are they ranked, and honest about what is not known?"""

from __future__ import annotations

import re

import msgspec
import report_dossier as made
from dossiers import dossier as seal_of
from dossiers import estimate

from rai_bigmodel.evidence import Curve, Line, Measurement
from rai_bigmodel.policy import Policy, Rule, judge
from rai_bigmodel.report import findings as room
from rai_bigmodel.report.findings import findings
from rai_bigmodel.report.lookalikes import alike
from rai_bigmodel.report.standing import standing


def judged(*rules: Rule, dossier=None):
    dossier = dossier or made.dossier()
    return judge(Policy(name="p", rules=rules), dossier, today=made.TODAY), dossier


GAP = Rule(
    metric="fairness.demographic_parity_difference", where={"attribute": "race"}, at_most=0.05, because="x"
)
AUC = Rule(metric="performance.roc_auc", at_least=0.99, because="x")
UNSEEN = Rule(metric="robustness.masking_alarms", at_most=0, because="x")
WARNED = msgspec.structs.replace(AUC, severity="warn")


def test_what_fails_comes_before_what_is_open_and_warnings_come_last() -> None:
    """The order of the page is that of gravity, whatever the order of the policy."""
    verdict, dossier = judged(WARNED, UNSEEN, GAP)
    found = [f for f in findings(verdict, dossier) if f.anchor.startswith("rule-")]

    assert [f.anchor for f in found] == ["rule-3", "rule-2", "rule-1"]
    assert [f.outcome for f in found] == ["fail", "inconclusive", "fail"]


def test_a_finding_names_its_numbers_and_how_sure_it_is() -> None:
    """What fails says by how much, and that chance was reckoned with."""
    verdict, dossier = judged(GAP)
    found = findings(verdict, dossier)[0]

    assert "points apart" in found.means
    assert "at most 5 %" in found.sure
    assert "rai mitigate" in found.try_first


def test_what_was_not_measured_is_not_explained_away() -> None:
    """No meaning, no certainty and no advice without a number."""
    verdict, dossier = judged(UNSEEN)
    found = findings(verdict, dossier)[0]

    assert found.sure == "Not at all: nothing was measured."
    assert not found.try_first
    assert "was not run" in found.means


def test_nothing_that_could_be_tried_treats_groups_differently() -> None:
    """Attribute-blind first: no threshold, weight or quota of a group's own is ever suggested."""
    kinds = [v for v in vars(room).values() if isinstance(v, room._Kind)]

    assert len(kinds) >= 9
    for kind in kinds:
        assert not re.search(r"threshold|quota|per group|each group|for (Black|women|men)", kind.try_first)
    assert room._kind("fairness.demographic_parity_difference").try_first.startswith(
        "First models that never"
    )


def test_advice_is_given_once() -> None:
    """Ten gaps need one suggestion, not ten copies of it."""
    sex = msgspec.structs.replace(GAP, where={"attribute": "race*sex"})
    verdict, dossier = judged(GAP, sex)
    told = [f.try_first for f in findings(verdict, dossier) if f.try_first]

    assert len(told) == len(set(told))


def test_a_broken_audit_is_a_finding() -> None:
    """What broke is said among the findings, not only where nobody looks."""
    verdict, dossier = judged(AUC)

    assert any("broke" in f.title for f in findings(verdict, dossier))


def test_names_that_only_look_alike_are_told_apart_aloud() -> None:
    """A wide letter, a Cyrillic one and one with a mark of no width look like the Latin; accents and digits do not."""
    assert alike(["A", "\uff21", "B", "\u00c1"]) == [("A", "\uff21")]
    assert alike(["black", "bl\u0430ck", "bl\u200back", "black ", "Black", "white"]) == [
        ("black", "black ", "bl\u0430ck", "bl\u200back")
    ]
    assert alike(["30 to 39", "30 to 40", "男", "女"]) == []

    wide = made.estimate("fairness.selection_rate", 0.5, 0.02, 300, attribute="sex", group="\uff2dale")
    evidence = msgspec.structs.replace(made.fairness(), measurements=(*made.fairness().measurements, wide))
    titles = [f.title for f in findings(None, made.dossier([("fairness.json", evidence)], only=True))]

    assert any("Names of sex look alike" in t and "U+FF2D" in t for t in titles)
    assert not any("look alike" in f.title for f in findings(None, made.dossier()))


def test_a_challenger_stands_beside_and_differs_only_where_intervals_lie_apart() -> None:
    """Two overlapping intervals show no difference; the direction is that of the measure."""
    _, dossier = judged(AUC)
    shown = standing(None, dossier)

    assert [role for role, _ in shown.columns] == ["primary", "reference"]
    assert {told for *_, told in shown.rows} == {"none shown"}
    alone = standing(None, made.dossier([("performance.json", made.performance())], only=True))
    assert not alone.rows
    assert "reference or baseline" in alone.lacking


def test_a_paired_change_stands_with_its_own_interval() -> None:
    """It is better where accuracy rose and the interval leaves out zero, whatever relatives were audited."""
    change = made.estimate("performance.accuracy", 0.04, 0.01, 796, against="baseline")
    evidence = msgspec.structs.replace(made.performance(), measurements=(change,))
    head, cells, told = standing(None, made.dossier([("performance.json", evidence)], only=True)).rows[0]

    assert head == "Accuracy: change against baseline"
    assert cells[0][0] == "0.040"
    assert told == "better"


def test_other_confidences_are_judged_anew() -> None:
    """The same rules at 90 and 99 %, by the same judge."""
    verdict, dossier = judged(AUC, GAP)
    answer = next(a for a in standing(verdict, dossier).answers if a.asked == "At another confidence")

    assert "At 90 % the policy is not met" in answer.said
    assert "At 99 % the policy is" in answer.said


def test_another_threshold_is_read_off_the_curve_and_claims_no_verdict() -> None:
    """Five points lower and higher, beside the limit of the rule, without intervals."""
    x = tuple(i / 100 for i in range(101))
    curve = Curve(
        title="Over the decision threshold, by race",
        lines=(Line(label="widest gap in selection rates", x=x, y=tuple(v / 2 for v in x)),),
        x_axis="decision threshold",
        mark=0.5,
    )
    fair = made.fairness()
    dossier = made.dossier([("fairness.json", msgspec.structs.replace(fair, exhibits=(curve,)))], only=True)
    verdict, _ = judged(GAP, dossier=dossier)
    answer = next(a for a in standing(verdict, dossier).answers if "threshold" in a.asked)

    assert "0.250 now; at 0.45 it is 0.225, at 0.55 it is 0.275; the limit is 0.05" in answer.said
    assert "without intervals" in answer.said


def test_a_rule_that_hangs_on_the_seed_is_named() -> None:
    """The lowest and the highest of the seeds lie on two sides of the limit."""

    def spread(end: str, value: float) -> Measurement:
        return Measurement(metric="performance.roc_auc", kind="exact", value=value, labels={"spread": end})

    low_high = msgspec.structs.replace(
        made.performance("recipe"),
        measurements=(spread("lowest", 0.985), spread("highest", 0.995)),
        exhibits=(),
    )
    dossier = made.dossier([("performance@recipe.json", low_high)])
    verdict, _ = judged(AUC, dossier=dossier)
    answer = next(a for a in standing(verdict, dossier).answers if a.asked == "With another seed")

    assert answer.said.startswith("It hangs on the seed: It ranks cases usefully")
    steady, _ = judged(msgspec.structs.replace(AUC, at_least=0.9), dossier=dossier)
    assert "1 limit lies on the same side" in standing(steady, dossier).answers[-1].said


def test_a_rule_that_is_open_for_another_reason_than_its_interval_says_so() -> None:
    """Rows left out: no number of rows settles it. Another subject: the interval has nothing to do with it."""
    out = estimate(0.03, 0.01, metric="fairness.demographic_parity_difference", excluded=0.2)
    out = msgspec.structs.replace(out, labels={"attribute": "race", "scope": "sized"})
    verdict, dossier = judged(GAP, dossier=seal_of(out))
    found = findings(verdict, dossier)[0]

    assert found.outcome == "inconclusive"
    assert "something else forbids a pass" in found.sure
    assert found.settles.startswith("Rows of which fewer are left out")
    assert not found.try_first

    policy = Policy(name="p", rules=(GAP,), subject="sha256:" + "0" * 64)
    kept = msgspec.structs.replace(out, excluded=0.0)
    found = findings(judge(policy, seal_of(kept), today=made.TODAY), seal_of(kept))[0]
    assert "something else forbids a pass" in found.sure
    assert "The subject is" in found.settles


def test_only_a_run_is_told_of_a_command_that_trains_it_again() -> None:
    """`rai mitigate` refuses whatever else is audited."""
    broken = estimate(0.3, 0.01, metric="fairness.demographic_parity_difference")
    broken = msgspec.structs.replace(broken, labels={"attribute": "race", "scope": "sized"})
    verdict, dossier = judged(GAP, dossier=seal_of(broken))
    assert "rai mitigate" in findings(verdict, dossier)[0].try_first

    manifest = dossier.manifest
    subjects = tuple(msgspec.structs.replace(s, kind="table") for s in manifest.evidence.subjects)
    produced = msgspec.structs.replace(manifest.evidence, subjects=subjects)
    table = msgspec.structs.replace(dossier, manifest=msgspec.structs.replace(manifest, evidence=produced))
    told = findings(judged(GAP, dossier=table)[0], table)[0].try_first

    assert told.startswith("First models that never read the attribute")
    assert "rai mitigate" not in told


def test_why_there_is_no_curve_over_the_threshold_is_true() -> None:
    """Scores were given here; what drew no curve is the fairness audit, or nobody asked it."""
    asked = standing(None, seal_of(estimate(0.3, metric="fairness.demographic_parity_difference")))
    alone = standing(None, seal_of(estimate(0.3, metric="performance.accuracy")))
    told = [next(a.said for a in one.answers if "threshold" in a.asked) for one in (asked, alone)]

    assert "says what it left out" in told[0]
    assert "was not run" in told[1]


def test_the_rates_beside_a_gap_of_one_label_are_of_that_label() -> None:
    """Of three labels the second one's gap was told with the rates of the first."""
    gap = "fairness.demographic_parity_difference"
    found = [
        estimate(
            value,
            metric="fairness.selection_rate",
            labels={"attribute": "race", "group": group, "class": label},
        )
        for label, rates in (("a", (0.5, 0.4)), ("b", (0.9, 0.1)))
        for group, value in zip(("B", "W"), rates, strict=True)
    ]
    labels = {"attribute": "race", "class": "b", "high": "B", "low": "W", "scope": "sized"}
    sealed = seal_of(*found, estimate(0.8, metric=gap, labels=labels))
    rule = msgspec.structs.replace(GAP, where={"attribute": "race", "class": "b"})
    verdict, _ = judged(rule, dossier=sealed)
    means = findings(verdict, sealed)[0].means

    assert "90" in means
    assert "50" not in means


def _gap_of(metric: str, **labels: str) -> str:
    """What a broken rule on this gap is said to mean, beside two rates that are 10 points apart."""
    rates = [
        estimate(v, metric="fairness.selection_rate", labels={"attribute": "race", "group": g})
        for g, v in (("B", 0.5), ("W", 0.4))
    ]
    pair = {"attribute": "race", "high": "B", "low": "W", "scope": "sized", **labels}
    sealed = seal_of(*rates, estimate(0.3, metric=metric, labels=pair))
    where = {k: v for k, v in pair.items() if k in {"attribute", "given", "against"}}
    verdict, _ = judged(
        Rule(metric=metric, where={**where}, at_most=0.05, because="x"),
        dossier=sealed,
    )
    return findings(verdict, sealed)[0].means


def test_no_rates_stand_beside_a_gap_that_is_not_between_them() -> None:
    """Of a gap within strata, and of a change, the two rates are others: *50 % and 40 %: 30 points apart*."""
    assert "40.0 %" in _gap_of("fairness.demographic_parity_difference")
    within_strata = _gap_of("fairness.conditional_difference", given="department")
    change = _gap_of("fairness.demographic_parity_difference", against="baseline")

    for means in (within_strata, change):
        assert "40.0 %" not in means
        assert "(B and W)" in means


def test_what_predicts_numbers_gives_no_group_fewer_decisions() -> None:
    """A gap in mean errors names its groups, and speaks of predictions."""
    means = _gap_of("fairness.mean_error_difference")

    assert "(B and W) is 0.3" in means
    assert "positive decision" not in means
    assert "What the model predicts differs" in means


def test_a_rate_names_its_group_and_rows_are_not_called_a_leak() -> None:
    """The sentence stands at the top of the page, where the rule does not."""
    share = estimate(0.01, 0.001, metric="data.group_share", labels={"attribute": "race", "group": "B"})
    sealed = seal_of(share)
    rule = Rule(
        metric="data.group_share", where={"attribute": "race", "group": "B"}, at_least=0.05, because="x"
    )
    verdict, _ = judged(rule, dossier=sealed)
    means = findings(verdict, sealed)[0].means

    assert "(B) is 0.01" in means
    assert "The rows themselves are not what the policy asks for." in means
