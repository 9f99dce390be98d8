"""What would decide a rule that is open? More rows, or a rule that says which number it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rai_bigmodel.rules import ONLY_WHEN_NAMED, label_text
from rai_bigmodel.words import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.rules import Limit, Rule


def unmatched(limit: Limit, rule: Rule, dossier: Dossier) -> str:
    """Why no measurement is what a limit speaks of, and what it may have meant."""
    audit = limit.metric.partition(".")[0]
    there = dossier.find(audit, rule.role)
    for evidence in there:
        if evidence.failure:
            return f"The audit broke: {evidence.failure}"
    of_role = "" if rule.role == "primary" else f" of the subject in the role {rule.role!r}"
    if not there:
        return f"Not measured: the audit {audit!r}{of_role} was not run."
    found = [m for e in there for m in e.measurements]
    # One reason for everything is the audit's; several are those of other metrics.
    silent = {m.why for m in found if m.metric == limit.metric} or {m.why for m in found}
    if len(silent) == 1 and not any(m.value is not None for m in found):
        return f"Not measured: {silent.pop()}"
    nothing = f"Not measured: nothing in the audit {audit!r}{of_role} matches this rule."
    return f"{nothing} {meant}" if (meant := hint(limit, found)) else nothing


_SHOWN = 6
"""So many names a hint tells."""


def hint(limit: Limit, found: Sequence[Measurement]) -> str:
    """What a limit that speaks of none of these measurements may have meant; empty where nobody can tell."""
    same = [m for m in found if m.metric == limit.metric]
    if not same:
        near = nearest(limit.metric, {m.metric for m in found})
        return f"Did it mean {near!r}?" if near else ""
    wanted = {key: label_text(value) for key, value in limit.where.items()}
    for key, value in wanted.items():
        keys = {k for m in same for k in m.labels}
        if key not in keys:
            return f"None of them has the label {key!r}; there are {_shown(keys)}."
        values = {m.labels[key] for m in same if key in m.labels}
        if value not in values:
            return f"Its {key!r} is never {value!r}; there are {_shown(values)}."
    for key in ONLY_WHEN_NAMED:
        values = {m.labels[key] for m in same if key in m.labels and wanted.items() <= m.labels.items()}
        if values and key not in wanted:
            return f"It was measured for each {key}, and a rule names one: {_shown(values)}."
    return ""


def _shown(names: Iterable[str]) -> str:
    """Names that there are, some of them where they are many."""
    some = sorted(names)
    return ", ".join(map(repr, some[:_SHOWN])) + (
        f" and {len(some) - _SHOWN:,} more" if some[_SHOWN:] else ""
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """The name that this one is most like, if it is much like any."""
    import difflib

    return next(iter(difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.8)), "")


def rows_to_settle(limit: Limit, m: Measurement, alpha: float, *, excluded_at_most: float) -> str:
    """About how many more rows would decide it four times in five, if the value is what it seems.

    The half-width shrinks with the root of the rows; for power 0.8 it must shrink by (z_α + z_0.8) / z_α more. A pass
    is no matter of rows where too many of them are left out.
    """
    rung = m.interval.rung(alpha) if m.interval else None
    if rung is None or m.value is None or not m.n or m.kind != "estimate":
        return ""
    good = limit.keeps(m.value)
    if good and m.excluded > excluded_at_most:
        left, most = (
            percent(m.excluded, beside=excluded_at_most),
            percent(excluded_at_most, beside=m.excluded),
        )
        return f"More rows like these would not settle it: {left} of them are left out, more than {most}."
    upper = (limit.at_most is not None) == good
    end = rung[4 if upper else 3] if good else rung[2 if upper else 1]
    distance = abs(limit.value - m.value)
    if end is None or distance == 0:
        return ""
    from statistics import NormalDist

    z = NormalDist().inv_cdf(1 - (alpha if good else alpha / 2))
    power = (z + NormalDist().inv_cdf(0.8)) / z if z > 0 else 1.0
    needed = m.n * (abs(end - m.value) / distance * power) ** 2
    more = needed - m.n
    if more <= 0:
        return ""
    if needed > 1000 * m.n:
        return "It is too near to the limit for more rows to settle it."
    digits = max(len(str(int(more))) - 2, 0)
    rounded = int(round(more, -digits)) if more >= 10 else int(more) + 1
    return f"About {rounded:,} more rows like these {m.n:,} would settle it, if the value is what it seems."
