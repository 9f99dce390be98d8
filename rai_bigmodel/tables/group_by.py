"""How is a GROUP BY asked of any engine, and how do its few rows come back? Through Narwhals, as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.files import visible
from rai_bigmodel.stats.weighted import LARGEST_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rai_bigmodel.subject import AtLeast

Cells = list[tuple[Any, ...]]
"""Rows of a GROUP BY: the values of its keys, and how many rows have them."""


def grouped(
    frame: Any, keys: Sequence[str], *, limit: int, weight: str | None = None, **said: Any
) -> Cells | None:
    """The cells of some keys; ``None`` where there are more than `limit`.

    Args:
        frame: a Narwhals LazyFrame.
        weight: a column; then Σw, Σw² and how many rows have no weight stand before the number of rows.
        said: as in `fetch`.

    Raises:
        InputError: as `fetch`.
    """
    import narwhals as nw

    columns = frame.collect_schema().names()
    sums = []
    if weight is not None:
        value = nw.col(weight).cast(nw.Float64)
        fine = (value > 0) & (value <= LARGEST_WEIGHT)  # neither NaN nor infinite in any engine
        good = nw.when(fine).then(value).otherwise(nw.lit(0.0))
        wrong = nw.when(fine).then(nw.lit(0)).otherwise(nw.lit(1))
        made = [unused(word, columns) for word in ("w", "ww", "bad")]
        frame = frame.with_columns(good.alias(made[0]), (good * good).alias(made[1]), wrong.alias(made[2]))
        sums = [nw.col(name).sum().alias(f"{name}_sum") for name in made]
    if not keys:
        return fetch(frame.select(*sums, nw.len().alias("rows")), **said)
    counted = frame.group_by(*keys).agg(*sums, nw.len().alias(unused("n", columns)))
    # Told before fetching: an id as attribute has a cell for each row.
    cells = fetch(counted.head(limit + 1), **said)
    if len(cells) > limit:
        return None
    return [(*(_plain(v) for v in cell[:-1]), int(cell[-1])) for cell in cells]


def fetch(frame: Any, *, name: str, untyped: bool = False) -> Cells:
    """The few rows of an answer, without asking for a library that the engine does not need.

    Args:
        name: what a reader calls the rows that were asked.
        untyped: they come from a csv.

    Raises:
        InputError: the engine cannot read them.
    """
    import duckdb

    native = frame.to_native()
    try:
        if isinstance(native, duckdb.DuckDBPyRelation):
            return native.fetchall()
        if hasattr(frame, "implementation") and frame.implementation.is_pyspark():
            return [tuple(row) for row in native.collect()]
        return [tuple(row) for row in frame.collect().rows()]
    except duckdb.Error as error:
        kind = "csv" if untyped else "a table"
        msg = f"{name}: cannot be read as {kind} ({visible(str(error).splitlines()[0])[:200]})"
        raise InputError(msg) from None


def decided(score: AtLeast) -> Any:
    """1 at or above the threshold, 0 below it, −1 where there is no score from 0 to 1."""
    import narwhals as nw

    value = nw.col(score.column).cast(nw.Float64)
    # NaN is larger than 1 in DuckDB, Polars and Spark, and never compares in pandas: −1 in all.
    at = (value >= score.threshold).cast(nw.Int64)
    return nw.when((value >= 0) & (value <= 1)).then(at).otherwise(nw.lit(-1))


def unused(word: str, columns: Collection[str]) -> str:
    """A name for a column of ours that none of theirs has."""
    name = f"_rai_{word}"
    while name in columns:
        name += "_"
    return name


def _plain(value: Any) -> Any:
    """One None for everything that is missing, one 0 for both zeros: keys of a dictionary from here on."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value) + 0.0
    return value.item() if isinstance(value, np.generic) else value
