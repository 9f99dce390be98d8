"""How is a sentence that was written in English, numbers and all, said in another language?

Evidence keeps whole sentences, and its format must not change with the reader's language. A catalogue therefore holds
the patterns that the code makes them from (``{n} row(s) of {name}``; `extracting` reads them off the source), and a
sentence is recognised by its pattern: what stands in the braces is taken out, said in the same way, and set into the
other language's words. Several sentences in a row are taken one by one, and so are lists. What no pattern fits is left
in English, and knows that it is.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

_BRACES = re.compile(r"\{(\w*)\}")
_FIGURES = re.compile(r"[-−+±]?[\d.,:%×/ ]+(e[-+]?\d+)?( %)?")
_ENDS = re.compile(r"(?<=[.;:?!)])\s+")
_NEXT = re.compile(r"[.!?]\s+[A-Z]|;\s")
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORDS = re.compile(r"[A-Za-z]{2,}[^A-Za-z]+[A-Za-z]{2,}")
_IDENTIFIERS = re.compile(r"[\w.*-]+(, [\w.*-]+)*")
_WORD = re.compile(r"[^\W\d_]+")
_WHOLE_WORD = re.compile(r"(?<=[ (])[^\W\d_]+(?=[ ,.;:)])")
_LISTS = (("; ", "；"), (", ", "、"), (" and ", "和"))
_PICKY = frozenset({"column", "identifiers"})
_LIGHT = 8
_DEEPEST = 25
_LONGEST = 2000
_MOST_PARTS = 24
_MOST_IN_ONE = 10


class Said(str):
    """A text of which some parts are left in English; ``parts`` are (text, whether it is in English)."""

    __slots__ = ("parts",)
    parts: tuple[tuple[str, bool], ...]

    @classmethod
    def made(cls, parts: Iterable[tuple[str, bool]]) -> str:
        """Parts as one text; a plain `str` where none is left in English."""
        kept = [(text, english) for text, english in parts if text]
        text = "".join(part for part, _ in kept)
        if not any(english for _, english in kept):
            return text
        out = cls(text)
        out.parts = tuple(kept)
        return out

    @classmethod
    def of(cls, between: str, texts: Sequence[str]) -> str:
        """Texts with something between them."""
        out: list[tuple[str, bool]] = []
        for i, text in enumerate(texts):
            out += [(between, False)] if i else []
            out += parts_of(text)
        return cls.made(out)


def parts_of(text: object) -> tuple[tuple[str, bool], ...]:
    """The parts of a text, each with whether it is left in English."""
    return text.parts if isinstance(text, Said) else ((str(text), False),)


def english(text: str) -> str:
    """A text marked as left in English; figures, single words and what is Chinese already are not marked."""
    return text if _HAN.search(text) or not _WORDS.search(text) else Said.made([(text, True)])


def filled(template: str, parts: Mapping[str, object]) -> str:
    """A template with its braces filled; parts left in English stay marked."""
    out: list[tuple[str, bool]] = []
    at = 0
    for brace in _BRACES.finditer(template):
        out.append((template[at : brace.start()], False))
        name = brace[1]
        out += parts_of(parts[name]) if name in parts else [(brace[0], False)]
        at = brace.end()
    out.append((template[at:], False))
    return Said.made(out)


class Pattern(NamedTuple):
    """One message with braces: how it is recognised, how much of it is fixed, and what it becomes.

    A ``light`` one has so few letters of its own that what stands in its braces must be known too.
    """

    expression: str
    names: tuple[str, ...]
    fixed: tuple[str, ...]
    words: tuple[str, ...]
    weight: int
    becomes: str
    light: bool


class Patterns(NamedTuple):
    """A catalogue: messages without braces, and those with some, the heaviest first.

    ``by_word`` has the places of patterns by a word that no text of theirs can lack; those without one are under "".
    """

    plain: Mapping[str, str]
    made: tuple[Pattern, ...]
    by_word: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, catalogue: Mapping[str, str]) -> Patterns:
        """The messages of a catalogue that are translated and can be told from others."""
        plain, made = {}, []
        for message, becomes in catalogue.items():
            said, becoming = message.strip(), becomes.strip()
            if not becoming:
                continue
            if not _BRACES.search(said) and "(s)" not in said:
                plain[said] = becoming
            elif any(f"{{{p}}}" in said for p in _PICKY) or re.search(r"[^\W\d_]{2,}", _BRACES.sub("", said)):
                made.append(_pattern(said, becoming))
        made.sort(key=lambda p: (-p.weight, p.expression))
        often = Counter(word for pattern in made for word in pattern.words)
        by_word: dict[str, list[int]] = {}
        for i, pattern in enumerate(made):
            rare = min(pattern.words, key=lambda word: (often[word], word), default="")
            by_word.setdefault(rare, []).append(i)
        return cls(plain, tuple(made), by_word)

    def candidates(self, text: str) -> list[Pattern]:
        """The patterns that a text could be made from, the heaviest first."""
        words = {"", *_WORD.findall(text)}
        places = sorted(i for word in words for i in self.by_word.get(word, ()))
        return [self.made[i] for i in places if all(part in text for part in self.made[i].fixed)]


class Reader:
    """Reads English sentences in another language; what it has read once it knows.

    Args:
        names: what the data call things; such a text is a name, whatever else it might mean.
        figure: how a number is written.
    """

    def __init__(
        self, patterns: Patterns, *, names: Collection[str] = (), figure: Callable[[str], str] = str
    ) -> None:
        self.patterns = patterns
        self.names = names
        self.figure = figure
        self.known: dict[str, str | None] = {}

    def said(self, text: str) -> str:
        """A text in the other language; where it is not known, as it is and marked."""
        found = self._found(text, 0)
        return english(text) if found is None else found

    def _found(self, text: str, depth: int) -> str | None:
        text = text.strip()
        if not text or text in self.names:
            return text
        if _FIGURES.fullmatch(text):
            return self.figure(text)
        if len(text) > _LONGEST or depth > _DEEPEST:
            return None
        if text not in self.known:
            self.known[text] = None
            self.known[text] = self._read(text, depth)
        return self.known[text]

    def _read(self, text: str, depth: int) -> str | None:
        if (whole := self._whole(text, depth)) is not None:
            return whole
        several, all_known = self._one_by_one(text, depth)
        if all_known:
            return several
        whole = self._whole(text, depth, within_a_sentence=False) or self._list(text, depth)
        return several if whole is None else whole

    def _whole(self, text: str, depth: int, *, within_a_sentence: bool = True) -> str | None:
        """A text that is one message; the pattern with most fixed letters that fits is taken.

        Args:
            within_a_sentence: whether what stands in the braces may not end a sentence and begin another.
        """
        if (known := self._exact(text)) is not None:
            return known
        for pattern in self.patterns.candidates(text):
            match = re.fullmatch(pattern.expression, text, re.DOTALL)
            if match is None or not self._fits(pattern, match):
                continue
            several = within_a_sentence and _NEXT.search(" | ".join(match.groups()))
            if several and pattern.light and not _PICKY.intersection(pattern.names):
                continue
            inside = {
                name: part if name in _PICKY else self._inside(part, depth)
                for name, part in zip(pattern.names, match.groups(), strict=True)
            }
            unknown = [name for name, part in inside.items() if isinstance(part, Said)]
            if unknown and (pattern.light or several):
                continue
            return filled(pattern.becomes, inside)
        return None

    def _fits(self, pattern: Pattern, match: re.Match[str]) -> bool:
        """Whether the picky braces hold what they must (`vocabulary`)."""
        inside = dict(zip(pattern.names, match.groups(), strict=True))
        if "column" in inside and inside["column"] not in self.names:
            return False
        return "identifiers" not in inside or bool(_IDENTIFIERS.fullmatch(inside["identifiers"]))

    def _exact(self, text: str) -> str | None:
        plain = self.patterns.plain
        for form in (text, text[:1].lower() + text[1:], text[:1].upper() + text[1:]):
            if form in plain:
                return plain[form]
        return f"{plain[text[:-1]]}。" if text.endswith(".") and text[:-1] in plain else None

    def _inside(self, text: str, depth: int) -> str:
        listed = self._list(text, depth)
        found = self._found(text, depth + 1) if listed is None else listed
        return english(text) if found is None else found

    def _list(self, text: str, depth: int) -> str | None:
        """A list of which every member is known."""
        for between, becomes in _LISTS:
            pieces = text.split(between)
            if 1 < len(pieces) <= _MOST_PARTS:
                each = []
                for piece in pieces:
                    found = self._found(piece, depth + 1)
                    if found is None or isinstance(found, Said):
                        break
                    each.append(found)
                else:
                    return Said.of(becomes, each)
        return None

    def _one_by_one(self, text: str, depth: int) -> tuple[str | None, bool]:
        """Several sentences, the longest known beginning first, and whether all are known; nothing if none is."""
        cuts = [*(m.start() for m in _ENDS.finditer(text)), len(text)]
        if len(cuts) == 1:
            return None, False
        out: list[str] = []
        begin, known, unknown = 0, False, False
        while begin < len(text):
            ends = [end for end in cuts if end > begin][:_MOST_IN_ONE]
            for end in reversed(ends):
                piece = text[begin:end].strip()
                stop = "；" if piece.endswith(";") and end < len(text) else ""
                piece = piece[:-1] if stop else piece
                found = self._whole(piece, depth + 1) if len(piece) < len(text.strip()) else None
                if found is not None:
                    known = True
                    out.append(Said.of("", [found, stop]))
                    break
            else:
                end, unknown = ends[0], True
                out.append(english(text[begin:end].strip()))
            begin = end
        return (Said.of("", out) if known else None), known and not unknown


def _pattern(message: str, becomes: str) -> Pattern:
    names, expression = [], ""
    fixed: list[str] = []
    at = 0
    for brace in _BRACES.finditer(message):
        literal = message[at : brace.start()]
        expression += _literal(literal) + "(.*?)"
        fixed += literal.split("(s)")
        names.append(brace[1])
        at = brace.end()
    expression += _literal(message[at:])
    fixed += message[at:].split("(s)")
    # The first letter may have become a capital at the beginning of a sentence.
    if expression[:1].isalpha():
        first = expression[0]
        expression = f"[{first.lower()}{first.upper()}]{expression[1:]}"
        fixed[0] = fixed[0][1:]
    # A word counts where blanks or stops part it from what stands in the braces.
    words = tuple(
        w for literal in _BRACES.split(message)[::2] for w in _WHOLE_WORD.findall(literal.replace("(s)", "_"))
    )
    parts = sorted((part.strip() for part in fixed if part.strip()), key=len, reverse=True)
    weight = len("".join(parts))
    return Pattern(expression, tuple(names), tuple(parts), words, weight, becomes, weight < _LIGHT)


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\(s\)", "s?")
