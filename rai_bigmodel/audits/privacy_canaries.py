"""Is the ε that a training claims refuted by an attack on its own engine? Lower bounds of ε from canaries.

Two attacks: by whoever sees every update, on a weight that each canary has for itself (`of_canaries`), and by whoever
sees the answers alone, which are asked about canaries after the whole training was made again on them
(`of_black_box_canaries`): far weaker, and all that most attackers have.

Three readings of the scores: two normal samples (`gaussian-fit`, the sharpest, and only where the scores are sums of
noise and look normal), and two from guesses, with the number of guesses corrected for: without assumptions (`snj`,
Steinke, Nasr and Jagielski 2023), and for a Gaussian trade-off curve (`f-dp`, Mahloujifar et al. 2025). What is not
refuted is not thereby shown: with so many canaries no larger ε could have been, and a claim beyond that is not tested.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rai_bigmodel.audits.privacy_answers import sure_of
from rai_bigmodel.errors import InputError, TrainingDiverged
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
    from rai_bigmodel.stats.guessing import Bound
    from rai_bigmodel.stats.one_run import Hypothesis
    from rai_bigmodel.subject import Array, Subject

METHODS = ("gaussian-fit", "snj", "f-dp")
GUESSED = ("snj", "f-dp")
"""Those that take any scores, of whatever attack."""
BLACK_BOX = "black-box canaries"
FEWEST = 100
LARGEST = 1_000.0
"""A bound beyond it is given as this: nothing like privacy is left."""
ALPHA = 0.05


def check_count(canaries: int, name: str = "canaries") -> None:
    """Refuse so few canaries that nothing could come of them.

    Args:
        name: of the parameter.

    Raises:
        InputError: there are some, but fewer than 100.
    """
    if canaries < 0 or 0 < canaries < FEWEST:
        reach = (
            f": with {canaries} the largest refutable epsilon is about {largest_refutable_epsilon(canaries):.2f}"
            if canaries > 0
            else ""
        )
        msg = f"privacy: {name} must be 0 (none) or at least {FEWEST}, got {canaries}{reach}"
        raise InputError(msg)


def of_canaries(
    subject: Subject, ledger: Ledger | None, spent: float | None, canaries: int, rng: np.random.Generator
) -> list[Measurement]:
    """The bounds from a weight of its own for each canary, and the largest ε that guessing could have refuted.

    Args:
        spent: the ε that the ledger comes to, which a bound may refute.
    """
    why = _obstacle(ledger)
    if not why and subject.canaries is None:
        why = "the training's engine is not at hand: canaries need a run that was trained here"
    if why or ledger is None or subject.canaries is None:
        return _nothing(METHODS, why, canaries)
    scores, member = subject.canaries(canaries, rng)
    return bounds(scores, member, delta=ledger.delta, against=spent, methods=METHODS)


def of_black_box_canaries(
    subject: Subject, ledger: Ledger | None, spent: float | None, canaries: int, rng: np.random.Generator
) -> list[Measurement]:
    """The bounds from how sure a training made again on canaries is of each, labelled as this attack.

    Args:
        spent: as in `of_canaries`.
    """
    why = _obstacle(ledger)
    if not why and subject.rehearse is None:
        why = (
            "the training cannot be made again on made-up rows: that needs a run that was trained here, and that began "
            "with no other run"
        )
    if why or ledger is None or subject.rehearse is None:
        return _nothing(GUESSED, why, canaries, attack=BLACK_BOX)
    try:
        again, rows, member = subject.rehearse(canaries, rng)
    except TrainingDiverged as error:
        why = f"made again on made-up rows the training diverged ({error})"
        return _nothing(GUESSED, why, canaries, attack=BLACK_BOX)
    confidence = sure_of(again, rows).confidence
    return bounds(confidence, member, delta=ledger.delta, against=spent, methods=GUESSED, attack=BLACK_BOX)


def _obstacle(ledger: Ledger | None) -> str:
    """Why there is nothing to attack."""
    if ledger is None:
        return "the model's card has no privacy ledger, so there is no mechanism to attack"
    return "no noise was added, so there is no ε to refute" if ledger.noise_multiplier == 0 else ""


def _nothing(methods: Sequence[str], why: str, canaries: int, **labels: str) -> list[Measurement]:
    """Nulls, with why."""
    return [
        *(_bound(method, None, why, None, **labels) for method in methods),
        Measurement(
            metric="privacy.largest_refutable_epsilon",
            kind="exact",
            value=None,
            n=canaries,
            labels=labels,
            why=why,
        ),
    ]


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

    Where a method could not refute `against` by guessing every one right, its bound is null: nothing was tested.

    Args:
        scores: higher is rather a member ``(rows,)``.
        member: by an independent coin each ``(rows,)``.
        against: the ε that a bound may refute.
        methods: of `METHODS`; a Gaussian fit is for canaries alone, whose scores are sums of noise.
    """

    def guessed(hypothesis: Hypothesis) -> Callable[[float], Bound]:
        return lambda alpha: lower_bound(
            scores,
            member,
            choice=Bonferroni(),
            delta=delta,
            alpha=alpha,
            sides="both",
            hypothesis=hypothesis,
        )

    count = len(scores)
    guesses = {"snj": guessed("epsilon-delta"), "f-dp": guessed("gaussian")}
    # A fit is not held back by how many there are.
    largest = {method: at(ALPHA).largest for method, at in guesses.items()} | {"gaussian-fit": LARGEST}
    ways: dict[str, Callable[[float], float]] = {
        "gaussian-fit": lambda alpha: gaussian_fit(scores, member, delta=delta, alpha=alpha).epsilon,
        "snj": lambda alpha: guesses["snj"](alpha).epsilon,
        "f-dp": lambda alpha: guesses["f-dp"](alpha).epsilon,
    }
    found = []
    for method in methods:
        if method == "gaussian-fit":
            fit = gaussian_fit(scores, member, delta=delta, alpha=ALPHA)
            if not fit.normal:
                why = f"the canaries' scores are not normal (p = {fit.normality:.2g}, below {NOT_NORMAL:g})"
                found.append(_bound(method, None, why, count, **labels))
                continue
        most = largest[method]
        if against is not None and against > most:
            why = (
                f"not testable at this m (m = {count:,}, largest refutable ε = {number(most)}): the claim is "
                f"ε = {number(against)}"
            )
            found.append(_bound(method, None, why, count, **labels))
            continue
        bound = cache(lambda alpha, at=ways[method]: min(at(alpha), LARGEST))
        value = bound(ALPHA)
        refuted = against is not None and value > against
        reach = f"not refuted (largest refutable ε = {number(most)})"
        words = f"refuted: ε is at least {number(value)}" if refuted else reach
        found.append(_bound(method, bound, words, count, **labels))
    return [
        *found,
        Measurement(
            metric="privacy.largest_refutable_epsilon",
            kind="exact",
            value=largest["snj"],
            n=count,
            labels=labels,
            why="by guessing every one right; without assumptions a claim above it cannot be tested with so few",
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
