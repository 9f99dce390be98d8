"""Does a waiver count when it should, and only then?"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from click.testing import CliRunner
from dossiers import SUBJECT, dossier, estimate, evidence

from rai_bigmodel import api, files, verdicts
from rai_bigmodel.cli import cli
from rai_bigmodel.errors import InputError
from rai_bigmodel.rules import Policy, Rule, Verdict, Waiver
from rai_bigmodel.waivers import Waivers

TODAY = dt.date(2026, 11, 22)
POLICY = Policy(
    name="lending",
    rules=(
        Rule(
            id="gap",
            metric="fairness.gap",
            where={"attribute": "race"},
            at_most=0.1,
            because="The board says so.",
        ),
        Rule(metric="performance.accuracy", at_least=0.5, because="Better than a coin."),
    ),
)
FOUND = (
    estimate(0.2, labels={"attribute": "race"}),
    estimate(0.8, metric="performance.accuracy"),
)


def waiver(**other: Any) -> Waiver:
    fields = {
        "policy": "lending",
        "subject": SUBJECT.digest,
        "owner": "Head of lending",
        "approver": "Head of model risk",
        "because": "Remediation under way, ticket RISK-14.",
        "expires": "2027-01-31",
        **other,
    }
    if "rule" not in fields:
        fields.setdefault("metric", "fairness.gap")
        fields.setdefault("where", {"attribute": "race"})
    return Waiver(**fields)


def judged(*waivers: Waiver, policy: Policy = POLICY, found: Any = FOUND, today: dt.date = TODAY) -> Verdict:
    return api.judge(dossier(*found), policy, waivers=waivers, today=today)


def test_a_valid_waiver_turns_a_fail_into_waived_and_says_who_and_until_when() -> None:
    """The verdict is then about the other rules; the names and the date stand in the words."""
    verdict = judged(waiver())
    words = verdict.rulings[0].words

    assert judged().outcome == "fail"
    assert (verdict.outcome, verdict.rulings[0].outcome) == ("pass", "waived")
    for part in ("Head of model risk", "Head of lending", "2027-01-31", "RISK-14", "above the limit"):
        assert part in words


def test_a_rule_can_be_named_by_its_id() -> None:
    """``rule: gap`` is the same as its metric and labels."""
    assert judged(waiver(rule="gap")).rulings[0].outcome == "waived"


def test_an_inconclusive_rule_can_be_waived_and_a_passing_one_stays_a_pass() -> None:
    """A waiver never makes anything worse."""
    undecided = judged(
        waiver(),
        found=(estimate(0.1, labels={"attribute": "race"}), estimate(0.8, metric="performance.accuracy")),
    )
    passing = judged(
        waiver(),
        found=(estimate(0.01, labels={"attribute": "race"}), estimate(0.8, metric="performance.accuracy")),
    )

    assert undecided.rulings[0].outcome == "waived"
    assert passing.rulings[0].outcome == "pass"


def test_when_every_rule_is_waived_nothing_passes_so_the_policy_is_undecided() -> None:
    """Waiving all there is proves nothing."""
    alone = Policy(name="lending", rules=POLICY.rules[:1])

    assert judged(waiver(), policy=alone).outcome == "inconclusive"


@pytest.mark.parametrize(
    ("other", "today", "says"),
    [
        ({"subject": "sha256:" + "b" * 64}, TODAY, "another artefact"),
        ({"expires": "2026-11-21"}, TODAY, "expired on 2026-11-21"),
        ({}, dt.date(2027, 2, 1), "expired on 2027-01-31"),
    ],
)
def test_a_waiver_that_does_not_count_is_said_beside_the_rule(
    other: dict[str, str], today: dt.date, says: str
) -> None:
    """Another artefact or a day too late: the rule counts again, and the words say why."""
    ruling = judged(waiver(**other), today=today).rulings[0]

    assert ruling.outcome == "fail"
    assert says in ruling.words


def test_a_waiver_counts_on_its_last_day() -> None:
    """``expires`` is the last day, not the first without."""
    assert judged(waiver(expires="2026-11-22")).rulings[0].outcome == "waived"


def test_a_rule_that_may_not_be_waived_is_not() -> None:
    """``waivable: false`` is honoured, and said."""
    strict = Policy(
        name="lending",
        rules=(Rule(id="gap", metric="fairness.gap", at_most=0.1, because="Law.", waivable=False),),
    )
    ruling = judged(waiver(rule="gap"), policy=strict).rulings[0]

    assert ruling.outcome == "fail"
    assert "does not allow" in ruling.words


def test_a_waiver_must_name_the_artefact_that_the_rule_reads() -> None:
    """A rule about a relative needs the digest of the relative."""
    of_plain = Policy(
        name="lending",
        rules=(Rule(id="gap", metric="fairness.gap", role="plain", at_most=0.1, because="Twin."),),
    )
    plain = type(SUBJECT)(name="twin", kind="torch", digest="sha256:" + "e" * 64, role="plain")
    sealed = dossier(evidence(estimate(0.2), role="plain", digest=plain.digest), subjects=(SUBJECT, plain))

    wrong = api.judge(sealed, of_plain, waivers=[waiver(rule="gap")], today=TODAY)
    right = api.judge(sealed, of_plain, waivers=[waiver(rule="gap", subject=plain.digest)], today=TODAY)

    assert (wrong.rulings[0].outcome, right.rulings[0].outcome) == ("fail", "waived")


def test_waiving_does_not_change_what_became_of_the_other_rules() -> None:
    """A waived rule stays in Holm's family: its size may not depend on who waived what."""
    rules = tuple(Rule(id=f"r{i}", metric=f"fairness.g{i}", at_most=0.1, because="So.") for i in range(8))
    policy = Policy(name="lending", rules=rules)
    found = tuple(estimate(0.1 + 0.01 * 2.6, metric=f"fairness.g{i}") for i in range(8))
    before = judged(policy=policy, found=found)
    after = judged(*(waiver(rule=f"r{i}") for i in range(7)), policy=policy, found=found)

    assert after.rulings[7] == before.rulings[7]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"expires": "2027-05-22"}, "more than 180 days ahead; at most 2027-05-21"),
        ({"rule": "gpa"}, "Did you mean 'gap'?"),
        ({"metric": "fairness.other"}, "no rule on fairness.other"),
    ],
)
def test_a_waiver_that_cannot_be_meant_is_refused(given: dict[str, str], says: str) -> None:
    """Too far ahead, or about a rule that is not there: one line that says where."""
    with pytest.raises(InputError, match=r"\$\.waivers\[0\]") as error:
        judged(waiver(**given))

    assert says in str(error.value)


def test_a_refused_waiver_names_its_file(tmp_path: Any) -> None:
    """The reader is told which of two files to open."""
    path = tmp_path / "their-waivers.yaml"
    path.write_bytes(files.canonical_json(Waivers(waivers=(waiver(expires="2027-05-22"),))))
    with pytest.raises(InputError, match=r"their-waivers\.yaml: \$\.waivers\[0\]\.expires"):
        api.judge(dossier(*FOUND), POLICY, waivers=path, today=TODAY)


def test_a_waiver_of_another_policy_is_left_alone() -> None:
    """One file may hold the waivers of many policies."""
    assert judged(waiver(policy="other", rule="whatever")).rulings[0].outcome == "fail"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"approver": " head of LENDING"}, "somebody else than the owner"),
        ({"approver": "Head  of lending"}, "somebody else than the owner"),
        ({"approver": "\uff28ead of lending"}, "somebody else than the owner"),
        ({"because": " "}, "because must not be empty"),
        ({"expires": "soon"}, "YYYY-MM-DD"),
        ({"expires": "20270131"}, "YYYY-MM-DD"),
        ({"expires": "2027-W04-7"}, "YYYY-MM-DD"),
        ({"rule": "gap"}, "either rule, or metric"),
        ({"metric": ""}, "either rule, or metric"),
    ],
)
def test_a_waiver_file_is_read_strictly(wrong: dict[str, str], says: str) -> None:
    """What a waiver cannot say is one line with its path."""
    fields = {
        "policy": "lending",
        "metric": "fairness.gap",
        "subject": SUBJECT.digest,
        "owner": "Head of lending",
        "approver": "Head of model risk",
        "because": "Ticket.",
        "expires": "2027-01-31",
        **wrong,
    }
    text = "waivers:\n  -" + "".join(f" {k}: {v!r}\n   " for k, v in fields.items())
    with pytest.raises(InputError, match=r"w\.yaml: .*\$\.waivers\[0\]") as error:
        files.parse_yaml(text.encode(), Waivers, where="w.yaml")

    assert says in str(error.value)


def test_the_gate_takes_waivers_and_verdict_json_names_their_digest(tmp_path: Any) -> None:
    """Exit 0 with the waiver, 1 without; the file of the verdict keeps the digest of what was handed in."""
    folder = api.save(dossier(*FOUND), tmp_path / "run")
    (tmp_path / "policy.yaml").write_bytes(files.canonical_json(POLICY))  # JSON is YAML
    today = dt.datetime.now(dt.UTC).date()
    one = waiver(expires=str(today + dt.timedelta(days=30)))
    (tmp_path / "w.yaml").write_bytes(files.canonical_json(Waivers(waivers=(one,))))
    call = ["gate", str(folder), "--policy", str(tmp_path / "policy.yaml")]
    without = CliRunner().invoke(cli, call, standalone_mode=False)
    with_it = CliRunner().invoke(cli, [*call, "--waivers", str(tmp_path / "w.yaml")], standalone_mode=False)
    kept = files.parse_json(
        (folder / "verdict.json").read_bytes(), verdicts.VerdictFile, where="verdict.json"
    )

    assert (without.return_value, with_it.return_value) == (1, 0)
    assert "waived" in with_it.stdout
    assert kept.waivers_digest.startswith("sha256:")
