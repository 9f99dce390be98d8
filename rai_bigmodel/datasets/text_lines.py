"""Which running text can a language be learned from? Python's own documentation, or a text of the user's.

``pydoc_data.topics`` ships with every Python: 79 topics of the language reference in 3.11, half a million
characters under the PSF licence. Another Python has other text; the digests say which it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.datasets.split import as_splits, whole_groups
from rai_bigmodel.errors import InputError
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    import os

    from rai_bigmodel.subject import Splits


def text_lines(*, file: str | os.PathLike[str] = "", length: int = 128, seed: int = 7) -> Splits:
    """Running text in pieces of `length` characters: a fifth of the topics held out, a fifth to calibrate.

    Pieces follow each other without overlap; the last one of a topic is shorter. A topic is never divided, so what
    is held out is about something else than what was learned from. Columns: ``text`` (the feature), ``topic``.

    Args:
        file: a text in UTF-8, whose paragraphs (parted by blank lines) are divided instead of topics; empty for
            Python's documentation.
        length: characters a piece, at least 2.
        seed: of the division.

    Raises:
        InputError: the file is not there, is not UTF-8, or has fewer than three paragraphs.
    """
    if length < 2:
        msg = f"text_lines: length must be at least 2 characters, got {length}"
        raise InputError(msg)
    named = _paragraphs(Path(file)) if file else _python_topics()
    pieces = [(topic, piece) for topic, text in named.items() for piece in cut_up(text, length)]
    if len({topic for topic, _ in pieces}) < 3:
        msg = f"{file}: three parts need at least three paragraphs of 2 characters or more, parted by blank lines"
        raise InputError(msg)
    columns = {
        "text": np.array([piece for _, piece in pieces], dtype=object),
        "topic": np.array([topic for topic, _ in pieces], dtype=object),
    }
    what = "paragraph" if file else "topic"
    whole = Table(
        name=Path(file).name if file else "python topics",
        columns=columns,
        roles={"feature": ("text",)},
        notes=(f"Pieces of {length} characters; no {what} is in two parts.",),
    )
    rng = np.random.default_rng(seed)
    return as_splits(whole, whole_groups(columns["topic"].astype(str), rng, held_out=0.2, calibrate=0.2))


def cut_up(text: str, length: int) -> list[str]:
    """A text in pieces of `length` characters; a last one of a single character is left out: nothing follows it."""
    pieces = [text[i : i + length] for i in range(0, len(text), length)]
    return [piece for piece in pieces if len(piece) > 1]


def _python_topics() -> dict[str, str]:
    from pydoc_data.topics import topics

    return dict(sorted(topics.items()))


def _paragraphs(path: Path) -> dict[str, str]:
    try:
        text = files.read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path}: not a text in UTF-8 ({error})"
        raise InputError(msg) from None
    lines = text.replace("\r\n", "\n").split("\n")
    blocks = "\n".join(line if line.strip() else "" for line in lines).split("\n\n")
    return {
        f"paragraph {i:06d}": block.strip("\n") for i, block in enumerate(blocks, start=1) if block.strip()
    }
