"""The search for slices against trying every one, and the tests that confirm them against scipy."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rai_bigmodel.stats import slices
from rai_bigmodel.stats.slices import Column


def _columns(n: int, rng: np.random.Generator) -> list[Column]:
    return [
        Column(
            f"c{i}", rng.integers(0, levels, n).astype(np.int32), ("", *(f"is {j}" for j in range(1, levels)))
        )
        for i, levels in enumerate((3, 4, 5))
    ]


def test_the_strongest_slice_is_that_of_trying_every_conjunction() -> None:
    """All conditions on one to three of three columns, with masks; code 0 is never a condition."""
    rng = np.random.default_rng(0)
    columns = _columns(800, rng)
    happened = rng.random(800) < np.where((columns[0].codes == 1) & (columns[2].codes == 3), 0.6, 0.2)
    best = (-np.inf, None)
    for size in (1, 2, 3):
        every = [
            tuple(zip(which, codes, strict=True))
            for which in combinations(range(3), size)
            for codes in product(*(range(1, len(columns[i].words)) for i in which))
        ]
        z = np.sqrt(2 * np.log(len(every)))
        for conditions in every:
            mask = np.logical_and.reduce([columns[i].codes == code for i, code in conditions])
            rows, hits = mask.sum(), happened[mask].sum()
            if not 30 <= rows <= 400:
                continue
            inside, outside = (hits + 1) / (rows + 2), happened[~mask].mean()
            spread = inside * (1 - inside) / (rows + 2) + outside * (1 - outside) / (800 - rows)
            best = max(best, (hits / rows - outside - z * np.sqrt(spread), conditions))
    found = slices.strongest(columns, happened)[0]

    assert found.strength == pytest.approx(best[0], abs=1e-12)
    assert found.conditions == best[1] == ((0, 1), (2, 3))
    assert found.words(columns) == "c0 is 1 and c2 is 3"


def test_a_slice_says_something_new() -> None:
    """No slice lies more than half in those before it, and none is smaller than asked."""
    rng = np.random.default_rng(1)
    columns = _columns(600, rng)
    happened = rng.random(600) < np.where(columns[0].codes == 1, 0.5, 0.1)
    found = slices.strongest(columns, happened, least=40)
    covered = np.zeros(600, bool)
    for one in found:
        mask = one.mask(columns)
        assert mask.sum() == one.rows
        assert 40 <= one.rows <= 300
        assert (mask & covered).sum() <= one.rows / 2
        covered |= mask

    assert len(found) > 1


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_the_p_value_is_fishers(right: int, hits: int, other_hits: int, others: int) -> None:
    """One-sided, against scipy's exact test."""
    hits, other_hits = min(hits, right), min(other_hits, others)
    expected = stats.fisher_exact(
        [[hits, right - hits], [other_hits, others - other_hits]], alternative="greater"
    ).pvalue

    assert slices.more_than_chance(hits, right, hits + other_hits, right + others) == pytest.approx(
        expected, abs=1e-9
    )


@given(st.lists(st.floats(0, 1), max_size=12))
def test_rejections_are_those_of_scipy(p: list[float]) -> None:
    """Benjamini and Yekutieli's adjusted p-values at or below the rate."""
    expected = (stats.false_discovery_control(p, method="by") <= 0.05).tolist() if p else []

    assert slices.benjamini_yekutieli(p, rate=0.05) == expected
