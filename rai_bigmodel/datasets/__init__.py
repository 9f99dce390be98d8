"""Which real data are at hand for examples and tests? Each gives ``Splits``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rai_bigmodel.datasets.loan import loan
from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.subject import Splits

__all__ = ["by_name", "loan"]

_KNOWN: dict[str, Callable[[], Splits]] = {"loan": loan}


def by_name(name: str) -> Splits:
    """The data that a recipe names in ``data:``.

    Raises:
        InputError: there are no data of this name.
        MissingExtra: the package that ships them is not installed.
    """
    if name not in _KNOWN:
        what = "data"
        raise InputError.unknown(what, name, _KNOWN)
    return _KNOWN[name]()
