"""What do the tables look like that a law asks for? In its own form; what we add is marked as ours.

New York City's Local Law 144 of 2021 (6 RCNY §§ 5-300 to 5-304): selection or scoring rates and impact ratios by
sex, by race and by their intersection, applicants of an unknown category counted, categories under 2 % of the rows
that may be left out of the ratios listed with their number and rate. The four-fifths rule of thumb
(29 CFR § 1607.4 D): each rate over the highest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from rai_bigmodel.evidence import Table
from rai_bigmodel.stats import among_groups
from rai_bigmodel.stats.disparity import known

if TYPE_CHECKING:
    from rai_bigmodel.stats.counts import Rate
    from rai_bigmodel.subject import Array

Law = Literal["nyc-ll144", "four-fifths"]
SMALLEST_SHARE = 0.02
OURS = "95 % interval of the ratio (not part of the rule)"


def law_tables(
    laws: tuple[Law, ...], attribute: str, selection: Rate, scoring: Rate | None
) -> tuple[Table, ...]:
    """The tables of these laws for one attribute or intersection.

    Args:
        selection: selection rates in rows, none of them weighted.
        scoring: scoring rates, where there are scores.
    """
    tables = []
    if "nyc-ll144" in laws:
        tables.append(_local_law_144(attribute, selection, "selected", "selection rate"))
        if scoring is not None:
            tables.append(_local_law_144(attribute, scoring, "above the median score", "scoring rate"))
    if "four-fifths" in laws:
        tables.append(_four_fifths(attribute, selection))
    return tuple(tables)


def _local_law_144(attribute: str, rate: Rate, chosen: str, called: str) -> Table:
    there = known(rate.groups)
    n, unknown = rate.trials, int(rate.trials[~there].sum())
    share = n / max(int(n[there].sum()), 1)
    counted = there & (share >= SMALLEST_SHARE)
    ratios, spans = _ratios(rate, counted)
    rows = []
    for i in sorted(np.nonzero(there)[0].tolist(), key=lambda i: (not counted[i], rate.groups[i])):
        why = "" if counted[i] else f"ratio left out: {share[i]:.1%} of the rows, under 2 %"
        group = ", ".join(rate.groups[i].split("*"))
        rows.append(
            (group, int(n[i]), int(rate.successes[i]), _four(rate.values[i]), ratios[i], spans[i], why)
        )
    return Table(
        title=f"Local Law 144: {called}s and impact ratios by {' and '.join(attribute.split('*'))}",
        columns=("category", "applicants", chosen, called, "impact ratio", OURS, "note"),
        rows=tuple(rows),
        caption=(
            f"Applicants of an unknown category, not included above: {unknown:,}. The impact ratio is a "
            f"category's {called} over that of the category where it is highest."
        ),
    )


def _four_fifths(attribute: str, rate: Rate) -> Table:
    counted = known(rate.groups)
    ratios, spans = _ratios(rate, counted)
    rows = tuple(
        (
            rate.groups[i],
            int(rate.trials[i]),
            int(rate.successes[i]),
            _four(rate.values[i]),
            ratios[i],
            spans[i],
        )
        for i in np.nonzero(counted)[0].tolist()
    )
    highest = float(np.max(rate.values[counted])) if counted.any() else 0.0
    return Table(
        title=f"Four-fifths rule of thumb by {' and '.join(attribute.split('*'))}",
        columns=("group", "applicants", "selected", "selection rate", "ratio to the highest", OURS),
        rows=rows,
        caption=(
            f"Four fifths of the highest selection rate is {0.8 * highest:.4f}; applicants whose group is unknown: "
            f"{int(rate.trials[~counted].sum()):,}."
        ),
    )


def _ratios(rate: Rate, counted: Array) -> tuple[list[float | None], list[str]]:
    """Each counted group's rate over the highest among them, and our interval in words."""
    values = np.where(counted, np.nan_to_num(rate.values, nan=-1.0), -1.0)
    best = int(np.argmax(values))
    ratios: list[float | None] = [None] * len(values)
    spans = [""] * len(values)
    if values[best] <= 0:
        return ratios, spans
    bx, bn = int(rate.successes[best]), int(rate.trials[best])
    for i in np.nonzero(counted)[0].tolist():
        ratios[i] = _four(values[i] / values[best])
        if i != best:
            x, n = int(rate.successes[i]), int(rate.trials[i])
            span = among_groups.ratio_to_best(x, n, bx, bn, compared=int(counted.sum()))
            high = "unbounded" if span.high is None else f"{span.high:.3f}"
            spans[i] = f"{span.low:.3f} to {high}"
    return ratios, spans


def _four(value: float) -> float:
    return round(float(value), 4)
