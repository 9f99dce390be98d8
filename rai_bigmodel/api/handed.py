"""Which rows were handed over? Splits, or one cohort: the verbs take both."""

from __future__ import annotations

from typing import Any

from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Splits


def splits_given(given: Any) -> Splits:
    """The rows that somebody hands over: splits as they are, or one cohort, which the model has never seen.

    Raises:
        InputError: it is neither.
    """
    if isinstance(given, Splits):
        return given
    # Asked of the class: `isinstance` would ask for the rows and the digest themselves, which an engine has to count.
    if all(hasattr(type(given), part) for part in ("arrays", "count", "rows", "digest")):
        return Splits(held_out=given)
    kind = f"{type(given).__module__.split('.')[0]}.{type(given).__qualname__}".removeprefix("builtins.")
    msg = (
        f"rows are handed over as Splits(held_out=…, train=…, calibrate=…) or as one cohort, not as {kind}; "
        "rai_bigmodel.tables.of(frame, roles={'truth': ('y',), 'feature': ('*',), 'sensitive': ('sex',)}) makes one of "
        "any dataframe"
    )
    raise InputError(msg)
