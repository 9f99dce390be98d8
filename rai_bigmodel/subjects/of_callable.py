"""How does a plain function become a subject? By saying what its numbers mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rai_bigmodel.subject import Array, Inputs


def of_callable(
    function: Callable[[Inputs], Array],
    *,
    labels: Sequence[str] = ("0", "1"),
    positive: str = "1",
    threshold: float = 0.5,
    name: str = "",
) -> Subject:
    """A function of a dict of raw columns as a subject of kind ``callable``.

    It has no digest, so a rule that pins a subject is inconclusive.

    Args:
        function: columns → scores of the positive label ``(rows,)``; with more than two labels class probabilities
            ``(rows, labels)`` in the order of `labels`; without labels a predicted number ``(rows,)``.
        labels: what it decides between, as canonical text.
        positive: the label that the score is of, where there are two.
        threshold: a score at or above it is a positive decision.

    Raises:
        InputError: the positive label is not one of two; in ``predict``, the function fails or gives another shape.
    """
    name = name or getattr(function, "__name__", "callable").strip("<>")
    labels = tuple(labels)

    def predict(inputs: Inputs) -> Array:
        return answered(lambda: function(inputs), name=name, inputs=inputs, labels=len(labels))

    return Subject(
        name=name,
        kind="callable",
        digest="",
        decision=decided(labels, positive=positive, threshold=threshold, name=name),
        predict=predict,
    )


def decided(labels: tuple[str, ...], *, positive: str, threshold: float, name: str) -> Decision:
    """How scores become decisions: a threshold between two labels, the largest of several, none for a number.

    Raises:
        InputError: of two labels, `positive` is neither, or cannot be guessed.
    """
    if len(labels) == 2:
        positive = positive or next((p for p in ("1", "true") if p in labels), "")
        if positive not in labels:
            said = f"got {positive!r}" if positive else "say which is positive"
            msg = f"{name}: decides between {labels[0]!r} and {labels[1]!r}; {said}"
            raise InputError(msg)
        return Decision(kind="threshold", threshold=float(threshold), positive=positive, labels=labels)
    if labels:
        return Decision(kind="argmax", threshold=None, positive="", labels=labels)
    return Decision(kind="threshold", threshold=None, positive="", labels=())


def answered(ask: Callable[[], Array], *, name: str, inputs: Inputs, labels: int) -> Array:
    """What a model of somebody else's said, as float64 ``(rows,)`` or ``(rows, labels)``.

    Raises:
        InputError: it failed, or its answer is not numbers of that shape; one line.
    """
    try:
        said = np.asarray(ask(), dtype=np.float64)
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        msg = f"{name}: could not answer ({type(error).__name__}: {first})"
        raise InputError(msg) from error
    first_column = next(iter(inputs.values())) if isinstance(inputs, dict) else inputs
    rows = len(first_column)
    if labels <= 2 and said.shape == (rows, 1):
        said = said[:, 0]
    wanted = (rows, labels) if labels > 2 else (rows,)
    if said.shape != wanted:
        msg = f"{name}: gave answers of shape {said.shape}, expected {wanted} (one row each)"
        raise InputError(msg)
    if bad := int((~np.isfinite(said.reshape(rows, -1))).any(axis=1).sum()):
        msg = f"{name}: the answers to {bad:,} of {rows:,} rows are not finite numbers"
        raise InputError(msg)
    return said
