"""How is an exhibit drawn? As SVG in the page's own hand: data in, markup out, the same bytes every time.

Nothing here knows a colour or a font: shapes carry classes and the page's style sheet says the rest, so that
light, dark and print follow. Every text goes through `_escaped`, and nothing from the data becomes a class,
a link or a style.
"""

from __future__ import annotations

import unicodedata
from html import escape
from typing import TYPE_CHECKING

from rai_bigmodel.files import visible
from rai_bigmodel.report.digits import even, interval_words
from rai_bigmodel.report.language import _, apart, counted, number, say
from rai_bigmodel.report.patterns import Said
from rai_bigmodel.report.phrases import limit_words, named
from rai_bigmodel.report.scales import Scale, rounded, span, tick_text, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.evidence import Bars, Curve, Dot, Dots, Heatmap, Line
    from rai_bigmodel.rules import Limit

WIDTH = 400
"""The width of a chart in its own units: about that of a phone, so that text is never shrunk there."""

MOST_ROWS = 60
MOST_LINES = 6
_EDGE = 8.0

# --- a measurement against its limit ----------------------------------------------------------


def strip(
    limit: Limit,
    *,
    value: float,
    interval: tuple[float | None, float | None] | None,
    keep: float | None,
    ends: tuple[float | None, float | None] = (None, None),
) -> str:
    """One number, its interval, the bound that can prove a pass, and the band that the limit allows.

    Args:
        interval: the two-sided ends; ``None`` as an end is unbounded, ``None`` as a whole is no interval.
        keep: the one-sided bound on the side of the limit.
        ends: the least and the most that the metric can be.
    """
    width, height, y = 240, 44, 18
    least, most = ends
    seen = [value, limit.value, keep, *(interval or ())]
    low, high = span(seen, least=least, most=most, pad=0.14)
    if limit.at_most is not None and least is not None and min(v for v in seen if v is not None) >= least:
        low = least
    if limit.at_least is not None and most is not None and max(v for v in seen if v is not None) <= most:
        high = most
    scale = Scale(low, high, _EDGE, width - _EDGE)
    bound = scale.at(limit.value)
    begin, end = (scale.start, bound) if limit.at_most is not None else (bound, scale.stop)
    shapes = [
        f'<rect class="track" x="{_n(scale.start)}" y="{y - 5}" width="{_n(scale.stop - scale.start)}" height="10"/>'
    ]
    shapes.append(
        f'<rect class="allowed" x="{_n(begin)}" y="{y - 5}" width="{_n(max(end - begin, 0.5))}" height="10"/>'
    )
    shapes.append(_line(bound, bound, y - 12, y + 11, "bound"))
    if interval is not None:
        shapes.append(_whisker(scale, interval, y))
        if keep is not None:
            at = scale.at(keep)
            shapes.append(_line(at, at, y - 6, y + 6, "keep"))
    shapes.append(_circle(scale.at(value), y, 5.5, "dot"))
    anchor = "start" if bound < 26 else "end" if bound > width - 26 else "middle"
    shapes.append(_label(bound, y + 24, tick_text(limit.value), "tick", anchor))
    said = say(
        "{value}, {interval}; the limit is {limit}",
        value=number(value, beside=limit.value),
        interval=_range(interval),
        limit=limit_words(limit),
    )
    return _svg("strip", width, height, said, shapes)


def _range(interval: tuple[float | None, float | None] | None) -> str:
    return _("no interval") if interval is None else say("interval {ends}", ends=interval_words(*interval))


def _whisker(scale: Scale, interval: tuple[float | None, float | None], y: float) -> str:
    """The interval as a line; a side without an end runs to the edge and has an arrow head there."""
    low, high = interval
    begin = scale.start if low is None else scale.at(low)
    end = scale.stop if high is None else scale.at(high)
    out = _line(begin, end, y, y, "whisker")
    if low is None:
        out += f'<path class="arrow" d="M{_n(begin + 6)} {_n(y - 5)}L{_n(begin)} {_n(y)}L{_n(begin + 6)} {_n(y + 5)}"/>'
    if high is None:
        out += f'<path class="arrow" d="M{_n(end - 6)} {_n(y - 5)}L{_n(end)} {_n(y)}L{_n(end - 6)} {_n(y + 5)}"/>'
    return out


# --- one function for each kind of exhibit ----------------------------------------------------


def dots(exhibit: Dots) -> str:
    """Values with intervals on one axis, the name above each line, the number and its n at the right."""
    shown = exhibit.dots[:MOST_ROWS]
    ends = (0.0, 1.0) if exhibit.unit == "share" else (None, None)
    every = [v for d in shown for v in (d.value, d.low, d.high)]
    low, high = rounded(*span(every, least=ends[0], most=ends[1], pad=0.04))
    scale = Scale(low, high, _EDGE, WIDTH - _EDGE)
    step, top = 44, 12
    bottom = top + step * len(shown) + 2
    axis = _axis_title(exhibit)
    shapes = _axis(scale, top, bottom, axis)
    shapes.append(
        _grid([f"M{_n(scale.start)} {top + step * i + 28}H{_n(scale.stop)}" for i in range(len(shown))])
    )
    for i, dot in enumerate(shown):
        y = top + step * i + 28
        shapes += _row(dot, y - 12)
        if dot.value is None:
            continue
        if dot.low is not None or dot.high is not None:
            shapes.append(_whisker(scale, (dot.low, dot.high), y))
        shapes.append(_circle(scale.at(dot.value), y, 5.5, "dot"))
    return _svg("chart", WIDTH, bottom + _foot(axis), _said(exhibit.title, shown), shapes)


def bars(exhibit: Bars) -> str:
    """Amounts from zero, the name above each bar."""
    shown = exhibit.bars[:MOST_ROWS]
    most = 1.0 if exhibit.unit == "share" else None
    every = [0.0, *(v for d in shown for v in (d.value, d.low, d.high))]
    low, high = span(every, least=0.0, most=most, pad=0.04)
    low, high = rounded(min(low, 0.0), max(high, 0.0))
    scale = Scale(low, high, _EDGE, WIDTH - _EDGE)
    step, top, zero = 42, 12, scale.at(0.0)
    bottom = top + step * len(shown) + 2
    axis = _axis_title(exhibit)
    shapes = _axis(scale, top, bottom, axis)
    for i, bar in enumerate(shown):
        y = top + step * i + 27
        shapes += _row(bar, y - 12)
        if bar.value is None:
            continue
        at = scale.at(bar.value)
        long = _n(max(abs(at - zero), 0.5))
        shapes.append(f'<rect class="bar" x="{_n(min(zero, at))}" y="{y - 5}" width="{long}" height="10"/>')
        if bar.low is not None or bar.high is not None:
            shapes.append(_whisker(scale, (bar.low, bar.high), y).replace('"whisker"', '"whisker thin"'))
    if low < 0:
        shapes.append(_line(zero, zero, top, bottom, "zero"))
    return _svg("chart", WIDTH, bottom + _foot(axis), _said(exhibit.title, shown), shapes)


def curve(exhibit: Curve) -> str:
    """Lines over a common axis, with a legend below."""
    shown = exhibit.lines[:MOST_LINES]
    xs = [v for line in shown for v in line.x] + ([exhibit.mark] if exhibit.mark is not None else [])
    ys = [v for line in shown for v in line.y]
    x_low, x_high = _whole(xs)
    y_low, y_high = _whole(ys)
    if exhibit.diagonal:
        x_low = y_low = min(x_low, y_low)
        x_high = y_high = max(x_high, y_high)
    left, top, plot = 46, 26 if exhibit.y_axis else 12, 230
    across, down = Scale(x_low, x_high, left, WIDTH - 12), Scale(y_low, y_high, top + plot, top)
    lines = [f"M{_n(across.start)} {_n(down.at(t))}H{_n(across.stop)}" for t in ticks(y_low, y_high)]
    shapes = [_grid(lines)]
    for tick in ticks(y_low, y_high):
        y = down.at(tick)
        shapes.append(_label(left - 8, y + 4, tick_text(tick), "tick", "end"))
    shapes += [
        _label(across.at(tick), down.start + 18, tick_text(tick), "tick", "middle")
        for tick in ticks(x_low, x_high)
    ]
    shapes.append(_line(across.start, across.stop, down.start, down.start, "zero"))
    if exhibit.y_axis:
        shapes.append(_label(0, 12, exhibit.y_axis, "tick", "start", width=WIDTH))
    bottom = down.start + 24
    if exhibit.x_axis:
        bottom += 14
        shapes.append(_label(across.stop, bottom, exhibit.x_axis, "tick", "end", width=WIDTH - left))
        bottom += 4
    if exhibit.diagonal:
        shapes.append(
            f'<path class="diagonal" d="M{_n(across.start)} {_n(down.start)}L{_n(across.stop)} {_n(down.stop)}"/>'
        )
    if exhibit.mark is not None:
        at = across.at(exhibit.mark)
        shapes.append(_line(at, at, down.stop, down.start, "bound"))
        flip = at > WIDTH - 70
        shapes.append(
            _label(
                at + (-5 if flip else 5),
                down.stop + 11,
                tick_text(exhibit.mark),
                "tick",
                "end" if flip else "start",
            )
        )
    for i, line in enumerate(shown):
        shapes.append(f'<path class="line s{i}" d="{_path(line, across, down)}"/>')
    if len(shown) > 1 or shown[0].label:
        for i, line in enumerate(shown):
            bottom += 20
            shapes.append(f'<path class="line s{i}" d="M{left} {_n(bottom - 4)}h26"/>')
            shapes.append(
                _label(left + 34, bottom, named(line.label), "lab", "start", width=WIDTH - left - 40)
            )
    names = apart([named(line.label) for line in shown if line.label])
    title = prose_title(exhibit.title)
    said = say("{title}: {parts}", title=title, parts=names) if names else title
    return _svg("chart", WIDTH, bottom + 8, said, shapes)


def heatmap(exhibit: Heatmap) -> str:
    """A grid of cells, the stronger the larger; two colours where there are values below zero."""
    if len(exhibit.rows) == 1:
        return words(exhibit)
    columns, rows = len(exhibit.columns), len(exhibit.rows)
    left = min(130.0, max([_wide(named(r)) for r in exhibit.rows], default=0) * 7.6 + 14)
    upright = columns > 5
    top = (
        min(96.0, max([_wide(named(c)) for c in exhibit.columns], default=0) * 7.0 + 12) if upright else 24.0
    )
    cell = (WIDTH - left) / max(columns, 1)
    tall = min(max(cell, 22.0), 34.0)
    largest = max((abs(v) for row in exhibit.values for v in row if v is not None), default=0.0)
    shapes = []
    for j, column in enumerate(exhibit.columns):
        x = left + cell * (j + 0.5)
        if upright:
            text = _label(0, 0, named(column), "tick", "start", width=top - 8)
            shapes.append(f'<g transform="translate({_n(x + 4)} {_n(top - 6)}) rotate(-90)">{text}</g>')
        else:
            shapes.append(_label(x, top - 8, named(column), "tick", "middle", width=cell - 4))
    for i, row in enumerate(exhibit.values):
        y = top + tall * i
        shapes.append(
            _label(left - 8, y + tall / 2 + 4, named(exhibit.rows[i]), "lab", "end", width=left - 10)
        )
        for j, value in enumerate(row):
            shapes.append(_cell(value, left + cell * j, y, wide=cell, tall=tall, largest=largest))
    said = say(
        "{title}: {rows} rows, {columns} columns",
        title=prose_title(exhibit.title),
        rows=counted(rows),
        columns=counted(columns),
    )
    return _svg("chart", WIDTH, top + tall * rows + 6, said, shapes)


def words(exhibit: Heatmap) -> str:
    """One row of a heat map as running text: each word on its colour, in lines as wide as the page."""
    (values,) = exhibit.values
    largest = max((abs(v) for v in values if v is not None), default=0.0)
    shapes, x, y, tall, gap = [], 0.0, 0.0, 24.0, 4.0
    for word, value in zip(exhibit.columns, values, strict=True):
        text = _cut(visible(named(word)), 40)
        wide = _wide(text) * 7.0 + 10
        if x and x + wide > WIDTH:
            x, y = 0.0, y + tall + gap
        shapes.append(_cell(value, x, y, wide=wide, tall=tall, largest=largest, written=False))
        shapes.append(_label(x + wide / 2 - 1, y + 16, text, "in", "start"))
        x += wide + gap
    spoken = ", ".join(
        f"{named(w)} {'not measured' if v is None else format(v, '+.2g')}"
        for w, v in zip(exhibit.columns[:MOST_ROWS], values, strict=False)
    )
    more = len(exhibit.columns) - MOST_ROWS
    said = f"{prose_title(exhibit.title)}: {spoken}{f' and {more} more' if more > 0 else ''}"
    return _svg("chart", WIDTH, y + tall + 6, said, shapes)


def _cell(
    value: float | None, x: float, y: float, *, wide: float, tall: float, largest: float, written: bool = True
) -> str:
    """One cell of a heat map; its number, where that is to be written and there is room for it."""
    gap = 2 if wide > 12 else 0.5
    at = f'x="{_n(x)}" y="{_n(y)}" width="{_n(max(wide - gap, 0.5))}" height="{_n(tall - gap)}"'
    if value is None:
        return f'<rect class="nothing" {at}/>'
    strength = abs(value / largest) if largest else 0.0
    out = f'<rect class="{"heat" if value >= 0 else "cold"}" {at} fill-opacity="{_n(0.06 + 0.4 * strength, 2)}"/>'
    text = f"{value:.2g}" if written and wide > 30 else ""
    return out + (_label(x + wide / 2, y + tall / 2 + 4, text, "in", "start") if text else "")


# --- the parts they share ----------------------------------------------------------------------


def _axis(scale: Scale, top: float, bottom: float, title: str) -> list[str]:
    lines = [f"M{_n(scale.at(tick))} {_n(top)}V{_n(bottom)}" for tick in ticks(scale.low, scale.high)]
    shapes = [_grid(lines)]
    for tick in ticks(scale.low, scale.high):
        x = scale.at(tick)
        anchor = "start" if x < 20 else "end" if x > WIDTH - 20 else "middle"
        shapes.append(_label(x, bottom + 15, tick_text(tick), "tick", anchor))
    if title:
        shapes.append(_label(scale.stop, bottom + 31, title, "tick", "end", width=WIDTH - 16))
    return shapes


def _grid(lines: Sequence[str]) -> str:
    """All lines behind a picture as one shape."""
    return f'<path class="grid" d="{"".join(lines)}"/>'


def _axis_title(exhibit: Dots | Bars) -> str:
    """The axis' own words; none where the title has said them."""
    return "" if exhibit.axis.lower() in exhibit.title.lower() else exhibit.axis


def _foot(axis: str) -> int:
    return 38 if axis else 22


def _row(dot: Dot, y: float) -> list[str]:
    value = _("not measured") if dot.value is None else even(dot.value)
    count = "" if dot.n is None else counted(dot.n)
    n = f' <tspan class="tick">n {_escaped(count)}</tspan>' if count else ""
    room = WIDTH - 2 * _EDGE - 7.4 * (_wide(value) + (len(count) + 3 if count else 0)) - 14
    return [
        _label(_EDGE, y, named(dot.label), "lab", "start", width=room),
        f'<text x="{_n(WIDTH - _EDGE)}" y="{_n(y)}" class="lab value e">{_escaped(value)}{n}</text>',
    ]


def _path(line: Line, across: Scale, down: Scale) -> str:
    """The line, without the points that would not move the pen."""
    out, last = [], ""
    every = max(1, -(-len(line.x) // 600))
    points = list(zip(line.x, line.y, strict=True))
    kept = points[::every] + ([points[-1]] if (len(points) - 1) % every else [])
    for x, y in kept:
        here = f"{_n(across.at(x))} {_n(down.at(y))}"
        if here != last:
            out.append(here)
        last = here
    return "M" + "L".join(out) if len(out) > 1 else f"M{out[0]}h0.01"


def _whole(values: Sequence[float]) -> tuple[float, float]:
    """From 0 to 1 where the values fill a good part of it, else a round range around them."""
    low, high = min(values), max(values)
    if low >= 0 and high <= 1 and high - low > 0.4:
        return 0.0, 1.0
    return rounded(*span(values, pad=0.02, least=0.0 if low >= 0 else None))


def prose_title(title: str) -> str:
    """A title as it is read aloud, without its full stop."""
    return visible(title).rstrip(".")


def _said(title: str, shown: Sequence[Dot]) -> str:
    few = [f"{named(d.label)} {_('not measured') if d.value is None else number(d.value)}" for d in shown[:8]]
    said = say("{title}: {parts}", title=prose_title(title), parts=apart(few))
    return (
        say("{said} and {count} more", said=said, count=counted(len(shown) - 8)) if len(shown) > 8 else said
    )


def _svg(kind: str, width: float, height: float, said: str, shapes: Sequence[str]) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {_n(width)} {_n(height)}" '
        f'role="img" aria-label="{_escaped(said)}">{"".join(shapes)}</svg>'
    )


def _label(x: float, y: float, text: str, kind: str, anchor: str, *, width: float = 1e9) -> str:
    """A text, cut to a width with the whole of it as its tool tip."""
    size = 7.4 if kind == "lab" else 6.6
    whole = visible(text)
    cut = _cut(whole, int(width / size))
    kind += "" if anchor == "start" else f" {anchor[0]}"
    side = ""
    tip = f"<title>{_escaped(whole)}</title>" if cut != whole else ""
    side += ' lang="en"' if isinstance(text, Said) else ""
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{kind}"{side}>{tip}{_escaped(cut)}</text>'


def _cut(text: str, most: int) -> str:
    if _wide(text) <= max(most, 2):
        return text
    out, used = "", 0
    for character in text:
        used += _wide(character)
        if used > max(most, 2) - 1:
            break
        out += character
    return out.rstrip() + "…"


def _wide(text: str) -> int:
    """About how many letters wide a text is: Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _line(x1: float, x2: float, y1: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_n(x1)}" x2="{_n(x2)}" y1="{_n(y1)}" y2="{_n(y2)}"/>'


def _circle(x: float, y: float, r: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(r)}"/>'


def _n(value: float, places: int = 1) -> str:
    """A coordinate: one digit after the point, no trailing zero, no minus zero."""
    text = f"{value:.{places}f}".rstrip("0").rstrip(".") if places else f"{value:.0f}"
    return "0" if text in {"-0", ""} else text


def _escaped(text: str) -> str:
    return escape(visible(text), quote=True)
