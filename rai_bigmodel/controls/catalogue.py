"""What do regulations, standards and guidelines ask, in our words, and which measurements are evidence?

No entry was checked against its primary text, and none says that it was. The catalogue helps to find what is
relevant; it is no legal advice, and nothing in it says that anything complies.
"""

from __future__ import annotations

import datetime as dt
import difflib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Literal

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record

if TYPE_CHECKING:
    from rai_bigmodel.statements import About

Status = Literal["verified", "secondary", "unverified"]

STALE_AFTER = 365
"""Days after which an entry is to be looked at again."""


class AppliesTo(Record):
    """The uses, places and kinds of model that an entry is about; none means every one."""

    use: tuple[str, ...] = ()
    jurisdiction: tuple[str, ...] = ()
    model_kind: tuple[Literal["predictive", "generative", "general-purpose"], ...] = ()


class Control(Record):
    """One thing that is asked.

    Args:
        id: within its framework; a policy names it ``framework/id``.
        asks: in our words, never those of the text.
        evidence: names of metrics that are evidence.
        statements: ids of what only people can state.
        as_of: the day up to which sources were read.
        source: where it was read.
        status: ``verified`` against the primary text, read in a ``secondary`` source, or ``unverified``.
    """

    id: str
    title: str
    asks: str
    as_of: str
    source: str
    status: Status
    evidence: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    applies_to: AppliesTo = AppliesTo()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.evidence or self.statements):
            msg = f"{self.id}: neither evidence nor statements: nothing could ever be said about it"
            raise ValueError(msg)
        for name in ("title", "asks", "source"):
            if not getattr(self, name).strip():
                msg = f"{self.id}: {name} must not be empty"
                raise ValueError(msg)
        dt.date.fromisoformat(self.as_of)

    def stale(self, today: dt.date) -> bool:
        """Whether its sources were read more than a year ago."""
        return (today - dt.date.fromisoformat(self.as_of)).days > STALE_AFTER

    def applies(self, about: About) -> bool:
        """Whether it can be about such a model; what is not said leaves nothing out."""
        pairs = (
            (self.applies_to.use, about.use),
            (self.applies_to.jurisdiction, about.jurisdiction),
            (self.applies_to.model_kind, about.model_kind),
        )
        return all(not mine or not theirs or set(mine) & set(theirs) for mine, theirs in pairs)


class Framework(Record):
    """A regulation, standard or guideline, and what of it is in the catalogue."""

    framework: str
    title: str
    controls: tuple[Control, ...]
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        ids = [control.id for control in self.controls]
        if twice := {i for i in ids if ids.count(i) > 1}:
            msg = f"two controls have the id {min(twice)!r}"
            raise ValueError(msg)


@cache
def names() -> tuple[str, ...]:
    """The frameworks there are."""
    package = resources.files("rai_bigmodel.controls")
    found = (entry.name for entry in package.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


@cache
def framework(name: str) -> Framework:
    """One framework of the catalogue.

    Raises:
        InputError: there is none of this name; the message has the nearest.
    """
    if name not in names():
        what = "framework"
        raise InputError.unknown(what, name, names())
    package = resources.files("rai_bigmodel.controls")
    content = package.joinpath(f"{name}.yaml").read_bytes()
    return files.parse_yaml(content, Framework, where=f"{name}.yaml")


def ids(name: str = "") -> tuple[str, ...]:
    """Every ``framework/id`` of the catalogue, or of one framework."""
    chosen = (name,) if name else names()
    return tuple(f"{one}/{control.id}" for one in chosen for control in framework(one).controls)


def nearest(control: str) -> list[str]:
    """Up to three ids that look like one that the catalogue does not have."""
    place = control.partition("/")[0]
    if place in names():
        close = difflib.get_close_matches(control, ids(place), n=3, cutoff=0.5)
        return close or list(ids(place)[:3])
    return difflib.get_close_matches(control, ids(), n=3, cutoff=0.5)


def told(whole: Framework) -> list[str]:
    """A framework as lines of text."""
    out = [whole.title, *([whole.note] if whole.note else [])]
    for control in whole.controls:
        out += [
            "",
            f"{whole.framework}/{control.id}  {control.title}",
            f"  asks: {control.asks}",
            *([f"  evidence: {', '.join(control.evidence)}"] if control.evidence else []),
            *([f"  statements: {', '.join(control.statements)}"] if control.statements else []),
            f"  {control.status}, {control.as_of}: {control.source}",
        ]
    return out
