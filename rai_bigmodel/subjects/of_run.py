"""How does a trained run become a subject?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Array, Cohort, Inputs, Refit, Splits, Subject

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from rai_bigmodel.training.checkpoint import Run


def of_run(run: Run | str | os.PathLike[str]) -> Subject:
    """A run, or the folder it was saved in, as a subject of kind ``torch``.

    Its ``predict`` takes a dict of raw columns, or the one array of pictures or series that the run reads, and gives
    what `training.scoring` says: of a yes or no the scores of the positive label ``(rows,)``. Its ``card`` is the run's
    card as plain values; ``card["ledger"]`` is a ``Ledger`` for a private run. A plain run can be trained again
    (`refit`); a private one cannot, because training again on the same rows spends privacy that its ledger does not
    count; its engine can be attacked on made-up rows instead (`canaries`), and its whole training be made again on
    made-up rows (`rehearse`). Nor can one that was made from another run, which may have seen the rows kept back.

    Raises:
        InputError: the folder holds no run; in ``predict``, a column is missing or holds something else.
        MissingExtra: torch or safetensors is not installed.
    """
    from rai_bigmodel.training import canaries, checkpoint, fit, planting, reciting, rehearsal
    from rai_bigmodel.training import inputs as raw

    on_disk: dict[str, int] = {}
    if not isinstance(run, checkpoint.Run):
        folder, run = run, checkpoint.load_run(run)
        on_disk = {"size_bytes": checkpoint.bytes_in(folder)}
    module, name, aim = run.module.eval(), run.name, run.card.aim
    card = run.card

    def predict(inputs: Inputs) -> Array:
        return fit.score_columns(module, inputs, where=name, aim=aim)

    def read(inputs: Inputs) -> tuple[Array, ...]:
        return (raw.tensors(module.reads, inputs, where=name)["tokens"],)

    def compiled() -> Callable[[Inputs], Array]:
        import torch

        made = torch.compile(module)
        return lambda inputs: fit.score_columns(made, inputs, where=name, aim=aim)

    def rehearse(count: int, rng: np.random.Generator) -> tuple[Subject, Cohort, Array]:
        again, rows, member = rehearsal.rehearsed(card, count, rng)
        return of_run(again), rows, member

    def recites(inputs: Inputs, prompt: int, more: int) -> Array:
        return reciting.recites(module, inputs, prompt, more, where=name)

    return Subject(
        name=name,
        kind="torch",
        digest=run.digest,
        decision=run.decision,
        predict=predict,
        module=module,
        read=read if raw.kinds_read(module.reads) == ("tokens",) else None,
        compiled=compiled,
        refit=None if card.ledger is not None or card.recipe.descends else _refit(run),
        canaries=None
        if card.recipe.privacy is None
        else lambda count, rng: canaries.scores(card, count, rng),
        rehearse=None if card.recipe.privacy is None or card.recipe.descends else rehearse,
        recites=recites if aim.outcome == "language" else None,
        secrets=planting.secrets_of(card.recipe),
        card={**msgspec.to_builtins(run.card), "outcome": aim.outcome, **on_disk},
    )


def _refit(run: Run) -> Callable[[Cohort, np.random.Generator, Refit], Subject]:
    """The run's recipe on other rows.

    All rows handed over are trained on, none are set aside to stop early, and no secrets are planted, so the new
    training takes as many epochs as the step that the run kept. Its threshold is set on those same rows. The
    seed decides first weights and batches, so the generator goes unused.
    """
    from rai_bigmodel.training import fit

    card = run.card
    each = math.ceil(card.data["train"].rows / card.recipe.train.batch_size)
    epochs = max(1, math.ceil(card.kept_step / each))

    def refit(cohort: Cohort, rng: np.random.Generator, how: Refit) -> Subject:  # noqa: ARG001 - the seed says it all
        if how.probes:
            msg = f"{run.name}: probes cannot be planted in a refit of this kind, got {how.probes}"
            raise InputError(msg)
        if sorted(got := cohort.roles.get("feature", ())) != sorted(card.features):
            msg = f"{cohort.name}: a refit of {run.name} needs the features it was trained on, got {list(got)[:8]}"
            raise InputError(msg)
        settings = msgspec.structs.replace(card.recipe.train, epochs=epochs, patience=None, keep=None)
        recipe = msgspec.structs.replace(
            card.recipe, train=settings, seed=how.seed, name=f"{run.name} again", canaries=None
        )
        splits = Splits(train=cohort, calibrate=cohort, held_out=cohort)
        weights = None if how.weights is None else np.asarray(how.weights)
        return of_run(fit.train_recipe(recipe, splits=splits, weights=weights))

    return refit
