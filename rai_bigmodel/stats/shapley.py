"""What is each player's fair share of a game's worth? Shapley values, exactly or from a sample of coalitions.

Every estimate here is a fixed matrix applied to the worths of the coalitions, so that one design and one solve
serve any number of rows. Exact: Shapley 1953. Sampled: the weighted regression of Lundberg and Lee 2017 with
each coalition beside its complement (Covert and Lee 2021), whole sizes enumerated where they fit, and a
standard error for each value from the residuals of the pairs that were drawn.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray


class Design(NamedTuple):
    """Coalitions, and the matrix that turns their worths into values.

    Args:
        members: who is in ``(coalitions, players)``, booleans. The empty coalition stands first, the full one
            second; from `drawn` on, coalition and complement alternate.
        solve: ``(coalitions, players)``: values = worths @ solve.
        drawn: the number of the first coalition that was drawn rather than enumerated.
        weight: of each coalition in the regression ``(coalitions,)``; 0 for the empty and the full one.
    """

    members: Array
    solve: Array
    drawn: int
    weight: Array


def every_coalition(players: int) -> Design:
    """All 2^players coalitions; the values are exact."""
    numbers = np.arange(2**players)
    order = np.concatenate([[0, 2**players - 1], numbers[1:-1]]) if players else numbers
    members = (order[:, None] >> np.arange(players)) & 1 == 1
    size = members.sum(axis=1)
    fact = [math.factorial(i) for i in range(players + 1)]
    # Joining a coalition of s−1 others weighs (s−1)! (d−s)! / d!; staying out of one of s weighs s! (d−s−1)! / d!.
    joins = np.array([0.0, *(fact[s - 1] * fact[players - s] / fact[players] for s in range(1, players + 1))])
    stays = np.array([*(fact[s] * fact[players - s - 1] / fact[players] for s in range(players)), 0.0])
    solve = np.where(members, joins[size][:, None], -stays[size][:, None])
    return Design(members, solve, len(members), np.zeros(len(members)))


def paired_design(players: int, coalitions: int, rng: np.random.Generator) -> Design:
    """About so many coalitions: sizes that fit are enumerated, the rest is drawn in pairs by the kernel.

    Args:
        players: at least 2.
        coalitions: how many may be asked for, the empty and the full one left out.
    """
    sizes = np.arange(1, players // 2 + 1)  # a size stands for itself and its complement
    twice = np.where(2 * sizes == players, 1.0, 2.0)
    mass = twice / (sizes * (players - sizes))  # the kernel times the number of coalitions of that size
    mass /= mass.sum()
    number = np.array([math.comb(players, int(s)) for s in sizes]) * twice
    left, whole = float(coalitions), 0
    # A size is enumerated once its share of what is left would pay for all its coalitions.
    while whole < len(sizes) and left * mass[whole] / mass[whole:].sum() >= number[whole] - 1e-9:
        left -= number[whole]
        whole += 1
    listed, weight = [np.zeros(players, dtype=bool), np.ones(players, dtype=bool)], [0.0, 0.0]
    for i in range(whole):
        for chosen in itertools.combinations(range(players), int(sizes[i])):
            one = np.zeros(players, dtype=bool)
            one[list(chosen)] = True
            listed.append(one)
            if twice[i] == 2.0:
                listed.append(~one)
        weight += [mass[i] / number[i]] * int(number[i])
    drawn = len(listed)
    if whole < len(sizes):
        pairs = max(players, round(left / 2))
        rest = mass[whole:] / mass[whole:].sum()
        size = sizes[whole:][rng.choice(len(rest), size=pairs, p=rest)]
        # The players with the `size` smallest of independent uniform numbers are a random subset.
        first = np.argsort(np.argsort(rng.random((pairs, players)), axis=1), axis=1) < size[:, None]
        listed += [row for one in first for row in (one, ~one)]
        weight += [mass[whole:].sum() / (2 * pairs)] * (2 * pairs)
    members, weights = np.array(listed), np.array(weight)
    return Design(members, _solve(members, weights), drawn, weights)


def _solve(members: Array, weight: Array) -> Array:
    """Weighted least squares whose values add up to the full coalition's worth over the empty one's."""
    z = members.astype(np.float64)
    z_w = z * weight[:, None]
    inverse = np.linalg.pinv(z.T @ z_w, hermitian=True)
    solve = z_w @ inverse
    solve[0] -= solve.sum(axis=0)  # worths are counted from the empty coalition's
    share = inverse.sum(axis=1) / inverse.sum()
    total = solve.sum(axis=1)
    solve -= np.outer(total, share)
    solve[1] += share
    solve[0] -= share
    return solve


def values(worths: Array, design: Design) -> Array:
    """Shapley values ``(rows, players)`` of worths ``(rows, coalitions)``."""
    return worths @ design.solve


def standard_errors(worths: Array, design: Design) -> Array:
    """How far each value may be off for the coalitions that were not asked ``(rows, players)``; 0 where all were.

    The regression's residuals, a pair at a time (White 1980, clustered): a coalition and its complement share
    their draw.
    """
    players = design.members.shape[1]
    if design.drawn >= len(design.members):
        return np.zeros((len(worths), players))
    fitted = values(worths, design) @ design.members.T + worths[:, :1]
    residual = (worths - fitted)[:, design.drawn :]
    one, other = residual[:, ::2], residual[:, 1::2]
    m, k = design.solve[design.drawn :: 2], design.solve[design.drawn + 1 :: 2]
    pairs = len(m)
    variance = one**2 @ m**2 + other**2 @ k**2 + 2 * (one * other) @ (m * k)
    return np.sqrt(np.maximum(variance, 0.0) * pairs / max(1, pairs - players))
