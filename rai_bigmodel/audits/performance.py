"""How often is the model right, and how well does it rank?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rai_bigmodel.audits import answers, changes, performance_classes, performance_numbers, performance_rows
from rai_bigmodel.audits.fairness_scores import binned_by
from rai_bigmodel.audits.performance_changes import paired_performance
from rai_bigmodel.audits.performance_classes import estimate, f1
from rai_bigmodel.evidence import Curve, Findings, Interval, Kind, Line, Measurement, Record, Table
from rai_bigmodel.stats import intervals, regression, scores
from rai_bigmodel.stats.counts import distinct
from rai_bigmodel.subject import (
    column_of,
    decision_in,
    has_scores,
    in_memory,
    scores_of,
    task_of,
    truth_of,
)

if TYPE_CHECKING:
    from rai_bigmodel.stats.cells import Cells
    from rai_bigmodel.stats.counts import GroupCounts
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

ONLY_DECISIONS = "only decisions were given, no scores"
CURVE_POINTS = 60
ERROR = {
    "number": "of the mean absolute error",
    "reconstruction": "of the mean squared error of rebuilt rows",
    "language": "of the mean surprise of a word or character, in nats",
}
"""What a model without labels does worse in on rows that it has not seen."""


class Performance(Record, omit_defaults=True):
    """Accuracy, ranking and probabilistic scores on the held-out rows; errors where a number is predicted.

    Accuracy by Clopper–Pearson, balanced accuracy by score limits of the average, AUC by the wider of DeLong and
    Newcombe's method 5, Brier score and log loss by Student's t corrected for skewness, F1 by resampling the cells
    (BCa). Where training rows were given, the generalisation gap says how much better they do; where a baseline was,
    how much each number changed, paired on the same rows.
    """

    question: ClassVar[str] = "How often is the model right?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)
    reads_training: ClassVar[bool] = True

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Measure on ``data.held_out``; the generalisation gap on ``data.train`` as well."""
        cohort = data.held_out
        found = _measured_on(subject, cohort, rng)
        measurements = (*found.measurements, _generalisation_gap(subject, data))
        notes = performance_rows.unknown_words(subject, cohort)
        if (baseline := changes.baseline_of(subject)) is not None:
            moved = changes.in_engine(found.measurements, cohort)
            if not moved:
                known, said = paired_performance(subject, baseline, cohort, rng)
                notes += said
                before = _measured_on(baseline, cohort, rng)
                moved = changes.changes(found.measurements, before.measurements, known)
            measurements += moved
        return Findings(measurements=measurements, exhibits=found.exhibits, notes=notes)


def _measured_on(subject: Subject, cohort: Cohort, rng: np.random.Generator) -> Findings:
    task = task_of(subject)
    if task == "classes":
        return performance_classes.measure(answers.labelled(subject, cohort), rng)
    if task == "number":
        return performance_numbers.measure(answers.numbers(subject, cohort))
    if task == "reconstruction":
        return performance_rows.of_rebuilding(subject, cohort)
    if task == "language":
        return performance_rows.of_words(subject, cohort)
    return _of_two_labels(subject, cohort, rng)


def _of_two_labels(subject: Subject, cohort: Cohort, rng: np.random.Generator) -> Findings:
    counts = cohort.count((), truth=column_of(cohort, "truth"), decision=decision_in(subject, cohort))
    n, positives, tp = int(counts.n[0]), int(counts.positives[0]), int(counts.true_positives[0])
    tn = n - positives - int(counts.selected[0]) + tp
    found = [
        _measured("accuracy", (tp + tn) / n, n, intervals.proportion(tp + tn, n)),
        _balanced(tp, positives, tn, n - positives),
    ]
    exhibits: list[Table | Curve] = [_confusion(counts)]
    if has_scores(subject, cohort):
        by_score = (
            answers.cells_of(cohort, scores_of(subject, cohort), truth_of(cohort))
            if in_memory(cohort)
            else answers.cells_in_engine(cohort)
        )
        found += _of_scores(by_score)
        if 0 < positives < n:
            exhibits.append(_roc(by_score))
    else:
        found += [_unmeasured(name, ONLY_DECISIONS, n) for name in ("roc_auc", "brier", "log_loss")]
    found.append(f1(counts.cells[0].reshape(2, 2), rng))
    return Findings(measurements=tuple(found), exhibits=tuple(exhibits))


def _generalisation_gap(subject: Subject, data: Splits) -> Measurement:
    """How much better training rows do than held-out ones: in accuracy, or in the mean error or surprise."""
    name, train, n = "generalisation_gap", data.train, data.held_out.rows
    if train is None:
        return estimate(name, None, n, why="no training rows were given")
    if subject.card.get("ledger"):
        why = "the model is private, and what its training rows show would spend privacy that its ledger does not count"
        return estimate(name, None, n, why=why)
    if (task := task_of(subject)) in ERROR:
        seen, fresh = (_errors(subject, cohort) for cohort in (train, data.held_out))
        if not len(seen) or not len(fresh):
            return estimate(name, None, n, why="no row has a word after its first")
        gap, interval = float(fresh.mean() - seen.mean()), regression.welch(fresh, seen)
        of = ERROR[task]
    else:
        right = [answers.correct(subject, c) for c in (train, data.held_out)]
        (a, m), (b, k) = ((int(r.sum()), len(r)) for r in right)
        gap, interval = a / m - b / k, intervals.rate_difference((a, m), (b, k))
        of = "of accuracy"
    why = f"the one number here for which the model's own training rows were looked at: a difference {of}"
    return estimate(name, gap, n + train.rows, interval=interval, why=why)


def _errors(subject: Subject, cohort: Cohort) -> Array:
    """How wrong each row is ``(rows,)``; in a language model how surprising its words are on average."""
    task = task_of(subject)
    if task == "reconstruction":
        return scores_of(subject, cohort)
    if task == "language":
        surprise, words = performance_rows.surprises(subject, cohort)
        return surprise[words > 0] / words[words > 0]
    found = answers.numbers(subject, cohort)
    return np.abs(found.predicted - found.truth)


def _measured(name: str, value: float, n: int, interval: Interval | None, why: str = "") -> Measurement:
    kind: Kind = "estimate"
    return Measurement(
        metric=f"performance.{name}", kind=kind, value=float(value), n=n, interval=interval, why=why
    )


def _unmeasured(name: str, why: str, n: int) -> Measurement:
    return Measurement(metric=f"performance.{name}", kind="estimate", value=None, n=n, why=why)


def _balanced(tp: int, positives: int, tn: int, negatives: int) -> Measurement:
    n = positives + negatives
    if not positives or not negatives:
        return _unmeasured("balanced_accuracy", "one of the two outcomes does not occur", n)
    interval = intervals.average_of([(tp, positives), (tn, negatives)])
    return _measured("balanced_accuracy", (tp / positives + tn / negatives) / 2, n, interval)


def _of_scores(cells: Cells) -> list[Measurement]:
    n, area = cells.n, scores.auc_of_cells(cells)
    found = [
        _unmeasured("roc_auc", "one of the two outcomes does not occur", n)
        if area.value is None
        else _measured("roc_auc", area.value, n, scores.auc_interval_of_cells(cells), binned_by(area.error))
    ]
    if cells.scores[0] < 0 or cells.scores[-1] > 1:
        return found + [
            _unmeasured(name, "the scores are not probabilities: some lie outside 0 to 1", n)
            for name in ("brier", "log_loss")
        ]
    for name in ("brier", "log_loss"):
        loss = scores.loss_of_cells(cells, name)
        if loss.value is None:
            why = "a wrong outcome stands in a bin that holds 0 or 1, where the loss has no bound; it needs single rows"
            found.append(_unmeasured(name, why, n))
            continue
        same = "" if loss.interval else "every row has the same loss, so nothing is known about its spread"
        found.append(_measured(name, loss.value, n, loss.interval, same or binned_by(loss.error)))
    return found


def _confusion(counts: GroupCounts) -> Table:
    tn, fp, fn, tp = (int(v) for v in counts.cells[0])
    return Table(
        title="Decisions and outcomes",
        columns=("outcome", "decided positive", "decided negative", "rows"),
        rows=(("positive", tp, fn, tp + fn), ("negative", fp, tn, fp + tn)),
    )


def _roc(cells: Cells) -> Curve:
    """The ROC curve, thinned to what an eye can tell apart."""
    tpr, fpr = (np.r_[0.0, np.cumsum(c[::-1]) / c.sum()] for c in (cells.positives, cells.negatives))
    keep = distinct(np.linspace(0, len(fpr) - 1, CURVE_POINTS).round().astype(int))
    line = Line(
        label="this model",
        x=tuple(round(float(v), 4) for v in fpr[keep]),
        y=tuple(round(float(v), 4) for v in tpr[keep]),
    )
    return Curve(
        title="ROC curve",
        lines=(line,),
        x_axis="false positive rate",
        y_axis="true positive rate",
        caption="The further from the diagonal, the better the model ranks.",
        diagonal=True,
    )
