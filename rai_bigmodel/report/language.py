"""In which language does the page speak? Catalogues of gettext, and numbers and dates as its readers write them.

English is what the code says; any other language is a folder of `locales`: ``page`` holds what the page itself says,
``evidence`` what audits, policies and catalogues have said before (`patterns`). The language is a context variable,
so that the many small functions that word a page need not hand it on; `speaking` alone sets it.
"""

from __future__ import annotations

import gettext
import re
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel import words
from rai_bigmodel.errors import InputError
from rai_bigmodel.report.patterns import Patterns, Reader, Said, filled

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterator, Sequence

SOURCE = "en"
LOCALES = Path(__file__).parent / "locales"


class Language(NamedTuple):
    """One language: `name` as ``--lang`` has it, `tag` as HTML has it, and its two catalogues.

    ``decimal`` and ``group`` are the marks in its numbers, ``percent`` what stands before the per cent sign.
    """

    name: str
    tag: str
    page: gettext.NullTranslations
    patterns: Patterns
    decimal: str = "."
    group: str = ","
    percent: str = "\u00a0"


class _Speech(NamedTuple):
    """What is being spoken, and who reads what was said in English."""

    language: Language
    reader: Reader


_ENGLISH = Language(SOURCE, SOURCE, gettext.NullTranslations(), Patterns({}, (), {}))
_CURRENT: ContextVar[_Speech | None] = ContextVar("speech", default=None)


def languages() -> tuple[str, ...]:
    """Every language there is: English, and one for each folder of catalogues."""
    return (SOURCE, *sorted(_folders()))


def _folders() -> dict[str, str]:
    return {path.name.partition("_")[0]: path.name for path in sorted(LOCALES.glob("*_*")) if path.is_dir()}


@cache
def language(name: str) -> Language:
    """A language by its name, ``zh``.

    Raises:
        InputError: there is no catalogue for it.
    """
    if name == SOURCE:
        return _ENGLISH
    if name not in _folders():
        what = "lang"
        raise InputError.unknown(what, name, languages())
    from babel import Locale
    from babel.numbers import get_decimal_symbol, get_group_symbol

    folder = _folders()[name]
    locale = Locale.parse(folder)
    page, evidence = (gettext.translation(d, LOCALES, [folder]) for d in ("page", "evidence"))
    apart = "\u00a0" if "\u00a0" in locale.percent_formats[None].pattern else ""
    known = _messages(evidence)
    said = known | _messages(page) | known  # of two patterns that look alike, that of evidence is tried first
    return Language(
        name,
        folder.replace("_", "-"),
        page,
        Patterns.of(said),
        get_decimal_symbol(locale),
        get_group_symbol(locale),
        apart,
    )


def _messages(catalogue: gettext.NullTranslations) -> dict[str, str]:
    found: dict[object, str] = vars(catalogue)["_catalog"]
    return {message: said for message, said in found.items() if isinstance(message, str) and message}


def language_of(page: bytes) -> str:
    """The language that a page of ours says it is in; English where it says none that there is."""
    named = re.search(rb'<html lang="([A-Za-z]+)', page[:200])
    name = named[1].decode() if named else SOURCE
    return name if name in languages() else SOURCE


@contextmanager
def speaking(name: str, *, names: Collection[str] = ()) -> Iterator[Language]:
    """Speak a language; `names` are the names in the data, which stay as they are."""
    spoken_in = language(name)
    token = _CURRENT.set(_Speech(spoken_in, Reader(spoken_in.patterns, names=names, figure=figure)))
    try:
        yield current()
    finally:
        _CURRENT.reset(token)


def current() -> Language:
    """The language that is spoken."""
    speech = _CURRENT.get()
    return _ENGLISH if speech is None else speech.language


def _(message: str) -> str:
    """What the page says, in its language."""
    return current().page.gettext(message) if message else ""


def n_(one: str, many: str, count: int) -> str:
    """The same of a number of things; ``{count}`` is filled in."""
    return current().page.ngettext(one, many, count).format(count=counted(count))


def say(message: str, **parts: object) -> str:
    """What the page says, with its braces filled; what is in English in a page of another language stays marked."""
    return filled(_(message), parts)


def spoken(text: str) -> str:
    """What evidence, a verdict or a catalogue has said in English, in the language of the page.

    A sentence that no catalogue knows (a plugin's, a person's) stays as it is and is marked as English.
    """
    speech = _CURRENT.get()
    if speech is None or speech.language.name == SOURCE or not text:
        return text
    return speech.reader.said(text)


def listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    *most, last = parts or [""]
    if not most:
        return last
    return say("{parts} and {last}", parts=apart(most), last=last)


def apart(parts: Sequence[str]) -> str:
    """``a, b, c``."""
    return Said.of(_(", "), parts)


def side_by_side(parts: Sequence[str]) -> str:
    """Two or more with nothing but *and* between them."""
    return Said.of(_(" and "), parts)


# --- numbers and dates ---------------------------------------------------------------------------

_FIGURE = re.compile(r"[-−]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?( %)?")


def figure(text: str) -> str:
    """A number that `words` has written, with the marks of the language."""
    spoken_in = current()
    if (spoken_in.decimal, spoken_in.group) != (".", ","):
        marks = {".": spoken_in.decimal, ",": spoken_in.group}
        text = "".join(marks.get(c, c) for c in text) if _FIGURE.fullmatch(text) else text
    return text


def number(value: float | None, *, beside: float | None = None, digits: int = 3) -> str:
    """`words.number`, as the language writes it."""
    text = words.number(value, beside=beside, digits=digits)
    return _("unbounded") if value is None else figure(text)


def percent(share: float, *, beside: float | None = None) -> str:
    """`words.percent`, as the language writes it."""
    return figure(words.percent(share, beside=beside))


def with_percent(text: str) -> str:
    """A text in which a number stays with its per cent sign, as the language sets it."""
    return text.replace(" %", f"{current().percent}%")


def counted(count: int) -> str:
    """A whole number: ``1,234``."""
    return figure(f"{count:,}")


def rows_said(count: int) -> str:
    """``796 rows``."""
    return n_("{count} row", "{count} rows", count)


def day(date: dt.date) -> str:
    """A day as the language writes it: ``28 November 2026``."""
    from babel.dates import format_date

    if current().name == SOURCE:
        return format_date(date, "d MMMM y", locale=SOURCE)
    return format_date(date, "long", locale=current().tag.replace("-", "_"))
