"""How does the page come about? One template, filled with words; pure: the same dossier, the same bytes.

The page is one file without a script. Its Content-Security-Policy allows its own style sheet, by hash, and
pictures inside the page, and nothing else. Everything from the data is escaped, and hidden characters in it
are written out, by one place here (`_finalized`) for text and by `charts` for pictures.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, TypeVar

import jinja2

from rai_bigmodel.files import canonical_json, parse_json, visible
from rai_bigmodel.report.page import page

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.report.index import Index
    from rai_bigmodel.rules import Verdict
    from rai_bigmodel.statements import Statements

R = TypeVar("R")


def render(dossier: Dossier, verdict: Verdict | None, *, statements: Statements | None = None) -> bytes:
    """The report of a dossier as one HTML file, in UTF-8.

    Without a verdict the page says that nothing was judged, and has no ``data-verdict``. What people stated
    stands on it where `statements` are given, with what is missing.
    """
    dossier = _as_read(dossier)
    verdict = None if verdict is None else _as_read(verdict)
    statements = None if statements is None else _as_read(statements)
    return _filled("page.html", page=page(dossier, verdict, statements=statements))


def render_index(runs: Index) -> bytes:
    """The overview of a folder of runs as one HTML file, in UTF-8."""
    return _filled("index.html", index=runs)


def _filled(template: str, **words: object) -> bytes:
    """A template with its words, the one style sheet, and a policy that allows nothing else."""
    environment = _environment()
    style = _source(environment, "page.css")
    policy = (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(style=style, policy=policy, **words).encode("utf-8")


def _as_read(record: R) -> R:
    """The record as it would come back from its file: mappings in the one order that files have.

    Otherwise labels would stand in the order in which an audit named them, and a page made in the run would
    differ from one made later.
    """
    return parse_json(canonical_json(record), type(record), where="the dossier in memory")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rai_bigmodel.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    # The page's sentences go through _ so that a catalogue can take its place.
    environment.globals["_"] = str
    return environment


def _finalized(value: object) -> object:
    """Hidden characters of anything printed are made visible, and a number stays with its per cent sign."""
    if hasattr(value, "__html__") or not isinstance(value, str):
        return value
    return visible(value).replace(" %", "\u00a0%")


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0].strip()


def _hash(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
