"""How is one row shown? As ranked bars, as a picture, as coloured words, or over its steps.

A failed explanation is not drawn: its rows are named with what failed. What a row holds is shown only where that was
asked for; else only what counted in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.audits import pictures
from rai_bigmodel.audits.reasons import Looked, answered, chosen_rows, reasons, refitted
from rai_bigmodel.audits.shown import COLOURS, over_time, short, verdict
from rai_bigmodel.evidence import Bars, Dot, Heatmap, Picture, Table
from rai_bigmodel.subject import task_of

if TYPE_CHECKING:
    from rai_bigmodel.audits.battery import Tested
    from rai_bigmodel.audits.explainability import Explainability
    from rai_bigmodel.audits.scenes import Scene
    from rai_bigmodel.evidence import Exhibit
    from rai_bigmodel.subject import Array, Splits, Subject

SHOWN = 6
"""Reasons that the picture of a row shows."""
MOST_CASES = 8
ACROSS = 4
"""Pictures beside each other."""


def shown_one_by_one(
    audit: Explainability,
    scene: Scene,
    values: Array,
    other: Array,
    tested: Tested,
    *,
    subject: Subject,
    data: Splits,
    rng: np.random.Generator,
) -> tuple[tuple[Exhibit, ...], Array]:
    """The exhibits of single rows, and which of the explained rows they are.

    Raises:
        InputError: the hardest rows are asked for and no outcome says which these are.
    """
    if not (audit.cases or audit.hardest):
        return (), np.zeros(0, dtype=np.int64)
    answers = answered(subject, data.held_out, scene)
    rows = chosen_rows(audit, scene, answers)
    again: list[Array] | str = ""
    if tested.faithful:
        again = refitted(audit, scene, rows, subject=subject, data=data, rng=rng)
    looked = Looked(
        audit=audit, scene=scene, values=values, other=other, answers=answers, rows=rows, again=again
    )
    if not tested.faithful:
        said = [
            (looked.row(i), short(float(answers.scores[i])), str(answers.decided[i]) or "–", verdict(tested))
            for i in rows.tolist()
        ]
        columns = ("row", "answer", "decision", "reasons")
        return (Table(title="Single rows", columns=columns, rows=tuple(said)),), rows
    drawn = (_pictures(looked),) if scene.kind == "pixels" else _each(looked)
    spoken = _spoken(looked, subject, rng) if task_of(subject) == "language" else ()
    return (reasons(looked), *drawn, *spoken), rows


def _said(looked: Looked, i: int) -> str:
    decided = looked.answers.decided[i]
    return f"Answer {short(float(looked.answers.scores[i]))}" + (f", decided {decided}." if decided else ".")


def _each(looked: Looked) -> tuple[Exhibit, ...]:
    out: list[Exhibit] = []
    for k, i in enumerate(looked.rows.tolist()):
        title = f"{looked.row(i).capitalize()}: what moved {looked.scene.what}"
        if looked.scene.kind == "series":
            out.append(
                over_time(title, looked.scene, looked.values[i], caption=f"{_said(looked, i)} {COLOURS}")
            )
        elif looked.scene.kind == "tokens":
            there = np.flatnonzero(looked.there(i))
            out.append(
                Heatmap(
                    title=title,
                    rows=("words",),
                    columns=tuple(looked.feature(i, int(f)) for f in there),
                    values=(tuple(short(float(looked.values[i, f])) for f in there),),
                    caption=f"{_said(looked, i)} {COLOURS}",
                )
            )
        else:
            out.append(_bars(looked, k, i, title=title))
    return tuple(out)


def _bars(looked: Looked, k: int, i: int, *, title: str) -> Bars:
    values, trained = (
        looked.values[i],
        [] if isinstance(looked.again, str) else [one[k] for one in looked.again],
    )
    order = np.argsort(-np.abs(values), kind="stable")[:SHOWN].tolist()
    every = np.stack([values, looked.other[i], *trained])
    further = f" and {len(trained)} further trainings" if trained else ""
    return Bars(
        title=title,
        bars=tuple(
            Dot(
                label=looked.feature(i, f),
                value=short(float(values[f])),
                low=short(float(every[:, f].min())),
                high=short(float(every[:, f].max())),
            )
            for f in order
        ),
        axis="attribution",
        caption=f"{_said(looked, i)} The lines reach over the other start{further}.",
    )


def _pictures(looked: Looked) -> Picture:
    """All rows in one picture: each with what it shows, where that was asked for, and the heat over it."""
    scene, answers = looked.scene, looked.answers
    assert scene.raw is not None
    cells, said = [], []
    for i in looked.rows.tolist():
        under = scene.raw[i] if looked.audit.values else None
        if under is not None:
            cells.append(pictures.enlarged(np.repeat(pictures.grey(under)[..., None], 3, axis=2)))
        cells.append(pictures.enlarged(pictures.blended(scene.case.parts, looked.values[i], under)))
        top = np.argsort(-looked.values[i], kind="stable")[:2]
        spoke = " and ".join(scene.case.names[f] for f in top)
        decided = answers.decided[i] or short(float(answers.scores[i]))
        said.append(f"{looked.row(i)}, {decided}: most for it at {spoke}")
    cells += [np.full(cells[0].shape, 255.0)] * (-len(cells) % min(ACROSS, len(cells)))
    across = min(ACROSS, len(cells))
    rows = ", ".join(looked.row(i) for i in looked.rows.tolist())
    how = (
        f"Each picture, then where it counts: {rows}."
        if looked.audit.values
        else f"Where it counts, without the pictures: {rows}."
    )
    return Picture(
        title=f"Single pictures: what moved {scene.what}",
        png=pictures.beside([cells[j : j + across] for j in range(0, len(cells), across)]),
        alt="; ".join(said) + ".",
        caption=f"{how} {COLOURS}",
    )


def _spoken(looked: Looked, subject: Subject, rng: np.random.Generator) -> tuple[Exhibit, ...]:
    """Of a language model: what each word of the prompt adds to each of the next words."""
    from rai_bigmodel.audits import decoders
    from rai_bigmodel.audits.readings import words_of

    module: Any = subject.module
    assert subject.read is not None
    (ids,) = subject.read(looked.scene.columns)
    out = []
    for i in looked.rows.tolist():
        long = int((ids[i] != 0).sum())
        start = min(decoders.PROMPT, max(1, long - decoders.CONTINUED))
        prompt, behind = ids[i, :start], ids[i, start : min(long, start + decoders.CONTINUED)]
        found = decoders.continued(module, prompt, behind, rng)
        tokens = module.reads.tokens
        first, second = (
            [
                str(w) if looked.audit.values else f"{place} {p + 1}"
                for p, w in enumerate(words_of(tokens, part))
            ]
            for part, place in ((prompt, "position"), (behind, "next word"))
        )
        out.append(
            Heatmap(
                title=f"{looked.row(i).capitalize()}: which words make the next ones likely",
                rows=tuple(second),
                columns=tuple(first),
                values=tuple(tuple(short(float(v)) for v in row) for row in found.each),
                caption=f"By taking words away one by one. {found.test.why[:1].upper()}{found.test.why[1:]}. {COLOURS}",
            )
        )
    return tuple(out)
