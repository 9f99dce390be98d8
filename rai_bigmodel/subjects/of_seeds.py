"""How does a recipe under several seeds become a subject? As its runs, none of which speaks for it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Array, Inputs, Subject
from rai_bigmodel.subjects.of_run import of_run

if TYPE_CHECKING:
    from rai_bigmodel.files import PathLike


def of_seeds(folder: PathLike) -> Subject:
    """The folder that ``rai train --seeds`` wrote, as a subject of kind ``recipe`` for the role of that name.

    Its `members` are the runs, by seed; its digest is of recipe, rows and seeds.

    Raises:
        InputError: the folder does not hold what its ``seeds.json`` says; or, in ``predict``, it is asked as if it were
            one model.
        MissingExtra: torch or safetensors is not installed.
    """
    from rai_bigmodel.training import seeds

    said, runs = seeds.load(folder)
    members = {seed: of_run(run) for seed, run in runs.items()}
    first = next(iter(members.values()))

    def predict(inputs: Inputs) -> Array:  # noqa: ARG001 - nothing is asked of it
        msg = f"{said.name}: is a recipe, not one model; name it under relatives: {{recipe: {folder}}}"
        raise InputError(msg)

    return Subject(
        name=said.name,
        kind="recipe",
        digest=said.digest,
        # Each run has a threshold of its own.
        decision=msgspec.structs.replace(first.decision, threshold=None),
        predict=predict,
        members=members,
        card={key: first.card[key] for key in ("recipe", "data", "outcome")},
    )
