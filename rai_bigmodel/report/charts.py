"""How is an exhibit drawn? As SVG in the page's own hand: data in, markup out, the same bytes every time.

Nothing here knows a colour or a font: shapes carry classes and the page's style sheet says the rest, so that
light, dark and print follow. `shapes` writes the markup and escapes every text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rai_bigmodel.evidence import Dots
from rai_bigmodel.files import visible
from rai_bigmodel.report.digits import even, interval_words
from rai_bigmodel.report.language import _, apart, counted, number, say
from rai_bigmodel.report.phrases import limit_words, named
from rai_bigmodel.report.scales import Scale, rounded, span, tick_text, ticks
from rai_bigmodel.report.shapes import (
    EDGE,
    WIDTH,
    axis,
    circle,
    cut,
    drawn,
    escaped,
    foot,
    grid,
    label,
    numbers,
    segment,
    short,
    svg,
    together,
    whisker,
    wide,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.evidence import Bars, Curve, Dot, Heatmap
    from rai_bigmodel.rules import Limit

MOST_ROWS = 60
MOST_LINES = 6

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
    scale = Scale(low, high, EDGE, width - EDGE)
    bound = scale.at(limit.value)
    begin, end = (scale.start, bound) if limit.at_most is not None else (bound, scale.stop)
    whole = short(scale.stop - scale.start)
    shapes = [f'<rect class="track" x="{short(scale.start)}" y="{y - 5}" width="{whole}" height="10"/>']
    shapes.append(
        f'<rect class="allowed" x="{short(begin)}" y="{y - 5}" width="{short(max(end - begin, 0.5))}" height="10"/>'
    )
    shapes.append(segment(bound, bound, y - 12, y + 11, "bound"))
    if interval is not None:
        shapes.append(whisker(scale, interval, y))
        if keep is not None:
            at = scale.at(keep)
            shapes.append(segment(at, at, y - 6, y + 6, "keep"))
    shapes.append(circle(scale.at(value), y, 5.5, "dot"))
    anchor = "start" if bound < 26 else "end" if bound > width - 26 else "middle"
    shapes.append(label(bound, y + 24, tick_text(limit.value), "tick", anchor))
    said = say(
        "{value}, {interval}; the limit is {limit}",
        value=number(value, beside=limit.value),
        interval=_range(interval),
        limit=limit_words(limit),
    )
    return svg("strip", width, height, said, shapes)


def _range(interval: tuple[float | None, float | None] | None) -> str:
    return _("no interval") if interval is None else say("interval {ends}", ends=interval_words(*interval))


# --- one function for each kind of exhibit ----------------------------------------------------


def dots(exhibit: Dots, *, limit: float | None = None) -> str:
    """Values with intervals on one axis, the name above each line, the number and its n at the right.

    What has no value has no place in the picture; nothing is drawn where none has one.

    Args:
        limit: a value that all of them were held against, as a line behind them.
    """
    shown = with_values(exhibit)[:MOST_ROWS]
    if not shown:
        return ""
    ends = (0.0, 1.0) if exhibit.unit == "share" else (None, None)
    every = [limit, *(v for d in shown for v in (d.value, d.low, d.high))]
    low, high = rounded(*span(every, least=ends[0], most=ends[1], pad=0.04))
    scale = Scale(low, high, EDGE, WIDTH - EDGE)
    step, top = 44, 12
    bottom = top + step * len(shown) + 2
    title = _axis_title(exhibit)
    shapes = axis(scale, top, bottom, title)
    shapes.append(
        grid([f"M{short(scale.start)} {top + step * i + 28}H{short(scale.stop)}" for i in range(len(shown))])
    )
    if limit is not None:
        shapes.append(segment(scale.at(limit), scale.at(limit), top, bottom, "bound"))
    counted_apart = same_rows(exhibit) is None
    for i, dot in enumerate(shown):
        y = top + step * i + 28
        shapes += _row(dot, y - 12, counted_apart=counted_apart)
        assert dot.value is not None
        if dot.low is not None or dot.high is not None:
            shapes.append(whisker(scale, (dot.low, dot.high), y))
        shapes.append(circle(scale.at(dot.value), y, 5.5, "dot"))
    return svg("chart", WIDTH, bottom + foot(title), _said(exhibit.title, shown), shapes)


def bars(exhibit: Bars) -> str:
    """Amounts from zero, the name above each bar."""
    shown = with_values(exhibit)[:MOST_ROWS]
    if not shown:
        return ""
    most = 1.0 if exhibit.unit == "share" else None
    every = [0.0, *(v for d in shown for v in (d.value, d.low, d.high))]
    low, high = span(every, least=0.0, most=most, pad=0.04)
    low, high = rounded(min(low, 0.0), max(high, 0.0))
    scale = Scale(low, high, EDGE, WIDTH - EDGE)
    step, top, zero = 42, 12, scale.at(0.0)
    bottom = top + step * len(shown) + 2
    title = _axis_title(exhibit)
    shapes = axis(scale, top, bottom, title)
    counted_apart = same_rows(exhibit) is None
    for i, bar in enumerate(shown):
        y = top + step * i + 27
        shapes += _row(bar, y - 12, counted_apart=counted_apart)
        assert bar.value is not None
        at = scale.at(bar.value)
        long = short(max(abs(at - zero), 0.5))
        shapes.append(
            f'<rect class="bar" x="{short(min(zero, at))}" y="{y - 5}" width="{long}" height="10"/>'
        )
        if bar.low is not None or bar.high is not None:
            shapes.append(whisker(scale, (bar.low, bar.high), y, "whisker thin"))
    if low < 0:
        shapes.append(segment(zero, zero, top, bottom, "zero"))
    return svg("chart", WIDTH, bottom + foot(title), _said(exhibit.title, shown), shapes)


def with_values(exhibit: Dots | Bars) -> list[Dot]:
    """The rows of an exhibit that have a value."""
    return [d for d in (exhibit.dots if isinstance(exhibit, Dots) else exhibit.bars) if d.value is not None]


def same_rows(exhibit: Dots | Bars) -> int | None:
    """The number of rows that all of several values rest on, where it is one for all."""
    counts = {d.n for d in with_values(exhibit)}
    return counts.pop() if len(counts) == 1 and len(with_values(exhibit)) > 2 else None


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
    lines = [f"M{short(across.start)} {short(down.at(t))}H{short(across.stop)}" for t in ticks(y_low, y_high)]
    shapes = [grid(lines)]
    upright = [(down.at(tick) + 4, tick_text(tick)) for tick in ticks(y_low, y_high)]
    begins = f'<text x="{left - 8}" y="'
    shapes.append(together([f'{begins}{short(y)}">{escaped(text)}</text>' for y, text in upright], "end"))
    shapes += numbers([(across.at(tick), down.start + 18, tick_text(tick)) for tick in ticks(x_low, x_high)])
    shapes.append(segment(across.start, across.stop, down.start, down.start, "zero"))
    if exhibit.y_axis:
        shapes.append(label(0, 12, exhibit.y_axis, "tick", "start", width=WIDTH))
    bottom = down.start + 24
    if exhibit.x_axis:
        bottom += 14
        shapes.append(label(across.stop, bottom, exhibit.x_axis, "tick", "end", width=WIDTH - left))
        bottom += 4
    if exhibit.diagonal:
        begin = f"{short(across.start)} {short(down.start)}"
        shapes.append(f'<path class="diagonal" d="M{begin}L{short(across.stop)} {short(down.stop)}"/>')
    if exhibit.mark is not None:
        at = across.at(exhibit.mark)
        shapes.append(segment(at, at, down.stop, down.start, "bound"))
        flip = at > WIDTH - 70
        shapes.append(
            label(
                at + (-5 if flip else 5),
                down.stop + 11,
                tick_text(exhibit.mark),
                "tick",
                "end" if flip else "start",
            )
        )
    for i, line in enumerate(shown):
        shapes.append(f'<path class="line s{i}" d="{drawn(line, across, down)}"/>')
    if len(shown) > 1 or shown[0].label:
        for i, line in enumerate(shown):
            bottom += 20
            shapes.append(f'<path class="line s{i}" d="M{left} {short(bottom - 4)}h26"/>')
            shapes.append(
                label(left + 34, bottom, named(line.label), "lab", "start", width=WIDTH - left - 40)
            )
    names = apart([named(line.label) for line in shown if line.label])
    title = prose_title(exhibit.title)
    said = say("{title}: {parts}", title=title, parts=names) if names else title
    return svg("chart", WIDTH, bottom + 8, said, shapes)


def heatmap(exhibit: Heatmap) -> str:
    """A grid of cells, the stronger the larger; two colours where there are values below zero."""
    if len(exhibit.rows) == 1:
        return words(exhibit)
    columns, rows = len(exhibit.columns), len(exhibit.rows)
    left = min(130.0, max([wide(named(r)) for r in exhibit.rows], default=0) * 7.6 + 14)
    upright = columns > 5
    top = min(96.0, max([wide(named(c)) for c in exhibit.columns], default=0) * 7.0 + 12) if upright else 24.0
    cell = (WIDTH - left) / max(columns, 1)
    tall = min(max(cell, 22.0), 34.0)
    largest = max((abs(v) for row in exhibit.values for v in row if v is not None), default=0.0)
    shapes = []
    for j, column in enumerate(exhibit.columns):
        x = left + cell * (j + 0.5)
        if upright:
            text = label(0, 0, named(column), "tick", "start", width=top - 8)
            shapes.append(f'<g transform="translate({short(x + 4)} {short(top - 6)}) rotate(-90)">{text}</g>')
        else:
            shapes.append(label(x, top - 8, named(column), "tick", "middle", width=cell - 4))
    for i, row in enumerate(exhibit.values):
        y = top + tall * i
        shapes.append(
            label(left - 8, y + tall / 2 + 4, named(exhibit.rows[i]), "lab", "end", width=left - 10)
        )
        for j, value in enumerate(row):
            shapes.append(_cell(value, left + cell * j, y, wide=cell, tall=tall, largest=largest))
    said = say(
        "{title}: {rows} rows, {columns} columns",
        title=prose_title(exhibit.title),
        rows=counted(rows),
        columns=counted(columns),
    )
    return svg("chart", WIDTH, top + tall * rows + 6, said, shapes)


def words(exhibit: Heatmap) -> str:
    """One row of a heat map as running text: each word on its colour, in lines as wide as the page."""
    (values,) = exhibit.values
    largest = max((abs(v) for v in values if v is not None), default=0.0)
    shapes, x, y, tall, gap = [], 0.0, 0.0, 24.0, 4.0
    for word, value in zip(exhibit.columns, values, strict=True):
        text = cut(visible(named(word)), 40)
        room = wide(text) * 7.0 + 10
        if x and x + room > WIDTH:
            x, y = 0.0, y + tall + gap
        shapes.append(_cell(value, x, y, wide=room, tall=tall, largest=largest, written=False))
        shapes.append(label(x + room / 2 - 1, y + 16, text, "in", "start"))
        x += room + gap
    few = [
        f"{named(word)} {_('not measured') if value is None else format(value, '+.2g')}"
        for word, value in zip(exhibit.columns[:MOST_ROWS], values, strict=False)
    ]
    said = _told(exhibit.title, few, len(exhibit.columns) - len(few))
    return svg("chart", WIDTH, y + tall + 6, said, shapes)


def _fitting(value: float, room: float) -> str:
    """A number in as many digits as a cell has room for; none where one digit would have no room."""
    shorter = f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.1f}"
    said = "0" if shorter in {".00", "-.00"} else shorter
    return next((text for text in (f"{value:.2g}", said) if 7.2 * len(text) <= room), "")


def _cell(
    value: float | None, x: float, y: float, *, wide: float, tall: float, largest: float, written: bool = True
) -> str:
    """One cell of a heat map; its number, where that is to be written and there is room for it."""
    gap = 2 if wide > 12 else 0.5
    at = f'x="{short(x)}" y="{short(y)}" width="{short(max(wide - gap, 0.5))}" height="{short(tall - gap)}"'
    if value is None:
        return f'<rect class="nothing" {at}/>'
    strength = abs(value / largest) if largest else 0.0
    out = f'<rect class="{"heat" if value >= 0 else "cold"}" {at} fill-opacity="{short(0.06 + 0.4 * strength, 2)}"/>'
    text = _fitting(value, wide - gap) if written else ""
    return out + (label(x + wide / 2, y + tall / 2 + 4, text, "in", "start") if text else "")


# --- the parts they share ----------------------------------------------------------------------


def _axis_title(exhibit: Dots | Bars) -> str:
    """The axis' own words; none where the title has said them."""
    return "" if exhibit.axis.lower() in exhibit.title.lower() else exhibit.axis


def _row(dot: Dot, y: float, *, counted_apart: bool) -> list[str]:
    value = "" if dot.value is None else even(dot.value)
    count = counted(dot.n) if dot.n is not None and counted_apart else ""
    n = f' <tspan class="tick">n {escaped(count)}</tspan>' if count else ""
    room = WIDTH - 2 * EDGE - 7.4 * (wide(value) + (len(count) + 3 if count else 0)) - 14
    return [
        label(EDGE, y, named(dot.label), "lab", "start", width=room),
        f'<text x="{short(WIDTH - EDGE)}" y="{short(y)}" class="lab value e">{escaped(value)}{n}</text>',
    ]


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
    few = [f"{named(d.label)} {number(d.value)}" for d in shown[:8]]
    return _told(title, few, len(shown) - len(few))


def _told(title: str, few: Sequence[str], more: int) -> str:
    """What a picture says to who cannot see it: its title, a few of its values, and how many more there are."""
    said = say("{title}: {parts}", title=prose_title(title), parts=apart(few))
    return say("{said} and {count} more", said=said, count=counted(more)) if more > 0 else said
