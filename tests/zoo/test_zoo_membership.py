"""Z12 and Z13 on trained networks: labels learned by heart are found, swapped members and shifted rows accuse nobody.

The long way takes 20 seeds of the MLP, the CNN and the Transformer; the suite looks at one MLP.
"""

from __future__ import annotations

import dataclasses

import pytest
from private_zoo import by_heart

from rai_bigmodel.subject import Splits
from rai_bigmodel.training import checkpoint

SEEDS = 20
ALARMS = 3
"""Of 20 twins at a rate of 5 %, more are accused in 1.6 % of runs."""


def shifted(data: Splits, kind: str) -> Splits:
    """Held-out rows of another kind: brighter pictures, or sentences that end in another way."""
    name = data.held_out.roles["feature"][0]
    columns = dict(data.held_out.columns)
    if kind == "transformer":
        columns[name] = columns[name] + " indeed"
    elif kind == "cnn":
        columns[name] = columns[name] + 2.0
    else:
        columns |= {c: columns[c] + 2.0 for c in data.held_out.roles["feature"]}
    return dataclasses.replace(data, held_out=dataclasses.replace(data.held_out, columns=columns))


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """An MLP that learned 500 digits by heart, saved to disk; the rows it was asked about, and swapped ones."""
    first, swapped = by_heart.parts("mlp", 1)
    folder = tmp_path_factory.mktemp("learned") / "run"
    checkpoint.save_run(by_heart.trained("mlp", first, 1), folder)
    return folder, first, swapped


def test_z12_an_mlp_that_learned_by_heart_is_found_and_swapped_members_are_not(learned) -> None:
    """RMIA with one reference from the card of a run on disk, in the range of the design; the twin at .001."""
    run, first, swapped = learned
    found, twin = (by_heart.areas(by_heart.asked(run, data, 1, references=1)) for data in (first, swapped))

    assert 0.6 < found["loss"].value < 0.8
    assert found["rmia"].value > 0.69
    for attack in ("loss", "quantile", "rmia"):
        low, high = twin[attack].interval.rung(0.001)[1:3]
        assert low <= 0.5 <= high


def test_z13_shifted_rows_prove_nothing_against_the_same_mlp(learned) -> None:
    """The inputs alone tell them: null with why, whatever the model remembers."""
    run, first, _ = learned
    found = by_heart.areas(by_heart.asked(run, shifted(first, "mlp"), 1))

    assert found["blind"].interval.low > 0.9
    assert "loss" not in found


@pytest.mark.zoo
@pytest.mark.parametrize("kind", by_heart.NETS)
def test_z12_and_z13_the_long_way(kind: str) -> None:
    """Nineteen models that learned by heart are found; at most three twins are accused, and shifted rows never do."""
    found = alarms = 0
    for seed in range(SEEDS):
        first, swapped = by_heart.parts(kind, seed)
        run = by_heart.trained(kind, first, seed)
        found += by_heart.areas(by_heart.asked(run, first, seed, references=1))["rmia"].interval.low > 0.5
        twin = by_heart.areas(by_heart.asked(run, swapped, seed))
        alarms += "loss" in twin and not (twin["loss"].interval.low <= 0.5 <= twin["loss"].interval.high)
        assert "loss" not in by_heart.areas(by_heart.asked(run, shifted(first, kind), seed))

    assert found >= SEEDS - 1
    assert alarms <= ALARMS
