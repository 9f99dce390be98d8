"""What are the Wisconsin breast cancer data? Thirty measurements of cell nuclei, and the diagnosis.

569 fine-needle aspirates (W. N. Street, W. H. Wolberg and O. L. Mangasarian, "Nuclear feature extraction for breast
tumor diagnosis", 1993). They come with scikit-learn. Nothing about the patients is recorded, so no groups can be
compared: age, origin and sex are unknown, not equal.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.datasets.columns import known_bytes, named, packaged
from rai_bigmodel.datasets.split import as_splits, three_parts
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from rai_bigmodel.subject import Splits

SHA256 = "sha256:fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed"
HELD_OUT = 228  # 40 % of 569
TRUTH = "diagnosis"
MEASURES = (
    *("radius", "texture", "perimeter", "area", "smoothness"),
    *("compactness", "concavity", "concave_points", "symmetry", "fractal_dimension"),
)
FEATURES = tuple(f"{of}_{what}" for of in ("mean", "error", "worst") for what in MEASURES)
"""Mean, standard error, and mean of the three largest, of each measure over the nuclei of a picture."""


def breast_cancer(*, seed: int = 7) -> Splits:
    """Breast cancer: 256 rows to train on, 85 to calibrate, 228 held out, each with its share of both diagnoses.

    Raises:
        MissingExtra: scikit-learn is not installed.
        InputError: its file is another than the one known.
    """
    path = packaged(
        "sklearn", "datasets/data/breast_cancer.csv", extra="fairness", feature="the breast cancer data"
    )
    content = known_bytes(path, SHA256, pin="scikit-learn==1.9.1")
    cells = np.loadtxt(io.BytesIO(content), delimiter=",", skiprows=1)
    columns = {name: cells[:, i].copy() for i, name in enumerate(FEATURES)}
    columns[TRUTH] = named(cells[:, 30], {0: "malignant", 1: "benign"})
    whole = Table(
        name="breast cancer",
        columns=columns,
        roles={"feature": FEATURES, "truth": (TRUTH,)},
        positive="malignant",
        notes=("Nothing about the patients is recorded: no groups can be compared.",),
    )
    parts = three_parts(cells[:, 30], np.random.default_rng(seed), held_out=HELD_OUT)
    return as_splits(whole, parts, facts={"label_means": "the diagnosis, malignant or benign"})
