"""Which verbs hold evidence against something? ``judge diff``, and the files that governance owns."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING

import msgspec

from rai_bigmodel import files, ledger, verdicts
from rai_bigmodel.dossier import Dossier, load
from rai_bigmodel.policy import judge as hold_against
from rai_bigmodel.rules import Policy, Verdict, Waiver
from rai_bigmodel.waivers import Waivers, check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rai_bigmodel.compare import Change
    from rai_bigmodel.files import PathLike
    from rai_bigmodel.report.policies import Domain, Doubt


def read_policy(path: PathLike) -> Policy:
    """A policy file, refused with a path where it says something that a policy cannot say."""
    return files.read_yaml(path, Policy)


def starter_policy(folder: PathLike | None = None, *, domain: Domain = "general") -> str:
    """A commented policy in YAML to begin with; with a folder of evidence, today's numbers beside the limits."""
    from rai_bigmodel.report import policies

    return policies.starter(None if folder is None else load(folder), domain=domain)


def check_policy(path: PathLike, folder: PathLike | None = None) -> tuple[list[str], list[Doubt]]:
    """A policy in words, and why some of its rules can hardly be what was meant; with evidence, by its rows.

    Raises:
        InputError: the policy or the evidence cannot be read.
    """
    from rai_bigmodel.report import policies

    written = read_policy(path)
    return policies.explained(written), policies.doubts(written, None if folder is None else load(folder))


def read_waivers(path: PathLike) -> tuple[Waiver, ...]:
    """The waivers in a file, refused with a path where one says something that a waiver cannot say."""
    return files.read_yaml(path, Waivers).waivers


def judge(
    dossier: Dossier,
    policy: Policy | PathLike,
    *,
    waivers: Sequence[Waiver] | PathLike = (),
    today: dt.date | None = None,
    subject: str = "",
    folder: PathLike | None = None,
    baseline: PathLike | None = None,
    other_data: bool = False,
) -> Verdict:
    """Hold a dossier against a policy.

    Args:
        waivers: or the file that holds them; those that count turn a fail or an inconclusive into *waived*.
        today: the date from which ``max_age_days`` counts and on which waivers must be valid; the current one
            unless given.
        subject: the digest that the primary subject must have.
        folder: where the dossier lies; the ledger beside it says how often these rows were used.
        baseline: an earlier run; rules on ``against: baseline`` for which nothing was paired are held against the
            unpaired change from it.
        other_data: allow a baseline that was measured on other rows.

    Raises:
        InputError: a file cannot be used, a waiver cannot be meant, or the ledger was changed.
    """
    if not isinstance(policy, Policy):
        policy = read_policy(policy)
    today = today or dt.datetime.now(dt.UTC).date()
    if isinstance(waivers, str | os.PathLike):
        where, waivers = str(waivers), read_waivers(waivers)
        check(waivers, policy, today=today, where=where)
    attempts = None
    entries = ledger.read(ledger.beside(folder)) if folder is not None else ()
    # A ledger that gates alone have written counts no runs: a limit on them may not be met by judging twice.
    if ledger.audits(entries, dossier) or (entries and policy.max_attempts is None):
        attempts = ledger.attempts(entries, dossier, policy=policy.name, digest=policy.digest)
    digest = ""
    if baseline is not None:
        from rai_bigmodel.compare import with_changes

        earlier = load(baseline)
        digest = earlier.manifest.digest
        dossier = with_changes(dossier, earlier, policy, other_data=other_data)
    verdict = hold_against(
        policy, dossier, today=today, waivers=tuple(waivers), subject=subject, attempts=attempts
    )
    return msgspec.structs.replace(verdict, baseline=digest) if digest else verdict


def diff(old: PathLike | Dossier, new: PathLike | Dossier) -> list[Change]:
    """What changed from one run to another: better, worse, new, gone, with unpaired intervals of the changes."""
    from rai_bigmodel.compare import changes

    return changes(
        old if isinstance(old, Dossier) else load(old), new if isinstance(new, Dossier) else load(new)
    )


def record(dossier: Dossier, folder: PathLike, verdict: Verdict | None = None) -> None:
    """Add a line to the ledger beside a folder of evidence: that it was audited, or with a verdict judged.

    Raises:
        InputError: the ledger cannot be written, or was changed.
    """
    ledger.append(dossier, folder, verdict=verdict)


def as_recorded(dossier: Dossier, verdict: Verdict, folder: PathLike) -> Verdict:
    """A verdict as the folder's ``verdict.json`` has it, where judging again came to the same."""
    return verdicts.as_recorded(dossier, verdict, folder)


def save_verdict(dossier: Dossier, verdict: Verdict, folder: PathLike) -> Path:
    """Write ``verdict.json`` into the folder of the evidence."""
    return verdicts.save(dossier, verdict, folder)
