"""How does a frontier read on a terminal? Lines; who prints them is no matter here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rai_bigmodel.files import visible

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.mitigate.frontier import Frontier, Point

_HEADS = ("", "accuracy", "gap", "accuracy", "gap", "change in accuracy", "change in gap of the pair")


def table(frontier: Frontier) -> list[str]:
    """A head and one line a point; ``▸`` marks the chosen one, ``·`` those on the frontier."""
    rows: list[tuple[str, ...]] = [("", *_HEADS)]
    rows += [(_mark(p, frontier), *_row(p, frontier)) for p in frontier.points]
    width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, width, strict=True))
        )
        for row in rows
    ]
    left = width[0] + width[1] + 4
    chosen_on, reported_on = width[2] + width[3] + 2, sum(width[4:]) + 2 * (len(width) - 5)
    head = " " * left + "calibration rows".center(chosen_on) + "  " + "held-out rows".center(reported_on)
    return [line.rstrip() for line in (head, *lines)]


def by_group(frontier: Frontier) -> list[str]:
    """What the chosen model changes for each group, with how many rows it rests on; nothing where none was chosen."""
    chosen = frontier[frontier.chosen]
    lines = [
        f"{visible(m.labels['group'])}: {m.metric.partition('.')[2].replace('_', ' ')} {_change(m)}, {m.n:,} rows"
        for m in chosen.measurements
        if "group" in m.labels
    ]
    return (
        [f"{visible(chosen.name)} against the model as it is, on the held-out rows:", *lines] if lines else []
    )


def prose(frontier: Frontier) -> list[str]:
    """What was chosen and why, what the pair is, and the notes."""
    chosen, pair = frontier[frontier.chosen], frontier.pair
    if chosen.method == "unmitigated":
        first = (
            f"Nothing tried has a narrower gap on the calibration rows at a cost of at most {frontier.accuracy_cost:g} "
            "in accuracy: the model stays as it is."
        )
    elif chosen.accuracy < frontier.points[0].accuracy - frontier.accuracy_cost - 1e-12:
        first = (
            f"Chosen on the calibration rows: {chosen.name} ({chosen.words}), the most accurate that does without "
            f"{frontier.attribute}; all of them cost more than {frontier.accuracy_cost:g} in accuracy there."
        )
    else:
        first = (
            f"Chosen on the calibration rows: {chosen.name} ({chosen.words}), the narrowest gap at a cost of at most "
            f"{frontier.accuracy_cost:g} in accuracy there."
        )
    followed = (
        f"The pair: {pair.high} and {pair.low}, furthest apart in {pair.rate.replace('_', ' ')} on the rows the model "
        "was made from. Intervals are of 95 %; one that holds 0 shows no change."
    )
    lines = [first, followed]
    if standing := [p.feature for p in frontier.proxies if p.stands]:
        lines.append(f"Features that tell {frontier.attribute}, strongest first: {', '.join(standing)}.")
    else:
        lines.append(f"No feature tells {frontier.attribute}, so none was dropped for it.")
    return [*lines, *frontier.notes]


def _mark(point: Point, frontier: Frontier) -> str:
    if point.name == frontier.chosen:
        return "▸"
    return "·" if point.may_be_chosen and not point.dominated else " "


def _row(point: Point, frontier: Frontier) -> tuple[str, ...]:
    gap = f"fairness.{frontier.constraint}_difference"
    return (
        visible(point.name)
        + (" (reads it)" if point.reads_attribute else " (draws lots)" if point.randomised else ""),
        f"{point.accuracy:.3f}",
        "–" if point.gap is None else f"{point.gap:.3f}",
        _value(_find(point, "performance.accuracy", against=False)),
        _value(_find(point, gap, against=False)),
        _change(_find(point, "performance.accuracy", against=True)),
        _change(_find(point, gap, against=True)),
    )


def _find(point: Point, metric: str, *, against: bool) -> Measurement | None:
    for m in point.measurements:
        if m.metric == metric and ("against" in m.labels) == against and "group" not in m.labels:
            return m
    return None


def _value(m: Measurement | None) -> str:
    return "–" if m is None or m.value is None else f"{m.value:.3f}"


def _change(m: Measurement | None) -> str:
    if m is None:
        return ""
    if m.value is None:
        return "–"
    if m.interval is None:
        return f"{m.value:+.3f}"
    return f"{m.value:+.3f} ({m.interval.low:+.3f} to {m.interval.high:+.3f})"
