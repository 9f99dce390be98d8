"""What does an audit leave behind? Records of plain numbers and words: the waist of the hourglass.

Left of these types is anything that can measure; right of them, anything that reads. None holds a
model, an array or a line of HTML. What is written to disk is the canonical JSON of these records.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, dataclass_transform

import msgspec

from rai_bigmodel import files
from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

FORMAT = 1

LADDER = (0.2, 0.1, 0.05, 0.025, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001, 0.00005)
"""The error rates at which every interval is kept, so that the gate computes no statistics."""

Kind = Literal["estimate", "bound", "exact", "p_value", "clock"]


# So that a type checker knows: heirs are frozen too.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record that refuses unknown fields and numbers that are not finite."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _finite(getattr(self, name), name)


def _finite(value: Any, name: str) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = f"{name} must be a finite number or null, got {value}"
            raise ValueError(msg)
    elif isinstance(value, tuple | list):
        for item in value:
            # Told apart here, because a dossier holds tens of thousands of rungs and the gate reads them all.
            if item is None or (item.__class__ is float and math.isfinite(item)):
                continue
            _finite(item, name)
    elif isinstance(value, dict):
        for key, item in value.items():
            _finite(item, f"{name}.{key}")


# --- who and what was measured -----------------------------------------------------------------


class Decision(Record):
    """How a score becomes a decision; part of the subject's identity.

    ``threshold``: the positive label is given at a score of ``threshold`` or more.
    ``argmax``: the label with the largest score is given.
    """

    kind: Literal["threshold", "argmax"]
    threshold: float | None
    positive: str
    labels: tuple[str, ...]


class SubjectId(Record):
    """Which artefact: its name, kind, digest, role, and how it decides."""

    name: str
    kind: str
    digest: str
    role: str = "primary"
    decision: Decision | None = None


class DataId(Record):
    """Which rows."""

    name: str
    digest: str
    rows: int


# --- a number with its uncertainty -------------------------------------------------------------

Rung = tuple[float, float | None, float | None, float | None, float | None]


class Interval(Record):
    """A two-sided interval at `level`, and the same at every rung of the ladder.

    A rung is ``(α, low, high, keep_low, keep_high)``: the two-sided 1−α interval, simultaneous over
    whatever was maximised, and the one-sided 1−α bounds that can prove "at least" and "at most".
    ``None`` is an unbounded side. Intervals of one measurement are nested.
    """

    low: float | None
    high: float | None
    level: float
    method: str
    ladder: tuple[Rung, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.level < 1:
            msg = f"level must lie between 0 and 1, got {self.level}"
            raise ValueError(msg)
        alphas = [rung[0] for rung in self.ladder]
        if any(a not in LADDER for a in alphas) or sorted(set(alphas), reverse=True) != alphas:
            msg = f"ladder must go down the rungs {LADDER}, got {alphas}"
            raise ValueError(msg)
        shown = (_alpha(self.level), self.low, self.high)
        _nested(sorted([shown, *(rung[:3] for rung in self.ladder)], key=lambda row: -row[0]))
        _nested([(rung[0], rung[3], rung[4]) for rung in self.ladder], ordered=False)

    def rung(self, alpha: float) -> Rung | None:
        """The rung at exactly this α, if it is there."""
        return next((r for r in self.ladder if r[0] == alpha), None)


def _alpha(level: float) -> float:
    return next((a for a in LADDER if abs(1 - level - a) < 1e-9), 1 - level)


def _nested(rows: list[tuple[float, float | None, float | None]], *, ordered: bool = True) -> None:
    """Refuse intervals ``(α, low, high)`` of falling α that are not each inside the next.

    Args:
        ordered: whether a low must not be above its high (two one-sided bounds may cross).
    """
    before, lowest, highest = 1.0, math.inf, -math.inf
    for alpha, low, high in rows:
        down = -math.inf if low is None else low
        up = math.inf if high is None else high
        if ordered and down > up:
            msg = f"an interval's low must not be above its high, got {low} and {high}"
            raise ValueError(msg)
        if not (_at_most(down, lowest) and _at_most(-up, -highest)):
            msg = f"intervals must be nested, but the one at α = {alpha} is narrower than at α = {before}"
            raise ValueError(msg)
        if alpha == before and not (_at_most(lowest, down) and _at_most(-highest, -up)):
            msg = f"the interval and the rung at α = {alpha} differ"
            raise ValueError(msg)
        before, lowest, highest = alpha, down, up


def _at_most(x: float, y: float) -> bool:
    """Whether x ≤ y, up to rounding; infinities are exact."""
    return x <= y or (math.isfinite(y) and x <= y + 1e-12 * max(1.0, abs(y)))


class Measurement(Record):
    """One number about one thing, or the reason why there is none.

    Args:
        metric: ``audit.name``, as listed in the documentation.
        kind: how a limit is held against it. ``estimate``: by its ladder. ``bound``: the same, one side
            unbounded. ``exact``: by its value. ``p_value``: only where a rule says so. ``clock``: a time.
        n: the rows it rests on.
        labels: what it is about (``attribute``, ``group``, ``variant`` …).
        excluded: the share of the metric's rows left out of it.
        origin: ``declared`` for a claim that nobody measured.
        why: why `value` is ``None``, or a caveat.
    """

    metric: str
    kind: Kind
    value: float | None
    n: int | None = None
    excluded: float = 0.0
    labels: dict[str, str] = {}
    origin: Literal["measured", "declared"] = "measured"
    why: str = ""
    interval: Interval | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", self.metric):
            msg = f"metric must read audit.name in lower case, got {self.metric!r}"
            raise ValueError(msg)
        if self.value is None and not self.why:
            msg = f"{self.metric}: a value of null needs a why"
            raise ValueError(msg)
        if not 0 <= self.excluded <= 1:
            msg = f"{self.metric}: excluded is a share, got {self.excluded}"
            raise ValueError(msg)
        if self.n is not None and self.n < 0:
            msg = f"{self.metric}: n must not be negative, got {self.n}"
            raise ValueError(msg)
        if self.interval is None:
            return
        if self.kind in {"exact", "p_value"}:
            msg = f"{self.metric}: kind {self.kind} carries no interval"
            raise ValueError(msg)
        if self.kind == "bound" and not any(
            all(rung[i] is None and rung[i + 2] is None for rung in self.interval.ladder)
            and (self.interval.low, self.interval.high)[i - 1] is None
            for i in (1, 2)
        ):
            msg = f"{self.metric}: a bound has one side null everywhere"
            raise ValueError(msg)


# --- exhibits: the data of a picture, never the picture ---------------------------------------


class Dot(Record):
    """A value with its interval, for one group or case."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Dots(Record, tag="dots"):
    """Values with intervals, one row each, on a common axis."""

    title: str
    dots: tuple[Dot, ...]
    caption: str = ""
    axis: str = ""
    unit: Literal["", "share"] = ""


class Bars(Record, tag="bars"):
    """Ranked amounts, one bar each."""

    title: str
    bars: tuple[Dot, ...]
    caption: str = ""
    axis: str = ""
    unit: Literal["", "share"] = ""


class Line(Record):
    """One line of a curve."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.x) != len(self.y) or not self.x:
            msg = f"a line needs as many x as y and at least one, got {len(self.x)} and {len(self.y)}"
            raise ValueError(msg)


class Curve(Record, tag="curve"):
    """Lines over a common axis; `mark` is an x that stands out (the chosen threshold)."""

    title: str
    lines: tuple[Line, ...]
    caption: str = ""
    x_axis: str = ""
    y_axis: str = ""
    mark: float | None = None
    diagonal: bool = False


class Heatmap(Record, tag="heatmap"):
    """A grid of values."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.values) != len(self.rows) or any(len(v) != len(self.columns) for v in self.values):
            msg = "a heat map needs a value for each row and column"
            raise ValueError(msg)


class Table(Record, tag="table"):
    """Cells of text and numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(len(row) != len(self.columns) for row in self.rows):
            msg = "each row of a table needs a cell for each column"
            raise ValueError(msg)


class Picture(Record, tag="picture"):
    """PNG bytes with a text that says what they show."""

    title: str
    png: bytes
    alt: str
    caption: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.png.startswith(b"\x89PNG\r\n\x1a\n"):
            msg = "a picture must be a PNG"
            raise ValueError(msg)


Exhibit = Dots | Bars | Curve | Heatmap | Table | Picture


# --- what an audit hands over, and what is kept -------------------------------------------------


class Findings(Record):
    """What one audit found."""

    measurements: tuple[Measurement, ...]
    exhibits: tuple[Exhibit, ...] = ()
    notes: tuple[str, ...] = ()


class Evidence(Record):
    """What one audit found about one subject on one set of rows, ready to be kept."""

    audit: str
    question: str
    params: dict[str, Any]
    seed: int
    tool: str
    subject: SubjectId
    data: DataId
    measurements: tuple[Measurement, ...]
    exhibits: tuple[Exhibit, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""
    format: int = FORMAT

    def __post_init__(self) -> None:
        super().__post_init__()
        _known_format(self.format)
        for m in self.measurements:
            if not m.metric.startswith(f"{self.audit}."):
                msg = f"the audit {self.audit!r} may only give metrics named {self.audit}.…, got {m.metric!r}"
                raise ValueError(msg)


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
        _known_format(self.format)
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


def _known_format(number: int) -> None:
    if not 1 <= number <= FORMAT:
        msg = f"format {number} is not one this version reads (1 to {FORMAT})"
        raise ValueError(msg)


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
    for path in there.values():
        # Whatever reads as evidence is ours, also where an interrupted run left no manifest that names it.
        try:
            files.parse_json(files.read_bytes(path), Evidence, where=str(path))
        except InputError:
            msg = f"{path}: is not evidence and would be lost; choose another folder or clear this one"
            raise InputError(msg) from None
    for name in ("manifest.json", *_MADE_FROM_EVIDENCE):
        files.remove(folder / name)
    for name in there:
        files.remove(inside / name)
    return folder


def save(dossier: Dossier, folder: str | os.PathLike[str]) -> Path:
    """Write ``evidence/*.json`` and, last, ``manifest.json``; what an earlier run left is replaced.

    Raises:
        InputError: as `clear`.
    """
    folder = clear(folder)
    for name, evidence in zip(dossier.manifest.names, dossier.evidence, strict=True):
        files.write_bytes(folder / "evidence" / name, files.canonical_json(evidence))
    files.write_bytes(folder / "manifest.json", files.canonical_json(dossier.manifest))
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
