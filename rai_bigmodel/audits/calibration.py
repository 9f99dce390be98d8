"""Do scores mean what they say?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from rai_bigmodel.audits import changes
from rai_bigmodel.audits.answers import IN_BINS, Confidence, confidence
from rai_bigmodel.audits.fairness_scores import cut_by
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Bars, Curve, Dot, Findings, Line, Measurement, Record
from rai_bigmodel.stats import calibration
from rai_bigmodel.words import number, percent

if TYPE_CHECKING:
    from rai_bigmodel.stats.cells import Cells
    from rai_bigmodel.subject import Cohort, Splits, Subject

SHOWN_BARS = 10


class Calibration(Record, omit_defaults=True):
    """The debiased calibration error, and whether the scores could be the probabilities at all.

    The error is the root mean square over bins of equal size, less what chance puts there (Kumar, Liang and Ma
    2019); its interval inverts a noncentral χ². The p-value is that of consistency resampling (Bröcker and
    Smith 2007). With several labels, the probability of the label that is given is looked at.

    Args:
        bins: at most so many; fewer where one would hold less than 20 rows.
    """

    bins: int = calibration.BINS

    question: ClassVar[str] = "Do scores mean what they say?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bins < calibration.FEWEST_BINS:
            msg = f"calibration: bins must be at least {calibration.FEWEST_BINS}, got {self.bins}"
            raise InputError(msg)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Measure on ``data.held_out``."""
        found = self._measured(subject, data.held_out, rng)
        if (baseline := changes.baseline_of(subject)) is None:
            return found
        moved = changes.in_engine(found.measurements, data.held_out)
        if not moved:
            before = self._measured(baseline, data.held_out, rng)
            moved = changes.changes(found.measurements, before.measurements, {})
        return msgspec.structs.replace(found, measurements=(*found.measurements, *moved))

    def _measured(self, subject: Subject, cohort: Cohort, rng: np.random.Generator) -> Findings:
        said = confidence(subject, cohort)
        if isinstance(said, str):
            return _nothing(said, cohort.rows)
        cells = said.cells
        found, n = calibration.ece_of_cells(cells, bins=self.bins), cells.n
        if found.value is None or found.bins is None:
            return _nothing(found.why, n)
        fits = len(found.bins.n)
        if isinstance(said, Confidence) and n <= calibration.POOLED_FROM:
            p = calibration.consistency_p(said.scores, said.truth, rng, bins=fits)
        else:
            p = calibration.consistency_of_cells(cells, rng, bins=fits)
        binned = (IN_BINS,) if cells.width else ()
        return Findings(
            measurements=(
                Measurement(
                    metric="calibration.ece_debiased",
                    kind="estimate",
                    value=found.value,
                    n=n,
                    interval=found.interval,
                    why=found.why or cut_by(found.error),
                ),
                Measurement(metric="calibration.consistency_p", kind="p_value", value=p, n=n),
            ),
            exhibits=(_curve(found.bins, said.of), _histogram(cells)),
            notes=(
                *binned,
                (
                    f"Scores are read as the probability of {said.of}, in {fits} bins of about equal size. "
                    f"Before chance is taken off, the error would read {number(_before(found.bins))}; "
                    f"its plain mean, as others print it, {number(calibration.ece_plug_in(found.bins))}."
                ),
            ),
        )


def _nothing(why: str, n: int) -> Findings:
    return Findings(
        measurements=(
            Measurement(metric="calibration.ece_debiased", kind="estimate", value=None, n=n, why=why),
            Measurement(metric="calibration.consistency_p", kind="p_value", value=None, n=n, why=why),
        )
    )


def _before(bins: calibration.Bins) -> float:
    return float(np.sqrt(bins.n @ bins.gap**2 / bins.n.sum()))


def _curve(bins: calibration.Bins, of: str) -> Curve:
    line = Line(
        label="this model",
        x=tuple(round(float(v), 4) for v in bins.mean_score),
        y=tuple(round(float(v), 4) for v in bins.rate),
    )
    return Curve(
        title="Reliability",
        lines=(line,),
        x_axis="mean score",
        y_axis=f"how often it was {of}" if of == "the positive label" else "how often it was right",
        caption="On the diagonal scores mean what they say; below it they promise too much.",
        diagonal=True,
    )


def _histogram(cells: Cells) -> Bars:
    place = np.minimum((cells.scores * SHOWN_BARS).astype(int), SHOWN_BARS - 1)
    rows = np.bincount(place, weights=cells.rows, minlength=SHOWN_BARS)
    return Bars(
        title="Where the scores lie",
        bars=tuple(
            Dot(
                label=f"{percent(i / SHOWN_BARS)} to {percent((i + 1) / SHOWN_BARS)}",
                value=float(r / cells.n),
                n=int(r),
            )
            for i, r in enumerate(rows.tolist())
        ),
        axis="share of rows",
        unit="share",
    )
