"""Train every candidate, place it on the frontier, and choose one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import UNSET

from rai_bigmodel import accounting
from rai_bigmodel.errors import InputError, TrainingDiverged
from rai_bigmodel.evidence import SubjectId
from rai_bigmodel.mitigate import frontier as f
from rai_bigmodel.mitigate.aware import said
from rai_bigmodel.mitigate.candidates import candidates
from rai_bigmodel.mitigate.exponentiated import LEFT_OUT, rounds_of
from rai_bigmodel.mitigate.gap import rates_of
from rai_bigmodel.mitigate.measuring import Measuring
from rai_bigmodel.mitigate.proxies import proxies
from rai_bigmodel.mitigate.retraining import Weighing, played, trained
from rai_bigmodel.subject import attributes_of, data_id, task_of
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training.rows import usable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.mitigate.frontier import Frontier
    from rai_bigmodel.policy import AttributeAware
    from rai_bigmodel.subject import Splits
    from rai_bigmodel.training.checkpoint import Run

ACCURACY_COST = 0.02
"""How much accuracy on the calibration rows may be given up unless something else is said."""


@dataclass(frozen=True, kw_only=True)
class Mitigation:
    """The chosen model, a run like any other, and what all that was tried would cost."""

    run: Run
    frontier: Frontier


def mitigate(
    run: Run,
    splits: Splits,
    *,
    attribute: str,
    constraint: str = "demographic_parity",
    accuracy_cost: float = ACCURACY_COST,
    seed: int = 0,
    aware: AttributeAware | None = None,
    rounds: int | None = None,
    on_candidate: Callable[[str, int, int], None] | None = None,
) -> Mitigation:
    """Train a run again in other ways, and choose the one with the narrowest gap that does not cost too much.

    Args:
        run: a plain run; it stands on the frontier as it is.
        splits: the rows it was trained and calibrated on, and rows it has never seen.
        attribute: a sensitive column, or an intersection as ``a*b``.
        constraint: ``demographic_parity``, ``equal_opportunity`` or ``equalized_odds``.
        accuracy_cost: the most accuracy on the calibration rows that may be given up.
        seed: of the permutations that find proxies; trainings keep the run's own seed.
        aware: what the policy says about methods that read the attribute to decide.
        rounds: of Fairlearn's ExponentiatedGradient, some three trainings each; 0 leaves it out. By default
            8 where Fairlearn is installed.
        on_candidate: called with a name, how many are done and how many there are.

    Raises:
        InputError: the run is private, descends from another one (``from:``, ``distil:``), does not decide between
            two labels, was trained on other rows, or the attribute or constraint is not there.
        MissingExtra: `rounds` are asked for, and Fairlearn is not installed.
    """
    rates_of(constraint)
    _refuse_descended(run)
    if (task := task_of(of_run(run))) != "binary":
        what = (
            f"decides between {len(run.decision.labels)} labels" if task == "classes" else "takes no decision"
        )
        msg = f"{run.name}: {what}; what is looked for is how often groups get one of two labels"
        raise InputError(msg)
    rounds_played = rounds_of(rounds)
    if not 0 <= accuracy_cost <= 1:
        msg = f"accuracy_cost must lie from 0 to 1, got {accuracy_cost}"
        raise InputError(msg)
    train, calibrate, held_out = _rows_of(run, splits)
    (attribute,) = attributes_of(held_out, (attribute,))
    # Before anything is computed from the training rows: how many features tell the attribute is a fact about them.
    _refuse_private(run, len(candidates(run, attribute, ())))
    by = attribute.split("*")
    codes, names = train.groups(by)
    numbers = train.arrays(*run.card.features)
    told = proxies({k: v for k, v in numbers.items() if k not in by}, codes, np.random.default_rng(seed))
    tried = candidates(run, attribute, told)

    measure = Measuring.of(run, train, calibrate, held_out, by=by, constraint=constraint)
    points, runs = [measure.base()], {f.UNMITIGATED: run}
    weigh = Weighing(train=train, codes=codes, names=names, constraint=constraint, pair=measure.pair)
    notes = [measure.note, said(aware, attribute)]
    if held_out.roles.get("weight"):
        notes.append("Rows carry weights; mitigation trains and measures with every row counted alike.")
    for done, one in enumerate(tried):
        if on_candidate:
            on_candidate(one.name, done, len(tried))
        try:
            learned, weights = weigh.rows(one)
            runs[one.name] = trained(run, one, splits, weigh, learned=learned, weights=weights)
        except TrainingDiverged as error:
            notes.append(f"{one.name} is left out: {error}.")
            continue
        points.append(measure.point(one, runs[one.name]))
    if on_candidate:
        on_candidate("", len(tried), len(tried))
    if rounds_played:
        found, note = played(run, splits, weigh, measure, rounds=rounds_played, on_candidate=on_candidate)
        for point, made in found:
            points.append(point)
            if made is not None:
                runs[point.name] = made
        notes.append(note)
    elif rounds is None:
        notes.append(LEFT_OUT)
    if aware is not None and aware.allowed:
        try:
            points.append(measure.aware(seed))
        except InputError as error:
            notes.append(f"{error}.")
    points = [msgspec.structs.replace(p, dominated=f.dominated(p, points)) for p in points]
    chosen = f.choose(points, accuracy_cost)
    return Mitigation(
        run=runs[chosen],
        frontier=f.Frontier(
            attribute=attribute,
            constraint=constraint,
            subject=SubjectId(name=run.name, kind="torch", digest=run.digest, decision=run.decision),
            data={
                "train": data_id(train),
                "calibrate": data_id(calibrate),
                "held_out": data_id(held_out),
            },
            pair=measure.pair,
            accuracy_cost=accuracy_cost,
            points=tuple(points),
            chosen=chosen,
            proxies=told,
            notes=tuple(notes),
        ),
    )


def _rows_of(run: Run, splits: Splits) -> tuple[Table, Table, Table]:
    """The training, calibration and held-out rows, if they are those of the run.

    Raises:
        InputError: they are not there, are not in memory, or the run was made from others.
    """
    usable(splits)
    parts = []
    for part, cohort in (
        ("train", splits.train),
        ("calibrate", splits.calibrate),
        ("held_out", splits.held_out),
    ):
        if not isinstance(cohort, Table):
            msg = f"{part}: training again and comparing row by row need a table in memory, got {type(cohort).__name__}"
            raise InputError(msg)
        was = run.card.data.get(part)
        if was is not None and was.digest != cohort.digest:
            msg = (
                f"{run.name}: was made from other {part} rows ({was.digest[:19]}…) than {cohort.name} "
                f"({cohort.digest[:19]}…), so trainings on these could not be compared with it"
            )
            raise InputError(msg)
        parts.append(cohort)
    train, calibrate, held_out = parts
    for feature in run.card.features:
        if feature not in train.roles["feature"]:
            what = f"{train.name}: feature of {run.name}"
            raise InputError.unknown(what, feature, train.roles["feature"])
    return train, calibrate, held_out


def _refuse_descended(run: Run) -> None:
    """A run that began with another one cannot be trained again from its own rows alone."""
    for key, asked in (("from", run.card.recipe.start), ("distil", run.card.recipe.distil)):
        if asked is not UNSET:
            msg = (
                f"{run.name}: descends from {asked.run} ({key}:), which carries what it learned from its own rows into "
                f"whatever is made of it; mitigate {asked.run}, and train this recipe again from the result"
            )
            raise InputError(msg)


def _refuse_private(run: Run, trainings: int) -> None:
    """Training again spends privacy; how much, the accountant says."""
    ledger = run.card.ledger
    if ledger is None:
        return
    whole = msgspec.structs.replace(ledger, steps=ledger.steps * (trainings + 1))
    each, spent = accounting.epsilon_of(ledger), accounting.epsilon_of(whole)
    msg = (
        f"{run.name}: is private (ε = {each:g}); at least {trainings} more trainings on the same rows would spend "
        f"ε = {spent:g} in all, by the PRV accountant at δ = {ledger.delta:g}. Name a relative trained without "
        "privacy (--role plain)"
    )
    raise InputError(msg)
