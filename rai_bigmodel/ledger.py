"""How often were these rows used? Every audit and every gate leaves a line, and each line holds on to the one before.

``ledger.jsonl`` lies in the folder that holds the folders of evidence. A model that is trained again until the gate
is green leaves its failures there. Lines that were changed or taken out of the middle break the chain; a file
that was deleted as a whole, or cut at its end, does not show: for that it must be kept where its user cannot write.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.rules import Attempts

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Verdict

NAME = "ledger.jsonl"


class Entry(Record):
    """One use of some rows.

    Args:
        run: the digest that names the run of audits.
        rows: the digest of the held-out rows.
        policy, policy_digest, outcome: of a gate; empty for an audit.
        previous: the digest of the line before; empty in the first.
    """

    time: str
    did: Literal["audit", "gate"]
    run: str
    rows: str
    subject: str
    policy: str = ""
    policy_digest: str = ""
    outcome: str = ""
    previous: str = ""


def beside(folder: str | os.PathLike[str]) -> Path:
    """Where the ledger of a folder of evidence lies."""
    return Path(folder).resolve().parent / NAME


def read(path: str | os.PathLike[str]) -> tuple[Entry, ...]:
    """All entries, oldest first; none where there is no ledger.

    Raises:
        InputError: a line does not follow from the one before it, or is no entry.
    """
    if not Path(path).exists():
        return ()
    return tuple(_entries(files.read_bytes(path), str(path)))


def _entries(content: bytes, where: str) -> Iterable[Entry]:
    previous = ""
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        entry = files.parse_json(line, Entry, where=f"{where}: line {number}")
        if entry.previous != previous:
            msg = f"{where}: line {number} does not follow from the one before it: the ledger was changed"
            raise InputError(msg)
        previous = files.digest(line)
        yield entry


def append(dossier: Dossier, folder: str | os.PathLike[str], *, verdict: Verdict | None = None) -> None:
    """Add what was done with a dossier: an audit, or with a verdict a gate.

    Raises:
        InputError: the ledger cannot be written, or was changed.
    """
    path = beside(folder)
    with files.appending(path) as (content, write):
        last = content.splitlines(keepends=True)[-1:]
        tuple(_entries(content, str(path)))
        entry = Entry(
            time=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            did="audit" if verdict is None else "gate",
            run=dossier.manifest.run,
            rows=rows_of(dossier),
            subject=dossier.manifest.primary.digest if dossier.manifest.primary else "",
            policy=verdict.policy.name if verdict else "",
            policy_digest=verdict.policy.digest if verdict else "",
            outcome=verdict.outcome if verdict else "",
            previous=files.digest(last[0]) if last else "",
        )
        write(files.canonical_json(entry))


def audits(entries: Sequence[Entry], dossier: Dossier) -> int:
    """How many lines tell of an audit on the rows of a dossier."""
    rows = rows_of(dossier)
    return sum(e.did == "audit" and e.rows == rows for e in entries)


def attempts(entries: Sequence[Entry], dossier: Dossier, *, policy: str, digest: str = "") -> Attempts:
    """Which run of a policy on its rows a dossier is, counting each run once however often it is judged.

    Args:
        policy, digest: its name, and the digest of what it says now. Other texts of that name that were judged on
            these rows before this one was mark it as exploratory.
    """
    rows, run = rows_of(dossier), dossier.manifest.run
    gates = [e for e in entries if e.rows == rows and e.did == "gate" and e.policy == policy]
    judged = dict.fromkeys(e.run for e in gates)
    order = [*judged] if run in judged else [*judged, run]
    texts = list(dict.fromkeys(e.policy_digest for e in gates))
    before = texts.index(digest) if digest in texts else len(texts)
    return Attempts(
        run=order.index(run) + 1,
        audited=len({e.run for e in entries if e.rows == rows} | {run}),
        otherwise=before if digest else 0,
    )


def rows_of(dossier: Dossier) -> str:
    """The digest of the rows a dossier is about: those the primary subject was asked about."""
    return next((e.data.digest for e in dossier.evidence if e.subject.role == "primary"), "")
