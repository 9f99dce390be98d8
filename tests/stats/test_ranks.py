"""Ranks and Spearman's correlation, against SciPy's."""

from __future__ import annotations

import numpy as np
from scipy import stats

from rai_bigmodel.stats.ranks import ranks, spearman


def test_ranks_with_ties_are_scipys() -> None:
    """Ties share their mean rank."""
    x = np.random.default_rng(0).integers(0, 4, size=(20, 9)).astype(float)

    np.testing.assert_array_equal(ranks(x), stats.rankdata(x, axis=1))


def test_spearman_of_each_row_is_scipys() -> None:
    """Row by row, ties among them."""
    r = np.random.default_rng(1)
    a, b = r.integers(0, 6, size=(2, 15, 8)).astype(float)
    theirs = [stats.spearmanr(u, v).statistic for u, v in zip(a, b, strict=True)]

    np.testing.assert_allclose(spearman(a, b), theirs, atol=1e-12)


def test_a_constant_row_has_no_order() -> None:
    """NaN rather than a number that means nothing."""
    assert np.isnan(spearman(np.ones((1, 4)), np.arange(4.0)[None])).all()
