"""How does the answer move with one feature, for the average row and for single ones?

Partial dependence (Friedman 2001): every row is asked about with the feature set to each of a few values; the mean
answer is the curve. Single curves (Goldstein et al. 2015, ICE) are told by the band that holds the middle eight
tenths of their answers, and by how many of them rise and fall: where both are many, the mean hides what the feature
does. Rows made this way may be unlike any that occur.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.scenes import asked_with
from rai_bigmodel.evidence import Curve, Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.audits.scenes import Scene
    from rai_bigmodel.subject import Array, Subject

ROWS = 100
POINTS = 11


def curves(
    scene: Scene, features: Sequence[str], subject: Subject, *, output: Array | None = None
) -> tuple[Curve, ...]:
    """A curve for each of these features of a table that is one column of numbers; others are left out.

    Args:
        output: which of several class probabilities is asked about, one a row ``(n,)``.
    """
    out = []
    for name in features:
        members = scene.members.get(name, ())
        if len(members) != 1 or scene.columns[members[0]].dtype.kind not in "fiub":
            continue
        points = grid(scene.columns[members[0]])
        if len(points) > 1:
            out.append(_curve(name, points, answers(scene, members[0], points, subject, output=output)))
    return tuple(out)


def grid(values: Array) -> Array:
    """The values asked about: quantiles from 5 % to 95 %, each once, so that no extreme row shows."""
    seen = values.astype(np.float64)
    seen = seen[np.isfinite(seen)]
    if not len(seen):
        return np.zeros(0)
    return np.unique(np.quantile(seen, np.linspace(0.05, 0.95, POINTS), method="nearest"))


def answers(
    scene: Scene, column: str, points: Array, subject: Subject, *, output: Array | None = None
) -> Array:
    """What each row would be answered at each point ``(rows, points)``; the first `ROWS` of the explained rows."""
    n = min(ROWS, len(scene.rows))
    asked = {c: np.repeat(v[:n], len(points), axis=0) for c, v in scene.columns.items()}
    asked[column] = np.tile(points, n)
    said = np.asarray(subject.predict(asked_with(asked)), dtype=np.float64)
    if said.ndim == 2 and output is not None:
        said = said[np.arange(len(said)), np.repeat(output[:n], len(points))]
    elif said.ndim == 2:
        said = said[:, subject.decision.labels.index(subject.decision.positive)]
    found: Array = said.reshape(n, len(points))
    return found


def _curve(name: str, points: Array, seen: Array) -> Curve:
    low, high = np.quantile(seen, [0.1, 0.9], axis=0)
    up, down = (float((sign * (seen[:, -1] - seen[:, 0]) > 0).mean()) for sign in (1, -1))
    x = tuple(float(f"{v:.4g}") for v in points)

    def line(label: str, y: Array) -> Line:
        return Line(label=label, x=x, y=tuple(float(f"{v:.4g}") for v in y))

    return Curve(
        title=f"The answer as {name} alone is changed",
        lines=(line("mean", seen.mean(axis=0)), line("a tenth below", low), line("a tenth above", high)),
        caption=f"{len(seen)} rows, each asked about at every point. From the lowest to the highest the answer rises "
        f"for {up:.0%} of them and falls for {down:.0%}.",
        x_axis=name,
        y_axis="answer",
    )
