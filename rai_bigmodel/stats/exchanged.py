"""Are these the right probabilities under the wrong labels? Two models' answers to the same rows, compared."""

from __future__ import annotations

import numpy as np

APART, CLOSER = 0.02, 4
"""Answers must lie so far apart for labels to be in question, and be so many times closer once exchanged."""


def other_label(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether scores ``(rows,)`` of one label look like those of the other: 1 − score is far closer than the score."""
    apart, turned = np.abs(first - second).mean(), np.abs(first - (1 - second)).mean()
    return bool(apart > 0.05 and turned < apart / CLOSER)


def other_order(first: np.ndarray, second: np.ndarray) -> tuple[int, int] | None:
    """A column of `second` that holds what another column of `first` does, where columns were only exchanged.

    A model that is merely wrong has no order of labels in which it is right.

    Args:
        first, second: probabilities ``(rows, labels)``.

    Returns:
        (i, j): what `second` gives in column j is that of column i; of the first such column. ``None`` where the order
        is the same.
    """
    far = np.abs(first[:, :, None] - second[:, None, :]).mean(axis=0)
    nearest, here = far.argmin(axis=1), np.arange(far.shape[0])
    straight, turned = far[here, here].mean(), far[here, nearest].mean()
    moved = nearest != here
    if (
        not moved.any()
        or len(set(nearest.tolist())) < len(nearest)
        or straight < APART
        or turned > straight / CLOSER
    ):
        return None
    i = int(np.argmax(moved))
    return i, int(nearest[i])
