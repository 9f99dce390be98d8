"""How does whatever a user hands over become a subject?

| given | becomes |
|---|---|
| a `Subject` | itself |
| a run, or the folder of one | `of_run` |
| the folder of one recipe under several seeds | `of_seeds` |
| a path that ends in ``.onnx`` | `of_onnx` |
| a folder with ``config.json`` | `of_huggingface`, of the one column of texts |
| an ``nn.Module``, once it is said what it gives | `of_module`, of the feature columns in their order |
| an estimator or pipeline of scikit-learn | `of_sklearn` |
| a function of a dict of columns | `of_callable` |
| a dataframe of predictions | `answered`, with the rows |
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rai_bigmodel.subject import Cohort, Splits, Subject
    from rai_bigmodel.subjects.of_module import Gives


def subject_of(given: Any, splits: Splits | None = None, *, gives: Gives | None = None) -> Subject:
    """What a user has as a subject: see the table above.

    Args:
        splits: the rows, whose columns say what an estimator or a module reads and what a function's scores are of.
        gives: what a module's numbers are.

    Raises:
        InputError: it is none of these, or it does not say enough about itself.
    """
    from rai_bigmodel.subject import Subject

    if isinstance(given, Subject):
        return given
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        if path.suffix == ".onnx":
            from rai_bigmodel.subjects.of_onnx import of_onnx

            return of_onnx(path)
        if path.is_file():
            msg = f"{path}: a subject is the folder of a run or an .onnx file"
            raise InputError(msg)
        if (path / "seeds.json").is_file():
            from rai_bigmodel.subjects.of_seeds import of_seeds

            return of_seeds(path)
        if (path / "config.json").is_file() and not (path / "card.json").exists():
            return _of_texts(path, splits)
    elif not hasattr(given, "card"):  # everything that is no run
        return _theirs(given, splits, gives)
    from rai_bigmodel.subjects.of_run import of_run

    return of_run(given)


@contextmanager
def left_as_it_was(*given: Any) -> Iterator[None]:
    """Whatever is done inside: each ``nn.Module`` among `given` is afterwards in the mode, training or not, it came in.

    Part by part, because a model may be trained with some of its parts in evaluation mode.
    """
    modes = [(part, part.training) for module in given if _is_module(module) for part in module.modules()]
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _is_module(given: Any) -> bool:
    return "torch" in sys.modules and isinstance(given, sys.modules["torch"].nn.Module)


def answered(frame: Any, splits: Splits) -> tuple[Subject, Splits]:
    """A dataframe of predictions on the held-out rows, in their order, as a subject; and the rows with its answers.

    Args:
        frame: with a column ``score`` (from 0 to 1), ``prediction`` (a label), or both.

    Raises:
        InputError: it has neither, another number of rows, an index in another order than 0, 1, 2 …, or the rows have
            a column of that name.
    """
    from dataclasses import replace

    from rai_bigmodel import tables
    from rai_bigmodel.subjects.of_table import of_table

    rows = splits.held_out
    table = tables.of(frame, roles={"feature": ("*",)})
    if not isinstance(table, tables.Table) or not isinstance(rows, tables.Table):
        msg = "predictions and rows that stay in an engine are audited as one table: rai_bigmodel.api.audit_predictions"
        raise InputError(msg)
    told = {c: table.columns[c] for c in ("score", "prediction") if c in table.columns}
    if not told:
        what = "a dataframe of predictions needs a column 'score' or 'prediction': column"
        raise InputError.unknown(what, "score", table.columns)
    if table.rows != rows.rows:
        msg = f"{table.name}: has {table.rows:,} rows, and {rows.name} has {rows.rows:,}; one is needed for each"
        raise InputError(msg)
    index = getattr(frame, "index", None)  # only what is like pandas has one
    if index is not None and not callable(index) and any(i != k for i, k in enumerate(index)):
        msg = (
            f"{table.name}: its index does not count 0, 1, 2 …, and predictions are matched to the rows by their "
            "order, never by an index; where they are in the order of the rows, hand over frame.reset_index(drop=True)"
        )
        raise InputError(msg)
    if taken := [c for c in told if c in rows.columns]:
        msg = f"{rows.name}: already has a column {taken[0]!r}; use rai_bigmodel.api.audit_predictions"
        raise InputError(msg)
    whole = replace(rows, columns={**rows.columns, **told}, roles={**rows.roles, **{c: (c,) for c in told}})
    return of_table(whole, name=table.name), replace(splits, held_out=whole)


def _of_texts(path: Path, splits: Splits | None) -> Subject:
    """A folder as Hugging Face writes it, asked about the one column that the rows have."""
    from rai_bigmodel.subjects.of_huggingface import of_huggingface

    columns = () if splits is None else splits.held_out.roles.get("feature", ())
    if len(columns) != 1:
        msg = f"{path}: a Hugging Face model reads one column of texts; the rows have {len(columns)} feature columns"
        raise InputError(msg)
    assert splits is not None
    rows = splits.held_out
    unnamed = _unnamed(path, rows)
    return of_huggingface(path, text=columns[0], labels=unnamed, positive=rows.positive)


def _unnamed(path: Path, rows: Cohort) -> tuple[str, ...]:
    """The labels of a model whose configuration only counts them, as the rows count them: 0, 1 …; else none."""
    from rai_bigmodel.nets.huggingface import label_names
    from rai_bigmodel.subject import column_of
    from rai_bigmodel.tables import Table

    named = label_names(path)
    numbers = tuple(map(str, range(len(named))))
    if named != tuple(f"LABEL_{i}" for i in numbers) or not isinstance(rows, Table):
        return ()
    return numbers if {*rows.labels(column_of(rows, "truth"))} <= {*numbers} else ()


def _theirs(given: Any, splits: Splits | None, gives: Gives | None) -> Subject:
    """A model of somebody else's, with what the rows say about it."""
    rows = None if splits is None else splits.held_out
    if _is_module(given):
        if gives is None or rows is None:
            msg = (
                f"{type(given).__name__}: a module does not say what its numbers are; say gives='logits', "
                "'probabilities' or 'numbers', or use rai_bigmodel.subjects.of_module.of_module"
            )
            raise InputError(msg)
        from rai_bigmodel.subjects.of_module import of_module

        labels = () if gives == "numbers" else _two_labels(rows, type(given).__name__, "of_module.of_module")
        features = rows.roles.get("feature", ())
        return of_module(given, features=features, gives=gives, labels=labels, positive=rows.positive)
    if rows is not None and hasattr(given, "predict"):
        from rai_bigmodel.subjects.of_sklearn import of_sklearn

        return of_sklearn(given, features=rows.roles.get("feature", ()), positive=rows.positive)
    if rows is not None and callable(given):
        from rai_bigmodel.subjects.of_callable import of_callable

        labels = _two_labels(rows, "a function", "of_callable.of_callable")
        return of_callable(given, labels=labels, positive=rows.positive)
    msg = (
        "a subject is a Subject, a run or its folder, an .onnx file, a Hugging Face folder, an nn.Module, an estimator "
        f"of scikit-learn, a function of a dict of columns or a dataframe of predictions; got a {type(given).__name__}"
    )
    raise InputError(msg)


def _two_labels(rows: Cohort, who: str, way: str) -> tuple[str, ...]:
    """The labels of the outcome, where there are two, whose order nobody has to guess."""
    from rai_bigmodel.subject import column_of
    from rai_bigmodel.tables import Table

    labels = rows.labels(column_of(rows, "truth")) if isinstance(rows, Table) else ()
    if len(labels) != 2:
        msg = (
            f"{who} does not say what its numbers mean where the outcome is not one of two labels; "
            f"rai_bigmodel.subjects.{way}(…, labels=[…]) does"
        )
        raise InputError(msg)
    return labels
