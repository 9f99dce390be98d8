"""How many coins should be guessed, and what does it cost to choose? Scores of canaries → a lower bound of ε.

The canaries with the highest scores are guessed to be in; with both sides, as many with the lowest to be out. The
number of guesses is fixed in advance, or the best of several is taken and the error rate divided by their number,
or it is found on some of the canaries and used on the others. Taking the best uncorrected raises the false alarms
of a 5 % test to 16 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.gaussian import check_alpha
from rai_bigmodel.stats.guesses import Sides, checked, corners, right_guesses, spread_out
from rai_bigmodel.stats.one_run import Hypothesis, epsilon_at_least

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray


@dataclass(frozen=True)
class Fixed:
    """One number of guesses, fixed without looking at the coins."""

    guesses: int


@dataclass(frozen=True)
class Bonferroni:
    """The best of several numbers of guesses, fixed without looking at the coins, at α divided by how many.

    Args:
        guesses: the numbers; none means `spread_out` over the canaries.
    """

    guesses: tuple[int, ...] = ()


@dataclass(frozen=True)
class Corners:
    """The best corner of the ROC curve's convex hull, at α divided by the number of corners; one side only.

    As in jax_privacy. How many corners there are depends on the coins, so it is Bonferroni's correction in
    spirit only: a check against that library rather than the bound to report.
    """


@dataclass(frozen=True)
class Split:
    """The scores that count as a guess are found on some canaries, and the bound comes from the others.

    Args:
        share: of the canaries, to find them on.
        repeats: more than one split: the median of their bounds, each at α/2. If most of them are too
            large then, of bounds that are so α/2 of the time, at least half are: that happens at most α of the time.
    """

    share: float = 0.5
    repeats: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.repeats < 1:
            msg = f"a split needs a share between 0 and 1 and at least one repeat, got {self.share}, {self.repeats}"
            raise InputError(msg)


Choice = Fixed | Bonferroni | Corners | Split


@dataclass(frozen=True)
class Bound:
    """A lower bound of ε, and how it came about.

    Args:
        epsilon: 0 where nothing is refuted.
        guesses, correct: of the number of guesses that gave it; 0 where none did, and for repeated splits.
        largest: what a perfect attack would have given under the same choice: a claim above it is beyond this test.
    """

    epsilon: float
    guesses: int
    correct: int
    canaries: int
    alpha: float
    delta: float
    largest: float


def lower_bound(
    scores: Array,
    member: Array,
    *,
    choice: Choice,
    delta: float,
    alpha: float = 0.05,
    sides: Sides = "one",
    hypothesis: Hypothesis = "epsilon-delta",
    rng: np.random.Generator | None = None,
) -> Bound:
    """The lower bound of ε at level 1−α from one training run.

    Ties are taken to the auditor's disadvantage.

    Args:
        scores: higher means rather a member ``(canaries,)``.
        member: the coins, booleans ``(canaries,)``; thrown independently, each fair.
        choice: how many guesses are made.
        sides: whether non-members are guessed as well.
        hypothesis: what is refuted: (ε, δ)-privacy, or a Gaussian trade-off curve with that ε at δ.
        rng: for splits.

    Raises:
        InputError: scores are not finite or of another length than the coins, a number of guesses is out
            of range, a split comes without `rng`, or α or δ is out of range.
    """
    scores, member = checked(scores, member)
    check_alpha(alpha)
    test = _Test(alpha, delta, sides, hypothesis)
    if isinstance(choice, Split):
        return _split(scores, member, choice, test, rng)
    m = len(scores)
    if isinstance(choice, Corners):
        if sides != "one":
            msg = "the corners of the ROC curve are guessed on one side: sides must be 'one'"
            raise InputError(msg)
        tried, perfect = corners(scores, member), [(m // 2, m // 2), (m, m // 2), (0, 0)]
    else:
        numbers = (choice.guesses,) if isinstance(choice, Fixed) else choice.guesses or spread_out(m, sides)
        tried = [(k, right_guesses(scores, member, k, sides)) for k in numbers]
        perfect = [(k, k if sides == "both" else min(k, m // 2)) for k in numbers]
    return Bound(*test.best(m, tried), m, alpha, delta, test.best(m, perfect)[0])


@dataclass(frozen=True)
class _Test:
    """What is refuted, and at which level."""

    alpha: float
    delta: float
    sides: Sides
    hypothesis: Hypothesis

    def bound(
        self, canaries: int, guesses: int, correct: int, *, tests: int = 1, above: float = 0.0
    ) -> float:
        """The bound from one of so many numbers of guesses."""
        return epsilon_at_least(
            canaries,
            guesses,
            correct,
            alpha=self.alpha / tests,
            delta=self.delta,
            hypothesis=self.hypothesis,
            above=above,
        )

    def best(self, canaries: int, tried: Sequence[tuple[int, int]]) -> tuple[float, int, int]:
        """The largest bound of those tried, at α over their number; with its guesses and how many were right."""
        best = (0.0, 0, 0)
        # The most precise first, so that the others are soon told to be no larger.
        for guesses, correct in sorted(set(tried), key=lambda t: -(t[1] - t[1] ** 0.5) / max(t[0], 1)):
            if 2 * correct > guesses:
                epsilon = self.bound(canaries, guesses, correct, tests=len(tried), above=best[0])
                if epsilon > best[0]:
                    best = (epsilon, guesses, correct)
        return best


def _split(
    scores: Array, member: Array, choice: Split, test: _Test, rng: np.random.Generator | None
) -> Bound:
    if rng is None:
        msg = "a split draws canaries by chance: give rng"
        raise InputError(msg)
    m = len(scores)
    if m < 4:
        msg = f"a split needs at least 4 canaries, got {m}"
        raise InputError(msg)
    each = test if choice.repeats == 1 else replace(test, alpha=test.alpha / 2)
    cut = min(max(round(choice.share * m), 2), m - 2)
    orders = [rng.permutation(m) for _ in range(choice.repeats)]
    bounds = sorted(_on_the_rest(scores, member, (o[:cut], o[cut:]), each) for o in orders)
    epsilon, guesses, correct = bounds[(len(bounds) - 1) // 2]
    if choice.repeats > 1:
        guesses = correct = 0
    most = m - cut if test.sides == "both" else (m - cut) // 2
    return Bound(epsilon, guesses, correct, m, test.alpha, test.delta, each.best(m - cut, [(most, most)])[0])


def _on_the_rest(
    scores: Array, member: Array, parts: tuple[Array, Array], test: _Test
) -> tuple[float, int, int]:
    first, second = parts
    # The number that would do best here, uncorrected: it only says which scores are to count as a guess.
    rated = []
    for k in spread_out(len(first), test.sides):
        right = right_guesses(scores[first], member[first], k, test.sides)
        rated.append((test.bound(len(first), k, right), right / k, k))
    guesses = max(rated)[2]
    low = guesses // 2 if test.sides == "both" else 0
    rising = np.sort(scores[first])
    inside = scores[second] >= rising[len(first) - (guesses - low)]
    outside = (scores[second] <= rising[low - 1]) & ~inside if low else np.zeros(len(second), dtype=bool)
    correct = int((inside & member[second]).sum() + (outside & ~member[second]).sum())
    return test.best(len(second), [(int(inside.sum() + outside.sum()), correct)])
