"""Where does the model do worst? Subgroups of one to three conditions, found in one half and confirmed in the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from rai_bigmodel.audits.answers import NEEDS_ROWS, correct
from rai_bigmodel.audits.slice_conditions import conditions_of, worst_leaf
from rai_bigmodel.audits.slices_in_engine import halves_of
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Findings, Interval, Measurement, Record, Rung, Table
from rai_bigmodel.stats import intervals, ladder, slices
from rai_bigmodel.subject import in_memory, task_of
from rai_bigmodel.tables import Frame
from rai_bigmodel.words import percent, plural

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

FEWEST_ROWS = 200
NO_ACCURACY = {
    "number": "the subject predicts a number",
    "reconstruction": "the subject rebuilds rows",
    "language": "the subject foresees words",
}
SEARCHED = 50_000


class Slices(Record, omit_defaults=True):
    """The subgroups of features and sensitive columns in which decisions are wrong most often.

    Half of the rows is searched: numbers in quarters, text by its values, every conjunction of up to `depth`
    conditions. The other half decides: the slice that was worst is measured there, with an interval that
    needs no correction because it was chosen on other rows; and of all candidates those count as significant
    that Fisher's exact test shows with the false discovery rate held (Benjamini and Yekutieli 2001).

    Where rows stay in their engine, it counts the conditions of as many columns together as make few enough cells,
    and the halves are drawn from the cells (`slices_in_engine`).

    Args:
        depth: conditions at most, 1 to 3.
        share: of the rows, the least that a slice holds (and never fewer than 30); at most it holds half.
        candidates: how many slices are taken to the other half.
        discovery_rate: the share of significant slices that may be false, on average.
        yardstick: also the worst leaf of a decision tree of depth 3.
    """

    depth: int = 3
    share: float = 0.01
    candidates: int = 20
    discovery_rate: float = 0.05
    yardstick: bool = True

    question: ClassVar[str] = "Where does the model do worst?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, ok, what in (
            ("depth", 1 <= self.depth <= 3, "from 1 to 3"),
            ("share", 0 <= self.share < 0.5, "from 0 to below 0.5"),
            ("candidates", 1 <= self.candidates <= 200, "from 1 to 200"),
            ("discovery_rate", 0 < self.discovery_rate < 1, "between 0 and 1"),
        ):
            if not ok:
                msg = f"slices: {name} must lie {what}, got {getattr(self, name)}"
                raise InputError(msg)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Search and confirm on ``data.held_out``."""
        cohort = data.held_out
        if (task := task_of(subject)) in NO_ACCURACY:
            return _nothing(f"slices are compared by accuracy, and {NO_ACCURACY[task]}", cohort.rows)
        if cohort.rows < FEWEST_ROWS:
            why = f"{plural(cohort.rows, 'row')} cannot be halved and searched; at least {FEWEST_ROWS} are needed"
            return _nothing(why, cohort.rows)
        if not in_memory(cohort):
            return self._in_engine(subject, cohort, rng)
        wrong = ~correct(subject, cohort)
        shuffled = rng.permutation(cohort.rows)
        search, confirm = np.array_split(shuffled, 2)
        search, confirm = np.sort(search[:SEARCHED]), _ascending(confirm, cohort.rows)
        # Quarters and frequent values: of all rows, or of as many as are looked at twice over.
        conditions = conditions_of(cohort, np.sort(shuffled[: 2 * SEARCHED]))
        if not conditions:
            return _nothing("no feature or sensitive column takes two values that can be named", cohort.rows)
        columns = [c.column(cohort, search) for c in conditions]
        least = self._least(len(search))
        found = slices.strongest(columns, wrong[search], depth=self.depth, least=least, most=self.candidates)
        # Of the other half only what was found is looked at.
        used = sorted({i for one in found for i, _ in one.conditions})
        other = {i: conditions[i].column(cohort, confirm) for i in used}
        outcome = wrong[confirm]
        there = [_seen(one.words(columns), one.mask(other), outcome) for one in found]
        tree = None
        if self.yardstick and wrong[search].any():
            leaf = worst_leaf(cohort, conditions, wrong, search=search, confirm=confirm, least=least)
            tree = _seen(*leaf, outcome)
        n = len(confirm)
        return self._told(there, tree, n, _said(len(columns), len(search), n, least, len(found)))

    def _in_engine(self, subject: Subject, cohort: Cohort, rng: np.random.Generator) -> Findings:
        """The same of cells, which are halved as their rows would be; without the tree, which needs single rows."""
        if task_of(subject) != "binary" or not isinstance(cohort, Frame):
            return _nothing(NEEDS_ROWS, cohort.rows)
        halves = halves_of(subject, cohort, rng)
        if isinstance(halves, str):
            return _nothing(halves, cohort.rows)
        columns, wrong = halves.columns, halves.wrong
        searched, n = int(halves.search.sum()), int(halves.confirm.sum())
        least = self._least(searched)
        found = slices.strongest(
            columns, wrong, weights=halves.search, depth=self.depth, least=least, most=self.candidates
        )
        there = [_seen(one.words(columns), one.mask(columns), wrong, halves.confirm) for one in found]
        return self._told(there, None, n, _said(len(columns), searched, n, least, len(found)), *halves.notes)

    def _least(self, searched: int) -> int:
        return max(30, int(np.ceil(self.share * searched)))

    def _told(self, there: list[_Seen], tree: _Seen | None, n: int, *notes: str) -> Findings:
        significant = slices.benjamini_yekutieli([s.p for s in there], rate=self.discovery_rate)
        count = Measurement(
            metric="slices.count_significant", kind="exact", value=float(sum(significant)), n=n
        )
        return Findings(
            measurements=(_drop(there, n), count),
            exhibits=(_table(there, significant, tree),),
            notes=notes,
        )


def _ascending(rows: Array, of: int) -> Array:
    """Some of the rows, in order: marked and found again, which is quicker than sorting them."""
    marked = np.zeros(of, dtype=bool)
    marked[rows] = True
    return np.flatnonzero(marked)


class _Seen(NamedTuple):
    """A slice as the confirming half shows it."""

    words: str
    rows: int
    wrong: int
    whole: int
    all_wrong: int
    p: float

    @property
    def accuracy(self) -> float | None:
        return 1 - self.wrong / self.rows if self.rows else None

    @property
    def drop(self) -> float | None:
        """The accuracy over all rows less that in the slice."""
        return None if self.accuracy is None else (1 - self.all_wrong / self.whole) - self.accuracy


def _seen(words: str, mask: Array, wrong: Array, weights: Array | None = None) -> _Seen:
    """A slice on the confirming rows; of cells, with how many rows each stands for."""
    parts = (mask, mask & wrong, wrong)
    if weights is None:
        whole = len(mask)
        rows, hits, all_hits = (int(np.count_nonzero(v)) for v in parts)
    else:
        whole = int(weights.sum())
        rows, hits, all_hits = (int(weights[v].sum()) for v in parts)
    p = slices.more_than_chance(hits, rows, all_hits, whole) if rows else 1.0
    return _Seen(words, rows, hits, whole, all_hits, p)


def _nothing(why: str, n: int) -> Findings:
    return Findings(
        measurements=(
            Measurement(metric="slices.worst_accuracy_drop", kind="estimate", value=None, n=n, why=why),
            Measurement(metric="slices.count_significant", kind="exact", value=None, n=n, why=why),
        )
    )


def _drop(there: list[_Seen], n: int) -> Measurement:
    """The first candidate's drop: it was worst where it was searched for, so nothing was picked on these rows."""
    name = "slices.worst_accuracy_drop"
    if not there:
        why = "no slice does worse than the rest of the rows that were searched"
        return Measurement(metric=name, kind="estimate", value=None, n=n, why=why)
    worst = there[0]
    labels = {"slice": worst.words}
    if worst.drop is None or worst.rows == worst.whole:
        why = "the slice that was worst where it was searched for holds none of the rows it was to be confirmed on"
        return Measurement(metric=name, kind="estimate", value=None, n=n, labels=labels, why=why)
    return Measurement(
        metric=name, kind="estimate", value=worst.drop, n=n, labels=labels, interval=_drop_interval(worst)
    )


def _drop_interval(one: _Seen) -> Interval:
    """All rows less the slice is the share outside it times (outside less slice): two independent proportions."""
    rest = one.whole - one.rows
    outside = intervals.rate_difference(
        (rest - (one.all_wrong - one.wrong), rest), (one.rows - one.wrong, one.rows)
    )
    share = rest / one.whole

    def times(value: float | None) -> float | None:
        return None if value is None else value * share

    ladder: tuple[Rung, ...] = tuple(
        (r[0], times(r[1]), times(r[2]), times(r[3]), times(r[4])) for r in outside.ladder
    )
    return Interval(
        low=times(outside.low),
        high=times(outside.high),
        level=outside.level,
        method=outside.method,
        ladder=ladder,
    )


def _said(columns: int, searched: int, confirmed: int, least: int, found: int) -> str:
    limited = (
        f" Pairs were searched over the {slices.PAIRED} columns that are strongest alone, "
        f"triples over {slices.TRIPLED}."
        if columns > slices.TRIPLED
        else ""
    )
    return (
        f"{plural(columns, 'column')} searched in {plural(searched, 'row')} for slices of at least {least}; "
        f"{plural(found, 'candidate')} confirmed on {confirmed:,} other rows.{limited} "
        "The worst slice is the one whose gap was surest, not the one whose gap was largest."
    )


def _table(there: list[_Seen], significant: list[bool], tree: _Seen | None) -> Table:
    """The slices in words, as the confirming half shows them."""
    rows = [_row(s, "yes" if yes else "no") for s, yes in zip(there, significant, strict=True)]
    if tree is not None:
        rows.append(_row(tree._replace(words=f"Yardstick, worst leaf of a tree: {tree.words}"), "not tested"))
    return Table(
        title="Slices that did worst where they were searched for, on the other half",
        columns=("slice", "rows", "accuracy", "95 % interval", "drop", "significant"),
        rows=tuple(rows),
        caption="Found in one half of the rows, measured in the other. Each interval is for its slice alone; "
        "significant: false discoveries among all slices shown are held.",
    )


def _row(one: _Seen, significant: str) -> tuple[str | int | float | None, ...]:
    if one.accuracy is None or one.drop is None:
        return (one.words, 0, None, "", None, significant)
    low, high = intervals.clopper_pearson(one.rows - one.wrong, one.rows, 1 - ladder.LEVEL)
    return (
        one.words,
        one.rows,
        round(one.accuracy, 4),
        f"{percent(round(low, 3))} to {percent(round(high, 3))}",
        round(one.drop, 4),
        significant,
    )
