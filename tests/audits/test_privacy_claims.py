"""What is claimed of a model trained elsewhere, and what attacks may say of it where members were drawn by a coin."""

from __future__ import annotations

import dataclasses
import datetime as dt

import msgspec
import numpy as np
import pytest
from cohorts import logistic, rng, splits, subject

from rai_bigmodel.accounting import Ledger
from rai_bigmodel.accounting import Privacy as Promise
from rai_bigmodel.audits.privacy import Privacy
from rai_bigmodel.collect import Asked, collect
from rai_bigmodel.errors import InputError
from rai_bigmodel.policy import judge
from rai_bigmodel.rules import Policy, Rule
from rai_bigmodel.stats.gaussian import epsilon_of
from rai_bigmodel.subject import Splits

PROMISE = Promise(noise_multiplier=2.0, delta=1e-5, sample_rate=1.0, expected_batch_size=60)
LEDGER = Ledger.of(PROMISE, noise_multiplier=2.0, steps=10)


@pytest.mark.parametrize(
    ("claimed", "accept", "outcome"),
    [(8.0, None, "fail"), (3.0, None, "inconclusive"), (3.0, "declared", "pass")],
)
def test_a_declared_epsilon_can_fail_a_rule_and_passes_only_where_it_is_accepted(
    claimed: float, accept: str | None, outcome: str
) -> None:
    """Of a function that somebody says was trained privately; and nothing is said to have been spent."""
    audit = Privacy(claimed_epsilon=claimed, claimed_delta=1e-5)
    found = collect(subject(), splits(), [Asked("privacy", audit)])
    told = {m.metric: m for m in found.evidence[0].measurements if not m.labels}
    rule = Rule(metric="privacy.epsilon_claimed", at_most=4, because="The agreement.", accept=accept)
    verdict = judge(Policy(name="p", rules=(rule,)), found, today=dt.date(2026, 11, 28))

    assert told["privacy.epsilon_claimed"].origin == "declared"
    assert "nobody measured it" in told["privacy.epsilon_claimed"].why
    assert told["privacy.epsilon_spent"].value is None
    assert verdict.outcome == outcome


def coin_splits(rows: int = 1200, seed: int = 4) -> Splits:
    """Rows of one table, members by a coin."""
    both = splits(rows)
    inside = np.random.default_rng(seed).random(rows) < 0.5
    return Splits(
        train=both.train.take(inside, name="members"), held_out=both.train.take(~inside, name="others")
    )


def leaky(data: Splits, strength: float):
    """Scores that lean towards the outcome of a member by a normal number of this mean."""
    known = set(data.train.columns["x"].tolist())
    outcomes = {
        x: y
        for part in (data.train, data.held_out)
        for x, y in zip(part.columns["x"].tolist(), part.columns["y"].tolist(), strict=True)
    }

    def predict(inputs) -> np.ndarray:
        r = np.random.default_rng(11)
        sign = np.array([2 * outcomes[x] - 1 for x in inputs["x"].tolist()])
        lean = np.array([strength * (x in known) for x in inputs["x"].tolist()])
        return 1 / (1 + np.exp(-sign * (r.normal(size=len(sign)) + lean)))

    return predict


def bounds(findings) -> dict[tuple[str, str], object]:
    return {
        (m.labels["attack"], m.labels["method"]): m
        for m in findings.measurements
        if m.metric == "privacy.epsilon_lower_bound"
    }


def test_a_claim_is_refuted_where_members_were_drawn_by_a_coin_and_an_honest_one_is_not() -> None:
    """A leak of 4 deviations against ε = 0.5; without one nothing is refuted, and the words say how far one could."""
    data = coin_splits()
    asked = Privacy(membership=True, claimed_epsilon=0.5, claimed_delta=1e-5, coin=True)
    refuted = asked(subject(leaky(data, 4.0)), data, rng())
    honest = asked(subject(leaky(data, 0.0)), data, rng())

    assert bounds(refuted)["loss", "snj"].value > 0.5
    assert bounds(refuted)["loss", "snj"].why.startswith("refuted: ε is at least")
    assert any(note.startswith("ε by loss, snj: refuted") for note in refuted.notes)
    for m in bounds(honest).values():
        assert m.value <= 0.5
        assert m.why.startswith("not refuted (largest refutable ε = ")


def test_without_a_coin_a_leak_is_no_bound_of_epsilon() -> None:
    """The areas are there; nothing is said of ε."""
    data = coin_splits()
    findings = Privacy(membership=True)(subject(leaky(data, 4.0)), data, rng())

    assert not bounds(findings)
    assert any(m.metric == "privacy.membership_auc" and m.value > 0.9 for m in findings.measurements)


@pytest.mark.zoo
def test_the_bounds_of_a_coin_seldom_lie() -> None:
    """200 draws of a Gaussian leak of one deviation, whose ε is known: at most 5 % and two deviations are above it."""
    true, wrong = epsilon_of(1.0, 1e-5), 0
    r = np.random.default_rng(0)
    from rai_bigmodel.audits.privacy_canaries import bounds as bound

    for _ in range(200):
        member = r.random(300) < 0.5
        found = bound(r.normal(size=300) + member, member, delta=1e-5, against=true, methods=("snj", "f-dp"))
        wrong += any(m.why.startswith("refuted") for m in found)

    assert wrong / 200 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"claimed_epsilon": 3.0}, "belong together"),
        ({"claimed_epsilon": 0.0, "claimed_delta": 1e-5}, "claimed_epsilon must be a positive"),
        ({"claimed_epsilon": 3.0, "claimed_delta": 1.0}, "claimed_delta must lie"),
        ({"claimed_epsilon": float("nan"), "claimed_delta": 1e-5}, "claimed_epsilon must be a finite number"),
        (
            {"claimed_epsilon": "3", "claimed_delta": 1e-5},
            "claimed_epsilon: expected `float | null`, got `str`",
        ),
        ({"claimed_epsilon": True, "claimed_delta": 1e-5}, "claimed_epsilon: expected"),
        ({"canaries": "1000"}, "canaries: expected `int`, got `str`"),
        ({"attributes": "sex"}, "attributes: expected `array`, got `str`"),
        ({"coin": True}, "membership: true"),
        ({"coin": True, "membership": True}, "coin needs a δ"),
    ],
)
def test_claims_that_say_nothing_are_refused(settings, why) -> None:
    """One line."""
    with pytest.raises(InputError, match=why):
        Privacy(**settings)(subject(), splits(), rng())


def test_a_claim_beside_a_ledger_is_refused() -> None:
    """The ledger is what the training did; nobody may overrule it."""
    box = subject(card={"ledger": msgspec.to_builtins(LEDGER)})
    with pytest.raises(InputError, match="leave claimed_epsilon"):
        Privacy(claimed_epsilon=1.0, claimed_delta=1e-5)(box, splits(), rng())


# --- what privacy cost whom ----------------------------------------------------------------------


def costs(findings, metric: str) -> dict[str, object]:
    return {
        f"{m.labels['attribute']} {m.labels['group']}": m
        for m in findings.measurements
        if m.metric == f"privacy.{metric}"
    }


def test_calibration_lost_to_privacy_is_told_for_each_group_and_small_ones_say_why() -> None:
    """The private model is three times too sure; of 600 rows, race C has too few to be asked."""
    data = splits()
    data = Splits(held_out=dataclasses.replace(data.held_out))
    sure = subject(lambda inputs: 1 / (1 + np.exp(-6 * inputs["x"]))).related(
        plain=subject(lambda inputs: 1 / (1 + np.exp(-1.7 * inputs["x"])))
    )
    found = costs(Privacy()(sure, data, rng()), "calibration_cost")

    assert found["sex f"].value > 0.1
    assert found["sex f"].interval.low > 0
    assert found["race C"].value is None
    assert "too few" in found["race C"].why
    same = costs(Privacy()(subject().related(plain=subject()), data, rng()), "calibration_cost")
    assert same["sex f"].value == 0
    assert same["sex f"].interval.low < 0 < same["sex f"].interval.high


def test_without_a_sensitive_column_the_cost_is_that_of_everyone() -> None:
    """One group; the accuracy of two labels."""
    data = splits()
    bare = Splits(held_out=dataclasses.replace(data.held_out, roles={"feature": ("x", "z"), "truth": ("y",)}))
    worse = subject(lambda inputs: 1 - logistic(inputs)).related(plain=subject())
    findings = Privacy()(worse, bare, rng())

    assert costs(findings, "accuracy_cost")["everyone all"].interval.low > 0.3
    assert costs(findings, "calibration_cost")["everyone all"].interval.low > 0


def test_the_cost_of_several_labels_and_of_none() -> None:
    """Three labels are right or wrong as two are; a predicted number is neither, and says so."""
    from rai_bigmodel.evidence import Decision

    data = splits()
    y = np.random.default_rng(1).integers(0, 3, 600).astype(float)
    held_out = dataclasses.replace(data.held_out, columns={**data.held_out.columns, "y": y})
    argmax = Decision(kind="argmax", threshold=None, positive="", labels=("0", "1", "2"))
    place = {x: int(k) for x, k in zip(held_out.columns["x"].tolist(), y, strict=True)}

    def knows(inputs) -> np.ndarray:
        return np.eye(3)[[place[x] for x in inputs["x"].tolist()]] * 0.7 + 0.1

    guess = subject(lambda inputs: np.full((len(inputs["x"]), 3), 1 / 3), decision=argmax)
    found = Privacy()(guess.related(plain=subject(knows, decision=argmax)), Splits(held_out=held_out), rng())
    assert costs(found, "accuracy_cost")["sex f"].interval.low > 0.4

    nothing = Decision(kind="threshold", threshold=None, positive="", labels=())
    number = subject(decision=nothing).related(plain=subject(decision=nothing))
    told = [m for m in Privacy()(number, data, rng()).measurements if m.metric.endswith("_cost")]
    assert [m.value for m in told] == [None, None]
    assert all("no labels" in m.why for m in told)
