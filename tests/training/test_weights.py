"""Do weights of rows mean what they say?"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP, Input
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit
from rai_bigmodel.training.checkpoint import weights

ROLES = {"feature": ("a", "b"), "truth": ("y",)}
DECLARED = {"a": Input(), "b": Input()}


def _table(rows: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    y = (a + b + rng.normal(size=rows) > 0).astype(float)
    return Table(name="toy", columns={"a": a, "b": b, "y": y}, roles=ROLES)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(train=_table(60, 1), calibrate=_table(40, 2), held_out=_table(40, 3))


def _trained(splits: Splits, train: Table | None = None, given: np.ndarray | None = None, **how):
    splits = Splits(train=train or splits.train, calibrate=splits.calibrate, held_out=splits.held_out)
    how = {"epochs": 20, "batch_size": 512, "lr": 0.02, "inputs": DECLARED} | how
    return fit.train(MLP(hidden=(4,)), splits, weights=given, **how)


def _distance(one, two) -> float:
    pairs = zip(one.module.parameters(), two.module.parameters(), strict=True)
    return max(float((p - q).detach().abs().max()) for p, q in pairs)


def test_weights_that_are_all_alike_give_the_same_bytes_as_none(splits) -> None:
    """Only ratios matter: all 1, all 2 and none are one training, in small batches too."""
    plain, ones, twos = (
        _trained(splits, given=w, batch_size=16) for w in (None, np.ones(60), np.full(60, 2.0))
    )

    assert weights(plain.module) == weights(ones.module) == weights(twos.module)


def test_a_weight_of_two_is_the_row_twice(splits) -> None:
    """In full batches, up to the order of a sum."""
    twice = splits.train.take(np.r_[np.arange(60), :10], name="toy")
    counted = _trained(splits, given=np.r_[np.full(10, 2.0), np.ones(50)])

    assert _distance(counted, _trained(splits, twice)) < 1e-4
    assert _distance(counted, _trained(splits)) > 1e-3


def test_a_weight_of_nothing_is_the_row_left_out(splits) -> None:
    """In full batches, up to the order of a sum."""
    without = splits.train.take(np.arange(10, 60), name="toy")

    assert (
        _distance(_trained(splits, given=np.r_[np.zeros(10), np.ones(50)]), _trained(splits, without)) < 1e-4
    )


def test_the_card_names_the_weights(splits) -> None:
    """By digest, beside the rows; a training without has none."""
    assert "weights" not in _trained(splits, epochs=1).card.data
    named = [_trained(splits, given=w, epochs=1).card.data["weights"] for w in (np.ones(60), np.arange(60.0))]

    assert named[0].rows == 60
    assert named[0].digest != named[1].digest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.ones(59), "one for each of the 60"),
        (np.ones((60, 1)), "one for each of the 60"),
        (np.r_[np.nan, -1.0, np.ones(58)], "2 of 60 are not"),
        (np.zeros(60), "all 60 are 0"),
    ],
)
def test_weights_that_cannot_be_used_are_one_line(splits, given, said) -> None:
    """Too few, not finite, negative, or nothing at all."""
    with pytest.raises(InputError, match=said):
        _trained(splits, given=given)


def test_weights_do_not_go_with_privacy(splits) -> None:
    """The ledger knows one clip for all rows."""
    promise = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.2, expected_batch_size=12)
    with pytest.raises(InputError, match="weights do not go with privacy"):
        _trained(splits, given=np.ones(60), privacy=promise, batch_size=64)


def test_torchs_global_generator_is_left_alone(splits) -> None:
    """As without weights."""
    before = torch.get_rng_state()
    _trained(splits, given=np.ones(60), epochs=1)

    assert torch.equal(before, torch.get_rng_state())
