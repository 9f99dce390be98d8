"""How often is a model of several labels right, and how well does it rank them?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.answers import are_probabilities
from rai_bigmodel.evidence import Exhibit, Findings, Interval, Measurement, Table
from rai_bigmodel.stats import intervals, means, resampling, scores
from rai_bigmodel.stats.regression import mean_from_influence

if TYPE_CHECKING:
    from rai_bigmodel.audits.answers import Labelled
    from rai_bigmodel.subject import Array

SHOWN_LABELS = 12
NO_BRIER = "the Brier score here is of two labels; for several the log loss is measured"


def estimate(
    name: str,
    value: float | None,
    n: int,
    *,
    interval: Interval | None = None,
    why: str = "",
    labels: dict[str, str] | None = None,
) -> Measurement:
    """An estimate of this audit, or the reason why there is none."""
    return Measurement(
        metric=f"performance.{name}",
        kind="estimate",
        value=None if value is None else float(value),
        n=n,
        interval=interval,
        why=why,
        labels=labels or {},
    )


def f1(cells: Array, rng: np.random.Generator) -> Measurement:
    """The plain average of the classes' F1, with the interval of resampled cells.

    Args:
        cells: counts ``(classes, classes)``, truth by decision; classes that occur in neither do not count.
    """
    n = int(cells.sum())
    there = (cells.sum(axis=0) + cells.sum(axis=1)) > 0
    cells = cells[np.ix_(there, there)]
    # A large table is resampled less often: the deepest rungs are left out, its page is not kept waiting.
    draws = resampling.DRAWS if cells.size <= 16 else max(2_000, resampling.DRAWS * 16 // cells.size)
    interval = resampling.bca(
        cells,
        resampling.f1_macro,
        rng,
        draws=draws,
        share=True,
        unseen=lambda z: resampling.f1_unseen(cells, z),
    )
    why = "" if interval else "all rows are alike, so resampling them says nothing about the spread"
    return estimate("f1_macro", float(resampling.f1_macro(cells)), n, interval=interval, why=why)


def measure(answers: Labelled, rng: np.random.Generator) -> Findings:
    """Accuracy, balanced accuracy, F1, log loss, and the AUC of each label against the rest."""
    k, n = len(answers.labels), len(answers.truth)
    cells = np.bincount(answers.truth * k + answers.decision, minlength=k * k).reshape(k, k)
    right, rows = np.diagonal(cells), cells.sum(axis=1)
    hits = int(right.sum())
    found = [estimate("accuracy", hits / n, n, interval=intervals.proportion(hits, n))]
    seen = rows > 0
    recalls = [(int(x), int(m)) for x, m in zip(right[seen], rows[seen], strict=True)]
    gone = "" if seen.all() else f"{int((~seen).sum())} of {k} labels do not occur and are left out"
    balanced = float(np.mean([x / m for x, m in recalls]))
    found.append(estimate("balanced_accuracy", balanced, n, interval=intervals.average_of(recalls), why=gone))
    if answers.chances is None:
        why = "only decisions were given, no scores"
        found += [estimate(name, None, n, why=why) for name in ("roc_auc", "brier", "log_loss")]
    else:
        found += _ranking(answers, answers.chances)
        found += [estimate("brier", None, n, why=NO_BRIER), _log_loss(answers, answers.chances)]
    found.append(f1(cells, rng))
    exhibits: tuple[Exhibit, ...] = (_confusion(cells, answers.labels),)
    return Findings(measurements=tuple(found), exhibits=exhibits)


def _log_loss(answers: Labelled, chances: Array) -> Measurement:
    n = len(chances)
    if not are_probabilities(chances):
        return estimate(
            "log_loss",
            None,
            n,
            why="the answers are not probabilities: they do not add up to 1 in every row",
        )
    p = np.clip(chances / chances.sum(axis=1, keepdims=True), 1e-15, 1.0)
    loss = -np.log(p[np.arange(n), answers.truth])
    interval = means.mean(loss)
    why = "" if interval else "every row has the same loss, so nothing is known about its spread"
    return estimate("log_loss", loss.mean(), n, interval=interval, why=why)


def _ranking(answers: Labelled, chances: Array) -> list[Measurement]:
    """Each label against the rest, and the plain average over labels that occur.

    The spread of the average is that of the rows' summed placements (DeLong, DeLong and Clarke-Pearson 1988), on
    the logit scale.
    """
    n, k = len(answers.truth), len(answers.labels)
    out, areas, pull = [], [], np.zeros(n)
    for i, label in enumerate(answers.labels):
        own = answers.truth == i
        area = scores.auc(chances[:, i], own)
        if area is None:
            out.append(
                estimate(
                    "roc_auc",
                    None,
                    n,
                    why="this label, or every other, does not occur",
                    labels={"class": label},
                )
            )
            continue
        interval = scores.auc_interval(chances[:, i], own)
        out.append(estimate("roc_auc", area, n, interval=interval, labels={"class": label}))
        areas.append(area)
        above, below = scores.placements(chances[:, i], own)
        for rows, placed in ((np.flatnonzero(own), above), (np.flatnonzero(~own), below)):
            # Placements come in the order of the scores; rows of several labels are summed in their own.
            pull[rows[np.argsort(chances[rows, i])]] += (placed - area) * n / len(rows)
    if not areas:
        return [estimate("roc_auc", None, n, why="only one label occurs"), *out]
    average = float(np.mean(areas))
    gone = "" if len(areas) == k else f"{k - len(areas)} of {k} labels do not occur and are left out"
    interval = mean_from_influence(average, pull / len(areas), scale="logit")
    gone = (
        gone
        if interval
        else "; ".join(filter(None, [gone, "the ranking is perfect, so nothing is known about its spread"]))
    )
    return [estimate("roc_auc", average, n, interval=interval, why=gone), *out]


def _confusion(cells: Array, labels: tuple[str, ...]) -> Table:
    """The labels that occur most often, and the rest as one."""
    order = np.argsort(-cells.sum(axis=1), kind="stable")
    top = sorted(order[:SHOWN_LABELS].tolist())
    rest = sorted(set(range(len(labels))) - set(top))
    names = [labels[i] for i in top]

    def row(name: str, which: list[int]) -> tuple[str | int, ...]:
        counts = cells[which].sum(axis=0)
        tail = [int(counts[rest].sum())] if rest else []
        return (name, *(int(counts[i]) for i in top), *tail, int(counts.sum()))

    rows = [row(labels[i], [i]) for i in top] + ([row("other labels", rest)] if rest else [])
    columns = ("outcome", *(f"decided {n}" for n in names), *(["decided otherwise"] if rest else []), "rows")
    return Table(title="Decisions and outcomes", columns=columns, rows=tuple(rows))
