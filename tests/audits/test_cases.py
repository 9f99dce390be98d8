"""What a case is asked: every coalition of every row, and nothing twice."""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel.audits import cases
from rai_bigmodel.audits.cases import Case


def _case(x, start, parts, batch: int) -> tuple[Case, list]:
    """A case of products that tells what it was asked."""
    asked: list = []

    def score(rows, numbers):
        asked.extend((int(i), row.tobytes()) for i, row in zip(numbers, rows, strict=True))
        return (rows.reshape(len(rows), -1) * np.arange(1, 1 + parts.size)).sum(axis=1) + numbers

    names = tuple(f"f{i}" for i in range(int(parts.max()) + 1))
    return Case(x=x, start=start, score=score, parts=parts, names=names, batch=batch), asked


@pytest.mark.parametrize("shared", [True, False], ids=["for all rows alike", "a row"])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_worths_are_those_of_asking_every_coalition_and_ask_nothing_twice(
    batch: int, *, shared: bool
) -> None:
    """Features at their start make no difference: the naive way asks them all, and says the same."""
    r = np.random.default_rng(3)
    n, m, d = 6, 40, 5
    parts = np.array([[0, 0, 1], [2, 3, 4]])
    x = r.integers(-4, 5, size=(n, 2, 3)).astype(np.float32)
    start = np.zeros((1, 2, 3), dtype=np.float32)
    x[:, 1, :2] = 0  # nowhere away from their start
    x[2] = 0  # nothing is there at all
    keep = r.random((m, d) if shared else (n, m, d)) < 0.5
    case, asked = _case(x, start, parts, batch)

    found = cases.worths(case, keep)

    weights = np.arange(1, 7).reshape(2, 3)
    for i in range(n):
        for j in range(m):
            mask = (keep[j] if shared else keep[i, j])[parts]
            assert found[i, j] == (np.where(mask, x[i], 0) * weights).sum() + i
    assert len(asked) == len(set(asked)) < n * m / 3


def test_more_features_than_a_number_has_bits_are_asked_one_by_one() -> None:
    """Beyond 64 features that are there the naive way is taken, with the same worths."""
    r = np.random.default_rng(4)
    for d in (cases.BITS, cases.BITS + 1):
        x = r.integers(1, 5, size=(3, d)).astype(np.float32)
        keep = r.random((3, 10, d)) < 0.5
        case, _ = _case(x, np.zeros((1, d), dtype=np.float32), np.arange(d), 8)

        found = cases.worths(case, keep)

        whole = (np.where(keep, x[:, None], 0) * np.arange(1, d + 1)).sum(axis=2) + np.arange(3)[:, None]
        assert np.array_equal(found, whole)
