"""How an audit is set out: pictures by what they are about, notes by who they are of, reasons once."""

from __future__ import annotations

import msgspec
import pytest
import report_dossier as made

from rai_bigmodel.evidence import Dot, Dots, Table, is_about
from rai_bigmodel.report.closing import missing
from rai_bigmodel.report.exhibits import shown_exhibit
from rai_bigmodel.report.methods import method_words
from rai_bigmodel.report.phrases import closed
from rai_bigmodel.report.sections import sections


def of(*found, name="fairness"):
    """The blocks of one audit, from (file name, evidence)."""
    dossier = made.dossier(list(found), only=True)
    (section,) = (s for s in sections(dossier, []) if s.name == name)
    return section.blocks


def test_a_picture_stands_with_the_attribute_it_is_about() -> None:
    """By its title; what is about none of the attributes stands with the whole audit."""
    pictures = [Dots(title=t, dots=(Dot(label="a", value=0.5),)) for t in ("Rates, by race", "All of it")]
    found = msgspec.structs.replace(made.fairness(), exhibits=tuple(pictures))
    (block,) = of(("fairness.json", found))

    assert [x.title for x in block.exhibits] == ["All of it"]
    assert [x.title for a in block.attributes if a.name == "race" for x in a.exhibits] == ["Rates, by race"]
    assert sum(len(a.exhibits) for a in block.attributes) == 1


@pytest.mark.parametrize(
    ("title", "attribute", "answer"),
    [
        ("Groups by race", "race", True),
        ("Groups by race*sex", "sex", False),
        ("Impact by race and sex", "race*sex", True),
        ("Rates by race within job", "race", True),
        ("A trace", "race", False),
    ],
)
def test_an_attribute_is_read_off_a_title(title: str, attribute: str, answer: bool) -> None:
    """As audits and law tables write it; an intersection is not one of its parts."""
    assert is_about(title, attribute) is answer


def test_a_note_of_a_relative_stands_with_the_relative() -> None:
    """Two sentences that differ in a number say whose number it is by where they stand."""
    pair = []
    for role, note in (("primary", "The error is 0.1."), ("plain", "The error is 0.2.")):
        found = msgspec.structs.replace(made.performance(role), notes=("Both say this.", note))
        pair.append((f"performance{'' if role == 'primary' else '@plain'}.json", found))
    (block,) = of(*pair, name="performance")

    assert block.notes == ("Both say this.", "The error is 0.1.")
    assert [(r.role, r.notes) for r in block.relatives] == [("plain", ("The error is 0.2.",))]


def test_a_reason_is_told_once_for_all_it_is_the_reason_of() -> None:
    """Metrics that lack the same cases for one reason stand together, with the roles that lack them."""
    why = "this group has fewer than 5 rows, so no number about it is kept"
    lacking = tuple(
        made.nothing(f"fairness.{rate}", why, attribute="race*sex", group=group)
        for rate in ("true_positive_rate", "precision")
        for group in ("Black*F", "White*F")
    )
    pair = [
        (
            f"fairness{'' if role == 'primary' else '@plain'}.json",
            msgspec.structs.replace(made.fairness(role), measurements=lacking),
        )
        for role in ("primary", "plain")
    ]
    (told,) = missing(made.dossier(pair, only=True))

    assert told.what == "Fairness: true positive rate · precision"
    assert told.why == "This group has fewer than 5 rows, so no number about it is kept."
    assert told.cases == ("race*sex: Black*F, White*F (primary, plain)",)


def test_gaps_over_all_groups_are_left_out_where_no_group_is_small() -> None:
    """They would repeat the row above, number by number; where they differ, both stand."""
    found = made.fairness()
    gap = next(m for m in found.measurements if m.metric.endswith("demographic_parity_difference"))
    again = msgspec.structs.replace(gap, labels={**gap.labels, "scope": "all"})
    sized = msgspec.structs.replace(gap, labels={**gap.labels, "scope": "sized"})
    other = msgspec.structs.replace(again, value=0.21)
    same, differs = (
        of(("fairness.json", msgspec.structs.replace(found, measurements=(sized, m))))[0].attributes[0]
        for m in (again, other)
    )

    assert [len(table.rows) for table in same.gaps] == [1]
    assert [len(table.rows) for table in differs.gaps] == [2]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("delong, newcombe", "DeLong, Newcombe"),
        ("clopper-pearson", "Clopper–Pearson"),
        ("student-t, log scale", "Student's t, log scale"),
        ("tukey-newcombe, bonferroni over families", "Tukey–Newcombe, Bonferroni over families"),
        ("tukey, mover-r", "Tukey, MOVER-R"),
        ("multinomial resampling", "multinomial resampling"),
    ],
)
def test_methods_are_named_as_their_authors_are_written(method: str, said: str) -> None:
    """Names as they stand in evidence are read by programs."""
    assert method_words(method) == said


def test_a_sentence_ends_with_one_full_stop() -> None:
    """Also where its last words stand in brackets."""
    assert closed("Too few rows") == "Too few rows."
    assert closed("It passes. (3 of 3 pass.)") == "It passes. (3 of 3 pass.)"
    assert closed("Too few (3)") == "Too few (3)."
    assert closed("") == ""


def test_an_empty_cell_is_a_dash_and_an_empty_name_is_named() -> None:
    """A hidden group's text cells are empty; an empty name in the first column is a group of that name."""
    shown = shown_exhibit(Table(title="t", columns=("group", "kept"), rows=(("a", ""), ("", "no"))))

    assert shown.rows == (("a", "–"), ("(empty)", "no"))


def test_prose_in_a_table_is_read_from_the_left_and_has_the_width() -> None:
    """A sentence set to the right in a column of one word's width cannot be read."""
    row = ("stability", 0.05, "a small number is stable; it says nothing of whether the explanation is true")
    shown = shown_exhibit(Table(title="t", columns=("test", "value", "what was compared"), rows=(row,)))

    assert shown.texts == (3,)
    assert shown.wide
    assert not shown_exhibit(Table(title="t", columns=("group", "rows"), rows=(("a", 3),))).wide
