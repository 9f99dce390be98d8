"""How is a text written that others will read: names, digests, JSON with one form, hidden characters made visible?"""

from __future__ import annotations

import hashlib
import os
import re

import msgspec

PathLike = str | os.PathLike[str]
"""How a file or folder is named."""


def visible(text: str) -> str:
    """One line in which control, bidirectional and zero-width characters are written as escapes."""
    return "".join(c if _plain(c) else c.encode("unicode_escape").decode("ascii") for c in text)


_HIDDEN = frozenset(
    [
        *(*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x61C, 0xFEFF, 0x180E),
        *(*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070)),
        *(*range(0xD800, 0xE000), *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080)),
    ]
)


def _plain(character: str) -> bool:
    return ord(character) not in _HIDDEN


def canonical_json(record: object) -> bytes:
    """The one JSON text of a record: sorted keys, no spaces, a newline at the end."""
    return msgspec.json.encode(record, order="sorted") + b"\n"


def digest(content: bytes) -> str:
    """``sha256:`` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def slug(name: str) -> str:
    """A file name made of letters, digits, ``_``, ``-`` and ``.``; what had to go is told apart by a hash."""
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:60].strip("-.")
    reserved = bool(re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)$", kept.split(".")[0]))
    if kept and kept == name and not reserved:
        return kept
    return f"{'_' * reserved}{kept or 'unnamed'}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
