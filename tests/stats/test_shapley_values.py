"""Shapley values: exact ones against every order of joining, sampled ones against exact ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rai_bigmodel.stats import shapley


def _game(players: int, rows: int, seed: int) -> np.ndarray:
    """Worths ``(rows, 2^players)`` of any game, by the number whose bits are the members."""
    return np.random.default_rng(seed).normal(size=(rows, 2**players))


def _worths(game: np.ndarray, design: shapley.Design) -> np.ndarray:
    return game[:, design.members @ (1 << np.arange(design.members.shape[1]))]


def _by_every_order(game: np.ndarray, players: int) -> np.ndarray:
    """The naive twin: what each player adds on joining, over every order."""
    out = np.zeros((len(game), players))
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        code = 0
        for player in order:
            out[:, player] += game[:, code | 1 << player] - game[:, code]
            code |= 1 << player
    return out / len(orders)


@pytest.mark.parametrize("players", [1, 2, 3, 5, 6])
def test_every_coalition_gives_the_mean_over_every_order(players) -> None:
    """Exact values of games without structure."""
    game = _game(players, 4, players)
    design = shapley.every_coalition(players)
    found = shapley.values(_worths(game, design), design)

    np.testing.assert_allclose(found, _by_every_order(game, players), atol=1e-12)


@pytest.mark.parametrize("players", [2, 3, 4, 7, 8])
def test_a_sampled_design_with_room_for_all_is_exact(players) -> None:
    """Every size enumerated: the regression's answer is Shapley's, and its error is 0."""
    game = _game(players, 3, players)
    whole = shapley.every_coalition(players)
    design = shapley.paired_design(players, 2**players - 2, np.random.default_rng(0))
    worths = _worths(game, design)

    assert design.drawn == len(design.members) == 2**players
    np.testing.assert_allclose(
        shapley.values(worths, design), shapley.values(_worths(game, whole), whole), atol=1e-9
    )
    assert not shapley.standard_errors(worths, design).any()


def test_additive_games_are_solved_by_any_design() -> None:
    """A player worth w in every coalition gets w; the standard error says that nothing is left to know."""
    w = np.array([[1.0, -2.0, 0.5, 0.0, 3.0, 1.0, 1.0, 0.1, 0.2]])
    design = shapley.paired_design(9, 60, np.random.default_rng(1))
    worths = 7 + w @ design.members.T

    np.testing.assert_allclose(shapley.values(worths, design), w, atol=1e-9)
    np.testing.assert_allclose(shapley.standard_errors(worths, design), 0, atol=1e-7)


def test_values_add_up_to_what_all_are_worth_together() -> None:
    """Exactly, however few coalitions were drawn."""
    game = _game(9, 5, 3)
    design = shapley.paired_design(9, 40, np.random.default_rng(2))
    worths = _worths(game, design)

    np.testing.assert_allclose(shapley.values(worths, design).sum(axis=1), worths[:, 1] - worths[:, 0])


def test_the_standard_error_is_the_spread_over_designs() -> None:
    """Within a quarter, on average, of the standard deviation over 200 designs."""
    players, r = 12, np.random.default_rng(5)
    weights = r.normal(size=(players, 6))
    found, stated = [], []
    for seed in range(200):
        design = shapley.paired_design(players, 150, np.random.default_rng(seed))
        worths = (
            np.tanh(design.members @ weights).sum(axis=1)[None]
            + 0.3 * np.sin(3 * design.members @ weights[:, :1]).T
        )
        found.append(shapley.values(worths, design)[0])
        stated.append(shapley.standard_errors(worths, design)[0])
    ratio = np.sqrt((np.array(stated) ** 2).mean(axis=0)) / np.array(found).std(axis=0, ddof=1)

    assert 0.75 < ratio.mean() < 1.33, ratio
