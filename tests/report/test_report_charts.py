"""Pictures are where their numbers are, whatever the numbers are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
import report_dossier as made
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_bigmodel.evidence import Bars, Curve, Dot, Dots, Heatmap, Line
from rai_bigmodel.policy import Limit
from rai_bigmodel.report import charts, digits, phrases, shapes
from rai_bigmodel.report.exhibits import shown_exhibit
from rai_bigmodel.report.scales import Scale, rounded, span, ticks
from rai_bigmodel.words import number

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def numbers_of(svg: str) -> list[float]:
    """Every coordinate of a drawing."""
    root = ET.fromstring(svg)  # noqa: S314 - our own markup
    keys = ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height")
    return [float(e.get(k) or 0) for e in root.iter() for k in keys if e.get(k)]


def place(svg: str, kind: str, key: str) -> float:
    """One coordinate of the first shape of a class."""
    root = ET.fromstring(svg)  # noqa: S314 - our own markup
    return float(next(e.get(key) for e in root.iter() if e.get("class") == kind) or 0)


def test_strip_puts_value_interval_bound_and_band_in_their_order() -> None:
    """0.1 < 0.2 < 0.3 < 0.4 on the axis; the band of "at most 0.4" runs from the left edge to the limit."""
    limit = Limit(metric="a.b", at_most=0.4)
    svg = charts.strip(limit, value=0.2, interval=(0.1, 0.35), keep=0.3, ends=(0.0, 1.0))
    left, value = place(svg, "whisker", "x1"), place(svg, "dot", "cx")
    keep, right, bound = place(svg, "keep", "x1"), place(svg, "whisker", "x2"), place(svg, "bound", "x1")

    assert left < value < keep < right < bound
    assert place(svg, "allowed", "x") == place(svg, "track", "x")
    assert place(svg, "allowed", "width") == pytest.approx(bound - place(svg, "track", "x"), abs=0.2)
    assert (value - left) / (bound - left) == pytest.approx((0.2 - 0.1) / (0.4 - 0.1), abs=0.01)


def test_open_side_runs_to_the_edge_with_an_arrow() -> None:
    """An unbounded interval is not drawn as if it ended."""
    limit = Limit(metric="a.b", at_least=1)
    svg = charts.strip(limit, value=2.0, interval=(1.5, None), keep=1.6, ends=(0.0, None))

    assert svg.count('class="arrow"') == 1
    assert place(svg, "whisker", "x2") == place(svg, "track", "x") + place(svg, "track", "width")
    assert "at least 1.500" in svg or "at least 1.5" in svg


@settings(max_examples=60, deadline=None)
@given(value=NUMBERS, limit=NUMBERS, low=NUMBERS | st.none(), high=NUMBERS | st.none())
def test_strip_never_leaves_its_frame(
    value: float, limit: float, low: float | None, high: float | None
) -> None:
    """Whatever the numbers, every coordinate is a number inside the drawing."""
    svg = charts.strip(Limit(metric="a.b", at_most=limit), value=value, interval=(low, high), keep=None)

    assert all(-1 <= x <= 245 for x in numbers_of(svg))


@settings(max_examples=60, deadline=None)
@given(values=st.lists(NUMBERS, min_size=1, max_size=5))
def test_exhibits_never_leave_their_frame(values: list[float]) -> None:
    """Huge, tiny, equal and negative numbers are drawn inside the frame."""
    points = tuple(Dot(label="a", value=v) for v in values)
    line = Line(label="l", x=tuple(values), y=tuple(values))
    for svg in (
        charts.dots(Dots(title="t", dots=points)),
        charts.bars(Bars(title="t", bars=points)),
        charts.curve(Curve(title="t", lines=(line,), diagonal=True, mark=values[0])),
        charts.heatmap(
            Heatmap(title="t", rows=("r",), columns=("c",) * len(values), values=(tuple(values),))
        ),
    ):
        assert all(-1 <= x <= 700 for x in numbers_of(svg))
        assert "nan" not in svg
        assert "inf" not in re.sub(r"aria-label=\"[^\"]*\"", "", svg)


@settings(max_examples=200, deadline=None)
@given(a=st.floats(-1e9, 1e9), b=st.floats(-1e9, 1e9))
def test_ticks_are_round_few_and_inside(a: float, b: float) -> None:
    """A rounded range holds the data, and its ticks are its own ends and round numbers between."""
    low, high = rounded(*span([a, b]))
    found = ticks(low, high)
    slack = (high - low) * 1e-6

    assert low <= min(a, b) + slack
    assert high >= max(a, b) - slack
    assert 2 <= len(found) <= 8
    assert found == sorted(found)
    assert all(low - slack <= t <= high + slack for t in found)


def test_scale_is_linear_and_stops_at_its_edges() -> None:
    """Known places: the ends, the middle, and beyond."""
    scale = Scale(0.0, 10.0, 100.0, 200.0)

    assert [scale.at(v) for v in (0, 5, 10, -3, 99)] == [100, 150, 200, 100, 200]


def test_empty_exhibits_are_drawn_without_a_fall() -> None:
    """No cells, no value: a frame and no error; no dots, no bars with a value: no picture."""
    nothing = (Dot(label="a", value=None),)

    assert charts.dots(Dots(title="t", dots=())) == ""
    assert charts.bars(Bars(title="t", bars=nothing)) == ""
    for svg in (
        charts.heatmap(Heatmap(title="t", rows=(), columns=(), values=())),
        charts.heatmap(Heatmap(title="t", rows=("r",), columns=("c",), values=((None,),))),
    ):
        ET.fromstring(svg)  # noqa: S314 - our own markup


def test_what_has_no_value_has_no_row_in_a_picture() -> None:
    """A hidden group is named beside the picture and stands in its table; an empty row would say nothing."""
    exhibit = Dots(title="t", dots=(Dot(label="seen", value=0.4, n=9), Dot(label="hidden", value=None)))
    shown = shown_exhibit(exhibit)

    assert "hidden" not in shown.svg
    assert shown.asides == ("Not measured: hidden.",)
    assert [row[0] for row in shown.rows] == ["seen", "hidden"]


def test_rows_that_are_the_same_for_all_are_said_once() -> None:
    """Thirty times ``n 1,989`` is one sentence; where one differs, each is written."""
    same = Bars(title="t", bars=tuple(Dot(label=name, value=0.4, n=1989) for name in "abc"))
    other = Bars(title="t", bars=(*same.bars, Dot(label="d", value=0.4, n=7)))

    assert "1,989" not in charts.bars(same)
    assert shown_exhibit(same).asides == ("Each rests on 1,989 rows.",)
    assert charts.bars(other).count("1,989") == 3
    assert shown_exhibit(other).asides == ()


@given(st.text(alphabet="ab ", min_size=1, max_size=200))
def test_words_of_an_axis_are_broken_and_not_cut(title: str) -> None:
    """Every word that is no longer than a line is whole, in its order, and no line is wider than the picture."""
    words = [word for word in title.split() if len(word) < 40]
    lines = shapes.axis_words(" ".join(words))

    assert " ".join(lines).split() == words
    assert all(len(line) * 6.6 <= shapes.WIDTH for line in lines)


def test_a_number_in_a_cell_fits_it_or_is_left_to_the_table() -> None:
    """Numbers that run into each other are read as one; the table beside has them in full."""
    rows = tuple(tuple(x * s for x in (0.0092, 1.23, 0.41, 5e-5)) for s in (1, -1))
    narrow = Heatmap(
        title="t", rows=("a", "b"), columns=tuple("abcdefghijkl"), values=tuple(3 * r for r in rows)
    )
    wide = Heatmap(title="t", rows=("a", "b"), columns=tuple("abcd"), values=rows)

    written = re.findall(r'class="in">([^<]*)<', charts.heatmap(narrow))
    assert written
    assert all(len(text) <= 4 for text in written)
    assert "-0.0092" in charts.heatmap(wide)


def test_long_label_is_cut_and_whole_in_its_title() -> None:
    """What does not fit is shortened; the whole of it is a tool tip, and Chinese counts double."""
    name = "很" * 60
    svg = charts.dots(Dots(title="t", dots=(Dot(label=name, value=1.0),)))

    assert f"<title>{name}</title>" in svg
    assert "…</text>" in svg


@pytest.mark.parametrize("name", made.HOSTILE, ids=range(len(made.HOSTILE)))
def test_hostile_label_leaves_a_picture_well_formed(name: str) -> None:
    """The SVG parses as XML, and holds no element or attribute that comes from a name."""
    svg = charts.dots(made.dots_of(name))
    found = list(ET.fromstring(svg).iter())  # noqa: S314 - our own markup
    elements = {e.tag for e in found}

    assert elements <= {"svg", "line", "text", "tspan", "circle", "title", "rect", "path", "g"}
    assert not [key for e in found for key in e.attrib if key.startswith("on") or key in {"style", "href"}]


@given(value=st.floats(0, 2), limit=st.sampled_from([0.05, 0.1, 0.8, 1.0]), largest=st.floats(0, 2))
def test_end_of_an_interval_never_looks_equal_to_a_limit_it_misses(
    value: float, limit: float, largest: float
) -> None:
    """Shortening for the eye stops where the page would lie."""
    text = digits.end(value, beside=limit, largest=largest)

    if abs(value - limit) > 1e-12:
        assert text.rstrip("0").rstrip(".") != number(limit)


def test_every_documented_metric_reads_aloud_with_its_labels() -> None:
    """No title has a brace left or says None, with all its labels or with none."""
    labels = dict.fromkeys(
        ("attribute", "group", "feature", "variant", "given", "check", "canary", "fpr"), "X"
    )
    for metric in phrases.KNOWN:
        if metric.rpartition(".")[2] in {"minimum_detectable_difference", "rows_needed"}:
            continue
        for where in ({}, labels):
            rule = made.Rule(metric=metric, where=where, at_most=0.5, because="x")
            title = phrases.rule_title(rule)

            assert "{" not in title
            assert "at most 0.5" in title
            assert title[0] == title[0].upper() or not title[0].isascii()
