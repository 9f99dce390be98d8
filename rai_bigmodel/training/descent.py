"""Which runs does a training descend from, may it, and what does its card say of them?

A run is taken over (``from``) or answers (``distil``). Either carries what it learned from its own rows into the new
one, where no later noise covers it. So a private training refuses a run that was trained without privacy on the same
rows, as far as digests and names can tell, and on rows of which nobody says why they owe these people nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import UNSET

from rai_bigmodel.errors import InputError
from rai_bigmodel.training.card import Card, Origin
from rai_bigmodel.training.checkpoint import Run, load_run

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from rai_bigmodel.accounting import Ledger
    from rai_bigmodel.stats.conformance import Conformance
    from rai_bigmodel.subject import Cohort
    from rai_bigmodel.training.recipe import Distil, From, Recipe

    PathLike = str | os.PathLike[str]


class Kin(NamedTuple):
    """The runs that a training descends from: whose weights are taken over, and whose answers are learned."""

    parent: Run | None = None
    teacher: Run | None = None


def kin_of(recipe: Recipe, *, here: PathLike = ".", given: Kin | None = None) -> tuple[Recipe, Kin]:
    """The recipe with the digests of the runs that it names, and those runs.

    Args:
        here: the folder that their paths are relative to.
        given: runs that are at hand, which are then not looked for.

    Raises:
        InputError: a run is not there, or is another than the recipe says.
    """
    given = given or Kin()
    parent = teacher = None
    if recipe.start is not UNSET:
        parent = _found(recipe.start, "from", here, given.parent)
        recipe = msgspec.structs.replace(
            recipe, start=msgspec.structs.replace(recipe.start, digest=parent.digest)
        )
    if recipe.distil is not UNSET:
        teacher = _found(recipe.distil, "distil", here, given.teacher)
        recipe = msgspec.structs.replace(
            recipe, distil=msgspec.structs.replace(recipe.distil, digest=teacher.digest)
        )
    return recipe, Kin(parent, teacher)


def _found(asked: From | Distil, key: str, here: PathLike, given: Run | None) -> Run:
    run = load_run(Path(here) / asked.run) if given is None else given
    if asked.digest and asked.digest != run.digest:
        msg = f"{key}: {asked.run} is the run {run.digest[:19]}…, not {asked.digest[:19]}…, which the recipe asks for"
        raise InputError(msg)
    return run


def origins_of(recipe: Recipe, kin: Kin) -> dict[str, Origin]:
    """``from`` and ``distil`` → the run behind it, as the card keeps it."""
    public = "" if recipe.start is UNSET else recipe.start.public
    runs = {"from": (kin.parent, public), "distil": (kin.teacher, "")}
    return {key: _origin(run.card, public=said) for key, (run, said) in runs.items() if run is not None}


def _origin(card: Card, *, public: str) -> Origin:
    ledger = card.ledger
    return Origin(
        name=card.name,
        digest=card.digest,
        source=_source(card.recipe),
        data=card.data,
        private=ledger is not None,
        epsilon=None if ledger is None else ledger.epsilon_claimed,
        delta=None if ledger is None else ledger.delta,
        public=public,
        origins={} if card.origins is UNSET else card.origins,
    )


def _source(recipe: Recipe) -> str:
    """The data of ours that a recipe names; empty for rows from a file or from Python, which digests alone tell."""
    data = recipe.data
    if isinstance(data, str):
        return data
    return "" if getattr(data.details, "file", "") else data.name


def _ancestors(origins: dict[str, Origin]) -> Iterator[Origin]:
    for origin in origins.values():
        yield origin
        yield from _ancestors(origin.origins)


def refuse_false_epsilon(recipe: Recipe, kin: Kin, rows: Cohort) -> None:
    """Refuse a private training whose ε would be false, because a run that it begins with saw these rows.

    The same rows in another shape or division have another digest, so of data of ours the name is compared too. What
    neither tells is left to whoever says ``public``.

    Raises:
        InputError: as said.
    """
    if recipe.privacy is None:
        return
    for origin in _ancestors(origins_of(recipe, kin)):
        same = rows.digest in {part.digest for part in origin.data.values()}
        if same or (origin.source and origin.source == _source(recipe)):
            which = "these very rows" if same else f"other parts or shapes of {origin.source!r}"
            spent = (
                f"with ε = {origin.epsilon:.3g}, which this training's ε would not count"
                if origin.epsilon is not None
                else "without privacy, so that no ε of this training would hold for them"
            )
            msg = f"privacy: the run {origin.name!r} in from was trained on {which}, {spent}"
            raise InputError(msg)
        if not origin.private and not (recipe.start is not UNSET and recipe.start.public):
            msg = (
                f"privacy: the run {origin.name!r} in from was trained without privacy; where nobody among the "
                "training rows was among its rows, say why: from: {public: …}"
            )
            raise InputError(msg)


def promised(recipe: Recipe, kin: Kin) -> tuple[Ledger | None, Conformance | None]:
    """What a training without privacy keeps of its parent's promise: all of it where it looks at no training row.

    A net made from a private one alone is as private (post-processing: Dwork and Roth 2014, proposition 2.1).
    """
    if kin.parent is None or recipe.train.epochs > 0:
        return None, None
    return kin.parent.card.ledger, kin.parent.card.conformance


def notes_on_descent(recipe: Recipe, kin: Kin) -> tuple[str, ...]:
    """What a reader must know about the runs behind this one, in words."""
    notes: list[str] = []
    if kin.parent is not None and recipe.start is not UNSET:
        notes += _notes_on_parent(recipe, recipe.start, kin.parent.card)
    if kin.teacher is not None and recipe.distil is not UNSET:
        card = kin.teacher.card
        share = f"{recipe.distil.share:.0%}"
        notes.append(f"Distilled: {share} of the loss is the distance to the answers of {_named(card)}.")
        if card.ledger is not None:
            notes.append(
                f"{card.name} was private; this net also learned from the training rows without privacy, so its ε "
                "does not hold for this one."
            )
    return tuple(notes)


def _notes_on_parent(recipe: Recipe, start: From, card: Card) -> list[str]:
    frozen = f"; {', '.join(start.freeze)} stayed as it was" if start.freeze else ""
    frozen += "; what was taken over moved by low-rank matrices alone" if start.lora else ""
    notes = [f"Begun with the weights of {_named(card)}{frozen}."]
    if recipe.prune is not UNSET:
        where = "each layer" if recipe.prune.within == "layer" else "the whole net"
        notes.append(f"Pruned: {recipe.prune.share:.0%} of the weights, the smallest of {where}, are 0.")
    if recipe.privacy is not None:
        if card.ledger is None:
            notes.append(
                f"ε covers nothing that {card.name} learned before. That nobody among the training rows was among its "
                f"rows is declared and was not checked: {start.public}"
            )
        else:
            notes.append(f"The rows of {card.name} are covered by its own ε, not by this one.")
    elif card.ledger is not None:
        if recipe.train.epochs == 0:
            notes.append(
                f"No training row was looked at again, so the ledger is that of {card.name}: its ε still holds."
            )
        else:
            notes.append(f"{card.name} was private; this training was not, so no ε holds for its rows.")
    return notes


def _named(card: Card) -> str:
    return f"{card.name} ({card.digest[:19]}…), trained on {card.data['train'].name}"
