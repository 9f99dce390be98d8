"""Brings the catalogues up to what the code says: ``make messages``. What is still empty is printed.

New messages are added to each language, and what is filled in is compiled. What the page says no more is dropped;
what evidence said once stays, because older evidence still says it. To fill: write the ``msgstr`` of each empty
message into the ``.po`` file, and call it again.
"""

from __future__ import annotations

import configparser
import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).resolve().parents[2] / "rai_bigmodel"
LOCALES = PACKAGE / "report" / "locales"
ONCE = "Older evidence says this."
DOMAINS = ("page", "evidence")


def said(domain: str) -> Catalog:
    """Every message that the code can say in this domain, read off the source."""
    config = configparser.ConfigParser()
    config.read(LOCALES / f"{domain}.cfg", encoding="utf-8")
    extractors = dict(config["extractors"])
    methods, options = [], {}
    for section in config.sections():
        kind, _, pattern = section.partition(": ")
        if pattern:
            methods.append((pattern, extractors.get(kind, kind)))
            options[pattern] = dict(config[section])
    found = Catalog()
    for name, _line, message, comments, context in extract_from_dir(PACKAGE, methods, options):
        found.add(message, None, [(name, 1)], auto_comments=comments, context=context)
    return found


def catalogues() -> list[tuple[str, Path]]:
    """Each domain and language there is."""
    return [(d, po) for d in DOMAINS for po in sorted(LOCALES.glob(f"*/LC_MESSAGES/{d}.po"))]


def read(po: Path) -> Catalog:
    """A catalogue as it is written."""
    with po.open("rb") as file:
        return read_po(file)


def compiled(catalogue: Catalog) -> bytes:
    """A catalogue as the page reads it; without the moment it was made, so that the bytes stay the same."""
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def empty(catalogue: Catalog) -> list[Message]:
    """The messages that nobody has translated."""
    return [
        m
        for m in catalogue
        if m.id and not (all(m.string) if isinstance(m.string, tuple | list) else (m.string or "").strip())
    ]


def main() -> int:
    """Update, compile, and say what is left to do."""
    left = 0
    for domain, po in catalogues():
        catalogue = read(po)
        catalogue.update(said(domain), no_fuzzy_matching=True, update_creation_date=False)
        for message in list(catalogue.obsolete.values()) if domain == "evidence" else ():
            if message.string:
                catalogue.add(message.id, message.string, auto_comments=[ONCE])
        with po.open("wb") as file:
            write_po(file, catalogue, width=0, sort_by_file=True, ignore_obsolete=True, include_lineno=False)
        po.with_suffix(".mo").write_bytes(compiled(read(po)))
        for message in empty(catalogue):
            where = ", ".join(dict.fromkeys(name for name, _ in message.locations))
            print(  # noqa: T201 - it is a command
                f"{po.relative_to(LOCALES)}: {message.id!r} ({where})"
            )
            left += 1
    print(f"{left} messages are to be translated.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
