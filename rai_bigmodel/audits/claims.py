"""What rests on an explanation, and what does not? Measured where it is faithful, null with why where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.audits import importance as asked
from rai_bigmodel.audits.answers import labelled
from rai_bigmodel.audits.fairness_groups import groups_of
from rai_bigmodel.audits.scenes import asked_with, whole_columns
from rai_bigmodel.audits.shapley import ablation
from rai_bigmodel.subject import attributes_of, column_of, task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rai_bigmodel.audits.battery import Tested
    from rai_bigmodel.audits.explainability import Explainability
    from rai_bigmodel.audits.scenes import Scene
    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.subject import Array, Cohort, Subject

FEWEST_ROWS = 5
"""In how many rows a word must stand before it is named beside numbers about all rows: rarer ones tell of persons."""
RARE = f"words in fewer than {FEWEST_ROWS} rows"
RESTS = ("attribution_share", "importance", "sensitive_share", "importance_difference")


class Told(NamedTuple):
    """Attributions as they are told: of features, or of words wherever they stand.

    Args:
        names: features, or words.
        values: ``(n, d)``.
        order: the names, the largest mean absolute attribution first; rare words have no place in it.
    """

    names: tuple[str, ...]
    values: Array
    order: tuple[str, ...]


def told(scene: Scene, values: Array) -> Told:
    """Attributions by feature; of a text by word, because a position means nothing to a reader."""
    names = scene.case.names
    if scene.kind == "tokens":
        assert scene.raw is not None
        names, values = by_word(scene.raw, values)
    order = np.argsort(-np.abs(values).mean(axis=0), kind="stable")
    return Told(names, values, tuple(names[i] for i in order if names[i] != RARE))


def by_word(words: Array, values: Array) -> tuple[tuple[str, ...], Array]:
    """Absolute attributions of positions ``(n, T)`` summed by word ``(n, W)``; rare words are one, the last.

    Args:
        words: what stands where ``(n, T)``; empty is nothing.
    """
    n, distinct = len(words), sorted({w for w in words.ravel().tolist() if w})
    rows_with = dict.fromkeys(distinct, 0)
    for row in words:
        for w in set(row.tolist()) - {""}:
            rows_with[w] += 1
    kept = [w for w in distinct if rows_with[w] >= FEWEST_ROWS]
    place = {w: i for i, w in enumerate(kept)}
    out = np.zeros((n, len(kept) + 1))
    for i, row in enumerate(words):
        for word, value in zip(row.tolist(), np.abs(values[i]), strict=False):
            if word:
                out[i, place.get(word, len(kept))] += value
    if not out[:, -1].any():
        return tuple(kept), out[:, :-1]
    return (*kept, RARE), out


def claims(
    audit: Explainability,
    scene: Scene,
    values: Array,
    tested: Tested,
    *,
    subject: Subject,
    cohort: Cohort,
    rng: np.random.Generator,
) -> list[Measurement]:
    """Importance, shares, differences between groups, and what permuting the leading features costs."""
    sensitive = attributes_of(cohort, audit.attributes) if cohort.roles.get("sensitive") else ()
    out: list[Measurement] = []
    if tested.faithful:
        said = told(scene, values)
        groups = {}
        for attribute in sensitive:
            codes, called = groups_of(cohort, attribute)
            groups[attribute] = (codes[scene.rows], called)
        out += asked.attribution_share(said.names, said.values, only=said.order[: audit.shown])
        out += asked.importance(said.names, said.values, only=said.order[: audit.shown])
        if scene.kind == "tokens":
            assert scene.raw is not None
            out += asked.words_share(
                scene.raw, values, {a: audit.words.get(a, ()) for a in (*sensitive, *audit.words)}
            )
        else:
            out += asked.sensitive_share(said.names, said.values, sensitive)
        out += asked.importance_difference(said.names, said.values, groups, only=said.order[: audit.top])
    else:
        how = "failed its tests" if tested.faithful is False else "was not shown to be faithful"
        why = f"the explanation {how}, so nothing rests on it: {tested.why}"
        out += [asked.null(name, why) for name in RESTS]
    return [
        *out,
        *_drops(audit, scene, values if tested.faithful else None, subject=subject, cohort=cohort, rng=rng),
    ]


def leading(scene: Scene, values: Array | None, most: int) -> list[int]:
    """The features that count most, by attributions; by ablation, where these are not to be relied on."""
    size = np.abs(ablation(scene.case) if values is None else values).mean(axis=0)
    return [int(i) for i in np.argsort(-size, kind="stable")[:most]]


def _drops(
    audit: Explainability,
    scene: Scene,
    values: Array | None,
    *,
    subject: Subject,
    cohort: Cohort,
    rng: np.random.Generator,
) -> list[Measurement]:
    ask = right(subject, cohort, scene.rows)
    if ask is None:
        return [asked.null("permutation_drop", "accuracy needs an outcome and a decision in each row")]
    if scene.kind == "tokens":
        return [asked.null("permutation_drop", "a place in a text is no column that could be permuted")]
    columns = whole_columns(cohort, scene.rows)
    features = {scene.case.names[i]: _shuffle(scene, i) for i in leading(scene, values, audit.top)}
    return asked.permutation_drop(features, columns, ask, rng)


def _shuffle(scene: Scene, feature: int) -> asked.Shuffle:
    """A feature's columns are handed over together; of a picture or a series its patch or window."""
    if scene.kind == "table":
        mine = scene.members[scene.case.names[feature]]

        def columns_shuffled(columns: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
            order = rng.permutation(len(scene.rows))
            return {**columns, **{c: columns[c][order] for c in mine}}

        return columns_shuffled
    here = scene.case.parts == feature

    def patch_shuffled(columns: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
        ((name, raw),) = columns.items()
        order = rng.permutation(len(raw))
        return {name: np.where(here, raw[order], raw)}

    return patch_shuffled


def right(subject: Subject, cohort: Cohort, rows: Array) -> Callable[[Mapping[str, Array]], Array] | None:
    """Columns → whether each row is decided rightly; ``None`` where nothing is decided or known."""
    if task_of(subject) not in {"binary", "classes"} or not cohort.roles.get("truth"):
        return None
    labels = subject.decision.labels
    if task_of(subject) == "classes":
        truth = labelled(subject, cohort).truth[rows]
        return lambda columns: np.asarray(subject.predict(asked_with(columns))).argmax(axis=1) == truth
    truth = cohort.binary(column_of(cohort, "truth"))[rows]
    threshold = 0.5 if subject.decision.threshold is None else subject.decision.threshold

    def is_right(columns: Mapping[str, Array]) -> Array:
        scores = np.asarray(subject.predict(asked_with(columns)), dtype=np.float64)
        if scores.ndim == 2:
            scores = scores[:, labels.index(subject.decision.positive)]
        decided: Array = (scores >= threshold) == truth
        return decided

    return is_right
