"""What would have had to differ? The smallest change of features that may change, after which the decision is another.

Only features that the auditor declared mutable are moved, only within the declared range or among the declared
values; at most `MOST` at a time, because more are no advice. A change is found by asking the model: single features
over a grid, the best further ones added one by one, and then each pulled back towards where it was for as long as the
decision stays the other (Wachter, Mittelstadt and Russell 2018; Ustun, Spangher and Liu 2019). Size is counted in
standard deviations of the explained rows, a changed label as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.audits.scenes import asked_with
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Table
from rai_bigmodel.subject import task_of
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rai_bigmodel.audits.scenes import Scene
    from rai_bigmodel.subject import Array, Subject

    Decide = Callable[[Mapping[str, Array]], Array]

GRID = 33
MOST = 3
HALVINGS = 12
BEAM = 128
"""Half-way changes that further features are added to."""

Range = tuple[float | str, ...]
"""``[low, high]`` of a number, or the labels that may be taken."""


class Scale(NamedTuple):
    """What one step of a feature is, and whether it holds whole numbers only."""

    step: float
    whole: bool


class Change(NamedTuple):
    """What differs: feature → its new value; and how large that is, in standard deviations."""

    to: dict[str, Any]
    size: float


def table_of(
    scene: Scene,
    rows: Array,
    mutable: Mapping[str, Range],
    subject: Subject,
    *,
    values: bool,
    named: Sequence[str],
) -> Table:
    """For each row the smallest change that was found.

    Args:
        rows: which of the explained rows.
        values: whether what a row holds may be shown; else only by how much it would differ.
        named: what the rows are called.

    Raises:
        InputError: a mutable feature is none of the model's, or its range does not fit it.
    """
    checked(scene.columns, mutable)
    decide = deciding(subject)
    out: list[tuple[str, str, float | None]] = []
    for i, name in zip(rows, named, strict=True):
        row = {c: v[i : i + 1] for c, v in scene.columns.items()}
        found = smallest(row, mutable, decide, scales(scene.columns, mutable))
        if found is None:
            out.append((name, f"none found: up to {MOST} features within the declared ranges", None))
            continue
        said = "; ".join(_said(f, row[f][0], to, values=values) for f, to in found.to.items())
        out.append((name, said, float(f"{found.size:.3g}")))
    return Table(
        title="What would have had to differ for another decision",
        columns=("row", "smallest change found", "size in standard deviations"),
        rows=tuple(out),
        caption=f"Declared as changeable: {', '.join(mutable)}. The model was asked and decides otherwise after each "
        "change. It says nothing of whether a person can bring the change about, nor of what would then happen.",
    )


def checked(columns: Mapping[str, Array], mutable: Mapping[str, Range]) -> None:
    """Refuse features that are not there and ranges that do not fit them.

    Raises:
        InputError: as said.
    """
    for f, allowed in mutable.items():
        if f not in columns:
            what = "mutable: feature"
            raise InputError.unknown(what, f, tuple(columns))
        numeric = _numeric(columns[f])
        if numeric and not (
            len(allowed) == 2 and all(isinstance(v, int | float) for v in allowed) and allowed[0] < allowed[1]  # type: ignore[operator]
        ):
            msg = f"mutable: {f!r} is a number and needs [low, high] with low below high, got {list(allowed)}"
            raise InputError(msg)
        if not numeric and (not allowed or not all(isinstance(v, str) for v in allowed)):
            msg = f"mutable: {f!r} holds labels and needs those that it may take, got {list(allowed)}"
            raise InputError(msg)


def deciding(subject: Subject) -> Decide:
    """Columns → what is decided of each row, as codes.

    Raises:
        InputError: the subject decides nothing.
    """
    if task_of(subject) not in {"binary", "classes"}:
        msg = f"mutable: {subject.name} decides nothing, so no change of decision can be looked for"
        raise InputError(msg)
    threshold = 0.5 if subject.decision.threshold is None else subject.decision.threshold

    def decide(columns: Mapping[str, Array]) -> Array:
        said = np.asarray(subject.predict(asked_with(columns)), dtype=np.float64)
        if task_of(subject) == "classes":
            return said.argmax(axis=1)
        if said.ndim == 2:
            said = said[:, subject.decision.labels.index(subject.decision.positive)]
        decided: Array = (said >= threshold).astype(np.int64)
        return decided

    return decide


def scales(columns: Mapping[str, Array], mutable: Mapping[str, Range]) -> dict[str, Scale]:
    """What one standard deviation of each mutable number is, over the explained rows; of labels 1."""
    out = {}
    for f in mutable:
        if not _numeric(columns[f]):
            out[f] = Scale(1.0, whole=False)
            continue
        seen = columns[f].astype(np.float64)
        seen = seen[np.isfinite(seen)]
        spread = float(seen.std()) if len(seen) else 0.0
        out[f] = Scale(spread if spread > 0 else 1.0, whole=bool((seen == np.round(seen)).all()))
    return out


def smallest(
    row: Mapping[str, Array], mutable: Mapping[str, Range], decide: Decide, scale: Mapping[str, Scale]
) -> Change | None:
    """The smallest change of one row that was found; ``None`` where none within the ranges changes the decision.

    Args:
        row: columns ``(1,)`` each.
        scale: what counts as one step of each feature.
    """
    before = int(decide(row)[0])
    best: Change | None = None
    beam: list[dict[str, Any]] = [{}]
    for _ in range(min(MOST, len(mutable))):
        tried = _one_more(beam, row, mutable, scale, _candidates)
        if not tried:
            return best
        decided = decide(_changed(row, tried))
        flips = [t for t, d in zip(tried, decided, strict=True) if d != before]
        for change in sorted(flips, key=lambda t: _size(row, t, scale))[:3]:
            pulled = _pulled_back(row, change, decide, before, scale)
            size = _size(row, pulled, scale)
            if best is None or size < best.size:
                best = Change(pulled, size)
        if best is not None:
            return best
        # One feature is not enough: at an end of its range it leaves the least to the next.
        beam = _one_more(beam, row, mutable, scale, _ends)[:BEAM]
    return best


def _one_more(
    beam: Sequence[Mapping[str, Any]],
    row: Mapping[str, Array],
    mutable: Mapping[str, Range],
    scale: Mapping[str, Scale],
    choices: Callable[..., list[Any]],
) -> list[dict[str, Any]]:
    """Every change of the beam with each further feature at each of its choices."""
    return [
        {**held, f: to}
        for held in beam
        for f, allowed in mutable.items()
        if f not in held
        for to in choices(row[f], allowed, whole=scale[f].whole)
    ]


def _candidates(value: Array, allowed: Range, *, whole: bool) -> list[Any]:
    if not _numeric(value):
        return [v for v in allowed if v != value[0]]
    low, high = float(allowed[0]), float(allowed[1])
    grid = np.linspace(low, high, GRID)
    if whole:
        grid = np.unique(np.round(grid[(np.round(grid) >= low) & (np.round(grid) <= high)]))
    return [float(v) for v in grid if v != value[0]]


def _ends(value: Array, allowed: Range, *, whole: bool) -> list[Any]:
    found = _candidates(value, allowed, whole=whole)
    return found if not _numeric(value) else [found[0], found[-1]] if found else []


def _pulled_back(
    row: Mapping[str, Array], change: dict[str, Any], decide: Decide, before: int, scale: Mapping[str, Scale]
) -> dict[str, Any]:
    """The same change, each number as near to where it was as the other decision allows; the largest first."""
    out = dict(change)
    for f in sorted(out, key=lambda g: -_size(row, {g: out[g]}, scale)):
        if not _numeric(row[f]) or not np.isfinite(near := float(row[f][0])):
            continue
        far = float(out[f])
        for _ in range(HALVINGS):
            middle = (near + far) / 2
            if scale[f].whole:
                middle = float(np.floor(middle) if far < near else np.ceil(middle))
                if middle in {near, far}:
                    break
            if int(decide(_changed(row, [{**out, f: middle}]))[0]) != before:
                far = middle
            else:
                near = middle
        out[f] = far
    return out


def _changed(row: Mapping[str, Array], changes: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """The row once for each change ``(changes,)`` a column."""
    out = {c: np.repeat(v, len(changes), axis=0) for c, v in row.items()}
    for c in {f for change in changes for f in change}:
        column = out[c].astype(np.float64) if _numeric(out[c]) else out[c].copy()
        for k, change in enumerate(changes):
            if c in change:
                column[k] = change[c]
        out[c] = column
    return out


def _size(row: Mapping[str, Array], change: Mapping[str, Any], scale: Mapping[str, Scale]) -> float:
    return sum(
        abs(float(to) - float(row[f][0])) / scale[f].step
        if _numeric(row[f]) and np.isfinite(row[f][0])
        else 1.0
        for f, to in change.items()
    )


def _said(feature: str, now: Any, to: Any, *, values: bool) -> str:
    if isinstance(to, str):
        return f"{feature}: {now} → {to}" if values else f"{feature}: {to}"
    if not np.isfinite(now):
        return f"{feature}: {number(to)} in place of nothing"
    if values:
        return f"{feature}: {number(float(now))} → {number(to, beside=float(now))}"
    # All digits of a change would tell what the row holds.
    by = number(float(f"{abs(to - float(now)):.3g}"))
    return f"{feature} {'higher' if to > now else 'lower'} by {by}"


def _numeric(values: Array) -> bool:
    return values.dtype.kind in "fiub"
