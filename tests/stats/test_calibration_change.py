"""How much worse calibrated: the difference of two debiased errors, and how often its interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel.stats.calibration import ece_debiased
from rai_bigmodel.stats.calibration_change import change


def sure(z: np.ndarray, times: float) -> np.ndarray:
    """Scores of a chance of sigmoid(z) that are so many times too sure."""
    return 1 / (1 + np.exp(-times * z))


def gap(after: float, before: float) -> float:
    """The truth, from 400,000 rows."""
    r = np.random.default_rng(1)
    z = r.normal(size=400_000)
    y = r.random(len(z)) < sure(z, 1)
    return ece_debiased(sure(z, after), y).value - ece_debiased(sure(z, before), y).value


@pytest.mark.parametrize("after", [1.0, 2.0])
def test_the_interval_holds_the_truth_as_often_as_it_says(after: float) -> None:
    """Of 150 samples of 400 rows, misses within 5 % and two deviations; where both are calibrated, too."""
    truth, r, missed = gap(after, 1.0), np.random.default_rng(2), 0
    for _ in range(150):
        z = r.normal(size=400)
        y = r.random(400) < sure(z, 1)
        _, interval, _ = change(ece_debiased(sure(z, 1), y), ece_debiased(sure(z, after), y))
        missed += not interval.low <= truth <= interval.high

    assert missed / 150 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


def test_what_one_of_them_lacks_the_change_lacks() -> None:
    """Too few rows for bins: null with why."""
    r = np.random.default_rng(3)
    few, many = r.random(50), r.random(500)
    told = ece_debiased(many, r.random(500) < many)

    value, interval, why = change(ece_debiased(few, r.random(50) < few), told)
    assert value is None
    assert interval is None
    assert "too few" in why


def test_the_change_is_turned_round_with_its_models() -> None:
    """At every rung."""
    r = np.random.default_rng(4)
    z = r.normal(size=300)
    y = r.random(300) < sure(z, 1)
    one, other = ece_debiased(sure(z, 1), y), ece_debiased(sure(z, 3), y)
    (there, forth, _), (back, again, _) = change(one, other), change(other, one)

    assert there == -back
    assert [r[1] for r in forth.ladder] == [-r[2] for r in again.ladder]
    assert [r[3] for r in forth.ladder] == [-r[4] for r in again.ladder]
