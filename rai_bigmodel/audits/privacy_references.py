"""How sure would a model be of a row that it never saw? Reference models: the same recipe, trained on other rows.

RMIA (Zarifzadeh, Liu and Shokri 2024) takes one to four, LiRA (Carlini et al. 2022) sixteen. A row's references must
not have seen it, and members must have the same kind of references as others, else the attack would see the
references and not the model:

- RMIA: members and others are dealt to two folds. The references of a fold learn from the others of the *other* fold
  and the calibration rows, and never from a member. Its population are the others of the row's own fold.
- LiRA: its models learn from halves of members and others together, each row in half of the models by a coin.

So RMIA never touches the rows that a private model protects, and LiRA would: it is refused there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel import accounting
from rai_bigmodel.audits.privacy_answers import sure_of, usual_error
from rai_bigmodel.audits.privacy_ledger import ledger_of
from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import attacks
from rai_bigmodel.subject import Refit
from rai_bigmodel.tables import Table
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

MOST = 4
SHADOWS = 16
FOLDS = 2
PRIVATE = (
    "LiRA trains on the training rows, and the model is private: its ε would not count these trainings"
    "{}; RMIA's reference models never see a training row (references: 4)"
)


def check_references(references: int) -> None:
    """Refuse a number of reference models that RMIA was not made for.

    Raises:
        InputError: it is negative, or above 4.
    """
    if not 0 <= references <= MOST:
        msg = f"privacy: references must lie between 0 (none) and {MOST}, got {references}"
        raise InputError(msg)


def trainer_of(subject: Subject) -> Callable[[Cohort, np.random.Generator, Refit], Subject] | str:
    """What trains the references: the subject's own recipe, or that of its plain twin; or why nothing does."""
    if subject.refit is not None:
        return subject.refit
    plain = subject.relatives.get("plain")
    if plain is not None and plain.refit is not None:
        return plain.refit
    return (
        "the subject cannot be trained again, and there is no relative in the role 'plain' that can: "
        "reference models need a recipe"
    )


def rmia(
    subject: Subject, data: Splits, references: int, rng: np.random.Generator
) -> tuple[Array, Array] | str:
    """RMIA's scores of members and others, each ``(rows,)``; or why there are none."""
    train = trainer_of(subject)
    if isinstance(train, str):
        return train
    members, others = _tables(data)
    usual = usual_error(subject, others)
    target = [sure_of(subject, cohort, usual=usual).chance for cohort in (members, others)]
    fold = [_dealt(cohort.rows, rng) for cohort in (members, others)]
    found = [np.empty(cohort.rows) for cohort in (members, others)]
    for i in range(FOLDS):
        learned = [others.take(fold[1] != i, name=f"{others.name}, fold {i + 1}")]
        if isinstance(data.calibrate, Table):
            learned.append(data.calibrate)
        population = joined(learned, name=f"references of fold {i + 1}")
        asked = [
            cohort.take(dealt == i, name=cohort.name)
            for cohort, dealt in zip((members, others), fold, strict=True)
        ]
        by_reference: list[list[Array]] = [[], []]
        for _ in range(references):
            # As many rows as the subject had, where there are so many; else all.
            size = min(members.rows, population.rows)
            chosen = population.take(np.sort(rng.permutation(population.rows)[:size]), name=population.name)
            reference = train(chosen, rng, Refit(seed=int(rng.integers(0, 2**31))))
            for chances, cohort in zip(by_reference, asked, strict=True):
                chances.append(sure_of(reference, cohort, usual=usual).chance)
        outside = target[1][fold[1] == i], np.stack(by_reference[1])
        for side, chances in enumerate(by_reference):
            here = fold[side] == i
            found[side][here] = attacks.rmia(target[side][here], np.stack(chances), *outside)
        # One of the population does not beat itself; counted as half it has the place that a member alike has.
        found[1][fold[1] == i] += 0.5 / len(outside[0])
    return found[0], found[1]


def lira(subject: Subject, data: Splits, rng: np.random.Generator) -> tuple[Array, Array] | str:
    """LiRA's scores of members and others from 16 models, each ``(rows,)``; or why there are none."""
    if (ledger := ledger_of(subject.card)) is not None:
        spent = ""
        if ledger.noise_multiplier:
            # Each row is in half of the models, beside the one that is there.
            composed = accounting.composed_epsilon_of(ledger, 1 + SHADOWS // 2)
            once = accounting.epsilon_of(ledger)
            spent = f" (trained alike, they would turn {number(once)} into {number(composed)})"
        return PRIVATE.format(spent)
    if subject.refit is None:
        return "the subject cannot be trained again, and LiRA needs its recipe"
    members, others = _tables(data)
    both = joined([members, others], name="members and others")
    usual = usual_error(subject, others)
    inside = np.empty((SHADOWS, both.rows), dtype=bool)
    for pair in range(SHADOWS // 2):
        inside[2 * pair] = _dealt(both.rows, rng) == 0
        inside[2 * pair + 1] = ~inside[2 * pair]
    said = []
    for place, chosen in enumerate(inside, start=1):
        rows = both.take(chosen, name=f"shadow {place}")
        shadow = subject.refit(rows, rng, Refit(seed=int(rng.integers(0, 2**31))))
        said.append(sure_of(shadow, both, usual=usual).confidence)
    target = sure_of(subject, both, usual=usual).confidence
    scores = attacks.lira(target, np.stack(said), inside)
    return scores[: members.rows], scores[members.rows :]


def _dealt(rows: int, rng: np.random.Generator) -> Array:
    """Each row's fold, both of the same size but for one row ``(rows,)``."""
    fold: Array = rng.permutation(rows) % FOLDS
    return fold


def _tables(data: Splits) -> tuple[Table, Table]:
    assert isinstance(data.train, Table)
    assert isinstance(data.held_out, Table)
    return data.train, data.held_out


def joined(tables: list[Table], *, name: str) -> Table:
    """The rows of several tables with the columns that the first one has a role for, one after the other.

    Raises:
        InputError: one lacks such a column.
    """
    columns = tuple(dict.fromkeys(c for names in tables[0].roles.values() for c in names))
    parts = [table.arrays(*columns) for table in tables]
    if len(tables) == 1:
        return tables[0]
    return Table(
        name=name,
        columns={c: np.concatenate([part[c] for part in parts]) for c in columns},
        roles=tables[0].roles,
        positive=tables[0].positive,
    )
