"""Which coins are guessed from scores, and how many of the guesses are right? Counting, for `guessing`."""

from __future__ import annotations

from typing import Literal

import numpy as np

from rai_bigmodel.errors import InputError

Array = np.ndarray
Sides = Literal["one", "both"]
"""Whether only members are guessed, or as many non-members too."""


def checked(scores: Array, member: Array) -> tuple[Array, Array]:
    """Scores as floats and coins as booleans, both ``(canaries,)``.

    Raises:
        InputError: they are of different lengths or empty, a score is not finite, a coin no boolean.
    """
    scores, member = np.asarray(scores, dtype=np.float64), np.asarray(member)
    if scores.ndim != 1 or scores.shape != member.shape or not len(scores):
        msg = f"scores and coins must be columns of one length, got {scores.shape} and {member.shape}"
        raise InputError(msg)
    if bad := int((~np.isfinite(scores)).sum()):
        msg = f"{bad:,} of {len(scores):,} scores are not finite numbers"
        raise InputError(msg)
    if member.dtype != bool:
        msg = f"the coins must be booleans (in or out), got {member.dtype}"
        raise InputError(msg)
    return scores, member


def spread_out(canaries: int, sides: Sides = "one") -> tuple[int, ...]:
    """Six numbers of guesses from a few to about all that can be right, each twice the one before.

    Half the canaries are members, so with one side no more than half can be guessed rightly.
    """
    most = canaries if sides == "both" else canaries // 2
    return tuple(sorted({max(1, most >> i) for i in range(6)}))


def right_guesses(scores: Array, member: Array, guesses: int, sides: Sides = "one") -> int:
    """How many of so many guesses are right: the highest scores are in and, with both sides, the lowest out.

    Raises:
        InputError: there are not that many canaries, or none is guessed.
    """
    if not 1 <= guesses <= len(scores):
        msg = f"the number of guesses must lie between 1 and {len(scores)} (the canaries), got {guesses}"
        raise InputError(msg)
    # Of equal scores the non-members come first from the top, and the members from the bottom.
    falling = member[np.lexsort((member, -scores))]
    low = guesses // 2 if sides == "both" else 0
    return int(falling[: guesses - low].sum() + (~falling[len(falling) - low :]).sum())


def corners(scores: Array, member: Array) -> list[tuple[int, int]]:
    """Guesses and right ones at each corner of the ROC curve's upper convex hull, no guess at all included."""
    thresholds = np.concatenate([np.unique(scores), [np.inf]])[::-1]
    rising = [np.sort(scores[group]) for group in (~member, member)]
    counts = [len(r) - np.searchsorted(r, thresholds, "left") for r in rising]
    hull: list[tuple[int, int]] = []
    for point in zip(*(c.tolist() for c in counts), strict=True):
        while len(hull) > 1 and _left_of(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return [(false + true, true) for false, true in hull]


def _left_of(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    """Whether the way a, b, c goes straight on or turns left, so that b is no corner of an upper hull."""
    return (b[0] - a[0]) * (c[1] - a[1]) >= (b[1] - a[1]) * (c[0] - a[0])
