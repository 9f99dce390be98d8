"""Made-up evidence for tests: measurements with honest normal intervals, sealed into a dossier."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

from rai_bigmodel.dossier import Dossier, file_name, seal
from rai_bigmodel.evidence import LADDER, DataId, Decision, Evidence, Interval, Measurement, Rung, SubjectId

SUBJECT = SubjectId(
    name="lender",
    kind="torch",
    digest="sha256:" + "a" * 64,
    decision=Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1")),
)
ROWS = DataId(name="held-out", digest="sha256:" + "d" * 64, rows=796)
CREATED = "2026-11-20T10:00:00+00:00"


def ladder(value: float, error: float, *, low: bool = True, high: bool = True) -> tuple[Rung, ...]:
    """A normal ladder around a value with this standard error; a side left out is null."""

    def z(p: float) -> float:
        return NormalDist().inv_cdf(1 - p) * error

    return tuple(
        (
            a,
            value - z(a / 2) if low else None,
            value + z(a / 2) if high else None,
            value - z(a) if low else None,
            value + z(a) if high else None,
        )
        for a in LADDER
    )


def interval(value: float, error: float, *, low: bool = True, high: bool = True) -> Interval:
    """The ladder with its 95 % interval in front."""
    rungs = ladder(value, error, low=low, high=high)
    at = next(rung for rung in rungs if rung[0] == 0.05)
    return Interval(low=at[1], high=at[2], level=0.95, method="normal", ladder=rungs)


def estimate(
    value: float | None, error: float = 0.01, *, metric: str = "fairness.gap", **fields: Any
) -> Measurement:
    """An estimate with a normal interval."""
    fields.setdefault("why", "" if value is not None else "one group is empty")
    return Measurement(
        metric=metric,
        kind=fields.pop("kind", "estimate"),
        value=value,
        n=fields.pop("n", 796),
        interval=fields.pop("interval", interval(value, error) if value is not None else None),
        **fields,
    )


def exact(value: float | None, *, metric: str = "privacy.epsilon", **fields: Any) -> Measurement:
    """A number without error."""
    fields.setdefault("why", "" if value is not None else "no ledger")
    return Measurement(metric=metric, kind="exact", value=value, **fields)


def evidence(
    *measurements: Measurement, audit: str = "", role: str = "primary", failure: str = "", **fields: Any
) -> Evidence:
    """What one audit left behind."""
    audit = audit or measurements[0].metric.partition(".")[0]
    subject = SubjectId(
        name=SUBJECT.name, kind=SUBJECT.kind, digest=fields.pop("digest", SUBJECT.digest), role=role
    )
    return Evidence(
        audit=audit,
        question=f"What does {audit} say?",
        params=fields.pop("params", {}),
        seed=7,
        tool="rai_bigmodel 0.1.0",
        subject=subject,
        data=fields.pop("data", ROWS),
        measurements=measurements,
        failure=failure,
        **fields,
    )


def dossier(*parts: Evidence | Measurement, created: str = CREATED, **produced: Any) -> Dossier:
    """Evidence, or loose measurements of the primary subject, sealed."""
    loose: dict[str, list[Measurement]] = {}
    whole: list[Evidence] = []
    for part in parts:
        if isinstance(part, Measurement):
            loose.setdefault(part.metric.partition(".")[0], []).append(part)
        else:
            whole.append(part)
    whole += [evidence(*found) for found in loose.values()]
    names = [
        file_name(e.audit, role=e.subject.role, label="" if i == 0 else f"n{i}") for i, e in enumerate(whole)
    ]
    return seal(
        zip(names, whole, strict=True),
        produced={
            "subjects": produced.pop("subjects", (SUBJECT,)),
            "data": (ROWS,),
            "configuration": {},
            "versions": {"python": "3.11"},
            "threads": 1,
            **produced,
        },
        created=created,
        host="somewhere",
        tool="rai_bigmodel 0.1.0",
    )
