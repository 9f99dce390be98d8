"""Is the ε that a training claims refuted by an attack on its own engine? Lower bounds of ε from canaries.

Three readings of the same scores: two normal samples (`gaussian-fit`, the sharpest, and only where the scores look
normal), and two from guesses, with the number of guesses corrected for: without assumptions (`snj`, Steinke, Nasr and
Jagielski 2023), and for a Gaussian trade-off curve (`f-dp`, Mahloujifar et al. 2025). What is not refuted is not
thereby shown: with so many canaries no larger ε could have been.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Measurement
from rai_bigmodel.stats import ladder
from rai_bigmodel.stats.dp_audit import NOT_NORMAL, gaussian_fit
from rai_bigmodel.stats.guessing import Bonferroni, lower_bound
from rai_bigmodel.stats.one_run import largest_refutable_epsilon
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from rai_bigmodel.accounting import Ledger
    from rai_bigmodel.stats.one_run import Hypothesis
    from rai_bigmodel.subject import Array, Subject

METHODS = ("gaussian-fit", "snj", "f-dp")
FEWEST = 100
LARGEST = 1_000.0
"""A bound beyond it is given as this: nothing like privacy is left."""
ALPHA = 0.05


def check_count(canaries: int) -> None:
    """Refuse so few canaries that nothing could come of them.

    Raises:
        InputError: there are some, but fewer than 100.
    """
    if canaries < 0 or 0 < canaries < FEWEST:
        reach = (
            f": with {canaries} the largest refutable epsilon is about {largest_refutable_epsilon(canaries):.2f}"
            if canaries > 0
            else ""
        )
        msg = f"privacy: canaries must be 0 (none) or at least {FEWEST}, got {canaries}{reach}"
        raise InputError(msg)


def of_canaries(
    subject: Subject, ledger: Ledger | None, spent: float | None, canaries: int, rng: np.random.Generator
) -> list[Measurement]:
    """The bounds, and the largest ε that guessing could have refuted.

    Args:
        spent: the ε that the ledger comes to, which a bound may refute.
    """
    why = ""
    if ledger is None:
        why = "the model's card has no privacy ledger, so there is no mechanism to attack"
    elif ledger.noise_multiplier == 0:
        why = "no noise was added, so there is no ε to refute"
    elif subject.canaries is None:
        why = "the training's engine is not at hand: canaries need a run that was trained here"
    if why or ledger is None or subject.canaries is None:
        return [
            *(_bound(method, None, why) for method in METHODS),
            Measurement(
                metric="privacy.largest_refutable_epsilon", kind="exact", value=None, n=canaries, why=why
            ),
        ]
    scores, member = subject.canaries(canaries, rng)
    return bounds(scores, member, delta=ledger.delta, against=spent, methods=METHODS)


def bounds(
    scores: Array,
    member: Array,
    *,
    delta: float,
    against: float | None,
    methods: Sequence[str],
    **labels: str,
) -> list[Measurement]:
    """Lower bounds of ε from scores, and the largest ε that guessing them all right could have refuted.

    Args:
        scores: higher is rather a member ``(rows,)``.
        member: by an independent coin each ``(rows,)``.
        against: the ε that a bound may refute.
        methods: of `METHODS`; a Gaussian fit is for canaries alone, whose scores are sums of noise.
    """

    def guessed(hypothesis: Hypothesis) -> Callable[[float], float]:
        return lambda alpha: (
            lower_bound(
                scores,
                member,
                choice=Bonferroni(),
                delta=delta,
                alpha=alpha,
                sides="both",
                hypothesis=hypothesis,
            ).epsilon
        )

    count = len(scores)
    largest = lower_bound(scores, member, choice=Bonferroni(), delta=delta, alpha=ALPHA, sides="both").largest
    reach = f"not refuted (largest refutable ε = {number(largest)})"
    ways: dict[str, Callable[[float], float]] = {
        "gaussian-fit": lambda alpha: gaussian_fit(scores, member, delta=delta, alpha=alpha).epsilon,
        "snj": guessed("epsilon-delta"),
        "f-dp": guessed("gaussian"),
    }
    found = []
    for method in methods:
        if method == "gaussian-fit":
            fit = gaussian_fit(scores, member, delta=delta, alpha=ALPHA)
            if not fit.normal:
                why = f"the canaries' scores are not normal (p = {fit.normality:.2g}, below {NOT_NORMAL:g})"
                found.append(_bound(method, None, why, count, **labels))
                continue
        bound = cache(lambda alpha, at=ways[method]: min(at(alpha), LARGEST))
        value = bound(ALPHA)
        refuted = against is not None and value > against
        words = f"refuted: ε is at least {number(value)}" if refuted else reach
        found.append(_bound(method, bound, words, count, **labels))
    return [
        *found,
        Measurement(
            metric="privacy.largest_refutable_epsilon",
            kind="exact",
            value=largest,
            n=count,
            labels=labels,
            why="by guessing every one right; a claim above it cannot be tested with so few",
        ),
    ]


def _bound(
    method: str,
    bound: Callable[[float], float] | None,
    why: str,
    canaries: int | None = None,
    **labels: str,
) -> Measurement:
    return Measurement(
        metric="privacy.epsilon_lower_bound",
        kind="bound",
        value=None if bound is None else bound(ALPHA),
        n=canaries,
        labels={"method": method, **labels},
        why=why,
        interval=None
        if bound is None
        else ladder.climb(
            lambda alpha: (bound(alpha), None), lambda alpha: (bound(alpha), None), method=method
        ),
    )
