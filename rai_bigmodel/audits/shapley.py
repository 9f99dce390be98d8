"""How much of a model's answer is due to each feature, from its answers alone? Shapley values of any black box.

A coalition of features is a row whose other features are at the start. Up to `EXACT` features every coalition
is asked; beyond, one paired design is drawn for all rows and grown until each value is as sure as was asked
(Lundberg and Lee 2017; Covert and Lee 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.audits.cases import worths
from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import shapley

if TYPE_CHECKING:
    from rai_bigmodel.audits.cases import Case
    from rai_bigmodel.subject import Array

EXACT = 11
MOST = 1 << 14
NUMBERS = 1 << 24
"""Worths that are held at once, in numbers: rows are taken in turns beyond that."""


class Shares(NamedTuple):
    """Shapley values and how sure they are, each ``(n, d)``, and how many coalitions were asked."""

    values: Array
    errors: Array
    coalitions: int


def shapley_values(
    case: Case,
    *,
    rng: np.random.Generator,
    coalitions: int | None = None,
    precision: float = 0.05,
    most: int = MOST,
    exact: int = EXACT,
) -> Shares:
    """Shapley values of every row, with a standard error for each (0 where every coalition was asked).

    Args:
        coalitions: ask this many; by default as many as `precision` needs.
        precision: the root mean square of the standard errors, as a share of the mean absolute value.
        most: coalitions asked at most, where `coalitions` is not given.
        exact: up to how many features every coalition is asked, where `coalitions` is not given.

    Raises:
        InputError: the precision is not positive, or more features than coalitions.
    """
    d = len(case.names)
    if precision <= 0:
        msg = f"precision must be positive, got {precision}"
        raise InputError(msg)
    if coalitions is not None and coalitions < 2 * d and coalitions < 2**d - 2:
        msg = f"{d} features need at least {min(2 * d, 2**d - 2):,} coalitions, got {coalitions:,}"
        raise InputError(msg)
    if (coalitions is None and d <= exact) or d < 2:
        return _shares(case, shapley.every_coalition(d))
    asked = coalitions or min(most, 4 * d)
    while True:
        shares = _shares(case, shapley.paired_design(d, asked, rng))
        size = float(np.abs(shares.values).mean())
        sure = float(np.sqrt((shares.errors**2).mean())) <= precision * size
        if coalitions is not None or sure or asked >= most:
            return shares
        asked = min(most, 2 * asked)


def _shares(case: Case, design: shapley.Design) -> Shares:
    at_once = max(1, NUMBERS // len(design.members))
    parts = []
    for i in range(0, len(case.x), at_once):
        rows = np.arange(i, min(i + at_once, len(case.x)))
        seen = worths(case if len(rows) == len(case.x) else case.some(rows), design.members)
        parts.append((shapley.values(seen, design), shapley.standard_errors(seen, design)))
    values, errors = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Shares(values, errors, len(design.members))


def ablation(case: Case) -> Array:
    """How far the explained number falls when each feature alone is put to its start ``(n, d)``."""
    d = len(case.names)
    keep = np.concatenate([np.ones((1, d), dtype=bool), ~np.eye(d, dtype=bool)])
    seen = worths(case, keep)
    return seen[:, :1] - seen[:, 1:]
