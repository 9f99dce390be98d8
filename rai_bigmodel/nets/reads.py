"""What does a network read, and how does each raw value become a number?

A net is built from a ``Reads``: which columns, pictures, words or series go in, with every constant that
fills, scales or codes them. The constants live inside the module as buffers (words: in the run's card), so an
exported file takes raw values and a private model carries nothing that was read off its training rows.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
"""Token ids: nothing there, a word that is not in the vocabulary, the vocabulary's first word."""


class Input(Record):
    """How one raw column becomes a number around 0: ``(x - center) / scale``, with `fill` for a missing x."""

    fill: float = 0.0
    center: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive("scale", self.scale)


class Category(Record):
    """One column of labels, embedded: code 0 is a missing or unknown label, code i + 1 is ``values[i]``.

    Codes reach the net as float32 in the same ``x_BF`` as the numbers, in the order of the features.
    """

    values: tuple[str, ...]
    width: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive("width", self.width)
        _distinct("values", self.values)

    @property
    def codes(self) -> int:
        """How many codes there are, 0 included."""
        return len(self.values) + 1


class Pixels(Record):
    """One column of pictures ``(rows, channels, height, width)`` in any unit: ``(x - center) / scale``."""

    channels: int
    height: int
    width: int
    center: float = 0.0
    scale: float = 1.0
    column: str = "image"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("channels", "height", "width", "scale"):
            _positive(name, getattr(self, name))


class Base(Record, omit_defaults=True):
    """A pretrained model that others are made from: an installed package that holds it, or a folder; one of them.

    Args:
        digest: of its configuration, tokenizer and weights (`nets.pretrained.digest_of`).
    """

    digest: str
    package: str = ""
    folder: str = ""


class Tokens(Record):
    """One column of texts, cut into words or characters: ids ``(rows, length)``, padded behind with ``PADDING``.

    Args:
        base: whose tokenizer cuts the texts into ``pieces``; `words` are then empty.
    """

    words: tuple[str, ...]
    length: int
    level: Literal["word", "character", "pieces"] = "word"
    column: str = "text"
    base: Base | UnsetType = UNSET  # unset, not null: it then stands in no JSON, and digests of old runs hold

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive("length", self.length)
        _distinct("words", self.words)
        if (self.level == "pieces") is (self.base is UNSET):
            msg = f"tokens: level pieces goes with a base, and no other does; got level {self.level}"
            raise InputError(msg)

    @property
    def ids(self) -> int:
        """How many ids there are: the words, padding and unknown."""
        return len(self.words) + FIRST_WORD


class Series(Record):
    """One column of series ``(rows, length, features)``; steps that are NaN throughout are padding."""

    features: int
    length: int
    center: float = 0.0
    scale: float = 1.0
    column: str = "series"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("features", "length", "scale"):
            _positive(name, getattr(self, name))


class Reads(Record):
    """All that one net reads; a table net numbers and categories, an image net pixels, a fusion several.

    Args:
        features: the order of the table's columns in ``x_BF``; the keys of `numbers` and `categories`.
    """

    features: tuple[str, ...] = ()
    numbers: dict[str, Input] = {}
    categories: dict[str, Category] = {}
    pixels: Pixels | None = None
    tokens: Tokens | None = None
    series: Series | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _distinct("features", self.features)
        both = sorted(self.numbers.keys() & self.categories.keys())
        if both:
            msg = f"reads: {both[0]!r} is declared as a number and as a category; it is one of them"
            raise InputError(msg)
        odd = sorted(set(self.features) ^ (self.numbers.keys() | self.categories.keys()))
        if odd:
            where = "features" if odd[0] in self.features else "numbers or categories"
            msg = f"reads: {odd[0]!r} stands in {where} only; features name every number and category once"
            raise InputError(msg)


def _positive(name: str, value: float) -> None:
    if value <= 0:
        msg = f"{name} must be positive, got {value}"
        raise InputError(msg)


def _distinct(name: str, values: tuple[str, ...]) -> None:
    if len(set(values)) < len(values):
        twice = next(v for i, v in enumerate(values) if v in values[:i])
        msg = f"{name}: {twice!r} stands there twice"
        raise InputError(msg)
