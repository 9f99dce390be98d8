"""How do columns become rows quickly? Two at a time, where a row's end allows it.

Writing a column into a table touches another line of the cache for every number. Two columns that were laid beside one
another first, in a strip that the nearest cache holds, go there as one number of twice the size: half as many writes
far apart (``benchmarks/onnx_speed.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.subject import Array


class SideBySide:
    """A table of single precision ``(rows, columns)`` that is filled again and again.

    Args:
        rows: the most that it will hold.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self.rows_BF = np.empty((rows, columns), dtype=np.float32)
        self.strip_B2 = np.empty((rows, 2), dtype=np.float32)

    def filled(self, columns: Sequence[Array]) -> Array:
        """These columns of equal length as the first rows of the table; it is overwritten by the next call."""
        n = len(columns[0])
        if len(columns) % 2:  # a row does not end where a number of twice the size would
            for j, values in enumerate(columns):
                self.rows_BF[:n, j] = values
            return self.rows_BF[:n]
        first_B, second_B = self.strip_B2[:n].T
        both_B = self.strip_B2[:n].view(np.float64)[:, 0]
        pairs_BP = self.rows_BF[:n].view(np.float64)
        for j in range(0, len(columns), 2):
            first_B[:], second_B[:] = columns[j], columns[j + 1]
            pairs_BP[:, j // 2] = both_B
        return self.rows_BF[:n]
