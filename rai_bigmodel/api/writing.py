"""Which verbs write what others read? The page, the card, the bill of materials, the overview, the gate's outputs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel import files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.files import PathLike
    from rai_bigmodel.rules import Verdict
    from rai_bigmodel.statements import Statements


def write_report(
    dossier: Dossier,
    verdict: Verdict | None = None,
    *,
    path: PathLike,
    statements: Statements | None = None,
    lang: str = "en",
) -> Path:
    """Write the page; without a verdict it says that nothing was judged.

    Args:
        lang: ``en`` or ``zh``.

    Raises:
        InputError: there is no catalogue for the language.
    """
    from rai_bigmodel.report.html import render

    path = Path(path)
    page = render(dossier, verdict, statements=statements, lang=lang)
    files.make_folder(path.parent)
    files.write_bytes(path, page)
    return path


def write_documents(
    dossier: Dossier,
    verdict: Verdict | None = None,
    *,
    statements: Statements | None = None,
    card: PathLike | None = None,
    bom: PathLike | None = None,
) -> None:
    """Write a model card in Markdown and a CycloneDX 1.6 ML-BOM from the same evidence; those asked for.

    Raises:
        InputError: a file cannot be written.
        MissingExtra: an ML-BOM is asked for and cyclonedx-python-lib is not installed.
    """
    _write_each({"card": card, "bom": bom}, dossier, verdict, statements=statements)


def read_statements(path: PathLike, dossier: Dossier, *, today: dt.date | None = None) -> Statements:
    """What people state about the subject of a dossier.

    Raises:
        InputError: the file cannot be used, a date lies ahead of today, a framework is not in the catalogue, or
            it is about another artefact.
    """
    from rai_bigmodel import statements
    from rai_bigmodel.controls import catalogue

    said = statements.read(path)
    day = today or dt.datetime.now(dt.UTC).date()
    statements.check(said, dossier, frameworks=catalogue.names(), today=day, where=str(path))
    return said


def write_index(folder: PathLike, *, lang: str = "en") -> Path:
    """Write ``folder/index.html``: all runs in the folder, newest first, and where their numbers are going.

    Args:
        folder: holds the folders of the runs.
        lang: ``en`` or ``zh``.

    Raises:
        InputError: the folder holds no run or cannot be written, or there is no such language.
    """
    from rai_bigmodel.report.html import render_index
    from rai_bigmodel.report.index import found

    path = Path(folder) / "index.html"
    files.write_bytes(path, render_index(found(folder), lang=lang))
    return path


def write_outputs(
    dossier: Dossier,
    verdict: Verdict,
    *,
    junit: PathLike | None = None,
    sarif: PathLike | None = None,
    markdown: PathLike | None = None,
) -> None:
    """Write a verdict for other programs: JUnit XML, SARIF 2.1.0, Markdown for a pull request; those asked for.

    Raises:
        InputError: a file cannot be written.
    """
    _write_each({"junit": junit, "sarif": sarif, "markdown": markdown}, verdict, dossier)


def _write_each(wanted: Mapping[str, PathLike | None], *told: Any, **more: Any) -> None:
    """Write each document that has a path, by the function in ``report`` of its name, once all could be made."""
    import importlib

    made = []
    for name, path in wanted.items():
        if path is not None:
            write = getattr(importlib.import_module(f"rai_bigmodel.report.{name}"), name)
            made.append((Path(path), write(*told, **more)))
    for path, content in made:
        files.make_folder(path.parent)
        files.write_bytes(path, content)
