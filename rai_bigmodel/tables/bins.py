"""How does a number become an attribute? In the bins that somebody stated, in memory or in the engine."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.tables.engine import Frame
from rai_bigmodel.tables.memory import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rai_bigmodel.subject import Cohort, Roles

    Edges = tuple[float, ...]


def binned(cohort: Cohort, bins: Mapping[str, Edges], *, strata: Iterable[str] = ()) -> Cohort:
    """The same rows with numbers put into the bins stated for their column; an edge belongs to the bin above it.

    What is missing stays missing. A column that is put into bins is an attribute to compare groups by, whether or not
    it was named as sensitive.

    Args:
        strata: columns (or ``a*b``) that rows are only held equal by; they become no attribute.

    Raises:
        InputError: a column is not there or holds text, or edges do not ascend.
    """
    if not bins:
        return cohort
    aside = {part for stratum in strata for part in stratum.split("*")}
    new = [c for c in bins if c not in aside and c not in cohort.roles.get("sensitive", ())]
    roles = {**cohort.roles, "sensitive": (*cohort.roles.get("sensitive", ()), *new)}
    if isinstance(cohort, Frame):
        return _in_engine(cohort, bins, roles)
    if not isinstance(cohort, Table):
        msg = f"{cohort.name}: bins need a table, in memory or in an engine"
        raise InputError(msg)
    columns = dict(cohort.columns)
    for column, edges in bins.items():
        values = cohort.arrays(column)[column]
        _check(cohort.name, column, edges, text=values.dtype == object)
        at = np.asarray(edges, dtype=np.float64)
        names = np.array(bin_names(edges), dtype=object)[np.searchsorted(at, values, side="right")]
        names[np.isnan(values)] = None
        columns[column] = names
    return dataclasses.replace(cohort, columns=columns, roles=roles)


def _in_engine(cohort: Frame, bins: Mapping[str, Edges], roles: Roles) -> Frame:
    """One CASE for each column; a csv that is left in its engine holds text only, which is read as numbers here."""
    import narwhals as nw

    schema = cohort.frame.collect_schema()
    made = []
    for column, edges in bins.items():
        if column not in schema:
            what = f"{cohort.name}: column"
            raise InputError.unknown(what, column, schema.names())
        _check(cohort.name, column, edges, text=not (cohort.untyped or schema[column].is_numeric()))
        value = nw.col(column).cast(nw.Float64)
        *below, last = bin_names(edges)
        # Engines differ in whether NaN is larger than a number, so it is named first of all.
        case: Any = nw.when(~value.is_nan()).then(nw.lit(last))
        for name, edge in reversed(list(zip(below, edges, strict=True))):
            case = nw.when(value < edge).then(nw.lit(name)).otherwise(case)
        made.append(case.alias(column))
    return dataclasses.replace(cohort, frame=cohort.frame.with_columns(*made), roles=roles)


def _check(table: str, column: str, edges: Edges, *, text: bool) -> None:
    if text:
        msg = f"{table}: bins for {column!r}, which holds text; bins are for numbers"
        raise InputError(msg)
    at = np.asarray(edges, dtype=np.float64)
    if not len(at) or not np.isfinite(at).all() or (np.diff(at) <= 0).any():
        msg = f"bins for {column!r} must be ascending numbers, at least one, got {list(edges)}"
        raise InputError(msg)


def bin_names(edges: Edges) -> list[str]:
    """``under 25``, ``25 to 40``, ``40 or more`` for the edges 25 and 40."""
    said = [f"{edge:.12g}" for edge in edges]
    between = [f"{a} to {b}" for a, b in itertools.pairwise(said)]
    return [f"under {said[0]}", *between, f"{said[-1]} or more"]
