"""How far did groups move apart, when two models decided about the same rows?

In a group both models' decisions are paired: Tango's score interval (1998) of the change of its rate. Two groups share
no rows, so the change of their difference is one of two independent numbers: MOVER (Zou and Donner 2008) adds their
arms in squares. The claim "some pair moved apart by more than a limit" is simultaneous over the pairs (Bonferroni);
"every pair keeps it" takes each on its own (intersection–union, Berger 1982).

A pair has a direction: the group that the first model favours, less the other. Where the first model does not tell
them apart, a move either way is a move apart, and both directions count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.evidence import LADDER
from rai_bigmodel.stats import special
from rai_bigmodel.stats.intervals import Limits, newcombe
from rai_bigmodel.stats.ladder import climb_at_once, z_two_sided
from rai_bigmodel.stats.means import ends_of, skewness_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.evidence import Interval

    Array = np.ndarray

_ALPHAS = np.array(LADDER)
_HALVINGS = 60


class Moves(NamedTuple):
    """The change of each group's number from a first model to a second.

    Args:
        value: the changes ``(groups,)``.
        limits: α ``(rungs,)`` → two-sided 1−α limits of each change, both ``(rungs, groups)``.
    """

    value: Array
    limits: Callable[[Array], tuple[Array, Array]]


class Widest(NamedTuple):
    """The pair of groups that moved apart most: by how much, and which of them gained on the other."""

    value: float
    gained: int
    lost: int
    interval: Interval


def tango(gained: Array, lost: Array, rows: Array, z: Array) -> tuple[Array, Array]:
    """Tango's limits of (gained − lost) / rows, for many groups at several z at once.

    Args:
        gained, lost: rows of each group where only the second, only the first succeeds ``(groups,)``.
        rows: all rows of each group, at least one.
        z: normal quantiles ``(rungs,)``.

    Returns:
        both ends, ``(rungs, groups)``.
    """
    b, c, n = (np.asarray(v, dtype=float)[None, :] for v in (gained, lost, rows))
    z = np.asarray(z, dtype=float)[:, None]

    def score(delta: Array) -> Array:
        middle = -b - c + (2 * n - b + c) * delta
        q = (np.sqrt(np.maximum(middle * middle + 8 * n * c * delta * (1 - delta), 0.0)) - middle) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        lead = b - c - n * delta
        with np.errstate(divide="ignore", invalid="ignore"):
            found = lead / np.sqrt(variance)
        return np.where(variance > 0, found, np.where(lead == 0, 0.0, np.copysign(np.inf, lead)))

    seen = (b - c) / n + 0 * z
    low, high = _solve(score, z, -np.ones_like(seen), seen), _solve(score, -z, seen, np.ones_like(seen))
    return low, high


def _solve(score: Callable[[Array], Array], target: Array, lower: Array, upper: Array) -> Array:
    for _ in range(_HALVINGS):
        middle = (lower + upper) / 2
        above = score(middle) > target
        lower, upper = np.where(above, middle, lower), np.where(above, upper, middle)
    return (lower + upper) / 2


def of_shares(gained: Array, lost: Array, rows: Array) -> Moves:
    """The change of the share of rows that succeed in each group; all ``(groups,)``, at least one row each."""

    def limits(alpha: Array) -> tuple[Array, Array]:
        return tango(gained, lost, rows, special.ndtri(1 - np.minimum(alpha, 1.0) / 2))

    return Moves((np.asarray(gained) - np.asarray(lost)) / np.asarray(rows), limits)


def of_means(values: list[Array]) -> Moves:
    """The mean change of a number in each group, by Student's t corrected for skewness; at least two rows each."""
    n = np.array([len(v) for v in values])
    centre = np.array([v.mean() for v in values])
    error = np.array([v.std(ddof=1) for v in values]) / np.sqrt(n)
    ends = ends_of(centre, error, n - 1.0, np.array([skewness_of(v) for v in values]))
    return Moves(centre, lambda alpha: ends(np.minimum(alpha, 1.0)[:, None]))


def alike(successes: Array, trials: Array, *, alpha: float = 0.05) -> Array:
    """Which pairs of groups the first model does not tell apart ``(groups, groups)``: Newcombe's interval holds 0."""
    low, high = newcombe(Limits.wilson(successes, trials, z_two_sided(alpha)))
    return (low <= 0) & (high >= 0)


def widest(moves: Moves, before: Array, tied: Array) -> Widest:
    """The pair of groups whose difference grew most; negative where every pair came nearer.

    Args:
        moves: of at least two groups.
        before: the number of each group under the first model ``(groups,)``.
        tied: which pairs it does not tell apart ``(groups, groups)``.
    """
    k = len(before)
    asked = ((before[:, None] > before[None, :]) | tied) & ~np.eye(k, dtype=bool)
    i, j = np.nonzero(asked)
    apart = moves.value[i] - moves.value[j]
    pairs = k * (k - 1) / 2

    def ends(alpha: Array) -> tuple[Array, Array]:
        low, high = moves.limits(alpha)
        down, up = moves.value - low, high - moves.value
        return (
            (apart - np.hypot(down[:, i], up[:, j])).max(axis=1),
            (apart + np.hypot(up[:, i], down[:, j])).max(axis=1),
        )

    at_once, each = ends(_ALPHAS / pairs), ends(2 * _ALPHAS)
    most = int(apart.argmax())
    interval = climb_at_once(
        lambda _: at_once, lambda _: (at_once[0], each[1]), method="mover over pairs, bonferroni"
    )
    return Widest(float(apart[most]), int(i[most]), int(j[most]), interval)
