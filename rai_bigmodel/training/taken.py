"""What of an earlier run becomes part of a new one? What it read, its weights, and which of them move on.

The body of a run is all that is not on top of its vector: not the head of a classifier, not the decoder of an
autoencoder. A net of the same kind takes all of it over, and the head too where the outcome is the same; under
``tuned`` the body of any kind stands under a new head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from torch import nn

from rai_bigmodel.errors import InputError
from rai_bigmodel.nets.lora import beside
from rai_bigmodel.training.inputs import columns_of
from rai_bigmodel.training.pruning import prune
from rai_bigmodel.training.shards import differences

if TYPE_CHECKING:
    import torch

    from rai_bigmodel.nets import Lora, Reads
    from rai_bigmodel.subject import Cohort
    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.card import Card
    from rai_bigmodel.training.checkpoint import Run
    from rai_bigmodel.training.recipe import Recipe

ON_TOP = {"autoencoder": ("decoder.",)}
"""What of a kind of net is not its body, besides a head."""
MAY_DIFFER = {"dropout", "causal", "tied", "head"}
"""Settings of a net that its body's weights do not depend on."""


# --- what is read --------------------------------------------------------------------------------


def reads_like(card: Card, recipe: Recipe, rows: Cohort) -> Reads:
    """What the run behind `card` read, with its constants, of these rows; of a text as much as the recipe asks for.

    Raises:
        InputError: these rows have other features than the run read, or the recipe cuts texts otherwise.
    """
    reads, features = card.reads, rows.roles["feature"]
    wanted = columns_of(reads)
    if len(features) == len(wanted) == 1:
        for kind in ("pixels", "tokens", "series"):
            if (one := getattr(reads, kind)) is not None:
                renamed = msgspec.structs.replace(one, column=features[0])
                reads, wanted = msgspec.structs.replace(reads, **{kind: renamed}), features
    if set(features) != set(wanted):
        lacking, other = sorted(set(wanted) - set(features)), sorted(set(features) - set(wanted))
        both = [f"it read {', '.join(lacking[:4])}"] * bool(lacking)
        both += [f"these rows hold {', '.join(other[:4])} too"] * bool(other)
        msg = f"from: {card.name} read other features than {rows.name} has: {'; '.join(both)}"
        raise InputError(msg)
    if (tokens := reads.tokens) is not None:
        if tokens.level != "pieces" and recipe.text.level not in {"word", tokens.level}:
            msg = f"text: level {recipe.text.level} does not go with from: {card.name} read {tokens.level}s"
            raise InputError(msg)
        reads = msgspec.structs.replace(
            reads, tokens=msgspec.structs.replace(tokens, length=recipe.text.length)
        )
    return reads


# --- weights --------------------------------------------------------------------------------------


def begin_with(
    parent: Run, module: nn.Module, *, recipe: Recipe, aim: Aim, rows: Cohort, generator: torch.Generator
) -> None:
    """Take over the run's weights as the recipe says, and prune, freeze or adapt them.

    Raises:
        InputError: the run's net is not the recipe's, or a part that is named is not there.
        MissingExtra: the recipe asks for LoRA and peft is not installed.
    """
    start = recipe.start
    assert start is not msgspec.UNSET
    if recipe.train.epochs == 0 and rows.digest != parent.card.data["train"].digest:
        msg = f"train: epochs 0 looks at no row, so the data must be those of {parent.name}, got {rows.name}"
        raise InputError(msg)
    taken = take_over(module, parent, recipe=recipe, aim=aim)
    freeze(module, start.freeze)
    if start.lora is not None:
        adapt(module, start.lora, taken, generator)
    if recipe.prune is not msgspec.UNSET:
        prune(module, recipe.prune)


def take_over(module: nn.Module, parent: Run, *, recipe: Recipe, aim: Aim) -> frozenset[str]:
    """Give the module the weights of the run's body, and of its head where the outcome is the same; their names.

    Raises:
        InputError: the nets differ in more than their heads; the message names what differs.
    """
    card = parent.card
    inside = "body." if recipe.net.kind == "tuned" and card.recipe.net.kind != "tuned" else ""
    config = recipe.net.config.body if inside else recipe.net.config
    _refuse_other_net(config, recipe.net.config.kind if inside else recipe.net.kind, card)
    mine, theirs = module.state_dict(), parent.module.state_dict()
    on_top = ("head.",) if recipe.net.kind != "autoencoder" else ()
    if inside:
        on_top = ("head.", *ON_TOP.get(card.recipe.net.kind, ()))
    body = {f"{inside}{k}": v for k, v in theirs.items() if not k.startswith(on_top)}
    fresh = {k for k in mine if k.startswith(("head.", "top.") if inside else on_top)}
    wrong = differences({k: v for k, v in mine.items() if k not in fresh}, body)
    if wrong:
        msg = f"from: {card.name} has another net than the recipe asks for: {wrong}"
        raise InputError(msg)
    same = aim.loss == card.aim.loss and (aim.labels, aim.positive, aim.target) == (
        card.aim.labels,
        card.aim.positive,
        card.aim.target,
    )
    if not inside and same:
        head = {k: v for k, v in theirs.items() if k.startswith(on_top)} if on_top else {}
        if not differences({k: mine[k] for k in fresh}, head):
            body |= head
    if recipe.prune is not msgspec.UNSET and body.keys() != mine.keys():
        msg = (
            f"prune: {card.name} learned another outcome than these rows have; prune it on rows like its own"
        )
        raise InputError(msg)
    module.load_state_dict({**mine, **body})
    return frozenset(body)


def _refuse_other_net(config: Any, kind: str, card: Card) -> None:
    """Settings that no shape tells, such as an activation, must be those that the weights were learned with."""
    net = card.recipe.net
    if net.kind != kind:
        msg = (
            f"from: {card.name} is a net of kind {net.kind}, the recipe's of kind {kind}; "
            f"net: {{tuned: {{{net.kind}: …}}}} puts a new head on it"
        )
        raise InputError(msg)
    for name in config.__struct_fields__:
        ours, theirs = getattr(config, name), getattr(net.config, name)
        if ours != theirs and name not in MAY_DIFFER:
            msg = f"from: {card.name} has {kind}.{name} {_said(theirs)}, the recipe {_said(ours)}; they must agree"
            raise InputError(msg)


def _said(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def freeze(module: nn.Module, parts: tuple[str, ...]) -> None:
    """Leave the weights of these parts as they are.

    Raises:
        InputError: the net has no part of this name, or no weight would be left to train.
    """
    there = {name for name, part in module.named_modules() if name and any(True for _ in part.parameters())}
    for part in parts:
        if part not in there:
            what = "from: freeze: part"
            raise InputError.unknown(what, part, sorted(there))
        module.get_submodule(part).requires_grad_(requires_grad=False)
    if not any(p.requires_grad for p in module.parameters()):
        msg = f"from: freeze {', '.join(parts)} leaves no weight to train"
        raise InputError(msg)


# --- low-rank matrices -----------------------------------------------------------------------------


def adapt(module: nn.Module, lora: Lora, taken: frozenset[str], generator: torch.Generator) -> None:
    """Freeze what was taken over, and put small matrices beside its linear layers: A drawn, B zero (Hu et al. 2022).

    Raises:
        InputError: the net has no such linear layer among what was taken over.
        MissingExtra: peft is not installed.
    """
    linear = [
        n for n, part in module.named_modules() if isinstance(part, nn.Linear) and f"{n}.weight" in taken
    ]
    last = sorted({n.rpartition(".")[2] for n in linear})
    for target in lora.targets:
        if target not in {*last, *linear}:
            what = "from: lora: target"
            raise InputError.unknown(what, target, last)
    named = [n for n in linear if not lora.targets or {n, n.rpartition(".")[2]} & set(lora.targets)]
    if not named:
        msg = "from: lora goes beside linear layers, and none was taken over"
        raise InputError(msg)
    fresh = [p for name, p in module.named_parameters() if name not in taken and p.requires_grad]
    beside(module, msgspec.structs.replace(lora, targets=tuple(named)), generator)
    for parameter in fresh:  # peft freezes all but its own
        parameter.requires_grad = True
