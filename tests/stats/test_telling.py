"""How well a group can be told from other columns: against scikit-learn, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from rai_bigmodel.stats import telling


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _shifted(rows: int, by: float, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    r = np.random.default_rng(seed)
    inside = r.random(rows) < 0.4
    return {"x": r.normal(size=rows) + by * inside, "noise": r.normal(size=rows)}, inside


def test_two_normal_groups_have_the_auc_known_on_paper() -> None:
    """Φ(δ/√2) for two normal laws δ apart: .921 at 2."""
    columns, inside = _shifted(20_000, 2.0)
    found = telling.told(columns, inside, _rng())

    assert found.auc == pytest.approx(special.ndtr(2 / np.sqrt(2)), abs=0.01)
    assert found.interval.low < special.ndtr(2 / np.sqrt(2)) < found.interval.high


def test_a_column_that_is_the_group_tells_it_all_and_none_at_all_tells_nothing() -> None:
    """1 and .5; a constant is no column to learn from."""
    _, inside = _shifted(300, 0.0)

    assert telling.told({"g": inside.astype(float)}, inside, _rng()).auc == 1.0
    assert telling.told({"one": np.ones(300)}, inside, _rng()).auc == 0.5
    assert telling.told({}, inside, _rng()).auc == 0.5


def test_ridge_is_that_of_scikit_learn() -> None:
    """Fitted on one half by scikit-learn's Ridge instead."""
    linear = pytest.importorskip("sklearn.linear_model", reason="the oracle is of the extra 'fairness'")
    columns, inside = _shifted(300, 0.7)
    x, half = telling.design(columns, 300), telling.half_of(inside, _rng())
    peer = linear.Ridge(alpha=1.0).fit(x[half], inside[half].astype(float))

    assert telling.ridge_scores(x, inside, half) == pytest.approx(peer.predict(x[~half]))


def test_a_missing_field_a_label_and_both_ends_tell_too() -> None:
    """Each alone, with an AUC beyond .6; a wild code weighs no more than any largest number."""
    r = _rng()
    inside = r.random(1000) < 0.5
    x = r.normal(size=1000)
    label = np.where(inside & (r.random(1000) < 0.5), "north", r.choice(["south", "east"], 1000)).astype(
        object
    )
    label[:5] = None
    for column in (
        np.where(inside & (r.random(1000) < 0.5), np.nan, x),
        np.where(inside, r.choice([-2.0, 2.0], 1000), x),
        np.where(r.random(1000) < 0.01, 1e9, x + inside),
        label,
    ):
        assert telling.told({"c": column}, inside, _rng()).interval.low > 0.6


def test_noise_is_told_no_oftener_than_the_interval_says() -> None:
    """In 100 seeds of two or twelve columns of noise, above .5 in at most 7 (8 by chance in 1 of 250 suites)."""
    alarms = 0
    for seed in range(100):
        r = np.random.default_rng(seed)
        columns = {f"x{i}": r.normal(size=200) for i in range(2 + 10 * (seed % 2))}
        alarms += telling.told(columns, r.random(200) < 0.3, r).interval.low > 0.5

    assert alarms <= 7


def test_halves_hold_the_same_share_of_the_group_and_the_same_generator_gives_the_same() -> None:
    """Within one row; randomness is an argument."""
    columns, inside = _shifted(203, 0.5)
    half = telling.half_of(inside, _rng())

    assert all(half[part].sum() == part.sum() // 2 for part in (inside, ~inside))
    assert telling.told(columns, inside, _rng()) == telling.told(columns, inside, _rng())
