"""Does one feature carry the decision? Where attribution says so and permuting it confirms it.

An explanation alone could point at a feature that the decision does not need, and a permutation alone at one among
many. Both have to say the same, each by the lower end of its interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.subject import Array

CARRIES = 1 / 3
"""Of the attribution, at least."""
LOSES = 0.5
"""Of what the model is better than the commonest label, at least, when the feature's values go to other rows."""


def lead(right: Array, truth: Array) -> float:
    """How much more often the model is right than the commonest label would be."""
    _, counts = np.unique(truth, return_counts=True)
    return float(right.mean() - counts.max() / len(truth))


def shortcuts(measurements: Sequence[Measurement], better_by: float) -> tuple[str, ...]:
    """In words, each feature that carries the decision by itself; none where none does.

    Args:
        better_by: the model's lead over the commonest label, as a share of rows.
    """
    if better_by <= 0:
        return ()
    share, drop = (_by_feature(measurements, name) for name in ("attribution_share", "permutation_drop"))
    out = []
    for feature in sorted(share.keys() & drop.keys()):
        mine, lost = share[feature], drop[feature]
        assert mine.interval is not None
        assert lost.interval is not None
        if (mine.interval.low or 0) >= CARRIES and (lost.interval.low or 0) >= LOSES * better_by:
            out.append(
                f"Shortcut: {feature} alone carries the decision. It has {mine.value:.0%} of the attribution, and "
                f"handing its values to other rows costs {lost.value:.3f} of the accuracy, where the model is better "
                f"than the commonest label by {better_by:.3f}. Is it known when the decision is due, and does it "
                "belong to the question?"
            )
    return tuple(out)


def _by_feature(measurements: Sequence[Measurement], name: str) -> Mapping[str, Measurement]:
    return {
        m.labels["feature"]: m
        for m in measurements
        if m.metric == f"explainability.{name}" and m.value is not None and m.interval is not None
    }
