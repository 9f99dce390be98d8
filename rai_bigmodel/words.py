"""How are numbers written, so that page, terminal and JSON say the same?"""

from __future__ import annotations


def number(value: float | None, *, beside: float | None = None, digits: int = 3) -> str:
    """A number with about three digits after the point, and more where it would look equal to `beside`.

    Whole numbers stay whole; small numbers keep three significant digits.
    """
    if value is None:
        return "unbounded"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if value == beside:
        return exact(value)
    for places in range(digits, 16):
        text = _write(value, places)
        if beside is None or float(text.replace(",", "")) != _as_shown(beside, text):
            return text
    return repr(value)


def exact(value: float) -> str:
    """All digits of a number that somebody chose: a limit is written as it was meant."""
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:,}"


def _write(value: float, places: int) -> str:
    size = abs(value)
    if size >= 1000:
        text = f"{value:,.{max(places - 3, 0)}f}"
    elif size >= 0.1:
        text = f"{value:.{places}f}"
    else:
        text = f"{value:.{places}g}"
        if "e" in text and size >= 1e-6:
            text = f"{value:.{places + 6}f}"
    if "." in text and "e" not in text:
        text = text.rstrip("0").rstrip(".")
    return text


def _as_shown(limit: float, text: str) -> float:
    """The limit at the digits of `text`."""
    places = len(text.rpartition(".")[2]) if "." in text and "e" not in text else 0
    return round(limit, places) if "e" not in text else float(f"{limit:.{len(text)}g}")


def percent(share: float, *, beside: float | None = None) -> str:
    """A share as a percentage: 0.95 → ``95 %``; with more digits where it would look equal to `beside`."""
    if beside is None:
        return f"{number(round(share * 100, 4))} %"
    return f"{number(round(share * 100, 10), beside=round(beside * 100, 10))} %"


def plural(count: int, noun: str) -> str:
    """``1 rule``, ``2 rules``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
