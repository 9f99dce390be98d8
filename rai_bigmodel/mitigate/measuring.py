"""How is one yardstick laid on every model? The same rows, groups and pair, as the unmitigated model has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.mitigate import frontier as f
from rai_bigmodel.mitigate import mixture
from rai_bigmodel.mitigate.aware import thresholds_per_group
from rai_bigmodel.mitigate.gap import Pair, only, rates_of, sized, widest
from rai_bigmodel.stats import counts as c
from rai_bigmodel.subject import column_of, decisions_of, truth_of
from rai_bigmodel.subjects.of_run import of_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.mitigate.candidates import Candidate
    from rai_bigmodel.mitigate.exponentiated import Game
    from rai_bigmodel.mitigate.frontier import Point
    from rai_bigmodel.stats.counts import GroupCounts
    from rai_bigmodel.subject import Array, Cohort
    from rai_bigmodel.tables import Table
    from rai_bigmodel.training.checkpoint import Run


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """One yardstick for all points: which rows, which groups, which pair, and what to compare with."""

    attribute: str
    constraint: str
    run: Run
    calibrate: Table
    held_out: Table
    pair: Pair
    compared: Mapping[str, tuple[str, ...]]
    rows: f.Rows
    before: Array
    note: str

    @classmethod
    def of(
        cls, run: Run, train: Table, calibrate: Table, held_out: Table, *, by: list[str], constraint: str
    ) -> Measuring:
        """Groups and pair as the unmitigated model has them.

        Raises:
            InputError: fewer than two groups are large enough, or one of the pair is not among the calibration rows.
        """
        attribute = "*".join(by)
        made_from = _counts(run, train, by) + _counts(run, calibrate, by)
        named = widest(made_from, constraint, sized(made_from, constraint))
        if named is None:
            msg = (
                f"{attribute}: fewer than two groups of the {made_from.n.sum():,} training and calibration rows are "
                "large enough to be compared (30 rows, 5 expected of either outcome, a known value)"
            )
            raise InputError(msg)
        pair = named.pair
        calibrated = _counts(run, calibrate, by)
        here = sized(calibrated, constraint)
        enough = len(here) > 1
        on = f"the groups large enough there ({', '.join(here)})"
        if not enough:
            here = (pair.high, pair.low)
            on = f"{pair.high} and {pair.low}, because fewer than two groups are large enough there"
        there = [only(c.RATES[r](calibrated), here) for r in rates_of(constraint)]
        if min(len(rate.groups) for rate in there) < 2:
            msg = (
                f"{calibrate.name}: {pair.high} or {pair.low} has no rows that count towards the "
                f"{' or '.join(rates_of(constraint)).replace('_', ' ')}, so nothing can be chosen on these rows"
            )
            raise InputError(msg)
        fewest = min(int(rate.trials.min()) for rate in there)
        codes, names = held_out.groups(by)
        return cls(
            attribute=attribute,
            constraint=constraint,
            run=run,
            calibrate=calibrate,
            held_out=held_out,
            pair=pair,
            compared={"calibrate": here, "held_out": sized(_counts(run, held_out, by), constraint)},
            rows=f.Rows(codes=codes, names=names, truth=truth_of(held_out)),
            before=decisions_of(of_run(run), held_out),
            note=f"The gap on the {calibrate.rows:,} calibration rows, where the choice is made, is that among {on}; "
            f"one decision in the smallest of them moves it by up to {1 / fewest:.3f}.",
        )

    def base(self) -> Point:
        """The run as it is."""
        reads = [a for a in self.attribute.split("*") if a in self.run.card.features]
        words = f"{self.run.name} as it is" + (f"; it reads {', '.join(reads)}" if reads else "")
        point = f.Point(f.UNMITIGATED, f.UNMITIGATED, words, self.run.digest, reads_attribute=bool(reads))
        return self._measured(point, *self._decisions(self.run))

    def point(self, one: Candidate, made: Run) -> Point:
        """A candidate."""
        point = f.Point(one.name, one.method, one.words, made.digest, dropped=one.dropped)
        return self._measured(point, *self._decisions(made))

    def mixture(self, game: Game) -> Point:
        """A draw among the members of a game, by its expectations."""
        subjects = [(m, None if m.run is None else of_run(m.run)) for m in game.members]

        def chances(rows: Table) -> Array:
            return mixture.chance(
                (m.share, np.full(rows.rows, m.always) if s is None else decisions_of(s, rows))
                for m, s in subjects
            )

        words = (
            f"a draw among {len(game.members)} models for each person, as ExponentiatedGradient answers; these are "
            "expectations. Never chosen: the same person could get two answers, and it is not one run"
        )
        codes, names = self.calibrate.groups(by := self.attribute.split("*"))
        there = f.Rows(codes=codes, names=names, truth=truth_of(self.calibrate))
        on_there, here = chances(self.calibrate), chances(self.held_out)
        gap = mixture.widest(there, on_there, self.constraint, self.compared["calibrate"])
        about: dict[str, str] = {"attribute": "*".join(by), "constraint": self.constraint}
        found = mixture.levels(self.rows, here, groups=self.compared["held_out"], **about)
        found += mixture.changes(self.rows, self.before, here, pair=self.pair, against=f.UNMITIGATED, **about)
        return f.Point(
            "exponentiated-mixture",
            "mixture",
            words,
            "",
            randomised=True,
            accuracy=float(mixture.right(on_there, there.truth).mean()),
            gap=None if gap is None else gap.value,
            measurements=tuple(found),
        )

    def enough(self, train: Table) -> tuple[str, ...]:
        """The groups whose rates a training can be asked to make alike: large enough there, or else the pair."""
        by = self.attribute.split("*")
        here = sized(_counts(self.run, train, by), self.constraint)
        return here if len(here) > 1 else (self.pair.high, self.pair.low)

    def aware(self, seed: int) -> Point:
        """The run with thresholds per group.

        Raises:
            InputError: they cannot be set.
        """
        parts = (self.calibrate, self.held_out)
        subject, by = of_run(self.run), self.attribute.split("*")
        there, here = thresholds_per_group(
            subject, self.calibrate, parts, by=by, constraint=self.constraint, seed=seed
        )
        words = f"{self.run.name} with thresholds per group (Hardt, Price and Srebro 2016)"
        point = f.Point("thresholds-per-group", "attribute-aware", words, "", reads_attribute=True)
        return self._measured(point, there, here)

    def _decisions(self, run: Run) -> tuple[Array, Array]:
        subject = of_run(run)
        return decisions_of(subject, self.calibrate), decisions_of(subject, self.held_out)

    def _measured(self, point: Point, there: Array, here: Array) -> Point:
        """A point with its numbers, from the decisions about the calibration and the held-out rows."""
        by, constraint = self.attribute.split("*"), self.constraint
        counts = self.calibrate.count(by, truth=column_of(self.calibrate, "truth"), decision=there)
        gap = widest(counts, constraint, self.compared["calibrate"])
        held = self.held_out.count(by, truth=column_of(self.held_out, "truth"), decision=here)
        found = f.levels(held, self.attribute, constraint, self.compared["held_out"])
        if point.name != f.UNMITIGATED:
            found += f.changes(
                self.rows,
                self.before,
                here,
                attribute=self.attribute,
                constraint=constraint,
                pair=self.pair,
                against=f.UNMITIGATED,
            )
        return msgspec.structs.replace(
            point,
            accuracy=float((there == truth_of(self.calibrate)).mean()),
            gap=None if gap is None else gap.value,
            measurements=tuple(found),
        )


def _counts(run: Run, cohort: Cohort, by: list[str]) -> GroupCounts:
    return cohort.count(by, truth=column_of(cohort, "truth"), decision=decisions_of(of_run(run), cohort))
