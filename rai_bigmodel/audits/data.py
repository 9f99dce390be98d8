"""Do the rows give the answer away, repeat themselves, or leave groups out?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from rai_bigmodel.audits.answers import NEEDS_ROWS
from rai_bigmodel.evidence import Bars, Dot, Findings, Measurement, Record, Table
from rai_bigmodel.stats import copies, counts, exact, intervals, scores
from rai_bigmodel.stats.cells import Cells
from rai_bigmodel.stats.counts import MISSING
from rai_bigmodel.subject import decision_in, in_memory, task_of
from rai_bigmodel.tables import Table as Rows
from rai_bigmodel.tables import canonical
from rai_bigmodel.words import number, percent, plural

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

NO_COLUMNS = "no feature holds one value a row"
NEEDS_TWO = "this is measured where the outcome is a yes or no"
LEAK_AUC = 0.98
PURE_VALUE = 0.95
PURE_INTERVAL = 0.985
PURE_SHARE = 0.05
PURE_ALPHA = 0.001
PURER_THAN_BASE = 3.0
MOST_LEVELS = 200


class Data(Record, omit_defaults=True):
    """Leaks, exact duplicates, overlap of training and held-out rows, missing values, groups' shares.

    A feature that alone ranks the outcome with an AUC of 0.98 tells it. One that does not may still hold a
    value that only one outcome ever has: `leak_purity` is the 99.9 % Clopper–Pearson bound of the purest
    value or interval with 5 % of the rows. Both are looked for in all rows at hand, training rows included.
    """

    question: ClassVar[str] = "Do the data give the answer away, repeat themselves, or leave groups out?"
    needs: ClassVar[tuple[str, ...]] = ()
    primary_only: ClassVar[bool] = True

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:  # noqa: ARG002
        """Measure on all splits; shares and label rates on ``data.held_out``."""
        held_out = data.held_out
        parts = [part for part in (data.train, data.calibrate, held_out) if part is not None]
        truth = next(iter(held_out.roles.get("truth", ())), "")  # rows that are only rebuilt have none
        features = tuple(f for f in held_out.roles.get("feature", ()) if f != truth)
        if not in_memory(held_out):
            return _in_engine(subject, held_out, features, truth)
        yes_or_no = task_of(subject) == "binary"
        leaks = _leaks(parts, features, truth) if yes_or_no else []
        found = [m for leak in leaks for m in leak.measurements]
        if not yes_or_no:
            found += [
                Measurement(metric=f"data.{name}", kind="exact", value=None, why=NEEDS_TWO)
                for name in ("leak_auc", "leak_purity", "label_rate")
            ]
        if yes_or_no and not leaks:
            found += [
                Measurement(metric=f"data.{name}", kind="exact", value=None, why=NO_COLUMNS)
                for name in ("leak_auc", "leak_purity")
            ]
        found += _missing(parts, features)
        found += _repeats(data, features)
        for attribute in held_out.roles.get("sensitive", ()):
            found += _groups(subject, held_out, attribute, truth)
        exhibits: list[Table | Bars] = []
        if leaks:
            exhibits.append(_ranked(leaks))
        notes = [leak.accusation for leak in leaks if leak.accusation]
        if leaks and not notes:
            notes = [f"None of {plural(len(leaks), 'feature')} gives the outcome away."]
        notes += [note for note in getattr(held_out, "notes", ()) if note]
        if subject.card.get("ledger") and data.train is not None:
            notes.append(
                "ε covers the model. It does not cover this section, which counts training rows exactly."
            )
        return Findings(measurements=tuple(found), exhibits=tuple(exhibits), notes=tuple(notes))


class _Leak(NamedTuple):
    """How much one feature tells about the outcome by itself."""

    feature: str
    auc: float | None
    purity: float | None
    where: str
    suspicious: bool
    n: int

    @property
    def measurements(self) -> list[Measurement]:
        labels = {"feature": self.feature}
        why = "" if self.auc is not None else "the feature or the outcome has one value"
        pure = (
            "" if self.purity is not None else f"no value or interval has {percent(PURE_SHARE)} of the rows"
        )
        return [
            Measurement(
                metric="data.leak_auc", kind="exact", value=self.auc, n=self.n, labels=labels, why=why
            ),
            Measurement(
                metric="data.leak_purity",
                kind="exact",
                value=self.purity,
                n=self.n,
                labels=labels,
                why=pure or (f"where {self.where}" if self.suspicious else ""),
            ),
        ]

    @property
    def accusation(self) -> str:
        if self.auc is not None and self.auc >= LEAK_AUC:
            return (
                f"{self.feature!r} tells the outcome by itself (AUC {number(self.auc)}): "
                "a leak, unless it is truly known before the decision."
            )
        if self.suspicious:
            return (
                f"{self.feature!r} is suspicious: where {self.where}, one outcome almost never occurs "
                f"(bound {number(self.purity)}). Ask when this is known."
            )
        return ""


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


def _leaks(parts: list[Cohort], features: tuple[str, ...], truth: str) -> list[_Leak]:
    # A picture or a series has no one value that could tell the outcome.
    features = tuple(f for f in features if parts[0].arrays(f)[f].ndim == 1)
    if not features:
        return []
    outcome = np.concatenate([part.binary(truth) for part in parts])
    return [_leak(f, _values(parts, f, outcome), outcome) for f in features]


def _values(parts: list[Cohort], feature: str, outcome: Array) -> _Values:
    columns = [part.arrays(feature)[feature] for part in parts]
    if any(values.dtype == object for values in columns):
        codes, names = _codes(parts, feature)
        there = codes >= 0
        rows = np.bincount(codes[there], minlength=len(names))
        hits = np.bincount(codes[there & outcome], minlength=len(names))
        return _Values(np.array(names, dtype=object), rows, hits, codes)
    values = _one(columns)
    gone = np.isnan(values)
    if gone.any():
        values, outcome = values[~gone], outcome[~gone]
    return _Values(*counts.by_value(values, outcome))


def _codes(parts: list[Cohort], column: str) -> tuple[Array, list[str]]:
    """Codes of text over several tables, −1 where it is missing; and the names, sorted."""
    known = []
    for part in parts:
        if isinstance(part, Rows):
            known.append(part.codes(column))
        else:
            names, codes = np.unique(canonical(part.arrays(column)[column]).astype(str), return_inverse=True)
            known.append((codes, tuple(names.tolist())))
    levels = sorted({name for _, names in known for name in names} - {MISSING})
    place = {MISSING: -1} | {name: i for i, name in enumerate(levels)}
    found = [np.array([place[name] for name in names] or [0])[codes] for codes, names in known]
    return _one(found), levels


def _one(parts: list[Array]) -> Array:
    """Several parts of a column as one; of a single part no copy is made."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _leak(feature: str, values: _Values, outcome: Array) -> _Leak:
    if values.codes is None:
        area = scores.auc_of_cells(Cells(values.levels, values.rows - values.hits, values.hits)).value
    else:
        ranks = _encoded(values.codes, outcome)
        there = ~np.isnan(ranks)
        area = scores.auc(ranks[there], outcome[there])
    if area is not None:
        area = max(area, 1 - area)
    purity, where, suspicious = _purest(values, len(outcome), int(outcome.sum()))
    return _Leak(feature, area, purity, where, suspicious, len(outcome))


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


def _purest(values: _Values, n: int, positives: int) -> tuple[float | None, str, bool]:
    """The value, its complement, or the interval, whose outcome is most surely one and the same."""
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
        return None, "", False
    size, positive = size[large], positive[large]
    pure = np.maximum(positive, size - positive)
    base = min(positives, n - positives) / n
    usual = np.where((positive == pure) == (positives * 2 >= n), base, 1 - base)
    is_interval = large >= (1 + len(cells[0][0]) if len(levels) <= MOST_LEVELS else 1)
    enough = np.where(is_interval, PURE_INTERVAL, PURE_VALUE)

    def tells(bound: Array) -> Array:
        suspicious: Array = (bound >= enough) & ((1 - bound) * PURER_THAN_BASE <= usual)
        return suspicious

    bound = exact.largest_at_least(pure, size, PURE_ALPHA, first=tells)
    suspicious = tells(bound)
    best = int(np.argmax(np.where(suspicious, bound, -1) if suspicious.any() else bound))

    def called(cell: int) -> str:
        if cell == 0:
            return "it is missing"
        cell -= 1
        kind, place = divmod(cell, 2 * len(levels))  # both kinds of cells name every level, twice
        level = levels[place // 2]
        return f"{cells[kind][2][place % 2]} {number(float(level)) if values.codes is None else repr(level)}"

    return float(bound[best]), called(int(large[best])), bool(suspicious[best])


def _missing(parts: list[Cohort], features: tuple[str, ...]) -> list[Measurement]:
    out = []
    for f in features:
        columns = [part.arrays(f)[f] for part in parts]
        text = any(x.dtype == object for x in columns)
        gone = int((_codes(parts, f)[0] < 0).sum()) if text else sum(int(_any_nan(x).sum()) for x in columns)
        n = sum(len(x) for x in columns)
        out.append(
            Measurement(metric="data.missing_rate", kind="exact", value=gone / n, n=n, labels={"feature": f})
        )
    return out


def _any_nan(values: Array) -> Array:
    """Which rows lack a number; of pictures and series, which lack one anywhere."""
    return np.isnan(values) if values.ndim == 1 else np.isnan(values).reshape(len(values), -1).any(axis=1)


def _repeats(data: Splits, features: tuple[str, ...]) -> list[Measurement]:
    """Rows that are the same in every feature, sensitive column and the outcome."""
    held_out, train = data.held_out, data.train
    names = ("data.duplicate_rate", "data.train_test_overlap")
    if not features:
        why = "there are no feature columns, so rows that agree need not be copies"
        return [Measurement(metric=name, kind="exact", value=None, why=why) for name in names]
    columns = (*features, *held_out.roles.get("sensitive", ()), *held_out.roles.get("truth", ()))
    parts = [held_out] if train is None else [held_out, train]
    keys, n = keys_of(parts, columns), held_out.rows
    here = [key[:n] for key in keys]
    out = [
        Measurement(metric=names[0], kind="exact", value=1 - copies.distinct(here) / max(n, 1), n=n),
    ]
    if train is None:
        return [
            *out,
            Measurement(metric=names[1], kind="exact", value=None, why="no training rows were given"),
        ]
    both = copies.shared(here, [key[n:] for key in keys])
    return [*out, Measurement(metric=names[1], kind="exact", value=both / max(n, 1), n=n)]


def keys_of(parts: list[Cohort], columns: tuple[str, ...]) -> list[Array]:
    """Columns over several tables, text as codes that stand for the same values in all."""
    out = []
    for column in columns:
        values = [part.arrays(column)[column] for part in parts]
        text = any(x.dtype == object for x in values)
        if values[0].ndim > 1:
            out.append(_alike(values))
            continue
        out.append(_codes(parts, column)[0] if text else _one(values))
    return out


def _alike(values: list[Array]) -> Array:
    """A code for each picture or series ``(rows,)``, the same for the same one."""
    index: dict[bytes, int] = {}
    rows = (row.tobytes() for part in values for row in part)
    return np.fromiter((index.setdefault(row, len(index)) for row in rows), dtype=np.int64)


def _in_engine(subject: Subject, cohort: Cohort, features: tuple[str, ...], truth: str) -> Findings:
    """What can be counted where the rows are; the rest is null, with why."""
    found = [
        Measurement(
            metric=f"data.{name}",
            kind="exact",
            value=None,
            n=cohort.rows,
            labels={"feature": f},
            why=NEEDS_ROWS,
        )
        for f in features
        for name in ("leak_auc", "leak_purity")
    ]
    counted = getattr(cohort, "missing", None)
    gone: dict[str, int] = counted(features) if counted else {}
    found += [
        Measurement(
            metric="data.missing_rate",
            kind="exact",
            value=n / cohort.rows,
            n=cohort.rows,
            labels={"feature": f},
        )
        for f, n in gone.items()
    ]
    found += [
        Measurement(metric=f"data.{name}", kind="exact", value=None, n=cohort.rows, why=NEEDS_ROWS)
        for name in ("duplicate_rate", "train_test_overlap")
    ]
    for attribute in cohort.roles.get("sensitive", ()):
        found += _groups(subject, cohort, attribute, truth)
    return Findings(measurements=tuple(found))


def _groups(subject: Subject, cohort: Cohort, attribute: str, truth: str) -> list[Measurement]:
    # In an engine, the decisions that were counted already; in memory none are needed.
    decision = np.zeros(cohort.rows, dtype=bool) if in_memory(cohort) else decision_in(subject, cohort)
    yes_or_no = task_of(subject) == "binary"
    outcome = truth if yes_or_no else np.zeros(cohort.rows, dtype=bool)
    found = cohort.count((attribute,), truth=outcome, decision=decision)
    total = int(found.n.sum())
    out = []
    for group, n, positives in zip(found.groups, found.n.tolist(), found.positives.tolist(), strict=True):
        labels = {"attribute": attribute, "group": group}
        for name, x, of in (("group_share", n, total), ("label_rate", positives, n))[: 1 + yes_or_no]:
            out.append(
                Measurement(
                    metric=f"data.{name}",
                    kind="estimate",
                    value=x / of,
                    n=of,
                    labels=labels,
                    interval=intervals.group_rate(x, of),
                )
            )
    return out


def _ranked(leaks: list[_Leak]) -> Bars:
    top = sorted((leak for leak in leaks if leak.auc is not None), key=lambda leak: -(leak.auc or 0))[:15]
    return Bars(
        title="How well each feature alone ranks the outcome",
        bars=tuple(Dot(label=leak.feature, value=leak.auc, n=leak.n) for leak in top),
        axis="AUC of the feature alone",
        caption=f"0.5 says nothing; {number(LEAK_AUC)} or more gives the outcome away.",
    )
