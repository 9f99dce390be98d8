"""What an open rule needs is told truly: rows where rows would do, else what was left out or left unnamed."""

from __future__ import annotations

import pytest
from dossiers import dossier, estimate, exact

from rai_bigmodel.evidence import Measurement
from rai_bigmodel.rules import Limit, Rule
from rai_bigmodel.undecided import hint, rows_to_settle, unmatched

GAP = "fairness.demographic_parity_difference"


@pytest.mark.parametrize(
    ("excluded", "value", "says"),
    [
        (0.0, 0.45, "more rows like these 100 would settle it"),
        (0.03, 0.45, "would not settle it: 3 % of them are left out, more than 2 %."),
        (0.03, 0.55, "more rows like these 100 would settle it"),  # rows left out forbid no fail
    ],
)
def test_more_rows_settle_no_pass_that_rows_left_out_forbid(excluded: float, value: float, says: str) -> None:
    """The reader would collect 290,000 rows in vain."""
    limit = Limit(metric="fairness.gap", at_most=0.5)
    found = estimate(value, 0.05, n=100, excluded=excluded)
    said = rows_to_settle(limit, found, 0.05, excluded_at_most=0.02)

    assert says in said


def _gap(**labels: str) -> Measurement:
    return Measurement(metric=GAP, kind="exact", value=0.1, labels=labels)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({}, "It was measured for each class, and a rule names one: 'a', 'b'."),
        ({"atribute": "sex"}, "None of them has the label 'atribute'; there are 'attribute', 'class'."),
        ({"attribute": "Sex"}, "Its 'attribute' is never 'Sex'; there are 'race', 'sex'."),
        ({"attribute": "race", "class": "c"}, "Its 'class' is never 'c'; there are 'a', 'b'."),
    ],
)
def test_what_a_rule_that_matches_nothing_may_have_meant(where: dict[str, str], says: str) -> None:
    """By what there is: a label that must be named, or one that is named otherwise."""
    found = [_gap(attribute=a, **{"class": c}) for a in ("race", "sex") for c in "ab"]

    assert hint(Limit(metric=GAP, where=dict(where), at_most=0.1), found) == says


def test_a_metric_of_a_name_that_is_none_has_one_like_it() -> None:
    """A typo is told; a name that is like none is not guessed."""
    found = [_gap(attribute="sex")]

    assert hint(Limit(metric=GAP.replace("ff", "f"), at_most=0.1), found) == f"Did it mean {GAP!r}?"
    assert hint(Limit(metric="acme.churn", at_most=0.1), found) == ""


def test_a_rule_is_not_told_the_reason_of_another_metric() -> None:
    """Nobody asked for membership; that the card has no ledger is why ε is not there, and no reason for this one."""
    silent = [
        exact(None, metric=f"privacy.{n}", why=w) for n, w in (("epsilon", "no ledger"), ("cost", "no plain"))
    ]
    rule = Rule(metric="privacy.membership_auc", at_most=0.6, because="x")
    (limit,) = rule.limits

    assert (
        unmatched(limit, rule, dossier(*silent))
        == "Not measured: nothing in the audit 'privacy' matches this rule."
    )
    assert unmatched(limit, rule, dossier(silent[0])) == "Not measured: no ledger"
