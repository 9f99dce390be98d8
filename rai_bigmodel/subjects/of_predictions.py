"""How do predictions in a file of their own become a subject for rows that lie elsewhere? Row by row, and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec
import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.files import visible
from rai_bigmodel.subject import Subject, column_of, task_of
from rai_bigmodel.subjects.of_table import DEFAULT_THRESHOLD, of_table
from rai_bigmodel.tables import Table, canonical, read_table

if TYPE_CHECKING:
    import os

    from rai_bigmodel.subject import Array, Cohort, Inputs


def of_predictions(
    path: str | os.PathLike[str],
    rows: Cohort,
    *,
    like: Subject,
    prediction: str | None = None,
    score: str | None = None,
    threshold: float | None = None,
) -> Subject:
    """Another model's predictions on the same rows, as a subject of kind ``predictions``.

    The file holds the outcome too, by which its rows are recognised. They come in the same order, or are matched by
    the column of ids where `rows` have one.

    Args:
        path: csv, parquet or a folder of parquet.
        rows: that the predictions are for.
        like: the subject that it is compared with; both decide between the same labels.
        prediction, score, threshold: as in `of_table`.

    Raises:
        InputError: the file or a column cannot be used, or its rows are not the same ones.
    """
    if not isinstance(rows, Table):
        return _unasked(path, like)
    truth, ids = column_of(rows, "truth"), rows.roles.get("id", ())
    roles = {
        "truth": (truth,),
        "id": ids,
        "prediction": (prediction,) if prediction else (),
        "score": (score,) if score else (),
    }
    table = read_table(path, roles=roles, positive=rows.positive)
    if table.rows != rows.rows:
        msg = (
            f"{table.name}: has {table.rows:,} rows, and {rows.name} has {rows.rows:,}; a baseline answers about the "
            "same rows"
        )
        raise InputError(msg)
    order = _matched(table, rows, ids[0]) if ids else np.arange(rows.rows)
    said, meant = (canonical(t.arrays(truth)[truth]) for t in (table, rows))
    if (other := np.flatnonzero(said[order] != meant)).size:
        first = int(other[0])
        msg = (
            f"{table.name}: {truth!r} differs from that of {rows.name} in {len(other):,} rows, first in row "
            f"{first + 1:,} ({visible(str(said[order][first]))} and {visible(str(meant[first]))}); a baseline answers "
            "about the same rows, in the same order or with --id"
        )
        raise InputError(msg)
    own = of_table(table, threshold=threshold)
    answers = own.predict(table.columns)[order]
    decided = None
    if task_of(like) == "classes" and prediction:
        answers = _one_hot(table, prediction, like)[order]
    elif task_of(like) == "binary" and prediction:
        decided = table.binary(prediction)[order]

    def predict(inputs: Inputs) -> Array:  # noqa: ARG001 - what was answered stands in the file
        return answers

    decision = own.decision
    if task_of(like) == "classes":
        decision = like.decision
    elif task_of(like) == "binary":
        # 0 and 1 where nothing but decisions is known.
        cut = decision.threshold if score and not prediction else DEFAULT_THRESHOLD
        decision = msgspec.structs.replace(like.decision, threshold=cut)
    return Subject(
        name=table.name,
        kind="predictions",
        digest=table.digest,
        decision=decision,
        predict=predict,
        decided=decided,
        card={} if score or task_of(like) == "number" else {"decisions_only": True},
    )


def _matched(table: Table, rows: Table, column: str) -> Array:
    """The place in `table` of each of the rows, by their ids."""
    theirs, ours = (canonical(t.arrays(column)[column]) for t in (table, rows))
    place = {name: i for i, name in enumerate(theirs.tolist())}
    for t, names in ((table, theirs), (rows, ours)):
        if len(set(names.tolist())) < len(names):
            msg = f"{t.name}: {column!r} does not tell rows apart, so those of the baseline cannot be matched by it"
            raise InputError(msg)
    if gone := [name for name in ours.tolist() if name not in place]:
        msg = (
            f"{table.name}: {len(gone):,} rows of {rows.name} are not there, the first has {column!r} "
            f"{visible(gone[0])}"
        )
        raise InputError(msg)
    return np.array([place[name] for name in ours.tolist()], dtype=np.int64)


def _one_hot(table: Table, prediction: str, like: Subject) -> Array:
    labels = like.decision.labels
    said = canonical(table.arrays(prediction)[prediction])
    if strange := sorted({*said.tolist()} - {*labels}):
        what = f"{table.name}: {prediction!r} holds a label that {like.name} does not give"
        raise InputError.unknown(what, strange[0], labels)
    place = {label: i for i, label in enumerate(labels)}
    return np.eye(len(labels))[[place[label] for label in said.tolist()]]


def _unasked(path: str | os.PathLike[str], like: Subject) -> Subject:
    """Rows that stay in their engine are not paired, and nothing is asked about them."""
    from pathlib import Path

    from rai_bigmodel.tables.files import digest_of

    def refuse(inputs: Inputs) -> NoReturn:  # noqa: ARG001 - as its sibling
        msg = f"{path}: the rows it answers about stay in their engine, and pairing needs single rows"
        raise InputError(msg)

    return Subject(
        name=Path(path).name,
        kind="predictions",
        digest=digest_of(path),
        decision=like.decision,
        predict=refuse,
        card={"decisions_only": True},
    )
