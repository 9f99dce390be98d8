"""What are the handwritten digits, and in which shapes can they be read?

1,797 digits of 43 people, scanned in and counted down to 8 × 8 pixels of 0 to 16 (E. Alpaydin and C. Kaynak,
"Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998; its test part). They come with
scikit-learn. Who wrote which digit is not recorded, so the same hands are in all parts.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import numpy as np

from rai_bigmodel.datasets.columns import known_bytes, packaged
from rai_bigmodel.datasets.split import as_splits, three_parts
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Splits

SHA256 = "sha256:6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
HELD_OUT = 450  # a quarter of 1,797
CALIBRATE = 270
TRUTH = "digit"


def digits(*, shape: Literal["pictures", "series", "columns"] = "pictures", seed: int = 7) -> Splits:
    """Handwritten digits: 1,077 to train on, 270 to calibrate, 450 held out, each with its share of every digit.

    Args:
        shape: ``pictures``: one column ``image`` ``(rows, 1, 8, 8)``; ``series``: one column ``series``
            ``(rows, 8, 8)``, the rows of a picture from top to bottom as steps; ``columns``: 64 columns
            ``r0c0`` to ``r7c7``.
        seed: of the division into parts.

    Raises:
        MissingExtra: scikit-learn is not installed.
        InputError: its file is another than the one known.
    """
    path = packaged("sklearn", "datasets/data/digits.csv.gz", extra="fairness", feature="the digits")
    content = known_bytes(path, SHA256, pin="scikit-learn==1.9.1")
    cells = np.loadtxt(io.BytesIO(content), delimiter=",")
    features = _shaped(cells[:, :64], shape)
    whole = Table(
        name="digits",
        columns={**features, TRUTH: cells[:, 64]},
        roles={"feature": tuple(features), "truth": (TRUTH,)},
        notes=("The same 43 people wrote the digits of all three parts.",),
    )
    parts = three_parts(cells[:, 64], np.random.default_rng(seed), held_out=HELD_OUT, calibrate=CALIBRATE)
    return as_splits(whole, parts, facts={"label_means": "the digit that the writer was asked for"})


def _shaped(pixels: Array, shape: str) -> dict[str, Array]:
    """Pixels ``(rows, 64)``, row after row, as the columns of a shape."""
    if shape == "columns":
        return {f"r{i // 8}c{i % 8}": pixels[:, i].copy() for i in range(64)}
    if shape == "series":
        return {"series": pixels.reshape(-1, 8, 8)}
    return {"image": pixels.reshape(-1, 1, 8, 8)}
