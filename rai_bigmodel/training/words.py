"""How does a text become the numbers a network reads? Without torch: an exported file needs none."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from rai_bigmodel.nets.reads import FIRST_WORD, PADDING, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rai_bigmodel.nets.reads import Tokens
    from rai_bigmodel.subject import Array

# Chinese and Japanese are written without spaces: each of their characters is a word of its own.
_IDEOGRAPH = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W{_IDEOGRAPH}]+|[^\w\s]")


def cut(text: str, level: Literal["word", "character"]) -> list[str]:
    """A text as its words in lower case, signs of punctuation among them, or as its characters."""
    return list(text) if level == "character" else _WORD.findall(text.lower())


def vocabulary(
    texts: Iterable[str | None], *, level: Literal["word", "character"], most: int
) -> tuple[str, ...]:
    """The most frequent words; of two equally frequent ones the first in the alphabet comes first."""
    counted: Counter[str] = Counter()
    for text in texts:
        counted.update(cut(text or "", level))
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(word for word, _ in ordered[:most])


def ids(texts: Sequence[str | None], tokens: Tokens) -> Array:
    """Texts as ids ``(rows, length)`` int64: cut off behind, padded behind; a missing text is all padding."""
    place = {word: i + FIRST_WORD for i, word in enumerate(tokens.words)}
    out = np.full((len(texts), tokens.length), PADDING, dtype=np.int64)
    for row, text in enumerate(texts):
        found = [place.get(word, UNKNOWN) for word in cut(text or "", tokens.level)[: tokens.length]]
        out[row, : len(found)] = found
    return out
