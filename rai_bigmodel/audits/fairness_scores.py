"""Do scores rank and select the groups of one attribute alike, whatever threshold is chosen?

AUC within each group; scoring rate, the share of a group above the whole sample's median score (New York City's
Local Law 144 rules, 6 RCNY § 5-300); for text, the three AUCs of Borkan et al. 2019; and what another threshold
would do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from rai_bigmodel.audits.fairness_rates import group_rates, measurement
from rai_bigmodel.evidence import Curve, Findings, Line
from rai_bigmodel.stats import calibration
from rai_bigmodel.stats import scores as ranking
from rai_bigmodel.stats.cells import Cells, of_rows
from rai_bigmodel.stats.counts import Rate, distinct
from rai_bigmodel.stats.disparity import SMALLEST_ROWS, known
from rai_bigmodel.stats.ladder import widened
from rai_bigmodel.stats.thresholds import ThresholdCounts

if TYPE_CHECKING:
    from rai_bigmodel.audits.fairness_groups import Grouping
    from rai_bigmodel.evidence import Interval, Measurement
    from rai_bigmodel.subject import Array

CURVE_POINTS, BINNED_POINTS = 51, 65
FEW = 512
"""So many scores are simply sorted."""


def of_scores(
    attribute: str,
    names: tuple[str, ...],
    cells: list[Cells],
    *,
    threshold: float | None,
    rows: tuple[Grouping, Array, Array] | None = None,
) -> Findings:
    """Per-group AUCs, calibration and scoring rates; of a single attribute also the curve over thresholds.

    Args:
        names: of the groups.
        cells: of each group, its rows by score and outcome; counted in bins where rows stay in their engine.
        threshold: the one chosen, if one is.
        rows: for the subgroup, BPSN and BNSP AUCs: groups, scores ``(rows,)`` and outcomes ``(rows,)``.
    """
    found: list[Measurement] = []
    areas = [ranking.auc_of_cells(of) for of in cells]
    spans, errors = ranking.auc_intervals(cells, areas), _calibrations(cells)
    for i, group in enumerate(names):
        labels = {"attribute": attribute, "group": group}
        found.append(_auc("roc_auc", labels, cells[i].n, areas[i], spans[i]))
        found.append(_calibration(labels, cells[i], errors[i]))
        if rows is not None:
            (codes, _), scores, truth = rows
            found += _borkan(labels, codes == i, scores, truth)
    found += _scoring_rates({"attribute": attribute}, names, cells)
    curves = () if "*" in attribute else _curves(attribute, names, cells, threshold)
    return Findings(measurements=tuple(found), exhibits=curves)


def scoring_rate(names: tuple[str, ...], cells: list[Cells]) -> tuple[Rate, Array]:
    """The share of each group with a score above the median of all rows.

    Returns:
        The rates, and how far each is at most from that of the rows: 0, or half the share of a group whose
        scores are in one bin with the median.
    """
    median, width = _median(cells), cells[0].width
    x, n, off = [], [], []
    for one in cells:
        rows = one.rows
        above = int(rows[one.scores > median + width / 2].sum())
        unclear = int(rows[np.abs(one.scores - median) <= width / 2].sum()) if width else 0
        x.append(above + unclear // 2)
        n.append(int(rows.sum()))
        off.append((unclear - unclear // 2) / max(n[-1], 1))
    return Rate(names, np.array(x), np.array(n)), np.array(off)


def _median(cells: list[Cells]) -> float:
    """The median score of all rows: the mean of the middle two where there are two."""
    reached = [np.cumsum(c.rows) for c in cells]
    n = sum(int(r[-1]) for r in reached if len(r))
    low, high = (_ranking(cells, reached, place) for place in ((n - 1) // 2, n // 2))
    return float(low + high) / 2


def _ranking(cells: list[Cells], reached: list[Array], place: int) -> float:
    """The score of the row at a place in the order of all; the groups are sorted, and all of them together need not be.

    Args:
        reached: of each group, the rows up to each of its scores.
    """
    bounds = [[0, len(c.scores)] for c in cells]
    while sum(end - start for start, end in bounds) > FEW:
        widest = max(range(len(cells)), key=lambda i: bounds[i][1] - bounds[i][0])
        pivot = cells[widest].scores[(sum(bounds[widest]) - 1) // 2]
        ends = [int(np.searchsorted(c.scores, pivot, side="right")) for c in cells]
        below = sum(int(r[end - 1]) for r, end in zip(reached, ends, strict=True) if end)
        for bound, end in zip(bounds, ends, strict=True):
            # Where more rows lie at or below the pivot than come before the one sought, it is one of them.
            bound[1 if below > place else 0] = min(max(end, bound[0]), bound[1])
    rest = [np.arange(*bound) for bound in bounds]
    scores = np.concatenate([c.scores[at] for c, at in zip(cells, rest, strict=True)])
    before = sum(int(r[start - 1]) for r, (start, _) in zip(reached, bounds, strict=True) if start)
    order = np.argsort(scores, kind="stable")
    there = np.concatenate([c.rows[at] for c, at in zip(cells, rest, strict=True)])[order]
    return float(scores[order][np.searchsorted(before + np.cumsum(there), place, side="right")])


def _scoring_rates(labels: dict[str, str], names: tuple[str, ...], cells: list[Cells]) -> list[Measurement]:
    rate, off = scoring_rate(names, cells)
    found = group_rates(labels, "scoring_rate", rate)
    if not off.any():
        return found
    return [
        msgspec.structs.replace(m, interval=widened(m.interval, float(by))) if m.interval else m
        for m, by in zip(found, off, strict=True)
    ]


def _auc(
    name: str, labels: dict[str, str], n: int, area: ranking.Area, interval: Interval | None
) -> Measurement:
    if area.value is None:
        why = "one of the two outcomes does not occur among these rows"
        return measurement(name, labels, None, n=n, why=why)
    return measurement(
        name,
        labels,
        area.value,
        n=n,
        interval=interval,
        why=binned_by(area.error),
    )


def binned_by(error: float) -> str:
    """What a histogram costs, in words; empty where scores are exact."""
    return f"counted in bins: the rows' own value lies within {error:.2g}" if error else ""


def cut_by(error: float) -> str:
    """The same of a calibration error, whose own bins can then only be cut where those of the histogram are."""
    return (
        f"counted in bins: cut where these are, the rows' own value lies within {error:.2g}" if error else ""
    )


def _calibrations(groups: list[Cells]) -> list[calibration.Calibration | None]:
    """The debiased calibration error of each group, each on its own; ``None`` of scores that are no probabilities."""
    probable = [not (c.n and (c.scores[0] < 0 or c.scores[-1] > 1)) for c in groups]
    known = iter(calibration.ece_of_groups([c for c, yes in zip(groups, probable, strict=True) if yes]))
    return [next(known) if yes else None for yes in probable]


def _calibration(labels: dict[str, str], cells: Cells, seen: calibration.Calibration | None) -> Measurement:
    n = cells.n
    if seen is None:
        why = "the scores are not probabilities: some lie outside 0 to 1"
        return measurement("ece_debiased", labels, None, n=n, why=why)
    why = seen.why or cut_by(seen.error)
    return measurement("ece_debiased", labels, seen.value, n=n, interval=seen.interval, why=why)


def _borkan(labels: dict[str, str], inside: Array, scores: Array, truth: Array) -> list[Measurement]:
    """Within the subgroup; background positives against subgroup negatives; and the other way round."""
    rows = {
        "subgroup_auc": inside,
        "bpsn_auc": inside ^ truth,
        "bnsp_auc": inside == truth,
    }
    cells = [of_rows(scores[chosen], truth[chosen]) for chosen in rows.values()]
    areas = [ranking.auc_of_cells(of) for of in cells]
    each = zip(rows, cells, areas, ranking.auc_intervals(cells, areas), strict=True)
    return [_auc(name, labels, of.n, area, span) for name, of, area, span in each]


def _curves(
    attribute: str, names: tuple[str, ...], cells: list[Cells], threshold: float | None
) -> tuple[Curve, ...]:
    lowest, highest = (f(c.scores[i] for c in cells if c.n) for f, i in ((min, 0), (max, -1)))
    low, high = (0.0, 1.0) if lowest >= 0 and highest <= 1 else (lowest, highest)
    binned = cells[0].width > 0
    # In an engine thresholds lie where bins do, so that nothing is off.
    grid = np.linspace(low, high, BINNED_POINTS if binned else CURVE_POINTS)
    if threshold is not None and not binned:
        grid = distinct(np.append(grid, threshold))
    counted = ThresholdCounts.of_cells(cells, grid)
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
