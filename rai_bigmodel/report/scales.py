"""Where does a number lie on an axis, and which ticks does a person read with ease?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.report.language import number

if TYPE_CHECKING:
    from collections.abc import Iterable

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LARGEST = 1e300


class Scale(NamedTuple):
    """A linear axis from ``low`` at ``start`` to ``high`` at ``stop``, in the units of the drawing."""

    low: float
    high: float
    start: float
    stop: float

    def at(self, value: float) -> float:
        """The place of a value; what lies outside is put on the edge."""
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)


def span(
    values: Iterable[float | None],
    *,
    least: float | None = None,
    most: float | None = None,
    pad: float = 0.08,
) -> tuple[float, float]:
    """A range that holds all values with some room, and does not go beyond ends that cannot be passed."""
    there = [min(max(v, -_LARGEST), _LARGEST) for v in values if v is not None]
    low, high = (min(there), max(there)) if there else (0.0, 1.0)
    room = (high - low) * pad or abs(low) * 0.1 or 0.5
    wide_low, wide_high = low - room, high + room
    if least is not None and low >= least:
        wide_low = max(wide_low, least)
    if most is not None and high <= most:
        wide_high = min(wide_high, most)
    return (wide_low, wide_high) if wide_low < wide_high else (low - 0.5, high + 0.5)


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Round numbers within a range, at most about `count` + 1 of them."""
    step = _step(low, high, count)
    if not step:
        return [low, high]
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(i * step, digits) + 0.0 for i in range(first, last + 1)]


def rounded(low: float, high: float, *, count: int = 5) -> tuple[float, float]:
    """The range widened to its next round numbers."""
    step = _step(low, high, count)
    if not step:
        return low, high
    digits = max(0, 2 - math.floor(math.log10(step)))
    return (
        round(math.floor(low / step + 1e-9) * step, digits) + 0.0,
        round(math.ceil(high / step - 1e-9) * step, digits) + 0.0,
    )


def tick_text(value: float) -> str:
    """A tick's number, short: large ones with a suffix."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-6:
        return f"{value:.1e}"
    for floor, suffix in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if size >= floor:
            return number(value / floor if suffix != " k" else value / 1e3, digits=1) + suffix
    return number(value)


def _step(low: float, high: float, count: int) -> float:
    width = high - low
    if not (0 < width < _LARGEST) or width < max(abs(low), abs(high)) * 1e-9 or width < 1e-290:
        return 0.0
    rough = width / count
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
