"""Do decisions differ between groups?

Definitions are Fairlearn's. Failing claims that some pair of groups differs by more than a limit and is
simultaneous over the pairs; passing claims that every pair keeps it. Groups too small to carry a rate are
listed and counted, and left out of the widest gap (`scope: sized`); a second measurement keeps them
(`scope: all`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from rai_bigmodel.evidence import Dot, Dots, Exhibit, Findings, Measurement, Record, Table
from rai_bigmodel.stats import counts as c
from rai_bigmodel.stats import intervals, tests
from rai_bigmodel.subject import attributes_of, column_of, decision_in

if TYPE_CHECKING:
    from rai_bigmodel.stats.counts import Array, GroupCounts, Rate
    from rai_bigmodel.subject import Splits, Subject

SMALLEST_ROWS = 30
SMALLEST_EXPECTED = 5

_SHOWN = {
    "selection_rate": "How often each group gets the positive decision",
    "true_positive_rate": "Of those with a positive outcome, how many get the positive decision",
    "false_positive_rate": "Of those with a negative outcome, how many get the positive decision",
}


class Fairness(Record, omit_defaults=True):
    """Rates of each group, and the widest differences between groups.

    Args:
        attributes: columns, or intersections as ``a*b``; by default every sensitive column.
        intersections: with no `attributes` given, also every pair as an intersection.
    """

    attributes: tuple[str, ...] = ()
    intersections: bool = True

    question: ClassVar[str] = "Do decisions differ between groups?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Measure on ``data.held_out``.

        Raises:
            InputError: there is no sensitive attribute, or one has a single value or too many.
        """
        cohort = data.held_out
        decision = decision_in(subject, cohort)
        truth = column_of(cohort, "truth")
        measurements: list[Measurement] = []
        exhibits: list[Exhibit] = []
        for attribute in attributes_of(cohort, self.attributes, intersections=self.intersections):
            counts = cohort.count(attribute.split("*"), truth=truth, decision=decision)
            found = _of_attribute(attribute, counts, rng)
            measurements += found.measurements
            exhibits += found.exhibits
        notes = []
        if means := data.facts.get("label_means"):
            notes.append(
                f"The outcome is {means}: true and false positive rates, precision and accuracy measure "
                "agreement with that; selection rates do not depend on it."
            )
        return Findings(measurements=tuple(measurements), exhibits=tuple(exhibits), notes=tuple(notes))


class _Groups(NamedTuple):
    """The groups of one rate that are compared, and the share of its rows that is not."""

    rate: Rate
    keep: Array
    excluded: float
    compared: int

    @property
    def successes(self) -> Array:
        return self.rate.successes[self.keep]

    @property
    def trials(self) -> Array:
        return self.rate.trials[self.keep]

    @property
    def values(self) -> Array:
        return self.rate.values[self.keep]

    def name(self, i: int) -> str:
        return [g for g, kept in zip(self.rate.groups, self.keep, strict=True) if kept][i]


def _sized(rate: Rate) -> _Groups:
    """Groups with 30 rows, 5 expected of either outcome at the pooled rate, and a known value."""
    n = rate.trials
    pooled = rate.successes.sum() / max(n.sum(), 1)
    fewest = n * min(pooled, 1 - pooled)
    known = np.array([c.MISSING not in g.split("*") for g in rate.groups])
    keep = (n >= SMALLEST_ROWS) & (fewest >= SMALLEST_EXPECTED) & known
    return _Groups(rate, keep, float(n[~keep].sum() / max(n.sum(), 1)), len(n))


def _whole(rate: Rate) -> _Groups:
    """All groups that have a rate at all."""
    return _Groups(rate, rate.trials > 0, 0.0, len(rate.trials))


def _of_attribute(attribute: str, counts: GroupCounts, rng: np.random.Generator) -> Findings:
    rates = {name: rate(counts) for name, rate in c.RATES.items()}
    found: list[Measurement] = []
    for name, rate in rates.items():
        found += _group_rates(attribute, name, rate)
    found += _impact_ratios(attribute, rates["selection_rate"])
    for scope, choose in (("sized", _sized), ("all", _whole)):
        labels = {"attribute": attribute, "scope": scope}
        of = {name: choose(rate) for name, rate in rates.items()}
        found += [
            _gap("demographic_parity_difference", of["selection_rate"], labels),
            _ratio(of["selection_rate"], labels),
            _gap("equal_opportunity_difference", of["true_positive_rate"], labels),
            _odds(of, labels),
            _gap("accuracy_difference", of["accuracy"], labels),
        ]
    found += _power(attribute, _sized(rates["selection_rate"]))
    found.append(_any_disparity(attribute, rates["selection_rate"], rng))
    exhibits: list[Dots | Table] = [_dots(attribute, title, rates[name]) for name, title in _SHOWN.items()]
    return Findings(
        measurements=tuple(found), exhibits=(*exhibits[:1], _table(attribute, counts), *exhibits[1:])
    )


def _measurement(name: str, labels: dict[str, str], value: float | None, **rest: object) -> Measurement:
    return Measurement(
        metric=f"fairness.{name}",
        labels=labels,
        value=value,
        **{"kind": "estimate", **rest},  # type: ignore[arg-type]
    )


def _group_rates(attribute: str, name: str, rate: Rate) -> list[Measurement]:
    out = []
    for group, x, n in zip(rate.groups, rate.successes.tolist(), rate.trials.tolist(), strict=True):
        labels = {"attribute": attribute, "group": group}
        if n == 0:
            why = f"no rows of this group count towards its {name.replace('_', ' ')}"
            out.append(_measurement(name, labels, None, n=0, why=why))
        else:
            out.append(_measurement(name, labels, x / n, n=n, interval=intervals.group_rate(x, n)))
    return out


def _impact_ratios(attribute: str, rate: Rate) -> list[Measurement]:
    """Each group's selection rate over that of the most selected group that is large enough."""
    sized = _sized(rate)
    pool = sized if sized.keep.any() else _whole(rate)
    best = int(np.argmax(np.where(pool.keep, np.nan_to_num(rate.values, nan=-1.0), -1.0)))
    bx, bn = int(rate.successes[best]), int(rate.trials[best])
    out = []
    for i, (group, x, n) in enumerate(
        zip(rate.groups, rate.successes.tolist(), rate.trials.tolist(), strict=True)
    ):
        labels = {"attribute": attribute, "group": group, "to": rate.groups[best]}
        if bx == 0:
            out.append(_measurement("impact_ratio", labels, None, n=n, why="nobody was selected"))
        elif i == best:
            out.append(_measurement("impact_ratio", labels, 1.0, n=n, kind="exact"))
        else:
            interval = intervals.ratio_to_best(x, n, bx, bn, compared=len(rate.groups))
            out.append(_measurement("impact_ratio", labels, (x / n) / (bx / bn), n=n + bn, interval=interval))
    return out


def _too_few(groups: _Groups) -> str:
    if (left := int(groups.keep.sum())) >= 2:
        return ""
    return (
        f"only {left} of {groups.compared} groups is large enough to be compared: {SMALLEST_ROWS} rows and "
        f"{SMALLEST_EXPECTED} expected of either outcome are needed, and a known value"
    )


def _gap(name: str, groups: _Groups, labels: dict[str, str]) -> Measurement:
    if why := _too_few(groups):
        return _measurement(name, labels, None, excluded=groups.excluded, why=why)
    high, low = int(np.argmax(groups.values)), int(np.argmin(groups.values))
    if high == low:  # all rates equal: still a pair of two different groups
        low = 1 - high if len(groups.values) == 2 else (high + 1) % len(groups.values)
    return _measurement(
        name,
        {**labels, "high": groups.name(high), "low": groups.name(low)},
        float(groups.values[high] - groups.values[low]),
        n=int(groups.trials[high] + groups.trials[low]),
        excluded=groups.excluded,
        interval=intervals.widest_gap(groups.successes, groups.trials, compared=groups.compared),
    )


def _ratio(groups: _Groups, labels: dict[str, str]) -> Measurement:
    name = "demographic_parity_ratio"
    if why := _too_few(groups):
        return _measurement(name, labels, None, excluded=groups.excluded, why=why)
    if not groups.successes.any():
        return _measurement(
            name, labels, None, excluded=groups.excluded, why="nobody was selected in any group"
        )
    high, low = int(np.argmax(groups.values)), int(np.argmin(groups.values))
    if high == low:
        low = (high + 1) % len(groups.values)
    return _measurement(
        name,
        {**labels, "high": groups.name(high), "low": groups.name(low)},
        float(groups.values[low] / groups.values[high]),
        n=int(groups.trials[high] + groups.trials[low]),
        excluded=groups.excluded,
        interval=intervals.smallest_ratio(groups.successes, groups.trials, compared=groups.compared),
    )


def _odds(of: dict[str, _Groups], labels: dict[str, str]) -> Measurement:
    """The wider of the gaps in true and in false positive rates (Hardt, Price and Srebro 2016)."""
    name = "equalized_odds_difference"
    families = [of["true_positive_rate"], of["false_positive_rate"]]
    excluded = max(f.excluded for f in families)
    for family, word in zip(families, ("positive", "negative"), strict=True):
        if why := _too_few(family):
            return _measurement(name, labels, None, excluded=excluded, why=f"{word} outcomes: {why}")
    parts = [_gap(name, f, labels) for f in families]
    widest = max(parts, key=lambda m: m.value or 0.0)
    rate = ("true_positive_rate", "false_positive_rate")[parts.index(widest)]
    return _measurement(
        name,
        {**widest.labels, "rate": rate},
        widest.value,
        n=widest.n,
        excluded=excluded,
        interval=intervals.widest_of([(f.successes, f.trials, f.compared) for f in families]),
    )


def _power(attribute: str, groups: _Groups) -> list[Measurement]:
    """What the sample could show: the smallest difference seen four times in five, and rows for the one seen."""
    labels = {"attribute": attribute}
    if why := _too_few(groups):
        return [
            _measurement(name, labels, None, kind="exact", why=why)
            for name in ("minimum_detectable_difference", "rows_needed")
        ]
    first, second = np.argsort(groups.trials, kind="stable")[:2]
    pooled = float(groups.successes.sum() / groups.trials.sum())
    between = (
        f"between the two smallest groups compared, {groups.name(int(first))} and {groups.name(int(second))}"
    )
    smallest = tests.minimum_detectable_difference(
        pooled, int(groups.trials[first]), int(groups.trials[second]), compared=groups.compared
    )
    high, low = float(groups.values.max()), float(groups.values.min())
    needed = tests.rows_needed(high, low, compared=groups.compared)
    return [
        _measurement("minimum_detectable_difference", labels, smallest, kind="exact", why=between),
        _measurement(
            "rows_needed",
            labels,
            needed,
            kind="exact",
            why="rows in each of the two groups, to tell the gap that was seen from none"
            if needed
            else "there is no difference to be told from none",
        ),
    ]


def _any_disparity(attribute: str, rate: Rate, rng: np.random.Generator) -> Measurement:
    known = np.array([c.MISSING not in g.split("*") for g in rate.groups]) & (rate.trials > 0)
    labels = {"attribute": attribute}
    if known.sum() < 2:
        return _measurement(
            "any_disparity_p", labels, None, kind="p_value", why="fewer than two known groups"
        )
    p = tests.any_disparity(rate.successes[known], rate.trials[known], rng)
    left_out = float(rate.trials[~known].sum() / rate.trials.sum())
    return _measurement(
        "any_disparity_p", labels, p, kind="p_value", n=int(rate.trials[known].sum()), excluded=left_out
    )


def _dots(attribute: str, title: str, rate: Rate) -> Dots:
    """Rates with Wilson intervals that hold for all groups at once (Šidák), the largest group first."""
    keep = _sized(rate).keep
    k = len(rate.groups)
    low, high = intervals.wilson(
        rate.successes, rate.trials, intervals.z_two_sided(1 - intervals.LEVEL ** (1 / k))
    )
    order = sorted(range(k), key=lambda i: (not keep[i], -int(rate.trials[i]), rate.groups[i]))
    dots = tuple(
        Dot(
            label=rate.groups[i] + ("" if keep[i] else " †"),
            value=float(rate.values[i]) if rate.trials[i] else None,
            low=float(low[i]),
            high=float(high[i]),
            n=int(rate.trials[i]),
        )
        for i in order
    )
    small = " † too small to be compared." if not keep.all() else ""
    return Dots(
        title=f"{title}, by {attribute}",
        dots=dots,
        caption=f"95 % intervals that hold for all {k} groups at once.{small}",
        axis=title,
        unit="share",
    )


def _table(attribute: str, counts: GroupCounts) -> Table:
    total = int(counts.n.sum())
    keep = _sized(c.selection_rate(counts)).keep
    rows = tuple(
        (g, int(n), round(int(n) / total, 4), int(pos), int(sel), "yes" if kept else "no")
        for g, n, pos, sel, kept in zip(
            counts.groups, counts.n, counts.positives, counts.selected, keep, strict=True
        )
    )
    return Table(
        title=f"Groups by {attribute}",
        columns=("group", "rows", "share", "positive outcomes", "positive decisions", "compared"),
        rows=rows,
    )
