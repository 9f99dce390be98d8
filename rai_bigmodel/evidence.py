"""What does an audit leave behind? Records of plain numbers and words: the waist of the hourglass.

Left of these types is anything that can measure; right of them, anything that reads. None holds a
model, an array or a line of HTML. What is written to disk is the canonical JSON of these records.
"""

from __future__ import annotations

import math
import re
from operator import ge, le
from typing import Any, Literal, dataclass_transform

import msgspec

FORMAT = 1

LADDER = (0.2, 0.1, 0.05, 0.025, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001, 0.00005)
"""The error rates at which every interval is kept, so that the gate computes no statistics."""

BASELINE = "baseline"
"""The role of the model that runs today, and the label ``against`` of what changed since."""

_METRIC = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")

Kind = Literal["estimate", "bound", "exact", "p_value", "clock"]


# So that a type checker knows: heirs are frozen too.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record that refuses unknown fields and numbers that are not finite."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value.__class__ not in _WORDS:
                _finite(value, name)


_WORDS = frozenset({str, int, bool, type(None)})
"""What is always finite."""


def _finite(value: Any, name: str) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = f"{name} must be a finite number or null, got {value}"
            raise ValueError(msg)
    elif isinstance(value, tuple | list):
        for item in value:
            # Told apart here, because a dossier holds tens of thousands of rungs and the gate reads them all.
            if item.__class__ in _WORDS or (item.__class__ is float and math.isfinite(item)):
                continue
            _finite(item, name)
    elif isinstance(value, dict):
        for key, item in value.items():
            _finite(item, f"{name}.{key}")


# --- who and what was measured -----------------------------------------------------------------


class Decision(Record):
    """How a score becomes a decision; part of the subject's identity.

    ``threshold``: the positive label is given at a score of ``threshold`` or more.
    ``argmax``: the label with the largest score is given.
    """

    kind: Literal["threshold", "argmax"]
    threshold: float | None
    positive: str
    labels: tuple[str, ...]


class SubjectId(Record):
    """Which artefact: its name, kind, digest, role, and how it decides."""

    name: str
    kind: str
    digest: str
    role: str = "primary"
    decision: Decision | None = None


class DataId(Record):
    """Which rows."""

    name: str
    digest: str
    rows: int


# --- a number with its uncertainty -------------------------------------------------------------

Rung = tuple[float, float | None, float | None, float | None, float | None]


class Interval(Record):
    """A two-sided interval at `level`, and the same at every rung of the ladder.

    A rung is ``(α, low, high, keep_low, keep_high)``: the two-sided 1−α interval, simultaneous over
    whatever was maximised, and the one-sided 1−α bounds that can prove "at least" and "at most".
    ``None`` is an unbounded side. Intervals of one measurement are nested.
    """

    low: float | None
    high: float | None
    level: float
    method: str
    ladder: tuple[Rung, ...] = ()

    def __post_init__(self) -> None:
        if self._plain():
            return
        super().__post_init__()
        if not 0 < self.level < 1:
            msg = f"level must lie between 0 and 1, got {self.level}"
            raise ValueError(msg)
        alphas = tuple(rung[0] for rung in self.ladder)
        if alphas != LADDER and (
            any(a not in LADDER for a in alphas) or tuple(sorted(set(alphas), reverse=True)) != alphas
        ):
            msg = f"ladder must go down the rungs {LADDER}, got {list(alphas)}"
            raise ValueError(msg)
        shown = (_alpha(self.level), self.low, self.high)
        _nested(sorted([shown, *(rung[:3] for rung in self.ladder)], key=lambda row: -row[0]))
        _nested([(rung[0], rung[3], rung[4]) for rung in self.ladder], ordered=False)

    def _plain(self) -> bool:
        """Whether a quick look shows a whole ladder of numbers, each inside the next, and the level's among them."""
        if len(self.ladder) != len(LADDER) or not 0 < self.level < 1:
            return False
        alphas, *ends = zip(*self.ladder, strict=True)
        if alphas != LADDER or any(None in end for end in ends):
            return False
        low, high, keep_low, keep_high = ends
        at = alphas.index(_alpha(self.level)) if _alpha(self.level) in LADDER else -1
        # A sum is finite only where every part of it is, and one look at it is quicker than one at each.
        return (
            at >= 0
            and math.isfinite(sum(map(sum, ends)))
            and (self.low, self.high) == (low[at], high[at])
            and low[0] <= high[0]
            and all(map(ge, low, low[1:]))
            and all(map(le, high, high[1:]))
            and all(map(ge, keep_low, keep_low[1:]))
            and all(map(le, keep_high, keep_high[1:]))
        )

    def rung(self, alpha: float) -> Rung | None:
        """The rung at exactly this α, if it is there."""
        return next((r for r in self.ladder if r[0] == alpha), None)


def _alpha(level: float) -> float:
    return next((a for a in LADDER if abs(1 - level - a) < 1e-9), 1 - level)


def _nested(rows: list[tuple[float, float | None, float | None]], *, ordered: bool = True) -> None:
    """Refuse intervals ``(α, low, high)`` of falling α that are not each inside the next.

    Args:
        ordered: whether a low must not be above its high (two one-sided bounds may cross).
    """
    before, lowest, highest = 1.0, math.inf, -math.inf
    for alpha, low, high in rows:
        down = -math.inf if low is None else low
        up = math.inf if high is None else high
        if ordered and down > up:
            msg = f"an interval's low must not be above its high, got {low} and {high}"
            raise ValueError(msg)
        if not ((down <= lowest and up >= highest) or (_at_most(down, lowest) and _at_most(-up, -highest))):
            msg = f"intervals must be nested, but the one at α = {alpha} is narrower than at α = {before}"
            raise ValueError(msg)
        if alpha == before and not (_at_most(lowest, down) and _at_most(-highest, -up)):
            msg = f"the interval and the rung at α = {alpha} differ"
            raise ValueError(msg)
        before, lowest, highest = alpha, down, up


def _at_most(x: float, y: float) -> bool:
    """Whether x ≤ y, up to rounding; infinities are exact."""
    return x <= y or (math.isfinite(y) and x <= y + 1e-12 * max(1.0, abs(y)))


class Measurement(Record):
    """One number about one thing, or the reason why there is none.

    Args:
        metric: ``audit.name``, as listed in the documentation.
        kind: how a limit is held against it. ``estimate``: by its ladder. ``bound``: the same, one side
            unbounded. ``exact``: by its value. ``p_value``: only where a rule says so. ``clock``: a time.
        n: the rows it rests on.
        labels: what it is about (``attribute``, ``group``, ``variant`` …).
        excluded: the share of the metric's rows left out of it.
        origin: ``declared`` for a claim that nobody measured.
        why: why `value` is ``None``, or a caveat.
    """

    metric: str
    kind: Kind
    value: float | None
    n: int | None = None
    excluded: float = 0.0
    labels: dict[str, str] = {}
    origin: Literal["measured", "declared"] = "measured"
    why: str = ""
    interval: Interval | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _METRIC.fullmatch(self.metric):
            msg = f"metric must read audit.name in lower case, got {self.metric!r}"
            raise ValueError(msg)
        if self.value is None and not self.why:
            msg = f"{self.metric}: a value of null needs a why"
            raise ValueError(msg)
        if not 0 <= self.excluded <= 1:
            msg = f"{self.metric}: excluded is a share, got {self.excluded}"
            raise ValueError(msg)
        if self.n is not None and self.n < 0:
            msg = f"{self.metric}: n must not be negative, got {self.n}"
            raise ValueError(msg)
        if self.interval is None:
            return
        if self.kind in {"exact", "p_value"}:
            msg = f"{self.metric}: kind {self.kind} carries no interval"
            raise ValueError(msg)
        if self.kind == "bound" and not any(
            all(rung[i] is None and rung[i + 2] is None for rung in self.interval.ladder)
            and (self.interval.low, self.interval.high)[i - 1] is None
            for i in (1, 2)
        ):
            msg = f"{self.metric}: a bound has one side null everywhere"
            raise ValueError(msg)


# --- exhibits: the data of a picture, never the picture ---------------------------------------


class Dot(Record):
    """A value with its interval, for one group or case."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Dots(Record, tag="dots"):
    """Values with intervals, one row each, on a common axis."""

    title: str
    dots: tuple[Dot, ...]
    caption: str = ""
    axis: str = ""
    unit: Literal["", "share"] = ""


class Bars(Record, tag="bars"):
    """Ranked amounts, one bar each."""

    title: str
    bars: tuple[Dot, ...]
    caption: str = ""
    axis: str = ""
    unit: Literal["", "share"] = ""


class Line(Record):
    """One line of a curve."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.x) != len(self.y) or not self.x:
            msg = f"a line needs as many x as y and at least one, got {len(self.x)} and {len(self.y)}"
            raise ValueError(msg)


class Curve(Record, tag="curve"):
    """Lines over a common axis; `mark` is an x that stands out (the chosen threshold)."""

    title: str
    lines: tuple[Line, ...]
    caption: str = ""
    x_axis: str = ""
    y_axis: str = ""
    mark: float | None = None
    diagonal: bool = False


class Heatmap(Record, tag="heatmap"):
    """A grid of values."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.values) != len(self.rows) or any(len(v) != len(self.columns) for v in self.values):
            msg = "a heat map needs a value for each row and column"
            raise ValueError(msg)


class Table(Record, tag="table"):
    """Cells of text and numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(len(row) != len(self.columns) for row in self.rows):
            msg = "each row of a table needs a cell for each column"
            raise ValueError(msg)


class Picture(Record, tag="picture"):
    """PNG bytes with a text that says what they show."""

    title: str
    png: bytes
    alt: str
    caption: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.png.startswith(b"\x89PNG\r\n\x1a\n"):
            msg = "a picture must be a PNG"
            raise ValueError(msg)


Exhibit = Dots | Bars | Curve | Heatmap | Table | Picture


def is_about(title: str, attribute: str) -> bool:
    """Whether the title of an exhibit ends on an attribute, as it is written or as a law's table writes it."""
    return title.endswith((f"by {attribute}", f"by {' and '.join(attribute.split('*'))}")) or (
        f"by {attribute}," in title or f"by {attribute} within" in title
    )


# --- what an audit hands over, and what is kept of it -------------------------------------------------


class Findings(Record):
    """What one audit found."""

    measurements: tuple[Measurement, ...]
    exhibits: tuple[Exhibit, ...] = ()
    notes: tuple[str, ...] = ()


class Evidence(Record):
    """What one audit found about one subject on one set of rows, ready to be kept."""

    audit: str
    question: str
    params: dict[str, Any]
    seed: int
    tool: str
    subject: SubjectId
    data: DataId
    measurements: tuple[Measurement, ...]
    exhibits: tuple[Exhibit, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        super().__post_init__()
        known_format(self.format)
        for m in self.measurements:
            if not m.metric.startswith(f"{self.audit}."):
                msg = f"the audit {self.audit!r} may only give metrics named {self.audit}.…, got {m.metric!r}"
                raise ValueError(msg)


def known_format(number: int) -> None:
    """Refuse a format that this version does not read."""
    if not 1 <= number <= FORMAT:
        msg = f"format {number} is not one this version reads (1 to {FORMAT})"
        raise ValueError(msg)
