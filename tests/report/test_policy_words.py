"""Does a policy read aloud say what it says, and are rules that cannot be decided found before the gate?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dossiers import dossier, estimate, exact

from rai_bigmodel import api, files
from rai_bigmodel.cli import cli
from rai_bigmodel.evidence import Measurement
from rai_bigmodel.report.phrases import rule_title
from rai_bigmodel.report.policies import doubts, explained, starter
from rai_bigmodel.rules import Policy, Rule

GAP = "fairness.demographic_parity_difference"


def policy(metric: str = GAP, **fields: Any) -> Policy:
    if "at_least" not in fields:
        fields.setdefault("at_most", 0.1)
    return Policy(name="p", rules=(Rule(id="r", metric=metric, because="So.", **fields),))


def test_every_rule_is_read_aloud_with_its_reason_and_what_is_special_about_it() -> None:
    """One sentence on how it is judged, then one a rule."""
    said = explained(policy(where={"attribute": "race"}, severity="warn", waivable=False))

    assert "1 rule at 95 % confidence" in said[0]
    assert said[1].startswith("1. Selection rates differ by at most 0.1 between groups of race.")
    assert "only warns, cannot be waived" in said[1]
    assert said[1].endswith("Why: So.")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"at_most": 1}, "can never break 1"),
        ({"at_most": -0.1}, "can never keep -0.1"),
        ({"metric": "performance.roc_auc", "at_least": 0}, "can never break 0"),
        ({"metric": "performance.roc_auc", "at_least": 1.5}, "can never keep 1.5"),
        ({"metric": "privacy.epsilon_spent", "at_most": -1}, "can never keep -1"),
    ],
)
def test_a_limit_that_no_value_can_break_or_keep_is_told(fields: dict[str, Any], says: str) -> None:
    """Known from what the metric is, without any evidence."""
    (doubt,) = doubts(policy(**fields))

    assert says in doubt.words


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ({"at_least": -0.01}, []),
        ({"at_least": -1}, ["can never break -1: its worst possible value is -1"]),
        ({"at_least": 1.5}, ["can never keep 1.5: its best possible value is 1"]),
    ],
)
def test_a_change_against_a_baseline_may_be_below_zero(limit: dict[str, float], says: list[str]) -> None:
    """A ratchet, "at most a point worse", is a limit that can be broken."""
    told = doubts(policy(metric="performance.accuracy", where={"against": "baseline"}, **limit))

    assert [words.removeprefix("performance.accuracy ") for _, words, _ in told] == says
    title = rule_title(policy(metric="performance.accuracy", where={"against": "baseline"}, **limit).rules[0])
    assert title == f"Accuracy: change against baseline at least {limit['at_least']}"


@pytest.mark.parametrize(
    ("found", "never", "says"),
    [
        (estimate(0.05, 0.005, metric=GAP), None, ""),
        (estimate(0.05, 0.2, metric=GAP), False, "can fail and never pass"),
        (estimate(0.5, 2.0, metric=GAP), True, "never be decided"),
        (estimate(0.05, 0.055, metric=GAP), False, "passes only where the value is at most 0.00953"),
        (estimate(None, metric=GAP), True, "not measured: one group is empty"),
        (estimate(0.05, 0.005, metric=GAP, excluded=0.2), False, "20 % of the rows are left out"),
        (Measurement(metric=GAP, kind="exact", value=0.2), None, ""),
        (exact(1.0), True, f"nothing in this evidence matches {GAP}"),
    ],
)
def test_what_the_rows_at_hand_can_decide_is_told(found: Measurement, never: bool | None, says: str) -> None:
    """By how wide the interval is: far from the limit nothing is said, too wide to pass or fail is."""
    told = doubts(policy(), dossier(found))

    assert [d.never for d in told] == ([] if never is None else [never])
    assert all(says in d.words for d in told)


def test_a_starter_reads_back_as_a_policy_and_names_only_what_was_measured(tmp_path: Path) -> None:
    """One rule an attribute, with today's number as a comment; hostile names stay strings."""
    name = 'a"b: }#\n<x>'
    sealed = dossier(
        estimate(0.05, metric=GAP, labels={"attribute": name}),
        estimate(0.8, metric="performance.roc_auc"),
        estimate(0.8, metric="performance.secret"),
    )
    text = starter(sealed, domain="lending")
    read = files.parse_yaml(text.encode(), Policy, where="starter")

    assert [r.metric for r in read.rules] == ["performance.roc_auc", GAP]
    unmeasured = starter(dossier(estimate(None, metric=GAP), estimate(0.8, metric="performance.roc_auc")))
    assert [r.metric for r in files.parse_yaml(unmeasured.encode(), Policy, where="starter").rules] == [
        "performance.roc_auc"
    ]
    assert "  #   at_most: 0.1   # not measured: one group is empty" in unmeasured
    assert files.parse_yaml(
        starter(dossier(estimate(None, metric=GAP))).encode(), Policy, where="starter"
    ).rules
    assert read.rules[1].where == {"attribute": name}
    assert "# today 0.05, 0.0304 to 0.0696 with 95 % confidence" in text


@pytest.mark.parametrize("domain", ["general", "lending", "employment"])
def test_a_starter_without_evidence_is_a_policy_too(domain: str, tmp_path: Path) -> None:
    """``rai policy init | rai policy check`` works, and says that reasons are missing."""
    made = CliRunner().invoke(cli, ["policy", "init", "--domain", domain], standalone_mode=False)
    (tmp_path / "p.yaml").write_text(made.stdout)
    checked = CliRunner().invoke(cli, ["policy", "check", str(tmp_path / "p.yaml")], standalone_mode=False)

    assert checked.return_value == 0
    assert "still to be written" in checked.stdout


def test_policy_check_reads_evidence_by_command_line(tmp_path: Path) -> None:
    """``--from DIR`` names the rule that these rows can never decide."""
    api.save(dossier(estimate(0.5, 2.0, metric=GAP)), tmp_path / "run")
    (tmp_path / "p.yaml").write_bytes(files.canonical_json(policy()))
    result = CliRunner().invoke(
        cli,
        ["policy", "check", str(tmp_path / "p.yaml"), "--from", str(tmp_path / "run")],
        standalone_mode=False,
    )

    assert "r: can never be decided" in result.stdout


def test_a_policy_for_what_predicts_a_number_begins_with_errors(tmp_path: Path) -> None:
    """Not with decisions that it does not take; and it can be read and judged."""
    found = [
        Measurement(metric=name, kind="exact", value=0.2, labels=labels)
        for name, labels in (
            ("performance.mae", {}),
            ("performance.r2", {}),
            ("fairness.mean_error_difference", {"attribute": "sex", "scope": "sized"}),
        )
    ]
    nothing = Measurement(metric="data.leak_auc", kind="exact", value=None, why="no decision")
    path = tmp_path / "policy.yaml"
    path.write_text(starter(dossier(*found, nothing)))

    rules = api.read_policy(path).rules
    assert [rule.metric for rule in rules] == ["performance.r2", "fairness.mean_error_difference"]
    assert "performance.r2" not in starter()


def test_what_a_starter_says_of_today_is_what_would_decide() -> None:
    """Of sixteen features that the rule speaks of, the one that leaks, and not the first."""
    found = [exact(v, metric="data.leak_auc", labels={"feature": f}) for f, v in (("a", 0.5), ("b", 0.99))]
    gone = exact(None, metric="data.leak_auc", labels={"feature": "c"})
    text = starter(dossier(*found, gone, estimate(0.8, metric="performance.roc_auc")))

    assert "at_most: 0.98   # today 0.99 (feature b); the worst of 2; 1 not measured" in text


def test_a_starter_for_several_labels_has_rules_about_groups_that_match(tmp_path: Path) -> None:
    """The average over labels counts; what is measured label by label stands aside, with the worst label named."""
    found = [
        estimate(v, metric=GAP, labels={"attribute": "sex", "class": c, "scope": "sized"})
        for c, v in (("a", 0.05), ("b", 0.2))
    ]
    macro = {"attribute": "sex", "class": "macro", "scope": "sized"}
    mean = estimate(0.04, metric="fairness.equal_opportunity_difference", labels=macro)
    text = starter(dossier(*found, estimate(None, metric=GAP, labels=macro), mean))
    rules = files.parse_yaml(text.encode(), Policy, where="starter").rules

    assert [(r.metric, r.where) for r in rules] == [(mean.metric, {"attribute": "sex", "class": "macro"})]
    assert rules[0].limits[0].matches(mean)
    assert '#   where: {"attribute": "sex", "class": "b"}' in text
    assert "today 0.2, 0.180 to 0.220 with 95 % confidence; the worst of 2 labels" in text


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"metric": GAP.replace("ff", "f")}, f"measured by no audit of this package; did you mean {GAP!r}?"),
        ({"metric": "calibration.consistency_p"}, "only be judged with judge: value and at_least"),
    ],
)
def test_policy_check_needs_no_evidence_to_tell_what_cannot_be(rule: dict[str, str], says: str) -> None:
    """A typo, and a p-value that the rule does not say how to judge; a plugin's metric is nobody's typo."""
    assert any(says in d.words for d in doubts(policy(at_most=0.1, where={}, **rule)))
    assert not doubts(policy(at_most=0.1, where={}, metric="acme.churn"))


@pytest.mark.parametrize(
    ("rule", "meant"),
    [
        ({"metric": GAP, "at_least": 0.1}, "at_most"),
        ({"metric": "performance.accuracy", "at_most": 0.8}, "at_least"),
        ({"metric": GAP, "at_most": 0.1}, ""),
        ({"metric": "performance.accuracy", "where": {"against": "baseline"}, "at_least": -0.01}, ""),
        ({"metric": "fairness.selection_rate", "at_least": 0.1}, ""),  # of which neither is better
    ],
)
def test_a_limit_on_the_wrong_side_is_told(rule: dict[str, Any], meant: str) -> None:
    """*Differ by at least 0.1* passes what is biased, and nothing else would say so."""
    told = [d.words for d in doubts(policy(**rule)) if "is better" in d.words]

    assert len(told) == bool(meant)
    assert all(words.endswith(f"did you mean {meant}?") for words in told)
