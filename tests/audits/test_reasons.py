"""Is what is said of single rows true of models that decide nothing?"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rai_bigmodel.audits.explainability import Explainability
from rai_bigmodel.audits.reasons import Answered, Looked, reasons


@pytest.mark.parametrize(
    ("decided", "says"),
    [("", "Nothing is decided; reasons are what raised the answer"), ("yes", "towards the decision")],
)
def test_reasons_of_what_decides_nothing_lead_to_no_decision(decided: str, says: str) -> None:
    """Of an autoencoder they are what raised its error."""
    one = np.array([[0.3, -0.1]])
    scene = SimpleNamespace(rows=np.array([4]), kind="table", case=SimpleNamespace(names=("a", "b")))
    answers = Answered(
        scores=np.ones(1), decided=np.array([decided], dtype=object), towards=np.ones(1), hardness=np.ones(1)
    )
    looked = Looked(
        audit=Explainability(),
        scene=scene,
        values=one,
        other=one,
        answers=answers,
        rows=np.array([0]),
        again="x",
    )
    shown = reasons(looked)

    assert says in shown.caption
    assert shown.rows[0][3:5] == ("a", "b")
