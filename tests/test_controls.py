"""Is the catalogue sound, and does a control stand where the evidence and the statements put it?"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from click.testing import CliRunner
from dossiers import dossier, estimate, evidence, exact

from rai_bigmodel import files, statements
from rai_bigmodel.cli import cli
from rai_bigmodel.controls import catalogue
from rai_bigmodel.controls.catalogue import AppliesTo, Control, Framework
from rai_bigmodel.controls.resolve import WORDS, resolve, resolved
from rai_bigmodel.errors import InputError
from rai_bigmodel.policy import judge
from rai_bigmodel.report.phrases import KNOWN
from rai_bigmodel.report.policies import doubts
from rai_bigmodel.rules import Policy, Rule
from rai_bigmodel.statements import QUESTIONS, About, Statement, Statements

TODAY = dt.date(2026, 11, 22)
GAP = "fairness.demographic_parity_difference"
AUC = "performance.roc_auc"
# Names that the contract keeps and no audit gives yet.
RESERVED = {
    "data.drift_p",
    "robustness.accuracy_under",
    "robustness.adversarial_accuracy",
    "language.stereotype_preference",
    "language.counterfactual_gap",
    "language.refusal_gap",
}
ENTRIES = [(name, control) for name in catalogue.names() for control in catalogue.framework(name).controls]


def control(**fields: Any) -> Control:
    given = {"id": "x", "title": "X", "asks": "Something.", "as_of": "2026-10-31", "source": "a test"}
    return Control(**{**given, "status": "unverified", "evidence": (GAP,), **fields})


def rule(metric: str = GAP, **fields: Any) -> Rule:
    if "at_least" not in fields:
        fields.setdefault("at_most", 0.1)
    return Rule(metric=metric, because="So.", **fields)


def stands(one: Control, *found: Any, rules: tuple[Rule, ...] = (), said: tuple[str, ...] = ()) -> Any:
    """Where a control stands with these measurements, rules and statements."""
    made = dossier(*(found or (exact(1, metric="data.train_test_overlap"),)))
    verdict = judge(Policy(name="p", rules=rules), made, today=TODAY) if rules else None
    given = {name: Statement(says="Yes.", by="A", date="2026-10-01") for name in said}
    return resolve(one, made, framework="f", verdict=verdict, statements=Statements(statements=given))


def test_the_catalogue_has_the_frameworks_that_were_promised() -> None:
    """Each in a file of its own name."""
    wanted = "ai-verify cn-genai eu-ai-act four-fifths gdpr iso-42001 lending model-cards nist-ai-rmf nyc-ll144 sr-26-2"

    assert catalogue.names() == tuple(wanted.split())
    assert all(catalogue.framework(name).framework == name for name in catalogue.names())
    assert {"eu-ai-act/10-2-f", "nyc-ll144/impact-ratio"} <= set(catalogue.ids())


@pytest.mark.parametrize(("name", "one"), ENTRIES, ids=[f"{n}/{c.id}" for n, c in ENTRIES])
def test_every_entry_names_only_metrics_and_statements_that_there_are(name: str, one: Control) -> None:
    """And nothing says that its primary text was read, for nobody read one."""
    assert [m for m in one.evidence if m not in KNOWN and m not in RESERVED] == []
    assert [s for s in one.statements if s not in QUESTIONS] == []
    assert one.status in {"secondary", "unverified"}
    assert "compl" not in f"{one.title} {one.asks}".lower().replace("complete", "").replace("complaint", "")


def test_every_question_is_asked_by_some_control() -> None:
    """No statement is offered that nothing needs."""
    assert set(QUESTIONS) == {s for _, one in ENTRIES for s in one.statements}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"status": "checked"}, "status"),
        ({"evidence": (), "statements": ()}, "nothing could ever be said"),
        ({"as_of": "October"}, "isoformat"),
        ({"asks": " "}, "asks must not be empty"),
        ({"percentage": 80}, "percentage: unknown key"),
        ({"applies_to": {"planet": ["mars"]}}, "planet: unknown key"),
    ],
)
def test_a_catalogue_that_says_something_else_is_refused(fields: dict[str, Any], says: str) -> None:
    """The reader is as strict as that of a policy."""
    entry = {
        "id": "x",
        "title": "X",
        "asks": "A.",
        "as_of": "2026-10-31",
        "source": "s",
        "status": "unverified",
    }
    raw = {"framework": "f", "title": "F", "controls": [{**entry, "evidence": [GAP], **fields}]}

    with pytest.raises(InputError, match=says):
        files.convert(raw, Framework, where="f.yaml")


def test_an_entry_grows_stale_after_a_year_and_a_day() -> None:
    """365 days are not yet too many."""
    one = control(as_of="2025-11-22")

    assert not one.stale(dt.date(2026, 11, 22))
    assert one.stale(dt.date(2026, 11, 23))


LEAK = exact(2, metric="data.leak_auc")
KEPT, BROKEN, OPEN = estimate(0.02, metric=GAP), estimate(0.4, metric=GAP), estimate(0.1, metric=GAP)


@pytest.mark.parametrize(
    ("one", "found", "rules", "said", "state", "why"),
    [
        ({}, (KEPT,), (rule(),), (), "kept", "every rule"),
        ({}, (BROKEN,), (rule(),), (), "broken", "fails"),
        ({}, (OPEN,), (rule(),), (), "inconclusive", "inconclusive"),
        ({}, (KEPT,), (), (), "inconclusive", "nothing was judged"),
        ({}, (), (), (), "inconclusive", "nothing relevant was measured"),
        ({}, (KEPT, LEAK), (rule("data.leak_auc", at_most=3),), (), "inconclusive", "no rule"),
        ({"statements": ("owner",)}, (KEPT,), (rule(),), (), "needs", "only people"),
        ({"statements": ("owner",)}, (KEPT,), (rule(),), ("owner",), "kept", "every rule"),
        ({"statements": ("owner",)}, (BROKEN,), (rule(),), ("owner",), "broken", "fails"),
        ({"evidence": (), "statements": ("owner",)}, (), (), (), "needs", "only people"),
        ({"evidence": (), "statements": ("owner",)}, (), (), ("owner",), "stated", "no measurement"),
        ({"evidence": (), "statements": ("owner", "tier")}, (), (), ("owner",), "needs", "only people"),
    ],
)  # fmt: skip
def test_a_control_is_as_good_as_its_weaker_half(one, found, rules, said, state, why) -> None:
    """A statement mends no broken rule, and a kept rule replaces no statement."""
    got = stands(control(**one), *found, rules=rules, said=said)

    assert got.state == state
    assert why in got.why


def test_a_failing_rule_counts_though_only_a_passing_one_names_the_control() -> None:
    """Otherwise one would name the control in the rule that passes."""
    good = rule(AUC, at_least=0.7, control=("f/x",))
    got = stands(control(), BROKEN, estimate(0.9, metric=AUC), rules=(good, rule()))

    assert got.state == "broken"
    assert got.rules == (0, 1)


def test_a_rule_about_a_relative_counts_only_where_it_names_the_control() -> None:
    """The plain twin of a private model may not ship, so what it keeps is no evidence of the model that does."""
    twin = evidence(BROKEN, role="plain")
    passing = rule()

    assert stands(control(), KEPT, twin, rules=(passing, rule(role="plain"))).state == "kept"
    assert (
        stands(control(), KEPT, twin, rules=(passing, rule(role="plain", control=("f/x",)))).state == "broken"
    )


def test_a_waived_rule_is_never_kept() -> None:
    """It is shown as inconclusive, because nothing shows that the limit is kept."""
    made = dossier(BROKEN)
    policy = Policy(name="p", rules=(rule(id="r"),))
    waiver = {
        "policy": "p",
        "rule": "r",
        "subject": made.manifest.primary.digest,
        "owner": "A",
        "approver": "B",
    }
    from rai_bigmodel.rules import Waiver

    verdict = judge(
        policy, made, today=TODAY, waivers=(Waiver(**waiver, because="So.", expires="2026-12-31"),)
    )
    got = resolve(control(), made, framework="f", verdict=verdict)

    assert (got.state, got.why) == ("inconclusive", "a rule about it is waived")


def test_no_state_is_called_compliance_or_a_percentage() -> None:
    """The five words are all there is."""
    assert list(WORDS.values()) == [
        "measured and broken",
        "inconclusive",
        "needs a statement",
        "measured and kept",
        "statement supplied",
    ]


def test_a_language_model_is_never_held_against_sr_26_2_nor_a_mortgage_model_against_gpai() -> None:
    """The kind is read off what was measured where nobody said it."""
    language = dossier(estimate(9.0, metric="performance.perplexity"))
    lender = dossier(KEPT)
    bank, act = catalogue.framework("sr-26-2"), catalogue.framework("eu-ai-act")

    assert resolved(bank, language, verdict=None, statements=None)[0] == []
    assert len(resolved(bank, lender, verdict=None, statements=None)[0]) == 5
    assert {c.id for c in resolved(act, lender, verdict=None, statements=None)[1]} == {"53-1", "55-1"}


def test_what_is_not_said_about_a_model_leaves_nothing_out() -> None:
    """An entry about lending in the US goes only where another use or place is stated."""
    one = control(applies_to=AppliesTo(use=("lending",), jurisdiction=("us",)))

    assert one.applies(About())
    assert one.applies(About(use=("lending", "banking")))
    assert not one.applies(About(use=("employment",)))
    assert not one.applies(About(use=("lending",), jurisdiction=("eu",)))


def test_policy_check_names_the_nearest_of_an_unknown_control_and_the_gate_does_not_refuse_it() -> None:
    """A catalogue that lags behind must not stop a gate."""
    policy = Policy(name="p", rules=(rule(id="r", control=("eu-ai-act/10-2f", "our-own/7", "gdpr/22")),))
    said = [d.words for d in doubts(policy) if "catalogue" in d.words]

    assert len(said) == 2
    assert "'eu-ai-act/10-2-f'" in said[0]
    assert "rai controls lists it" in said[1]
    assert judge(policy, dossier(KEPT), today=TODAY).outcome == "pass"


def test_rai_controls_lists_frameworks_entries_and_json() -> None:
    """And an unknown framework is one line with what there is."""
    run = CliRunner()
    listed = run.invoke(cli, ["controls"], standalone_mode=False)
    one = run.invoke(cli, ["controls", "nyc-ll144"], standalone_mode=False)
    as_json = run.invoke(cli, ["controls", "nyc-ll144", "--json"], standalone_mode=False)

    assert len(listed.stdout.splitlines()) == 11
    assert "nyc-ll144/impact-ratio  Impact ratios by category" in one.stdout
    assert "secondary, 2026-10-31: two public repositories" in one.stdout
    assert files.parse_json(as_json.stdout.encode(), Framework, where="") == catalogue.framework("nyc-ll144")
    assert "there are: ai-verify" in str(
        run.invoke(cli, ["controls", "nyc"], standalone_mode=False).exception
    )


# --- statements ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("statements: {ownr: {says: A, by: B, date: 2026-01-01}}", "Did you mean 'owner'"),
        ("statements: {owner: {says: ' ', by: B, date: 2026-01-01}}", "says must not be empty"),
        ("statements: {owner: {says: A, by: '', date: 2026-01-01}}", "by must not be empty"),
        ("statements: {owner: {says: A, by: B, date: yesterday}}", "date must be a day"),
        ("statements: {owner: {says: A, by: B}}", "date: this key is required"),
        ("statement: {}", "statement: unknown key"),
    ],
)
def test_a_statement_needs_words_a_name_and_a_day(tmp_path, text: str, says: str) -> None:
    """One line with the path and what would do."""
    path = tmp_path / "statements.yaml"
    path.write_text(text)

    with pytest.raises(InputError, match=says):
        statements.read(path)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"frameworks": ("eu-ai-ac",)}, "Did you mean 'eu-ai-act'"),
        ({"statements": {"owner": Statement(says="A", by="B", date="2026-11-23")}}, "lies ahead of 2026-11-22"),
        ({"subject": "sha256:" + "b" * 64}, "the evidence is about sha256:aaaa"),
    ],
)  # fmt: skip
def test_statements_that_cannot_be_meant_are_refused(fields: dict[str, Any], says: str) -> None:
    """An unknown framework, a day ahead, another artefact."""
    said = Statements(**fields)

    with pytest.raises(InputError, match=says):
        statements.check(said, dossier(KEPT), frameworks=catalogue.names(), today=TODAY)


def test_the_example_of_statements_is_read() -> None:
    """What the repository shows is valid."""
    from pathlib import Path

    said = statements.read(Path(__file__).parent.parent / "examples" / "statements.yaml")
    statements.check(said, dossier(KEPT), frameworks=catalogue.names(), today=TODAY)

    assert "intended_use" in said.statements
