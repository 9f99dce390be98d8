"""How is a sentence that was written in English, numbers and all, said in another language?

Evidence keeps whole sentences, and its format must not change with the reader's language. A catalogue therefore holds
the patterns that the code makes them from (``{n} row(s) of {name}``; `extracting` reads them off the source), and a
sentence is recognised by its pattern: what stands in the braces is taken out, said in the same way, and set into the
other language's words. Several sentences in a row are taken one by one. What no pattern fits is left in English, and
knows that it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

_BRACES = re.compile(r"\{(\w*)\}")
_FIGURES = re.compile(r"[-−+±]?[\d.,:%×/ ]+(e[-+]?\d+)?( %)?")
_ENDS = re.compile(r"(?<=[.;:?!)])\s+")
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORDS = re.compile(r"[A-Za-z]{2,}[^A-Za-z]+[A-Za-z]{2,}")
_DEEPEST = 6
_LONGEST = 4000
_MOST_SENTENCES = 24


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


class _Pattern(NamedTuple):
    """One message with braces: how it is recognised, how much of it is fixed, and what it becomes."""

    expression: re.Pattern[str]
    names: tuple[str, ...]
    fixed: tuple[str, ...]
    weight: int
    message: str
    becomes: str


class Patterns:
    """A catalogue of messages, some with braces, that recognises what was made from them."""

    def __init__(self, catalogue: Mapping[str, str]) -> None:
        self._plain: dict[str, str] = {}
        self._made: list[_Pattern] = []
        for message, becomes in catalogue.items():
            if not becomes:
                continue
            if _BRACES.search(message) or "(s)" in message:
                self._made.append(_pattern(message.strip(), becomes.strip()))
            else:
                self._plain[message.strip()] = becomes.strip()
        self._made.sort(key=lambda p: (-p.weight, p.message))

    def said(
        self, text: str, *, names: Collection[str] = (), figure: Callable[[str], str] = str, depth: int = 0
    ) -> str:
        """A text in the other language; where it is not known, as it is and marked.

        Args:
            names: what the data call things; such a text is a name, whatever else it might mean.
            figure: how a number is written.
        """
        found = self._found(text, names, figure, depth)
        return english(text) if found is None else found

    def _found(
        self, text: str, names: Collection[str], figure: Callable[[str], str], depth: int
    ) -> str | None:
        text = text.strip()
        if not text or text in names:
            return text
        if _FIGURES.fullmatch(text):
            return figure(text)
        if len(text) > _LONGEST or depth > _DEEPEST:
            return None
        whole = self._whole(text, names, figure, depth)
        return self._one_by_one(text, names, figure, depth) if whole is None else whole

    def _whole(
        self, text: str, names: Collection[str], figure: Callable[[str], str], depth: int
    ) -> str | None:
        """A text that is one message; the pattern with most fixed letters that fits is taken."""
        if (known := self._exact(text)) is not None:
            return known
        for pattern in self._made:
            if all(part in text for part in pattern.fixed) and (match := pattern.expression.fullmatch(text)):
                inside = {
                    name: self._inside(match[i + 1] or "", names, figure, depth)
                    for i, name in enumerate(pattern.names)
                }
                return filled(pattern.becomes, inside)
        return None

    def _exact(self, text: str) -> str | None:
        for form in (text, text[:1].lower() + text[1:], text[:1].upper() + text[1:]):
            if form in self._plain:
                return self._plain[form]
        if text.endswith(".") and (known := self._plain.get(text[:-1])) is not None:
            return f"{known}。"
        return None

    def _inside(self, text: str, names: Collection[str], figure: Callable[[str], str], depth: int) -> str:
        found = self._found(text, names, figure, depth + 1)
        if found is not None:
            return found
        for between, becomes in (("; ", "；"), (", ", "、"), (" and ", "和")):
            pieces = text.split(between)
            if len(pieces) > 1:
                each = [self._found(piece, names, figure, depth + 1) for piece in pieces]
                if all(piece is not None for piece in each):
                    return Said.of(becomes, [piece or "" for piece in each])
        return english(text)

    def _one_by_one(
        self, text: str, names: Collection[str], figure: Callable[[str], str], depth: int
    ) -> str | None:
        """Several sentences, the longest known beginning first; those that are not known stay; none known is none."""
        cuts = [*(m.start() for m in _ENDS.finditer(text)), len(text)][:_MOST_SENTENCES]
        cuts[-1:] = [len(text)]
        out: list[str] = []
        begin, known = 0, False
        while begin < len(text):
            ends = [end for end in cuts if end > begin]
            for end in reversed(ends):
                whole = end - begin < len(text)
                found = self._whole(text[begin:end].strip(), names, figure, depth) if whole else None
                if found is not None:
                    known = True
                    break
            else:
                end = ends[0]
                found = english(text[begin:end].strip())
            out.append(found or "")
            begin = end
        return Said.of("", out) if known else None


def _pattern(message: str, becomes: str) -> _Pattern:
    names, expression, fixed = [], "", []
    at = 0
    for brace in _BRACES.finditer(message):
        literal = message[at : brace.start()]
        expression += _literal(literal) + "(.*?)"
        fixed += [part.strip() for part in literal.split("(s)") if part.strip()]
        names.append(brace[1])
        at = brace.end()
    expression += _literal(message[at:])
    fixed += [part.strip() for part in message[at:].split("(s)") if part.strip()]
    fixed.sort(key=len, reverse=True)
    # The first letter may have become a capital at the beginning of a sentence, and the stop may be left out.
    if expression[:1].isalpha():
        first = expression[0]
        expression = f"[{first.lower()}{first.upper()}]{expression[1:]}"
        fixed = [part[1:] if message.startswith(part) else part for part in fixed]
    compiled = re.compile(expression, re.DOTALL)
    return _Pattern(
        compiled, tuple(names), tuple(p for p in fixed if p), len("".join(fixed)), message, becomes
    )


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\(s\)", "s?")
