"""Which names in the data look like one another to a reader, and are not the same?

Groups are counted by their exact text, so "A" and the wide "Ａ", or a Latin and a Cyrillic "a", are two groups. That
may be meant or a fault of entry; nobody can see it on a page, so it is said.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rai_bigmodel.dossier import Dossier

_LIKE_LATIN = str.maketrans("асеорхуіјѕԁһӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανι", "aceopxyijsdhlABEZHIKMNOPTYXoavi")


def skeleton(name: str) -> str:
    """What a reader sees of a name: compatible forms, blanks, marks without width and likenesses put aside."""
    shown = "".join(
        c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) not in {"Cf", "Mn"}
    )
    return " ".join(shown.translate(_LIKE_LATIN).split())


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The names that look alike, each set in order."""
    seen: dict[str, set[str]] = {}
    for name in names:
        seen.setdefault(skeleton(name), set()).add(name)
    return [tuple(sorted(same)) for _, same in sorted(seen.items()) if len(same) > 1]


def of_dossier(dossier: Dossier) -> list[tuple[str, tuple[str, ...]]]:
    """Each attribute with groups of it that look alike; names of attributes and features among themselves under ""."""
    groups: dict[str, set[str]] = {"": set()}
    for evidence in dossier.evidence:
        for m in evidence.measurements:
            if "group" in m.labels and "attribute" in m.labels and "*" not in m.labels["attribute"]:
                groups.setdefault(m.labels["attribute"], set()).add(m.labels["group"])
            groups[""] |= {m.labels[key] for key in ("attribute", "feature") if key in m.labels}
    return [(attribute, same) for attribute in sorted(groups) for same in alike(groups[attribute])]
