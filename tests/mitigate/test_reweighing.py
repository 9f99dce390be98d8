"""Do the weights undo the link between group and outcome?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_bigmodel.mitigate.reweighing import reweighing


def test_the_weights_are_known_on_paper() -> None:
    """Kamiran and Calders' example: of 10 rows 5 female, 6 positive, 2 both: a weight of (5·6)/(10·2) = 1.5."""
    female = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    positive = np.array([1, 1, 0, 0, 0, 1, 1, 1, 1, 0], dtype=bool)
    weights = reweighing(female, positive)

    assert weights[:2] == pytest.approx(1.5)
    assert weights[2:5] == pytest.approx(5 * 4 / (10 * 3))
    assert weights[5:9] == pytest.approx(0.75)
    assert weights[9] == pytest.approx(2.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=40, max_size=200))
def test_every_group_has_one_weighted_rate(rows) -> None:
    """Wherever all groups that occur have both outcomes; and the mean weight is 1."""
    group, truth = np.array([g for g, _ in rows]), np.array([t for _, t in rows])
    weights = reweighing(group, truth)
    full = all(len(set(truth[group == g])) == 2 for g in set(group.tolist()))
    rates = [weights[(group == g) & truth].sum() / weights[group == g].sum() for g in set(group.tolist())]

    assert weights.mean() == pytest.approx(1.0)
    assert not full or max(rates) - min(rates) < 1e-12


def test_a_power_goes_part_of_the_way_or_beyond() -> None:
    """Power 0 counts all alike; 2 overshoots, so that the group that had fewer yeses has more."""
    group = np.repeat([0, 1], 100)
    truth = np.r_[np.arange(100) < 80, np.arange(100) < 50]
    gap = []
    for power in (0.0, 0.5, 1.0, 2.0):
        w = reweighing(group, truth, power=power)
        gap.append(w[:100][truth[:100]].sum() / w[:100].sum() - w[100:][truth[100:]].sum() / w[100:].sum())

    assert gap[0] == pytest.approx(0.3)
    assert gap[0] > gap[1] > gap[2] > gap[3]
    assert gap[2] == pytest.approx(0.0, abs=1e-12)
