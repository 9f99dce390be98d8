"""Which runs does a training descend from, may it, and what does its card say of them?

A run is taken over (``from``) or answers (``distil``). Either carries what it learned from its own rows into the new
one, where no later noise covers it. So a private training refuses a run that saw any of its rows: its ε would count
them once for twice, or not at all. The run's rows are compared one by one where they are at hand; where they are not,
nobody knows, and somebody has to say why no row is among both.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET

from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import in_memory
from rai_bigmodel.tables import canonical
from rai_bigmodel.tables.alike import Shared, shared_ids, shared_rows
from rai_bigmodel.training.card import Card, Origin
from rai_bigmodel.training.checkpoint import Run, load_run

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from rai_bigmodel.accounting import Ledger
    from rai_bigmodel.stats.conformance import Conformance
    from rai_bigmodel.subject import Cohort
    from rai_bigmodel.training.recipe import Distil, From, Recipe

    PathLike = str | os.PathLike[str]


class Kin(NamedTuple):
    """The runs that a training descends from: whose weights are taken over, and whose answers are learned.

    Args:
        rows: digest → rows that they, or the runs before them, were made from, of those that are at hand.
    """

    parent: Run | None = None
    teacher: Run | None = None
    rows: Mapping[str, Cohort] = MappingProxyType({})


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
    return recipe, Kin(parent, teacher, given.rows)


def folder_from(recipe: Recipe) -> str:
    """The folder of the run that a recipe begins with, as it names it; empty where it begins with none."""
    return "" if recipe.start is UNSET else recipe.start.run


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
        asked=None if isinstance(card.recipe.data, str) or _source(card.recipe) else card.recipe.data,
        origins={} if card.origins is UNSET else card.origins,
    )


def _source(recipe: Recipe) -> str:
    """The data of ours that a recipe names; empty for rows from a file or from Python, which digests alone tell."""
    data = recipe.data
    if isinstance(data, str):
        return data
    return "" if getattr(data.details, "file", "") else data.name


def ancestors(origins: Mapping[str, Origin]) -> Iterator[Origin]:
    """The runs behind a training, and those behind them."""
    for origin in origins.values():
        yield origin
        yield from ancestors(origin.origins)


def refuse_false_epsilon(recipe: Recipe, kin: Kin, rows: Cohort) -> tuple[str, ...]:
    """Refuse a private training whose ε would be false, because a run that it begins with saw some of these rows.

    A digest tells whole tables alone, so the rows are compared one by one where the run's are at hand (``kin.rows``):
    by ids, else by all columns that both have. Of data of ours the name is compared too, because the same people come
    in other shapes. Where nothing tells, ``public`` has to say why none is among both.

    Returns:
        What was compared, or only said, of each run, in words.

    Raises:
        InputError: as said.
    """
    if recipe.privacy is None:
        return ()
    said = "" if recipe.start is UNSET else recipe.start.public
    behind = [*ancestors(origins_of(recipe, kin))]
    unknown = [_refuse_seen(origin, recipe, kin, rows) for origin in behind]
    notes: list[str] = []
    for origin, gaps in zip(behind, unknown, strict=True):
        if not origin.private and not said:
            msg = (
                f"{_trained(origin)} without privacy; where nobody among the training rows was among its rows, say "
                "why: from: {public: …}"
            )
            raise InputError(msg)
        if gaps and not said:
            msg = (
                f"{_trained(origin)} {_spent(origin)}, and whether some of these rows were among its own is not known "
                f"({'; '.join(gaps)}); put its files where its recipe named them, or say why none was: "
                "from: {public: …}"
            )
            raise InputError(msg)
        if gaps:
            notes.append(
                f"That no training row was among the rows of {origin.name} is declared and was not checked "
                f"({'; '.join(gaps)}): {said}"
            )
        else:
            notes.append(
                f"None of the {rows.rows:,} training rows was among the rows of {origin.name}: all were compared."
            )
    return tuple(notes)


def _refuse_seen(origin: Origin, recipe: Recipe, kin: Kin, rows: Cohort) -> list[str]:
    """Refuse rows that a run has seen; of which of its own rows it is not known, in words."""
    same = rows.digest in {part.digest for part in origin.data.values()}
    if same or (origin.source and origin.source == _source(recipe)):
        which = "these very rows" if same else f"other parts or shapes of {origin.source!r}"
        msg = f"{_trained(origin)} on {which}, {_spent(origin)}"
        raise InputError(msg)
    unknown = []
    for name, part in origin.data.items():
        if name == "weights":
            continue
        both = _shared(rows, kin.rows.get(part.digest))
        if both is None:
            unknown.append(f"{part.name} is not at hand")
        elif not both.by_chance:
            msg = f"{_trained(origin)} on {both.rows:,} of these {rows.rows:,} rows ({part.name}), {_spent(origin)}"
            raise InputError(msg)
        elif both.rows:
            unknown.append(f"{both.rows:,} rows look like some of {part.name}, as many as may by chance")
    return unknown


def _trained(origin: Origin) -> str:
    return f"privacy: the run {origin.name!r} in from was trained"


def _spent(origin: Origin) -> str:
    if origin.epsilon is None:
        return "without privacy, so that no ε of this training would hold for them"
    return f"with ε = {origin.epsilon:.3g}, which this training's ε would not count"


def _shared(rows: Cohort, seen: Cohort | None) -> Shared | None:
    """How many of the rows a run has seen; ``None`` where nobody can tell."""
    if seen is None or not in_memory(seen):
        return None
    if ids := shared_ids(seen, rows):
        n = max(int(np.isin(canonical(rows.arrays(c)[c]), canonical(seen.arrays(c)[c])).sum()) for c in ids)
        return Shared(n, by_chance=not n)
    theirs = {column for columns in seen.roles.values() for column in columns}
    told = [c for role in ("feature", "sensitive", "truth") for c in rows.roles.get(role, ()) if c in theirs]
    return shared_rows(seen, rows, told) if told else None


def promised(recipe: Recipe, kin: Kin) -> tuple[Ledger | None, Conformance | None]:
    """What a training without privacy keeps of its parent's promise: all of it where it looks at no training row.

    A net made from a private one alone is as private (post-processing: Dwork and Roth 2014, proposition 2.1).
    """
    if kin.parent is None or recipe.train.epochs > 0:
        return None, None
    return kin.parent.card.ledger, kin.parent.card.conformance


def notes_on_descent(recipe: Recipe, kin: Kin, compared: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What a reader must know about the runs behind this one, in words.

    Args:
        compared: what `refuse_false_epsilon` found out of their rows.
    """
    notes: list[str] = []
    if kin.parent is not None and recipe.start is not UNSET:
        notes += _notes_on_parent(recipe, recipe.start, kin.parent.card)
    if kin.teacher is not None and recipe.distil is not UNSET:
        card = kin.teacher.card
        share = f"{recipe.distil.share:.0%}"
        notes.append(
            f"Distilled: {share} of the loss is the distance to the answers of {card.name} ({card.digest[:19]}…), "
            f"trained on {card.data['train'].name}."
        )
        if card.ledger is not None:
            notes.append(
                f"{card.name} was private; this net also learned from the training rows without privacy, so its ε "
                "does not hold for this one."
            )
    return (*notes, *compared)


def _notes_on_parent(recipe: Recipe, start: From, card: Card) -> list[str]:
    notes = [
        f"Begun with the weights of {card.name} ({card.digest[:19]}…), trained on {card.data['train'].name}."
    ]
    if start.freeze:
        notes.append(f"Frozen: {', '.join(start.freeze)}.")
    if start.lora:
        notes.append("What was taken over moved by low-rank matrices alone.")
    if recipe.prune is not UNSET:
        where = "each layer" if recipe.prune.within == "layer" else "the whole net"
        notes.append(f"Pruned: {recipe.prune.share:.0%} of the weights, the smallest of {where}, are 0.")
    if recipe.privacy is not None:
        if card.ledger is None:
            notes.append(
                f"ε covers nothing that {card.name} learned before. That nobody among the training rows was among its "
                f"rows is declared: {start.public}"
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
