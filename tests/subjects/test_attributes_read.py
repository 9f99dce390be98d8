"""A column that is an attribute too is read as the model reads it: texts as texts, numbers as numbers."""

from __future__ import annotations

import numpy as np
import pytest
from cohorts import subject

from rai_bigmodel.asking import numbers_of_groups
from rai_bigmodel.deploy.to_onnx import to_onnx
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits, scores_of
from rai_bigmodel.subjects.of_onnx import of_onnx
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit


def _rows(seed: int) -> Table:
    r = np.random.default_rng(seed)
    race, x = r.choice(np.array(["a", "b"], dtype=object), 200), r.normal(size=200)
    return Table(
        name=f"rows {seed}",
        columns={"race": race, "x": x, "y": (x + (race == "a") > 0).astype(float)},
        roles={"feature": ("race", "x"), "truth": ("y",), "sensitive": ("race",)},
    )


def test_an_exported_model_reads_the_texts_of_an_attribute_as_texts() -> None:
    """It was refused: *reads 'race' as a number, and it holds text*."""
    rows = [_rows(seed) for seed in range(3)]
    run = fit.train(
        MLP(hidden=()), Splits(train=rows[0], calibrate=rows[1], held_out=rows[2]), epochs=2, name="toy"
    )
    file = numbers_of_groups(of_onnx(to_onnx(run)), rows[2])

    assert file.card["texts"] == ["race"]
    assert np.allclose(scores_of(file, rows[2]), scores_of(of_run(run), rows[2]), atol=1e-5)


def test_a_model_of_numbers_reads_those_that_name_groups() -> None:
    """Names are texts; what cannot be a number is refused."""
    read = subject(lambda inputs: np.asarray(inputs["race"], dtype=float) / 10, kind="onnx")
    coded = Table(
        name="coded",
        columns={"race": np.array(["1", "2"], dtype=object), "y": np.array([0.0, 1.0])},
        roles={"feature": ("race",), "truth": ("y",), "sensitive": ("race",)},
    )

    assert scores_of(numbers_of_groups(read, coded), coded).tolist() == [0.1, 0.2]
    with pytest.raises(InputError, match="reads 'race' as a number, and it holds text"):
        scores_of(numbers_of_groups(read, _rows(0)), _rows(0))
