"""Does the interval of a changed difference hold what it says?"""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel.evidence import LADDER
from rai_bigmodel.mitigate.paired import change, change_of_difference


def _decisions(gained: int, lost: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    before = np.repeat([False, True, True, False], [gained, lost, both, neither])
    after = np.repeat([True, False, True, False], [gained, lost, both, neither])
    return before, after


def test_the_values_are_known_on_paper() -> None:
    """Five of 50 gained and two lost is +0.06; against −0.10 of the other group, +0.16."""
    high, low = change(*_decisions(5, 2, 30, 13)), change(*_decisions(0, 4, 20, 16))
    value, interval = change_of_difference(high, low)

    assert high[0] == pytest.approx(0.06)
    assert value == pytest.approx(0.16)
    assert interval.low < value < interval.high
    assert [rung[0] for rung in interval.ladder] == list(LADDER)


def test_each_rung_is_the_naive_formula() -> None:
    """Square and add the arms of the two groups."""
    high, low = change(*_decisions(5, 2, 30, 13)), change(*_decisions(0, 4, 20, 16))
    value, interval = change_of_difference(high, low)
    for rung, a, b in zip(interval.ladder, high[1].ladder, low[1].ladder, strict=True):
        for first, second in ((1, 2), (3, 4)):
            down = ((high[0] - a[first]) ** 2 + (b[second] - low[0]) ** 2) ** 0.5
            up = ((a[second] - high[0]) ** 2 + (low[0] - b[first]) ** 2) ** 0.5

            assert rung[first] == pytest.approx(value - down)
            assert rung[second] == pytest.approx(value + up)


def test_swapping_the_groups_turns_the_interval_round() -> None:
    """And two models that decide alike have a change of 0 whose interval holds it."""
    high, low = change(*_decisions(5, 2, 30, 13)), change(*_decisions(0, 4, 20, 16))
    one, other = change_of_difference(high, low)[1], change_of_difference(low, high)[1]
    same = change(*_decisions(0, 0, 30, 20))
    none, around = change_of_difference(same, same)

    assert one.low == pytest.approx(-other.high)
    assert one.high == pytest.approx(-other.low)
    assert none == 0.0
    assert around.low < 0 < around.high


@pytest.mark.parametrize(
    ("sizes", "moves"),
    [
        pytest.param((200, 80), ((0.02, 0.05), (0.10, 0.01)), marks=pytest.mark.zoo),
        ((250, 40), ((0.02, 0.02), (0.05, 0.05))),
        pytest.param((100, 100), ((0.10, 0.05), (0.05, 0.10)), marks=pytest.mark.zoo),
        ((60, 40), ((0.0, 0.03), (0.08, 0.0))),
    ],
)
def test_the_interval_covers_the_truth(sizes, moves) -> None:
    """1,000 draws in each case: at 95 % it covers in at least 93.5 %, and misses by at most 4 % on either side."""
    rng = np.random.default_rng(1)
    truth = (moves[0][0] - moves[0][1]) - (moves[1][0] - moves[1][1])
    below = above = 0
    for _ in range(1000):
        sides = []
        for n, (gains, losses) in zip(sizes, moves, strict=True):
            gained, lost, rest = rng.multinomial(n, [gains, losses, 1 - gains - losses])
            sides.append(change(*_decisions(gained, lost, rest, 0)))
        interval = change_of_difference(*sides)[1]
        below += interval.high < truth
        above += interval.low > truth

    assert 1 - (below + above) / 1000 >= 0.935
    assert max(below, above) / 1000 <= 0.04
