"""How small can ε be, if the canaries' scores are Gaussian, or if there were many runs? Bounds that assume something.

The Gaussian fit takes canaries that a sum of noisy steps moves: their scores are two normal samples whose distance
in standard deviations is the μ of the mechanism (the idea of Nasr et al. 2023, arXiv:2302.07956, and of Andrew et
al. 2024, arXiv:2302.03098). It is far sharper than the bounds of `one_run`, and only as good as the normality that
it tests. Beside it: two rates with a threshold fixed in advance (Nasr et al. 2023), and the ratio of two rates
over many training runs (Jagielski, Ullman and Oprea 2020, arXiv:2006.07709).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.gaussian import check_alpha, check_delta, epsilon_of
from rai_bigmodel.stats.guesses import checked
from rai_bigmodel.stats.intervals import clopper_pearson

if TYPE_CHECKING:
    Array = np.ndarray

NOT_NORMAL = 0.001
"""A p-value of `normality_p` at or below this says that the Gaussian fit has nothing to stand on."""
FEWEST = 20
"""Canaries of either kind for a Gaussian fit: what the test of normality needs."""


@dataclass(frozen=True)
class GaussianFit:
    """A lower bound of ε from two normal samples.

    Args:
        epsilon: the bound; infinite where the scores of either kind do not vary and differ.
        mu: the lower bound of μ, 0 where nothing is refuted.
        distance: the estimate of μ.
        normality: p of the test that both samples are normal.
    """

    epsilon: float
    mu: float
    distance: float
    normality: float
    alpha: float
    delta: float

    @property
    def normal(self) -> bool:
        """Whether the scores look normal, so that the bound may be believed."""
        return self.normality > NOT_NORMAL


def gaussian_fit(scores: Array, member: Array, *, delta: float, alpha: float = 0.05) -> GaussianFit:
    """The lower bound of ε at level 1−α from canaries with normal scores of one spread.

    Student's t of the two samples is noncentral, its noncentrality μ √(n₁n₀/(n₁+n₀)): the smallest μ under which
    so large a t is no rarer than α is the bound, read as ε at δ.

    Args:
        scores: higher means rather a member ``(canaries,)``.
        member: booleans ``(canaries,)``.

    Raises:
        InputError: fewer than 20 canaries of either kind, scores that are not finite, or α or δ out of range.
    """
    scores, member = checked(scores, member)
    check_alpha(alpha)
    check_delta(delta)
    inside, outside = scores[member], scores[~member]
    if min(len(inside), len(outside)) < FEWEST:
        msg = f"a Gaussian fit needs {FEWEST} canaries of either kind, got {len(inside)} in and {len(outside)} out"
        raise InputError(msg)
    df = len(scores) - 2
    gap = float(inside.mean() - outside.mean())
    squares = float(((inside - inside.mean()) ** 2).sum() + ((outside - outside.mean()) ** 2).sum())
    spread = math.sqrt(squares / df)
    normality = min(1.0, 2 * min(normality_p(inside), normality_p(outside)))
    # Scores that differ by rounding only do not vary.
    if spread <= 1e-12 * max(abs(gap), float(np.abs(scores).max())):
        mu = math.inf if gap > 0 and abs(gap) > 1e-9 * float(np.abs(scores).max()) else 0.0
        return GaussianFit(mu, mu, mu, normality, alpha, delta)
    scale = math.sqrt(len(inside) * len(outside) / len(scores))
    mu = max(0.0, noncentrality_at_least(gap / spread * scale, df, alpha) / scale)
    return GaussianFit(epsilon_of(mu, delta), mu, gap / spread, normality, alpha, delta)


def noncentrality_at_least(t: float, df: int, alpha: float) -> float:
    """The one-sided lower bound of the noncentrality of Student's t at level 1−α; may be negative."""
    # Around the normal approximation (Johnson and Welch 1940), wide enough at any df that comes here.
    width = 12 * math.sqrt(1 + t * t / (2 * df))
    low, high = t - width, t + width
    for _ in range(100):
        middle = (low + high) / 2
        below = float(special.nctdtr(df, middle, t))
        if math.isnan(below):  # far tails, at a |t| of thousands: there the approximation is exact to 1e-6
            below = float(special.ndtr((t * (1 - 1 / (4 * df)) - middle) / math.sqrt(1 + t * t / (2 * df))))
        low, high = (middle, high) if below > 1 - alpha else (low, middle)
    return low


def normality_p(values: Array) -> float:
    """The p-value of normality by skewness and kurtosis (D'Agostino and Pearson 1973; from 20 values on).

    Values that do not vary give 1: nothing speaks against.
    """
    n = len(values)
    centred = values - values.mean()
    m2, m3, m4 = (float(np.mean(centred**k)) for k in (2, 3, 4))
    if n < FEWEST or m2 <= 1e-24 * float(np.max(values**2)):
        return 1.0
    return float(special.chdtrc(2, _skewness_z(m3 / m2**1.5, n) ** 2 + _kurtosis_z(m4 / m2**2, n) ** 2))


def _skewness_z(skew: float, n: int) -> float:
    """D'Agostino 1970."""
    y = skew * math.sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
    b = 3 * (n * n + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    w2 = math.sqrt(2 * (b - 1)) - 1
    return math.asinh(y / math.sqrt(2 / (w2 - 1))) / math.sqrt(math.log(w2) / 2)


def _kurtosis_z(kurtosis: float, n: int) -> float:
    """Anscombe and Glynn 1983."""
    mean = 3 * (n - 1) / (n + 1)
    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    x = (kurtosis - mean) / math.sqrt(variance)
    skew = (
        6
        * (n * n - 5 * n + 2)
        / ((n + 7) * (n + 9))
        * math.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    )
    a = 6 + 8 / skew * (2 / skew + math.sqrt(1 + 4 / skew**2))
    root = (1 - 2 / a) / (1 + x * math.sqrt(2 / (a - 4)))
    return (1 - 2 / (9 * a) - float(np.cbrt(root))) / math.sqrt(2 / (9 * a))


def gaussian_from_rates(
    scores: Array, member: Array, *, threshold: float, delta: float, alpha: float = 0.05
) -> float:
    """The lower bound of ε at level 1−α of a mechanism with a Gaussian trade-off (Nasr et al. 2023).

    ``μ ≥ Φ⁻¹(1 − FPR) − Φ⁻¹(FNR)``, both rates at their Clopper–Pearson upper limits, each at α/2.

    Args:
        threshold: a member is told by a score at or above it; chosen without these canaries.

    Raises:
        InputError: scores or coins are wrong, one kind is absent, or α or δ is out of range.
    """
    scores, member = checked(scores, member)
    check_alpha(alpha)
    told = scores >= threshold
    false_positives = most(int((told & ~member).sum()), int((~member).sum()), alpha / 2)
    false_negatives = most(int((~told & member).sum()), int(member.sum()), alpha / 2)
    if max(false_positives, false_negatives) >= 1:
        return epsilon_of(0.0, delta)
    mu = float(-special.ndtri(false_positives) - special.ndtri(false_negatives))
    return epsilon_of(max(0.0, mu), delta)


def many_runs(
    true_positives: int,
    with_it: int,
    false_positives: int,
    without_it: int,
    *,
    delta: float,
    alpha: float = 0.05,
) -> float:
    """The lower bound of ε at level 1−α from many training runs with and without one record.

    ``ln((TPR − δ) / FPR)`` with TPR at its lower and FPR at its upper Clopper–Pearson limit, each at α/2
    (Jagielski et al. 2020); 0 where nothing is refuted. The rule that tells the two apart was fixed before.

    Args:
        true_positives: runs with the record that were told to have it, of `with_it`.
        false_positives: runs without it that were told to have it, of `without_it`.

    Raises:
        InputError: the counts do not fit together, or α or δ is out of range.
    """
    check_alpha(alpha)
    check_delta(delta, zero=True)
    tpr = 1 - most(with_it - true_positives, with_it, alpha / 2)
    fpr = most(false_positives, without_it, alpha / 2)
    return max(0.0, math.log((tpr - delta) / fpr)) if tpr > delta else 0.0


def most(successes: int, trials: int, alpha: float) -> float:
    """The one-sided Clopper–Pearson upper limit of a proportion at level 1−α.

    Raises:
        InputError: there are no trials, or not between none and all of them succeeded.
    """
    if trials < 1 or not 0 <= successes <= trials:
        msg = (
            f"a rate needs at least one trial and no more successes than trials, got {successes} of {trials}"
        )
        raise InputError(msg)
    return clopper_pearson(successes, trials, 2 * alpha)[1]
