"""How do the rates of decisions differ between the groups of one attribute?

Definitions are Fairlearn's. Failing claims that some pair of groups differs by more than a limit and is
simultaneous over the pairs; passing claims that every pair keeps it. Groups too small to carry a rate are
listed and counted, and left out of the widest gap (`scope: sized`); a second measurement keeps them
(`scope: all`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.evidence import Dot, Dots, Findings, Measurement, Table
from rai_bigmodel.stats import among_groups, intervals, ladder, tests
from rai_bigmodel.stats import counts as c
from rai_bigmodel.stats.disparity import (
    SMALLEST_EXPECTED,
    SMALLEST_ROWS,
    Compared,
    known,
    sized,
    spread,
    whole,
)
from rai_bigmodel.stats.weighted import WeightedCounts

if TYPE_CHECKING:
    from rai_bigmodel.stats.counts import GroupCounts, Rate

_SHOWN = {
    "selection_rate": "How often each group gets the positive decision",
    "true_positive_rate": "Of those with a positive outcome, how many get the positive decision",
    "false_positive_rate": "Of those with a negative outcome, how many get the positive decision",
}
SCOPES = (("sized", sized), ("all", whole))


def of_attribute(
    attribute: str, counts: GroupCounts | WeightedCounts, rng: np.random.Generator, *, about: str = ""
) -> Findings:
    """Everything that follows from how many rows each group has by outcome and decision.

    Args:
        about: the class whose decision is told from all others, where there are more than two.
    """
    rates = rates_of(counts)
    of_class = {"class": about} if about else {}
    found: list[Measurement] = []
    for name, rate in rates.items():
        found += group_rates({"attribute": attribute, **of_class}, name, rate)
    found += _impact_ratios({"attribute": attribute, **of_class}, rates["selection_rate"])
    for scope, choose in SCOPES:
        labels = {"attribute": attribute, "scope": scope, **of_class}
        of = {name: choose(rate) for name, rate in rates.items()}
        found += [
            gap("demographic_parity_difference", of["selection_rate"], labels),
            _ratio(of["selection_rate"], labels),
            gap("equal_opportunity_difference", of["true_positive_rate"], labels),
            _odds(of, labels),
            gap("accuracy_difference", of["accuracy"], labels),
        ]
    labels = {"attribute": attribute, **of_class}
    found += _power(labels, sized(rates["selection_rate"]))
    found.append(_any_disparity(labels, rates["selection_rate"], rng))
    if about:
        return Findings(measurements=tuple(found))
    exhibits: list[Dots | Table] = [
        rate_dots(f"{title}, by {attribute}", title, rates[name]) for name, title in _SHOWN.items()
    ]
    exhibits.insert(1, _table(attribute, counts, rates["selection_rate"]))
    return Findings(measurements=tuple(found), exhibits=tuple(exhibits))


def rates_of(counts: GroupCounts | WeightedCounts) -> dict[str, Rate]:
    """Every rate of `counts.RATES`, weighted where the counts are."""
    if isinstance(counts, WeightedCounts):
        return {name: counts.rate(name) for name in c.RATES}
    return {name: rate(counts) for name, rate in c.RATES.items()}


def measurement(name: str, labels: dict[str, str], value: float | None, **rest: object) -> Measurement:
    """A measurement of this audit, an estimate unless said otherwise."""
    return Measurement(
        metric=f"fairness.{name}",
        labels=labels,
        value=value,
        **{"kind": "estimate", **rest},  # type: ignore[arg-type]
    )


def group_rates(labels: dict[str, str], name: str, rate: Rate) -> list[Measurement]:
    """One rate of each group, with Wilson's interval."""
    out = []
    columns = (rate.groups, rate.successes.tolist(), rate.trials.tolist(), rate.counted.tolist())
    spans = intervals.group_rates(rate.successes, rate.trials)
    for group, x, n, rows, span in zip(*columns, spans, strict=True):
        here = {**labels, "group": group}
        if n == 0:
            why = f"no rows of this group count towards its {name.replace('_', ' ')}"
            out.append(measurement(name, here, None, n=0, why=why))
        else:
            out.append(measurement(name, here, x / n, n=rows, interval=span))
    return out


def _impact_ratios(about: dict[str, str], rate: Rate) -> list[Measurement]:
    """Each group's selection rate over that of the most selected group that is large enough."""
    enough = sized(rate)
    pool = enough if enough.keep.any() else whole(rate)
    best = int(np.argmax(np.where(pool.keep, np.nan_to_num(rate.values, nan=-1.0), -1.0)))
    bx, bn, rows = rate.successes[best].item(), rate.trials[best].item(), rate.counted
    out = []
    for i, (group, x, n) in enumerate(
        zip(rate.groups, rate.successes.tolist(), rate.trials.tolist(), strict=True)
    ):
        labels = {**about, "group": group, "to": rate.groups[best]}
        if bx == 0:
            out.append(measurement("impact_ratio", labels, None, n=int(rows[i]), why="nobody was selected"))
        elif i == best:
            out.append(measurement("impact_ratio", labels, 1.0, n=int(rows[i]), kind="exact"))
        else:
            interval = among_groups.ratio_to_best(x, n, bx, bn, compared=len(rate.groups))
            value, both = (x / n) / (bx / bn), int(rows[i] + rows[best])
            out.append(measurement("impact_ratio", labels, value, n=both, interval=interval))
    return out


def too_few(groups: Compared) -> str:
    """Why nothing can be compared; empty where at least two groups can."""
    if (left := int(groups.keep.sum())) >= 2:
        return ""
    return (
        f"only {left} of {groups.compared} groups is large enough to be compared: {SMALLEST_ROWS} rows and "
        f"{SMALLEST_EXPECTED} expected of either outcome are needed, and a known value"
    )


def gap(name: str, groups: Compared, labels: dict[str, str]) -> Measurement:
    """The widest difference of a rate between two groups, with both named."""
    if why := too_few(groups):
        return measurement(name, labels, None, excluded=groups.excluded, why=why)
    high, low = int(np.argmax(groups.values)), int(np.argmin(groups.values))
    if high == low:  # all rates equal: still a pair of two different groups
        low = 1 - high if len(groups.values) == 2 else (high + 1) % len(groups.values)
    return measurement(
        name,
        {**labels, "high": groups.name(high), "low": groups.name(low)},
        float(groups.values[high] - groups.values[low]),
        n=int(groups.rows[high] + groups.rows[low]),
        excluded=groups.excluded,
        interval=among_groups.widest_gap(groups.successes, groups.trials, compared=groups.compared),
    )


def _ratio(groups: Compared, labels: dict[str, str]) -> Measurement:
    name = "demographic_parity_ratio"
    if why := too_few(groups):
        return measurement(name, labels, None, excluded=groups.excluded, why=why)
    if not groups.successes.any():
        return measurement(
            name, labels, None, excluded=groups.excluded, why="nobody was selected in any group"
        )
    high, low = int(np.argmax(groups.values)), int(np.argmin(groups.values))
    if high == low:
        low = (high + 1) % len(groups.values)
    return measurement(
        name,
        {**labels, "high": groups.name(high), "low": groups.name(low)},
        float(groups.values[low] / groups.values[high]),
        n=int(groups.rows[high] + groups.rows[low]),
        excluded=groups.excluded,
        interval=among_groups.smallest_ratio(groups.successes, groups.trials, compared=groups.compared),
    )


def _odds(of: dict[str, Compared], labels: dict[str, str]) -> Measurement:
    """The wider of the gaps in true and in false positive rates (Hardt, Price and Srebro 2016)."""
    name = "equalized_odds_difference"
    families = [of["true_positive_rate"], of["false_positive_rate"]]
    excluded = max(f.excluded for f in families)
    for family, word in zip(families, ("positive", "negative"), strict=True):
        if why := too_few(family):
            return measurement(name, labels, None, excluded=excluded, why=f"{word} outcomes: {why}")
    parts = [gap(name, f, labels) for f in families]
    widest = max(parts, key=lambda m: m.value or 0.0)
    rate = ("true_positive_rate", "false_positive_rate")[parts.index(widest)]
    return measurement(
        name,
        {**widest.labels, "rate": rate},
        widest.value,
        n=widest.n,
        excluded=excluded,
        interval=among_groups.widest_of([(f.successes, f.trials, f.compared) for f in families]),
    )


def _power(labels: dict[str, str], groups: Compared) -> list[Measurement]:
    """What the sample could show: the smallest difference seen four times in five, and rows for the one seen."""
    if why := too_few(groups):
        return [
            measurement(name, labels, None, kind="exact", why=why)
            for name in ("minimum_detectable_difference", "rows_needed")
        ]
    first, second = np.argsort(groups.trials, kind="stable")[:2]
    pooled = float(groups.successes.sum() / groups.trials.sum())
    between = (
        f"between the two smallest groups compared, {groups.name(int(first))} and {groups.name(int(second))}"
    )
    smallest = tests.minimum_detectable_difference(
        pooled, float(groups.trials[first]), float(groups.trials[second]), compared=groups.compared
    )
    high, low = float(groups.values.max()), float(groups.values.min())
    needed = tests.rows_needed(high, low, compared=groups.compared)
    return [
        measurement("minimum_detectable_difference", labels, smallest, kind="exact", why=between),
        measurement(
            "rows_needed",
            labels,
            needed,
            kind="exact",
            why="rows in each of the two groups, to tell the gap that was seen from none"
            if needed
            else "there is no difference to be told from none",
        ),
    ]


def _any_disparity(labels: dict[str, str], rate: Rate, rng: np.random.Generator) -> Measurement:
    name, among = "any_disparity_p", known(rate.groups) & (rate.trials > 0)
    if rate.rows is not None:
        why = "rows carry weights, and shuffling them would need all to weigh the same"
        return measurement(name, labels, None, kind="p_value", why=why)
    if among.sum() < 2:
        return measurement(name, labels, None, kind="p_value", why="fewer than two known groups")
    p = tests.any_disparity(rate.successes[among], rate.trials[among], rng)
    left_out = float(rate.trials[~among].sum() / rate.trials.sum())
    n = int(rate.trials[among].sum())
    return measurement(name, labels, p, kind="p_value", n=n, excluded=left_out)


def rate_dots(title: str, axis: str, rate: Rate, *, level: float = ladder.LEVEL) -> Dots:
    """Rates with Wilson intervals that hold for all groups at once (Šidák), the largest group first."""
    keep = sized(rate).keep
    k, rows = len(rate.groups), rate.counted
    low, high = intervals.wilson(rate.successes, rate.trials, ladder.z_two_sided(1 - level ** (1 / k)))
    order = sorted(range(k), key=lambda i: (not keep[i], -int(rows[i]), rate.groups[i]))
    dots = tuple(
        Dot(
            label=rate.groups[i] + ("" if keep[i] else " †"),
            value=float(rate.values[i]) if rate.trials[i] else None,
            low=float(low[i]),
            high=float(high[i]),
            n=int(rows[i]),
        )
        for i in order
    )
    small = " † too small to be compared." if not keep.all() else ""
    return Dots(
        title=title,
        dots=dots,
        caption=f"95 % intervals that hold for all {k} groups at once.{small}",
        axis=axis,
        unit="share",
    )


def _table(attribute: str, counts: GroupCounts | WeightedCounts, rate: Rate) -> Table:
    weighted = isinstance(counts, WeightedCounts)
    rows = counts.counts if isinstance(counts, WeightedCounts) else counts
    total, compared = int(rows.n.sum()), sized(rate)
    cells = []
    for i, group in enumerate(rows.groups):
        n = int(rows.n[i])
        effective = (round(float(rate.trials[i]), 1),) if weighted else ()
        outcomes = (int(rows.positives[i]), int(rows.selected[i]))
        cells.append(
            (group, n, round(n / total, 4), *effective, *outcomes, "yes" if compared.keep[i] else "no")
        )
    return Table(
        title=f"Groups by {attribute}",
        columns=(
            "group",
            "rows",
            "share",
            *(("effective rows",) if weighted else ()),
            "positive outcomes",
            "positive decisions",
            "compared",
        ),
        rows=tuple(cells),
        caption=_beyond_chance(compared),
    )


def _beyond_chance(groups: Compared) -> str:
    """τ̂ in words; equal groups show it near 0 however many there are, which the widest gap does not."""
    if too_few(groups):
        return ""
    tau = spread(groups.successes, groups.trials) ** 0.5
    return f"Standard deviation of the selection rates of groups compared, with what chance adds taken off: {tau:.3f}."
