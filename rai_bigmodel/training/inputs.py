"""How do named columns become the rows a network reads? Without torch: an exported file needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.subject import Array


def stack(columns: Mapping[str, Array], features: Sequence[str], *, where: str) -> Array:
    """Raw float32 rows ``(rows, features)`` in the order of `features`; NaN where a value is missing.

    Args:
        columns: column → array ``(rows,)``; more columns than needed do no harm.
        where: names the asker in errors.

    Raises:
        InputError: a column is missing or is not made of numbers.
    """
    out = []
    for name in features:
        if name not in columns:
            what = f"{where}: column"
            raise InputError.unknown(what, name, columns)
        values = np.asarray(columns[name])
        if values.dtype.kind not in "fiub" or values.ndim != 1:
            got = f"{values.dtype} of shape {values.shape}"
            msg = f"{where}: the column {name!r} must hold one number a row, got {got}"
            raise InputError(msg)
        out.append(values.astype(np.float32))
    return np.stack(out, axis=1)
