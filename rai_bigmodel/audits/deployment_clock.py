"""What does a variant cost and gain? Latency beside the trained model's, load time, memory, and which one to ship.

All take turns within each repetition, so that whatever else the machine does falls on each alike, and each has one
thread: an ONNX file is run by one, and several that wait for one another on a busy machine take torch a hundred times
as long, which would be said of the file as its speed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.evidence import LADDER, Interval, Measurement, Rung
from rai_bigmodel.stats import ladder
from rai_bigmodel.stats.special import bdtr
from rai_bigmodel.subject import inputs_of
from rai_bigmodel.threads import torch_threads
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rai_bigmodel.subject import Array, Cohort, Inputs, Subject

    Ask = Callable[[Inputs], Array]

COMPILED = "torch.compile"
WARM_UPS = 3
"""Calls before any is timed: the first pay for memory and kernels."""
FEWEST = 5
"""Timings of each, however long they take."""
HARMS = ("accuracy_drop", "flip_rate_difference", "fairness_change", "calibration_change")


class Timing(NamedTuple):
    """How time is measured, as in `audits.deployment.Deployment`."""

    batches: tuple[int, ...]
    repeats: int
    seconds: float
    compiled: bool


def clocks(
    subject: Subject,
    variants: Mapping[str, Subject],
    cohort: Cohort,
    timing: Timing,
    found: Sequence[Measurement],
    *,
    flips_at_most: float,
) -> list[Measurement]:
    """Latency of all, speed-ups over the subject, load time and memory of files, and a recommendation in words.

    Args:
        found: what else was measured about the variants; one that is shown to do harm is not recommended.
        flips_at_most: the largest share of decisions that may differ in the one recommended.
    """
    if not timing.batches:
        return []
    out = [m for name, one in variants.items() for m in _weighed(one, name, cohort)]
    asked: dict[str, Ask] = {subject.kind: subject.predict}
    if timing.compiled and subject.compiled is not None:
        asked[COMPILED] = subject.compiled()
    asked |= {name: one.predict for name, one in variants.items()}
    speeds: dict[str, dict[int, float]] = {}
    for batch in timing.batches:
        with torch_threads(1):
            times = _times(asked, _some(cohort, batch), timing)
        out += [_quantile(t, q, name, batch) for name, t in times.items() for q in (0.5, 0.99)]
        first = times[subject.kind]
        for name, t in times.items():
            if name != subject.kind:
                out.append(_speedup(first, t, name, batch))
                speeds.setdefault(name, {})[batch] = float(np.median(first) / np.median(t))
    return [*out, _recommended(subject.kind, speeds, found, flips_at_most)]


def _some(cohort: Cohort, batch: int) -> Inputs:
    whole, rows = inputs_of(cohort), np.arange(batch) % cohort.rows
    if isinstance(whole, dict):
        return {column: values[rows] for column, values in whole.items()}
    return whole[rows]


def _times(asked: Mapping[str, Ask], inputs: Inputs, timing: Timing) -> dict[str, Array]:
    """Sorted milliseconds of each, from raw columns to answers."""
    for ask in asked.values():
        for _ in range(WARM_UPS):
            ask(inputs)
    taken: dict[str, list[float]] = {name: [] for name in asked}
    ends = time.perf_counter() + timing.seconds
    for done in range(timing.repeats):
        if done >= FEWEST and time.perf_counter() > ends:
            break
        for name, ask in asked.items():
            ask(inputs)
            started = time.perf_counter()
            ask(inputs)
            taken[name].append((time.perf_counter() - started) * 1000)
    return {name: np.sort(t) for name, t in taken.items()}


def _weighed(variant: Subject, name: str, cohort: Cohort) -> list[Measurement]:
    labels, why = {"variant": name}, "the variant cannot be opened anew: it is not a file"
    weight = variant.weigh(_some(cohort, 256)) if variant.weigh is not None else None
    load, peak = (None, None) if weight is None else (weight["load_ms"], weight.get("peak_bytes"))
    no_peak = why if weight is None else "this system does not tell how much memory a process took"
    return [
        Measurement(
            metric="deployment.load_ms",
            kind="clock",
            value=None if load is None else round(load, 3),
            labels=labels,
            why="" if load is not None else why,
        ),
        Measurement(
            metric="deployment.peak_bytes",
            kind="clock",
            value=peak,
            labels=labels,
            why="" if peak is not None else no_peak,
        ),
    ]


def _quantile(times: Array, q: float, name: str, batch: int) -> Measurement:
    return Measurement(
        metric="deployment.latency_ms",
        kind="clock",
        value=round(float(np.quantile(times, q)), 4),
        n=len(times),
        labels={"variant": name, "batch": str(batch), "quantile": f"p{round(q * 100)}"},
        interval=order_statistics(times, q),
    )


def _speedup(first: Array, second: Array, name: str, batch: int) -> Measurement:
    """The subject's median time over the variant's; each end from an end of either median, at half the error each."""

    def ends(alpha: float) -> tuple[float | None, float | None]:
        (l1, u1), (l2, u2) = (_ends(t, 0.5, min(alpha, 1.0) / 2) for t in (first, second))
        low = None if l1 is None or u2 is None else round(l1 / u2, 4)
        return low, None if u1 is None or l2 is None else round(u1 / l2, 4)

    return Measurement(
        metric="deployment.speedup",
        kind="clock",
        value=round(float(np.median(first) / np.median(second)), 4),
        n=len(second),
        labels={"variant": name, "batch": str(batch)},
        interval=ladder.climb(ends, method="order statistics, bonferroni"),
    )


def order_statistics(times: Array, q: float) -> Interval:
    """Distribution-free limits of a quantile: two of the sorted times (David and Nagaraja 2003, 7.1)."""
    rungs: list[Rung] = [(a, *_ends(times, q, a), *_ends(times, q, 2 * a)) for a in LADDER]
    low, high = _ends(times, q, 1 - ladder.LEVEL)
    return Interval(low=low, high=high, level=ladder.LEVEL, method="order statistics", ladder=tuple(rungs))


def _ends(times: Array, q: float, alpha: float) -> tuple[float | None, float | None]:
    n = len(times)
    below = bdtr(np.arange(n), n, q)  # P(at most i of n lie below the quantile)
    low = np.nonzero(below <= alpha / 2)[0]
    high = np.nonzero(1 - below <= alpha / 2)[0]
    return (
        round(float(times[low[-1]]), 4) if len(low) else None,
        round(float(times[high[0]]), 4) if len(high) else None,
    )


def _recommended(
    kind: str, speeds: Mapping[str, Mapping[int, float]], found: Sequence[Measurement], flips_at_most: float
) -> Measurement:
    """Which of them: the quickest of those never slower than the subject and not shown to decide worse; or the subject.

    It rests on times, so it is a clock: no part of what a run's digest names.
    """
    against = {
        name: _against(name, by, found, flips_at_most) for name, by in speeds.items() if name != COMPILED
    }
    fit = [name for name, why in against.items() if not why]
    best = max(fit, key=lambda name: float(np.prod(list(speeds[name].values()))), default=kind)
    if best == kind:
        reasons = "; ".join(f"{name} {why}" for name, why in against.items())
        words = f"Stay with {kind}: {reasons}."
    else:
        shown = {b: number(float(f"{s:.2g}")) for b, s in speeds[best].items()}
        quicker = ", ".join(f"{s} × at batch {b}" for b, s in shown.items())
        others = "; ".join(f"{name} {why}" for name, why in against.items() if why)
        words = f"Rather {best} than {kind}: its speed beside it is {quicker}; no harm was shown."
        words += f" Not: {others}." if others else ""
    return Measurement(
        metric="deployment.recommended", kind="clock", value=1.0, labels={"variant": best}, why=words
    )


def _against(
    name: str, speeds: Mapping[int, float], found: Sequence[Measurement], flips_at_most: float
) -> str:
    """What speaks against a variant, in words; empty when nothing does."""
    mine: dict[str, list[Any]] = {}
    for m in found:
        if m.labels.get("variant") == name:
            mine.setdefault(m.metric.removeprefix("deployment."), []).append(m)
    flips = next((m.value for m in mine.get("decision_flip_rate", ()) if m.value is not None), 0.0)
    if flips > flips_at_most:
        return f"decides {flips:.2%} of rows otherwise ({flips_at_most:.2%} is allowed)"
    for what in HARMS:
        for m in mine.get(what, ()):
            low = None if m.interval is None else m.interval.low
            if low is not None and low > flips_at_most:
                by = f" by {m.labels['attribute']}" if "attribute" in m.labels else ""
                return f"has a {what.replace('_', ' ')}{by} of {m.value:.3f}, shown to be above {flips_at_most:g}"
    slower = {b: s for b, s in speeds.items() if s < 1}
    if slower:
        batch, speed = min(slower.items(), key=lambda item: item[1])
        return f"is slower at batch {batch} ({speed:.2g} ×)"
    return ""
