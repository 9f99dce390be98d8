"""What is worked out the quick way is what the plain way gives."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from rai_bigmodel.audits import fairness_scores
from rai_bigmodel.stats import (
    among_groups,
    cells,
    copies,
    counts,
    ladder,
    resampling,
    slices,
    special,
    studentized,
)
from rai_bigmodel.stats import intervals as iv


def test_the_special_functions_are_scipys_and_leave_its_package_whole() -> None:
    """In a fresh process: the same objects, and whoever asks for scipy.special afterwards has all of it."""
    code = (
        "import sys; from rai_bigmodel.stats import special; assert 'scipy.special' not in sys.modules; "
        "import scipy.special as whole, scipy.stats; "
        "names = [n for n in vars(special) if hasattr(vars(special)[n], 'nin')]; "
        "assert len(names) >= 11 and all(getattr(whole, n)(*[.5] * (getattr(whole, n).nin)) == "
        "getattr(special, n)(*[.5] * getattr(special, n).nin) for n in names if n != 'bdtr');"
        "assert whole.logsumexp([0.0]) == 0"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)

    assert special.ndtri(0.975) == pytest.approx(1.959963984540054)


def test_rungs_at_once_are_rungs_one_by_one() -> None:
    """Wilson's interval of every group and rung, a group without trials among them."""
    x, n = np.array([0, 3, 50, 7, 0]), np.array([40, 40, 50, 1000, 0])

    def ends(x: int, n: int, alpha: float) -> tuple[float, float]:
        low, high = iv.wilson(np.array(x), np.array(n), ladder.z_two_sided(alpha))
        return float(low), float(high)

    one_by_one = [
        ladder.climb(lambda a, x=x, n=n: ends(x, n, a), method="wilson") if n else None
        for x, n in zip(x.tolist(), n.tolist(), strict=True)
    ]

    assert iv.group_rates(x, n) == one_by_one


@pytest.mark.parametrize("decimals", [0, 2, 5, 6, 12])
def test_scores_of_few_decimals_are_ranked_as_any_others(decimals) -> None:
    """Beside NumPy's unique, which sorts."""
    rng = np.random.default_rng(decimals)
    scores = np.round(rng.random(5_000), decimals)
    truth, codes = rng.random(5_000) < scores, rng.integers(0, 3, 5_000)
    levels, rank = cells.ranked(scores)
    there, place = np.unique(scores, return_inverse=True)

    assert np.array_equal(levels, there)
    assert np.array_equal(rank, place)
    for i, one in enumerate(cells.of_groups(codes, scores, truth, groups=3)):
        alone = cells.of_rows(scores[codes == i], truth[codes == i])
        assert all(np.array_equal(a, b) for a, b in zip(one, alone, strict=True))


def test_the_table_of_the_studentized_range_is_what_solving_gives() -> None:
    """Every number of it; a few of them beside SciPy."""
    for k, row in studentized.table().items():
        for alpha, z in row.items():
            assert among_groups.solved_z(alpha, k) == pytest.approx(z, rel=1e-12)
    assert sorted(studentized.table()) == list(range(3, 21))
    for alpha, k in ((0.05, 3), (0.05, 20), (0.001, 7), (0.00005, 12)):
        q = stats.studentized_range.isf(alpha, k, np.inf)
        assert among_groups.simultaneous_z(alpha, k) * np.sqrt(2) == pytest.approx(q, rel=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        np.round(np.random.default_rng(0).normal(size=200_000), 3),
        np.round(np.random.default_rng(1).normal(size=70_000) * 1000, 2),
        np.r_[np.round(np.random.default_rng(2).random(100_000), 2), 1 / 3],
        np.r_[-0.0, 0.0, 1e300],
        np.zeros(3),
        np.empty(0),
    ],
    ids=["blocks", "far apart", "a late surprise", "zeros", "one value", "none"],
)
def test_values_are_counted_as_sorting_would(values) -> None:
    """In blocks, at once, or by sorting: the same values, rows and hits."""
    happened = np.random.default_rng(3).random(len(values)) < 0.3
    levels, rows, hits = counts.by_value(values, happened)
    there, place = np.unique(values, return_inverse=True)

    assert np.array_equal(levels, there)
    assert np.array_equal(counts.distinct(values), there)
    assert np.array_equal(rows, np.bincount(place, minlength=len(there)))
    assert np.array_equal(hits, np.bincount(place[happened], minlength=len(there)))


def test_quantiles_of_sorted_numbers_are_numpys() -> None:
    """To the last bit."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 1_000):
        values, at = np.sort(rng.normal(size=n)), np.r_[0, rng.random(50), 1]
        assert np.array_equal(resampling._quantiles(values, at), np.quantile(values, at))


def test_what_lies_far_beyond_adds_nothing_to_fishers_test() -> None:
    """Beside SciPy's hypergeometric, where the tail is cut off and where it is not."""
    for hits, rows, all_hits, whole in (
        (3_100, 10_000, 300_000, 1_000_000),
        (3, 40, 12, 200),
        (9_000, 9_000, 9_500, 10_000),
    ):
        p = stats.hypergeom.sf(hits - 1, whole, all_hits, rows)
        assert slices.more_than_chance(hits, rows, all_hits, whole) == pytest.approx(p, rel=1e-6)


@pytest.mark.parametrize("groups", [1, 3, 700])
def test_the_median_of_all_groups_is_found_without_sorting_them(groups) -> None:
    """Scores shared by groups and of their own, and more groups than scores are sorted for."""
    rng = np.random.default_rng(groups)
    scores = np.round(rng.random(20_000), 3 if groups == 3 else 12)
    codes, truth = rng.integers(0, groups, 20_000), rng.random(20_000) < scores
    of = cells.of_groups(codes, scores, truth, groups=groups)

    assert fairness_scores._median(of) == np.median(scores)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.9])
@pytest.mark.parametrize("width", [2, 9])
def test_copies_are_counted_whichever_columns_are_looked_at_first(share, width) -> None:
    """No copies, a few, nearly all; numbers, codes, missing numbers and both zeros."""
    rng = np.random.default_rng(width)
    columns = [np.round(rng.normal(size=2_000), 1) for _ in range(width - 1)] + [rng.integers(0, 3, 2_000)]
    columns[0][:50] = np.nan
    columns[0][50:60] = rng.choice([0.0, -0.0], 10)
    again = rng.random(2_000) < share
    columns = [np.where(again, values[7], values) for values in columns]
    rows = {tuple(None if v != v else v + 0.0 for v in row) for row in zip(*columns, strict=True)}  # noqa: PLR0124

    assert copies.distinct(columns) == len(rows)
