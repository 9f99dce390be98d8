"""Rows that a subject has seen, that are not its own, or that mean another label by positive are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cohorts import splits, subject

from rai_bigmodel import plugins
from rai_bigmodel.collect import Asked, collect
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Splits, data_id
from rai_bigmodel.subjects.of_table import of_table
from rai_bigmodel.tables import Table
from rai_bigmodel.training.asked import Rows


def _made_from(given: Splits, **more: object) -> dict[str, object]:
    """A card, as a run has it."""
    data = {
        part: {"name": rows.name, "digest": rows.digest, "rows": rows.rows}
        for part, rows in (("train", given.train), ("calibrate", given.calibrate))
        if rows is not None
    }
    return {"data": data, **more}


def _audited(rows: Splits, **fields: object) -> None:
    collect(subject(**fields), rows, [Asked("performance", plugins.load("performance"))])


@pytest.mark.parametrize(("part", "words"), [("train", "trained on"), ("calibrate", "its threshold on")])
@pytest.mark.parametrize("role", ["primary", "plain"])
def test_rows_that_a_subject_has_seen_are_no_held_out_rows(part: str, words: str, role: str) -> None:
    """The two files of audit.yaml taken one for the other: the card's digest tells."""
    own = splits()
    own = replace(own, calibrate=splits(500).held_out)
    seen = Splits(held_out=getattr(own, part))
    one = {"card": _made_from(own)} if role == "primary" else {}
    related = {} if role == "primary" else {"plain": subject(name="twin", card=_made_from(own))}

    with pytest.raises(InputError, match=rf"{words} these very rows.*never seen"):
        _audited(seen, **one, relatives=related)
    _audited(own, card=_made_from(own))


def test_training_rows_are_those_that_the_card_names() -> None:
    """Another file as ``train`` would make an overlap of 0 and a gap that nobody has."""
    own, other = splits(), splits(700)
    card = _made_from(own)

    with pytest.raises(InputError, match=r"trained on 600 other rows than the 700 .*leave training"):
        _audited(Splits(held_out=own.held_out, train=other.held_out), card=card)
    _audited(Splits(held_out=own.held_out), card=card)
    # Into the rows of such a run secrets were planted, so nobody else has them.
    planted = {**card, "recipe": {"canaries": {"times": [1]}}}
    _audited(Splits(held_out=own.held_out, train=other.held_out), card=planted)


def test_whether_as_many_rows_are_its_own_is_said_to_be_unknown() -> None:
    """Other bytes may hold the same rows; those of a table that was written to a file since are known."""
    own, other = splits(), splits(600, extra=np.zeros(600))
    assert isinstance(own.train, Table)
    card, bytes_of = _made_from(own), replace(own.train, file_digest="sha256:" + "f" * 64)

    def said(train: Table) -> list[str]:
        rows = Splits(held_out=own.held_out, train=train)
        found = collect(subject(card=card), rows, [Asked("data", plugins.load("data"))])
        return [note for note in found.evidence[0].notes if "is not known" in note]

    assert not said(own.train)
    assert not said(bytes_of)
    assert len(said(other.train)) == 1


def _positive(rows: Splits, positive: str) -> Splits:
    assert isinstance(rows.held_out, Table)
    return Splits(held_out=replace(rows.held_out, positive=positive))


@pytest.mark.parametrize(
    ("declared", "given", "labels"),
    [
        ("0", "1", ("0", "1")),
        ("", "0", ("0", "1")),
        ("False", "1", ("0", "1")),
        ("yes", "no", ("no", "yes")),
    ],
)
def test_a_score_of_the_other_label_is_refused(declared: str, given: str, labels: tuple[str, str]) -> None:
    """A model with an accuracy of 0.69 would be reported with 0.31."""
    decision = Decision(kind="threshold", threshold=0.5, positive=given, labels=labels)

    with pytest.raises(InputError, match=f"score is that of '{given}'.*say positive: {given}"):
        _audited(_positive(splits(), declared), decision=decision)


@pytest.mark.parametrize("declared", ["", "1", "True"])
def test_the_same_label_written_otherwise_is_the_same(declared: str) -> None:
    """What was learned as 1 may come as a boolean."""
    given = splits()
    held = replace(given.held_out, columns={**given.held_out.columns, "y": given.held_out.columns["y"] > 0})
    rows = given if declared != "True" else Splits(held_out=held)

    _audited(_positive(rows, declared))
    assert data_id(rows.held_out).rows == 600


@pytest.mark.parametrize("task", ["classes", "number"])
def test_a_positive_label_where_none_can_be_is_refused(task: str) -> None:
    """It would be an option that does nothing."""
    labels = ("a", "b", "c") if task == "classes" else ()
    decision = Decision(kind="argmax", threshold=None, positive="", labels=labels)

    with pytest.raises(InputError, match=r"no label is positive, and rows declares 'a'; leave positive"):
        _audited(_positive(splits(), "a"), decision=decision)


def test_a_seed_below_zero_is_refused_before_any_audit() -> None:
    """Every audit broke on it, each with evidence of its own."""
    with pytest.raises(InputError, match="seed must be 0 or more, got -1"):
        collect(subject(), splits(), [Asked("performance", plugins.load("performance"))], seed=-1)


@pytest.mark.parametrize("role", ["sensitive", "features", "id", "weight"])
def test_the_outcome_of_files_is_nothing_else(role: str) -> None:
    """Groups by the outcome, or a model that reads it, would say nothing."""
    given: dict[str, object] = {"file": "rows.csv", "truth": "y", "sensitive": ("g",)}
    given[role] = ("y",) if role in {"sensitive", "features"} else "y"

    with pytest.raises(InputError, match=f"{role}: 'y' is named as truth"):
        Rows(**given)  # type: ignore[arg-type]


def test_an_outcome_that_is_a_feature_is_refused() -> None:
    """A model that reads it has an accuracy of 1, and nobody would know why."""
    given = splits().held_out
    assert isinstance(given, Table)
    reads = replace(given, roles={**given.roles, "feature": ("x", "y")})

    with pytest.raises(InputError, match="'y' is the outcome and a feature"):
        _audited(Splits(held_out=reads))


def test_rows_are_not_held_out_and_trained_on_at_once() -> None:
    """An overlap of all rows and a gap of 0 would be measured."""
    given = splits()

    with pytest.raises(InputError, match="the same rows are named as training rows"):
        _audited(Splits(held_out=given.held_out, train=given.held_out))


@pytest.mark.parametrize("kind", ["callable", "endpoint"])
def test_answers_that_are_decisions_are_no_scores(kind: str) -> None:
    """``lambda x: model.predict(x)``: the calibration error of 0 and 1 is no calibration error of a model."""
    decide = {"predict": lambda inputs: (inputs["x"] > 0).astype(float), "kind": kind}
    found = collect(
        subject(**decide),
        splits(),
        [Asked(name, plugins.load(name)) for name in ("performance", "calibration", "fairness")],
    )
    values = {m.metric: m for e in found.evidence for m in e.measurements}

    assert values["performance.accuracy"].value is not None
    for name in ("performance.roc_auc", "performance.brier", "calibration.ece_debiased"):
        assert values[name].value is None
        assert "only decisions" in values[name].why


def test_a_column_of_scores_that_are_decisions_is_refused() -> None:
    """``--score decided`` for ``--prediction decided``."""
    given = splits().held_out
    assert isinstance(given, Table)
    columns = {**given.columns, "d": (given.columns["x"] > 0).astype(float)}
    decided = replace(given, columns=columns, roles={**given.roles, "score": ("d",)})

    with pytest.raises(InputError, match="'d' holds 0 and 1 alone, which are decisions"):
        of_table(decided)
    assert of_table(replace(decided, roles={**given.roles, "prediction": ("d",)})).kind == "table"
