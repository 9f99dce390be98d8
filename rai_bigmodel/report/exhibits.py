"""How is each exhibit set before a reader: its picture, and the same as a table?"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.evidence import Bars, Curve, Dot, Dots, Exhibit, Heatmap, Picture, Table
from rai_bigmodel.report import charts
from rai_bigmodel.report.digits import even
from rai_bigmodel.report.language import SOURCE, _, apart, counted, current, rows_said, say, spoken
from rai_bigmodel.report.patterns import Said
from rai_bigmodel.report.phrases import named, prose

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_POINTS = 11
_LONG = 18
_WIDE = 56


class ShownExhibit(NamedTuple):
    """One exhibit: `svg` is markup of ours or empty; `source` is a PNG as a data address or empty.

    ``asides`` are said below the caption; ``texts`` are the columns, from 1, that hold prose and no numbers.
    """

    title: str
    caption: str
    svg: str
    source: str
    alt: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    asides: tuple[str, ...]
    texts: tuple[int, ...]

    @property
    def wide(self) -> bool:
        """Whether it is a table that needs the width of the page; heads break between words, cells rarely do."""
        heads = [max(map(len, head.split() or [""])) for head in self.columns]
        cells = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        return not self.svg and sum(map(max, zip(heads, cells, strict=False))) > _WIDE


def shown_exhibit(exhibit: Exhibit) -> ShownExhibit:
    """An exhibit as the page has it."""
    exhibit = _translated(exhibit)
    svg = source = alt = ""
    asides: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    match exhibit:
        case Dots():
            svg, (columns, rows) = charts.dots(exhibit), _amounts(exhibit.dots)
            asides = tuple(_beside(exhibit, exhibit.dots))
        case Bars():
            svg, (columns, rows) = charts.bars(exhibit), _amounts(exhibit.bars)
            asides = tuple(_beside(exhibit, exhibit.bars))
        case Curve():
            svg, (columns, rows) = charts.curve(exhibit), _points(exhibit)
            asides = _cut(len(exhibit.lines), charts.MOST_LINES)
        case Heatmap():
            svg = charts.heatmap(exhibit)
            columns, rows = _grid(exhibit)
        case Table():
            columns = tuple(c if isinstance(c, Said) else prose(c) for c in exhibit.columns)
            rows = tuple(
                tuple(_said(x) if i == 0 or x != "" else "–" for i, x in enumerate(row))
                for row in exhibit.rows
            )
        case Picture():
            source = "data:image/png;base64," + base64.b64encode(exhibit.png).decode("ascii")
            alt = exhibit.alt
    texts = tuple(i for i, column in enumerate(zip(*rows, strict=True), 1) if i > 1 and _is_prose(column))
    return ShownExhibit(exhibit.title, exhibit.caption, svg, source, alt, columns, rows, asides, texts)


def _is_prose(column: Sequence[str]) -> bool:
    """Whether a column holds sentences, which are read from the left, and no numbers or single words."""
    return any(" " in cell and len(cell) > _LONG for cell in column)


def _beside(exhibit: Dots | Bars, dots: Sequence[Dot]) -> Iterable[str]:
    """What a picture of amounts leaves out: rows that are the same for all, what has no number, what is too much."""
    shown = charts.with_values(exhibit)
    if (rows := charts.same_rows(exhibit)) is not None:
        yield say("Each rests on {rows}.", rows=rows_said(rows))
    if shown and len(shown) < len(dots):
        yield say("Not measured: {names}.", names=apart([named(d.label) for d in dots if d.value is None]))
    yield from _cut(len(shown), charts.MOST_ROWS)


_SENTENCES = ("title", "caption", "axis", "x_axis", "y_axis", "alt")


def _translated(exhibit: Exhibit) -> Exhibit:
    """The exhibit with its words in the language of the page; what only looks like a word is a name and stays."""
    from msgspec.structs import replace

    words: dict[str, object] = {
        name: spoken(prose(getattr(exhibit, name))) for name in _SENTENCES if hasattr(exhibit, name)
    }
    if current().name == SOURCE:
        return replace(exhibit, **words)
    match exhibit:
        case Dots():
            words["dots"] = tuple(replace(d, label=_label(d.label)) for d in exhibit.dots)
        case Bars():
            words["bars"] = tuple(replace(d, label=_label(d.label)) for d in exhibit.bars)
        case Curve():
            words["lines"] = tuple(replace(x, label=_label(x.label)) for x in exhibit.lines)
        case Heatmap():
            words |= {k: tuple(map(_label, getattr(exhibit, k))) for k in ("columns", "rows")}
        case Table():
            words["columns"] = tuple(map(_label, exhibit.columns))
            words["rows"] = tuple(
                tuple(spoken(prose(x)) if isinstance(x, str) else x for x in row) for row in exhibit.rows
            )
    return replace(exhibit, **words)


def _label(text: str) -> str:
    """A short text of an exhibit; a name of the data is left alone, with the blanks it may have."""
    return spoken(text) if text.strip() == text else text


def _grid(exhibit: Heatmap) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """A heat map as a table; one row of it as two columns, because many words are no heads of columns."""
    if len(exhibit.rows) == 1:
        (values,) = exhibit.values
        head = (named(exhibit.rows[0]), "Value")
        return head, tuple((named(c), _said(v)) for c, v in zip(exhibit.columns, values, strict=True))
    return ("", *(named(c) for c in exhibit.columns)), tuple(
        (named(head), *(_said(v) for v in values))
        for head, values in zip(exhibit.rows, exhibit.values, strict=True)
    )


def _said(cell: str | float | None) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell if isinstance(cell, Said) else named(cell)
    return counted(cell) if isinstance(cell, int) else even(cell)


def _cut(count: int, most: int) -> tuple[str, ...]:
    if count <= most:
        return ()
    return (
        say(
            "The picture shows the first {most} of {count}; the table has them all.",
            most=counted(most),
            count=counted(count),
        ),
    )


def _amounts(dots: Sequence[Dot]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Names, values, and the columns that hold anything at all."""
    interval = any(d.low is not None or d.high is not None for d in dots)
    numbered = any(d.n is not None for d in dots)
    columns = (
        _("Name"),
        _("Value"),
        *((_("From"), _("To")) if interval else ()),
        *((_("Rows"),) if numbered else ()),
    )
    rows = tuple(
        (
            named(d.label),
            _("not measured") if d.value is None else even(d.value),
            *((_said(d.low), _said(d.high)) if interval else ()),
            *((_said(d.n),) if numbered else ()),
        )
        for d in dots
    )
    return columns, rows


def _points(exhibit: Curve) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Some points of each line; all of them are in the evidence."""
    lines = exhibit.lines
    x_name, y_name = exhibit.x_axis or "x", exhibit.y_axis or "y"
    if all(line.x == lines[0].x for line in lines):
        kept = _some(len(lines[0].x))
        names = tuple(named(line.label) if line.label else y_name for line in lines)
        return (x_name, *names), tuple((even(lines[0].x[i]), *(even(q.y[i]) for q in lines)) for i in kept)
    rows = tuple(
        (named(line.label), even(line.x[i]), even(line.y[i])) for line in lines for i in _some(len(line.x))
    )
    return (_("Line"), x_name, y_name), rows


def _some(count: int) -> list[int]:
    if count <= MOST_POINTS:
        return list(range(count))
    return sorted({round(i * (count - 1) / (MOST_POINTS - 1)) for i in range(MOST_POINTS)})
