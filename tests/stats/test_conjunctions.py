"""Sets of columns counted in blocks are what each set gives by itself."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rai_bigmodel.stats import conjunctions


@pytest.mark.parametrize("sizes", [[3], [3, 4], [2, 3, 5], [5, 5, 5, 5, 2, 3, 4], [60, 40, 50, 3, 20, 2]])
@pytest.mark.parametrize(("count", "size"), [(conjunctions.pairs, 2), (conjunctions.triples, 3)])
def test_every_set_of_columns_is_counted_once_and_right(sizes, count, size) -> None:
    """Beside one bincount a set; few columns, an odd number of them, and tables too large for blocks."""
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, n, 3_000).astype(np.uint8) for n in sizes]
    happened = rng.random(3_000) < 0.3
    found = dict(count(codes, sizes, happened))

    assert sorted(found) == list(combinations(range(len(sizes)), size))
    for some, both in found.items():
        shape = [sizes[i] for i in some]
        cell = np.ravel_multi_index(tuple(codes[i].astype(int) for i in some), shape)
        whole = int(np.prod(shape))
        assert both.dtype == np.int64
        assert both[0].tolist() == np.bincount(cell[~happened], minlength=whole).tolist()
        assert both[1].tolist() == np.bincount(cell[happened], minlength=whole).tolist()
