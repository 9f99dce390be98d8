"""Labels that were exchanged are told from a model that is merely another one."""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel.stats.exchanged import other_label, other_order


def _chances(seed: int, labels: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(labels, 0.4), 400)


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [1, 2, 3, 0]])
def test_an_exchange_is_found_and_its_columns_are_named(order) -> None:
    """Column j of the second holds column order[j] of the first."""
    first = _chances(0, 4)
    i, j = other_order(first, first[:, order])

    assert order[j] == i
    assert i != j


@pytest.mark.parametrize(
    "second", [_chances(0, 4), _chances(1, 4), _chances(0, 4).mean(0, keepdims=True).repeat(400, 0)]
)
def test_the_same_order_another_model_and_a_constant_one_are_no_exchange(second) -> None:
    """A model that is merely wrong has no order of labels in which it is right."""
    assert other_order(_chances(0, 4), second) is None


def test_a_score_of_the_other_label_is_told_from_another_score() -> None:
    """1 − score is the other label's; an independent score, and the same one, are not."""
    score = np.random.default_rng(0).beta(0.5, 0.5, 500)

    assert other_label(score, 1 - score)
    assert not other_label(score, score)
    assert not other_label(score, np.random.default_rng(1).beta(0.5, 0.5, 500))
