"""Errors of predicted numbers against scikit-learn, their intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel.stats import regression


def _rows(n: int, rng: np.random.Generator):
    truth = rng.normal(size=n)
    return truth, 0.6 * truth + rng.normal(size=n) * 0.5


def test_rmse_and_r2_are_those_of_scikit_learn() -> None:
    """To rounding."""
    from sklearn import metrics

    truth, predicted = _rows(200, np.random.default_rng(0))

    assert regression.rmse(truth - predicted) == pytest.approx(
        metrics.root_mean_squared_error(truth, predicted), abs=1e-12
    )
    assert regression.r2(truth, predicted) == pytest.approx(metrics.r2_score(truth, predicted), abs=1e-12)


def test_intervals_of_rmse_and_r2_cover() -> None:
    """150 rows, 400 draws: at least 92 % of nominal 95."""
    rng = np.random.default_rng(1)
    # error = −0.4·truth + 0.5·noise: mean square .16 + .25; the outcome's variance is 1.
    covered = np.zeros(2)
    for _ in range(400):
        truth, predicted = _rows(150, rng)
        a, b = regression.rmse_interval(predicted - truth), regression.r2_interval(truth, predicted)
        covered += [a.low <= np.sqrt(0.41) <= a.high, b.low <= 0.59 <= b.high]

    assert (covered / 400 >= 0.92).all()


def test_what_does_not_vary_has_no_interval() -> None:
    """A constant outcome has no R²; errors all alike, or none, no interval."""
    same, x = np.ones(10), np.arange(10.0)

    assert regression.r2(same, x) is None
    assert regression.r2_interval(x, x) is None
    assert regression.rmse_interval(x - x) is None
    assert regression.rmse_interval(same) is None
    assert regression.welch(same, same) is None


def test_the_difference_of_two_means_is_welchs() -> None:
    """Against scipy.stats at 95 %, of values without skewness."""
    from scipy import stats

    rng = np.random.default_rng(2)
    first, second = (
        np.concatenate([half, 2 * c - half])
        for half, c in ((rng.normal(1, 2, 20), 1), (rng.normal(0, 1, 45), 0))
    )
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    found = regression.welch(first, second)

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
