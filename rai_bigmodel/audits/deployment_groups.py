"""Whom did the change from the trained model to the variant reach? Flips by group, and groups that moved apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.deployment_answers import NO_DECISION
from rai_bigmodel.audits.fairness_groups import groups_of
from rai_bigmodel.evidence import Dot, Dots, Measurement
from rai_bigmodel.stats import among_groups, intervals, ladder, moves
from rai_bigmodel.stats.disparity import SMALLEST_ROWS, known

if TYPE_CHECKING:
    from rai_bigmodel.audits.deployment_answers import Pair
    from rai_bigmodel.subject import Array, Cohort

FEW = "fewer than two groups have 30 rows"


def groups(pair: Pair, cohort: Cohort, attribute: str) -> tuple[list[Measurement], list[Dots]]:
    """The gap of flip rates, and how far groups moved apart, by one attribute or intersection."""
    codes, names = groups_of(cohort, attribute)
    rows = np.bincount(codes, minlength=len(names))
    # Flips are rare by design, so no number of expected ones is asked for.
    keep = (rows >= SMALLEST_ROWS) & known(names)
    about = _About(pair=pair, attribute=attribute, codes=codes, groups=names, rows=rows, keep=keep)
    if pair.decided is None:
        return [about.null("flip_rate_difference", NO_DECISION[pair.task]), about.moved()], []
    flips = np.bincount(codes[pair.flips], minlength=len(names))
    return [about.flips_apart(flips), about.moved()], [_flips(flips, rows, names, pair.variant, attribute)]


@dataclass(frozen=True, kw_only=True)
class _About:
    """One pair of models, one attribute: codes ``(rows,)``, names and sizes of its groups, and which are compared."""

    pair: Pair
    attribute: str
    codes: Array
    groups: tuple[str, ...]
    rows: Array
    keep: Array

    @property
    def labels(self) -> dict[str, str]:
        return {"variant": self.pair.variant, "attribute": self.attribute}

    @property
    def here(self) -> Array:
        """The codes of the groups that are compared."""
        return np.nonzero(self.keep)[0]

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [self.groups[i] for i in self.here]

    @property
    def excluded(self) -> float:
        """The share of rows in the others."""
        return float(self.rows[~self.keep].sum() / self.rows.sum())

    def null(self, name: str, why: str) -> Measurement:
        return Measurement(
            metric=f"deployment.{name}",
            kind="estimate",
            value=None,
            labels=self.labels,
            excluded=self.excluded,
            why=why,
        )

    def flips_apart(self, flips: Array) -> Measurement:
        """The widest gap of flip rates between two groups with 30 rows; the rest is left out and counted."""
        if len(self.here) < 2:
            return self.null("flip_rate_difference", FEW)
        flips, n = flips[self.keep], self.rows[self.keep]
        rates = flips / n
        high, low = int(np.argmax(rates)), int(np.argmin(rates))
        low = (high + 1) % len(rates) if high == low else low
        return Measurement(
            metric="deployment.flip_rate_difference",
            kind="estimate",
            value=float(rates[high] - rates[low]),
            n=int(n[high] + n[low]),
            excluded=self.excluded,
            labels={**self.labels, "high": self.names[high], "low": self.names[low]},
            interval=among_groups.widest_gap(flips, n, compared=len(self.groups)),
        )

    def moved(self) -> Measurement:
        """How much further apart two groups are under the variant: in selection rates, accuracy or mean errors."""
        if len(self.here) < 2:
            return self.null("fairness_change", FEW)
        n = self.rows[self.keep]
        if self.pair.decided is None:
            if self.pair.errors is None:
                return self.null("fairness_change", "no outcome is known")
            first, second = ([e[self.codes == g] for g in self.here] for e in self.pair.errors)
            before = np.array([v.mean() for v in first])
            tied = _alike_means(first)
            changes = moves.of_means([b - a for a, b in zip(first, second, strict=True)])
        else:
            if (sides := self._successes()) is None:
                return self.null("fairness_change", "no outcome is known")
            gained, lost, held = (
                self._count(side) for side in (sides[1] & ~sides[0], sides[0] & ~sides[1], sides[0])
            )
            before, tied = held / n, moves.alike(held, n)
            changes = moves.of_shares(gained, lost, n)
        found = moves.widest(changes, before, tied)
        return Measurement(
            metric="deployment.fairness_change",
            kind="estimate",
            value=found.value,
            n=int(n[found.gained] + n[found.lost]),
            excluded=self.excluded,
            labels={**self.labels, "high": self.names[found.gained], "low": self.names[found.lost]},
            interval=found.interval,
        )

    def _successes(self) -> tuple[Array, Array] | None:
        """Of a yes or no whether it is yes; of several labels whether the right one is given; each ``(rows,)``."""
        assert self.pair.decided is not None
        if self.pair.task == "binary":
            return self.pair.decided
        return self.pair.right

    def _count(self, rows: Array) -> Array:
        return np.bincount(self.codes[rows], minlength=len(self.keep))[self.keep]


def _alike_means(values: list[Array]) -> Array:
    """Which pairs of groups have means less than two standard errors apart ``(groups, groups)``."""
    mean = np.array([v.mean() for v in values])
    error = np.array([v.std(ddof=1) / np.sqrt(len(v)) for v in values])
    return np.abs(mean[:, None] - mean[None, :]) <= 1.96 * np.hypot(error[:, None], error[None, :])


def _flips(flips: Array, rows: Array, names: tuple[str, ...], variant: str, attribute: str) -> Dots:
    dots = []
    for group, x, n in zip(names, flips.tolist(), rows.tolist(), strict=True):
        low, high = intervals.clopper_pearson(x, n, 1 - ladder.LEVEL)
        dots.append(Dot(label=group, value=x / n, low=low, high=high, n=n))
    return Dots(
        title=f"Decisions that differ in {variant}, by {attribute}",
        dots=tuple(dots),
        axis="share of decisions that differ",
        caption="95 % Clopper–Pearson intervals, each group on its own.",
        unit="share",
    )
