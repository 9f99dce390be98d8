"""How does a table of predictions become a subject, without any model?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import AtLeast, Subject
from rai_bigmodel.tables import Table
from rai_bigmodel.tables.names import meant

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Inputs
    from rai_bigmodel.tables import Frame

DEFAULT_THRESHOLD = 0.5


def of_table(table: Table | Frame, *, name: str = "", threshold: float | None = None) -> Subject:
    """A table with the role ``score`` or ``prediction`` as a subject of kind ``table``.

    Decisions are those recorded under ``prediction``; without them, a score at `threshold` or more
    (0.5 unless said otherwise) is a positive decision.

    Raises:
        InputError: neither role is there, a score is missing, not finite or outside 0 to 1, or the
            threshold is; scores are 0 and 1 alone; or a score is given beside predictions of several
            labels or of numbers.
    """
    score, prediction = (table.roles.get(role, ("",))[0] for role in ("score", "prediction"))
    if not score and not prediction:
        msg = f"{table.name}: a column of scores or of predictions is needed to know what was decided"
        raise InputError(msg)
    if threshold is not None and (not score or not 0 <= threshold <= 1):
        msg = f"{table.name}: a threshold needs a column of scores and lies from 0 to 1, got {threshold}"
        raise InputError(msg)
    if threshold is not None and prediction:
        msg = f"{table.name}: give either predictions or a threshold for the scores, not both"
        raise InputError(msg)
    truth = table.roles.get("truth", ("",))[0]
    at_least = AtLeast(column=score, threshold=DEFAULT_THRESHOLD if threshold is None else float(threshold))
    if score and isinstance(table, Table):
        said = table.scores(score)
        if not prediction and ((said == 0) | (said == 1)).all() and 0 < said.sum() < len(said):
            msg = (
                f"{table.name}: {score!r} holds 0 and 1 alone, which are decisions and no scores; name it as the "
                "column of predictions (--prediction)"
            )
            raise InputError(msg)
    elif truth and not isinstance(table, Table):
        # Rows in an engine are checked while they are counted; what is asked of them later comes from this count.
        table.count((), truth=truth, decision=prediction or at_least)
    number = bool(
        truth and prediction and isinstance(table, Table) and table.outcome(truth, prediction) == "number"
    )
    labels = table.labels(truth) if truth and not number else ()
    if len(labels) > 2 and not prediction:
        table.binary(truth)  # scores of one label need two; this says so
    if score and (number or len(labels) > 2):
        what = "a predicted number" if number else f"one of {len(labels)} labels"
        msg = (
            f"{table.name}: {score!r} is a score of one label against another, and {prediction!r} is {what}; "
            "leave the score out"
        )
        raise InputError(msg)
    decision = Decision(
        kind="threshold",
        threshold=None if prediction else at_least.threshold,
        positive="" if number else meant(table.positive, labels) or ("true" if "true" in labels else "1"),
        labels=labels,
    )

    def predict(inputs: Inputs) -> Array:
        if score:
            scores: Array = inputs[score]
            return scores
        if number:
            told: Array = inputs[prediction]
            return told
        return table.binary(prediction).astype(np.float64)

    return Subject(
        name=name or table.name, kind="table", digest=table.digest, decision=decision, predict=predict
    )
