"""How much better or worse is a model than the one that runs today, on the same rows?

Accuracy by Tango's interval (its test is McNemar's), balanced accuracy by MOVER over the outcomes, the AUC by DeLong
for two curves of one sample, losses and errors by Student's t of the rows' differences, F1 by resampling the cells of
outcome × decision before × decision after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits import answers
from rai_bigmodel.audits.changes import key
from rai_bigmodel.stats import means, paired, regression, resampling, scores
from rai_bigmodel.subject import decisions_of, has_scores, scores_of, task_of, truth_of
from rai_bigmodel.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.audits.changes import Changed, Key
    from rai_bigmodel.subject import Array, Cohort, Subject

MOST_LABELS = 20
"""Labels up to which the cells of three of them are resampled."""


def paired_performance(
    subject: Subject, baseline: Subject, cohort: Cohort, rng: np.random.Generator
) -> tuple[dict[Key, Changed], tuple[str, ...]]:
    """The changes that have a paired interval, and a sentence about rows that the two decide differently."""
    task = task_of(subject)
    if task == "number":
        return _of_numbers(answers.numbers(subject, cohort), answers.numbers(baseline, cohort)), ()
    if task == "classes":
        now, was = (answers.labelled(s, cohort) for s in (subject, baseline))
        labels = list(now.labels)
        place = np.array([labels.index(label) for label in was.labels])
        found = _of_labels(now.truth, place[was.decision], now.decision, len(labels), rng)
        note = _note(now.truth == place[was.decision], now.truth == now.decision, baseline)
        return _named(found), (note,)
    if task != "binary":
        return {}, ()
    truth = truth_of(cohort)
    before, after = (decisions_of(s, cohort) for s in (baseline, subject))
    whole = [v.astype(np.int64) for v in (truth, before, after)]
    found = _of_labels(whole[0], whole[1], whole[2], 2, rng)
    if has_scores(subject, cohort) and has_scores(baseline, cohort) and 0 < truth.sum() < len(truth):
        was_said, said = (scores_of(s, cohort) for s in (baseline, subject))
        found["roc_auc"] = paired.auc_change(was_said, said, truth)
        if all(s.min() >= 0 and s.max() <= 1 for s in (said, was_said)):
            for name, loss in (("brier", scores.brier_rows), ("log_loss", scores.log_loss_rows)):
                found[name] = _mean(loss(said, truth) - loss(was_said, truth))
    return _named(found), (_note(before == truth, after == truth, baseline),)


def _named(found: dict[str, Changed]) -> dict[Key, Changed]:
    return {key(f"performance.{name}", {}): changed for name, changed in found.items()}


def _mean(differences: Array) -> Changed:
    return float(differences.mean()), means.mean(differences)


def _note(before: Array, after: Array, baseline: Subject) -> str:
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    return (
        f"Against {baseline.name}: {plural(gained, 'row')} that it got wrong {'is' if gained == 1 else 'are'} right "
        f"now, and {plural(lost, 'row')} that it got right {'is' if lost == 1 else 'are'} wrong."
    )


def _of_labels(
    truth: Array, before: Array, after: Array, labels: int, rng: np.random.Generator
) -> dict[str, Changed]:
    """Accuracy, balanced accuracy and F1 from codes ``(rows,)``."""
    found = {"accuracy": paired.change(before == truth, after == truth)}
    of_each = [
        paired.change(before[rows] == i, after[rows] == i)
        for i in range(labels)
        if (rows := truth == i).any()
    ]
    found["balanced_accuracy"] = paired.average_change(of_each)
    if labels <= MOST_LABELS:
        flat = (truth * labels + before) * labels + after
        cells = np.bincount(flat, minlength=labels**3)
        there = np.flatnonzero(cells)
        outcome, was, now = np.unravel_index(there, (labels,) * 3)
        change = _f1_change(outcome, was, now, labels)
        draws = max(2_000, min(resampling.DRAWS, resampling.DRAWS * 16 // len(there)))
        was_cells, now_cells = (
            np.bincount(outcome * labels + said, cells[there], minlength=labels**2).reshape(labels, labels)
            for said in (was, now)
        )

        def unseen(z: Array) -> tuple[Array, Array]:
            (down, up), (was_down, was_up) = (_f1_unseen(c, z) for c in (now_cells, was_cells))
            return down + was_up, up + was_down

        interval = resampling.bca(cells[there], change, rng, draws=draws, unseen=unseen)
        found["f1_macro"] = float(change(cells[there][None])[0]), interval
    return found


def _f1_unseen(cells: Array, z: Array) -> tuple[Array, Array]:
    """`resampling.f1_unseen` of the labels that occur."""
    there = (cells.sum(axis=0) + cells.sum(axis=1)) > 0
    return resampling.f1_unseen(cells[np.ix_(there, there)], z)


def _f1_change(truth: Array, before: Array, after: Array, labels: int) -> Callable[[Array], Array]:
    """Counts of cells ``(draws, cells)`` → how much F1 changed ``(draws,)``."""

    def f1(cells: Array, said: Array) -> Array:
        of_truth, of_said = (np.equal.outer(v, np.arange(labels)).astype(float) for v in (truth, said))
        either, right = cells @ (of_truth + of_said), cells @ (of_truth * of_said)
        with np.errstate(invalid="ignore", divide="ignore"):
            each = np.where(either > 0, 2 * right / either, 0.0)
        # As where it is measured: a label that occurs in neither does not count.
        here = (of_truth + of_said).sum(axis=0) > 0
        average: Array = each[:, here].mean(axis=1)
        return average

    return lambda cells: f1(cells, after) - f1(cells, before)


def _of_numbers(now: answers.Numbers, was: answers.Numbers) -> dict[Key, Changed]:
    """Mean absolute error, root mean square error and R² of numbers."""
    truth = now.truth
    error, old = now.predicted - truth, was.predicted - truth
    found = {"mae": _mean(np.abs(error) - np.abs(old))}
    rmse, was_rmse = regression.rmse(error), regression.rmse(old)
    if rmse > 0 and was_rmse > 0:
        pull = (error**2 - rmse**2) / (2 * rmse) - (old**2 - was_rmse**2) / (2 * was_rmse)
        found["rmse"] = rmse - was_rmse, regression.mean_from_influence(rmse - was_rmse, pull)
    around = (truth - truth.mean()) ** 2
    if around.any():
        gain = float((old**2 - error**2).mean() / around.mean())
        pull = ((old**2 - error**2) - gain * around) / around.mean()
        found["r2"] = gain, regression.mean_from_influence(gain, pull)
    return _named(found)
