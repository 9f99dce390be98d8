"""How does a text become the numbers that a network reads? Without torch: an exported file needs none.

A text is cut into words or into characters, and each has an id: 0 where there is nothing (padding), 1 for what is
not in the vocabulary, 2 for the vocabulary's first word, and so on (`rai_bigmodel.nets.reads`).

Words are runs of letters and digits in lower case, an apostrophe inside them kept; every other sign is a word of
its own, and so is every Chinese or Japanese character, because those scripts put no space between words. Characters
are taken as they stand: a language model has to give the text back. Texts for a pretrained encoder are cut by its own
tokenizer (`rai_bigmodel.nets.pretrained`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np
from msgspec import UNSET

from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import pretrained
from rai_bigmodel.nets.reads import FIRST_WORD, PADDING, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rai_bigmodel.nets.reads import Tokens
    from rai_bigmodel.subject import Array

    Level = Literal["word", "character"]

# Kana, unified ideographs with their extensions, compatibility ideographs.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+(?:['’][^\W{_ALONE}]+)*|[^\w\s]")


def cut(text: str, *, level: Level) -> list[str]:
    """The words or characters of one text, in order; equal texts written in other code points are one (NFC)."""
    text = unicodedata.normalize("NFC", text)
    return list(text) if level == "character" else _WORD.findall(text.lower())


def vocabulary(texts: Iterable[str | None], *, level: Level, size: int) -> tuple[str, ...]:
    """The `size` most frequent words or characters, the most frequent first, equals in alphabetical order.

    Args:
        texts: of the training rows only; None for a missing one.
        size: at most so many; where there are fewer, all of them.

    Raises:
        InputError: `size` is not positive, or there is no word in any text.
    """
    if size < 1:
        msg = f"vocabulary: size must be positive, got {size}"
        raise InputError(msg)
    seen = Counter(word for text in texts if text is not None for word in cut(text, level=level))
    if not seen:
        msg = f"vocabulary: there is no {level} in any of the texts"
        raise InputError(msg)
    return tuple(sorted(seen, key=lambda word: (-seen[word], word))[:size])


def encode(texts: Iterable[str | None], tokens: Tokens) -> Array:
    """The ids of texts ``(rows, length)``, int64: cut off after ``tokens.length``, padded behind.

    A text without a word, or a missing one, is one unknown word: no row is padding throughout, so that attention
    and averages always have something to look at.
    """
    if tokens.base is not UNSET:
        theirs, ours = pretrained.tokenizer_of(tokens.base), pretrained.places_of(tokens.base)
        return pretrained.pieces(list(texts), theirs, length=tokens.length, ours=ours)
    assert tokens.level != "pieces"  # Tokens holds a base with those
    place = {word: i for i, word in enumerate(tokens.words, start=FIRST_WORD)}
    rows = list(texts)
    ids = np.full((len(rows), tokens.length), PADDING, dtype=np.int64)
    for row, text in zip(ids, rows, strict=True):
        words = cut(text, level=tokens.level)[: tokens.length] if text is not None else []
        row[: max(1, len(words))] = [place.get(word, UNKNOWN) for word in words] or UNKNOWN
    return ids


def decode(ids: Array, tokens: Tokens) -> list[str]:
    """Texts again from ids ``(rows, length)``: characters side by side, words with spaces; "�" for unknown ones."""
    between = "" if tokens.level == "character" else " "
    known = ("", "\ufffd", *tokens.words)
    return [between.join(known[i] for i in row if i != PADDING) for row in np.asarray(ids).tolist()]
