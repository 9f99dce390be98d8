"""Where does a small decision tree put its worst leaf? Greedy splits by Gini's impurity (Breiman et al. 1984)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray


class Cut(NamedTuple):
    """One condition on the way to a leaf: a column is at most a number, or is above it or missing."""

    column: int
    at: float
    below: bool

    def holds(self, values: Array) -> Array:
        """Which values of its column meet it ``(rows,)``."""
        under: Array = values <= self.at
        return under if self.below else ~under


class Leaf(NamedTuple):
    """The conditions of a leaf, and how many rows and hits it holds."""

    cuts: tuple[Cut, ...]
    rows: int
    hits: int


def leaves(columns: Sequence[Array], happened: Array, *, depth: int = 3, least: int = 30) -> list[Leaf]:
    """The leaves of a tree, grown greedily; a missing value goes with what is above.

    Args:
        columns: numbers, each ``(rows,)``; NaN is missing.
        happened: booleans ``(rows,)``.
        least: rows that a leaf holds at least.
    """
    order = [np.argsort(values) for values in columns]
    grown: list[Leaf] = []
    nodes: list[tuple[tuple[Cut, ...], Array]] = [((), np.ones(len(happened), dtype=bool))]
    while nodes:
        cuts, inside = nodes.pop(0)
        cut = _best(columns, order, happened, inside, least) if len(cuts) < depth else None
        if cut is None:
            grown.append(Leaf(cuts, int(inside.sum()), int(happened[inside].sum())))
            continue
        sides = (cut, cut._replace(below=False))
        nodes += [((*cuts, side), inside & side.holds(columns[side.column])) for side in sides]
    return grown


def _best(
    columns: Sequence[Array], order: list[Array], happened: Array, inside: Array, least: int
) -> Cut | None:
    """The split of a node that leaves the least impurity; ``None`` where none lowers it."""
    n, hits = int(inside.sum()), int(happened[inside].sum())
    if n < 2 * least or hits in {0, n}:
        return None
    # Σ h²/n over the two sides grows as Σ n·Gini falls.
    best, found = hits * hits / n + ((n - hits) ** 2) / n + 1e-9 * n, None
    rows = np.arange(least, n - least + 1)
    for i, (values, ordered) in enumerate(zip(columns, order, strict=True)):
        here = ordered[inside[ordered]]
        seen = values[here]
        below = np.cumsum(happened[here])[rows - 1].astype(float)
        above, rest = hits - below, n - rows
        purity = (below**2 + (rows - below) ** 2) / rows + (above**2 + (rest - above) ** 2) / rest
        # Between two equal values nothing can be cut; where what is missing begins, it can.
        last, following = seen[rows - 1], seen[rows]
        purity[~((last < following) | (~np.isnan(last) & np.isnan(following)))] = -np.inf
        place = int(np.argmax(purity))
        if purity[place] > best:
            low, high = float(last[place]), float(following[place])
            # Halfway between neighbouring floats may round up to the upper one.
            middle = (low + high) / 2
            best, found = float(purity[place]), Cut(i, middle if middle < high else low, below=True)
    return found
