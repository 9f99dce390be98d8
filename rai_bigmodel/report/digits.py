"""With how many digits do numbers stand beside each other, so that a column reads evenly?

A number never loses digits that tell it from a limit it misses; that rule is `words.number`'s, and holds here.
"""

from __future__ import annotations

from rai_bigmodel import words
from rai_bigmodel.report.language import _, figure, number, say

_PLACES = 3


def even(value: float, *, unit: str = "") -> str:
    """A number as it stands in a column: 0.8 is written 0.800 among others of its kind."""
    text = words.number(value)
    whole, point, places = text.partition(".")
    if point and "e" not in text and abs(value) < 10 and not unit:
        text = f"{whole}.{places.ljust(_PLACES, '0')}"
    return f"{figure(text)} {unit}" if unit else figure(text)


def end(value: float | None, *, beside: float | None = None, largest: float = 0.0) -> str:
    """An end of an interval; beside larger numbers it has no more places than they have."""
    if value is not None and 0.0005 <= abs(value) < 0.1 <= largest:
        short = round(value, _PLACES)
        if beside is None or (round(beside, _PLACES) == beside and short != beside):
            return even(short)
    return number(value, beside=beside) if value is None or beside is not None else even(value)


def interval_words(low: float | None, high: float | None, *, beside: float | None = None) -> str:
    """``0.087 to 0.330``; an open side is said in words."""
    largest = max((abs(v) for v in (low, high) if v is not None), default=0.0)
    if low is None and high is None:
        return _("unbounded")
    if low is None:
        return _("at most {number}").format(number=end(high, beside=beside, largest=largest))
    if high is None:
        return _("at least {number}").format(number=end(low, beside=beside, largest=largest))
    ends = (end(v, beside=beside, largest=largest) for v in (low, high))
    return _("{low} to {high}").format(low=next(ends), high=next(ends))


def left_out(share: float) -> str:
    """How much is left out, as a percentage: ``5.5 % left out``."""
    return say("{share} left out", share=f"{number(round(100 * share, 1 if share >= 0.001 else 4))} %")
