"""How did a model come to be? The card that lies beside its weights."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from rai_bigmodel.accounting import Ledger
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import DataId, Decision, Record
from rai_bigmodel.nets.reads import Input, Reads
from rai_bigmodel.stats.conformance import Conformance
from rai_bigmodel.training.aims import Aim
from rai_bigmodel.training.asked import Data
from rai_bigmodel.training.asked import name_of as name_of_data
from rai_bigmodel.training.cost import Energy
from rai_bigmodel.training.inputs import columns_of
from rai_bigmodel.training.recipe import Recipe, steps_of
from rai_bigmodel.training.settings import Train

if TYPE_CHECKING:
    from rai_bigmodel.subject import Cohort

FORMAT = 1


class Moment(Record):
    """The losses after so many steps; `train` is null for a private model: nobody may see it."""

    step: int
    train: float | None
    calibrate: float | None


class Origin(Record, omit_defaults=True):
    """A run that another was made from, as the other's card keeps it.

    Args:
        source: the data of ours it was trained on; empty for a file's, or those of a Python program.
        asked: what its recipe said of a file's, from which they may be read again.
        data: as in its own card.
        private: whether it has a ledger; `epsilon` and `delta` are that ledger's.
        public: what was declared about its rows.
        origins: the runs that it was made from itself.
    """

    name: str
    digest: str
    source: str
    data: dict[str, DataId]
    private: bool
    epsilon: float | None = None
    delta: float | None = None
    public: str = ""
    origins: dict[str, Origin] = {}
    asked: Data | None = None


class Card(Record):
    """How a model came to be.

    Args:
        digest: of weights, architecture and decision together.
        recipe: the whole configuration, seed and privacy included.
        aim: what was learned, and from which loss.
        reads: what the net reads, with every constant that fills, scales and codes it.
        constants_from: where those constants come from.
        decision_from: where the threshold comes from.
        data: ``train`` and ``calibrate``, by digest; ``weights`` too where the training rows were weighted.
        versions: of what computed it; with `threads` and the seed they give the same bytes again.
        history: losses on the way.
        kept_step: the step whose weights were kept.
        parameters: how many numbers were learned; those of a frozen encoder are not among them.
        wall_seconds: how long the training took, checkpoints before a stop included.
        flops_per_example: floating point operations that one row costs, forwards; ``None`` where nobody counted.
        device: where it was trained.
        physical_batch: the most rows that passed through the network at once.
        processes: how many trained together, each on its share of every batch.
        resumed_at: the steps from which a stopped training went on.
        energy: an estimate of what the training used; ``None`` where nobody asked for it.
        ledger: what ε depends on; null for a model trained without privacy.
        conformance: what the engine of a private training did when it was looked at.
        notes: what a reader must know, in words.
        origins: ``from`` and ``distil`` → the run it was made from; unset where it was made from rows alone.

    Raises:
        InputError: the ledger is not that of the recipe.
    """

    name: str
    digest: str
    decision: Decision
    recipe: Recipe
    aim: Aim
    reads: Reads
    constants_from: str
    decision_from: str
    data: dict[str, DataId]
    versions: dict[str, str]
    threads: int
    history: tuple[Moment, ...]
    kept_step: int
    parameters: int
    wall_seconds: float
    flops_per_example: float | None = None
    device: str = "cpu"
    physical_batch: int | None = None
    processes: int = 1
    resumed_at: tuple[int, ...] = ()
    energy: Energy | None = None
    ledger: Ledger | None = None
    conformance: Conformance | None = None
    notes: tuple[str, ...] = ()
    origins: dict[str, Origin] | UnsetType = UNSET
    format: int = FORMAT

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_other_ledger(self)

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that are read: pictures, texts and series first, then the table's in the net's order."""
        return columns_of(self.reads)

    @property
    def inputs(self) -> dict[str, Input]:
        """Column of numbers → the constants that fill and scale it."""
        return self.reads.numbers


def refuse_other_ledger(card: Card) -> None:
    """Refuse a card that contradicts itself: a ledger must be that of its recipe, or of the run that was pruned.

    Raises:
        InputError: as said, with what the ledger says and what it would have to say.
    """
    ledger, privacy = card.ledger, card.recipe.privacy
    if privacy is None:
        if ledger is None:
            return
        origins = {} if card.origins is UNSET else card.origins
        parent = origins.get("from")
        if card.recipe.train.epochs > 0 or parent is None:
            msg = "the recipe trains without privacy, and the card has a privacy ledger"
            raise InputError(msg)
        wanted: dict[str, object] = {"epsilon_claimed": parent.epsilon, "delta": parent.delta}
        whose = f"the run {parent.name!r}"
    else:
        if ledger is None:
            msg = "the recipe trains with privacy, and the card has no privacy ledger"
            raise InputError(msg)
        wanted = {
            name: getattr(privacy, name) for name in ("delta", "sample_rate", "expected_batch_size", "clip")
        }
        wanted |= {"steps": steps_of(card.recipe), "noise_seeded": privacy.noise_seed is not None}
        if privacy.noise_multiplier is not None:
            wanted["noise_multiplier"] = privacy.noise_multiplier
        whose = "the recipe"
    for name, value in wanted.items():
        if (said := getattr(ledger, name)) != value:
            msg = f"the privacy ledger contradicts {whose}: {name} is {said} in the ledger and {value} there"
            raise InputError(msg)
    target, claimed = privacy.epsilon if privacy else None, ledger.epsilon_claimed
    if target is not None and claimed is not None and claimed > target:
        msg = f"the privacy ledger contradicts the recipe: it claims ε = {claimed}, above the target {target}"
        raise InputError(msg)


def name_of(recipe: Recipe, rows: Cohort) -> str:
    """What a model is called when nobody names it: its data, its kind, and whether it is private."""
    kind = recipe.net.kind
    if kind == "mlp" and not recipe.net.config.hidden:
        kind = "logistic"
    return f"{name_of_data(recipe.data) or rows.name.split()[0]}-{kind}{'-private' if recipe.privacy else ''}"


def versions(*, private_too: bool, kind: str = "") -> dict[str, str]:
    """Package → version, of everything that had a part in the weights."""
    packages = ["rai_bigmodel", "torch", "numpy", "safetensors", *(["opacus"] if private_too else [])]
    if kind == "huggingface":
        packages += ["transformers", "tokenizers", "peft"]
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def notes_on(
    recipe: Recipe, rows: Cohort, constants_from: str, parts: int, *, one_machine: bool = True
) -> tuple[str, ...]:
    """What a reader must know about this training, in words.

    Args:
        parts: in how many parts a step passed through the network in the end.
        one_machine: whether it was trained on one; of several the energy is that of the first, and what is not yet
            private goes between them.
    """
    privacy = recipe.privacy
    planted = (
        [
            f"{sum(recipe.canaries.times):,} of the training rows are canaries: sentences with secrets drawn by chance."
        ]
        if recipe.canaries
        else []
    )
    shrunk = (
        [f"Memory ran out, so the rows of a step passed through the network in {parts} parts."]
        if parts > recipe.train.accumulate
        else []
    )
    if privacy is None:
        measured = recipe.train.energy_in is not None and not one_machine
        partly = ["The energy is that of the first of several machines."] if measured else []
        said = ("Trained without privacy.",) if recipe.train.epochs > 0 else ()
        return (*said, *planted, *shrunk, *partly)
    also = ", the constants of filling and scaling" if "measured" in constants_from else ""
    between = [] if one_machine else ["Between the machines went clipped gradients without noise."]
    notes = [
        *planted,
        *shrunk,
        *between,
        "ε covers the training rows, not the calibration rows.",
        f"From the calibration rows come the decision threshold{also} and the losses in this card.",
        "The number and the digest of the training rows stand in this card; ε does not cover those either.",
        "Choosing settings by the results of earlier trainings spends privacy the ledger does not count.",
    ]
    if recipe.train.batch_size != Train().batch_size:
        notes.append(
            "batch_size was not used: batches of a fixed size have another ε, so each row was drawn by chance."
        )
    if privacy.delta * rows.rows >= 1:
        notes.append(f"δ = {privacy.delta:g} is not below one over the {rows.rows:,} training rows.")
    if privacy.noise_seed is not None:
        notes.append(
            "The noise was seeded for a test: whoever knows the seed can subtract it, so no ε holds."
        )
    if privacy.noise_multiplier == 0:
        notes.append("No noise was added, so no ε holds.")
    return tuple(notes)
