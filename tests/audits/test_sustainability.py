"""Are the numbers of the card in the evidence, clocks kept apart, and what nobody measured null with why?"""

import numpy as np
import pytest

import rai_bigmodel as rai
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.audits.sustainability import Sustainability
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.nets import CNN, LSTM, MLP, Pixels, Reads, Series
from rai_bigmodel.subject import Splits, Subject
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import cost, fit


def splits(seed: int = 0) -> Splits:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 50))
    columns = {"a": a, "b": b, "y": (a > b).astype(float)}
    table = Table(name="t", columns=columns, roles={"feature": ("a", "b"), "truth": ("y",)})
    return Splits(train=table, calibrate=table, held_out=table)


def measured(subject: Subject) -> dict:
    found = Sustainability()(subject, splits(), np.random.default_rng(0))
    return {m.metric.removeprefix("sustainability."): m for m in found.measurements}


def test_the_card_of_a_run_says_what_it_cost() -> None:
    """Parameters and operations exact, energy an estimate of a named package, clocks of kind clock."""
    run = fit.train(MLP(hidden=(3,)), splits(), epochs=2, energy_in="DEU")
    found = measured(of_run(run))

    assert found["parameters"].value == 2 * 3 + 3 + 3 + 1
    assert found["flops_per_example"].value == 2 * (2 * 3 + 3 * 1)
    assert {n for n, m in found.items() if m.kind == "exact"} == {"parameters", "flops_per_example"}
    assert found["train_seconds"].value == run.card.wall_seconds > 0
    assert found["energy_kwh"].value == run.card.energy.kwh > 0
    assert found["co2e_kg"].value == run.card.energy.co2e_kg > 0
    assert "an estimate by codecarbon" in found["energy_kwh"].why
    assert found["energy_per_1000_decisions"].value > 0
    # A kWh per second of training, times the seconds of a thousand decisions.
    power = run.card.energy.kwh / run.card.wall_seconds
    assert found["energy_per_1000_decisions"].value / power < 60


def test_what_nobody_measured_is_null_with_why() -> None:
    """A run without a country, and a subject without a card."""
    without = measured(of_run(fit.train(MLP(hidden=()), splits(), epochs=1)))
    bare = measured(
        Subject(
            name="x",
            kind="callable",
            digest="",
            decision=Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1")),
            predict=lambda inputs: inputs["a"],
        )
    )

    for name in ("energy_kwh", "co2e_kg", "energy_per_1000_decisions"):
        assert without[name].value is None
        assert "energy_in" in without[name].why
    assert without["parameters"].value == 3
    assert all(m.value is None and "card does not say" in m.why for m in bare.values())


def test_clocks_lie_in_a_file_of_their_own() -> None:
    """The digest of a run does not depend on how long it took."""
    run = fit.train(MLP(hidden=()), splits(), epochs=1)
    dossier = rai.audit(run, splits(seed=1).held_out, audits=["sustainability"])
    metrics = [{m.metric.partition(".")[2] for m in e.measurements} for e in dossier.evidence]

    assert {"parameters", "flops_per_example"} in metrics
    assert {"train_seconds", "energy_kwh", "co2e_kg", "energy_per_1000_decisions"} in metrics


def test_estimating_says_nothing_and_an_unknown_country_is_refused_at_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Codecarbon logs by itself; nothing of it comes out."""
    fit.train(MLP(hidden=()), splits(), epochs=1, energy_in="FRA")
    seen = []
    with pytest.raises(InputError, match=r"energy_in must be the ISO code.*got 'XYZ'"):
        fit.train(MLP(hidden=()), splits(), energy_in="XYZ", on_step=lambda *a: seen.append(a))

    assert capfd.readouterr() == ("", "")
    assert seen == []


def test_operations_are_counted_as_on_paper() -> None:
    """Two for each multiplication and addition: dense layers, a convolution, the gates of an LSTM both ways."""
    import torch

    image = Reads(pixels=Pixels(channels=1, height=8, width=8))
    conv = CNN(widths=(4,), hidden=5).build(image, outputs=3)
    first = next(m for m in conv.modules() if isinstance(m, torch.nn.Conv2d))
    kernel = first.weight[0].numel()
    series = Reads(series=Series(features=3, length=7))
    lstm = LSTM(hidden=5, layers=2, both=True).build(series, outputs=2)
    gates = 2 * 8 * 5 * (3 + 5) * 7 + 2 * 8 * 5 * (10 + 5) * 7

    assert cost.flops_of(conv, (torch.zeros(2, 1, 8, 8),)) == 2 * (4 * kernel * 8 * 8 + 4 * 4 * 4 * 5 + 5 * 3)
    assert cost.flops_of(lstm, (torch.zeros(2, 7, 3),)) == gates + 2 * 10 * 2


def test_a_private_runs_card_counts_the_same() -> None:
    """The hooks of private training do not disturb the count."""
    privacy = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.5, expected_batch_size=25)
    run = fit.train(MLP(hidden=(3,)), splits(), epochs=1, privacy=privacy)

    assert run.card.flops_per_example == 18
