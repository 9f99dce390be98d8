"""Which data are at hand for examples, tests and recipes? Each gives ``Splits``: train, calibrate, held out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel.datasets.breast_cancer import breast_cancer
from rai_bigmodel.datasets.credit import credit
from rai_bigmodel.datasets.digits import digits
from rai_bigmodel.datasets.loan import loan
from rai_bigmodel.datasets.rows import rows
from rai_bigmodel.datasets.sentences import sentences
from rai_bigmodel.datasets.templates import templates
from rai_bigmodel.datasets.text_lines import text_lines
from rai_bigmodel.errors import InputError
from rai_bigmodel.rules import label_text

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from rai_bigmodel.subject import Splits
    from rai_bigmodel.training.asked import Data

__all__ = [
    "breast_cancer",
    "by_name",
    "credit",
    "digits",
    "loan",
    "rows",
    "sentences",
    "templates",
    "text_lines",
]

_AT_HAND: dict[str, Callable[[], Splits]] = {
    "breast_cancer": breast_cancer,
    "digits": digits,
    "loan": loan,
    "templates": templates,
    "text_lines": text_lines,
}
_FROM_A_FILE = {
    "credit": "{credit: {file: credit_default.csv}}",
    "sentences": "{sentences: {file: posts.csv, text: post, label: toxic}}",
}


def by_name(data: str | Data, *, here: str | os.PathLike[str] = ".", where: str = "data") -> Splits:
    """The data that a recipe or an ``audit.yaml`` asks for in ``data:``.

    Args:
        data: a name, or a name with what it needs to know.
        here: the folder that a file is looked for in, when its path is relative.
        where: what an error about it begins with.

    Raises:
        InputError: there are no data of this name, or they come from a file and none is given.
        MissingExtra: the package that ships them is not installed.
    """
    if isinstance(data, str):
        if data in _FROM_A_FILE:
            msg = f"{where}: {data!r} are read from a file of yours: data: {_FROM_A_FILE[data]}"
            raise InputError(msg)
        if data not in _AT_HAND:
            raise InputError.unknown(where, data, (*_AT_HAND, *_FROM_A_FILE))
        return _AT_HAND[data]()
    here = Path(here)
    if data.rows:
        return rows(data.rows, here=here, where=where)
    if data.digits:
        return digits(shape=data.digits.shape, seed=data.digits.seed)
    if data.credit:
        return credit(here / data.credit.file, seed=data.credit.seed)
    if data.templates:
        return templates(languages=data.templates.languages, seed=data.templates.seed)
    if data.text_lines:
        lines = data.text_lines
        return text_lines(file=here / lines.file if lines.file else "", length=lines.length, seed=lines.seed)
    asked = data.sentences
    assert asked is not None  # Data holds exactly one
    return sentences(
        here / asked.file,
        text=asked.text,
        label=asked.label,
        positive="" if asked.positive is None else label_text(asked.positive),
        sensitive=asked.sensitive,
        together=asked.together,
        seed=asked.seed,
    )
