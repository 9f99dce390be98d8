"""One-run bounds: another library's numbers, closed forms, naive twins, and false alarms under honest training."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.gaussian import mu_of
from rai_bigmodel.stats.guesses import corners, right_guesses
from rai_bigmodel.stats.guessing import Bonferroni, Corners, Fixed, Split, lower_bound
from rai_bigmodel.stats.one_run import (
    canaries_needed,
    epsilon_at_least,
    gaussian_refuted,
    largest_refutable_epsilon,
    p_value,
)


def normal_scores(shift: float, n: int = 10_000):
    """n in and n out whose scores are the quantiles of N(shift, 1) and N(0, 1)."""
    base = special.ndtri((np.arange(n) + 0.5) / n)
    return np.concatenate([base + shift, base]), np.arange(2 * n) < n


# --- numbers of others ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "hypothesis", "epsilon"),
    [
        (0, "epsilon-delta", 0.0),
        (0, "gaussian", 0.0),
        (1, "epsilon-delta", 1.13346),
        (1, "gaussian", 2.164749),
        (2, "epsilon-delta", 2.311945),
        (2, "gaussian", 4.7218075),
        (4, "epsilon-delta", 4.395568),
        (4, "gaussian", 9.133752),
    ],
)
def test_the_bounds_are_those_of_jax_privacy(shift: float, hypothesis, epsilon: float) -> None:
    """Its test test_epsilon_one_run_close, relative 1e-5: α = .05, δ = 1e-6, Bonferroni over the hull's corners."""
    scores, member = normal_scores(shift)
    bound = lower_bound(scores, member, choice=Corners(), delta=1e-6, hypothesis=hypothesis)

    assert bound.epsilon == pytest.approx(epsilon, rel=1e-5)


def test_a_perfect_attack_reaches_the_closed_form_and_no_further() -> None:
    """−ln(α^(−1/m) − 1): 3.49, 5.81 and 8.81; with δ = 1e-5 5.78 and 8.20."""
    for m in (100, 1000, 20_000):
        assert largest_refutable_epsilon(m) == pytest.approx(-math.log(0.05 ** (-1 / m) - 1), abs=1e-6)
    assert largest_refutable_epsilon(100) == pytest.approx(3.492965, abs=1e-6)
    assert largest_refutable_epsilon(1000, delta=1e-5) == pytest.approx(5.7823, abs=1e-4)
    assert largest_refutable_epsilon(20_000, delta=1e-5) == pytest.approx(8.1967, abs=1e-4)
    assert largest_refutable_epsilon(10) == pytest.approx(1.05, abs=5e-3)


@pytest.mark.parametrize(
    ("epsilon", "canaries"), [(1, 10), (2, 24), (4, 166), (6, 1211), (8, 8932), (10, 65987)]
)
def test_so_many_canaries_are_needed_and_one_fewer_will_not_do(epsilon: float, canaries: int) -> None:
    """The smallest m whose perfect attack refutes ε."""
    assert canaries_needed(epsilon) == canaries
    assert largest_refutable_epsilon(canaries) >= epsilon > largest_refutable_epsilon(canaries - 1)


def test_delta_is_paid_for() -> None:
    """m = 20,000 with 1,000 right guesses: 5.81, 5.76 and 5.20 at δ = 0, 1e-6 and 1e-5."""
    found = [largest_refutable_epsilon(20_000, delta=d, guesses=1000) for d in (0, 1e-6, 1e-5)]

    assert found == pytest.approx([5.80907, 5.75541, 5.19614], abs=1e-4)


# --- naive twins ---------------------------------------------------------------------------------


def naive_p(epsilon: float, m: int, r: int, v: int, delta: float) -> float:
    """The formula as it stands, term by term."""
    q = 1 / (1 + math.exp(-epsilon))
    mass = [math.comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    worst = max((sum(mass[v - i : v]) / i for i in range(1, v + 1)), default=0.0)
    return min(1.0, sum(mass[v:]) + 2 * m * delta * worst)


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 40),
    st.integers(0, 100),
    st.floats(0, 6),
    st.sampled_from([0, 1e-6, 0.01]),
)
def test_the_p_value_is_its_formula(r: int, wrong: int, unguessed: int, epsilon: float, delta: float) -> None:
    """Any counts, any ε, with and without δ."""
    v = max(r - wrong, 0)
    found = p_value(epsilon, canaries=r + unguessed, guesses=r, correct=v, delta=delta)

    assert found == pytest.approx(naive_p(epsilon, r + unguessed, r, v, delta), rel=1e-9, abs=1e-13)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.floats(0, 1), st.sampled_from([0, 1e-6, 1e-3]))
def test_a_p_value_below_one_half_rises_with_epsilon(r: int, share: float, delta: float) -> None:
    """So all ε below the bound are refuted, not only the bound itself."""
    v = round(share * r)
    p = [p_value(e, canaries=2 * r, guesses=r, correct=v, delta=delta) for e in np.linspace(0, 8, 60)]

    assert all(a <= b * (1 + 1e-9) for a, b in itertools.pairwise(p) if a < 0.5)


def naive_refuted(mu: float, m: int, k: int, c: int, alpha: float) -> bool:
    """The recursion as the paper has it, every step taken."""
    r, h = alpha * c / m, alpha * (k - c) / m
    for i in range(c - 1, -1, -1):
        h_new = max(h, float(stats.norm.cdf(stats.norm.ppf(min(r, 1.0)) - mu)))
        r += i / (k - i) * (h_new - h)
        h = h_new
    return r + h > k / m


@pytest.mark.parametrize("mu", [0.0, 0.3, 1.0, 2.5])
def test_the_gaussian_recursion_is_the_papers(mu: float) -> None:
    """Stopping early changes nothing."""
    for k, c in ((40, 40), (40, 33), (40, 25), (100, 71), (10, 0)):
        found = gaussian_refuted(mu, canaries=200, guesses=k, correct=c, alpha=0.05)
        assert found == naive_refuted(mu, 200, k, c, 0.05)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30), st.booleans(), st.data()
)
def test_right_guesses_are_counted_to_the_auditors_disadvantage(rows, both: bool, data) -> None:
    """The fewest right guesses over all ways to order equal scores: each row is nudged for and against."""
    scores, member = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    k = data.draw(st.integers(1, len(rows)))
    low = k // 2 if both else 0
    # Members a little lower, others a little higher: the worst order among equals.
    nudged = scores + np.where(member, -0.1, 0.1) + np.arange(len(rows)) * 1e-6
    order = np.argsort(-nudged)
    naive = sum(member[i] for i in order[: k - low]) + sum(not member[i] for i in order[len(order) - low :])

    assert right_guesses(scores, member, k, "both" if both else "one") == naive


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=25))
def test_corners_are_the_upper_hull_of_all_thresholds(rows) -> None:
    """No threshold's point lies above the hull, and each corner is a threshold's point."""
    scores, member = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    points = {
        (int((scores[~member] >= t).sum()), int((scores[member] >= t).sum()))
        for t in [*scores.tolist(), np.inf]
    }
    hull = [(guesses - right, right) for guesses, right in corners(scores, member)]

    assert set(hull) <= points
    x, y = zip(*hull, strict=True)
    for a, b in points:
        tops = [q for p, q in hull if p == a]
        assert b <= (max(tops) if tops else np.interp(a, x, y)) + 1e-9


# --- choices -------------------------------------------------------------------------------------


def coins(m: int, mu: float, seed: int):
    """m canaries, each in by a fair coin, with normal scores."""
    rng = np.random.default_rng(seed)
    member = rng.random(m) < 0.5
    return rng.normal(size=m) + mu * member, member, rng


@pytest.mark.parametrize("sides", ["one", "both"])
def test_every_choice_refutes_what_is_plain_and_stays_below_its_ceiling(sides) -> None:
    """Members six deviations above the rest, m = 1000."""
    scores, member, rng = coins(1000, 6.0, 0)
    for choice in (Fixed(300), Bonferroni(), Bonferroni((50, 400)), Split(), Split(repeats=5)):
        bound = lower_bound(scores, member, choice=choice, delta=1e-5, sides=sides, rng=rng)

        assert 3.0 < bound.epsilon <= bound.largest + 0.1
        assert bound.canaries == 1000


def test_more_tests_cost_more_than_the_one_that_was_right() -> None:
    """The best of six numbers of guesses is bounded less tightly than the same number fixed alone."""
    scores, member, _ = coins(1000, 2.0, 1)
    many = lower_bound(scores, member, choice=Bonferroni(), delta=1e-5)
    alone = lower_bound(scores, member, choice=Fixed(many.guesses), delta=1e-5)

    assert 0 < many.epsilon < alone.epsilon
    assert alone.correct == many.correct == right_guesses(scores, member, many.guesses)


def test_guessing_both_sides_is_worth_it_on_symmetric_scores() -> None:
    """Twice the right guesses at the same precision."""
    scores, member, _ = coins(2000, 2.0, 2)
    one, both = (
        lower_bound(scores, member, choice=Fixed(k), delta=1e-5, sides=s).epsilon
        for k, s in ((200, "one"), (400, "both"))
    )

    assert both > one > 0


def alarms(mechanism, epsilon: float, delta: float, *, m: int, draws: int, hypothesis, choice) -> float:
    """How often the bound is above what is true."""
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(draws):
        member = rng.random(m) < 0.5
        bound = lower_bound(
            mechanism(member, rng),
            member,
            choice=choice,
            delta=delta,
            sides="both",
            hypothesis=hypothesis,
            rng=rng,
        )
        wrong += bound.epsilon > epsilon
    return wrong / draws


def randomised_response(epsilon: float):
    """Tells each coin, rightly with chance e^ε/(1+e^ε); a tiny noise orders the guesses."""

    def answer(member, rng):
        truthful = rng.random(len(member)) < special.expit(epsilon)
        return np.where(member == truthful, 1.0, -1.0) + rng.normal(size=len(member)) * 1e-3

    return answer


@pytest.mark.parametrize(
    ("choice", "draws"), [(Fixed(200), 200), (Bonferroni(), 150), (Split(), 150), (Split(repeats=3), 60)]
)
def test_randomised_response_at_its_very_epsilon_is_seldom_accused(choice, draws: int) -> None:
    """The worst case of ε-privacy: at most 5 % false alarms and two deviations (the zoo draws more)."""
    found = alarms(
        randomised_response(1.0), 1.0, 0.0, m=200, draws=draws, hypothesis="epsilon-delta", choice=choice
    )

    assert found <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / draws)


def test_the_uncorrected_best_would_be_accused_too_often() -> None:
    """What the correction is for: the best of many numbers of guesses at the full α, twice as often as allowed."""
    rng = np.random.default_rng(3)
    wrong = 0
    answer = randomised_response(1.0)
    for _ in range(200):
        member = rng.random(200) < 0.5
        scores = answer(member, rng)
        wrong += any(
            p_value(1.0, canaries=200, guesses=k, correct=right_guesses(scores, member, k, "both")) < 0.05
            for k in range(10, 200, 5)
        )

    assert wrong / 200 > 0.08


def test_an_honest_gaussian_is_seldom_accused_by_either_hypothesis() -> None:
    """m = 200, ε = 1 at δ = 1e-5: at most 5 % and Monte-Carlo error."""
    mu = mu_of(1.0, 1e-5)

    def gauss(member, rng):
        return rng.normal(size=len(member)) + mu * member

    for hypothesis in ("epsilon-delta", "gaussian"):
        found = alarms(gauss, 1.0, 1e-5, m=200, draws=60, hypothesis=hypothesis, choice=Bonferroni())
        assert found <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 60)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"scores": [1.0, np.nan, 2.0, 3.0]}, "not finite"),
        ({"scores": [1.0, 2.0]}, "one length"),
        ({"member": [1, 0, 1, 0]}, "booleans"),
        ({"choice": Fixed(5)}, "between 1 and 4"),
        ({"choice": Fixed(0)}, "between 1 and 4"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 0.7}, "alpha"),
        ({"delta": 1.0}, "delta"),
        ({"delta": 0.0, "hypothesis": "gaussian"}, "delta"),
        ({"choice": Split()}, "rng"),
        ({"choice": Corners(), "sides": "both"}, "one"),
    ],
)
def test_a_call_that_cannot_be_is_refused_in_one_line(change: dict, named: str) -> None:
    """Each by name."""
    good = {
        "scores": [4.0, 3.0, 2.0, 1.0],
        "member": [True, True, False, False],
        "choice": Fixed(2),
        "delta": 1e-5,
    }
    call = good | change
    with pytest.raises(InputError, match=named) as error:
        lower_bound(np.array(call.pop("scores")), np.array(call.pop("member")), **call)

    assert "\n" not in str(error.value)


def test_counts_and_shares_that_cannot_be_are_refused() -> None:
    """More right than guessed, more guessed than there, a split of everything."""
    for m, r, v in ((10, 11, 5), (10, 5, 6), (10, 5, -1), (0, 0, 0)):
        with pytest.raises(InputError, match="canaries"):
            epsilon_at_least(m, r, v)
    with pytest.raises(InputError, match="epsilon"):
        canaries_needed(-1.0)
    with pytest.raises(InputError, match="share"):
        Split(share=1.0)
