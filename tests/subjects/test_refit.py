"""Can a run be trained again, on other rows, with other weights?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Refit, Splits
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit

RNG = np.random.default_rng(0)


def _table(rows: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    y = (a + rng.normal(size=rows) > 0).astype(float)
    return Table(name="toy", columns={"a": a, "b": b, "y": y}, roles={"feature": ("a", "b"), "truth": ("y",)})


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(train=_table(200, 1), calibrate=_table(80, 2), held_out=_table(50, 3))


def _scores(subject, splits) -> np.ndarray:
    return subject.predict(splits.held_out.arrays("a", "b"))


def test_the_same_rows_and_seed_give_the_same_net(splits) -> None:
    """The threshold alone is set on other rows, because no calibration rows are handed over."""
    subject = of_run(fit.train(MLP(hidden=(4,)), splits, epochs=3, seed=5))
    again = subject.refit(splits.train, RNG, Refit(seed=5))

    assert (_scores(again, splits) == _scores(subject, splits)).all()
    assert (
        _scores(subject.refit(splits.train, RNG, Refit(seed=6)), splits) != _scores(subject, splits)
    ).any()


def test_a_run_that_stopped_early_is_trained_again_for_as_long_as_it_kept(splits) -> None:
    """Nothing is set aside to stop at, so that every row handed over is learned from."""
    run = fit.train(MLP(hidden=(16,)), splits, epochs=200, lr=0.05, patience=3)
    again = of_run(run).refit(splits.train, RNG, Refit(seed=run.card.recipe.seed))

    assert run.card.kept_step < run.card.history[-1].step
    assert again.card["kept_step"] == run.card.kept_step
    assert np.allclose(_scores(again, splits), _scores(of_run(run), splits), atol=1e-6)


def test_other_rows_and_weights_are_used(splits) -> None:
    """A row that counts for nothing changes nothing; another half of the rows does."""
    subject = of_run(fit.train(MLP(hidden=()), splits, epochs=3))
    half = splits.train.take(np.arange(100), name="half")
    ones, alike, other = (
        subject.refit(half, RNG, Refit(seed=1, weights=w)) for w in (None, (2.0,) * 100, (1.0, 3.0) * 50)
    )

    assert (_scores(ones, splits) == _scores(alike, splits)).all()
    assert (_scores(ones, splits) != _scores(other, splits)).any()
    assert ones.card["data"]["train"]["digest"] == half.digest


def test_a_private_run_cannot_be_trained_again(splits) -> None:
    """Its ledger would not count it."""
    promise = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.2, expected_batch_size=40)

    assert of_run(fit.train(MLP(hidden=()), splits, epochs=1, privacy=promise)).refit is None


def test_probes_and_other_features_are_refused(splits) -> None:
    """One line each."""
    subject = of_run(fit.train(MLP(hidden=()), splits, epochs=1))
    with pytest.raises(InputError, match="probes"):
        subject.refit(splits.train, RNG, Refit(seed=1, probes=2))
    fewer = replace(splits.train, roles={"feature": ("a",), "truth": ("y",)})
    with pytest.raises(InputError, match="needs the features it was trained on"):
        subject.refit(fewer, RNG, Refit(seed=1))
