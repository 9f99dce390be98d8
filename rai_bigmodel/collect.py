"""Subject, rows and audits in; a sealed dossier out."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from rai_bigmodel import dossier, files, plugins, stability, threads, unfinished
from rai_bigmodel import evidence as ev
from rai_bigmodel.errors import InputError
from rai_bigmodel.small_cells import hidden_cells
from rai_bigmodel.subject import data_id
from rai_bigmodel.suited import of_training, refuse_unsuited
from rai_bigmodel.withheld import suppressed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.plugins import Audit
    from rai_bigmodel.small_cells import Hidden
    from rai_bigmodel.subject import Splits, Subject

NOT_INSTALLED = {
    "robustness": "no audit of robustness to corrupted or adversarial input is installed",
    "language": "no audit of language models is installed",
    "sustainability": "no audit of energy is installed",
}
"""Questions that a reader may expect an answer to, and why there is none."""

OnAudit = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and how much there is."""

_PACKAGES = ("rai_bigmodel", "numpy", "scipy", "torch", "opacus", "captum", "onnx", "onnxruntime")


class Asked(NamedTuple):
    """One audit to be run: its name, the label that tells two runs of it apart, and the audit."""

    name: str
    audit: Audit
    label: str = ""


def collect(
    subject: Subject,
    splits: Splits,
    asked: Sequence[Asked],
    *,
    seed: int = 0,
    on: Sequence[str] = ("primary",),
    configuration: Mapping[str, str] | None = None,
    on_audit: OnAudit | None = None,
    folder: files.PathLike | None = None,
    resume: bool = False,
) -> dossier.Dossier:
    """Put a subject, and those of its relatives that `on` names, before audits.

    An audit that breaks leaves evidence with `failure`; one whose needs are not met leaves a null with why.
    Each audit has its own random numbers, so what else is run changes nothing. Numbers about a handful of people are
    left out here, and nowhere else (`small_cells`, `withheld`).

    Args:
        on: roles; audits that say ``primary_only`` run on the primary alone. A relative ``recipe`` with members is
            always among them (`stability`).
        configuration: name → digest of what the run was configured by.
        on_audit: called with a name, how many are done and how many there are.
        folder: where what is found is kept until the whole is there (`unfinished`).
        resume: take up what a stopped run of the same left there.

    Raises:
        InputError: the input cannot be used, there is nothing to resume, two audits would leave one file, or another
            process is at work in the folder; nothing is half done.
    """
    if seed < 0:
        msg = f"seed must be 0 or more, got {seed}"
        raise InputError(msg)
    by_role = {"primary": subject, **subject.relatives}
    for role in on:
        if role not in by_role:
            what = "on: role"
            raise InputError.unknown(what, role, by_role)
    if subject.members:
        msg = f"{subject.name}: is a recipe, not the one model that may ship; it goes under relatives, as recipe"
        raise InputError(msg)
    seeds = subject.relatives.get("recipe")
    if seeds is not None and seeds.members:
        stability.refuse_other_recipe(subject, seeds)
        on = tuple(dict.fromkeys((*on, "recipe")))
    refuse_unsuited(by_role, splits, on=on)
    work = [(a, role) for a in asked for role in on if _asks(a.audit, role, by_role[role])]
    _refuse_same_file(work)
    subjects = tuple(by_role[r].identity(r) for r in ("primary", *sorted(subject.relatives)))
    parts = [p for p in (splits.held_out, splits.calibrate, splits.train) if p is not None]
    computing = threads.suited_to([one.module for one in by_role.values()])
    made_from = {
        "subjects": subjects,
        "data": tuple(data_id(p) for p in parts),
        "configuration": dict(configuration or {}),
        "versions": _versions(),
        "threads": _threads() if computing is None else computing,
    }

    with threads.torch_threads(computing):
        hidden = hidden_cells(splits.held_out, subject, [one.audit for one in asked])

    def asked_of() -> str:
        plugs = {name: (one.distribution, one.version) for name, one in plugins.installed().items()}
        return files.digest(files.canonical_json([made_from, seed, plugs]))

    found: list[tuple[str, ev.Evidence]] = []
    with (
        threads.torch_threads(computing),
        unfinished.under_way(folder, asked_of, resume=resume) as kept,
    ):
        for done, (one, role) in enumerate(work):
            if on_audit:
                on_audit(f"{one.name}{'' if role == 'primary' else f' of {role}'}", done, len(work))
            names = [dossier.file_name(one.name, role=role, label=one.label, clock=c) for c in (False, True)]
            pieces = kept.found(names[0], clock=names[1]) if kept else []
            if not pieces:
                try:
                    pieces = _run(one, role, by_role[role], splits, seed=seed, hidden=hidden)
                except InputError:
                    if folder is not None and not resume:
                        unfinished.clear(folder)  # what cannot be used is no stopped audit
                    raise
                if kept:
                    kept.keep(pieces)
            found += pieces
    if on_audit:
        on_audit("", len(work), len(work))
    produced = {
        **made_from,
        "facts": {**splits.facts, **_decided(subject)},
        "not_run": _not_run({one.name for one in asked}),
    }
    return dossier.seal(
        found,
        produced=produced,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        host=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        tool=tool(),
    )


def _refuse_same_file(work: Sequence[tuple[Asked, str]]) -> None:
    """Two audits must not leave one file, also not where large and small letters are the same to the disk."""
    seen: dict[str, str] = {}
    for one, role in work:
        asked = "/".join(part for part in (one.name, one.label) if part)
        told = " of ".join((asked, role or repr(role)))
        name = dossier.file_name(one.name, role=role, label=one.label)
        if name.lower() in seen:
            msg = (
                f"{seen[name.lower()]} and {told} would both be {name}; "
                "give one of the two audits, or one of the two roles, another name"
            )
            raise InputError(files.visible(msg))
        seen[name.lower()] = told


def _decided(subject: Subject) -> dict[str, str]:
    """Where the decision rule comes from, if the subject's card says so."""
    said = subject.card.get("decision_from", "")
    return {"decision_from": said} if isinstance(said, str) and said else {}


def tool() -> str:
    """The name and version that evidence carries."""
    return f"rai_bigmodel {plugins.version_of('rai_bigmodel')}"


def _primary_only(audit: Audit) -> bool:
    """Whether an audit compares relatives or looks at rows alone, so that repeating it for a relative says nothing."""
    return bool(getattr(audit, "primary_only", False))


def _asks(audit: Audit, role: str, subject: Subject) -> bool:
    """Whether an audit is put to a subject: nothing is trained again for each of several seeds."""
    return role == "primary" or not (_primary_only(audit) or (subject.members and "refit" in audit.needs))


def _run(
    one: Asked, role: str, subject: Subject, splits: Splits, *, seed: int, hidden: Hidden
) -> list[tuple[str, ev.Evidence]]:
    if subject.members:
        return _spread(one, role, subject, splits, seed=seed, hidden=hidden)
    failure = ""
    try:
        if why := _unmet(one.audit, subject, splits):
            unmeasured = ev.Measurement(metric=f"{one.name}.unmeasured", kind="exact", value=None, why=why)
            findings = ev.Findings(measurements=(unmeasured,))
        else:
            findings = one.audit(subject, splits, _generator(seed, one, role))
        _refuse_other_metrics(one.name, findings)
        findings = suppressed(findings, hidden)
        # As a reader of the file will have them: a whole number becomes a float here, not on the way back.
        findings = msgspec.json.decode(msgspec.json.encode(findings), type=ev.Findings)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever breaks in an audit becomes evidence, never silence
        failure = files.visible(f"{type(error).__name__}: {error}")[:400]
        findings = ev.Findings(measurements=())
    notes = (*findings.notes, *_unweighted(one.audit, splits))
    if getattr(one.audit, "reads_training", False):
        notes = (*notes, *of_training(subject, splits))
    timed = tuple(m for m in findings.measurements if m.kind == "clock")
    kept = tuple(m for m in findings.measurements if m.kind != "clock")

    def sealed(measurements: tuple[ev.Measurement, ...], *, clock: bool) -> tuple[str, ev.Evidence]:
        return (
            dossier.file_name(one.name, role=role, label=one.label, clock=clock),
            ev.Evidence(
                audit=one.name,
                question=one.audit.question,
                params=msgspec.json.decode(msgspec.json.encode(one.audit)),
                seed=seed,
                tool=tool(),
                subject=subject.identity(role),
                data=data_id(splits.held_out),
                measurements=measurements,
                exhibits=() if clock else findings.exhibits,
                notes=() if clock else notes,
                failure=failure,
            ),
        )

    return [sealed(kept, clock=False), *([sealed(timed, clock=True)] if timed else [])]


def _spread(
    one: Asked, role: str, subject: Subject, splits: Splits, *, seed: int, hidden: Hidden
) -> list[tuple[str, ev.Evidence]]:
    """One piece of evidence for all members: how far their numbers lie apart."""
    each = {
        s: _run(one, role, member, splits, seed=seed, hidden=hidden)[0][1]
        for s, member in subject.members.items()
    }
    first = next(iter(each.values()))
    failure = next((f"seed {s}: {e.failure}" for s, e in each.items() if e.failure), "")
    said = (
        f"The same recipe on the same rows under the seeds {', '.join(each)}: of each number the lowest and the "
        "highest. p-values, times and pictures of single models are left out."
    )
    spread = () if failure else stability.spreads({s: e.measurements for s, e in each.items()})
    whole = msgspec.structs.replace(
        first,
        subject=subject.identity(role),
        measurements=spread,
        exhibits=(),
        notes=(said, *dict.fromkeys(n for e in each.values() for n in e.notes)),
        failure=failure,
    )
    return [(dossier.file_name(one.name, role=role, label=one.label, clock=False), whole)]


def _unweighted(audit: Audit, splits: Splits) -> tuple[str, ...]:
    """Nobody may think that numbers go by the weights where they do not."""
    columns = splits.held_out.roles.get("weight", ())
    if not columns or getattr(audit, "weighs", False):
        return ()
    return (f"Rows carry weights ({columns[0]}); this audit counts every row alike.",)


def _unmet(audit: Audit, subject: Subject, splits: Splits) -> str:
    reasons = {
        "module": "the network itself was not handed over, only its answers"
        if subject.module is None
        else "",
        "refit": "the subject cannot be trained again" if subject.refit is None else "",
        "train": "no training rows were given" if splits.train is None else "",
    }
    return "; ".join(reasons[need] for need in audit.needs if reasons.get(need))


def _refuse_other_metrics(name: str, findings: ev.Findings) -> None:
    for m in findings.measurements:
        if not m.metric.startswith(f"{name}."):
            msg = f"gave the metric {m.metric!r}; its metrics must be named {name}.…"
            raise ValueError(msg)


def _generator(seed: int, one: Asked, role: str) -> np.random.Generator:
    """Numbers of its own for each audit, label and role."""
    spice = hashlib.sha256(f"{one.name}\0{one.label}\0{role}".encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(spice[:16], dtype="<u4").tolist()])


def _not_run(asked: set[str]) -> dict[str, str]:
    there = plugins.installed()
    out = {name: "it was not asked for" for name in there if name not in asked}
    return out | {name: why for name, why in NOT_INSTALLED.items() if name not in there}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        if version := plugins.version_of(package):
            found[package] = version
    return found


def _threads() -> int:
    """Threads of torch where it is in use, else those the environment allows."""
    import sys

    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
