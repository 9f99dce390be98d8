"""How are the methods behind intervals called? Their authors are written as in prose, and each is named once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rai_bigmodel.report.language import _, spoken
from rai_bigmodel.report.patterns import Said
from rai_bigmodel.report.phrases import prose

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROPER = {
    **{name: name.capitalize() for name in ("clopper", "pearson", "newcombe", "wilson", "student", "welch")},
    **{name: name.capitalize() for name in ("tango", "tukey", "bonferroni", "mantel", "haenszel", "sato")},
    "delong": "DeLong",
    "mover": "MOVER",
    "šidák": "Šidák",
}
"""Names of people and of methods in the names of intervals, as they are written in prose."""


def method_words(methods: Iterable[str]) -> list[str]:
    """The names of methods as they are read: ``delong, newcombe`` are two, each once."""
    found: dict[str, None] = {}
    for method in sorted(methods):
        said = spoken(prose(method))
        parts = [said] if isinstance(said, Said) else said.split(", " if said == prose(method) else _(", "))
        found.update(dict.fromkeys(_proper(part) for part in parts))
    return list(found)


def _proper(text: str) -> str:
    if isinstance(text, Said):
        return text
    words = re.sub(r"[^\W\d_]+", lambda word: _PROPER.get(word[0], word[0]), text)
    words = re.sub(r"(?<=[a-z])-(?=[A-Z])", "–", words)
    return words.replace("Student-t", "Student's t").replace("MOVER-r", "MOVER-R")
