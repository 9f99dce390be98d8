"""What changed between two runs? Measurement by measurement, with an interval of the change from both intervals.

The two runs need not share rows, and nothing is paired here: the interval is MOVER's for a difference of two
independent estimates (Zou and Donner 2008, Statistics in Medicine 27), rung by rung. On the same rows it is wider
than a paired one would be, unless the two err in opposite directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from rai_bigmodel.better import HIGHER, LOWER
from rai_bigmodel.dossier import Dossier
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import BASELINE, Evidence, Interval, Measurement
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rai_bigmodel.evidence import Rung
    from rai_bigmodel.rules import Policy

Direction = Literal["better", "worse", "changed", "the same", "new", "gone"]
Key = tuple[str, str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Change:
    """One measurement before and after; `clear` where the interval of the change excludes none at all.

    `change` is null where a side is missing or was not measured.
    """

    key: Key
    before: Measurement | None
    after: Measurement | None
    change: Measurement | None
    verdict: Direction
    clear: bool


def changes(before: Dossier, after: Dossier) -> list[Change]:
    """Every measurement of either run, in the order of the later one; timings are left out."""
    old, new = dict(_measured(before)), dict(_measured(after))
    out = [_change(key, old.get(key), m) for key, m in new.items()]
    return out + [_change(key, m, None) for key, m in old.items() if key not in new]


def _measured(dossier: Dossier) -> Iterator[tuple[Key, Measurement]]:
    for evidence in dossier.evidence:
        for m in evidence.measurements:
            if m.kind != "clock":
                yield _key(evidence, m), m


def _key(evidence: Evidence, m: Measurement) -> Key:
    """What makes two measurements the same question: not which groups happened to be furthest apart."""
    labels = tuple(sorted((k, v) for k, v in m.labels.items() if k not in {"high", "low"}))
    return evidence.audit, evidence.subject.role, m.metric, labels


def _change(key: Key, before: Measurement | None, after: Measurement | None) -> Change:
    if before is None or after is None:
        there = after or before
        if there is None or there.value is None:  # no number then, and none now
            return Change(key, before, after, None, "the same", clear=True)
        return Change(key, before, after, None, "new" if before is None else "gone", clear=True)
    if before.value is None or after.value is None:
        told: Direction = (
            "the same" if before.value is after.value else "new" if before.value is None else "gone"
        )
        return Change(key, before, after, None, told, clear=True)
    change = difference(before, after)
    assert change.value is not None
    if change.value == 0:
        return Change(key, before, after, change, "the same", clear=True)
    name = key[2].rpartition(".")[2]
    up = change.value > 0
    better = name in HIGHER if up else name in LOWER
    worse = name in LOWER if up else name in HIGHER
    ends = change.interval
    clear = change.kind == "exact" or (
        ends is not None
        and ((ends.low is not None and ends.low > 0) or (ends.high is not None and ends.high < 0))
    )
    return Change(
        key, before, after, change, "better" if better else "worse" if worse else "changed", clear=clear
    )


def difference(before: Measurement, after: Measurement) -> Measurement:
    """After minus before, unpaired, labelled ``against: baseline``; with every rung that both have.

    Two exact numbers differ exactly. A side without a bound leaves the change without one there.
    """
    assert before.value is not None
    assert after.value is not None
    value = after.value - before.value
    exact = before.kind == after.kind == "exact"
    rungs: list[Rung] = []
    for one in after.interval.ladder if after.interval else ():
        other = before.interval.rung(one[0]) if before.interval else None
        if other is not None:
            low, high = _mover(before.value, other[1:3], after.value, one[1:3])
            keep_low, keep_high = _mover(before.value, other[3:5], after.value, one[3:5])
            rungs.append((one[0], low, high, keep_low, keep_high))
    interval = None
    shown = next((r for r in rungs if abs(r[0] - 0.05) < 1e-12), None)
    if shown is not None:
        interval = Interval(
            low=shown[1], high=shown[2], level=0.95, method="mover-unpaired", ladder=tuple(rungs)
        )
    why = "" if interval or exact else "one of the two has no interval, so neither has the change"
    labels = {k: v for k, v in after.labels.items() if k not in {"high", "low"}}
    return Measurement(
        metric=after.metric,
        kind="exact" if exact else "estimate",
        value=value,
        n=min(before.n, after.n) if before.n and after.n else None,
        excluded=max(before.excluded, after.excluded),
        labels={**labels, "against": BASELINE, "pairing": "unpaired"},
        origin="declared" if "declared" in {before.origin, after.origin} else "measured",
        why=why,
        interval=interval,
    )


def _mover(
    before: float,
    was: tuple[float | None, float | None],
    after: float,
    now: tuple[float | None, float | None],
) -> tuple[float | None, float | None]:
    """Zou and Donner's limits of after − before."""
    value = after - before
    low = None if now[0] is None or was[1] is None else value - math.hypot(after - now[0], was[1] - before)
    high = None if now[1] is None or was[0] is None else value + math.hypot(now[1] - after, before - was[0])
    return low, high


def with_changes(dossier: Dossier, baseline: Dossier, policy: Policy, *, other_data: bool = False) -> Dossier:
    """The dossier with a change against the baseline for each rule that asks for one and finds none paired.

    The manifest stays as it is: what was measured did not change.

    Args:
        other_data: allow a baseline that was measured on other rows.

    Raises:
        InputError: the baseline was measured on other rows, or counts another label as positive.
    """
    wanted = {
        (rule.role, limit.metric)
        for rule in policy.rules
        for limit in rule.limits
        if "against" in limit.where
        and not any(
            limit.matches(m) for e in dossier.evidence if e.subject.role == rule.role for m in e.measurements
        )
    }
    old = {}
    for evidence in baseline.evidence:
        for m in evidence.measurements:
            old[_key(evidence, m)] = (evidence, m)
    out = []
    for evidence in dossier.evidence:
        found = []
        paired = {_key(evidence, m) for m in evidence.measurements if "against" in m.labels}
        for m in evidence.measurements:
            there, (*what, labels) = old.get(_key(evidence, m)), _key(evidence, m)
            change = (*what, tuple(sorted((*labels, ("against", BASELINE)))))
            if (evidence.subject.role, m.metric) not in wanted or there is None or "against" in m.labels:
                continue
            if change in paired:  # what was paired on the rows stays the only answer
                continue
            if there[0].data.digest != evidence.data.digest and not other_data:
                msg = (
                    f"the baseline was measured on other rows ({there[0].data.name}, "
                    f"{there[0].data.digest[:19]}…) than {evidence.data.name} ({evidence.data.digest[:19]}…); "
                    "say so (--other-data) to compare all the same"
                )
                raise InputError(msg)
            if other := turned(there[0], evidence):
                msg = (
                    f"the baseline counts {other[0]!r} as positive, and this run {other[1]!r}; judge against one "
                    "that counts the same"
                )
                raise InputError(msg)
            if m.value is not None and there[1].value is not None:
                found.append(difference(there[1], m))
        out.append(
            msgspec.structs.replace(evidence, measurements=(*evidence.measurements, *found))
            if found
            else evidence
        )
    return Dossier(manifest=dossier.manifest, evidence=tuple(out))


def turned(before: Evidence, after: Evidence) -> tuple[str, str] | None:
    """The labels that count as positive, where they differ."""
    was, now = before.subject.decision, after.subject.decision
    return (
        None if was is None or now is None or was.positive == now.positive else (was.positive, now.positive)
    )


def told(found: list[Change], *, quiet: bool = False) -> list[str]:
    """The clear changes, worse first, one line each; then how many there were of each kind."""
    lines = []
    for verdict in ("worse", "better", "changed", "gone", "new"):
        clear = [c for c in found if c.verdict == verdict and c.clear and not quiet]
        lines += [f"{verdict}: {_named(c.key)}: {_said(c)}" for c in clear]
    counts = [
        f"{sum(c.verdict == v and c.clear for c in found)} {v}"
        for v in ("better", "worse", "changed", "new", "gone")
    ]
    unclear = sum(not c.clear for c in found)
    same = sum(c.verdict == "the same" for c in found)
    lines.append(f"{', '.join(counts)}; {unclear} changed no more than chance may; {same} the same.")
    return lines


def _named(key: Key) -> str:
    _, role, metric, labels = key
    inside = ", ".join(f"{k}={v}" for k, v in labels)
    return f"{metric}{f'{{{inside}}}' if inside else ''}{'' if role == 'primary' else f' of {role}'}"


def _said(change: Change) -> str:
    if change.change is None:
        there = change.after or change.before
        assert there is not None
        return "not measured" if there.value is None else number(there.value)
    assert change.before is not None
    assert change.after is not None
    ends = change.change.interval
    said = "" if ends is None else f", between {number(ends.low)} and {number(ends.high)}"
    return f"{number(change.before.value)} → {number(change.after.value)} (by {number(change.change.value)}{said})"
