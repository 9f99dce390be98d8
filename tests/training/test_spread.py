"""Does a network that is spread over two processes train as in one, and can any number of them go on?

The file is both: `share_the_work` is what each of two processes does under torchrun.
"""

from __future__ import annotations

import resource
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from together import NUMBERS, PICTURES, WORDS, Killed, Shared, recipe, shared_by_two, splits

from rai_bigmodel import files
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import CNN, LSTM, MLP, Autoencoder, Fusion, Transformer
from rai_bigmodel.training import distributed, fit, resume, spread
from rai_bigmodel.training import recipe as recipes
from rai_bigmodel.training.checkpoint import load_run, save_run
from rai_bigmodel.training.distributed import World, told
from rai_bigmodel.training.recipe import Recipe


class Frozen(MLP):
    """A net whose first layer is not trained."""

    def build(self, *args: Any, **kwargs: Any) -> Any:
        """As an MLP's."""
        net = super().build(*args, **kwargs)
        net.body[0].requires_grad_(requires_grad=False)
        return net


def fsdp(net: Any, **train: Any) -> Recipe:
    """A recipe of a net that is spread."""
    return recipe(net, parallel="fsdp", **train)


TIED = Transformer(width=8, heads=2, layers=2, feedforward=16, causal=True, tied=True)
BOTH = LSTM(hidden=4, embedding=4, layers=2, both=True)
CASES = {
    "numbers": (fsdp(MLP(hidden=(5,)), patience=2, clip=1.0, schedule="cosine"), NUMBERS),
    "weights and parts": (
        fsdp(MLP(hidden=(5, 4)), class_weights="balanced", accumulate=3, recompute=True),
        NUMBERS,
    ),
    "frozen": (fsdp(Frozen(hidden=(5, 4))), NUMBERS),
    "tied words": (fsdp(TIED, loss="language_model", accumulate=2, recompute=True), WORDS),
    "lstm": (fsdp(BOTH, optimizer="rmsprop", lr=0.005), WORDS),
    "pictures": (fsdp(CNN(widths=(3, 4), hidden=8, groups=1), optimizer="sgd"), PICTURES),
    "rebuilt": (fsdp(Autoencoder(hidden=(5, 4), code=2), recompute=True, lr=0.005), PICTURES),
    "pictures beside numbers": (fsdp(Fusion(cnn=CNN(widths=(3, 4), hidden=8))), (*PICTURES, *NUMBERS)),
}
BY_CHANCE = fsdp(MLP(hidden=(9, 5), dropout=0.5), every=1, patience=3, recompute=True)
BEGUN = fsdp(MLP(hidden=(5,)), optimizer="adam", every=1, patience=5)
AT = 6


def kill(step: int, *_: object) -> None:
    """Stop at a step."""
    if step == AT:
        raise Killed


def share_the_work(folder: Path) -> dict[str, Any]:
    """What each of two processes does."""
    mine: dict[str, Any] = {"parts": parts_held(folder)}
    for name, (asked, features) in CASES.items():
        run = fit.train_recipe(asked, splits=splits(features))
        mine[name] = run.digest
        if told().first:
            save_run(run, folder / name)
    whole_by_ddp = msgspec.structs.replace(BEGUN.train, parallel="ddp")
    mine["ddp"] = fit.train_recipe(msgspec.structs.replace(BEGUN, train=whole_by_ddp), splits=splits()).digest

    def photograph(step: int, *_: object) -> None:
        if step == AT:
            shutil.copytree(folder / "whole", folder / "halfway")

    for name, asked in (("by chance", BY_CHANCE), ("begun", BEGUN)):
        whole = fit.train_recipe(asked, splits=splits(), folder=folder / "whole", on_step=photograph)
        at_half = len(list((folder / "halfway" / "resume" / f"{AT - 1:09d}").iterdir()))
        if name == "begun" and told().first:
            shutil.copytree(folder / "halfway", folder / "for one")
        again = fit.train_recipe(asked, splits=splits(), folder=folder / "halfway", resume=True)
        mine[name] = {"whole": whole.digest, "again": again.digest, "pieces": at_half}
        World(size=2).together()
        if told().first:
            shutil.rmtree(folder / "whole")
            shutil.move(folder / "halfway", folder / f"{name} done")
        World(size=2).together()
    mine["taken over"] = fit.train_recipe(BEGUN, splits=splits(), folder=folder / "one", resume=True).digest
    return mine


def parts_held(folder: Path) -> dict[str, Any]:
    """What this process holds of a spread network, its gradient and what Adam remembers; and a write that fails."""
    table = splits().calibrate
    assert table is not None
    net, reads = MLP(hidden=(64, 64, 64)), fit.reads_of(BEGUN, table, table)[0]
    with distributed.processes(BEGUN) as world:
        module, other = (net.build(reads, generator=torch.Generator().manual_seed(3)) for _ in range(2))
        spread.spread(module, world, torch.device("cpu"))
        adam = torch.optim.Adam(module.parameters())
        module(torch.ones(4, 2)).sum().backward()
        held = [p.to_local().numel() for p in module.parameters()]  # type: ignore[attr-defined]
        gradients = [p.grad.to_local().numel() for p in module.parameters()]  # type: ignore[union-attr]
        before = spread.together(module.state_dict())
        adam.step()
        remembered = [m["exp_avg"].to_local().numel() for m in adam.state.values()]
        keeper = resume.Keeper(
            folder=folder / "full",
            recipe=BEGUN,
            data={},
            module=module,
            optimizer=adam,
            generators={},
            secret=False,
            world=world,
        )
        said = full(world, keeper)
        ordinary = spread.whole(module, net.build(reads))
    return {
        "full": said,
        "held": sum(held),
        "gradients": sum(gradients),
        "remembered": sum(remembered),
        "all": sum(p.numel() for p in other.parameters()),
        "same": all(map(torch.equal, before.values(), other.state_dict().values())),
        "ordinary": type(ordinary).__name__ + "".join({type(p.data).__name__ for p in ordinary.parameters()}),
    }


def full(world: World, keeper: resume.Keeper) -> str:
    """What is said when the second process's disk is full at the second checkpoint."""
    keeper.save(resume.Place(step=1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not world.first:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        keeper.save(resume.Place(step=2))
    except InputError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return "written"


def begin(folder: Path) -> None:
    """What one process does before."""
    with pytest.raises(Killed):
        fit.train_recipe(BEGUN, splits=splits(), folder=folder / "one", on_step=kill)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """What the two processes did."""
    return shared_by_two("test_spread", tmp_path_factory)


def curve(run: Any) -> list[list[float]]:
    """Its losses."""
    return [[m.train, m.calibrate] for m in run.card.history]


@pytest.mark.parametrize("name", CASES)
def test_a_spread_network_has_the_loss_curve_of_one_process(name: str, shared: Shared) -> None:
    """To 1e-5, whatever the net; what was written is an ordinary run, the same on both, which loads."""
    folder, found = shared.folder, shared.found
    asked, features = CASES[name]
    alone, together = fit.train_recipe(asked, splits=splits(features)), load_run(folder / name)

    np.testing.assert_allclose(curve(together), curve(alone), rtol=0, atol=1e-5)
    assert together.digest == found[0][name] == found[1][name]
    assert (alone.card.processes, together.card.processes) == (1, 2)
    assert together.card.parameters == alone.card.parameters
    assert together.card.kept_step == alone.card.kept_step
    assert sorted(p.name for p in (folder / name).iterdir()) == ["card.json", "model.safetensors"]


def test_each_process_holds_half_of_weights_gradients_and_memory(shared: Shared) -> None:
    """Half of each, to the rows that do not divide; put together again it is what was spread, in an ordinary module."""
    found = shared.found
    for mine in (m["parts"] for m in found):
        for what in ("held", "gradients", "remembered"):
            assert 0.49 < mine[what] / mine["all"] < 0.51
        assert mine["same"]
        assert mine["ordinary"] == "TabularTensor"
    assert sum(m["parts"]["held"] for m in found) == found[0]["parts"]["all"]


def test_spread_or_not_two_processes_end_with_the_same_digest(shared: Shared) -> None:
    """How the weights lay while they were trained leaves no trace in them."""
    first, second = shared.found

    assert first["ddp"] == second["ddp"] == first["begun"]["whole"]


def test_two_processes_go_on_to_the_same_bytes(shared: Shared) -> None:
    """Each wrote its pieces; with dropout and the best weights kept, stopped halfway or not, both end alike."""
    found = shared.found
    for name in ("by chance", "begun"):
        assert len({mine[name][way] for mine in found for way in ("whole", "again")}) == 1
        assert found[0][name]["pieces"] == 2


def test_what_one_began_two_can_end_and_the_other_way_round(shared: Shared) -> None:
    """The weights are those of one process to 1e-5, and of the same bytes on both."""
    folder, (first, second) = shared.folder, shared.found
    alone = fit.train_recipe(BEGUN, splits=splits())
    ended = fit.train_recipe(BEGUN, splits=splits(), folder=folder / "for one", resume=True)

    assert first["taken over"] == second["taken over"]
    assert ended.card.resumed_at == (AT - 1,)
    np.testing.assert_allclose(curve(ended), curve(alone), rtol=0, atol=1e-5)
    for got, wanted in zip(
        ended.module.state_dict().values(), alone.module.state_dict().values(), strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_when_one_process_cannot_write_all_say_so_and_the_checkpoint_before_it_stays(shared: Shared) -> None:
    """One line on both that names the process, and no half of a checkpoint."""
    left = shared.folder / "full" / "resume"
    for mine in shared.found:
        assert "000000002: cannot be written (process 1: " in mine["parts"]["full"]
        assert "\n" not in mine["parts"]["full"]
    assert sorted(p.name for p in left.iterdir()) == ["000000001", "state.json"]
    assert len(list((left / "000000001").iterdir())) == 2
    resume.clear(left.parent)
    assert list(left.parent.iterdir()) == []


def test_pieces_that_are_changed_missing_or_too_many_are_refused(tmp_path: Path) -> None:
    """As with a checkpoint of one file; none of them is a pickle."""
    with pytest.raises(Killed):
        fit.train_recipe(BEGUN, splits=splits(), folder=tmp_path, on_step=kill)
    (pieces,) = (tmp_path / "resume" / f"{AT - 1:09d}").iterdir()
    content = pieces.read_bytes()
    for change in (
        lambda: pieces.write_bytes(content[:-1] + bytes([content[-1] ^ 1])),
        pieces.unlink,
        lambda: shutil.copy(
            tmp_path / "kept", pieces.with_name("shard-00002-model-00001-of-00001.safetensors")
        ),
    ):
        shutil.copy(pieces, tmp_path / "kept") if pieces.exists() else None
        change()
        with pytest.raises(InputError, match="is not the checkpoint that was written there"):
            fit.train_recipe(BEGUN, splits=splits(), folder=tmp_path, resume=True)
        pieces.write_bytes(content)

    assert pieces.suffix == ".safetensors"


def test_a_checkpoint_of_another_architecture_says_which_keys_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the guard of the recipe's digest ever let one through; in one file or in pieces."""
    for name, asked in (("pieces", BEGUN), ("file", recipe(MLP(hidden=(5,)), every=1))):
        folder = tmp_path / name
        with pytest.raises(Killed):
            fit.train_recipe(asked, splits=splits(), folder=folder, on_step=kill)
        other = msgspec.structs.replace(asked, net=recipes.Net.of(MLP(hidden=(6, 2))))
        state = folder / "resume" / "state.json"
        mine, others = (files.digest(files.canonical_json(r)) for r in (asked, other))
        state.write_bytes(state.read_bytes().replace(mine.encode(), others.encode()))
        with pytest.raises(
            InputError, match=r"another architecture.*body\.0\.bias is \[5\].* instead of \[6\]"
        ):
            fit.train_recipe(other, splits=splits(), folder=folder, resume=True)


PRIVATE = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.25, expected_batch_size=15)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"parallel": "fsdp"}, "parallel fsdp does not go with privacy.*leave parallel out"),
        ({"recompute": True}, "recompute does not go with privacy.*leave recompute out"),
    ],
)
def test_what_does_not_go_with_privacy_is_refused_with_the_way_out(train: dict[str, Any], said: str) -> None:
    """One line, when the recipe is read."""
    with pytest.raises(InputError, match=said) as caught:
        recipe(MLP(hidden=()), privacy=PRIVATE, **train)

    assert "\n" not in str(caught.value)


def test_an_unknown_way_to_share_is_refused_with_its_path(tmp_path: Path) -> None:
    """As any other key of a recipe."""
    path = tmp_path / "r.yaml"
    path.write_text("data: toy\nnet: {mlp: {}}\ntrain: {parallel: zero}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"r\.yaml: \$\.train\.parallel: "):
        recipes.read(path)
    with pytest.raises(InputError, match=r"train: parallel: 'zero' is not there; there are: ddp, fsdp"):
        recipe(MLP(), parallel="zero")
