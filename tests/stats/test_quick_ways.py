"""What is worked out the quick way is what the plain way gives."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from rai_bigmodel.stats import cells, special
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
        low, high = iv.wilson(np.array(x), np.array(n), iv.z_two_sided(alpha))
        return float(low), float(high)

    one_by_one = [
        iv.climb(lambda a, x=x, n=n: ends(x, n, a), method="wilson") if n else None
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
