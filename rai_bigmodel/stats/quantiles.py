"""What is the τ-quantile of a number, given features? Linear quantile regression, exactly.

The least pinball loss is a linear program; it is solved by a primal-dual interior point (Portnoy and Koenker 1997;
Mehrotra 1992): some twenty weighted least squares, the same result every time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    Array = np.ndarray

_MOST_STEPS = 100
_GAP = 1e-10
_BACK_OFF = 0.99995


def pinball(values: Array, predicted: Array, tau: float) -> float:
    """The mean pinball loss: τ for each unit too low, 1 − τ for each too high (Koenker and Bassett 1978)."""
    error = values - predicted
    return float(np.mean(np.maximum(tau * error, (tau - 1) * error)))


def fit(features: Array, values: Array, tau: float) -> Array:
    """Intercept and slopes ``(1 + features,)`` of the τ-quantile.

    Args:
        features: ``(rows, features)``; a constant column gets a slope of 0.
        values: ``(rows,)``.
        tau: between 0 and 1.

    Raises:
        InputError: shapes do not fit, there are no more rows than features, an entry is not finite, or τ
            is out of range.
    """
    features, values = np.asarray(features, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if not 0 < tau < 1:
        msg = f"tau must lie between 0 and 1, both excluded, got {tau}"
        raise InputError(msg)
    if features.ndim != 2 or values.shape != (len(features),) or len(values) <= features.shape[1] + 1:
        msg = f"a quantile needs more rows than features, got {features.shape} and {values.shape}"
        raise InputError(msg)
    if not (np.isfinite(features).all() and np.isfinite(values).all()):
        msg = "features and values must be finite numbers"
        raise InputError(msg)
    # Of one size, so that a pivot's size means something; back to the user's units at the end.
    centre, scale = features.mean(axis=0), features.std(axis=0)
    kept = scale > 1e-12 * np.maximum(np.abs(centre), 1)
    middle, spread = float(np.median(values)), float(values.std()) or 1.0
    X = np.column_stack([np.ones(len(values)), (features[:, kept] - centre[kept]) / scale[kept]])
    slopes = _interior_point(X, (values - middle) / spread, tau) * spread
    out = np.zeros(1 + features.shape[1])
    out[1:][kept] = slopes[1:] / scale[kept]
    out[0] = middle + slopes[0] - float(out[1:] @ centre)
    return out


def predict(coefficients: Array, features: Array) -> Array:
    """The fitted quantile at each row ``(rows,)``."""
    return coefficients[0] + np.asarray(features, dtype=np.float64) @ coefficients[1:]


def _interior_point(X: Array, y: Array, tau: float) -> Array:
    """Maximise y'a over a in [0, 1]ⁿ with X'a = (1 − τ) X'1; the multipliers of the equality are the coefficients."""
    n = len(y)
    beta = np.linalg.lstsq(X, y, rcond=None)[0]
    # Multipliers z of a ≥ 0 and w of a ≤ 1, with w − z the residual y − Xβ; both kept off 0.
    r = y - X @ beta
    lift = 0.1 * max(float(np.abs(r).mean()), 1e-6)
    at = _Point(beta, np.full(n, 1 - tau), np.maximum(-r, 0) + lift, np.maximum(r, 0) + lift)
    for _ in range(_MOST_STEPS):
        gap = at.gap()
        if gap <= _GAP * n * (1 + float(np.abs(y).mean())):
            break
        none = np.zeros(n)
        straight = _newton(X, y, at, 0.0, (none, none))
        after = at.moved(straight).gap()
        # The products of the straight step are what it got wrong (Mehrotra's corrector).
        target = (after / gap) ** 3 * gap / (2 * n)
        at = at.moved(_newton(X, y, at, target, (straight.a * straight.z, -straight.a * straight.w)))
    return at.beta


class _Point(NamedTuple):
    """Coefficients, the dual a and the multipliers of its two limits; or a step of all four."""

    beta: Array
    a: Array
    z: Array
    w: Array

    def gap(self) -> float:
        """Primal minus dual."""
        return float(self.a @ self.z + (1 - self.a) @ self.w)

    def moved(self, step: _Point) -> _Point:
        """As far along a step as a, 1 − a, z and w stay positive."""
        first = min(_room(self.a, step.a), _room(1 - self.a, -step.a))
        second = min(_room(self.z, step.z), _room(self.w, step.w))
        return _Point(
            self.beta + second * step.beta,
            self.a + first * step.a,
            self.z + second * step.z,
            self.w + second * step.w,
        )


def _newton(X: Array, y: Array, at: _Point, target: float, off: tuple[Array, Array]) -> _Point:
    """Newton's step to a·z + az = (1 − a)·w + sw = target with both feasibilities kept: one least squares."""
    (az, sw), s = off, 1 - at.a
    weight = 1 / (at.z / at.a + at.w / s)
    free = y - X @ at.beta + (target - az) / at.a - (target - sw) / s
    root = np.sqrt(weight)
    beta = np.linalg.lstsq(X * root[:, None], root * free, rcond=1e-12)[0]
    a = weight * (free - X @ beta)
    return _Point(
        beta, a, (target - az) / at.a - at.z - at.z / at.a * a, (target - sw) / s - at.w + at.w / s * a
    )


def _room(x: Array, dx: Array) -> float:
    """The largest step, at most 1, that keeps x positive."""
    falling = dx < 0
    return min(1.0, _BACK_OFF * float(np.min(-x[falling] / dx[falling]))) if falling.any() else 1.0
