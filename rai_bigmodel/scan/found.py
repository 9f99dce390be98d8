"""What a reader of one format hands back: a kind, what is wrong, and which other files the file leans on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

MAX_FINDINGS = 50
"""A file with more faults than that is described well enough."""


class Fault(NamedTuple):
    """One thing that is wrong.

    Args:
        code: its name, for programs.
        at: the member, tensor or node it was seen at; empty for the whole file.
        why: what was seen and why that is not safe.
    """

    code: str
    at: str
    why: str


class Elsewhere(NamedTuple):
    """Weights that an ONNX file keeps in another file."""

    tensor: str
    location: str
    offset: int
    length: int


@dataclass
class Seen:
    """What has been seen so far of one file; readers add to it."""

    kind: str = "unknown"
    faults: list[Fault] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)

    def fault(self, code: str, at: str, why: str) -> None:
        """Add a fault, once, and no more than a reader can use."""
        one = Fault(code, at[:200], why[:600])
        if len(self.faults) < MAX_FINDINGS and one not in self.faults:
            self.faults.append(one)


class Malformed(ValueError):
    """The bytes are not what their format says; the reader stops there."""
