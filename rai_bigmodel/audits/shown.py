"""How are attributions of all rows shown? Ranked, with the tests beside them, and which way each feature pushes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits import pictures
from rai_bigmodel.audits.claims import RARE, told
from rai_bigmodel.audits.methods import CALLED
from rai_bigmodel.evidence import Bars, Dot, Heatmap, Picture, Table
from rai_bigmodel.stats.ranks import ranks, spearman

if TYPE_CHECKING:
    from rai_bigmodel.audits.battery import Tested
    from rai_bigmodel.audits.faithfulness import Test
    from rai_bigmodel.audits.scenes import Scene
    from rai_bigmodel.evidence import Exhibit
    from rai_bigmodel.subject import Array

FIFTHS = ("lowest", "low", "middle", "high", "highest")
COLOURS = "Blue raises, orange lowers."
FEWEST = 5
"""Rows behind a cell at least, so that none tells of a person."""
DIRECTED = 4
"""Features whose direction is shown."""


def verdict(tested: Tested) -> str:
    """What the battery found, in one sentence."""
    if tested.faithful:
        return "Passed the battery of tests."
    if tested.faithful is None:
        return f"Not shown to be faithful – {tested.why}."
    return f"FAILED: not a true explanation of this model – {tested.why}."


def ranked(scene: Scene, values: Array, method: str, tested: Tested, *, most: int) -> Bars:
    """The mean absolute attribution of each feature or word, with Student's 95 % interval over rows."""
    said = told(scene, values)
    size = np.abs(said.values)
    mean = size.mean(axis=0)
    reach = 1.96 * size.std(axis=0, ddof=1) / np.sqrt(len(size)) if len(size) > 1 else np.zeros_like(mean)
    place = {name: i for i, name in enumerate(said.names)}
    each = {"tokens": "word", "pixels": "patch"}.get(scene.kind, "feature")
    rare = ""
    if RARE in place and mean.any():
        rare = f" {RARE.capitalize()} have {mean[place[RARE]] / mean.sum():.0%} of it all together and are not named."
    return Bars(
        title=f"How much each {each} moves {scene.what}, on average",
        bars=tuple(
            Dot(
                label=name,
                value=float(mean[i]),
                low=float(max(mean[i] - reach[i], 0.0)),
                high=float(mean[i] + reach[i]),
            )
            for name in said.order[:most]
            for i in (place[name],)
        ),
        axis="mean absolute attribution",
        caption=f"{CALLED[method]}, {len(size):,} rows. {verdict(tested)}{rare}",
    )


def where(scene: Scene, values: Array) -> tuple[Exhibit, ...]:
    """The same in place: over the picture, or over the steps of a series. No row is shown, only the mean of all."""
    mean = np.abs(values).mean(axis=0)
    if scene.kind == "pixels":
        return (
            Picture(
                title="Where the network looks, on average over all rows",
                png=pictures.heat(scene.case.parts, mean),
                alt=f"The stronger the colour, the more it counts: most {_most(scene.case.names, mean)}.",
            ),
        )
    if scene.kind == "series":
        return (over_time("What counts when, on average over all rows", scene, mean),)
    return ()


def _most(names: tuple[str, ...], size: Array) -> str:
    top = np.argsort(-size, kind="stable")[:3]
    return "; ".join(f"{names[i]} ({size[i]:.2g})" for i in top)


def over_time(title: str, scene: Scene, values: Array, *, caption: str = "") -> Heatmap:
    """Features down, windows of steps across; what each adds ``(d,)``."""
    _, features = scene.case.parts.shape
    grid = values.reshape(-1, features).T
    spans = [n.split(",")[0].removeprefix("step ") for n in scene.case.names[::features]]
    return Heatmap(
        title=title,
        rows=tuple(f"feature {f + 1}" for f in range(features)),
        columns=tuple(f"step {s}" for s in spans),
        values=tuple(tuple(short(float(v)) for v in row) for row in grid),
        caption=caption,
    )


def directions(scene: Scene, values: Array) -> tuple[Heatmap, ...]:
    """Which way each leading feature of a table pushes, from its lowest values to its highest: a summary of a swarm.

    A cell is the mean attribution of the rows whose value lies in that fifth, ties together; with fewer than `FEWEST`
    rows it stays empty.
    """
    if scene.kind != "table":
        return ()
    single = [i for i, n in enumerate(scene.case.names) if len(scene.members.get(n, (n,))) == 1]
    size = np.abs(values).mean(axis=0)
    top = sorted(single, key=lambda i: -size[i])[:DIRECTED]
    rows = []
    for i in top:
        column = scene.case.x.reshape(len(values), -1)[:, np.flatnonzero(scene.case.parts.ravel() == i)[0]]
        place = np.minimum((ranks(column[None])[0] - 0.5) / len(column) * 5, 4.999).astype(int)
        rows.append(
            tuple(
                short(float(values[place == k, i].mean())) if (place == k).sum() >= FEWEST else None
                for k in range(5)
            )
        )
    if not rows:
        return ()
    return (
        Heatmap(
            title=f"Which way a feature's values push {scene.what}",
            rows=tuple(scene.case.names[i] for i in top),
            columns=FIFTHS,
            values=tuple(rows),
            caption=f"Mean attribution of the rows in each fifth of a feature's values. {COLOURS}",
        ),
    )


def tests_table(tested: Tested, steady: Test) -> Table:
    """Every test of the explanation: value, outcome, what was compared."""
    words = {True: "passed", False: "FAILED", None: "cannot tell"}
    rows = [(t.name.replace("_", " "), _short(t.value), words[t.passed], t.why) for t in tested.tests]
    rows.append((steady.name, _short(steady.value), "–", steady.why))
    return Table(
        title="Tests of the explanation",
        columns=("test", "value", "outcome", "what was compared"),
        rows=tuple(rows),
    )


def two_starts(scene: Scene, values: Array, other: Array) -> Table:
    """The same explanation from two starts, side by side."""
    one, two = told(scene, values), told(scene, other)
    first, second = (np.abs(v.values).mean(axis=0) for v in (one, two))
    place = {name: i for i, name in enumerate(one.names)}
    alike = spearman(first[None], second[None])[0] if len(first) > 1 else np.nan
    caption = "Attributions say what changes on the way from a start; another start is another question."
    if np.isfinite(alike):
        caption += f" Ranks of all features agree by {alike:.2f}."
    return Table(
        title="Importance from two starts",
        columns=(
            "word" if scene.kind == "tokens" else "feature",
            f"from {scene.starts[0]}",
            f"from {scene.starts[1]}",
        ),
        rows=tuple(
            (name, short(float(first[place[name]])), short(float(second[place[name]])))
            for name in one.order[:5]
        ),
        caption=caption,
    )


def short(value: float) -> float:
    """Three digits, so that the same number is not written fifteen long."""
    return float(f"{value:.3g}")


def _short(value: float | None) -> float | None:
    return None if value is None else short(value)
