"""A metric of one's own by group, through Fairlearn."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score

from rai_bigmodel import api
from rai_bigmodel.errors import InputError, MissingExtra

ROWS = {"truth": [1, 0, 1, 1, 0], "prediction": [1, 0, 0, 1, 1], "group": ["a", "a", None, None, "b"]}


def test_the_values_are_those_of_the_rows_of_each_group() -> None:
    """Under the canonical names; what is not finite is None."""
    assert api.by_group(accuracy_score, **ROWS) == {"(missing)": 0.5, "a": 1.0, "b": 0.0}

    def odd(truth: np.ndarray, prediction: np.ndarray) -> float:
        return float("nan") if len(truth) == 1 else float(recall_score(truth, prediction))

    assert api.by_group(odd, **ROWS) == {"(missing)": 0.5, "a": 1.0, "b": None}


def test_lengths_that_differ_are_one_line() -> None:
    """All three are shown."""
    with pytest.raises(InputError, match=r"'truth': 1, 'prediction': 5, 'group': 5"):
        api.by_group(accuracy_score, **(ROWS | {"truth": [1]}))


def test_without_fairlearn_the_extra_is_named(monkeypatch) -> None:
    """pip install 'rai_bigmodel[fairness]'."""
    monkeypatch.setitem(sys.modules, "fairlearn.metrics", None)
    with pytest.raises(MissingExtra, match=r"rai_bigmodel\[fairness\]"):
        api.by_group(accuracy_score, **ROWS)
