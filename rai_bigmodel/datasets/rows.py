"""How do somebody's own files of rows become ``Splits``?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import read_table

if TYPE_CHECKING:
    import os

    from rai_bigmodel.tables import Table
    from rai_bigmodel.training.asked import Rows


def rows(asked: Rows, *, here: str | os.PathLike[str] = ".", where: str = "data") -> Splits:
    """The rows of csv or parquet files: held out, and where they are named those to train and to calibrate on.

    Args:
        here: the folder that a relative path is relative to.
        where: what an error begins with.

    Raises:
        InputError: a file or a column is not there, or one file is named as two parts.
    """
    here = Path(here)
    names = [name for name in (asked.file, asked.train, asked.calibrate) if name]
    if len({(here / name).resolve() for name in names}) < len(names):
        msg = f"{where}: file, train and calibrate must be different files, got {', '.join(names)}"
        raise InputError(msg)
    held_out = read_table(here / asked.file, roles=asked.roles, positive=asked.label)

    def like(name: str | None) -> Table | None:
        return read_table(here / name, roles=held_out.roles, positive=asked.label) if name else None

    return Splits(held_out=held_out, train=like(asked.train), calibrate=like(asked.calibrate))
