"""Of which shapes is a picture made? Lines, labels, axes and the frame around them, as SVG in few letters.

Shapes carry classes and no colour. Every text goes through `escaped`, and nothing from the data becomes a class, a
link or a style.
"""

from __future__ import annotations

import unicodedata
from html import escape
from typing import TYPE_CHECKING

from rai_bigmodel.files import visible
from rai_bigmodel.report.language import with_percent
from rai_bigmodel.report.patterns import Said
from rai_bigmodel.report.scales import tick_text, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.evidence import Line
    from rai_bigmodel.report.scales import Scale

WIDTH = 400
"""The width of a chart in its own units: about that of a phone, so that text is never shrunk there."""

EDGE = 8.0
_LETTER = 6.6


def axis(scale: Scale, top: float, bottom: float, title: str) -> list[str]:
    """The lines and numbers of a horizontal axis, and below them what it measures, in as many lines as it needs."""
    at = ticks(scale.low, scale.high)
    shapes = [grid([f"M{short(scale.at(tick))} {short(top)}V{short(bottom)}" for tick in at])]
    shapes += numbers([(scale.at(tick), bottom + 15, tick_text(tick)) for tick in at])
    for i, part in enumerate(axis_words(title)):
        shapes.append(label(scale.stop, bottom + 31 + 15 * i, part, "tick", "end"))
    return shapes


def numbers(places: Sequence[tuple[float, float, str]]) -> list[str]:
    """The numbers of an axis along its width; those at an edge begin or end there, and are not cut off by it."""
    parts: dict[str, list[str]] = {"start": [], "middle": [], "end": []}
    for x, y, text in places:
        anchor = "start" if x < 20 else "end" if x > WIDTH - 20 else "middle"
        parts[anchor].append(f'<text x="{short(x)}" y="{short(y)}">{escaped(text)}</text>')
    return [together(texts, anchor) for anchor, texts in parts.items() if texts]


def together(texts: Sequence[str], anchor: str) -> str:
    """Numbers of an axis in one group, which says for all of them how they are set."""
    kind = "tick" if anchor == "start" else f"tick {anchor[0]}"
    return f'<g class="{kind}">{"".join(texts)}</g>'


def axis_words(title: str) -> list[str]:
    """The words of an axis, broken where they are wider than a picture."""
    most = int((WIDTH - 2 * EDGE) / _LETTER)
    if isinstance(title, Said) or wide(title) <= most:
        return [title] if title else []
    lines = [""]
    for word in title.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if wide(longer) <= most else [*lines, word]
    return [cut(visible(line), most) for line in lines if line]


def foot(title: str) -> int:
    """How much room an axis takes below its lines."""
    return 22 + 16 * len(axis_words(title))


def whisker(
    scale: Scale, interval: tuple[float | None, float | None], y: float, kind: str = "whisker"
) -> str:
    """The interval as a line; a side without an end runs to the edge and has an arrow head there."""
    low, high = interval
    begin = scale.start if low is None else scale.at(low)
    end = scale.stop if high is None else scale.at(high)
    out = segment(begin, end, y, y, kind)
    if low is None:
        out += f'<path class="arrow" d="M{short(begin + 6)} {short(y - 5)}l-6 5l6 5"/>'
    if high is None:
        out += f'<path class="arrow" d="M{short(end - 6)} {short(y - 5)}l6 5l-6 5"/>'
    return out


def grid(lines: Sequence[str]) -> str:
    """All lines behind a picture as one shape."""
    return f'<path class="grid" d="{"".join(lines)}"/>'


def drawn(line: Line, across: Scale, down: Scale) -> str:
    """The line, without the points that would not move the pen."""
    out, last = [], ""
    every = max(1, -(-len(line.x) // 600))
    points = list(zip(line.x, line.y, strict=True))
    kept = points[::every] + ([points[-1]] if (len(points) - 1) % every else [])
    for x, y in kept:
        here = f"{short(across.at(x))} {short(down.at(y))}"
        if here != last:
            out.append(here)
        last = here
    return "M" + "L".join(out) if len(out) > 1 else f"M{out[0]}h0.01"


def svg(kind: str, width: float, height: float, said: str, shapes: Sequence[str]) -> str:
    """A picture: its shapes, and what it says to who cannot see it."""
    return (
        f'<svg class="{kind}" viewBox="0 0 {short(width)} {short(height)}" '
        f'role="img" aria-label="{escaped(said)}">{"".join(shapes)}</svg>'
    )


def label(x: float, y: float, text: str, kind: str, anchor: str, *, width: float = 1e9) -> str:
    """A text, cut to a width with the whole of it as its tool tip."""
    size = 7.4 if kind == "lab" else _LETTER
    whole = visible(text)
    said = cut(whole, int(width / size))
    kind += "" if anchor == "start" else f" {anchor[0]}"
    tip = f"<title>{escaped(whole)}</title>" if said != whole else ""
    side = ' lang="en"' if isinstance(text, Said) else ""
    return f'<text x="{short(x)}" y="{short(y)}" class="{kind}"{side}>{tip}{escaped(said)}</text>'


def cut(text: str, most: int) -> str:
    """A text of at most so many letters, with an ellipsis where it had more."""
    if wide(text) <= max(most, 2):
        return text
    out, used = "", 0
    for character in text:
        used += wide(character)
        if used > max(most, 2) - 1:
            break
        out += character
    return out.rstrip() + "…"


def wide(text: str) -> int:
    """About how many letters wide a text is: Chinese, Japanese and Korean characters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def segment(x1: float, x2: float, y1: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line class="{kind}" x1="{short(x1)}" x2="{short(x2)}" y1="{short(y1)}" y2="{short(y2)}"/>'


def circle(x: float, y: float, r: float, kind: str) -> str:
    """A dot."""
    return f'<circle class="{kind}" cx="{short(x)}" cy="{short(y)}" r="{short(r)}"/>'


def short(value: float, places: int = 1) -> str:
    """A coordinate: one digit after the point, no trailing zero, no minus zero."""
    text = f"{value:.{places}f}".rstrip("0").rstrip(".") if places else f"{value:.0f}"
    return "0" if text in {"-0", ""} else text


def escaped(text: str) -> str:
    """A text as it may stand in markup: hidden characters made visible, nothing in it a tag."""
    return escape(visible(with_percent(text)), quote=True)
