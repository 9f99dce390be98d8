"""Which rows did the runs see that a private training begins with? Read again, where they still lie where they lay.

A run keeps of its rows what they were called and their digest, never the rows nor hashes of them, which would tell
who was among them. So the files that its recipe named are looked for, and taken for its rows only where their digest
is the same; what is not found is not known.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel import datasets
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.tables import read_table
from rai_bigmodel.training.descent import ancestors, folder_from, origins_of

if TYPE_CHECKING:
    import os

    from rai_bigmodel.subject import Cohort
    from rai_bigmodel.training.asked import Data
    from rai_bigmodel.training.descent import Kin
    from rai_bigmodel.training.recipe import Recipe


def rows_behind(recipe: Recipe, kin: Kin, *, here: str | os.PathLike[str] = ".") -> dict[str, Cohort]:
    """Digest → rows that a run behind this training was made from, of those that are found.

    Args:
        here: the folder of the recipe; the run's own folder and the one that holds it are looked into as well.
    """
    run = folder_from(recipe)
    folders = dict.fromkeys(
        Path(folder).resolve() for folder in (here, Path(here) / run, Path(here) / run / "..")
    )
    found: dict[str, Cohort] = {}
    for origin in ancestors(origins_of(recipe, kin)):
        wanted = {part.digest for name, part in origin.data.items() if name != "weights"}
        asked = origin.asked or origin.source
        for folder in folders:
            if asked and not wanted <= found.keys():
                found |= {c.digest: c for c in _parts(asked, folder) if c.digest in wanted}
    return found


def _parts(asked: str | Data, folder: Path) -> list[Cohort]:
    """The rows to train and to calibrate on, of those that can be read."""
    files = None if isinstance(asked, str) else asked.rows
    parts: list[Cohort] = []
    if files is None:
        try:
            splits = datasets.by_name(asked, here=folder)
        except (InputError, MissingExtra):
            return []
        return [part for part in (splits.train, splits.calibrate) if part is not None]
    for name in (files.train, files.calibrate):
        try:
            if name:
                parts.append(read_table(folder / name, roles=files.roles, positive=files.label))
        except InputError:  # not there, or no longer what it was
            continue
    return parts
