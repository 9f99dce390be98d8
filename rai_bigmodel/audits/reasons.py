"""Why this row? Its reasons, what spoke against them, and how stable they are.

A reason is what moved the score most towards the decision that was given, or up where none is (12 CFR 1002.9 speaks of
the principal reasons of an adverse action). It is stable where it stays among the first from another start, and after
the same recipe was trained again with other seeds. What a row holds is shown only where that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.audits.answers import labelled
from rai_bigmodel.audits.methods import chosen
from rai_bigmodel.audits.scenes import asked_with, scene_of
from rai_bigmodel.audits.shown import short
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Table
from rai_bigmodel.subject import Refit, column_of, task_of
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from rai_bigmodel.audits.explainability import Explainability
    from rai_bigmodel.audits.scenes import Scene
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a subject said of the rows that are explained.

    Args:
        scores: the number that decides ``(n,)``: of the positive label, of the label given, or the number itself.
        decided: in words ``(n,)``; empty where nothing is decided.
        towards: +1 where a higher score speaks for what was decided, −1 where it speaks against ``(n,)``.
        hardness: how far from right each answer is ``(n,)``; ``None`` where nobody knows.
    """

    scores: Array
    decided: Array
    towards: Array
    hardness: Array | None


def answered(subject: Subject, cohort: Cohort, scene: Scene) -> Answered:
    """What the subject says of the rows of a scene, and how far that is from what would be right."""
    said = np.asarray(subject.predict(asked_with(scene.columns)), dtype=np.float64)
    task, n = task_of(subject), len(scene.rows)
    known = bool(cohort.roles.get("truth"))
    ones, nothing = np.ones(n), np.full(n, "", dtype=object)
    labels = subject.decision.labels
    if task == "classes":
        given = said.argmax(axis=1)
        hard = None
        if known:
            hard = 1 - said[np.arange(n), labelled(subject, cohort).truth[scene.rows]]
        return Answered(
            scores=said.max(axis=1),
            decided=np.array(labels, dtype=object)[given],
            towards=ones,
            hardness=hard,
        )
    if task == "binary":
        if said.ndim == 2:
            said = said[:, labels.index(subject.decision.positive)]
        threshold = 0.5 if subject.decision.threshold is None else subject.decision.threshold
        yes = said >= threshold
        other = next(
            (v for v in labels if v != subject.decision.positive), "not " + subject.decision.positive
        )
        decided = np.where(yes, subject.decision.positive, other).astype(object)
        hard = np.abs(said - cohort.binary(column_of(cohort, "truth"))[scene.rows]) if known else None
        return Answered(scores=said, decided=decided, towards=np.where(yes, 1.0, -1.0), hardness=hard)
    if task == "language":
        said = said[:, 0] / np.maximum(said[:, 1], 1)
    hard = said
    if task == "number":
        column = column_of(cohort, "truth") if known else ""
        hard = np.abs(said - cohort.arrays(column)[column][scene.rows]) if known else None
    return Answered(scores=said, decided=nothing, towards=ones, hardness=hard)


def chosen_rows(audit: Explainability, scene: Scene, answers: Answered) -> Array:
    """Which of the explained rows are shown one by one ``(k,)``: those asked for, then the hardest."""
    wanted = np.searchsorted(scene.rows, np.array(audit.cases, dtype=np.int64) - 1)
    if not audit.hardest:
        return wanted
    if answers.hardness is None:
        msg = "hardest: which answers are furthest from right needs an outcome; name rows by cases: [1, …] instead"
        raise InputError(msg)
    worst = [i for i in np.argsort(-answers.hardness, kind="stable") if i not in set(wanted.tolist())]
    return np.concatenate([wanted, worst[: audit.hardest]]).astype(np.int64)


def refitted(
    audit: Explainability,
    scene: Scene,
    rows: Array,
    *,
    subject: Subject,
    data: Splits,
    rng: np.random.Generator,
) -> list[Array] | str:
    """The explanations of these rows after further trainings, each ``(k, d)``; or why there are none."""
    if not audit.refits:
        return "the model was not trained again (refits: 0)"
    if subject.refit is None:
        return "this model cannot be trained again: its recipe is not at hand, or it is private and that would spend ε"
    if data.train is None:
        return "this model cannot be trained again: there are no training rows"
    out = []
    for seed in rng.integers(1, 2**31, size=audit.refits):
        again = subject.refit(data.train, rng, Refit(seed=int(seed)))
        found = scene_of(audit, again, data.held_out, scene.rows)
        if isinstance(found, str):
            return found
        _, explain = chosen(audit.method, found.case, kind=found.kind, steps=audit.steps)
        out.append(explain(found.case.some(rows), rng))
    return out


def kept(first: Array, other: Array, towards: float, most: int) -> int:
    """How many of a row's first `most` reasons are among the first of another explanation ``(d,)``."""
    one, two = (set(np.argsort(-towards * v, kind="stable")[:most].tolist()) for v in (first, other))
    return len(one & two)


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Rows that are looked at one by one, and all that is said of them.

    Args:
        values, other: the explanation of all explained rows from both starts ``(n, d)``.
        rows: which of the explained rows ``(k,)``.
        again: their explanations after other trainings, each ``(k, d)``; or why there are none.
    """

    audit: Explainability
    scene: Scene
    values: Array
    other: Array
    answers: Answered
    rows: Array
    again: list[Array] | str

    def row(self, i: int) -> str:
        """What a row is called: its number, counted from 1."""
        return f"row {self.scene.rows[i] + 1:,}"

    def feature(self, i: int, feature: int) -> str:
        """What a feature of a row is called; with what it holds, where that is to be shown."""
        scene, name = self.scene, self.scene.case.names[feature]
        if scene.kind == "tokens" and self.audit.values:
            assert scene.raw is not None
            return str(scene.raw[i, feature])
        if scene.kind != "table" or not self.audit.values:
            return name
        held = ", ".join(_plain(scene.columns[c][i]) for c in scene.members[name])
        return f"{name} = {held}"

    def there(self, i: int) -> Array:
        """Which features a row has at all ``(d,)``: padding is none."""
        if self.scene.kind != "tokens":
            return np.ones(len(self.scene.case.names), dtype=bool)
        assert self.scene.raw is not None
        found: Array = self.scene.raw[i, : len(self.scene.case.names)] != ""
        return found


def _plain(value: Any) -> str:
    return (
        number(float(value)) if isinstance(value, float | np.floating) and np.isfinite(value) else str(value)
    )


def reasons(looked: Looked) -> Table:
    """The rows with their answers, the first reasons, what spoke against them, and whether they stay."""
    audit, answers, out = looked.audit, looked.answers, []
    for k, i in enumerate(looked.rows.tolist()):
        towards, values = float(answers.towards[i]), looked.values[i]
        push, there = towards * values, looked.there(i)
        order = [int(f) for f in np.argsort(-push, kind="stable") if there[f]]
        first = [looked.feature(i, f) for f in order[: audit.top] if push[f] > 0]
        against = [looked.feature(i, f) for f in order[::-1][: audit.top] if push[f] < 0]
        most = len(first)
        cells: list[Any] = [
            looked.row(i),
            short(float(answers.scores[i])),
            str(answers.decided[i]) or "–",
            "; ".join(first) or "none",
            "; ".join(against) or "none",
            f"{kept(values, looked.other[i], towards, most)} of {most}" if most else "–",
        ]
        if not isinstance(looked.again, str):
            counts = [kept(values, one[k], towards, most) for one in looked.again]
            cells.append(f"{np.mean(counts):.1f} of {most} (fewest {min(counts)})" if most else "–")
        out.append(tuple(cells))
    columns = ["row", "answer", "decision", "reasons", "against it", "kept from the other start"]
    caption = "Reasons are what moved the answer most towards the decision."
    if not answers.decided.any():  # a number, an error of rebuilding, how likely words are
        caption = "Nothing is decided; reasons are what raised the answer most."
    if isinstance(looked.again, str):
        caption += f" Whether they are kept in another training is not known: {looked.again}."
    else:
        columns.append(f"kept in {len(looked.again)} further trainings")
    return Table(
        title="Single rows and their reasons", columns=tuple(columns), rows=tuple(out), caption=caption
    )
