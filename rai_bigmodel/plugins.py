"""Which audits are installed, and how is one loaded by name? Through one door, ours like anybody's.

An audit is a frozen ``msgspec.Struct``: its fields are its parameters, ``question`` and ``needs`` are class
attributes, and a call gives `Findings`. A package declares it under the entry-point group
``rai_bigmodel.audits``. Listing reads package metadata and imports nothing; loading imports that one file.
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import msgspec

from rai_bigmodel import files
from rai_bigmodel.errors import InputError, RaiError
from rai_bigmodel.evidence import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from rai_bigmodel.evidence import Findings
    from rai_bigmodel.subject import Splits, Subject

GROUP = "rai_bigmodel.audits"

NEEDS = ("predict", "module", "refit", "train")
"""What an audit may ask for: scores, the network itself, training it again, the rows it was trained on."""


class Audit(Protocol):
    """One question that can be put to a subject on some rows.

    An audit that compares the subject with its relatives, or looks at the rows alone, says so with the class
    attribute ``primary_only = True``: it is then not repeated for each relative. One that looks at training rows says
    ``reads_training = True``: its evidence then tells where nobody knows whether they are the subject's own.
    """

    question: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator, /) -> Findings:
        """What was found; randomness comes from `rng` alone."""
        ...


class Installed(Record):
    """An audit that some installed package declares."""

    name: str
    distribution: str
    version: str
    target: str


def installed() -> dict[str, Installed]:
    """Name → audit, in the order of the names; nothing is imported.

    A distribution that stands on ``sys.path`` twice counts once, as it does for ``import``.

    Raises:
        InputError: two packages declare an audit of one name.
    """
    found: dict[str, Installed] = {}
    for distribution, version, entry in _declared():
        there = Installed(name=entry.name, distribution=distribution, version=version, target=entry.value)
        other = found.setdefault(there.name, there)
        if other != there:
            msg = (
                f"two packages bring an audit named {there.name!r}: {_origin(other)} and {_origin(there)}; "
                "uninstall one of them"
            )
            raise InputError(msg)
    return dict(sorted(found.items()))


def _declared() -> Iterator[tuple[str, str, metadata.EntryPoint]]:
    """Name and version of each distribution that declares audits, with each of these; the first of one name counts."""
    seen: set[str] = set()
    for distribution in metadata.distributions():
        if not files.mentions(distribution, GROUP):
            continue
        name, version = files.name_and_version(distribution)
        plain = re.sub(r"[-_.]+", "-", name).lower()
        if plain in seen:
            continue
        seen.add(plain)
        for entry in distribution.entry_points:
            if entry.group == GROUP:
                yield name, version, entry


def version_of(package: str) -> str:
    """The version of an installed distribution; empty where there is none."""
    try:
        return files.name_and_version(metadata.distribution(package))[1]
    except metadata.PackageNotFoundError:
        return ""


def load(
    name: str,
    params: Mapping[str, Any] | None = None,
    *,
    where: str = "",
    at: str = "",
    known: Mapping[str, Installed] | None = None,
) -> Audit:
    """One audit, made from its parameters; only its own file is imported.

    Args:
        where: the file that the parameters came from, for messages.
        at: their path in it; ``$.audits.NAME`` unless said otherwise.
        known: what `installed` gave, for a caller that asks for several.

    Raises:
        InputError: no such audit, a parameter that it does not have or of a wrong type (with its path),
            or an audit that breaks the rules of this door (with the package it comes from).
    """
    at = at or f"$.audits.{name}"
    known = installed() if known is None else known
    if name not in known:
        raise InputError.unknown(f"{where}: {at}" if where else at, name, known)
    kind = _kind(known[name])
    given = dict(params or {})
    # Asked here and not of msgspec, which only looks when the author remembered forbid_unknown_fields.
    for key in given:
        if key not in kind.__struct_encode_fields__:
            path = f"{where}: {at}.{key}" if where else f"{at}.{key}"
            raise InputError.unknown(files.visible(path), key, kind.__struct_encode_fields__)
    return cast("Audit", files.convert(given, kind, where=where, at=at))


def _kind(there: Installed) -> type[msgspec.Struct]:
    """The class behind a name, checked against the rules of this door."""
    said = f"the audit {there.name!r} of {_origin(there)}"
    if not re.fullmatch(r"[a-z0-9_]+", there.name):
        msg = f"{said}: its name must be made of a–z, 0–9 and _, because its metrics begin with it"
        raise InputError(msg)
    try:
        kind = metadata.EntryPoint(name=there.name, value=there.target, group=GROUP).load()
    except RaiError:
        raise
    except Exception as error:
        msg = f"{said} cannot be imported ({type(error).__name__}: {files.visible(str(error))})"
        raise InputError(msg) from error
    if broken := problem(kind):
        msg = f"{said} ({there.target}) {broken}"
        raise InputError(msg)
    return cast("type[msgspec.Struct]", kind)


def problem(kind: object) -> str:
    """The first rule of this door that a class breaks, in words; empty when it keeps them all."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return "must be a class made from msgspec.Struct"
    if not kind.__struct_config__.frozen:
        return "must be frozen: class …(msgspec.Struct, frozen=True)"
    question, needs = getattr(kind, "question", None), getattr(kind, "needs", None)
    if not isinstance(question, str) or not question.strip():
        return "must have the class attribute question: ClassVar[str], the question it answers"
    if not isinstance(needs, tuple) or not set(needs) <= set(NEEDS):
        return (
            f"must have the class attribute needs: ClassVar[tuple[str, …]], some of {', '.join(NEEDS)}; "
            f"got {needs!r}"
        )
    if not any("__call__" in vars(one) for one in kind.__mro__):
        return "must be callable: def __call__(self, subject, data, rng) -> Findings"
    return ""


def _origin(there: Installed) -> str:
    return f"{there.distribution} {there.version}"
