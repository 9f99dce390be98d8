"""Can whoever sees the answers alone tell which rows were there? A private training rehearsed on canaries.

A canary is a row made up by chance, of the shape that the net reads, with an outcome drawn by chance: nothing but the
row itself could teach it. A coin decides whether it is among the rows. Then the whole training is made again
(`fit.train_recipe`): the recipe, the ledger's noise, the engine that clips, the sampling, the steps. Its rows are made
up, so no privacy is spent, and the model that ships never saw a canary: what is attacked is the procedure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import UNSET

from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit
from rai_bigmodel.training.recipe import Scale

if TYPE_CHECKING:
    from rai_bigmodel.nets import Reads
    from rai_bigmodel.subject import Array
    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.card import Card
    from rai_bigmodel.training.checkpoint import Run
    from rai_bigmodel.training.recipe import Recipe

ALWAYS = 2
"""Ordinary rows of each label, which are always there: else a label that no coin chose would be missing."""
FAR = 3.0
"""So many standard deviations of real rows are one of a canary's, which then lie further from one another."""


def rehearsed(card: Card, canaries: int, rng: np.random.Generator) -> tuple[Run, Table, Array]:
    """The training made again on made-up rows; all canaries, and which of them were among the rows ``(canaries,)``.

    Args:
        card: of a private training that began with no other run.
        canaries: how many; about half of them are among the rows.
        rng: makes up the rows and throws the coins; noise and sampling come from the operating system.

    Raises:
        InputError: the net cannot be trained privately.
        TrainingDiverged: the loss of made-up rows stopped being a number.
        MissingExtra: Opacus is not installed.
    """
    count = ALWAYS * max(1, len(card.aim.labels))
    rows = _made_up(card, canaries, rng, name="canaries")
    ordinary = _made_up(card, count, rng, name="ordinary rows")
    member = rng.random(canaries) < 0.5
    inside = Table(
        name="made-up rows",
        columns={c: np.concatenate([rows.columns[c][member], ordinary.columns[c]]) for c in rows.columns},
        roles=rows.roles,
        positive=rows.positive,
    )
    splits = Splits(train=inside, calibrate=ordinary, held_out=ordinary)
    return fit.train_recipe(_again(card, seed=int(rng.integers(0, 2**62))), splits=splits), rows, member


def _again(card: Card, *, seed: int) -> Recipe:
    """The recipe with all that it measured declared, and the noise that the ledger says; other first weights."""
    recipe, reads, ledger = card.recipe, card.reads, card.ledger
    assert recipe.privacy is not None
    assert ledger is not None
    # What it learns is said, because made-up outcomes do not tell; and it runs where the audit does.
    train = msgspec.structs.replace(
        recipe.train, loss=card.aim.loss, device="cpu", every=None, energy_in=None
    )
    noise = ledger.noise_multiplier
    privacy = msgspec.structs.replace(recipe.privacy, epsilon=None, noise_multiplier=noise, noise_seed=None)
    text = recipe.text
    if reads.tokens is not None:
        text = msgspec.structs.replace(text, words=reads.tokens.words)
    return msgspec.structs.replace(
        recipe,
        data="",
        train=train,
        privacy=privacy,
        seed=seed,
        inputs=reads.numbers,
        categories={name: one.values for name, one in reads.categories.items()},
        pixels=None if reads.pixels is None else Scale(reads.pixels.center, reads.pixels.scale),
        series=None if reads.series is None else Scale(reads.series.center, reads.series.scale),
        text=text,
        target=card.aim.target,
        canaries=None,
        start=UNSET,
        name=f"{card.name} rehearsed",
    )


def _made_up(card: Card, rows: int, rng: np.random.Generator, *, name: str) -> Table:
    """Rows and outcomes by chance; of a net that learns from rows alone, no outcomes."""
    columns = _inputs(card.reads, rows, rng)
    roles = {"feature": tuple(columns)}
    if not card.aim.unsupervised:
        truth = "outcome"
        while truth in columns:
            truth += "_"
        columns[truth] = _outcomes(card.aim, rows, rng)
        roles["truth"] = (truth,)
    return Table(name=name, columns=columns, roles=roles, positive=card.aim.positive)


def _inputs(reads: Reads, rows: int, rng: np.random.Generator) -> dict[str, Array]:
    """Column → normal numbers in its own units, or labels, words and characters by chance."""
    out: dict[str, Array] = {}
    if (p := reads.pixels) is not None:
        out[p.column] = p.center + FAR * p.scale * rng.normal(size=(rows, p.channels, p.height, p.width))
    if (t := reads.tokens) is not None:
        between = "" if t.level == "character" else " "
        drawn = rng.integers(len(t.words), size=(rows, t.length)).tolist()
        out[t.column] = np.array([between.join(t.words[i] for i in row) for row in drawn], dtype=object)
    if (s := reads.series) is not None:
        out[s.column] = s.center + FAR * s.scale * rng.normal(size=(rows, s.length, s.features))
    for column in reads.features:
        if (number := reads.numbers.get(column)) is not None:
            out[column] = number.center + FAR * number.scale * rng.normal(size=rows)
        else:
            labels = np.array(reads.categories[column].values or (None,), dtype=object)
            out[column] = labels[rng.integers(len(labels), size=rows)]
    return out


def _outcomes(aim: Aim, rows: int, rng: np.random.Generator) -> Array:
    """Labels dealt by chance, of each as many, or numbers."""
    if not aim.labels:
        assert aim.target is not None
        numbers: Array = aim.target.center + aim.target.scale * rng.normal(size=rows)
        return numbers
    return rng.permutation(np.resize(np.array(aim.labels, dtype=object), rows))
