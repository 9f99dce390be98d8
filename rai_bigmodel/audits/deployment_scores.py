"""Do a variant's scores still mean what the trained model's did? The change of the calibration error, paired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.answers import NOT_PROBABLE
from rai_bigmodel.evidence import Measurement
from rai_bigmodel.stats import resampling
from rai_bigmodel.stats.calibration import how_many_bins
from rai_bigmodel.stats.ladder import climb

if TYPE_CHECKING:
    from rai_bigmodel.audits.deployment_answers import Pair
    from rai_bigmodel.subject import Array

DRAWS = 20_000


def calibration_change(pair: Pair, rng: np.random.Generator) -> Measurement:
    """The variant's debiased calibration error less the subject's, over the same rows.

    Both are binned by the subject's scores. A row lies in a cell by both scores' bins and both outcomes (with several
    labels the given ones may differ); the cells are drawn again (paired bootstrap on cells, Efron 1979).
    """
    metric, n = "deployment.calibration_change", len(pair.first)
    why = NOT_PROBABLE.get(pair.task, "" if pair.truth is not None else "no outcome is known")
    bins = how_many_bins(n)
    if not why and not bins:
        why = f"{n:,} rows are too few for calibration: at least 100 are needed"
    if not why and (
        min(pair.first.min(), pair.second.min()) < 0 or max(pair.first.max(), pair.second.max()) > 1
    ):
        why = "the scores are not probabilities: some lie outside 0 to 1"
    if why:
        return Measurement(metric=metric, kind="estimate", value=None, labels=pair.labels, why=why)
    (s1, y1), (s2, y2) = _confidence(pair)
    # Midway between two scores: rounding must not carry a row over an edge that it lies on.
    order, cuts = np.sort(s1), np.linspace(0, n, bins + 1).round().astype(int)[1:-1]
    edges = np.unique((order[cuts - 1] + order[cuts]) / 2)
    cells = _cells(s1, y1, s2, y2, edges)
    value = float(cells.change(cells.rows[None])[0])
    interval = resampling.percentile(cells.rows, cells.change, rng, draws=DRAWS)
    if interval is None:  # every draw alike: both models give each row the same score
        interval = climb(lambda _: (value, value), method="multinomial resampling")
    return Measurement(
        metric=metric,
        kind="estimate",
        value=value,
        n=n,
        labels=pair.labels,
        interval=interval,
    )


def _confidence(pair: Pair) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Of each, the scores and whether what they are of came true; with several labels, of the label that is given."""
    assert pair.truth is not None
    if pair.task == "classes":
        assert pair.decided is not None
        right = pair.right
        assert right is not None
        return (pair.first.max(axis=1), right[0]), (pair.second.max(axis=1), right[1])
    truth = pair.truth.astype(bool)
    return (pair.first, truth), (pair.second, truth)


class _Cells:
    """Rows counted by both bins and both outcomes, with the mean score of each model in every cell."""

    def __init__(self, rows: Array, means: Array, bin_of: Array, true: Array, bins: int) -> None:
        self.rows, self.means, self.true = rows, means, true
        # Which cells belong to which bin, for each model (bins, cells).
        self.inside = [np.arange(bins)[:, None] == bin_of[m] for m in (0, 1)]

    def error(self, counts: Array, model: int) -> Array:
        """The debiased calibration error of counts ``(draws, cells)``: `stats.calibration.ece_debiased`, on cells."""
        inside = self.inside[model].T.astype(float)
        n = counts @ inside
        total = counts @ (inside * self.means[model][:, None])
        positive = counts @ (inside * self.true[model][:, None])
        safe = np.maximum(n, 1)
        rate = positive / safe
        noise = rate * (1 - rate) / np.maximum(n - 1, 1)
        square = ((total - positive) / safe) ** 2 - noise
        return np.sqrt(np.maximum((n * square).sum(axis=1) / n.sum(axis=1), 0.0))

    def change(self, counts: Array) -> Array:
        """The second model's error less the first's ``(draws,)``."""
        return self.error(counts, 1) - self.error(counts, 0)


def _cells(s1: Array, y1: Array, s2: Array, y2: Array, edges: Array) -> _Cells:
    first, second = (np.searchsorted(edges, s, "right") for s in (s1, s2))
    bins = len(edges) + 1
    key = ((first * bins + second) * 2 + y1) * 2 + y2
    distinct, at, rows = np.unique(key, return_inverse=True, return_counts=True)
    means = np.array([np.bincount(at, s) / rows for s in (s1, s2)])
    true = np.array([(distinct // 2) % 2, distinct % 2])
    bin_of = np.array([distinct // 4 // bins, distinct // 4 % bins])
    return _Cells(rows, means, bin_of, true, bins)
