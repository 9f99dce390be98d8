"""Does the audit keep the laws, and does it count what it says?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from acme_stability.audit import METRIC, DecisionStability

from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.testing import check_audit, example_subject


def scored(*incomes: float) -> Splits:
    """Rows whose score is the logistic of an income, and two groups in turn."""
    rows = len(incomes)
    table = Table(
        name="rows",
        columns={
            "income": np.array(incomes),
            "debt": np.zeros(rows),
            "group": np.array(["a", "b"] * rows, dtype=object)[:rows],
        },
        roles={"feature": ("income", "debt"), "sensitive": ("group",)},
    )
    return Splits(held_out=table)


def test_it_keeps_the_laws() -> None:
    """The same seed gives the same bytes; it can be written and read; a null says why."""
    check_audit(DecisionStability(), name="decision_stability")
    check_audit(DecisionStability(margin=0.2), name="decision_stability")


def test_it_counts_the_decisions_near_the_threshold() -> None:
    """Scores .5, .5+, .5− are near 0.5; those at incomes of ±3 are not: 3 of 5, all of them in known groups."""
    found = check_audit(DecisionStability(margin=0.01), data=scored(0.0, 0.01, -0.01, 3.0, -3.0))
    shares = {m.labels.get("group", "all"): (m.value, m.n) for m in found.measurements}

    assert shares == {"all": (0.6, 5), "a": (2 / 3, 3), "b": (0.5, 2)}


def test_a_subject_without_a_threshold_gives_a_null_with_its_reason() -> None:
    """Not a crash, and never a zero."""
    subject = example_subject()
    argmax = Decision(kind="argmax", threshold=None, positive="1", labels=("0", "1"))
    (only,) = check_audit(
        DecisionStability(), subject=dataclasses.replace(subject, decision=argmax)
    ).measurements

    assert only.metric == METRIC
    assert only.value is None
    assert "no score with a threshold" in only.why


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, float("nan")])
def test_a_margin_that_says_nothing_is_refused(margin: float) -> None:
    """Nothing is nearer than 0, and everything nearer than 1."""
    with pytest.raises(ValueError, match="margin"):
        DecisionStability(margin=margin)
