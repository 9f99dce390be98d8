"""Do scores rank and select the groups of one attribute alike, whatever threshold is chosen?

AUC within each group; scoring rate, the share of a group above the whole sample's median score (New York City's
Local Law 144 rules, 6 RCNY § 5-300); for text, the three AUCs of Borkan et al. 2019; and what another threshold
would do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.fairness_rates import group_rates, measurement
from rai_bigmodel.evidence import Curve, Findings, Line
from rai_bigmodel.stats import calibration
from rai_bigmodel.stats import scores as ranking
from rai_bigmodel.stats.counts import Rate
from rai_bigmodel.stats.disparity import SMALLEST_ROWS, known
from rai_bigmodel.stats.thresholds import ThresholdCounts

if TYPE_CHECKING:
    from rai_bigmodel.audits.fairness_groups import Grouping
    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.subject import Array

CURVE_POINTS = 51


def of_scores(
    attribute: str,
    groups: Grouping,
    scores: Array,
    truth: Array,
    *,
    threshold: float | None,
    text: bool,
) -> Findings:
    """Per-group AUCs and scoring rates; of a single attribute also the curve over thresholds.

    Args:
        groups: codes ``(rows,)`` and names.
        scores: of the positive label ``(rows,)``.
        truth: whether the outcome is positive ``(rows,)``.
        threshold: the one chosen, if one is.
        text: also the subgroup, BPSN and BNSP AUCs.
    """
    codes, names = groups
    found: list[Measurement] = []
    for i, group in enumerate(names):
        labels, inside = {"attribute": attribute, "group": group}, codes == i
        found.append(_auc("roc_auc", labels, scores[inside], truth[inside]))
        found.append(_calibration(labels, scores[inside], truth[inside]))
        if text:
            found += _borkan(labels, inside, scores, truth)
    found += group_rates({"attribute": attribute}, "scoring_rate", scoring_rate(codes, names, scores))
    joint = "*" in attribute
    curves = () if joint else _curves(attribute, groups, scores, truth, threshold)
    return Findings(measurements=tuple(found), exhibits=curves)


def scoring_rate(codes: Array, names: tuple[str, ...], scores: Array) -> Rate:
    """The share of each group with a score above the median of all rows."""
    above = scores > np.median(scores)
    x, n = (np.bincount(codes[rows], minlength=len(names)) for rows in (above, slice(None)))
    return Rate(names, x, n)


def _auc(name: str, labels: dict[str, str], scores: Array, truth: Array) -> Measurement:
    area, n = ranking.auc(scores, truth), len(scores)
    if area is None:
        why = "one of the two outcomes does not occur among these rows"
        return measurement(name, labels, None, n=n, why=why)
    return measurement(name, labels, area, n=n, interval=ranking.auc_interval(scores, truth))


def _calibration(labels: dict[str, str], scores: Array, truth: Array) -> Measurement:
    """The debiased calibration error of a group, each group on its own."""
    n = len(scores)
    if n and (scores.min() < 0 or scores.max() > 1):
        why = "the scores are not probabilities: some lie outside 0 to 1"
        return measurement("ece_debiased", labels, None, n=n, why=why)
    seen = calibration.ece_debiased(scores, truth)
    return measurement("ece_debiased", labels, seen.value, n=n, interval=seen.interval, why=seen.why)


def _borkan(labels: dict[str, str], inside: Array, scores: Array, truth: Array) -> list[Measurement]:
    """Within the subgroup; background positives against subgroup negatives; and the other way round."""
    rows = {
        "subgroup_auc": inside,
        "bpsn_auc": inside ^ truth,
        "bnsp_auc": inside == truth,
    }
    return [_auc(name, labels, scores[chosen], truth[chosen]) for name, chosen in rows.items()]


def _curves(
    attribute: str,
    groups: Grouping,
    scores: Array,
    truth: Array,
    threshold: float | None,
) -> tuple[Curve, ...]:
    codes, names = groups
    low, high = (0.0, 1.0) if scores.min() >= 0 and scores.max() <= 1 else (scores.min(), scores.max())
    grid = np.linspace(low, high, CURVE_POINTS)
    if threshold is not None:
        grid = np.union1d(grid, [threshold])
    counted = ThresholdCounts.of(codes, truth, scores, groups=len(names), thresholds=grid)
    keep = (counted.n >= SMALLEST_ROWS) & known(names)
    lines = {"accuracy": counted.accuracy, "selection rate": counted.selection}
    if keep.sum() >= 2:
        lines = {"widest gap in selection rates": counted.gap(keep), **lines}
    x = tuple(round(float(t), 4) for t in grid)
    chosen = "" if threshold is None else " The threshold in use is marked."
    return (
        Curve(
            title=f"Over the decision threshold, by {attribute}",
            lines=tuple(
                Line(label=name, x=x, y=tuple(round(float(v), 4) for v in y)) for name, y in lines.items()
            ),
            caption=f"Groups of at least {SMALLEST_ROWS} rows; without intervals.{chosen}",
            x_axis="decision threshold",
            y_axis="share",
            mark=threshold,
        ),
    )
