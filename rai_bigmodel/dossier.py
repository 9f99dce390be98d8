"""What does a whole run leave? All its evidence, a manifest that binds it, and the folder they lie in.

The folder is the waist of the hourglass on disk: ``evidence/*.json`` and, written last, ``manifest.json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import FORMAT, DataId, Evidence, Record, SubjectId, known_format

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable


class Produced(Record):
    """The reproducible part of a manifest; its digest names the run."""

    files: dict[str, str]
    subjects: tuple[SubjectId, ...]
    data: tuple[DataId, ...]
    configuration: dict[str, str]
    versions: dict[str, str]
    threads: int
    facts: dict[str, str] = {}
    not_run: dict[str, str] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(s.role == "primary" for s in self.subjects) > 1:
            msg = "a dossier has one primary subject, the one that may ship; the others are its relatives"
            raise ValueError(msg)


class Circumstances(Record):
    """What differs between two runs of the same: when, where, and how long things took."""

    created: str
    host: str
    clocks: dict[str, str] = {}


class Manifest(Record):
    """What a folder of evidence holds, and what made it."""

    tool: str
    evidence: Produced
    circumstances: Circumstances
    format: int = FORMAT

    def __post_init__(self) -> None:
        super().__post_init__()
        known_format(self.format)
        if twice := sorted(set(self.evidence.files) & set(self.circumstances.clocks)):
            msg = f"{twice[0]!r} is named twice, as evidence and as a clock"
            raise ValueError(msg)

    @property
    def run(self) -> str:
        """The digest that names the run: that of the reproducible part."""
        return files.digest(files.canonical_json(self.evidence))

    @property
    def digest(self) -> str:
        """The digest of ``manifest.json`` as it is written."""
        return files.digest(files.canonical_json(self))

    @property
    def primary(self) -> SubjectId | None:
        """The one subject that may ship."""
        return next((s for s in self.evidence.subjects if s.role == "primary"), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The evidence files in order, clocks among them."""
        return tuple(sorted([*self.evidence.files, *self.circumstances.clocks]))


class Dossier(Record):
    """All evidence of one run; `evidence` is in the order of ``manifest.names``."""

    manifest: Manifest
    evidence: tuple[Evidence, ...]

    def find(self, audit: str, role: str = "primary") -> tuple[Evidence, ...]:
        """The evidence of one audit about the subject in one role."""
        return tuple(e for e in self.evidence if e.audit == audit and e.subject.role == role)


# --- the folder ---------------------------------------------------------------------------------


def file_name(audit: str, *, role: str = "primary", label: str = "", clock: bool = False) -> str:
    """``<audit>[@role][-label].json``, with ``-clock`` for the timings."""
    stem = (
        files.slug(audit)
        + (f"@{files.slug(role)}" if role != "primary" else "")
        + (f"-{files.slug(label)}" if label else "")
    )
    if clock:
        return f"{stem}-clock.json"
    # A label that happens to be "clock" must not put evidence among the timings, outside the run's digest.
    return f"{stem}.label.json" if stem.endswith("-clock") else f"{stem}.json"


_MADE_FROM_EVIDENCE = ("verdict.json", "report.html")


def clear(folder: str | os.PathLike[str]) -> Path:
    """Take away the evidence of an earlier run and what was made from it; the folder is made when it is not there.

    The manifest goes first, so that what is left half-way never looks finished.

    Raises:
        InputError: the folder cannot be written, or ``evidence/`` holds something that is not evidence.
    """
    folder = files.make_folder(folder)
    inside = files.make_folder(folder / "evidence")
    there = files.regular_files(inside)
    named = _named_by_manifest(folder)
    for name, path in ((n, p) for n, p in there.items() if not files.is_left_over(n)):
        # Whatever reads as evidence is ours, also where an interrupted run left no manifest that names it.
        content = files.read_bytes(path)
        if named.get(name) == files.digest(content):
            continue
        try:
            files.parse_json(content, Evidence, where=str(path))
        except InputError:
            msg = f"{path}: is not evidence and would be lost; choose another folder or clear this one"
            raise InputError(msg) from None
    made = ("manifest.json", *_MADE_FROM_EVIDENCE)
    for name in made:
        files.remove(folder / name)
    for path in folder.glob(".*.part"):
        if path.name.startswith(tuple(f".{name}." for name in made)):
            files.remove(path)
    for name in there:
        files.remove(inside / name)
    return folder


def _named_by_manifest(folder: Path) -> dict[str, str]:
    """File → digest, as a manifest of an earlier run has them; nothing where there is none that can be read."""
    try:
        manifest = _manifest(folder)
    except InputError:
        return {}
    return {**manifest.evidence.files, **manifest.circumstances.clocks}


def save(dossier: Dossier, folder: str | os.PathLike[str]) -> Path:
    """Write ``evidence/*.json`` and, last, ``manifest.json``; what an earlier or unfinished run left is replaced.

    Raises:
        InputError: as `clear`, or another process is writing there.
    """
    from rai_bigmodel import unfinished

    with files.alone(files.make_folder(folder)):
        folder = clear(folder)
        for name, evidence in zip(dossier.manifest.names, dossier.evidence, strict=True):
            files.write_bytes(folder / "evidence" / name, files.canonical_json(evidence))
        files.write_bytes(folder / "manifest.json", files.canonical_json(dossier.manifest))
        unfinished.clear(folder)
    return folder


def load(folder: str | os.PathLike[str]) -> Dossier:
    """Read a folder of evidence and check every digest.

    Raises:
        InputError: no evidence, a digest that differs, a file that the manifest does not name, or
            content that breaks a rule of these records.
    """
    folder = Path(folder)
    if not folder.is_dir():
        msg = f"{folder}: no such folder of evidence"
        raise InputError(msg)
    if not (folder / "manifest.json").exists():
        msg = f"{folder}: no manifest.json, so this is not a (finished) folder of evidence"
        raise InputError(msg)
    manifest = _manifest(folder)
    stated = {**manifest.evidence.files, **manifest.circumstances.clocks}
    inside = folder / "evidence"
    if not stated or not inside.is_dir():
        msg = f"{inside}: there is no evidence to read"
        raise InputError(msg)
    there = files.regular_files(inside)
    if foreign := sorted(set(there) - set(stated)):
        msg = files.visible(f"{inside / foreign[0]}: the manifest does not name this file")
        raise InputError(msg)
    if gone := sorted(set(stated) - set(there)):
        msg = f"{inside}: {files.visible(repr(gone[0]))} is not there, though the manifest names it"
        raise InputError(msg)
    evidence = []
    for name in manifest.names:
        content = files.read_bytes(inside / name)
        if (found := files.digest(content)) != stated[name]:
            msg = f"{inside / name}: was changed after the audit (manifest {stated[name][:19]}…, file {found[:19]}…)"
            raise InputError(msg)
        evidence.append(files.parse_json(content, Evidence, where=str(inside / name)))
    return Dossier(manifest=manifest, evidence=tuple(evidence))


def _manifest(folder: Path) -> Manifest:
    return files.parse_json(
        files.read_bytes(folder / "manifest.json"), Manifest, where=str(folder / "manifest.json")
    )


def seal(
    found: Iterable[tuple[str, Evidence]], *, produced: dict[str, Any], created: str, host: str, tool: str
) -> Dossier:
    """Name, digest and bind evidence into a dossier; names that end in ``-clock.json`` are kept apart.

    Args:
        found: file name and evidence.
        produced: the other fields of `Produced`.
    """
    by_name: dict[str, Evidence] = {}
    for name, evidence in sorted(found, key=lambda pair: pair[0]):
        assert name not in by_name, f"{name}: two audits would write one file"
        by_name[name] = evidence
    digests = {name: files.digest(files.canonical_json(e)) for name, e in by_name.items()}
    clocks = {name: d for name, d in digests.items() if name.endswith("-clock.json")}
    manifest = Manifest(
        tool=tool,
        evidence=Produced(files={n: d for n, d in digests.items() if n not in clocks}, **produced),
        circumstances=Circumstances(created=created, host=host, clocks=clocks),
    )
    return Dossier(manifest=manifest, evidence=tuple(by_name.values()))
