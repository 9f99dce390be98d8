"""How does a trained run become a subject?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rai_bigmodel.subject import Array, Inputs, Subject

if TYPE_CHECKING:
    import os

    from rai_bigmodel.training.checkpoint import Run


def of_run(run: Run | str | os.PathLike[str]) -> Subject:
    """A run, or the folder it was saved in, as a subject of kind ``torch``.

    Its ``predict`` takes a dict of raw columns, picks the run's features by name and gives the scores of the
    positive label ``(rows,)``. Its ``card`` is the run's card as plain values; ``card["ledger"]`` is a
    ``Ledger`` for a private run.

    Raises:
        InputError: the folder holds no run; in ``predict``, a column is missing or not made of numbers.
        MissingExtra: torch or safetensors is not installed.
    """
    from rai_bigmodel.training import checkpoint, fit

    if not isinstance(run, checkpoint.Run):
        run = checkpoint.load_run(run)
    module, name = run.module.eval(), run.name

    def predict(inputs: Inputs) -> Array:
        return fit.score_columns(module, inputs, where=name)

    return Subject(
        name=name,
        kind="torch",
        digest=run.digest,
        decision=run.decision,
        predict=predict,
        module=module,
        card=msgspec.to_builtins(run.card),
    )
