"""Made-up rows and models for tests: known rates, known leaks, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Splits, Subject
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable


def table(rows: int = 600, *, seed: int = 0, name: str = "rows", **extra: np.ndarray) -> Table:
    """Two features, an outcome that depends on the first, and two attributes."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, rows))
    columns = {
        "x": x,
        "z": z,
        "y": (x + rng.normal(size=rows) > 0).astype(float),
        "race": rng.choice(np.array(["A", "B", "C"], dtype=object), rows, p=[0.6, 0.3, 0.1]),
        "sex": rng.choice(np.array(["f", "m"], dtype=object), rows),
        **extra,
    }
    return Table(
        name=name,
        columns=columns,
        roles={"feature": ("x", "z", *extra), "truth": ("y",), "sensitive": ("race", "sex")},
    )


def logistic(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """A fixed score that ranks by the first feature."""
    return 1 / (1 + np.exp(-2 * inputs["x"]))


def subject(predict: Callable[..., np.ndarray] = logistic, **fields: object) -> Subject:
    """A black box with a threshold of one half."""
    given = {
        "name": "box",
        "kind": "callable",
        "digest": "sha256:" + "b" * 64,
        "decision": Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1")),
        "predict": predict,
    }
    return Subject(**(given | fields))  # type: ignore[arg-type]


def splits(rows: int = 600, **extra: np.ndarray) -> Splits:
    """Held-out rows and training rows that share none."""
    return Splits(held_out=table(rows, **extra), train=table(rows, seed=1, name="train", **extra))


def rng() -> np.random.Generator:
    """A generator, always the same."""
    return np.random.default_rng(0)
