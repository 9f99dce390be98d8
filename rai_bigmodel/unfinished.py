"""What has a stopped audit already found? Pieces of evidence, kept apart until the whole is there.

They lie in ``DIR/unfinished/``, never in ``DIR/evidence/``: nothing that was stopped half-way looks finished. A name
says what they were asked of; pieces of another subject, other rows or another configuration are never taken up.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FOLDER = "unfinished"
_ASKED = "asked"
_LIKE_JSON = ".json"

Pieces = list[tuple[str, Evidence]]
"""File name → evidence: what one audit of one subject leaves, its timings apart."""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """The pieces of an audit that is under way.

    Args:
        folder: of the pieces.
        taken: file name → a piece that an earlier, stopped run of the same left.
    """

    folder: Path
    taken: dict[str, Evidence]

    def found(self, name: str, *, clock: str) -> Pieces:
        """What is already there of the audit whose evidence has this file name; nothing, when it must be run."""
        if name not in self.taken:
            return []
        return [(n, self.taken[n]) for n in (name, clock) if n in self.taken]

    def keep(self, pieces: Pieces) -> None:
        """Write the pieces of one audit, the one it is known by last; what broke is not kept, to be tried again."""
        if any(evidence.failure for _, evidence in pieces):
            return
        for name, evidence in reversed(pieces):
            files.write_bytes(self.folder / name, files.canonical_json(evidence))


@contextlib.contextmanager
def under_way(
    folder: files.PathLike | None, asked: Callable[[], str], *, resume: bool = False
) -> Iterator[Unfinished | None]:
    """Keep pieces as they are found, alone in the folder; with `resume`, with those that are there.

    Args:
        folder: that of the evidence; ``None`` keeps nothing.
        asked: gives a digest of everything that the pieces depend on.

    Raises:
        InputError: there is nothing to resume, or what is there was asked of something else, or another process is
            at work in the folder.
    """
    if folder is None:
        yield None
        return
    if not resume:
        files.make_folder(folder)
    elif not (Path(folder) / FOLDER / _ASKED).is_file():
        msg = f"{Path(folder) / FOLDER}: there is no stopped audit to resume"
        raise InputError(msg)
    with files.alone(folder):
        yield _begin(folder, asked(), resume=resume)


def _begin(folder: files.PathLike, asked: str, *, resume: bool) -> Unfinished:
    inside = Path(folder) / FOLDER
    if not resume:
        _clear(inside)
        files.write_bytes(files.make_folder(inside) / _ASKED, asked.encode())
        return Unfinished(folder=inside, taken={})
    if files.read_bytes(inside / _ASKED) != asked.encode():
        msg = (
            f"{inside}: the stopped audit was of another subject, other rows, other versions or another configuration; "
            "begin anew without --resume"
        )
        raise InputError(msg)
    return Unfinished(folder=inside, taken=dict(_read(inside)))


def clear(folder: files.PathLike) -> None:
    """Take the pieces away, because the whole is there or is begun anew; a folder that held nothing else goes too."""
    inside = Path(folder) / FOLDER
    if inside.is_dir():
        _clear(inside)
        files.remove_folder(folder)


def _clear(inside: Path) -> None:
    if inside.is_dir():
        for name, path in files.regular_files(inside).items():
            if name == _ASKED or name.endswith(_LIKE_JSON) or files.is_left_over(name):
                files.remove(path)
        files.remove_folder(inside)


def _read(inside: Path) -> Sequence[tuple[str, Evidence]]:
    return [
        (name, files.parse_json(files.read_bytes(path), Evidence, where=str(path)))
        for name, path in files.regular_files(inside).items()
        if name.endswith(_LIKE_JSON)
    ]
