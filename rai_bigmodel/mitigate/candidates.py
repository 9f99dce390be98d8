"""What is tried? Trainings whose predictor does not read the attribute, the mildest change first.

Features that tell the attribute are dropped, the strongest first; then settings that make the net simpler;
then rows are reweighed; then the demand for equal rates is put into labels and weights. Every candidate is the
run's own recipe with one thing changed, or two where it says so. Last, where Fairlearn is installed, come the models
that its ExponentiatedGradient visits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.mitigate.proxies import Proxy
    from rai_bigmodel.training.checkpoint import Run

MOST_DROPPED = 5
POWERS = (0.5, 1.0, 2.0)
PULLS = (0.5, 1.0, 1.5, 2.0, 3.0)
DECAYS = (0.1, 1.0)


Method = Literal["features", "settings", "reweighing", "reductions", "exponentiated-gradient"]


class Candidate(Record):
    """One training to be tried.

    Args:
        name: short and unique, for tables and files.
        words: what differs from the run, as a sentence.
        dropped: features it does without.
        power: how strongly the rows are reweighed; 0 not at all, 1 as in the paper.
        pull: of the reduction to a weighted problem; 0 for none.
    """

    name: str
    method: Method
    words: str
    recipe: Recipe
    dropped: tuple[str, ...] = ()
    power: float = 0.0
    pull: float = 0.0


def candidates(run: Run, attribute: str, proxies: Sequence[Proxy]) -> tuple[Candidate, ...]:
    """All that is tried for a run.

    A feature that is a part of the attribute itself is dropped in every one of them.

    Args:
        proxies: as `mitigate.proxies.proxies` orders them; only those that stand are dropped.

    Raises:
        InputError: the attribute's own columns are all the features there are.
    """
    own = _own(run, attribute)
    found: list[Candidate] = []

    def add(
        name: str,
        method: Method,
        words: str,
        *,
        dropped: tuple[str, ...] = (),
        recipe: Recipe | None = None,
        power: float = 0.0,
        pull: float = 0.0,
    ) -> None:
        without = (*own, *(f for f in dropped if f not in own))
        changed = _without(recipe or run.card.recipe, without, name=f"{run.name} {name}")
        found.append(Candidate(name, method, words, changed, without, power, pull))

    if own:
        add("without-the-attribute", "features", f"trained without {', '.join(own)}, the attribute itself")
    standing = [p.feature for p in proxies if p.stands and p.feature not in own]
    most = min(len(standing), MOST_DROPPED, len(run.card.features) - len(own) - 1)
    for count in range(1, most + 1):
        names = tuple(standing[:count])
        add(f"without-{count}", "features", f"trained without {', '.join(names)}", dropped=names)
    for name, words, recipe in _settings(run):
        add(name, "settings", words, recipe=recipe)
    for power in POWERS:
        words = f"rows reweighed so that {attribute} and outcome are unrelated (Kamiran and Calders 2012)"
        if power != 1:
            words += f", the weights to the power {power:g}"
        add(f"reweighed-{power:g}", "reweighing", words, power=power)
    if most:
        first = standing[0]
        add(
            "reweighed-1-without-1",
            "reweighing",
            f"rows reweighed, and trained without {first}",
            dropped=(first,),
            power=1.0,
        )
    for pull in PULLS:
        words = (
            f"the demand put into labels and weights of training rows, pull {pull:g} (Agarwal et al. 2018)"
        )
        add(f"reduced-{pull:g}", "reductions", words, pull=pull)
    return tuple(found)


def visited(run: Run, attribute: str) -> Candidate:
    """What Fairlearn's game trains: the recipe as it is, without the attribute; labels and weights are the game's."""
    own, name = _own(run, attribute), "exponentiated"
    recipe = _without(run.card.recipe, own, name=f"{run.name} {name}")
    words = "outcomes and weights of Fairlearn's ExponentiatedGradient (Agarwal et al. 2018)"
    return Candidate(name, "exponentiated-gradient", words, recipe, own)


def _own(run: Run, attribute: str) -> tuple[str, ...]:
    """The features that are a part of the attribute itself."""
    own = tuple(f for f in run.card.features if f in attribute.split("*"))
    if own and len(own) == len(run.card.features):
        msg = f"{run.name}: reads nothing but {', '.join(own)}, so nothing is left without the attribute"
        raise InputError(msg)
    return own


def _settings(run: Run) -> list[tuple[str, str, Recipe]]:
    """Simpler nets: narrower, without hidden layers, with decaying weights, trained for half as long."""
    recipe, replace = run.card.recipe, msgspec.structs.replace
    mlp, train = recipe.net.mlp, recipe.train
    out: list[tuple[str, str, Recipe]] = []
    if mlp is not None and mlp.hidden:
        half = tuple(math.ceil(width / 2) for width in mlp.hidden)
        for name, words, hidden in (
            ("half-as-wide", f"hidden layers of {', '.join(map(str, half))}", half),
            ("no-hidden-layer", "a net without hidden layers: logistic regression", ()),
        ):
            net = replace(recipe.net, mlp=replace(mlp, hidden=hidden))
            out.append((name, words, replace(recipe, net=net)))
    for decay in DECAYS:
        if decay > train.weight_decay:
            changed = replace(train, weight_decay=decay)
            out.append((f"decay-{decay:g}", f"a weight decay of {decay:g}", replace(recipe, train=changed)))
    each = math.ceil(run.card.data["train"].rows / train.batch_size)
    half_way = round(run.card.kept_step / each / 2)
    if half_way >= 1:
        shorter = replace(train, epochs=half_way, patience=None)
        words = f"{half_way} epoch{'s' if half_way > 1 else ''}: half of what the run took"
        out.append(("half-as-long", words, replace(recipe, train=shorter)))
    return out


def _without(recipe: Recipe, dropped: tuple[str, ...], *, name: str) -> Recipe:
    inputs = recipe.inputs
    if inputs is not None:
        inputs = {feature: given for feature, given in inputs.items() if feature not in dropped}
    return msgspec.structs.replace(recipe, inputs=inputs, name=name)
