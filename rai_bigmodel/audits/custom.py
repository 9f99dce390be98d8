"""What does a metric of the user's own give for each group? A small door to Fairlearn's MetricFrame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.tables import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def by_group(
    metric: Callable[..., float], *, truth: Sequence[Any], prediction: Sequence[Any], group: Sequence[Any]
) -> dict[str, float | None]:
    """A metric for each group, by canonical name; values without intervals, ``None`` where it is not finite.

    Raises:
        InputError: lengths differ, or there are no rows.
        MissingExtra: Fairlearn is not installed.
    """
    try:
        from fairlearn.metrics import MetricFrame
    except ImportError:
        package, extra = "fairlearn", "fairness"
        raise MissingExtra(package, extra, "a metric of your own by group") from None

    lengths = {"truth": len(truth), "prediction": len(prediction), "group": len(group)}
    if len(set(lengths.values())) > 1 or not len(truth):
        msg = f"truth, prediction and group need one value a row each, got {lengths}"
        raise InputError(msg)
    frame = MetricFrame(
        metrics=metric,
        y_true=np.asarray(truth),
        y_pred=np.asarray(prediction),
        sensitive_features=canonical(np.asarray(group)),
    )
    values = {str(name): float(value) for name, value in frame.by_group.items()}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
