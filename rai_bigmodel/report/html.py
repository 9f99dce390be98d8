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
from markupsafe import Markup, escape

from rai_bigmodel.files import canonical_json, parse_json, visible
from rai_bigmodel.report.index import Found, index
from rai_bigmodel.report.language import SOURCE, _, current, speaking, with_percent
from rai_bigmodel.report.page import page
from rai_bigmodel.report.patterns import Said, filled, parts_of
from rai_bigmodel.report.phrases import is_place

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Verdict
    from rai_bigmodel.statements import Statements

R = TypeVar("R")


def render(
    dossier: Dossier, verdict: Verdict | None, *, statements: Statements | None = None, lang: str = SOURCE
) -> bytes:
    """The report of a dossier as one HTML file, in UTF-8.

    Without a verdict the page says that nothing was judged, and has no ``data-verdict``. What people stated
    stands on it where `statements` are given, with what is missing.

    Raises:
        InputError: there is no catalogue for the language.
    """
    dossier = _as_read(dossier)
    verdict = None if verdict is None else _as_read(verdict)
    statements = None if statements is None else _as_read(statements)
    with speaking(lang, names=_names(dossier)):
        return _filled("page.html", page=page(dossier, verdict, statements=statements))


def _names(dossier: Dossier) -> frozenset[str]:
    """What the data call things: groups, columns, classes, files. No catalogue may take such a name for a word."""
    made = dossier.manifest.evidence
    found = {s.name for s in made.subjects}
    found |= {
        label for s in made.subjects if s.decision for label in (*s.decision.labels, s.decision.positive)
    }
    for evidence in dossier.evidence:
        for m in evidence.measurements:
            found |= {v for k, v in m.labels.items() if k in _FROM_DATA and not is_place(v)}
    return frozenset(found)


_FROM_DATA = ("attribute", "group", "high", "low", "to", "feature", "class", "given", "canary", "against")


def render_index(found: Found, *, lang: str = SOURCE) -> bytes:
    """The overview of a folder of runs as one HTML file, in UTF-8.

    Raises:
        InputError: there is no catalogue for the language.
    """
    names = {found.folder}.union(*({run.folder.name, *_names(run.dossier)} for run in found.runs))
    with speaking(lang, names=names):
        return _filled("index.html", index=index(found))


def _filled(template: str, **words: object) -> bytes:
    """A template with its words, the one style sheet, and a policy that allows nothing else."""
    environment = _environment()
    style = _source(environment, "page.css")
    policy = (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    tag = current().tag
    page = environment.get_template(template).render(style=style, policy=policy, tag=tag, **words)
    return page.encode("utf-8")


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
    environment.globals["_"] = _
    environment.filters["plain"] = lambda text: "".join(part for part, _english in parts_of(text))
    environment.filters["format_said"] = lambda text, **parts: filled(text, parts)
    return environment


def _finalized(value: object) -> object:
    """Hidden characters of anything printed are made visible, and a number stays with its per cent sign.

    What is left in English on a page of another language is marked, so that it is read aloud as English.
    """
    if isinstance(value, Said):
        english = Markup('<span lang="en">{}</span>')
        return Markup("").join(english.format(_shown(p)) if left else _shown(p) for p, left in value.parts)
    if hasattr(value, "__html__") or not isinstance(value, str):
        return value
    return with_percent(visible(value))


def _shown(text: str) -> Markup:
    return escape(with_percent(visible(text)))


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0].strip()


def _hash(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
