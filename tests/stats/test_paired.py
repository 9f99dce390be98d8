"""Does the interval of a changed difference hold what it says?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rai_bigmodel.evidence import LADDER
from rai_bigmodel.stats.among_groups import simultaneous_z
from rai_bigmodel.stats.intervals import group_rate, tango, wilson
from rai_bigmodel.stats.ladder import z_two_sided
from rai_bigmodel.stats.paired import (
    Rates,
    auc_change,
    average_change,
    change,
    change_of_difference,
    change_of_widest,
    of_two,
    rates,
    share_change,
)


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


def _rates(cells: list[tuple[int, int, int, int]]) -> Rates:
    """Of each group: rows that succeed only after, only before, both times, never."""
    gained, lost, both, neither = np.array(cells).T
    return Rates(gained + lost + both + neither, lost + both, gained + both, gained, lost)


def test_rates_are_counted_from_rows() -> None:
    """Among the rows that count, by group."""
    counted = rates(
        np.array([0, 0, 0, 1, 1]),
        np.array([True, False, True, False, False]),
        np.array([True, True, False, True, False]),
        groups=2,
        among=np.array([True, True, False, True, True]),
    )

    assert [column.tolist() for column in counted] == [[2, 2], [1, 0], [2, 1], [1, 1], [0, 0]]


def _naive_upper(r: Rates, error: float) -> float:
    """The upper end, pair by pair."""
    k = len(r.trials)
    z = simultaneous_z(error / 2, k)
    low, high = wilson(r.after, r.trials, z)
    p = r.after / r.trials
    gaps = {
        (i, j): (
            p[i] - p[j] - np.hypot(p[i] - low[i], high[j] - p[j]),
            p[i] - p[j] + np.hypot(high[i] - p[i], p[j] - low[j]),
        )
        for i in range(k)
        for j in range(k)
        if i != j
    }
    least = max(low for low, _ in gaps.values())
    ends = []
    for (i, j), (_, up) in gaps.items():
        if up >= least:
            of_i, of_j = (_tango(int(r.gained[x]), int(r.lost[x]), int(r.trials[x]), error) for x in (i, j))
            moved = [(r.gained[x] - r.lost[x]) / r.trials[x] for x in (i, j)]
            ends.append(moved[0] - moved[1] + np.hypot(of_i[1] - moved[0], moved[1] - of_j[0]))
    return max(ends)


def _tango(gained: int, lost: int, rows: int, alpha: float) -> tuple[float, float]:
    """Tango's limits at one level."""
    low, high = tango(np.array([gained]), np.array([lost]), np.array([rows]), np.array([z_two_sided(alpha)]))
    return float(low[0, 0]), float(high[0, 0])


def test_the_widest_gaps_upper_end_is_that_of_the_pairs_that_may_be_widest() -> None:
    """Worked out again pair by pair; and turning time round turns the interval round."""
    r = _rates([(10, 30, 150, 110), (25, 5, 100, 170), (4, 6, 60, 130)])
    value, interval = change_of_widest([(r, 3)])
    back, turned = change_of_widest([(Rates(r.trials, r.after, r.before, r.lost, r.gained), 3)])

    assert value == pytest.approx(r.gap)
    assert value == pytest.approx(np.ptp(r.after / r.trials) - np.ptp(r.before / r.trials))
    assert interval.rung(0.05)[4] == pytest.approx(_naive_upper(r, 0.05))
    assert interval.high == pytest.approx(_naive_upper(r, 0.025))
    assert back == pytest.approx(-value)
    for rung, other in zip(interval.ladder, turned.ladder, strict=True):
        assert rung[1:] == pytest.approx((-other[2], -other[1], -other[4], -other[3]))


def test_two_groups_that_lie_clearly_apart_have_the_interval_of_that_pair() -> None:
    """Nothing but half of the error is paid for not knowing which pair is the widest."""
    r = _rates([(10, 20, 600, 370), (15, 5, 300, 680)])
    _, interval = change_of_widest([(r, 2)])
    _, known = change_of_difference(
        *(share_change(int(r.gained[i]), int(r.lost[i]), int(r.trials[i])) for i in (0, 1))
    )

    assert interval.rung(0.05)[3:] == pytest.approx(known.rung(0.05)[1:3])


def _covers(sizes, before, after, alike, *, draws: int, seed: int) -> tuple[float, float, float]:
    """How often the interval misses below and above, and the one-sided bound for "at most" lies below the truth."""
    rng = np.random.default_rng(seed)
    codes, truth = np.repeat(np.arange(len(sizes)), sizes), np.ptp(after) - np.ptp(before)
    missed = np.zeros(3)
    for _ in range(draws):
        luck = rng.random(len(codes))
        other = np.where(rng.random(len(codes)) < alike, luck, rng.random(len(codes)))
        was, now = luck < np.array(before)[codes], other < np.array(after)[codes]
        interval = change_of_widest([(rates(codes, was, now, groups=len(sizes)), len(sizes))])[1]
        missed += [interval.low > truth, interval.high < truth, interval.rung(0.05)[4] < truth]
    return tuple(missed / draws)


@pytest.mark.parametrize(
    ("sizes", "before", "after", "alike"),
    [
        ([400, 400], [0.3, 0.5], [0.3, 0.45], 0.9),
        pytest.param([300, 300], [0.4, 0.4], [0.4, 0.4], 0.9, marks=pytest.mark.zoo),
        pytest.param([1000, 200, 200], [0.3, 0.3, 0.3], [0.3, 0.3, 0.4], 0.8, marks=pytest.mark.zoo),
        pytest.param(
            [200] * 5, [0.3, 0.35, 0.4, 0.45, 0.5], [0.5, 0.45, 0.4, 0.35, 0.3], 0.5, marks=pytest.mark.zoo
        ),
        pytest.param([60, 60, 60], [0.1, 0.1, 0.2], [0.1, 0.1, 0.1], 0.9, marks=pytest.mark.zoo),
        pytest.param([2000] * 3, [0.3, 0.4, 0.5], [0.3, 0.4, 0.45], 0.95, marks=pytest.mark.zoo),
    ],
)
def test_the_change_of_a_widest_gap_is_covered(request, sizes, before, after, alike) -> None:
    """At 95 % it misses by at most 2.5 % on either side, and the bound of a pass by at most 5 % (and luck)."""
    draws = 1000 if request.config.getoption("-m") == "zoo" else 100
    below, above, passed = _covers(sizes, before, after, alike, draws=draws, seed=4)
    luck = 3 / draws**0.5

    assert max(below, above) <= 0.025 + luck * 0.025**0.5
    assert passed <= 0.05 + luck * 0.05**0.5


def test_a_change_of_auc_is_delongs() -> None:
    """The variance of the difference from placements by definition, covariance and all."""
    rng = np.random.default_rng(3)
    truth = rng.random(500) < 0.4
    before = np.round(rng.normal(size=500) + truth, 1)
    after = np.round(before + rng.normal(size=500) * 0.5, 1)
    wins = [(s[truth][:, None] > s[~truth]) + 0.5 * (s[truth][:, None] == s[~truth]) for s in (before, after)]
    value, interval = auc_change(before, after, truth)
    placed = [np.cov(*(w.mean(axis=axis) for w in wins)) for axis in (1, 0)]
    variance = sum(
        (c[0, 0] + c[1, 1] - 2 * c[0, 1]) / n
        for c, n in zip(placed, (truth.sum(), (~truth).sum()), strict=True)
    )
    reach = stats.t.ppf(0.975, min(truth.sum(), (~truth).sum()) - 1) * variance**0.5

    assert value == pytest.approx(wins[1].mean() - wins[0].mean())
    assert (interval.low, interval.high) == pytest.approx((value - reach, value + reach))


def test_too_few_rows_of_an_outcome_have_no_interval_by_delong() -> None:
    """99 positives are too few, and equal scores have no spread."""
    rng = np.random.default_rng(3)
    scores, truth = rng.normal(size=300), np.arange(300) < 99

    assert auc_change(scores, scores + rng.normal(size=300), truth)[1] is None
    assert auc_change(scores, scores, np.arange(300) < 150) == (0.0, None)


def test_an_average_of_changes_is_mover_by_hand() -> None:
    """The arms of the parts are added in squares, and halved."""
    parts = [share_change(5, 2, 50), share_change(1, 6, 40)]
    value, interval = average_change(parts)
    down = np.hypot(parts[0][0] - parts[0][1].low, parts[1][0] - parts[1][1].low) / 2

    assert value == pytest.approx((0.06 - 0.125) / 2)
    assert interval.low == pytest.approx(value - down)


def test_two_intervals_at_half_the_error_bound_any_change() -> None:
    """The 95 % interval is from both 97.5 % ones; without one of them there is none."""
    before, after = (group_rate(x, 80) for x in (30, 45))
    interval = of_two((30 / 80, before), (45 / 80, after))
    was, now = before.rung(0.025), after.rung(0.025)

    assert (interval.low, interval.high) == (now[1] - was[2], now[2] - was[1])
    assert interval.rung(0.05)[3:] == (now[3] - was[4], now[4] - was[3])
    assert interval.rung(0.00005) is None
    assert of_two((0.5, None), (45 / 80, after)) is None
