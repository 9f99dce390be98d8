"""How much must each row count so that group and outcome no longer go together?

Kamiran and Calders 2012 ("Data preprocessing techniques for classification without discrimination"): a row of
group g and outcome y counts P(g) P(y) / P(g, y). The weighted training rows then have one rate of positives in
every group, and what is trained on them reads neither the group nor the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray


def reweighing(group: Array, truth: Array, *, power: float = 1.0) -> Array:
    """The weight of each row ``(rows,)``, mean 1.

    Args:
        group: codes ``(rows,)`` from 0.
        truth: whether the outcome is positive ``(rows,)``.
        power: 1 is the paper's; below 1 takes part of the way, above 1 goes beyond it.
    """
    truth = np.asarray(truth, dtype=np.int64)
    cells = np.zeros((int(group.max()) + 1, 2))
    np.add.at(cells, (group, truth), 1)
    expected = cells.sum(axis=1, keepdims=True) * cells.sum(axis=0, keepdims=True) / cells.sum()
    # A cell without rows weighs nobody.
    ratio = np.divide(expected, cells, out=np.ones_like(cells), where=cells > 0) ** power
    weights = ratio[group, truth]
    return weights / weights.mean()
