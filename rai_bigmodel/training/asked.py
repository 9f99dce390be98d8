"""Which data does a recipe or an ``audit.yaml`` ask for? A name, or a name with what it needs to know.

``data: digits`` is enough where everything has a default; ``data: {digits: {shape: series}}`` says more, and data
of the user's own need a file: ``data: {sentences: {file: posts.csv, text: post, label: toxic}}``, or for a table
``data: {file: held_out.csv, train: train.csv, calibrate: calibrate.csv, truth: repaid, …}``. Paths are relative to
the folder of the file that names them. What is behind a name stands in `rai_bigmodel.datasets`.
"""

from __future__ import annotations

from typing import Any, Literal

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.rules import label_text


class Digits(Record, omit_defaults=True):
    """Handwritten digits as pictures ``(1, 8, 8)``, as series of 8 rows of 8, or as 64 columns of a table."""

    shape: Literal["pictures", "series", "columns"] = "pictures"
    seed: int = 7


class Credit(Record, omit_defaults=True):
    """Who will not pay the credit card next month? The file is the user's copy."""

    file: str
    seed: int = 7


class Sentences(Record, omit_defaults=True):
    """Sentences and labels of a csv (or csv.gz).

    Args:
        file: the csv.
        text: the column of sentences.
        label: the column of labels.
        positive: the label that counts as positive; needed where labels are not 0 and 1.
        sensitive: columns that say whom a sentence is about.
        together: a column (a template, an author) whose rows must not be parted; empty for none.
        seed: of the division into parts.
    """

    file: str
    text: str
    label: str
    positive: str | int | bool | None = None
    sensitive: tuple[str, ...] = ()
    together: str = ""
    seed: int = 7


class TextLines(Record, omit_defaults=True):
    """Running text in pieces of so many characters, to learn a language from.

    Args:
        file: a text in UTF-8 whose blank lines part its paragraphs; empty for Python's own documentation topics.
        length: characters a piece.
        seed: of the division of topics or paragraphs into parts.
    """

    file: str = ""
    length: int = 128
    seed: int = 7

    def __post_init__(self) -> None:
        if self.length < 2:
            msg = f"text_lines: length must be at least 2 characters, got {self.length}"
            raise InputError(msg)


class Templates(Record, omit_defaults=True):
    """Our own sentences about people, hostile or not, in one language or both; parted by template."""

    languages: tuple[Literal["en", "zh"], ...] = ("en", "zh")
    seed: int = 7

    def __post_init__(self) -> None:
        if not self.languages or len(set(self.languages)) < len(self.languages):
            msg = f"templates: languages must be en, zh or both, got {list(self.languages)}"
            raise InputError(msg)


class Rows(Record, omit_defaults=True):
    """Files of rows, and what their columns are.

    Args:
        file: the held-out rows; what is measured is measured on these.
        train, calibrate: files of the same columns with the rows that a model is trained on, and those its
            threshold is set on. Without them a model can be audited, but not trained.
        features: columns, or ``all`` that have no other role in the held-out file.
    """

    file: str
    truth: str
    sensitive: tuple[str, ...]
    positive: str | int | float | bool | None = None
    features: tuple[str, ...] | str = "all"
    id: str | None = None
    weight: str | None = None
    train: str | None = None
    calibrate: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.features, str) and self.features != "all":
            msg = f"features: must be 'all' or a list of columns, got {self.features!r}"
            raise InputError(msg)
        features = () if isinstance(self.features, str) else self.features
        others = {
            "sensitive": self.sensitive,
            "features": features,
            "id": (self.id,),
            "weight": (self.weight,),
        }
        for role, columns in others.items():
            if self.truth in columns:
                msg = f"{role}: {self.truth!r} is named as truth, the outcome; it cannot be both"
                raise InputError(msg)

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """Role → columns, as a table has them."""
        return {
            "truth": (self.truth,),
            "sensitive": self.sensitive,
            "feature": ("*",) if isinstance(self.features, str) else self.features,
            "id": (self.id,) if self.id else (),
            "weight": (self.weight,) if self.weight else (),
        }

    @property
    def label(self) -> str:
        """The positive outcome as canonical text; empty where none is declared."""
        return "" if self.positive is None else label_text(self.positive)


class Data(Record, omit_defaults=True):
    """Exactly one kind of data, with what it needs to know.

    Args:
        rows: in a recipe and an ``audit.yaml`` its keys are written without its name.

    Raises:
        InputError: none or several are named.
    """

    digits: Digits | None = None
    credit: Credit | None = None
    sentences: Sentences | None = None
    text_lines: TextLines | None = None
    templates: Templates | None = None
    rows: Rows | None = None

    def __post_init__(self) -> None:
        named = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(named) != 1:
            got = ", ".join(named) or "none"
            msg = f"data: exactly one of {', '.join(self.__struct_fields__)} is asked for, got {got}"
            raise InputError(msg)

    @property
    def name(self) -> str:
        """Which kind it is."""
        return next(name for name in self.__struct_fields__ if getattr(self, name) is not None)

    @property
    def details(self) -> Any:
        """What that kind needs to know."""
        return getattr(self, self.name)


def data_said(given: object, *, where: str) -> str | Data:
    """What ``data:`` says in a file: a name, one key of ours, or files of rows.

    Raises:
        InputError: unknown keys, missing keys or wrong types, with their path.
    """
    if not isinstance(given, dict):
        return files.convert(given, str, where=where, at="$.data")
    if set(given) <= set(Data.__struct_fields__):
        return files.convert(given, Data, where=where, at="$.data")
    return Data(rows=files.convert(given, Rows, where=where, at="$.data"))


def name_of(data: str | Data) -> str:
    """What data are called in a sentence."""
    return data if isinstance(data, str) else data.name
