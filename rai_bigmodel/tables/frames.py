"""How does a dataframe become a cohort? Read into memory where it is there already, left in its engine where not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.tables.engine import Frame
from rai_bigmodel.tables.memory import Table
from rai_bigmodel.tables.names import name_of

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Roles

NAMES = ("truth", "sensitive", "prediction")
"""Roles whose values are names, whatever their type."""
MEMORY_BYTES = 1 << 30


def of(frame: Any, *, roles: Roles, positive: str = "", name: str = "") -> Table | Frame:
    """A dataframe as a cohort: pandas, Polars, PyArrow, DuckDB, Dask, PySpark, Ibis.

    An eager frame becomes a `Table` (its columns with a role are taken), unless they are more than 1 GiB; a lazy
    one stays in its engine (`Frame`), and only counts leave it.

    Args:
        roles: role → columns; ``feature`` may be ``("*",)``: all columns without another role.
        positive: the outcome that counts as positive; needed where labels are not 0 and 1.
        name: what a reader calls these rows.

    Raises:
        InputError: it is no dataframe that is known, it has no rows, a column is not there, or columns have names that
            are no text or stand twice.
    """
    import narwhals as nw
    from narwhals.exceptions import DuplicateError

    try:
        given = nw.from_native(frame)
    except DuplicateError as error:
        msg = f"{name or 'the dataframe'}: a column stands twice ({' '.join(str(error).split())})"
        raise InputError(msg) from None
    except TypeError:
        msg = (
            f"a dataframe is needed (pandas, Polars, PyArrow, DuckDB, Dask, PySpark, Ibis), "
            f"got {type(frame).__module__}.{type(frame).__qualname__}"
        )
        raise InputError(msg) from None
    name = name or f"{given.implementation.name.lower().replace('_', ' ')} table"
    roles = spread(roles, _column_names(given, name), name)
    wanted = list(dict.fromkeys(c for columns in roles.values() for c in columns))
    if not isinstance(given, nw.DataFrame) or len(given) * len(wanted) * 8 > MEMORY_BYTES:
        return Frame(name=name, frame=given.lazy(), roles=roles, positive=positive)
    if not len(given):
        msg = f"{name}: has no rows"
        raise InputError(msg)
    named = {c for role in NAMES for c in roles.get(role, ())}
    columns = {c: _array(given[c], names=c in named) for c in wanted}
    return Table(name=name, columns=columns, roles=roles, positive=positive)


def _column_names(given: Any, name: str) -> list[str]:
    columns = list(given.collect_schema().names())
    if odd := [c for c in columns if not isinstance(c, str)]:
        msg = f"{name}: the name of the column {odd[0]!r} is no text; df.columns = df.columns.astype(str) gives it one"
        raise InputError(msg)
    return columns


def spread(roles: Roles, columns: list[str], name: str) -> dict[str, tuple[str, ...]]:
    """Roles with ``("*",)`` written out, and every column there.

    Raises:
        InputError: a column is not there; the nearest names are shown.
    """
    out = {role: tuple(named) for role, named in roles.items() if named}
    if out.get("feature") == ("*",):
        taken = {c for role, named in out.items() if role != "feature" for c in named}
        out["feature"] = tuple(c for c in columns if c not in taken)
    for role, named in out.items():
        for column in named:
            if column not in columns:
                what = f"{name}: column for {role}"
                raise InputError.unknown(what, column, columns)
    return out


def _array(series: Any, *, names: bool) -> Array:
    """A column as the table keeps it: float64 with NaN for missing, or text with None for missing."""
    import narwhals as nw

    kind = series.dtype
    if kind.is_numeric() and not (kind.is_integer() and _beyond(series)):
        return np.asarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
    if kind == nw.Boolean and not names:
        return np.asarray(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
    if kind in {nw.Categorical, nw.Enum}:
        series = series.cast(nw.String)
    out = np.empty(len(series), dtype=object)
    out[:] = [_text(v) for v in series.to_list()]
    return out


def _beyond(series: Any) -> bool:
    """Whether there are whole numbers that a float cannot hold: ids and hashes, which are then names."""
    low, high = series.min(), series.max()
    return any(v is not None and v == v and abs(int(v)) > 2**53 for v in (low, high))  # noqa: PLR0124 - NaN


def _text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    if type(value).__name__ in {"NAType", "NaTType"} or value != value:  # noqa: PLR0124 - NaN
        return None
    return name_of(value)
