"""How does a recipe train under several seeds? A run each in one folder, and ``seeds.json``, which says of what.

``FOLDER/seed-7/`` and so on are ordinary runs. The digest is of the recipe, the rows and the seeds: of the procedure,
not of one artefact. A private recipe is refused, because each training on the same rows spends its ε again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rai_bigmodel import accounting, files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.training import checkpoint
from rai_bigmodel.training.recipe import steps_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from rai_bigmodel.training.card import Card
    from rai_bigmodel.training.checkpoint import Run
    from rai_bigmodel.training.recipe import Recipe

    PathLike = str | os.PathLike[str]

SEEDS = "seeds.json"
MOST = 100


class Seeds(Record):
    """What ``seeds.json`` holds.

    Args:
        digest: of recipe, rows and seeds.
        runs: seed → the digest of its run, in the folder ``seed-SEED``.
    """

    name: str
    digest: str
    runs: dict[str, str]


def under(recipe: Recipe, count: int) -> dict[int, Recipe]:
    """Seed → the recipe under it: its own, and those that follow.

    Raises:
        InputError: fewer than two seeds, or the recipe is private; with the ε of all trainings together.
    """
    if not 2 <= count <= MOST:
        msg = f"seeds must lie between 2 and {MOST}, got {count}"
        raise InputError(msg)
    if recipe.privacy is not None:
        raise InputError(_spent(recipe, count))
    return {
        seed: msgspec.structs.replace(recipe, seed=seed) for seed in range(recipe.seed, recipe.seed + count)
    }


def _spent(recipe: Recipe, count: int) -> str:
    privacy = recipe.privacy
    assert privacy is not None
    why = f"privacy: {count} trainings on the same rows spend"
    steps = steps_of(recipe)
    ledger = accounting.Ledger.of(privacy, noise_multiplier=accounting.noise_for(privacy, steps), steps=steps)
    if ledger.epsilon_claimed is None:
        return f"{why} what no ε would hold for"
    together = accounting.composed_epsilon_of(ledger, count)
    return (
        f"{why} ε = {together:.3g} together, not {ledger.epsilon_claimed:.3g}; a private recipe has one run"
    )


def digest_of(recipe: Recipe, card: Card, seeds: list[int]) -> str:
    """The digest of a recipe under several seeds on the rows that a card of it names."""
    of = msgspec.structs.replace(recipe, seed=0, name="")
    return files.digest(files.canonical_json({"recipe": of, "data": card.data, "seeds": seeds}))


def folder_of(folder: PathLike, seed: int | str) -> Path:
    """Where the run of a seed lies."""
    return Path(folder) / f"seed-{seed}"


def save(folder: PathLike, runs: Mapping[int, Run]) -> Seeds:
    """Write ``seeds.json`` beside the runs, which are there already.

    Raises:
        InputError: the folder cannot be written.
    """
    card = next(iter(runs.values())).card
    seeds = Seeds(
        name=f"{card.name} under {len(runs)} seeds",
        digest=digest_of(card.recipe, card, list(runs)),
        runs={str(seed): run.digest for seed, run in runs.items()},
    )
    files.write_bytes(Path(folder) / SEEDS, files.canonical_json(seeds))
    return seeds


def load(folder: PathLike) -> tuple[Seeds, dict[str, Run]]:
    """What ``seeds.json`` says, and seed → its run.

    Raises:
        InputError: a run is missing, is another than ``seeds.json`` says, or they differ in more than their seeds.
    """
    path = Path(folder) / SEEDS
    seeds = files.parse_json(files.read_bytes(path), Seeds, where=str(path))
    # In canonical JSON the keys stand in the order of texts.
    runs = {seed: checkpoint.load_run(folder_of(folder, seed)) for seed in sorted(seeds.runs, key=int)}
    for seed, run in runs.items():
        card = run.card
        same = card.recipe.seed == int(seed) and run.digest == seeds.runs[seed]
        if not same or digest_of(card.recipe, card, [int(s) for s in runs]) != seeds.digest:
            msg = f"{folder_of(folder, seed)}: is not the run of seed {seed} that {SEEDS} describes"
            raise InputError(msg)
    return seeds, runs
