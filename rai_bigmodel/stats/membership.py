"""How well are members told from non-members? Rates with their limits, and how far a planted secret stands out.

The scores come from an attack (`attacks`); higher means rather a member. Rates at few false alarms say more about
privacy than averages do (Carlini et al. 2022, arXiv:2112.03570), and are refused where too few non-members are
there to know what few is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import scores as ranking
from rai_bigmodel.stats.intervals import proportion

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Interval

    Array = np.ndarray

NON_MEMBERS_PER_FPR = 3
"""Non-members that must be expected beyond the threshold: 3,000 of them for a false positive rate of 0.1 %."""


@dataclass(frozen=True)
class Told:
    """A rate or an area, with its interval; `value` is ``None`` where it cannot be had, and `why` says so.

    Args:
        n: members and non-members it rests on.
    """

    value: float | None
    interval: Interval | None
    n: int
    why: str = ""


def auc(members: Array, non_members: Array) -> Told:
    """The area under the ROC curve: how often a member scores above a non-member; 0.5 tells nothing.

    Args:
        members, non_members: scores, each ``(rows,)``.

    Raises:
        InputError: a score is not finite.
    """
    both, truth = _together(members, non_members)
    value = ranking.auc(both, truth)
    if value is None:
        return Told(None, None, len(both), "there must be both members and non-members")
    return Told(value, ranking.auc_interval(both, truth), len(both))


def tpr_at(members: Array, non_members: Array, fpr: float) -> Told:
    """The share of members told with at most so many non-members falsely told, Clopper–Pearson.

    The threshold comes from the non-members alone, so at that threshold the limits are exact; that its false
    positive rate is itself measured is why few non-members are refused.

    Args:
        members, non_members: scores, each ``(rows,)``.
        fpr: such as 0.01 or 0.001.

    Raises:
        InputError: a score is not finite, or the rate is not between 0 and 1.
    """
    if not 0 < fpr < 1:
        msg = f"the false positive rate must lie between 0 and 1, both excluded, got {fpr}"
        raise InputError(msg)
    both, truth = _together(members, non_members)
    needed = math.ceil(NON_MEMBERS_PER_FPR / fpr - 1e-9)
    if len(non_members) < needed:
        why = (
            f"{len(non_members):,} non-members are too few for a false positive rate of {fpr:g}; "
            f"{needed:,} would do"
        )
        return Told(None, None, len(both), why)
    value = ranking.tpr_at(both, truth, fpr)
    if value is None:
        return Told(None, None, len(both), "there are no members")
    return Told(value, proportion(round(value * len(members)), len(members)), len(both))


def _together(members: Array, non_members: Array) -> tuple[Array, Array]:
    both = np.concatenate([np.asarray(members, dtype=np.float64), np.asarray(non_members, dtype=np.float64)])
    if bad := int((~np.isfinite(both)).sum()):
        msg = f"{bad:,} of {len(both):,} scores are not finite numbers"
        raise InputError(msg)
    return both, np.arange(len(both)) < len(members)


def no_overlap(members: Array, non_members: Array) -> None:
    """Refuse rows that are on both sides.

    Args:
        members, non_members: what tells a row from any other, such as an id or a digest ``(rows,)``.

    Raises:
        InputError: some rows are both.
    """
    shared = len(np.intersect1d(np.asarray(members), np.asarray(non_members)))
    if shared:
        msg = f"{shared:,} rows are members and non-members at once: a row must be one of them"
        raise InputError(msg)


# --- exposure ------------------------------------------------------------------------------------


def exposure(canary: float, others: Array) -> float:
    """How far a planted secret stands out, in bits: ``log₂ |R| − log₂ rank`` (Carlini et al. 2019, arXiv:1802.08232).

    Of a secret that was not trained on, it is exponential with mean 1/ln 2 ≈ 1.44.

    Args:
        canary: the model's loss on the secret, lower where it is more likely.
        others: its losses on others drawn as the secret was, at best all there are ``(others,)``; equal
            ones are counted as likelier.

    Raises:
        InputError: a loss is not finite, or there are no others.
    """
    others = _losses(canary, others, least=1)
    return math.log2(len(others) + 1) - math.log2(1 + int((others <= canary).sum()))


def exposure_fitted(canary: float, others: Array) -> float:
    """The exposure where the space is too large to go through: −log₂ of how often a drawn secret is as likely.

    Their losses are taken as skew-normal (Azzalini 1985, fitted by moments), as in Carlini et al. 2019.
    A tail beyond the losses seen is an extrapolation.

    Args:
        canary: the model's loss on the secret.
        others: its losses on secrets drawn at random, at least 100 ``(others,)``.

    Raises:
        InputError: a loss is not finite, there are too few others, or they do not vary.
    """
    others = _losses(canary, others, least=100)
    spread = float(others.std())
    if spread == 0:
        msg = "the losses of the other secrets do not vary, so nothing can be fitted to them"
        raise InputError(msg)
    # A skew-normal's skewness stays below 0.9953; a sample's need not.
    skew = float(np.clip(np.mean(((others - others.mean()) / spread) ** 3), -0.99, 0.99))
    root = abs(skew) ** (2 / 3)
    delta = math.copysign(math.sqrt(math.pi / 2 * root / (root + ((4 - math.pi) / 2) ** (2 / 3))), skew)
    scale = spread / math.sqrt(1 - 2 * delta**2 / math.pi)
    place = float(others.mean()) - scale * delta * math.sqrt(2 / math.pi)
    return -log_skew_normal((canary - place) / scale, delta / math.sqrt(1 - delta**2)) / math.log(2)


def log_skew_normal(z: float, shape: float) -> float:
    """The logarithm of the standard skew-normal distribution function, also far out in its lower tail."""
    if z > 0:
        return math.log(float(special.ndtr(z)) - 2 * float(special.owens_t(z, shape)))
    # Below 0 the difference above loses all its digits: integrate the density 2 φ(x) Φ(shape · x) instead.
    x = np.linspace(0.0, 12.0, 4001)
    log_density = math.log(2 / math.sqrt(2 * math.pi)) - (z - x) ** 2 / 2 + special.log_ndtr(shape * (z - x))
    weights = np.full(len(x), 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    return float(special.logsumexp(log_density, b=weights * (x[1] / 3)))


def _losses(canary: float, others: Array, least: int) -> Array:
    others = np.asarray(others, dtype=np.float64)
    if not math.isfinite(canary) or not np.isfinite(others).all():
        msg = "losses must be finite numbers"
        raise InputError(msg)
    if others.ndim != 1 or len(others) < least:
        msg = f"at least {least} other secrets are needed to compare with, got {others.size}"
        raise InputError(msg)
    return others
