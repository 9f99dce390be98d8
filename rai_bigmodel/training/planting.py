"""Which secrets are planted into the texts that a language model learns, so that an audit sees what it remembers?

A canary is a sentence with a number in it that was drawn by chance (Carlini et al. 2019, arXiv:1802.08232). How far it
stands out among all numbers of as many digits is its exposure, which the `privacy` audit measures from the card alone:
the recipe says the sentence and the seed. One that is planted no time at all is the control.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.subject import Secret
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from rai_bigmodel.subject import Cohort
    from rai_bigmodel.training.recipe import Recipe

MOST_DIGITS = 9
MOST_PLANTED = 1_000_000


class Canaries(Record, omit_defaults=True):
    """Secrets to plant.

    Args:
        sentence: the text around a secret; ``{}`` stands for its digits.
        digits: how many a secret has.
        times: how often each secret is planted; 0 is a control that is never planted.
        seed: which digits they are. Who knows it knows the secrets, which therefore must be nobody's.

    Raises:
        InputError: a value is out of its range.
    """

    sentence: str = "the number is {}"
    digits: int = 4
    times: tuple[int, ...] = (0, 1, 10, 100)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sentence.count("{}") != 1:
            msg = f"canaries: sentence must hold {{}} once, where the secret stands, got {self.sentence!r}"
            raise InputError(msg)
        if not 1 <= self.digits <= MOST_DIGITS:
            msg = f"canaries: digits must lie between 1 and {MOST_DIGITS}, got {self.digits}"
            raise InputError(msg)
        if not self.times or min(self.times) < 0 or len(self.times) > 10**self.digits:
            msg = (
                f"canaries: times must say how often each secret is planted, 0 or more, for at most "
                f"{10**self.digits:,} of {self.digits} digits, got {list(self.times)}"
            )
            raise InputError(msg)
        if sum(self.times) > MOST_PLANTED:
            msg = f"canaries: at most {MOST_PLANTED:,} sentences are planted in all, got {sum(self.times):,}"
            raise InputError(msg)


def secrets_of(recipe: Recipe) -> tuple[Secret, ...]:
    """The secrets of a recipe, the same ones every time; none where it plants none."""
    asked = recipe.canaries
    if asked is None:
        return ()
    space = 10**asked.digits
    rng = np.random.default_rng(asked.seed)
    drawn: list[int] = []
    while len(drawn) < len(asked.times):
        if (code := int(rng.integers(space))) not in drawn:
            drawn.append(code)
    before, _, after = asked.sentence.partition("{}")
    # Of a vocabulary of words, every digit is one; a number as a whole would be an unknown word.
    between = " " if recipe.text.level == "word" else ""
    return tuple(
        Secret(
            name=f"{number} (planted {times} ×)",
            times=times,
            code=f"{code:0{asked.digits}d}",
            before=before,
            after=after,
            between=between,
        )
        for number, (code, times) in enumerate(zip(drawn, asked.times, strict=True), start=1)
    )


def planted(recipe: Recipe, rows: Cohort) -> Cohort:
    """The training rows and, behind them, each secret as often as the recipe says.

    Raises:
        InputError: a single column of texts is not what is learned, or a sentence is cut off.
    """
    secrets = secrets_of(recipe)
    if not secrets:
        return rows
    features = rows.roles["feature"]
    if not isinstance(rows, Table) or len(features) != 1 or rows.columns[features[0]].dtype != object:
        msg = (
            f"{rows.name}: canaries are planted into the one column of texts that a language is learned from"
        )
        raise InputError(msg)
    for secret in secrets:
        length = len(secret.text().split() if recipe.text.level == "word" else secret.text())
        if length > recipe.text.length:
            msg = f"canaries: the sentence has {length} {recipe.text.level}s, and text.length is {recipe.text.length}"
            raise InputError(msg)
    texts = [secret.text() for secret in secrets for _ in range(secret.times)]
    columns = {}
    for name, values in rows.columns.items():
        added: list[object] = list(texts) if name == features[0] else [None] * len(texts)
        new = np.array(added, dtype=object) if values.dtype == object else np.full(len(texts), np.nan)
        columns[name] = np.concatenate([values, new])
    return Table(
        name=f"{rows.name}, {len(texts)} canaries",
        columns=columns,
        roles=rows.roles,
        positive=rows.positive,
        notes=rows.notes,
    )
