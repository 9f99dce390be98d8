"""Does a variant decide for the same reasons? Parts of each row are taken away, and both models' answers move alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.evidence import Measurement
from rai_bigmodel.stats import means
from rai_bigmodel.subject import inputs_of, task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rai_bigmodel.subject import Array, Cohort, Inputs, Subject

PARTS = 16
"""At most so many parts of a picture, a series or a text; of columns all are taken."""
STILL = 1e-6
"""Where the subject's answer moves by less whatever is taken away, there is no reason to compare."""
METRIC = "deployment.explanation_agreement"


def agreement(subject: Subject, variant: Subject, cohort: Cohort, name: str, *, rows: int) -> Measurement:
    """The mean correlation, over rows, of how both answers change when each part of the row is taken away.

    A column goes to its median or commonest value, a patch of a picture or a stretch of a series to its mean over the
    rows, a stretch of a text away: ablation (Zeiler and Fergus 2014), which any model that answers can be asked for.
    With several labels the answer is the probability of the label that the subject gives.

    Args:
        rows: at most so many, evenly spaced; 0 for none.
    """
    labels = {"variant": name}

    def null(why: str) -> Measurement:
        return Measurement(metric=METRIC, kind="estimate", value=None, labels=labels, why=why)

    if not rows:
        return null("it was not asked for (explained: 0)")
    whole = inputs_of(cohort)
    taken = np.unique(np.linspace(0, cohort.rows - 1, min(rows, cohort.rows)).astype(np.int64))
    some = _rows(whole, taken)
    first = np.asarray(subject.predict(some), dtype=np.float64)
    if task_of(subject) == "language":
        return null("likelihoods of words have no parts that can be taken away one by one")
    given = first.argmax(axis=1) if first.ndim == 2 else None
    without = list(_without(some, whole))
    if len(without) < 2:
        return null("the rows have one part only, so there is nothing to rank")
    moved = [_moved(one.predict, some, without, given, _flipped(subject, one)) for one in (subject, variant)]
    keep = np.abs(moved[0]).max(axis=1) > STILL
    if keep.sum() < 2:
        return null("the subject's answers do not move, whatever part is taken away")
    each = _correlations(moved[0][keep], moved[1][keep])
    interval = means.mean(each)
    return Measurement(
        metric=METRIC,
        kind="estimate",
        value=float(each.mean()),
        n=len(each),
        labels=labels,
        interval=interval,
        why="" if interval else "every row agrees alike, so nothing is known about the spread",
    )


def _flipped(subject: Subject, other: Subject) -> Any:
    """How to bring another's answers into the subject's order of labels."""
    there, here = subject.decision, other.decision
    if len(there.labels) > 2 and there.labels != here.labels and sorted(there.labels) == sorted(here.labels):
        order = [here.labels.index(label) for label in there.labels]
        return lambda answers: answers[:, order]
    if len(there.labels) == 2 and there.positive != here.positive:
        return lambda answers: 1 - answers
    return lambda answers: answers


def _moved(
    ask: Callable[[Inputs], Array], some: Inputs, without: list[Inputs], given: Array | None, order: Any
) -> Array:
    """How far each row's answer moves when each part is gone ``(rows, parts)``."""

    def answer(inputs: Inputs) -> Array:
        said = order(np.asarray(ask(inputs), dtype=np.float64))
        return said if given is None or said.ndim == 1 else said[np.arange(len(said)), given]

    whole = answer(some)
    return np.stack([whole - answer(inputs) for inputs in without], axis=1)


def _correlations(first: Array, second: Array) -> Array:
    """Pearson's correlation of each row ``(rows,)``; 0 where the second does not move at all."""
    a, b = (m - m.mean(axis=1, keepdims=True) for m in (first, second))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    together = (a * b).sum(axis=1)
    return np.where(size > 0, np.clip(together / np.where(size > 0, size, 1.0), -1.0, 1.0), 0.0)


def _rows(inputs: Inputs, rows: Array) -> Inputs:
    return {c: v[rows] for c, v in inputs.items()} if isinstance(inputs, dict) else inputs[rows]


def _without(some: Inputs, whole: Inputs) -> Iterator[Inputs]:
    """The rows without each of their parts."""
    if not isinstance(some, dict):
        yield from _without_patches(some, whole)
        return
    if len(some) == 1:
        (name, values), (known,) = next(iter(some.items())), whole.values()
        parts = _without_patches(values, known) if values.ndim > 1 else _without_stretches(values)
        yield from ({name: part} for part in parts)
        return
    for name, values in some.items():
        if values.ndim > 1:
            yield from ({**some, name: part} for part in _without_patches(values, whole[name]))
        else:
            yield {**some, name: np.full_like(values, _typical(whole[name]))}


def _typical(values: Array) -> Any:
    if values.dtype.kind == "f":
        return np.nanmedian(values) if np.isfinite(values).any() else 0.0
    if values.dtype.kind in "iub":
        return values.dtype.type(np.median(values))
    distinct, counts = np.unique([str(v) for v in values if v is not None] or [""], return_counts=True)
    return distinct[counts.argmax()]


def _without_patches(values: Array, whole: Array) -> Iterator[Array]:
    """Pictures ``(n, channels, height, width)`` in 4 × 4 patches, or series ``(n, steps, features)`` in stretches."""
    mean = np.nanmean(np.where(np.isfinite(whole), whole, np.nan), axis=0)
    axes = values.shape[2:] if values.ndim == 4 else values.shape[1:2]
    cuts = [np.array_split(np.arange(n), min(n, 4 if len(axes) == 2 else PARTS)) for n in axes]
    for where in _products(cuts):
        at = (slice(None), *where) if values.ndim == 4 else (*where,)
        changed = values.copy()
        changed[(slice(None), *at)] = mean[at]
        yield changed


def _products(cuts: list[list[Array]]) -> Iterator[tuple[slice, ...]]:
    def span(part: Array) -> slice:
        return slice(int(part[0]), int(part[-1]) + 1)

    if len(cuts) == 1:
        yield from ((span(part),) for part in cuts[0])
    else:
        yield from ((span(a), span(b)) for a in cuts[0] for b in cuts[1])


def _without_stretches(texts: Array) -> Iterator[Array]:
    """Texts without each of their stretches of words; a text with no spaces is cut by characters."""
    cut = [_pieces("" if t is None else str(t)) for t in texts.tolist()]
    for part in range(max((len(pieces) for pieces, _ in cut), default=0)):
        yield np.array(
            [join.join(p for i, p in enumerate(pieces) if i != part) for pieces, join in cut], dtype=object
        )


def _pieces(text: str) -> tuple[list[str], str]:
    words, join = (text.split(), " ") if " " in text.strip() else (list(text), "")
    if len(words) <= PARTS:
        return words, join
    return [join.join(words[i] for i in part) for part in np.array_split(np.arange(len(words)), PARTS)], join
