"""How much did rates and gaps between groups change against the model that runs today, on the same rows?

A group's rate by Tango's interval on the rows that count towards it; its precision, whose rows differ between the two,
by resampling cells; the widest gap by the pairs that may be the widest (`paired.change_of_widest`); AUCs by DeLong;
mean predictions by Student's t. What is left (ratios, calibration, strata) is bounded by the two intervals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.changes import key
from rai_bigmodel.audits.fairness_rates import SCOPES, too_few
from rai_bigmodel.stats import means, paired, resampling
from rai_bigmodel.stats.counts import Rate

if TYPE_CHECKING:
    from rai_bigmodel.audits.changes import Changed, Key
    from rai_bigmodel.audits.fairness_groups import Grouping
    from rai_bigmodel.subject import Array

DRAWS = 20_000
FEWEST_SELECTED = 30
"""Decisions of a group up to which resampling its precision says too little."""
Flags = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Whether each row's outcome is positive, its decision was, and is; booleans ``(rows,)``."""
_GAPS = {
    "demographic_parity_difference": ("selection_rate",),
    "equal_opportunity_difference": ("true_positive_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
    "accuracy_difference": ("accuracy",),
}


def paired_rates(
    attribute: str, groups: Grouping, flags: Flags, rng: np.random.Generator, *, about: str = ""
) -> dict[Key, Changed]:
    """The changes of every rate of each group and of the widest gaps.

    Args:
        about: the label that is told from all others, where there are more than two.
    """
    (codes, names), (truth, before, after) = groups, flags
    of_class = {"class": about} if about else {}
    k = len(names)
    by_name = {
        "selection_rate": paired.rates(codes, before, after, groups=k),
        "true_positive_rate": paired.rates(codes, before, after, groups=k, among=truth),
        "false_positive_rate": paired.rates(codes, before, after, groups=k, among=~truth),
        "false_negative_rate": paired.rates(codes, ~before, ~after, groups=k, among=truth),
        "accuracy": paired.rates(codes, before == truth, after == truth, groups=k),
    }
    found = {}
    for name, rates in by_name.items():
        for i in np.flatnonzero(rates.trials).tolist():
            labels = {"attribute": attribute, "group": names[i], **of_class}
            found[key(f"fairness.{name}", labels)] = paired.share_change(
                int(rates.gained[i]), int(rates.lost[i]), int(rates.trials[i])
            )
    found |= _precision({"attribute": attribute, **of_class}, groups, flags, rng)
    for scope, choose in SCOPES:
        for gap, of in _GAPS.items():
            families = []
            for name in of:
                rates = by_name[name]
                now, was = (choose(Rate(names, x, rates.trials)) for x in (rates.after, rates.before))
                # Groups that can be compared both before and after: what is expected of either decision may differ.
                keep = now.keep & was.keep
                if (
                    keep.sum() >= 2
                    and not too_few(now)
                    and (keep == now.keep).all()
                    and (keep == was.keep).all()
                ):
                    families.append((rates.of(keep), now.compared))
            if len(families) == len(of):
                labels = {"attribute": attribute, "scope": scope, **of_class}
                found[key(f"fairness.{gap}", labels)] = paired.change_of_widest(families)
    return found


def _precision(
    about: dict[str, str], groups: Grouping, flags: Flags, rng: np.random.Generator
) -> dict[Key, Changed]:
    (codes, names), (truth, before, after) = groups, flags
    cells = np.bincount(
        ((codes.astype(np.int64) * 2 + truth) * 2 + before) * 2 + after, minlength=8 * len(names)
    ).reshape(-1, 2, 2, 2)
    found = {}
    for i, own in enumerate(cells):
        chosen = own.sum(axis=(0, 2))[1], own.sum(axis=(0, 1))[1]
        if min(chosen) >= FEWEST_SELECTED:
            labels = {**about, "group": names[i]}
            interval = resampling.bca(own, _precision_change, rng, draws=DRAWS)
            found[key("fairness.precision", labels)] = float(_precision_change(own)), interval
    return found


def _precision_change(cells: Array) -> Array:
    """Of cells ``(…, outcome, before, after)``: the share of the selected that is positive, after less before."""
    with np.errstate(invalid="ignore", divide="ignore"):
        after = cells[..., 1, :, 1].sum(axis=-1) / cells[..., :, 1].sum(axis=(-1, -2))
        before = cells[..., 1, 1, :].sum(axis=-1) / cells[..., 1, :].sum(axis=(-1, -2))
    change: Array = after - before
    return change


def paired_aucs(
    attribute: str, groups: Grouping, truth: Array, before: Array, after: Array
) -> dict[Key, Changed]:
    """The changes of the AUC within each group; before and after are scores ``(rows,)``."""
    codes, names = groups
    found = {}
    for i, group in enumerate(names):
        own = codes == i
        if 0 < truth[own].sum() < own.sum():
            changed = paired.auc_change(before[own], after[own], truth[own])
            found[key("fairness.roc_auc", {"attribute": attribute, "group": group})] = changed
    return found


def paired_means(attribute: str, groups: Grouping, before: Array, after: Array) -> dict[Key, Changed]:
    """The changes of the mean prediction of each group; before and after are numbers ``(rows,)``."""
    codes, names = groups
    found = {}
    for i, group in enumerate(names):
        moved = (after - before)[codes == i]
        labels = {"attribute": attribute, "group": group}
        found[key("fairness.mean_prediction", labels)] = float(moved.mean()), means.mean(moved)
    return found
