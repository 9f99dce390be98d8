"""Was this row a member? Scores of attacks from a model's answers: higher means rather a member.

Likelihood ratios against shadow models (LiRA: Carlini et al. 2022, arXiv:2112.03570), relative likelihood against
a population (RMIA: Zarifzadeh, Liu and Shokri 2024, arXiv:2312.03262), and the answer above what was to be expected
of such a row (quantile regression: Bertran et al. 2023, arXiv:2307.03694).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import quantiles

if TYPE_CHECKING:
    Array = np.ndarray

EDGE = 1e-12
"""How near to 0 and 1 a probability is taken for the logit."""
OWN_SPREAD = 64
"""Shadow models from which on each row gets a spread of its own in LiRA."""


def logit_confidence(probabilities: Array) -> Array:
    """The logit, log p / (1 − p), of the right label's probability, which is close to normal over shadow models."""
    p = np.asarray(probabilities, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        msg = "probabilities must lie from 0 to 1"
        raise InputError(msg)
    return special.logit(np.clip(p, EDGE, 1 - EDGE))


def right_label_confidence(chances: Array, label: Array) -> Array:
    """The logit of the right label's probability from all of a row's, exact where it is all but 1.

    Args:
        chances: class probabilities ``(rows, labels)``.
        label: codes ``(rows,)``.
    """
    chances = np.asarray(chances, dtype=np.float64)
    right = np.arange(chances.shape[1]) == np.asarray(label)[:, None]
    # 1 − p as the sum of the others keeps the digits that a subtraction would lose.
    mine, others = np.where(right, chances, 0).sum(axis=1), np.where(right, 0, chances).sum(axis=1)
    return np.log(np.maximum(mine, EDGE)) - np.log(np.maximum(others, EDGE))


def lira(target: Array, shadows: Array, inside: Array) -> Array:
    """LiRA's score of each row ``(rows,)``: the log likelihood ratio of "in" against "out".

    Rows that no shadow model had inside are scored offline: by how far the target stands above "out".
    With fewer than 64 shadow models one spread is shared by all rows, in and out apart.

    Args:
        target: the audited model's logit confidences ``(rows,)``.
        shadows: those of the shadow models ``(models, rows)``.
        inside: which rows each was trained on, booleans ``(models, rows)``.

    Raises:
        InputError: shapes do not fit, or a row is inside in some shadow models and outside in fewer than
            two or the other way round.
    """
    target, shadows, inside = np.asarray(target, dtype=np.float64), np.asarray(shadows), np.asarray(inside)
    if shadows.ndim != 2 or shadows.shape != inside.shape or target.shape != shadows.shape[1:]:
        msg = (
            "LiRA needs one confidence for each shadow model and row, "
            f"got {target.shape}, {shadows.shape} and {inside.shape}"
        )
        raise InputError(msg)
    if inside.dtype != bool:
        msg = f"inside must be booleans, got {inside.dtype}"
        raise InputError(msg)
    times_in, times_out = inside.sum(axis=0), (~inside).sum(axis=0)
    online = bool((times_in > 0).any())
    if times_out.min() < 2 or (online and times_in.min() < 2):
        msg = (
            "LiRA needs each row outside at least two shadow models and inside at least two, or inside none: "
            f"got a row outside {times_out.min()} and one inside {times_in.min()}"
        )
        raise InputError(msg)
    out = _Normal.of(shadows, ~inside)
    above = (target - out.mean) / out.spread
    if not online:
        return special.log_ndtr(above) - special.log_ndtr(-above)
    within = _Normal.of(shadows, inside)
    return (
        above**2 / 2 - ((target - within.mean) / within.spread) ** 2 / 2 + np.log(out.spread / within.spread)
    )


class _Normal(NamedTuple):
    mean: Array
    spread: Array

    @classmethod
    def of(cls, values: Array, used: Array) -> _Normal:
        """Of the values used in each column."""
        n = used.sum(axis=0)
        mean = np.where(used, values, 0).sum(axis=0) / n
        squares = np.where(used, values - mean, 0) ** 2
        if len(values) >= OWN_SPREAD:
            variance = squares.sum(axis=0) / (n - 1)
        else:
            variance = np.full(len(n), squares.sum() / (n - 1).sum())
        return cls(mean, np.sqrt(np.maximum(variance, 1e-30)))


def rmia(
    target: Array,
    references: Array,
    population_target: Array,
    population_references: Array,
    *,
    share: float = 0.3,
    gamma: float = 1.0,
) -> Array:
    """RMIA's score of each row ``(rows,)``: the share of the population it beats.

    Row x beats z where ``(p(x|θ) / p(x)) / (p(z|θ) / p(z)) > γ``; p(x) is ``((1 + a) p̄_out(x) + (1 − a)) / 2``
    with p̄_out the mean over reference models that never saw x (the offline form).

    Args:
        target: probabilities of the right label under the audited model ``(rows,)``.
        references: the same under reference models that did not see these rows ``(models, rows)``.
        population_target, population_references: of rows that no model saw.
        share: the paper's a.

    Raises:
        InputError: shapes do not fit, or a probability is not from 0 to 1.
    """
    ratio, beaten = (
        _relative(p, q, share) for p, q in ((target, references), (population_target, population_references))
    )
    # ratio / beaten > γ, without dividing by a population row that the model gives no chance at all.
    return np.searchsorted(np.sort(beaten * gamma), ratio, side="left") / len(beaten)


def _relative(target: Array, references: Array, share: float) -> Array:
    target, references = np.asarray(target, dtype=np.float64), np.asarray(references, dtype=np.float64)
    if references.ndim != 2 or target.shape != references.shape[1:] or not references.size:
        msg = f"RMIA needs one chance for each reference model and row, got {target.shape} and {references.shape}"
        raise InputError(msg)
    if not all(((p >= 0) & (p <= 1)).all() for p in (target, references)):
        msg = "probabilities must lie from 0 to 1"
        raise InputError(msg)
    return target / (((1 + share) * references.mean(axis=0) + (1 - share)) / 2)


def above_quantile(
    members: tuple[Array, Array],
    non_members: tuple[Array, Array],
    rng: np.random.Generator,
    *,
    fpr: float,
    folds: int = 5,
) -> tuple[Array, Array]:
    """How far each row's score stands above the (1 − fpr)-quantile of non-members with such features.

    The quantile is fitted on non-members of the other folds, for members and non-members alike: a row that
    helped to fit its own threshold would look less of a member than one that did not.

    Args:
        members, non_members: scores ``(rows,)`` and features ``(rows, features)`` of each.
        fpr: the false positive rate at which the attack is to be sharp.

    Returns:
        New scores of the members and of the non-members.

    Raises:
        InputError: there are too few non-members to fit, or shapes do not fit.
    """
    if not 2 <= folds <= len(non_members[0]):
        msg = f"folds must lie between 2 and the non-members ({len(non_members[0])}), got {folds}"
        raise InputError(msg)
    scores = [np.asarray(part[0], dtype=np.float64) for part in (members, non_members)]
    features = [np.asarray(part[1], dtype=np.float64) for part in (members, non_members)]
    fold = [rng.permutation(len(s)) % folds for s in scores]
    above = [np.empty(len(s)) for s in scores]
    for i in range(folds):
        fit_on = fold[1] != i
        line = quantiles.fit(features[1][fit_on], scores[1][fit_on], 1 - fpr)
        for part in (0, 1):
            here = fold[part] == i
            above[part][here] = scores[part][here] - quantiles.predict(line, features[part][here])
    return above[0], above[1]
