"""Are features that tell the attribute found, and others left in peace?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rai_bigmodel.mitigate import proxies as px


def _rng() -> np.random.Generator:
    return np.random.default_rng(4)


def _rows(rows: int = 800) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(3)
    return {f"x{i}": rng.normal(size=rows) for i in range(12)}, rng.choice(3, rows, p=[0.7, 0.2, 0.1])


def test_a_planted_proxy_is_found_and_stands_first() -> None:
    """Among twelve columns of noise, one that follows the group."""
    features, group = _rows()
    features["area"] = group + np.random.default_rng(1).normal(0, 1.5, len(group))
    found = px.proxies(features, group, _rng())

    assert found[0].feature == "area"
    assert found[0].stands
    assert [p.feature for p in found if p.stands] == ["area"]


def test_the_twin_without_a_proxy_accuses_nothing() -> None:
    """Noise alone."""
    features, group = _rows()

    assert not any(p.stands for p in px.proxies(features, group, _rng()))


@pytest.mark.zoo
def test_noise_is_accused_in_about_one_in_twenty_families() -> None:
    """Holm over twelve features at 0.05: in 40 families at most 6 false alarms (1 in 100 by chance)."""
    features, group = _rows(200)
    shuffle = np.random.default_rng(8)
    alarms = sum(
        any(p.stands for p in px.proxies(features, shuffle.permutation(group), shuffle)) for _ in range(40)
    )

    assert alarms <= 6


def test_being_missing_tells_too_and_so_does_a_shape_without_a_trend() -> None:
    """One group often leaves the field empty; another has values at both ends."""
    features, group = _rows()
    rng = np.random.default_rng(2)
    features["empty"] = np.where((group == 1) & (rng.random(800) < 0.5), np.nan, rng.normal(size=800))
    features["ends"] = np.where(group == 0, rng.normal(0, 0.5, 800), rng.choice([-2.0, 2.0], 800))

    assert {p.feature for p in px.proxies(features, group, _rng()) if p.stands} == {"empty", "ends"}


@pytest.mark.parametrize("seed", range(5))
def test_chi_square_is_scipys(seed) -> None:
    """Without a continuity correction."""
    table = np.random.default_rng(seed).integers(1, 30, (3, 4))

    assert px.chi_square(table[None])[0] == pytest.approx(stats.chi2_contingency(table, correction=False)[0])


def test_strength_is_known_on_paper() -> None:
    """A feature that is the attribute has strength 1, a table as independence would have it 0."""
    assert px.strength(np.array([[50, 0], [0, 50]])) == pytest.approx(1.0)
    assert px.strength(np.array([[10, 20], [20, 40]])) == 0.0
    assert px.strength(np.array([[10, 20]])) == 0.0


def test_drawn_tables_are_what_shuffling_gives() -> None:
    """Margins kept exactly; mean and variance of each cell as the multivariate hypergeometric law says."""
    rows, columns, n = np.array([30, 12, 8]), np.array([20, 25, 5]), 50
    drawn = px.drawn_tables(rows, columns, 40_000, _rng())
    mean = rows[:, None] * columns[None] / n
    variance = mean * (n - rows[:, None]) / n * (n - columns[None]) / (n - 1)

    assert (drawn.sum(axis=2) == rows).all()
    assert (drawn.sum(axis=1) == columns).all()
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.06)
    assert drawn.var(axis=0) == pytest.approx(variance, rel=0.05)


def test_the_p_value_is_that_of_shuffled_rows() -> None:
    """A naive twin: permute the labels, cross again, count."""
    features, group = _rows(150)
    values = features["x0"] + 0.4 * (group == 1)
    rng = _rng()
    seen = px.chi_square(px.crossing(values, group)[None])[0]
    naive = [
        px.chi_square(px.crossing(values, rng.permutation(group))[None])[0] >= seen * (1 - 1e-12)
        for _ in range(2000)
    ]

    assert px.permutation_p(px.crossing(values, group), rng) == pytest.approx(np.mean(naive), abs=0.045)


def test_the_same_generator_gives_the_same_answer() -> None:
    """Randomness is an argument."""
    features, group = _rows(200)

    assert px.proxies(features, group, _rng()) == px.proxies(features, group, _rng())


def test_texts_are_classes_the_rarest_together() -> None:
    """As many columns as texts and one for what is missing; of very many texts the rarest share one."""
    words = np.array(["a", "b", "a", None, "c", "a"], dtype=object)
    group = np.array([0, 0, 1, 1, 0, 1])
    rng = np.random.default_rng(0)

    assert px.crossing(words, group).tolist() == [[1, 1, 1, 0], [2, 0, 0, 1]]
    many = np.array([f"w{i}" for i in range(500)] + ["common"] * 500, dtype=object)
    table = px.crossing(many, np.arange(1000) % 2)
    assert table.shape == (2, px.BINS)
    assert sorted(table.sum(axis=0).tolist(), reverse=True)[:2] == [500, 500 - (px.BINS - 2)]
    (told,) = px.proxies({"word": np.array(["x", "y"], dtype=object)[group]}, group, rng)
    assert told.strength > 0.7
