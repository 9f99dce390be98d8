"""What is learned? A yes or no, one of several labels, a number, the rows themselves, or the next word.

The recipe may name the loss; else the net and the column of outcomes say what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.subject import Outcome, truth_of
from rai_bigmodel.tables import canonical
from rai_bigmodel.tables.names import few_whole
from rai_bigmodel.training.recipe import Scale
from rai_bigmodel.training.settings import Loss

if TYPE_CHECKING:
    from rai_bigmodel.nets import Reads
    from rai_bigmodel.subject import Array, Cohort
    from rai_bigmodel.training.recipe import Recipe

OUTCOMES: dict[str, Outcome] = {
    "bce": "binary",
    "cross_entropy": "classes",
    "mse": "number",
    "gaussian": "number",
    "reconstruction": "reconstruction",
    "language_model": "language",
}
MISSING = "(missing)"


class Aim(Record):
    """What is learned, and from which loss.

    Args:
        labels: of the outcome, sorted; none where it is a number, or where there is none.
        positive: of two labels the positive one.
        target: what a number is scaled by while it is learned.
    """

    loss: Loss
    labels: tuple[str, ...] = ()
    positive: str = ""
    target: Scale | None = None

    @property
    def outcome(self) -> Outcome:
        """What kind of outcome it is."""
        return OUTCOMES[self.loss]

    @property
    def unsupervised(self) -> bool:
        """Whether no column of outcomes is needed: the rows are their own."""
        return self.loss in {"reconstruction", "language_model"}

    def outputs(self, reads: Reads) -> int:
        """How many numbers the net gives for a row, or for a word of it."""
        if self.loss == "cross_entropy":
            return len(self.labels)
        if self.loss == "language_model" and reads.tokens is not None:
            return reads.tokens.ids
        return 1


YES_OR_NO = Aim(loss="bce")


def loss_of(recipe: Recipe) -> Loss | None:
    """The loss that the recipe or its net asks for; ``None`` where the outcomes decide."""
    config: Any = recipe.net.config
    own: Loss | None = None
    if recipe.net.kind == "autoencoder":
        own = "reconstruction"
    elif getattr(config, "causal", False) or (recipe.net.kind == "lstm" and config.head == "steps"):
        own = "language_model"
        if getattr(config, "both", False):
            msg = "net: lstm: both does not go with a head at every step: it would read the word it is to say"
            raise InputError(msg)
    elif getattr(config, "head", "") == "gaussian":
        own = "gaussian"
    asked = recipe.train.loss
    if (
        asked is not None
        and asked != own
        and (own or asked in {"reconstruction", "language_model", "gaussian"})
    ):
        suits = f"learns by {own}" if own else f"cannot learn by {asked}"
        msg = f"train: loss {asked} does not go with this net: {recipe.net.kind} as it is configured {suits}"
        raise InputError(msg)
    return asked or own


def aim_of(recipe: Recipe, rows: Cohort, source: Cohort) -> Aim:
    """What a recipe learns from these rows.

    Args:
        source: the rows that constants are measured on.

    Raises:
        InputError: the outcome has one label, is missing somewhere, or does not go with the loss.
    """
    loss = loss_of(recipe)
    if loss in {"reconstruction", "language_model"}:
        return Aim(loss=loss)
    column = rows.roles["truth"][0]
    values = rows.arrays(column)[column]
    text = canonical(values)
    if gone := int((text == MISSING).sum()):
        msg = f"{rows.name}: {column!r} is missing in {gone:,} of {rows.rows:,} rows"
        raise InputError(msg)
    found = tuple(sorted(set(text.tolist())))
    if loss is None:
        number = len(found) > 2 and values.dtype != object and not few_whole(values)
        loss = "mse" if number else "bce" if len(found) <= 2 else "cross_entropy"
    if loss in {"mse", "gaussian"}:
        return Aim(loss=loss, target=recipe.target or _target(source, column))
    if len(found) < 2 or (loss == "bce" and len(found) != 2):
        msg = f"{rows.name}: {column!r} must have two labels to learn from, got {list(found)[:6]}"
        raise InputError(msg)
    positive = str(text[truth_of(rows)][0]) if len(found) == 2 else ""
    return Aim(loss=loss, labels=found, positive=positive)


def targets(aim: Aim, cohort: Cohort) -> Array | None:
    """What the net is to give for each row: ``(rows, 1)`` float32, codes ``(rows,)`` int64, or nothing.

    Raises:
        InputError: an outcome is missing, or is none of the labels.
    """
    if aim.unsupervised:
        return None
    if aim.loss == "bce":
        return truth_of(cohort)[:, None].astype(np.float32)
    column = cohort.roles["truth"][0]
    if aim.loss == "cross_entropy":
        place = {label: i for i, label in enumerate(aim.labels)}
        distinct, codes = np.unique(canonical(cohort.arrays(column)[column]).astype(str), return_inverse=True)
        for label in distinct.tolist():
            if label not in place:
                what = f"{cohort.name}: label of {column!r}"
                raise InputError.unknown(what, label, aim.labels)
        return np.array([place[label] for label in distinct.tolist()], dtype=np.int64)[codes]
    assert aim.target is not None
    values = _numbers(cohort, column)
    return ((values - aim.target.center) / aim.target.scale)[:, None].astype(np.float32)


def _target(source: Cohort, column: str) -> Scale:
    values = _numbers(source, column)
    return Scale(center=float(values.mean()), scale=float(values.std()) or 1.0)


def _numbers(cohort: Cohort, column: str) -> Array:
    values = np.asarray(cohort.arrays(column)[column])
    if values.dtype == object or not np.isfinite(values.astype(np.float64)).all():
        msg = f"{cohort.name}: {column!r} must hold a finite number in every row to be predicted as one"
        raise InputError(msg)
    return values.astype(np.float64)
