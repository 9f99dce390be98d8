"""Is the ε right? Pinned values, another accountant, and what is refused."""

import math

import msgspec
import pytest

from rai_bigmodel import accounting
from rai_bigmodel.accounting import (
    Ledger,
    Privacy,
    composed_epsilon_of,
    cross_fitted_epsilon_of,
    epsilon_of,
    exact_epsilon_of,
    noise_for,
    rdp_epsilon_of,
)
from rai_bigmodel.errors import InputError

PRIVACY = {"delta": 1e-5, "sample_rate": 0.1, "expected_batch_size": 100}


def ledger(noise: float, rate: float, steps: int) -> Ledger:
    return Ledger(
        noise_multiplier=noise, sample_rate=rate, steps=steps, delta=1e-5, clip=1.0, expected_batch_size=100
    )


# Noise, sample rate, steps at δ = 1e-5 → PRV, RDP, and the exact value where there is one (Balle & Wang 2018
# for a rate of 1, the hockey-stick integral for one step).
ROWS = [
    (1.0, 1.0, 1, 4.3874, 4.7285, 4.3772),
    (10.0, 1.0, 100, 4.3874, 4.7285, 4.3772),
    (1.0, 0.01, 1, 0.20956, 0.95555, 0.1995),
    (1.1, 256 / 60000, 14062, 2.3917, 2.5966, None),
    (1.0, 0.01, 1000, 1.8384, 2.1014, None),
    (0.5, 0.01, 100, 6.4868, 8.0307, None),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_epsilon_has_its_pinned_value(row: tuple[float, float, int, float, float, float | None]) -> None:
    """To five digits; at or above the exact one, below RDP; what is shown is rounded up at the fourth decimal."""
    noise, rate, steps, prv, rdp, exact = row
    this = ledger(noise, rate, steps)
    spent, loose = accounting._prv(noise, rate, steps, 1e-5), accounting._rdp(noise, rate, steps, 1e-5)

    assert float(f"{spent:.5g}") == prv
    assert float(f"{loose:.5g}") == rdp
    assert 0 <= epsilon_of(this) - spent < 1e-4
    assert 0 <= rdp_epsilon_of(this) - loose < 1e-4
    assert epsilon_of(this) <= rdp_epsilon_of(this)
    if exact is not None:
        assert exact <= spent <= exact + 0.0103


def test_with_all_rows_in_every_step_epsilon_is_exact() -> None:
    """4.3772 for σ = 1 once and σ = 10 a hundred times; with sampling there is no closed form."""
    for noise, steps in ((1.0, 1), (10.0, 100)):
        exact = exact_epsilon_of(ledger(noise, 1.0, steps))

        assert float(f"{exact:.5g}") == 4.3772
        assert exact <= epsilon_of(ledger(noise, 1.0, steps))
    assert exact_epsilon_of(ledger(1.0, 0.5, 1)) is None
    with pytest.raises(InputError, match="without noise"):
        exact_epsilon_of(ledger(0.0, 1.0, 1))


@pytest.mark.parametrize(
    "row",
    [
        ROWS[2],
        ROWS[4],
        *(pytest.param(row, marks=pytest.mark.zoo) for row in (ROWS[0], ROWS[1], ROWS[3], ROWS[5])),
    ],
    ids=str,
)
def test_another_accountant_agrees(row: tuple[float, float, int, float, float, float | None]) -> None:
    """Google's privacy loss distributions (dp-accounting): PLD ≤ PRV ≤ PLD + .011 + 1 %."""
    dp_accounting = pytest.importorskip(
        "dp_accounting", reason="the second opinion needs dp-accounting (extra dev)"
    )
    noise, rate, steps = row[:3]
    step = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
    accountant = dp_accounting.pld.PLDAccountant()
    accountant.compose(dp_accounting.SelfComposedDpEvent(step, steps))
    second = accountant.get_epsilon(1e-5)

    assert second <= accounting._prv(noise, rate, steps, 1e-5) <= second * 1.01 + 0.011


def test_the_accountant_that_reports_too_little_is_refused() -> None:
    """Opacus' GDP accountant says 3.06 where 6.49 is spent: no ledger can name it, and the true ε is recomputed."""
    from opacus.accountants import GaussianAccountant

    with pytest.warns(UserWarning, match="underestimate"):
        too_little = GaussianAccountant()
    too_little.history = [(0.5, 0.01, 100)]

    assert too_little.get_epsilon(1e-5) == pytest.approx(3.0616, abs=1e-4)
    assert epsilon_of(ledger(0.5, 0.01, 100)) > 2 * too_little.get_epsilon(1e-5)
    written = msgspec.to_builtins(ledger(0.5, 0.01, 100)) | {"accountant": "gdp"}
    with pytest.raises(msgspec.ValidationError, match="accountant"):
        msgspec.convert(written, Ledger)


def test_cross_fitting_a_private_recipe_costs_all_its_trainings() -> None:
    """Five folds and a final fit turn 4.0 into 9.7 (σ = 1.59, rate .1, 150 steps): a row is in five of the six."""
    once = ledger(noise_for(Privacy(epsilon=4.0, **PRIVACY), 150), 0.1, 150)
    together = cross_fitted_epsilon_of(once, 5)

    assert epsilon_of(once) <= 4.0
    assert together == pytest.approx(9.72, abs=0.01)
    assert together == composed_epsilon_of(once, 5)
    assert together == epsilon_of(msgspec.structs.replace(once, steps=5 * 150))
    assert composed_epsilon_of(once, 1) == epsilon_of(once)
    with pytest.raises(InputError, match="number of folds must be a whole number between 2"):
        cross_fitted_epsilon_of(once, 1)
    with pytest.raises(InputError, match="number of trainings must be a whole number between 1"):
        composed_epsilon_of(once, 0)


def test_without_subsampling_epsilon_is_at_least_the_analytic_gaussian() -> None:
    """At a rate of 1, T steps with noise σ are one Gaussian with μ = √T/σ; its δ(ε) has a closed form."""

    def delta(epsilon: float, mu: float) -> float:
        def cdf(x: float) -> float:
            return 0.5 * math.erfc(-x / math.sqrt(2))

        return cdf(-epsilon / mu + mu / 2) - math.exp(epsilon) * cdf(-epsilon / mu - mu / 2)

    for noise, steps in ((2.0, 1), (8.0, 20), (30.0, 400)):
        spent = epsilon_of(ledger(noise, 1.0, steps))

        assert delta(spent, math.sqrt(steps) / noise) <= 1e-5
        assert delta(spent - 0.03, math.sqrt(steps) / noise) > 1e-5


@pytest.mark.parametrize(("target", "rate", "steps"), [(4.0, 0.1, 100), (1.0, 0.01, 300), (8.0, 1.0, 20)])
def test_the_noise_found_keeps_the_target_and_wastes_little(target: float, rate: float, steps: int) -> None:
    """ε with the noise found is at most the target, and within 0.5 % of it."""
    privacy = Privacy(epsilon=target, delta=1e-5, sample_rate=rate, expected_batch_size=100)
    spent = epsilon_of(ledger(noise_for(privacy, steps), rate, steps))

    assert target * 0.995 <= spent <= target


def test_a_declared_noise_is_taken_as_it_is() -> None:
    """Who gives the noise gets that noise."""
    assert noise_for(Privacy(noise_multiplier=1.3, **PRIVACY), 10) == 1.3


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"epsilon": math.inf}, "epsilon"),
        ({"noise_multiplier": -0.1}, "noise_multiplier"),
        ({"epsilon": 4.0, "noise_multiplier": 1.0}, "either epsilon or noise_multiplier"),
        ({}, "either epsilon or noise_multiplier"),
        ({"epsilon": 4.0, "delta": 0.0}, "delta"),
        ({"epsilon": 4.0, "delta": 1.0}, "delta"),
        ({"epsilon": 4.0, "sample_rate": 0.0}, "sample_rate"),
        ({"epsilon": 4.0, "sample_rate": 1.01}, "sample_rate"),
        ({"epsilon": 4.0, "expected_batch_size": 0}, "expected_batch_size"),
        ({"epsilon": 4.0, "clip": 0.0}, "clip"),
        ({"epsilon": 4.0, "noise_seed": -1}, "noise_seed"),
        ({"epsilon": 4.0, "noise_seed": 1.5}, "noise_seed must be a whole number"),
        ({"epsilon": "4"}, "epsilon must be a number, got '4'"),
        ({"epsilon": True}, "epsilon must be a number, got True"),
        ({"noise_multiplier": [1.0]}, r"noise_multiplier must be a number, got \[1.0\]"),
        ({"epsilon": 4.0, "delta": None}, "delta must be a number, got None"),
        ({"epsilon": 4.0, "sample_rate": "0.1"}, "sample_rate must be a number"),
        ({"epsilon": 4.0, "expected_batch_size": None}, "expected_batch_size must be a number"),
    ],
)
def test_a_privacy_out_of_range_is_refused_in_one_line(wrong: dict[str, float], named: str) -> None:
    """Each impossible promise is refused by name."""
    with pytest.raises(InputError, match=named) as error:
        Privacy(**{**PRIVACY, **wrong})

    assert "\n" not in str(error.value)


def test_no_steps_spend_nothing_that_could_be_named() -> None:
    """A training of no steps is refused, by the search and by the ledger."""
    with pytest.raises(InputError, match="steps"):
        noise_for(Privacy(epsilon=4.0, **PRIVACY), 0)
    with pytest.raises(InputError, match="steps"):
        ledger(1.0, 0.1, 0)


def test_without_noise_no_epsilon_holds() -> None:
    """A ledger without noise has no ε, by name."""
    with pytest.raises(InputError, match="without noise"):
        epsilon_of(ledger(0.0, 0.1, 10))


def test_a_ledger_claims_no_epsilon_for_seeded_noise() -> None:
    """Who knows the seed can subtract the noise, so the claim is null and the ledger says why."""
    honest = Ledger.of(Privacy(noise_multiplier=1.0, **PRIVACY), noise_multiplier=1.0, steps=10)
    seeded = Ledger.of(Privacy(noise_multiplier=1.0, noise_seed=1, **PRIVACY), noise_multiplier=1.0, steps=10)

    assert honest.epsilon_claimed == epsilon_of(honest)
    assert seeded.epsilon_claimed is None
    assert seeded.noise_seeded
    assert "tests only" in seeded.noise_generator


def test_a_ledger_survives_being_written_and_read() -> None:
    """The record as plain values converts back to itself."""
    before = ledger(1.3, 0.1, 12)

    assert msgspec.convert(msgspec.to_builtins(before), Ledger) == before


@pytest.mark.parametrize(("epsilon", "rate", "steps"), [(50.0, 1.0, 1), (450.0, 1.0, 1), (450.0, 0.01, 1)])
def test_a_weak_promise_is_met_without_more_noise_than_it_needs(epsilon, rate, steps) -> None:
    """The search goes by noise so small that no accountant could tell its ε."""
    privacy = Privacy(epsilon=epsilon, delta=1e-5, sample_rate=rate, expected_batch_size=10)
    noise = noise_for(privacy, steps)

    assert 0.95 * epsilon < epsilon_of(ledger(noise, rate, steps)) <= epsilon


@pytest.mark.parametrize("noise", [0.01, 1e-300])
def test_noise_whose_epsilon_nobody_can_tell_is_refused(noise) -> None:
    """Before the training, and in a card."""
    with pytest.raises(InputError, match="promises nothing"):
        noise_for(Privacy(noise_multiplier=noise, **PRIVACY), 10)
    with pytest.raises(InputError, match="promises nothing"):
        epsilon_of(ledger(noise, 0.1, 10))
