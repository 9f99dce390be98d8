"""The purest value of a feature, against the loop it replaced."""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel.audits import leaks
from rai_bigmodel.stats import exact, intervals
from rai_bigmodel.tables import Table
from rai_bigmodel.words import number


def purest(values, outcome):
    """The same of a column in a table."""
    rows = Table(name="rows", columns={"x": values})
    return leaks._purest(leaks._values([rows], "x", outcome), len(outcome), int(outcome.sum()))


def naive(values, outcome):
    """Every value, complement and interval in turn, one Clopper–Pearson bound each."""
    n, positives = len(values), int(outcome.sum())
    text = values.dtype == object
    gone = np.array([v is None if text else v != v for v in values])  # noqa: PLR0124 - NaN
    known = [(v, y) for v, y, g in zip(values.tolist(), outcome.tolist(), gone, strict=True) if not g]
    cells = [(int(gone.sum()), int(outcome[gone].sum()), "it is missing", False)]
    levels = sorted({v for v, _ in known})
    if len(levels) <= leaks.MOST_LEVELS:
        for level in levels:
            word = repr(level) if text else number(level)
            for verb, part in (
                ("is", [y for v, y in known if v == level]),
                ("is not", [y for v, y in known if v != level]),
            ):
                cells.append((len(part), sum(part), f"it {verb} {word}", False))
    if not text and len(levels) > 2:
        for level in levels:
            for verb, part in (
                ("at most", [y for v, y in known if v <= level]),
                ("above", [y for v, y in known if v > level]),
            ):
                cells.append((len(part), sum(part), f"it is {verb} {number(level)}", True))
    if positives in {0, n}:
        return None, leaks.ONE_VALUE, False
    best, worst = None, None
    for size, positive, where, interval in cells:
        if size < leaks.PURE_SHARE * n:
            continue
        pure = max(positive, size - positive)
        bound = intervals.clopper_pearson(pure, size, 2 * leaks.PURE_ALPHA)[0]
        base = min(positives, n - positives) / n
        usual = base if (positive == pure) == (positives * 2 >= n) else 1 - base
        enough = leaks.PURE_INTERVAL if interval else leaks.PURE_VALUE
        if best is None or bound > best[0]:
            best = (bound, where, usual)
        if (
            bound >= enough
            and (1 - bound) * leaks.PURER_THAN_BASE <= usual
            and (not worst or bound > worst[0])
        ):
            worst = (bound, where)
    if best is None:
        return None, leaks.NO_LARGE_PART, False
    if worst is None and best[0] >= leaks.PURE_VALUE and (1 - best[0]) * leaks.PURER_THAN_BASE > best[2]:
        return None, leaks.AS_RARE_ANYWHERE, False
    return (*(worst or best[:2]), worst is not None)


@pytest.mark.parametrize("seed", range(40))
def test_the_purest_value_is_that_of_the_loop(seed) -> None:
    """Numbers, few numbers, text with holes, numbers that leak, nothing but holes: the same floats and words."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 250)) + 400 * (seed % 5 == 3)
    y = rng.random(n) < rng.random()
    values = [
        lambda: rng.normal(size=n),
        lambda: rng.integers(0, 3, n).astype(float),
        lambda: rng.choice(np.array(["a", "b", None], dtype=object), n),
        lambda: np.where(rng.random(n) < 0.3, np.nan, y * 2.0),
        lambda: np.full(n, np.nan),
    ][seed % 5]()

    assert purest(values, y) == naive(values, y)


def test_exact_limits_for_many_are_those_for_each() -> None:
    """Element by element; none of ten and ten of ten by hand."""
    x, n = np.array([0, 1, 5, 10, 999]), np.array([10, 10, 10, 10, 1000])
    found = exact.at_least(x, n, 0.001)

    assert found.tolist() == [
        intervals.clopper_pearson(int(a), int(b), 0.002)[0] for a, b in zip(x, n, strict=True)
    ]
    assert found[0] == 0
    assert found[3] == pytest.approx(0.001 ** (1 / 10))
