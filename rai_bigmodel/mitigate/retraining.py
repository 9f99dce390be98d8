"""How is a run trained again with other outcomes, other weights, or fewer features?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from rai_bigmodel.errors import InputError, TrainingDiverged
from rai_bigmodel.mitigate import frontier as f
from rai_bigmodel.mitigate.candidates import visited
from rai_bigmodel.mitigate.exponentiated import play
from rai_bigmodel.mitigate.reductions import signed_weights
from rai_bigmodel.mitigate.reweighing import reweighing
from rai_bigmodel.subject import column_of, data_id, decisions_of, truth_of
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.training import fit
from rai_bigmodel.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.mitigate.candidates import Candidate
    from rai_bigmodel.mitigate.gap import Pair
    from rai_bigmodel.mitigate.measuring import Measuring
    from rai_bigmodel.subject import Array, Splits
    from rai_bigmodel.tables import Table
    from rai_bigmodel.training.checkpoint import Run


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """The training rows as a candidate learns from them."""

    train: Table
    codes: Array
    names: tuple[str, ...]
    constraint: str
    pair: Pair

    def rows(self, one: Candidate) -> tuple[Array | None, Array | None]:
        """The outcomes to learn, where they are not the rows' own, and what each row counts."""
        truth = truth_of(self.train)
        if one.power:
            return None, reweighing(self.codes, truth, power=one.power)
        if not one.pull:
            return None, None
        counts = f.counts_for(self.pair.rate, truth)
        high, low = ((self.codes == self.names.index(g)) & counts for g in (self.pair.high, self.pair.low))
        signed = signed_weights(truth, high, low, pull=one.pull)
        return np.where(signed == 0, truth, signed > 0), np.abs(signed)

    def learning(self, learned: Array | None) -> tuple[Table, int]:
        """The training rows with other outcomes, and how many were turned."""
        if learned is None:
            return self.train, 0
        truth, column = truth_of(self.train), column_of(self.train, "truth")
        values = self.train.columns[column]
        turned = np.where(learned, values[truth][0], values[~truth][0]).astype(values.dtype)
        table = replace(self.train, columns={**self.train.columns, column: turned})
        return table, int((learned != truth).sum())


def trained(
    run: Run,
    one: Candidate,
    splits: Splits,
    weigh: Weighing,
    *,
    learned: Array | None,
    weights: Array | None,
) -> Run:
    """A candidate's training, with a card that says what the recipe does not."""
    rows, turned = weigh.learning(learned)
    left = tuple(name for name in run.card.features if name not in one.dropped)
    rows = replace(rows, roles={**rows.roles, "feature": left})
    made = fit.train_recipe(one.recipe, splits=replace(splits, train=rows), weights=weights)
    note = f"Made from {run.name} ({run.digest}) by mitigation: {one.words}."
    data = made.card.data
    if turned:
        note += f" The outcomes of {turned:,} training rows were turned for it."
        # The rows are still those of the run; what was learned from them is named beside them.
        other = msgspec.structs.replace(data["train"], name="training rows with turned outcomes")
        data = {**data, "train": data_id(weigh.train), "learned": other}
    card = msgspec.structs.replace(made.card, notes=(*made.card.notes, note), data=data)
    return replace(made, card=card)


def played(
    run: Run,
    splits: Splits,
    weigh: Weighing,
    measure: Measuring,
    *,
    rounds: int,
    on_candidate: Callable[[str, int, int], None] | None,
) -> tuple[list[tuple[f.Point, Run | None]], str]:
    """The members of Fairlearn's game as points with their runs, their mixture without one, and a note."""
    truth, names = truth_of(weigh.train), np.array(weigh.names, dtype=object)[weigh.codes]
    inside = np.isin(names.astype(str), measure.enough(weigh.train))
    asked = visited(run, measure.attribute)

    def learn(labels: Array, weights: Array) -> tuple[Run, Array]:
        # Rows of groups too small for a demand keep their outcomes and count as much as the others on average.
        learned, counting = truth.copy(), np.ones(len(truth))
        learned[inside], counting[inside] = labels, weights
        model = trained(run, asked, splits, weigh, learned=learned, weights=counting)
        return model, decisions_of(of_run(model), weigh.train)[inside]

    def progress(done: int) -> None:
        if on_candidate:
            on_candidate("exponentiated gradient", done, max(3 * rounds, done + 1))

    try:
        game = play(
            learn,
            truth[inside],
            names[inside],
            constraint=weigh.constraint,
            rounds=rounds,
            on_training=progress,
        )
    except (InputError, TrainingDiverged) as error:
        return [], f"ExponentiatedGradient is left out: {error}."
    found: list[tuple[f.Point, Run | None]] = []
    for number, member in enumerate((m for m in game.members if m.run is not None), start=1):
        assert member.run is not None
        name = f"{asked.name}-{number}"
        words = (
            f"one of the models that ExponentiatedGradient draws among, with a share of {member.share:.2f}"
        )
        one = msgspec.structs.replace(asked, name=name, words=words)
        model = replace(member.run, card=msgspec.structs.replace(member.run.card, name=f"{run.name} {name}"))
        found.append((measure.point(one, model), model))
    found.append((measure.mixture(game), None))
    note = (
        f"ExponentiatedGradient (Agarwal et al. 2018, Fairlearn's) played {plural(game.rounds, 'round')} in "
        f"{plural(game.trainings, 'training')}. Its answer is a draw among {len(game.members)} models: it is measured "
        "by its expectations and never chosen, because the same person could get two answers and it is not one run; "
        "each of the models may be chosen by itself."
    )
    return found, note
