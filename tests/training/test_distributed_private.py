"""Is a private training by two processes the mechanism that one process runs, with the noise added once?

The file is both: `share_the_work` is what each of two processes does under torchrun.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from cohorts import rng, subject
from cohorts import splits as rows
from together import NUMBERS, PICTURES, WORDS, Killed, Shared, recipe, shared_by_two, splits

from rai_bigmodel.accounting import Privacy
from rai_bigmodel.audits.privacy import Privacy as Audit
from rai_bigmodel.audits.privacy_ledger import CHANCE
from rai_bigmodel.nets import CNN, LSTM, MLP, Transformer
from rai_bigmodel.training import fit, private
from rai_bigmodel.training.checkpoint import Run, load_run, save_run
from rai_bigmodel.training.distributed import World, told

PRIVATE = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.25, expected_batch_size=15)
SEEDED = msgspec.structs.replace(PRIVATE, noise_seed=5)
TIED = Transformer(width=8, heads=2, layers=1, feedforward=16, causal=True, tied=True)
CASES = {
    "numbers": (recipe(MLP(hidden=(5,)), privacy=SEEDED, optimizer="sgd", schedule="cosine"), NUMBERS),
    "lstm": (recipe(LSTM(hidden=4, embedding=4), privacy=SEEDED, accumulate=2), WORDS),
    "tied words": (recipe(TIED, privacy=SEEDED, loss="language_model"), WORDS),
    "pictures": (recipe(CNN(widths=(3, 4), hidden=8, groups=1), privacy=SEEDED), PICTURES),
}
UNSEEDED = recipe(MLP(hidden=(40,)), privacy=PRIVATE)
BY_CHANCE = recipe(MLP(hidden=(9,), dropout=0.5), privacy=SEEDED, every=1)
BEGUN = recipe(MLP(hidden=(5,)), privacy=SEEDED, every=1)
AT = 6


def kill(step: int, *_: object) -> None:
    """Stop at a step."""
    if step == AT:
        raise Killed


@contextlib.contextmanager
def planted(fault: str) -> Iterator[None]:
    """Something that the engine does in each process, and should not."""
    of, draw = private._Fast.of, private.Engine.draw

    def changed(*args: Any, **how: Any) -> private._Fast:
        way, world = of(*args, **how), args[-1]
        return {
            "noise in each process": lambda: replace(way, noising=True),
            "noise divided": lambda: replace(way, deviation=way.deviation / world.size),
            "the second never clips": lambda: way if world.first else replace(way, clip=1e3),
        }.get(fault, lambda: way)()

    def of_all_rows(engine: private.Engine, count: int) -> Any:
        return draw(replace(engine, world=World()), count)

    private._Fast.of = changed  # type: ignore[method-assign]
    if fault == "both take every row":
        private.Engine.draw = of_all_rows  # type: ignore[method-assign]
    try:
        yield
    finally:
        private._Fast.of, private.Engine.draw = of, draw  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "none": lambda seen: seen["noise"] > CHANCE and all(seen.values()),
    "noise in each process": lambda seen: seen["noise"] < 1e-6 and bool(seen["clip"]),
    "noise divided": lambda seen: seen["noise"] < 1e-6 and bool(seen["clip"]),
    "the second never clips": lambda seen: not seen["clip"] and seen["noise"] > CHANCE,
    "both take every row": lambda seen: not seen["sampling"],
}


def share_the_work(folder: Path) -> dict[str, Any]:
    """What each of two processes does."""
    mine: dict[str, Any] = {}
    for name, (asked, features) in CASES.items():
        run = fit.train_recipe(asked, splits=splits(features))
        mine[name] = run.digest
        if told().first:
            save_run(run, folder / name)
    for fault in FAULTS:
        with planted(fault):
            run = fit.train_recipe(UNSEEDED, splits=splits())
        mine[fault] = {"digest": run.digest, "card": msgspec.to_builtins(run.card)}

    def photograph(step: int, *_: object) -> None:
        if step == AT:
            shutil.copytree(folder / "whole", folder / "halfway")

    whole = fit.train_recipe(BY_CHANCE, splits=splits(), folder=folder / "whole", on_step=photograph)
    again = fit.train_recipe(BY_CHANCE, splits=splits(), folder=folder / "halfway", resume=True)
    mine["by chance"] = [whole.digest, again.digest]
    mine["taken over"] = fit.train_recipe(BEGUN, splits=splits(), folder=folder / "one", resume=True).digest
    World(size=2).together()
    if told().first:
        for name in ("whole", "halfway"):
            shutil.rmtree(folder / name)
    World(size=2).together()
    fit.train_recipe(BEGUN, splits=splits(), folder=folder / "whole", on_step=photograph)
    return mine


def begin(folder: Path) -> None:
    """What one process does before."""
    with pytest.raises(Killed):
        fit.train_recipe(BEGUN, splits=splits(), folder=folder / "one", on_step=kill)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """What the two processes did."""
    return shared_by_two("test_distributed_private", tmp_path_factory)


def same(run: Run, other: Run) -> None:
    """The weights of both, to 1e-6."""
    for got, wanted in zip(run.module.state_dict().values(), other.module.state_dict().values(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_with_one_noise_have_the_weights_of_one(name: str, shared: Shared) -> None:
    """To 1e-6, from the same rows and the same noise; the ledger is the same, and so is what the audit saw."""
    folder, found = shared.folder, shared.found
    asked, features = CASES[name]
    alone, together = fit.train_recipe(asked, splits=splits(features)), load_run(folder / name)

    same(together, alone)
    assert together.card.processes == 2
    assert together.card.ledger == alone.card.ledger
    assert together.card.kept_step == alone.card.kept_step
    assert together.digest == found[0][name] == found[1][name]
    seen, wanted = msgspec.to_builtins(together.card.conformance), msgspec.to_builtins(alone.card.conformance)
    for field, value in wanted.items():
        if isinstance(value, float):
            assert seen[field] == pytest.approx(value, rel=1e-5), field
        else:
            assert seen[field] == value, field


def verdicts(card: dict[str, Any]) -> dict[str, Any]:
    """What the privacy audit makes of a card: the p of the noise, and whether each check holds."""
    measured = Audit()(subject(card=card), rows(), rng()).measurements
    checks = {m.labels["check"]: m.value for m in measured if m.metric == "privacy.conformance"}
    noise = next(m.value for m in measured if m.metric == "privacy.noise_conformance_p")
    return checks | {"noise": noise}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_audit_finds_what_processes_do_wrong_together(fault: str, shared: Shared) -> None:
    """Noise from each of them, or part of it; one that does not clip; rows taken twice. An honest run passes."""
    for mine in shared.found:
        assert FAULTS[fault](verdicts(mine[fault]["card"])), verdicts(mine[fault]["card"])


def test_an_honest_run_of_two_claims_the_epsilon_of_one_and_both_end_with_its_weights(shared: Shared) -> None:
    """Noise multiplier, rate, steps and ε are those of one process; the noise is nobody's seed."""
    first, second = shared.found
    alone = msgspec.to_builtins(fit.train_recipe(UNSEEDED, splits=splits()).card)

    assert first["none"]["digest"] == second["none"]["digest"] != alone["digest"]
    assert first["none"]["card"]["ledger"] == alone["ledger"]
    assert alone["ledger"]["epsilon_claimed"] > 0


def test_a_private_checkpoint_goes_on_with_any_number_of_processes(shared: Shared) -> None:
    """Begun by one and ended by two, or by two and ended by one: the weights of one; with dropout, the same bytes."""
    folder, (first, second) = shared.folder, shared.found
    alone = fit.train_recipe(BEGUN, splits=splits())
    left = sorted(p.name for p in (folder / "halfway" / "resume").iterdir())
    ended = fit.train_recipe(BEGUN, splits=splits(), folder=folder / "halfway", resume=True)

    same(ended, alone)
    assert ended.card.resumed_at == (AT - 1,)
    assert left == [f"secret-{AT - 1:09d}.safetensors", "state.json"]
    assert ended.card.conformance is not None
    assert ended.card.conformance.steps == alone.card.kept_step
    assert first["taken over"] == second["taken over"]
    assert len({*first["by chance"], *second["by chance"]}) == 1
