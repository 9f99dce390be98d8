"""Which features tell the attribute, although the attribute itself is no feature?

Each feature is cut into fifths (missing is a class of its own) and crossed with the groups. How strongly the
two go together is Cramér's V without its bias (Bergsma 2013); whether they do at all is a permutation test of
the χ² statistic, with Holm's step-down over the features. A permutation of rows is a draw of the table with
its margins kept, cell by cell from hypergeometric laws, so the test costs the same at any number of rows.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.evidence import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    Array = np.ndarray

BINS = 5
DRAWS = 1999
ALPHA = 0.05


class Proxy(Record):
    """A feature, and how far it tells the attribute.

    Args:
        strength: Cramér's V without bias: 0 tells nothing, 1 tells everything.
        p: of the permutation test, before Holm's correction.
        stands: whether Holm's step-down at 0.05 over the features rejects that it tells nothing.
    """

    feature: str
    strength: float
    p: float
    stands: bool


def proxies(features: Mapping[str, Array], group: Array, rng: np.random.Generator) -> tuple[Proxy, ...]:
    """The features, the strongest first.

    Args:
        features: name → numbers or texts ``(rows,)``, NaN or None where missing.
        group: codes ``(rows,)`` from 0.
    """
    crossed = {name: crossing(values, group) for name, values in features.items()}
    p = {name: permutation_p(table, rng) for name, table in crossed.items()}
    ordered = sorted(p, key=lambda name: p[name])
    standing: set[str] = set()
    for i, name in enumerate(ordered):
        if p[name] * (len(ordered) - i) > ALPHA:
            break
        standing.add(name)
    found = [Proxy(name, strength(table), p[name], name in standing) for name, table in crossed.items()]
    return tuple(sorted(found, key=lambda proxy: (not proxy.stands, -proxy.strength, proxy.feature)))


def crossing(values: Array, group: Array) -> Array:
    """Counts ``(groups, classes)`` of a feature's classes in each group; no empty row or column.

    Numbers of many values are cut at quantiles; of many texts the rarest are one class.
    """
    values = _ranked(values) if values.dtype == object else np.asarray(values, dtype=np.float64)
    known = ~np.isnan(values)
    distinct = np.unique(values[known])
    if len(distinct) > BINS:
        edges = np.unique(np.quantile(values[known], np.arange(1, BINS) / BINS))
        classes = np.searchsorted(edges, values, side="left")
    else:
        classes = np.searchsorted(distinct, values)
    classes = np.where(known, classes, BINS + 1)
    table = np.zeros((int(group.max()) + 1, BINS + 2), dtype=np.int64)
    np.add.at(table, (group, classes), 1)
    return table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]


def _ranked(texts: Array) -> Array:
    """Texts by how often they occur, the most frequent 0, the rarest alike; NaN where missing."""
    often = Counter(text for text in texts.tolist() if text is not None)
    place = {text: min(i, BINS - 1) for i, (text, _) in enumerate(often.most_common())}
    return np.array([place.get(text, np.nan) for text in texts.tolist()])


def strength(table: Array) -> float:
    """Cramér's V, corrected for the association that independent columns show by chance (Bergsma 2013)."""
    n, (rows, columns) = table.sum(), table.shape
    if n < 2 or min(rows, columns) < 2:
        return 0.0
    phi = max(0.0, chi_square(table[None])[0] / n - (rows - 1) * (columns - 1) / (n - 1))
    small = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(phi / small))) if small > 0 else 0.0


def permutation_p(table: Array, rng: np.random.Generator) -> float:
    """The share of tables with these margins whose χ² is at least as large, the table itself counted."""
    if min(table.shape) < 2:
        return 1.0
    drawn = chi_square(drawn_tables(table.sum(axis=1), table.sum(axis=0), DRAWS, rng))
    seen = chi_square(table[None])[0]
    return float((1 + np.count_nonzero(drawn >= seen * (1 - 1e-12))) / (1 + DRAWS))


def chi_square(tables: Array) -> Array:
    """Pearson's χ² of each table ``(draws, rows, columns)`` against independence ``(draws,)``."""
    n = tables.sum(axis=(1, 2), keepdims=True)
    expected = tables.sum(axis=2, keepdims=True) * tables.sum(axis=1, keepdims=True) / n
    return ((tables - expected) ** 2 / expected).sum(axis=(1, 2))


def drawn_tables(rows: Array, columns: Array, draws: int, rng: np.random.Generator) -> Array:
    """Tables ``(draws, rows, columns)`` as shuffling the rows' labels would give them."""
    out = np.zeros((draws, len(rows), len(columns)), dtype=np.int64)
    left = np.tile(np.asarray(columns, dtype=np.int64), (draws, 1))
    for i, size in enumerate(rows[:-1]):
        wanted = np.full(draws, size, dtype=np.int64)
        for j in range(len(columns) - 1):
            others = left[:, j + 1 :].sum(axis=1)
            # With nothing to choose from there is nothing to draw; NumPy refuses a sample larger than its urn.
            taken = rng.hypergeometric(left[:, j], others, wanted)
            out[:, i, j] = taken
            wanted = wanted - taken
        out[:, i, -1] = wanted
        left = left - out[:, i]
    out[:, -1] = left
    return out
