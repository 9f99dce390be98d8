"""How are the methods behind intervals called? Their authors are written as in prose."""

from __future__ import annotations

import re

from rai_bigmodel.report.language import spoken
from rai_bigmodel.report.patterns import Said
from rai_bigmodel.report.phrases import prose

_PROPER = {
    **{name: name.capitalize() for name in ("clopper", "pearson", "newcombe", "wilson", "student", "welch")},
    **{name: name.capitalize() for name in ("tango", "tukey", "bonferroni", "mantel", "haenszel", "sato")},
    "delong": "DeLong",
    "mover": "MOVER",
    "bca": "BCa",
    "šidák": "Šidák",
}
"""Names of people and of methods in the names of intervals, as they are written in prose."""


def method_words(method: str) -> str:
    """The name of a method as it is read: ``delong, newcombe`` is DeLong, Newcombe."""
    text = spoken(prose(method))
    if isinstance(text, Said):
        return text
    words = re.sub(r"[^\W\d_]+", lambda word: _PROPER.get(word[0], word[0]), text)
    words = re.sub(r"(?<=[a-z])-(?=[A-Z])", "–", words)
    return words.replace("Student-t", "Student's t").replace("MOVER-r", "MOVER-R")
