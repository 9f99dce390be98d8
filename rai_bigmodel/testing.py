"""Which laws must an audit keep? For its author's tests: ``check_audit(MyAudit(), name="my_audit")``.

1. The same seed gives the same bytes, measured times apart.
2. Findings are written as JSON and read back as what they were.
3. Where there is no number there is a reason.

With a name, also: every metric begins with it, and what was found can be kept as evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel import files, plugins
from rai_bigmodel.evidence import Decision, Evidence, Findings
from rai_bigmodel.subject import Splits, Subject, data_id
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from rai_bigmodel.plugins import Audit
    from rai_bigmodel.subject import Array, Inputs


def check_audit(
    audit: Audit, *, name: str = "", subject: Subject | None = None, data: Splits | None = None, seed: int = 0
) -> Findings:
    """Hold an audit against the laws, and hand back what it found.

    Args:
        name: the name of its entry point, with which its metrics must begin.
        subject, data: what it is asked about; a small made-up lender with two groups when left out.

    Raises:
        AssertionError: a law is broken; the message says which, and where.
    """
    who = type(audit).__name__
    if broken := plugins.problem(type(audit)):
        msg = f"{who} {broken}"
        raise AssertionError(msg)
    subject = subject or example_subject()
    data = data or example_splits()
    for need in audit.needs:
        if not _has(need, subject, data):
            msg = f"{who} needs {need!r}; give check_audit a subject and data that have it"
            raise AssertionError(msg)
    found, again = (_ask(audit, subject, data, seed) for _ in range(2))
    _round_trip(found, who)
    _same_seed_same_bytes(found, again, who)
    _null_has_a_reason(found, who)
    if name:
        _can_be_kept(found, audit, name, subject, data)
    return found


def _ask(audit: Audit, subject: Subject, data: Splits, seed: int) -> Findings:
    found: object = audit(subject, data, np.random.default_rng(seed))
    if not isinstance(found, Findings):
        msg = f"{type(audit).__name__} must give Findings, got {type(found).__name__}"
        raise AssertionError(msg)  # noqa: TRY004 - a law is broken, whatever its nature
    return found


def _has(need: str, subject: Subject, data: Splits) -> bool:
    if need == "train":
        return data.train is not None
    return getattr(subject, need, None) is not None


def _same_seed_same_bytes(found: Findings, again: Findings, who: str) -> None:
    first, second = (_without_clocks(f) for f in (found, again))
    for part in ("measurements", "exhibits", "notes"):
        for i, (one, other) in enumerate(_pairs(getattr(first, part), getattr(second, part))):
            if one is None or other is None or files.canonical_json(one) != files.canonical_json(other):
                msg = (
                    f"{who}: {part}[{i}] differs between two runs with one seed; all randomness must come "
                    f"from rng, and a time must be of kind 'clock':\n  {one}\n  {other}"
                )
                raise AssertionError(msg)


def _without_clocks(found: Findings) -> Findings:
    return Findings(
        measurements=tuple(m for m in found.measurements if m.kind != "clock"),
        exhibits=found.exhibits,
        notes=found.notes,
    )


def _pairs(one: tuple[object, ...], other: tuple[object, ...]) -> list[tuple[object, object]]:
    longest = max(len(one), len(other))
    return [(one[i] if i < len(one) else None, other[i] if i < len(other) else None) for i in range(longest)]


def _round_trip(found: Findings, who: str) -> None:
    try:
        back = files.parse_json(files.canonical_json(found), Findings, where=who)
    except (TypeError, ValueError) as error:
        msg = f"{who}: what it found cannot be written and read back: {error}"
        raise AssertionError(msg) from error
    if back != found:
        msg = (
            f"{who}: what it found is another thing once written and read back; give plain numbers and words"
        )
        raise AssertionError(msg)


def _null_has_a_reason(found: Findings, who: str) -> None:
    for m in found.measurements:
        if m.value is None and not m.why.strip():
            msg = f"{who}: {m.metric} has no value and no why"
            raise AssertionError(msg)


def _can_be_kept(found: Findings, audit: Audit, name: str, subject: Subject, data: Splits) -> None:
    for m in found.measurements:
        if not m.metric.startswith(f"{name}."):
            msg = f"{type(audit).__name__}: its metrics must begin with {name}., got {m.metric}"
            raise AssertionError(msg)
    evidence = Evidence(
        audit=name,
        question=audit.question,
        params={},
        seed=0,
        tool="check_audit",
        subject=subject.identity(),
        data=data_id(data.held_out),
        measurements=found.measurements,
        exhibits=found.exhibits,
        notes=found.notes,
    )
    files.parse_json(files.canonical_json(evidence), Evidence, where=name)


# --- a small made-up lender ---------------------------------------------------------------------


def example_subject() -> Subject:
    """A black box that approves by income and debt, for rows of `example_splits`."""

    def predict(inputs: Inputs) -> Array:
        income, debt = (
            np.nan_to_num(np.asarray(inputs[name], dtype=np.float64)) for name in ("income", "debt")
        )
        return np.asarray(1 / (1 + np.exp(debt - income)))

    return Subject(
        name="made-up lender",
        kind="callable",
        digest=files.digest(b"income - debt >= 0"),
        decision=Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1")),
        predict=predict,
    )


def example_splits(*, rows: int = 240, seed: int = 0) -> Splits:
    """Made-up applications of two groups, one with less income; `rows` in each of the three parts.

    Columns: ``income``, ``debt`` (features, a few missing), ``group`` (sensitive), ``approved`` (truth).
    """
    rng = np.random.default_rng(seed)

    def part(name: str) -> Table:
        group = np.where(rng.random(rows) < 0.6, "north", "south").astype(object)
        income = rng.normal(np.where(group == "north", 0.4, 0.0), 1.0)
        debt = rng.normal(0.0, 1.0, rows)
        approved = (income - debt + rng.normal(0.0, 0.7, rows) > 0).astype(np.float64)
        income[rng.random(rows) < 0.03] = np.nan
        return Table(
            name=f"made-up {name}",
            columns={"income": income, "debt": debt, "group": group, "approved": approved},
            roles={"feature": ("income", "debt"), "sensitive": ("group",), "truth": ("approved",)},
        )

    return Splits(train=part("train"), calibrate=part("calibrate"), held_out=part("held-out"))
