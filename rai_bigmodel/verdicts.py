"""What does ``verdict.json`` hold? The rulings, what they are rulings about, and all that is needed to judge again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.rules import Attempts, Policy, Ruling, Verdict, Waiver

if TYPE_CHECKING:
    import os

    from rai_bigmodel.dossier import Dossier

NAME = "verdict.json"
FORMAT = 2
"""2 where the policy is marked as exploratory, which older readers do not know; 1 otherwise."""


class VerdictFile(Record):
    """A verdict and the digests of what it is about.

    Args:
        waivers_digest: of all waivers that were handed in; empty where there were none.
        judged_on: the day, from which ages and waivers count.
        pinned: the digest the primary subject had to have.
        baseline: the digest of the manifest that changes were taken from.
    """

    outcome: str
    headline: str
    policy: Policy
    policy_digest: str
    manifest_digest: str
    subject_digest: str
    rulings: tuple[Ruling, ...]
    waivers: tuple[Waiver, ...] = ()
    waivers_digest: str = ""
    attempts: Attempts | None = None
    judged_on: str = ""
    pinned: str = ""
    baseline: str = ""
    format: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.format <= FORMAT:
            msg = f"format {self.format} is not one this version reads (1 to {FORMAT})"
            raise ValueError(msg)


def verdict_file(dossier: Dossier, verdict: Verdict) -> VerdictFile:
    """A verdict as its file has it."""
    primary = dossier.manifest.primary
    return VerdictFile(
        outcome=verdict.outcome,
        headline=verdict.headline,
        policy=verdict.policy,
        policy_digest=verdict.policy.digest,
        manifest_digest=dossier.manifest.digest,
        subject_digest=primary.digest if primary else "",
        rulings=verdict.rulings,
        waivers=verdict.waivers,
        waivers_digest=files.digest(files.canonical_json(verdict.waivers)) if verdict.waivers else "",
        attempts=verdict.attempts,
        judged_on=verdict.judged_on,
        pinned=verdict.pinned,
        baseline=verdict.baseline,
        format=2 if verdict.attempts is not None and verdict.attempts.otherwise else 1,
    )


def as_recorded(dossier: Dossier, verdict: Verdict, folder: str | os.PathLike[str]) -> Verdict:
    """A verdict as ``verdict.json`` has it, where judging again came to the same rulings.

    How often the rows were used is then told as of the day it was judged: other runs may have been counted since,
    and a page that tells their number would not be the page of this verdict.
    """
    path = Path(folder) / NAME
    try:
        said = files.parse_json(files.read_bytes(path), VerdictFile, where=str(path))
    except InputError:
        return verdict
    then = msgspec.structs.replace(
        verdict, attempts=said.attempts, judged_on=said.judged_on, pinned=said.pinned
    )
    return then if verdict_file(dossier, then) == said else verdict


def save(dossier: Dossier, verdict: Verdict, folder: str | os.PathLike[str]) -> Path:
    """Write ``verdict.json`` into the folder of the evidence."""
    path = Path(folder) / NAME
    files.write_bytes(path, files.canonical_json(verdict_file(dossier, verdict)))
    return path
