"""From which score on does a model say yes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array


def matching(scores: Array, positives: int) -> float:
    """The threshold at which as many rows get a yes as there are positives among them.

    Rows with equal scores are never told apart, so the count may be missed: then the nearest one is
    taken, and of two equally near the one with fewer yeses. The threshold lies halfway between two scores
    that occur, so that no row sits on the edge where another runtime's rounding would flip it.

    Args:
        scores: scores in [0, 1] of the calibration rows, ``(rows,)``.
        positives: how many of those rows are positive.

    Raises:
        InputError: there is no row, or a score is not finite.
    """
    if not len(scores) or not np.isfinite(scores).all():
        msg = f"a threshold needs finite scores of at least one row, got {len(scores)} rows"
        raise InputError(msg)
    values, counts = np.unique(-np.asarray(scores, dtype=np.float64), return_counts=True)
    values = -values  # from the highest score down
    said_yes = np.concatenate([[0], np.cumsum(counts)])
    cut = int(np.argmin(np.abs(said_yes - positives)))
    above = values[cut - 1] if cut else max(1.0, values[0] + 1.0)
    below = values[cut] if cut < len(values) else min(0.0, values[-1] - 1.0)
    middle = float(above + below) / 2
    # Between neighbouring floats there is no middle: the upper one still parts them.
    return middle if below < middle <= above else float(above)
