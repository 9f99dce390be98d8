"""Do rates differ between groups within strata? The Mantel–Haenszel difference of risks.

Estimate: Greenland and Robins 1985. Variance: Sato 1989, consistent both for few large strata and for many small
ones; its limits solve (δ̂ − δ)² = z² Var(δ), so that they keep a width where the plain variance vanishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.stats.disparity import widest_by_pairs
from rai_bigmodel.stats.ladder import z_two_sided

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Interval

    Array = np.ndarray


class Within(NamedTuple):
    """How many rows of each stratum and group there are, and how many of them are selected.

    Args:
        groups, strata: the names.
        selected, rows: int64 ``(strata, groups)``.
    """

    groups: tuple[str, ...]
    strata: tuple[str, ...]
    selected: Array
    rows: Array


class Pooled(NamedTuple):
    """Differences p_i − p_j at equal stratum, pooled over strata; each ``(groups, groups)``.

    Args:
        difference: the Mantel–Haenszel difference; NaN where no stratum holds both groups.
        slope, level: Var(δ) = δ·slope + level.
    """

    difference: Array
    slope: Array
    level: Array


def mantel_haenszel(successes: Array, trials: Array) -> Pooled:
    """All pairwise differences of rates within strata.

    Args:
        successes, trials: counts ``(strata, groups)``.
    """
    x, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    x1, n1, x0, n0 = x[:, :, None], n[:, :, None], x[:, None, :], n[:, None, :]
    total = n1 + n0
    safe = np.where(total > 0, total, 1.0)
    weight = (n1 * n0 / safe).sum(axis=0)
    raw = ((x1 * n0 - x0 * n1) / safe).sum(axis=0)
    p = ((n1**2 * x0 - n0**2 * x1 + n1 * n0 * (n0 - n1) / 2) / safe**2).sum(axis=0)
    q = ((x1 * (n0 - x0) + x0 * (n1 - x1)) / (2 * safe)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Pooled(raw / weight, p / weight**2, q / weight**2)


def pooled_ends(pooled: Pooled, alpha: float) -> tuple[Array, Array]:
    """Two-sided 1−α limits of each difference, within −1 and 1."""
    z2 = z_two_sided(min(alpha, 1.0)) ** 2
    middle = pooled.difference + z2 * pooled.slope / 2
    inner = middle**2 - pooled.difference**2 + z2 * pooled.level
    reach = np.sqrt(np.maximum(inner, 0.0))
    return np.clip(middle - reach, -1.0, 1.0), np.clip(middle + reach, -1.0, 1.0)


def widest_conditional_gap(pooled: Pooled, *, compared: int) -> Interval | None:
    """The widest difference at equal stratum; ``None`` where a pair shows no spread to go by.

    Args:
        pooled: of the groups compared; pairs that share no stratum are left out.
        compared: how many groups were looked at, those left out included.
    """
    there = np.isfinite(pooled.difference) & ~np.eye(len(pooled.difference), dtype=bool)
    chosen = Pooled(*(v[there] for v in pooled))
    if not chosen.difference.size or (chosen.difference * chosen.slope + chosen.level <= 1e-15).any():
        return None
    return widest_by_pairs(
        lambda alpha: pooled_ends(chosen, alpha),
        groups=compared,
        method="mantel-haenszel, sato, šidák over pairs",
    )
