"""How do a user's own sentences and labels become data? Cleaned, one of each, and divided."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.datasets.columns import texts_of, unpacked
from rai_bigmodel.datasets.split import Parts, as_splits, three_parts, whole_groups
from rai_bigmodel.errors import InputError
from rai_bigmodel.tables import Table, canonical

if TYPE_CHECKING:
    import os

    from rai_bigmodel.subject import Array, Splits


def plain(text: str) -> str:
    """A text in one normal form (NFC), with single spaces and none at its ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def sentences(
    file: str | os.PathLike[str],
    *,
    text: str,
    label: str,
    positive: str = "",
    sensitive: tuple[str, ...] = (),
    together: str = "",
    seed: int = 7,
) -> Splits:
    """Sentences and labels of a csv in UTF-8: 30 % of the rows held out, a quarter of the rest calibrates.

    Rows without a sentence or a label are left out. Of equal sentences one is kept, so that none is both learned
    from and held out; where equal sentences have different labels all of them are left out. The notes say how many.

    Args:
        file: a csv, or csv.gz, with a header.
        text, label: its columns of sentences and of labels.
        positive: the label that counts as positive; needed where labels are not 0 and 1.
        sensitive: columns that say whom a sentence is about; an empty field is missing.
        together: a column whose rows must stay in one part (a template, an author); else each part gets its share
            of every label.
        seed: of the division.

    Raises:
        InputError: the file or a column is not there, or too few sentences remain to divide.
    """
    path = Path(file)
    raw = texts_of(unpacked(path), where=path.name)
    for column in (text, label, *sensitive, *([together] if together else [])):
        if column not in raw:
            what = f"{path.name}: column"
            raise InputError.unknown(what, column, raw)
    kept, notes = _cleaned([plain(t) for t in raw[text]], raw[label])
    if len(kept) < 3:
        msg = f"{path.name}: {len(kept)} different sentences with a label are too few to divide into three parts"
        raise InputError(msg)
    columns: dict[str, Array] = {name: _texts([raw[name][i] for i in kept]) for name in sensitive}
    columns["text"] = _texts([plain(raw[text][i]) for i in kept])
    columns[label] = _labels([raw[label][i] for i in kept])
    roles = {"feature": ("text",), "truth": (label,), "sensitive": tuple(sensitive)}
    whole = Table(name=_name(path), columns=columns, roles=roles, positive=positive, notes=notes)
    rng = np.random.default_rng(seed)
    strata = canonical(columns[label])
    if together:
        parts: Parts = whole_groups(
            np.array([raw[together][i] for i in kept]), rng, held_out=0.3, calibrate=0.175
        )
    else:
        parts = three_parts(strata, rng, held_out=max(1, round(0.3 * len(kept))))
    return as_splits(whole, parts)


def _cleaned(texts: list[str], labels: list[str]) -> tuple[list[int], tuple[str, ...]]:
    """Which rows are kept, and in words how many were not."""
    first: dict[str, int] = {}
    disagree: set[str] = set()
    empty = repeated = 0
    for i, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if not text or not label:
            empty += 1
        elif text not in first:
            first[text] = i
        else:
            repeated += 1
            if labels[first[text]] != label:
                disagree.add(text)
    kept = [i for text, i in first.items() if text not in disagree]
    note = (
        f"{len(kept):,} of {len(texts):,} sentences are used: {empty:,} rows had no sentence or no label, "
        f"{repeated:,} repeated a sentence, {len(disagree):,} sentences had two labels."
    )
    return kept, (note,)


def _texts(values: list[str]) -> Array:
    return np.array([value or None for value in values], dtype=object)


def _labels(values: list[str]) -> Array:
    """Labels as numbers where all of them are, else as text."""
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return np.array(values, dtype=object)


def _name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")
