"""How do decisions among more than two labels differ between groups?

Each label against the rest (`class: LABEL`), and the plain average over labels (`class: macro`) where there is one:
of true positive rates (balanced accuracy within a group) and of precision. Each of those rates has rows of its own,
so their averages have an interval (MOVER on Wilson limits; Zou and Donner 2008). Accuracy needs no label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.fairness_rates import (
    SCOPES,
    gap,
    group_rates,
    measurement,
    of_attribute,
    rate_dots,
    rates_of,
)
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Findings, Measurement, Table
from rai_bigmodel.stats.among_groups import simultaneous_z
from rai_bigmodel.stats.counts import GroupCounts
from rai_bigmodel.stats.disparity import SMALLEST_ROWS, known
from rai_bigmodel.stats.intervals import average_of, averages, newcombe
from rai_bigmodel.stats.ladder import climb, z_two_sided
from rai_bigmodel.stats.weighted import WeightedCounts

if TYPE_CHECKING:
    from rai_bigmodel.audits.fairness_groups import Grouping
    from rai_bigmodel.stats.counts import Rate
    from rai_bigmodel.subject import Array

    Counts = GroupCounts | WeightedCounts

MAX_CLASSES = 50
_AVERAGED = ("true_positive_rate", "precision")
_NO_AVERAGE = {
    "demographic_parity_difference": "selection rates",
    "demographic_parity_ratio": "selection rates",
    "equalized_odds_difference": "false positive rates",
}


def of_classes(
    attribute: str,
    groups: Grouping,
    truth: Array,
    decision: Array,
    rng: np.random.Generator,
    *,
    weight: Array | None = None,
) -> Findings:
    """One label against the rest for every label, macro averages, and accuracy.

    Args:
        groups: codes ``(rows,)`` and names.
        truth, decision: labels as canonical text ``(rows,)``.
        weight: above 0 for each row ``(rows,)``.

    Raises:
        InputError: there are more labels than can be looked at one by one.
    """
    labels = sorted({*truth.tolist(), *decision.tolist()})
    if len(labels) > MAX_CLASSES:
        msg = f"{len(labels):,} labels; at most {MAX_CLASSES} are compared one by one (is the outcome a number?)"
        raise InputError(msg)
    by_class = {label: count(groups, truth == label, decision == label, weight) for label in labels}
    found: list[Measurement] = []
    for label, counts in by_class.items():
        found += of_attribute(attribute, counts, rng, about=label).measurements
    right = rates_of(count(groups, truth == decision, np.ones(len(truth), dtype=bool), weight))["precision"]
    found += group_rates({"attribute": attribute}, "accuracy", right)
    found += [
        gap("accuracy_difference", choose(right), {"attribute": attribute, "scope": scope})
        for scope, choose in SCOPES
    ]
    found += _macro(attribute, by_class)
    title = "How often the decision agrees with the outcome"
    return Findings(
        measurements=tuple(found),
        exhibits=(rate_dots(f"{title}, by {attribute}", title, right), _table(attribute, found)),
    )


def count(groups: Grouping, truth: Array, decision: Array, weight: Array | None) -> Counts:
    """Counts in memory, weighted where rows carry weights."""
    codes, names = groups
    if weight is None:
        return GroupCounts.of(codes, truth, decision, groups=names)
    return WeightedCounts.of(codes, truth, decision, weight, groups=names)


def _macro(attribute: str, by_class: dict[str, Counts]) -> list[Measurement]:
    rates = {name: [rates_of(c)[name] for c in by_class.values()] for name in _AVERAGED}
    found = []
    for name, parts in rates.items():
        for i, group in enumerate(parts[0].groups):
            labels = {"attribute": attribute, "group": group, "class": "macro"}
            n = int(sum(p.counted[i] for p in parts))
            if any(p.trials[i] == 0 for p in parts):
                why = f"of one label at least this group has no rows that count towards {name.replace('_', ' ')}"
                found.append(measurement(name, labels, None, n=n, why=why))
                continue
            interval = average_of([(p.successes[i], p.trials[i]) for p in parts])
            found.append(
                measurement(
                    name, labels, float(np.mean([p.values[i] for p in parts])), n=n, interval=interval
                )
            )
    labels = {"attribute": attribute, "scope": "sized", "class": "macro"}
    found.append(_macro_gap(labels, rates["true_positive_rate"]))
    for name, what in _NO_AVERAGE.items():
        why = f"{what} of all labels depend on each other, so their average says nothing; look at each label"
        found.append(measurement(name, labels, None, why=why))
    return found


def _macro_gap(labels: dict[str, str], parts: list[Rate]) -> Measurement:
    """The widest difference in macro-averaged true positive rates: Tukey–Newcombe on score limits of the averages."""
    name, groups = "equal_opportunity_difference", parts[0].groups
    rows = np.array([p.counted for p in parts]).sum(axis=0)
    x, n = (np.array([getattr(p, field) for p in parts], dtype=float) for field in ("successes", "trials"))
    keep = (n.sum(axis=0) >= SMALLEST_ROWS) & (n > 0).all(axis=0) & known(groups)
    excluded = float(rows[~keep].sum() / max(rows.sum(), 1))
    if keep.sum() < 2:
        why = (
            f"fewer than two of {len(keep)} groups are large enough: {SMALLEST_ROWS} rows and one of each label "
            "are needed, and a known value"
        )
        return measurement(name, labels, None, excluded=excluded, why=why)
    x, n, at = x[:, keep], n[:, keep], np.nonzero(keep)[0]

    def ends(z: float) -> tuple[float, float]:
        lows, highs = newcombe(averages(x, n, z))
        pairs = ~np.eye(x.shape[1], dtype=bool)
        return max(0.0, float(lows[pairs].max())), min(1.0, float(highs[pairs].max()))

    means = (x / n).mean(axis=0)
    high, low = int(np.argmax(means)), int(np.argmin(means))
    if high == low:
        low = (high + 1) % len(means)
    k = len(keep)
    return measurement(
        name,
        {**labels, "high": groups[at[high]], "low": groups[at[low]]},
        float(means[high] - means[low]),
        n=int(rows[at[high]] + rows[at[low]]),
        excluded=excluded,
        interval=climb(
            lambda alpha: ends(simultaneous_z(alpha, k)),
            lambda alpha: (ends(simultaneous_z(alpha, k))[0], ends(z_two_sided(2 * alpha))[1]),
            method="tukey-newcombe, score",
        ),
    )


def _table(attribute: str, found: list[Measurement]) -> Table:
    wanted = ("demographic_parity_difference", "equal_opportunity_difference")
    by_label: dict[str, dict[str, Measurement]] = {}
    for m in found:
        name = m.metric.partition(".")[2]
        if name in wanted and m.labels.get("scope") == "sized" and "class" in m.labels:
            by_label.setdefault(m.labels["class"], {})[name] = m

    def words(m: Measurement | None) -> str:
        if m is None or m.value is None:
            return "not known"
        return f"{m.value:.3f} ({m.labels['high']} over {m.labels['low']})"

    return Table(
        title=f"Widest gaps by {attribute}, each label against the rest",
        columns=("label", "gap in selection rates", "gap in true positive rates"),
        rows=tuple((label, *(words(of.get(name)) for name in wanted)) for label, of in by_label.items()),
    )
