"""Which models does Fairlearn's ExponentiatedGradient visit, and with what shares does it draw among them?

Agarwal et al. 2018 ("A reductions approach to fair classification", algorithm 1): a game between a learner, who
trains on labels and weights that carry the demand, and an auditor, who raises the price of what is still uneven.
Its answer is a draw among the models it visited. Fairlearn plays the game; the learner is the run's own recipe.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import util
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.subject import Array
    from rai_bigmodel.training.checkpoint import Run

    Learn = Callable[[Array, Array], tuple[Run, Array]]

ROUNDS = 8
"""Rounds of the game unless something else is said; one takes about three trainings."""
SMALLEST_SHARE = 1e-6
"""What a linear program leaves of a share that is zero."""
LEFT_OUT = "Fairlearn's ExponentiatedGradient was left out: the extra 'fairness' is not installed."
_MOMENT = {
    "demographic_parity": "DemographicParity",
    "equal_opportunity": "TruePositiveRateParity",
    "equalized_odds": "EqualizedOdds",
}


class Member(NamedTuple):
    """One of the models that are drawn among.

    Args:
        share: how likely it is to be drawn.
        run: the model; ``None`` for one that answers everybody alike, as the demand may ask for.
        always: that one answer.
    """

    share: float
    run: Run | None
    always: bool = False


class Game(NamedTuple):
    """What came out: the members, the rounds that were played, and how many trainings that took."""

    members: tuple[Member, ...]
    rounds: int
    trainings: int


def rounds_of(asked: int | None) -> int:
    """How many rounds are played: as asked, or the default where Fairlearn is installed and none where it is not.

    Raises:
        InputError: a negative number is asked for.
        MissingExtra: some are asked for, and Fairlearn is not installed.
    """
    there = util.find_spec("fairlearn") is not None
    if asked is None:
        return ROUNDS if there else 0
    if asked < 0:
        msg = f"rounds must be 0 or more, got {asked}"
        raise InputError(msg)
    if asked and not there:
        package, extra = "fairlearn", "fairness"
        raise MissingExtra(package, extra, "ExponentiatedGradient")
    return asked


@dataclass
class _Learner:
    """An estimator as Fairlearn asks for one; a row is known to it by its number.

    Args:
        learn: takes labels and weights ``(rows,)``, gives the model and its decisions about those rows.
    """

    learn: Learn
    run: Run | None = None
    decided: Array | None = None

    def fit(self, X: Any, y: Any, sample_weight: Any) -> _Learner:  # noqa: ARG002 - Fairlearn's signature
        self.run, self.decided = self.learn(np.asarray(y) > 0, np.asarray(sample_weight, dtype=np.float64))
        return self

    def predict(self, X: Any) -> Array:
        assert self.decided is not None
        return self.decided[np.asarray(X)[:, 0].astype(np.int64)].astype(np.int64)


def play(
    learn: Learn,
    truth: Array,
    group: Array,
    *,
    constraint: str,
    rounds: int,
    on_training: Callable[[int], None] | None = None,
) -> Game:
    """Play so many rounds, fewer if nobody can gain any more.

    Args:
        learn: takes labels and weights ``(rows,)``, mean 1, and gives a model with its decisions about the rows.
        truth: whether the outcome is positive ``(rows,)``.
        group: names ``(rows,)`` of at least two groups.
        on_training: called with how many trainings there have been.

    Raises:
        InputError: Fairlearn cannot put the demand to these rows.
        TrainingDiverged: a training's loss stopped being a number.
    """
    from fairlearn import reductions

    done = 0

    def counted(labels: Array, weights: Array) -> tuple[Run, Array]:
        nonlocal done
        if on_training:
            on_training(done)
        done += 1
        return learn(labels, weights)

    moment = getattr(reductions, _MOMENT[constraint])()
    game = reductions.ExponentiatedGradient(_Learner(counted), moment, max_iter=rounds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas, about versions to come
            game.fit(np.arange(len(truth))[:, None], truth.astype(int), sensitive_features=group)
    except ValueError as error:
        msg = f"ExponentiatedGradient could not be tried: {' '.join(str(error).split())[:160]}"
        raise InputError(msg) from None
    shares = np.array([float(game.weights_[i]) for i in game.predictors_.index])
    kept = shares > SMALLEST_SHARE
    shares = shares / shares[kept].sum()
    members = tuple(
        Member(float(share), one.run)
        if isinstance(one, _Learner)
        else Member(float(share), None, always=bool(one.constant))
        for one, share, keep in zip(game.predictors_, shares, kept, strict=True)
        if keep
    )
    return Game(members, int(game.last_iter_) + 1, done)
