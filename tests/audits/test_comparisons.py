"""What compares the subject with its relatives: what privacy cost whom, and whether the file decides alike."""

from __future__ import annotations

import numpy as np
import pytest
from cohorts import logistic, rng, splits, subject

from rai_bigmodel.audits.deployment import Deployment
from rai_bigmodel.audits.deployment_clock import order_statistics
from rai_bigmodel.audits.performance import Performance
from rai_bigmodel.audits.privacy import Privacy

LEDGER = {
    "noise_multiplier": 1.0,
    "sample_rate": 0.01,
    "steps": 1000,
    "delta": 1e-5,
    "clip": 1.0,
    "expected_batch_size": 10.0,
    "epsilon_claimed": 1.5,
}


def _only(findings, metric, **labels):
    return [
        m
        for m in findings.measurements
        if m.metric == metric and all(m.labels.get(k) == v for k, v in labels.items())
    ]


def test_epsilon_is_recomputed_from_the_ledger_and_not_copied() -> None:
    """The PRV accountant's 1.8384 for σ = 1, q = 0.01, 1,000 steps, although the card claims 1.5."""
    pytest.importorskip("opacus", reason="accounting needs the extra 'privacy'")
    findings = Privacy()(subject(card={"ledger": LEDGER}), splits(), rng())
    claimed, spent = (_only(findings, f"privacy.{n}")[0] for n in ("epsilon_claimed", "epsilon_spent"))

    assert spent.value == pytest.approx(1.8384, abs=2e-4)
    assert spent.kind == "exact"
    assert (claimed.value, claimed.origin) == (1.5, "declared")


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ({}, "no privacy ledger"),
        ({"ledger": LEDGER | {"noise_seeded": True}}, "seed"),
        ({"ledger": LEDGER | {"noise_multiplier": 0.01}}, "so little noise that no accountant tells its ε"),
        ({"ledger": LEDGER | {"noise_multiplier": 1e-9}}, "so little noise that no accountant tells its ε"),
        ({"ledger": LEDGER | {"noise_multiplier": 0.0}}, "no noise"),
    ],
)
def test_without_a_guarantee_there_is_no_epsilon(card, why) -> None:
    """No ledger, seeded noise, no noise: null with why, never zero."""
    spent = _only(Privacy()(subject(card=card), splits(), rng()), "privacy.epsilon_spent")[0]

    assert spent.value is None
    assert why in spent.why


def test_the_training_rows_of_a_private_model_are_not_looked_at() -> None:
    """How much better they do would be a release outside the ledger: null with why, for the private model alone."""
    private, plain = (
        {m.metric: m for m in Performance()(s, splits(), rng()).measurements}[
            "performance.generalisation_gap"
        ]
        for s in (subject(card={"ledger": LEDGER}), subject())
    )

    assert private.value is None
    assert "spend privacy" in private.why
    assert plain.value is not None


def test_what_privacy_cost_a_group_is_the_paired_difference_of_accuracy() -> None:
    """A private twin that is always wrong on one group costs that group its accuracy, and the others nothing."""
    data = splits(900)
    race = data.held_out.columns["race"]
    harmed = subject(
        lambda x: np.where(race == "C", 1 - logistic(x), logistic(x)), relatives={"plain": subject()}
    )
    cost = {
        m.labels["group"]: m
        for m in _only(Privacy()(harmed, data, rng()), "privacy.accuracy_cost", attribute="race")
    }

    assert cost["A"].value == cost["B"].value == 0
    assert cost["C"].value > 0.2
    assert cost["C"].interval is not None
    assert cost["C"].interval.low > 0


def test_a_file_that_decides_alike_has_no_flips_and_an_interval_all_the_same() -> None:
    """0 of 600: the 95 % limit is 1 − 0.025^(1/600), known on paper."""
    findings = Deployment(repeats=5)(subject(relatives={"onnx": subject()}), splits(), rng())
    flips = _only(findings, "deployment.decision_flip_rate", variant="fp32")[0]

    assert flips.value == 0
    assert flips.interval is not None
    assert flips.interval.high == pytest.approx(1 - 0.025 ** (1 / 600))
    assert _only(findings, "deployment.max_abs_difference")[0].value == 0


def test_a_file_that_hurts_one_group_only_is_found() -> None:
    """A quarter of one group's decisions flipped is a flip-rate difference of a quarter."""
    data = splits(2000)
    race, turn = data.held_out.columns["race"], np.arange(2000) % 4 == 0
    clipped = subject(lambda x: np.where((race == "B") & turn, 1 - logistic(x), logistic(x)))
    findings = Deployment(batches=(), explained=0)(subject(relatives={"onnx": clipped}), data, rng())
    m = _only(findings, "deployment.flip_rate_difference", attribute="race")[0]

    assert m.labels["high"] == "B"
    assert m.value == pytest.approx(0.25, abs=0.05)
    assert m.interval is not None
    assert m.interval.low > 0.1


def test_without_an_exported_file_nothing_is_claimed() -> None:
    """Null with why."""
    (m,) = Deployment()(subject(), splits(), rng()).measurements

    assert m.value is None
    assert "no exported file" in m.why


def test_latencies_are_clocks_withorder_statistics() -> None:
    """Kind clock, one for each variant, batch and quantile."""
    findings = Deployment(repeats=20, batches=(1, 8))(subject(relatives={"onnx": subject()}), splits(), rng())
    timed = _only(findings, "deployment.latency_ms")

    assert len(timed) == 2 * 2 * 2
    assert {m.kind for m in timed} == {"clock"}


def test_order_statistics_cover_the_quantile() -> None:
    """The median of an exponential is covered in about 95 of 100 draws; the 99th percentile of 50 is open above."""
    r = np.random.default_rng(0)
    found = [order_statistics(np.sort(r.exponential(size=200)), 0.5) for _ in range(400)]
    hits = [i.low <= np.log(2) <= i.high for i in found]

    assert 0.93 <= np.mean(hits) <= 0.99
    assert order_statistics(np.arange(50.0), 0.99).high is None
