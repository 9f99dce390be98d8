"""Do several processes under torchrun train the network that one process trains?

The file is both: `share_the_work` is what each of two processes does under torchrun.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from together import NUMBERS, PICTURES, WORDS, Killed, Shared, recipe, shared_by_two, splits

from rai_bigmodel import cli, datasets, files
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError, TrainingDiverged
from rai_bigmodel.nets import CNN, LSTM, MLP, Transformer
from rai_bigmodel.stats.counts import GroupCounts
from rai_bigmodel.training import distributed, fit
from rai_bigmodel.training.checkpoint import load_run, weights
from rai_bigmodel.training.distributed import World
from rai_bigmodel.training.recipe import Recipe

TINY = Transformer(width=8, heads=2, layers=1, feedforward=16, causal=True, dropout=0.0)
CASES = {
    "numbers": (recipe(MLP(hidden=(5,)), patience=2, clip=1.0, schedule="cosine"), NUMBERS),
    "weights and parts": (recipe(MLP(hidden=(5,)), class_weights="balanced", accumulate=3), NUMBERS),
    "words foretold": (recipe(TINY, loss="language_model", accumulate=2, recompute=True), WORDS),
    "lstm": (recipe(LSTM(hidden=4, embedding=4)), WORDS),
    "pictures": (recipe(CNN(widths=(3, 4), hidden=8), optimizer="sgd"), PICTURES),
}
BY_CHANCE = recipe(MLP(hidden=(9,), dropout=0.5), every=1)
BEGUN = recipe(MLP(hidden=(5,)), optimizer="sgd", every=1)
WILD = recipe(MLP(hidden=(4,), activation="relu", limit=None), optimizer="sgd", lr=1e30, epochs=20, every=1)
AT = 6


def kill(step: int, *_: object) -> None:
    """Stop at a step."""
    if step == AT:
        raise Killed


def share_the_work(folder: Path) -> dict[str, Any]:
    """What each of two processes does; the last thing is to lose the other one."""
    mine: dict[str, Any] = {}
    told = []
    for name, (asked, features) in CASES.items():
        run = fit.train_recipe(asked, splits=splits(features), on_step=lambda *_: told.append(1))
        mine[name] = {"digest": run.digest, "history": [[m.train, m.calibrate] for m in run.card.history]}
        mine[name]["processes"] = run.card.processes
    mine["told"] = len(told)

    toy = splits(NUMBERS)
    mine["counts"] = counted_together()

    def photograph(step: int, *_: object) -> None:
        if step == AT:
            for name, path in files.regular_files(folder / "whole" / "resume").items():
                files.write_bytes(files.make_folder(folder / "halfway" / "resume") / name, path.read_bytes())

    whole = fit.train_recipe(BY_CHANCE, splits=toy, folder=folder / "whole", on_step=photograph)
    again = fit.train_recipe(BY_CHANCE, splits=toy, folder=folder / "halfway", resume=True)
    mine["by chance"] = [whole.digest, again.digest]
    mine["taken over"] = fit.train_recipe(BEGUN, splits=toy, folder=folder / "one", resume=True).digest

    try:
        fit.train_recipe(WILD, splits=toy, folder=folder / "wild")
    except TrainingDiverged as error:
        mine["diverged"] = [error.exit_code, str(error)]
    datasets.by_name = lambda *_, **__: splits(NUMBERS)  # type: ignore[assignment]
    mine["command"] = cli._run(["train", str(folder / "toy.yaml"), "--out", str(folder / "run")])
    try:
        fit.train_recipe(BEGUN, splits=toy, folder=folder / "two", on_step=kill)
    except (Killed, InputError) as error:
        mine["lost"] = str(error)
    return mine


def counts_of(world: World) -> GroupCounts:
    """Decisions of groups, as many as this process has a share of."""
    rng = np.random.default_rng(5)
    rows = world.share(torch.arange(101)).numpy()
    group, truth, decision = rng.integers(0, 3, 101), rng.integers(0, 2, 101), rng.integers(0, 2, 101)
    return GroupCounts.of(group[rows], truth[rows], decision[rows], groups=3)


def counted_together() -> list[list[int]]:
    """What the processes counted, each its share, added."""
    with distributed.processes(BEGUN) as world:
        return listed(world.added(counts_of(world)))


def listed(counts: GroupCounts) -> list[list[int]]:
    """The numbers of a statistic."""
    return [getattr(counts, name).tolist() for name in ("n", "positives", "selected", "true_positives")]


def begin(folder: Path) -> None:
    """What one process does before."""
    (folder / "toy.yaml").write_text(
        "data: toy\nnet: {mlp: {hidden: [5]}}\ntrain: {epochs: 2, batch_size: 20}\n", encoding="utf-8"
    )
    with pytest.raises(Killed):
        fit.train_recipe(BEGUN, splits=splits(), folder=folder / "one", on_step=kill)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """What the two processes did."""
    return shared_by_two("test_distributed", tmp_path_factory)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_have_the_loss_curve_of_one(name: str, shared: Shared) -> None:
    """To 1e-5, rows that count differently, batches of one row and texts of different lengths included."""
    asked, features = CASES[name]
    alone = fit.train_recipe(asked, splits=splits(features))
    curve = [[m.train, m.calibrate] for m in alone.card.history]
    found = shared.found

    assert alone.card.processes == 1
    for mine in found:
        assert mine[name]["processes"] == 2
        np.testing.assert_allclose(mine[name]["history"], curve, rtol=0, atol=1e-5)
    assert found[0][name]["digest"] == found[1][name]["digest"]


def test_the_first_process_alone_tells_and_writes(shared: Shared) -> None:
    """`on_step` is called there only; the run that it wrote can be loaded, and nothing lies beside it."""
    folder, (first, second), said = shared.folder, shared.found, shared.said
    run = load_run(folder / "run")

    assert first["told"] > 0 == second["told"]
    assert first["command"] == second["command"] == 0
    assert said.count(run.digest) == 1
    assert sorted(p.name for p in (folder / "run").iterdir()) == ["card.json", "model.safetensors"]
    assert run.card.processes == 2
    assert run.card.physical_batch == 10


def test_two_processes_go_on_to_the_same_bytes_with_dropout(shared: Shared) -> None:
    """Each draws its own dropout, the same after a resume: stopped halfway or not, both end alike."""
    first, second = shared.found

    assert len({*first["by chance"], *second["by chance"]}) == 1


def test_what_one_process_began_two_can_end_and_the_other_way_round(shared: Shared) -> None:
    """A checkpoint does not depend on how many wrote it; the weights are those of one process to 1e-5."""
    folder, (first, second) = shared.folder, shared.found
    alone = fit.train_recipe(BEGUN, splits=splits(NUMBERS))
    ended = fit.train_recipe(BEGUN, splits=splits(NUMBERS), folder=folder / "two", resume=True)

    assert first["taken over"] == second["taken over"]
    assert ended.card.resumed_at == (AT - 1,)
    for got, wanted in zip(
        ended.module.state_dict().values(), alone.module.state_dict().values(), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_process_that_loses_the_other_says_so_in_one_line(shared: Shared) -> None:
    """It stops and leaves no half-written run."""
    folder, (first, second) = shared.folder, shared.found

    assert first["lost"] == ""
    assert second["lost"] == "train: process 1 of 2 lost the others: one of them stopped, and says why"
    assert not (folder / "two" / "card.json").exists()


def test_a_diverging_training_stops_all_at_one_step_and_keeps_the_last_good_checkpoint(
    shared: Shared,
) -> None:
    """Step and learning rate are said by both; the first, who wrote it, says where the checkpoint is; they train on."""
    (code, said), (other_code, other_said) = (mine["diverged"] for mine in shared.found)
    (kept,) = (shared.folder / "wild" / "resume").glob("*.safetensors")
    step = re.search(r"diverged at step (\d+) with lr 1e\+30", said)

    assert code == other_code == 2
    assert step
    assert step[0] in other_said
    assert f"the checkpoint of step {int(step[1]) - 1} is in " in said
    assert int(kept.stem) == int(step[1]) - 1
    assert all(bool(t.isfinite().all()) for k, t in load_file(kept).items() if k.startswith("module."))


def test_a_statistic_of_the_rows_of_all_processes_is_that_of_the_whole(shared: Shared) -> None:
    """Metrics across processes are our statistics' `+`: what each counted of its share, added, is what one counts."""
    whole = listed(counts_of(World()))

    assert shared.found[0]["counts"] == shared.found[1]["counts"] == whole


def test_shares_are_the_batch_cut_once_and_differ_by_one_row() -> None:
    """Every row is in one share, in the order of the batch."""
    batch = torch.arange(11)
    shares = [World(rank=r, size=4).share(batch) for r in range(4)]

    assert torch.cat(shares).tolist() == batch.tolist()
    assert [len(s) for s in shares] == [3, 3, 3, 2]


PRIVATE = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.25, expected_batch_size=15)
TOLD = {"WORLD_SIZE": "32", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "32"}
PLAIN = recipe(MLP(hidden=()))


@pytest.mark.parametrize(
    ("environment", "asked", "said"),
    [
        (
            {},
            recipe(MLP(hidden=()), privacy=PRIVATE),
            "expected_batch_size 15 is less than one row for each of the 32 processes",
        ),
        ({}, PLAIN, "batch_size 20 is less than one row for each of the 32 processes: start fewer"),
        ({}, recipe(MLP(hidden=()), batch_size=32, device="cuda:0"), "'cuda' gives each its own"),
        ({"RANK": ""}, PLAIN, "WORLD_SIZE is '32', but RANK is '': start them with torchrun"),
        ({"WORLD_SIZE": "many"}, PLAIN, "WORLD_SIZE is 'many'"),
    ],
)
def test_what_several_processes_cannot_train_is_refused_in_one_line(
    environment: dict[str, str], asked: Recipe, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before they are joined: nobody waits for the others."""
    for name, value in (TOLD | environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        fit.train_recipe(asked, splits=splits(NUMBERS))

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_torchrun_with_one_process_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes as without it, private trainings included."""
    alone = fit.train_recipe(PLAIN, splits=splits(NUMBERS))
    for name, value in (TOLD | {"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}).items():
        monkeypatch.setenv(name, value)

    assert weights(fit.train_recipe(PLAIN, splits=splits(NUMBERS)).module) == weights(alone.module)
    assert fit.train_recipe(recipe(MLP(hidden=()), privacy=PRIVATE), splits=splits(NUMBERS)).card.ledger


def test_a_process_other_than_the_first_says_which_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a mistake which all of them meet is told apart from that of one."""
    for name, value in (TOLD | {"RANK": "3"}).items():
        monkeypatch.setenv(name, value)

    assert cli._run(["train", "nowhere.yaml", "--out", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("rai, process 3: nowhere.yaml")
