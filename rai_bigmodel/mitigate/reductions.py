"""How does a demand for equal rates become a training with other labels and weights?

Agarwal et al. 2018 ("A reductions approach to fair classification", section 3): for a fixed multiplier λ the best
classifier under a fairness constraint is that of a weighted problem. A row's signed weight is its own stake in
accuracy, +1 or −1 by its outcome, less λ/p for a group that is selected too often and plus λ/p for one that is
selected too seldom, where p is the share of all rows that are that group's and count towards the rate. Its sign is
the label to learn, its size the weight. Each λ of a grid gives one model that is a model like any other;
Fairlearn's ExponentiatedGradient (`exponentiated`) looks for the λ itself, and draws among the models it met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray


def signed_weights(truth: Array, high: Array, low: Array, *, pull: float) -> Array:
    """The signed weight of each row ``(rows,)``: learn its sign, weigh by its size.

    Args:
        truth: whether the outcome is positive ``(rows,)``.
        high, low: which rows belong to the group selected too often and too seldom and count towards the rate.
        pull: λ/p of the group selected too seldom. At 1 its negative rows count for nothing; above 1 they are
            learned as positive.
    """
    stake = np.where(truth, 1.0, -1.0)
    # One λ for both: the smaller group's rows are pulled harder.
    push = pull * low.sum() / max(int(high.sum()), 1)
    return stake + np.where(low, pull, 0.0) - np.where(high, push, 0.0)
