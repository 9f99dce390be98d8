"""Is the pair of groups that moved apart found, with an interval that covers, and nothing where nothing moved?"""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel.evidence import LADDER
from rai_bigmodel.stats import intervals, means, moves, special


def test_many_groups_at_once_are_each_as_alone() -> None:
    """The naive twin: Tango's limits group by group, rung by rung, as `intervals.paired_difference` solves them."""
    gained, lost, rows = np.array([0, 3, 7, 0]), np.array([0, 1, 12, 30]), np.array([50, 200, 400, 30])
    low, high = moves.tango(gained, lost, rows, special.ndtri(1 - np.array(LADDER) / 2))
    for g, one in enumerate(zip(gained.tolist(), lost.tolist(), rows.tolist(), strict=True)):
        found = intervals.paired_difference(*one)
        assert found is not None
        for r, rung in enumerate(found.ladder):
            assert (low[r, g], high[r, g]) == pytest.approx(rung[1:3], abs=1e-9)


def test_of_no_discordant_row_the_limit_is_known_on_paper() -> None:
    """b = c = 0: Tango's limits are ± z² / (n + z²)."""
    z = special.ndtri(0.975)
    low, high = moves.tango(np.array([0]), np.array([0]), np.array([100]), np.array([z]))

    assert high[0, 0] == pytest.approx(z**2 / (100 + z**2), abs=1e-9)
    assert low[0, 0] == pytest.approx(-(z**2) / (100 + z**2), abs=1e-9)


def test_a_gap_that_closes_is_no_change_for_the_worse() -> None:
    """The favoured group loses: the difference shrinks, and the number is negative."""
    changes = moves.of_shares(np.array([0, 0]), np.array([80, 0]), np.array([400, 400]))
    found = moves.widest(changes, np.array([0.8, 0.3]), np.zeros((2, 2), dtype=bool))

    assert found.value == pytest.approx(-0.2)
    assert found.interval.high is not None
    assert found.interval.high < 0


def test_where_the_first_model_tells_no_groups_apart_a_move_either_way_counts() -> None:
    """Equal rates before: whoever loses, the groups are apart afterwards."""
    n = np.array([400, 400])
    for lost in ([80, 0], [0, 80]):
        changes = moves.of_shares(np.array([0, 0]), np.array(lost), n)
        found = moves.widest(changes, np.array([0.5, 0.5]), moves.alike(np.array([200, 200]), n))

        assert found.value == pytest.approx(0.2)
        assert found.lost == int(np.argmax(lost))


def test_the_mean_of_a_number_moves_by_students_t() -> None:
    """One group's errors grow by one, known on paper."""
    r = np.random.default_rng(0)
    values = [r.normal(0, 1, 200), r.normal(1, 1, 200)]
    low, high = moves.of_means(values).limits(np.array([0.05]))
    alone = means.mean(values[1])

    assert alone is not None
    assert (low[0, 1], high[0, 1]) == pytest.approx((alone.low, alone.high))


DRAWS = [60, pytest.param(600, marks=pytest.mark.zoo)]


@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("groups", [2, 5])
def test_nothing_is_found_where_nothing_moved_apart(groups: int, draws: int) -> None:
    """Flips of 3 % in every group alike: of 2.5 % allowed, the 95 % interval's low is rarely above 0."""
    r, false = np.random.default_rng(groups), 0
    n = np.full(groups, 200)
    for _ in range(draws):
        gained, lost = r.binomial(n, 0.015), r.binomial(n, 0.015)
        held = r.binomial(n, 0.5)
        found = moves.widest(moves.of_shares(gained, lost, n), held / n, moves.alike(held, n))
        assert found.interval.low is not None
        false += found.interval.low > 0

    assert false <= 0.025 * draws + 3 * (0.025 * draws) ** 0.5


@pytest.mark.parametrize("draws", DRAWS)
def test_the_true_change_is_covered_and_a_harmed_group_is_found(draws: int) -> None:
    """One of three groups loses 6 points: covered as often as said, and found in at least 85 % of draws."""
    r, covered, found = np.random.default_rng(3), 0, 0
    n = np.array([500, 500, 500])
    for _ in range(draws):
        lost = r.binomial(n, [0.07, 0.01, 0.01])
        gained = r.binomial(n, 0.01)
        moved = moves.widest(moves.of_shares(gained, lost, n), np.full(3, 0.5), np.ones((3, 3), dtype=bool))
        assert moved.interval.low is not None
        assert moved.interval.high is not None
        covered += moved.interval.low <= 0.06 <= moved.interval.high
        found += moved.interval.low > 0

    assert draws - covered <= 0.05 * draws + 3 * (0.05 * draws) ** 0.5
    assert found >= 0.85 * draws
