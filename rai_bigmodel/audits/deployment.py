"""Does the file that ships decide as the model that was trained?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rai_bigmodel.evidence import LADDER, Dot, Dots, Findings, Interval, Measurement, Record, Rung
from rai_bigmodel.stats import intervals
from rai_bigmodel.subject import attributes_of, column_of, decisions_of, inputs_of, scores_of

if TYPE_CHECKING:
    from rai_bigmodel.stats.counts import GroupCounts
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

VARIANTS = {"onnx": "fp32", "fp16": "fp16", "int8": "int8", "pruned": "pruned", "distilled": "distilled"}
"""Role of a relative → the name of the variant in labels."""


class Deployment(Record, omit_defaults=True):
    """Every variant beside the subject on the same rows: scores, decisions, accuracy, size, latency.

    Decision flips by Clopper–Pearson, paired differences of accuracy by Tango 1998, latency quantiles with
    order-statistics intervals.

    Args:
        batches: rows asked for at once when latency is measured.
        repeats: timings of each.
        attributes: by whose groups flips are compared; by default every sensitive column.
    """

    batches: tuple[int, ...] = (1, 16, 256)
    repeats: int = 200
    attributes: tuple[str, ...] = ()

    question: ClassVar[str] = "Does the file that ships decide as the model that was trained?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)
    primary_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats < 1 or any(b < 1 for b in self.batches):
            msg = f"batches and repeats must be at least 1, got {list(self.batches)} and {self.repeats}"
            raise ValueError(msg)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:  # noqa: ARG002
        """Compare on ``data.held_out``."""
        cohort = data.held_out
        variants = {VARIANTS[role]: s for role, s in subject.relatives.items() if role in VARIANTS}
        if not variants:
            why = "no exported file was handed over as a relative"
            return Findings(
                measurements=(
                    Measurement(metric="deployment.decision_flip_rate", kind="estimate", value=None, why=why),
                )
            )
        attributes = attributes_of(cohort, self.attributes) if cohort.roles.get("sensitive") else ()
        found: list[Measurement] = []
        exhibits: list[Dots] = []
        for name, variant in variants.items():
            found += _difference(subject, variant, name, cohort)
            flips = decisions_of(subject, cohort) != decisions_of(variant, cohort)
            for attribute in attributes:
                counts = cohort.count(attribute.split("*"), truth=np.ones_like(flips), decision=flips)
                found.append(_flips_apart(counts, name, attribute))
                exhibits.append(_flips(counts, name, attribute))
        for name, timed in {subject.kind: subject, **variants}.items():
            found += _latency(timed, name, cohort, self.batches, self.repeats)
        return Findings(measurements=tuple(found), exhibits=tuple(exhibits))


def _difference(subject: Subject, variant: Subject, name: str, cohort: Cohort) -> list[Measurement]:
    labels = {"variant": name}
    n = cohort.rows
    apart = np.abs(scores_of(subject, cohort) - scores_of(variant, cohort))
    first, second = decisions_of(subject, cohort), decisions_of(variant, cohort)
    flips = int((first != second).sum())
    truth = cohort.binary(column_of(cohort, "truth"))
    only_first = int(((first == truth) & (second != truth)).sum())
    only_second = int(((first != truth) & (second == truth)).sum())
    size = variant.card.get("size_bytes")
    return [
        Measurement(
            metric="deployment.max_abs_difference", kind="exact", value=float(apart.max()), n=n, labels=labels
        ),
        Measurement(
            metric="deployment.decision_flip_rate",
            kind="estimate",
            value=flips / n,
            n=n,
            labels=labels,
            interval=intervals.proportion(flips, n),
        ),
        Measurement(
            metric="deployment.accuracy_drop",
            kind="estimate",
            value=(only_first - only_second) / n,
            n=n,
            labels=labels,
            interval=intervals.paired_difference(only_first, only_second, n),
        ),
        Measurement(
            metric="deployment.size_bytes",
            kind="exact",
            value=float(size) if size is not None else None,
            labels=labels,
            why="" if size is not None else "the variant is not a file",
        ),
    ]


def _flips_apart(counts: GroupCounts, name: str, attribute: str) -> Measurement:
    """The widest gap of flip rates between two groups with 30 rows; the rest is left out and counted."""
    keep = (counts.n >= 30) & np.array(["(missing)" not in g.split("*") for g in counts.groups])
    excluded = float(counts.n[~keep].sum() / counts.n.sum())
    metric, labels = "deployment.flip_rate_difference", {"variant": name, "attribute": attribute}
    if keep.sum() < 2:
        why = "fewer than two groups have 30 rows"
        return Measurement(
            metric=metric, kind="estimate", value=None, labels=labels, excluded=excluded, why=why
        )
    flips, n = counts.selected[keep], counts.n[keep]
    rates = flips / n
    names = [g for g, kept in zip(counts.groups, keep, strict=True) if kept]
    high, low = int(np.argmax(rates)), int(np.argmin(rates))
    if high == low:
        low = (high + 1) % len(rates)
    return Measurement(
        metric=metric,
        kind="estimate",
        value=float(rates[high] - rates[low]),
        n=int(n[high] + n[low]),
        excluded=excluded,
        labels={**labels, "high": names[high], "low": names[low]},
        interval=intervals.widest_gap(flips, n, compared=len(counts.groups)),
    )


def _flips(counts: GroupCounts, name: str, attribute: str) -> Dots:
    dots = []
    for group, x, n in zip(counts.groups, counts.selected.tolist(), counts.n.tolist(), strict=True):
        low, high = intervals.clopper_pearson(x, n, 1 - intervals.LEVEL)
        dots.append(Dot(label=group, value=x / n, low=low, high=high, n=n))
    return Dots(
        title=f"Decisions that differ in {name}, by {attribute}",
        dots=tuple(dots),
        axis="share of decisions that differ",
        caption="95 % Clopper–Pearson intervals, each group on its own.",
        unit="share",
    )


def _latency(
    subject: Subject, name: str, cohort: Cohort, batches: tuple[int, ...], repeats: int
) -> list[Measurement]:
    """Quantiles of the time that one call takes, from raw columns to scores."""
    whole = inputs_of(cohort)
    out = []
    for batch in batches:
        rows = np.arange(batch) % cohort.rows
        inputs = (
            {column: values[rows] for column, values in whole.items()}
            if isinstance(whole, dict)
            else whole[rows]
        )
        for _ in range(3):  # the first calls pay for memory and kernels
            subject.predict(inputs)
        times = np.empty(repeats)
        for i in range(repeats):
            started = time.perf_counter()
            subject.predict(inputs)
            times[i] = (time.perf_counter() - started) * 1000
        out += [_quantile(np.sort(times), q, name, batch) for q in (0.5, 0.99)]
    return out


def _quantile(times: Array, q: float, name: str, batch: int) -> Measurement:
    n = len(times)
    return Measurement(
        metric="deployment.latency_ms",
        kind="clock",
        value=round(float(np.quantile(times, q)), 4),
        n=n,
        labels={"variant": name, "batch": str(batch), "quantile": f"p{round(q * 100)}"},
        interval=_order_statistics(times, q),
    )


def _order_statistics(times: Array, q: float) -> Interval:
    """Distribution-free limits of a quantile: two of the sorted times (David and Nagaraja 2003, 7.1)."""
    from scipy import special

    n = len(times)
    below = special.bdtr(np.arange(n), n, q)  # P(at most i of n lie below the quantile)

    def ends(alpha: float) -> tuple[float | None, float | None]:
        low = np.nonzero(below <= alpha / 2)[0]
        high = np.nonzero(1 - below <= alpha / 2)[0]
        return (
            round(float(times[low[-1]]), 4) if len(low) else None,
            round(float(times[high[0]]), 4) if len(high) else None,
        )

    rungs: list[Rung] = [(a, *ends(a), *ends(2 * a)) for a in LADDER]
    low, high = ends(1 - intervals.LEVEL)
    return Interval(low=low, high=high, level=intervals.LEVEL, method="order statistics", ladder=tuple(rungs))
