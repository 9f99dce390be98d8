"""Which feature tells the outcome by itself? By its rank, or by a value that almost only one outcome has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.evidence import Bars, Dot, Measurement
from rai_bigmodel.stats import counts, exact, scores
from rai_bigmodel.stats.cells import Cells
from rai_bigmodel.tables.alike import as_one, codes_of
from rai_bigmodel.words import number, percent, plural

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort
    from rai_bigmodel.tables import Frame

TOO_MANY = "the rows stay in their engine, and this feature has more different values than are counted there"
TEXT_NEEDS_ROWS = "the rows stay in their engine, and text is ranked by the outcome's rate among other rows"
LEAK_AUC = 0.98
PURE_VALUE = 0.95
PURE_INTERVAL = 0.985
PURE_SHARE = 0.05
PURE_ALPHA = 0.001
PURER_THAN_BASE = 3.0
MOST_LEVELS = 200
ONE_VALUE = "the feature or the outcome has one value"
UNREPEATED = "hardly any value of this text stands in two rows, so that one could tell of the other"
NO_LARGE_PART = f"no value or interval has {percent(PURE_SHARE)} of the rows"
AS_RARE_ANYWHERE = (
    "almost all rows have one outcome, and no part of this feature has it three times as surely as they do"
)


class _Pure(NamedTuple):
    """The purest part of a feature; of one that tells nothing `bound` may be null, and `where` says why."""

    bound: float | None
    where: str
    suspicious: bool


class Leak(NamedTuple):
    """How much one feature tells about the outcome by itself; `why` there is no AUC."""

    feature: str
    auc: float | None
    pure: _Pure
    n: int
    why: str = ONE_VALUE

    @property
    def measurements(self) -> list[Measurement]:
        """Its AUC alone, and its purest value or interval."""
        labels = {"feature": self.feature}
        why = "" if self.auc is not None else self.why
        bound, where, suspicious = self.pure
        return [
            Measurement(
                metric="data.leak_auc", kind="exact", value=self.auc, n=self.n, labels=labels, why=why
            ),
            Measurement(
                metric="data.leak_purity",
                kind="exact",
                value=bound,
                n=self.n,
                labels=labels,
                why=where if bound is None else f"where {where}" if suspicious else "",
            ),
        ]

    @property
    def accusation(self) -> str:
        """What a reader is told of it; nothing where it tells little."""
        if self.auc is not None and self.auc >= LEAK_AUC:
            return (
                f"{self.feature!r} tells the outcome by itself (AUC {number(self.auc)}): "
                "a leak, unless it is truly known before the decision."
            )
        purity, where, suspicious = self.pure
        if suspicious:
            return (
                f"{self.feature!r} is suspicious: where {where}, one outcome almost never occurs "
                f"(bound {number(purity)}). Ask when this is known."
            )
        return ""


def accused(leaks: list[Leak]) -> tuple[str, ...]:
    """What is said of features that give the outcome away, or that none does."""
    found = tuple(leak.accusation for leak in leaks if leak.accusation)
    told = [leak for leak in leaks if leak.auc is not None or leak.pure.bound is not None]
    if told and not found:
        return (f"None of {plural(len(told), 'feature')} gives the outcome away.",)
    return found


class _Values(NamedTuple):
    """One feature by its distinct values, the missing ones left out.

    Args:
        levels: the values, ascending.
        rows, hits: how many rows have each, and with how many the outcome is positive.
        codes: of text, the level of each row ``(rows,)``, −1 where it is missing.
    """

    levels: Array
    rows: Array
    hits: Array
    codes: Array | None = None


def leaks_of(parts: list[Cohort], features: tuple[str, ...], truth: str) -> list[Leak]:
    """How much each feature tells, over all rows of several tables in memory."""
    # A picture or a series has no one value that could tell the outcome.
    features = tuple(f for f in features if parts[0].arrays(f)[f].ndim == 1)
    if not features:
        return []
    outcome = np.concatenate([part.binary(truth) for part in parts])
    return [_leak(f, _values(parts, f, outcome), outcome) for f in features]


def _values(parts: list[Cohort], feature: str, outcome: Array) -> _Values:
    columns = [part.arrays(feature)[feature] for part in parts]
    if any(values.dtype == object for values in columns):
        codes, names = codes_of(parts, feature)
        there = codes >= 0
        rows = np.bincount(codes[there], minlength=len(names))
        hits = np.bincount(codes[there & outcome], minlength=len(names))
        return _Values(np.array(names, dtype=object), rows, hits, codes)
    values = as_one(columns)
    gone = np.isnan(values)
    if gone.any():
        values, outcome = values[~gone], outcome[~gone]
    return _Values(*counts.by_value(values, outcome))


def _leak(feature: str, values: _Values, outcome: Array) -> Leak:
    if values.codes is None:
        area = scores.auc_of_cells(Cells(values.levels, values.rows - values.hits, values.hits)).value
    else:
        ranks = _encoded(values.codes, outcome)
        there = ~np.isnan(ranks)
        area = scores.auc(ranks[there], outcome[there])
    if area is not None:
        area = max(area, 1 - area)
    several = values.codes is not None and len(values.levels) > 1 and 0 < outcome.sum() < len(outcome)
    why = UNREPEATED if several else ONE_VALUE
    return Leak(feature, area, _purest(values, len(outcome), int(outcome.sum())), len(outcome), why)


def _encoded(codes: Array, outcome: Array) -> Array:
    """Text as the outcome's rate at the same value in the other half of the rows; NaN where it is not there."""
    codes = codes + 1  # what is missing is a value too
    half = np.arange(len(codes)) % 2 == 0
    out = np.full(len(codes), np.nan)
    for here in (half, ~half):
        n = np.bincount(codes[~here], minlength=codes.max() + 1)
        x = np.bincount(codes[~here], outcome[~here], minlength=codes.max() + 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[here] = (x / n)[codes[here]]
    return out


def _purest(values: _Values, n: int, positives: int) -> _Pure:
    """The value, its complement, or the interval, whose outcome is most surely one and the same.

    Where an outcome is rare, every part of every feature is as pure as all rows are: that is no number about it.
    """
    if positives in {0, n}:
        return _Pure(None, ONE_VALUE, suspicious=False)
    levels, rows, hits = values.levels, values.rows, values.hits
    known, known_hits = int(rows.sum()), int(hits.sum())

    def both(word: str, other: str, r: Array, h: Array) -> tuple[Array, Array, tuple[str, str]]:
        """Each level's cell and what is left of it, side by side: rows, positives, how to name the two."""
        return np.stack([r, known - r], 1).ravel(), np.stack([h, known_hits - h], 1).ravel(), (word, other)

    cells = []
    if len(levels) <= MOST_LEVELS:
        cells.append(both("it is", "it is not", rows, hits))
    if values.codes is None and len(levels) > 2:
        cells.append(both("it is at most", "it is above", np.cumsum(rows), np.cumsum(hits)))
    size = np.concatenate([[n - known], *(c[0] for c in cells)]).astype(np.int64)
    positive = np.concatenate([[positives - known_hits], *(c[1] for c in cells)]).astype(np.int64)
    large = np.nonzero(size >= PURE_SHARE * n)[0]
    if not len(large):
        return _Pure(None, NO_LARGE_PART, suspicious=False)
    size, positive = size[large], positive[large]
    pure = np.maximum(positive, size - positive)
    base = min(positives, n - positives) / n
    usual = np.where((positive == pure) == (positives * 2 >= n), base, 1 - base)
    is_interval = large >= (1 + len(cells[0][0]) if len(levels) <= MOST_LEVELS else 1)
    enough = np.where(is_interval, PURE_INTERVAL, PURE_VALUE)

    def purer(bound: Array) -> Array:
        beyond: Array = (1 - bound) * PURER_THAN_BASE <= usual
        return beyond

    def tells(bound: Array) -> Array:
        return (bound >= enough) & purer(bound)

    bound = exact.largest_at_least(pure, size, PURE_ALPHA, first=tells)
    suspicious = tells(bound)
    best = int(np.argmax(np.where(suspicious, bound, -1) if suspicious.any() else bound))
    if bound[best] >= PURE_VALUE and not purer(bound)[best]:
        return _Pure(None, AS_RARE_ANYWHERE, suspicious=False)

    def called(cell: int) -> str:
        if cell == 0:
            return "it is missing"
        cell -= 1
        kind, place = divmod(cell, 2 * len(levels))  # both kinds of cells name every level, twice
        level = levels[place // 2]
        return f"{cells[kind][2][place % 2]} {number(float(level)) if values.codes is None else repr(level)}"

    return _Pure(float(bound[best]), called(int(large[best])), bool(suspicious[best]))


def leak_in_engine(cohort: Frame, feature: str, truth: str) -> Leak:
    """One GROUP BY of feature and outcome says all there is to say, where there are not too many values."""
    counted, n = cohort.values(feature, truth=truth), cohort.rows
    if counted is None:
        return Leak(feature, None, _Pure(None, TOO_MANY, suspicious=False), n, TOO_MANY)
    told, rows, hits = counted
    positives = int(hits.sum())
    there = [i for i, v in enumerate(told) if v is not None]
    number_like = all(isinstance(told[i], float) for i in there)
    there.sort(key=lambda i: told[i] if number_like else str(told[i]))  # type: ignore[arg-type, return-value]
    levels = np.array(
        [told[i] if number_like else str(told[i]) for i in there], dtype=float if number_like else object
    )
    values = _Values(levels, rows[there], hits[there], None if number_like else np.empty(0, dtype=np.int64))
    pure = _purest(values, n, positives)
    if not number_like:
        return Leak(feature, None, pure, n, TEXT_NEEDS_ROWS)
    area = scores.auc_of_cells(Cells(values.levels, values.rows - values.hits, values.hits)).value
    return Leak(feature, None if area is None else max(area, 1 - area), pure, n)


def ranked(leaks: list[Leak]) -> Bars:
    """The features that rank the outcome best, as bars."""
    top = sorted((leak for leak in leaks if leak.auc is not None), key=lambda leak: -(leak.auc or 0))[:15]
    return Bars(
        title="How well each feature alone ranks the outcome",
        bars=tuple(Dot(label=leak.feature, value=leak.auc, n=leak.n) for leak in top),
        axis="AUC of the feature alone",
        caption=f"0.5 says nothing; {number(LEAK_AUC)} or more gives the outcome away.",
    )
