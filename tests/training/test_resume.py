"""Does a stopped training go on to the weights that it would have had?"""

import resource
import stat
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch

from rai_bigmodel import files
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError, TrainingDiverged
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit, resume
from rai_bigmodel.training.checkpoint import weights
from rai_bigmodel.training.recipe import Net, Recipe
from rai_bigmodel.training.settings import Train

PRIVACY = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.25, expected_batch_size=15, noise_seed=5)


def table(seed: int) -> Table:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 60))
    y = (a + b + rng.normal(size=60) > 0).astype(float)
    return Table(
        name=f"toy {seed}",
        columns={"a": a, "b": b, "y": y},
        roles={"feature": ("a", "b"), "truth": ("y",)},
    )


SPLITS = Splits(train=table(1), calibrate=table(2), held_out=table(3))


def recipe(privacy: Privacy | None = None, **train: object) -> Recipe:
    settings = {"epochs": 3, "batch_size": 16, "every": 1} | train
    return Recipe(
        data="", net=Net(mlp=MLP(hidden=(5,), dropout=0.3)), train=Train(**settings), privacy=privacy
    )


class Killed(BaseException):
    """The process is gone."""


def stopped(asked: Recipe, folder: Path, at: int, splits: Splits = SPLITS, **how: object) -> None:
    """Train until a step, and be killed there."""

    def kill(step: int, *_: object) -> None:
        if step == at:
            raise Killed

    with pytest.raises(Killed):
        fit.train_recipe(asked, splits=splits, on_step=kill, folder=folder, **how)


CASES = {
    "momentum": recipe(optimizer="sgd", lr=0.1, schedule="cosine", warmup=3, clip=1.0),
    "best kept": recipe(optimizer="adamw", lr=0.05, patience=2, epochs=4),
    "every third": recipe(optimizer="rmsprop", schedule="linear", weight_decay=0.01, every=3),
    "in parts": recipe(optimizer="adam", accumulate=3, class_weights="balanced"),
    "private": recipe(PRIVACY, optimizer="adamw", lr=0.05),
}


@pytest.mark.parametrize("name", CASES)
def test_killed_at_any_step_and_resumed_is_never_killed(name: str, tmp_path: Path) -> None:
    """The same bytes and the same losses: dropout, order, momentum, schedule, noise and the best weights go on."""
    asked = CASES[name]
    whole = fit.train_recipe(asked, splits=SPLITS)
    for at in (2, 5, 9, 12):
        folder = tmp_path / str(at)
        stopped(asked, folder, at)
        if at <= asked.train.every:
            continue  # nothing was written yet
        again = fit.train_recipe(asked, splits=SPLITS, folder=folder, resume=True)

        assert weights(again.module) == weights(whole.module), at
        assert again.digest == whole.digest
        assert again.card.history == whole.card.history
        assert again.card.kept_step == whole.card.kept_step
        assert len(again.card.resumed_at) == 1


def test_killed_twice_is_still_the_same(tmp_path: Path) -> None:
    """A checkpoint of a resumed training is one like any other; the card names both."""
    asked = CASES["momentum"]
    stopped(asked, tmp_path, 4)
    stopped(asked, tmp_path, 8, resume=True)
    again = fit.train_recipe(asked, splits=SPLITS, folder=tmp_path, resume=True)

    assert weights(again.module) == weights(fit.train_recipe(asked, splits=SPLITS).module)
    assert again.card.resumed_at == (3, 7)


def test_without_resume_a_training_begins_anew(tmp_path: Path) -> None:
    """What a stopped training left is not taken up unasked."""
    stopped(CASES["momentum"], tmp_path, 5)
    seen = []
    anew = fit.train_recipe(
        CASES["momentum"], splits=SPLITS, folder=tmp_path, on_step=lambda step, *_: seen.append(step)
    )

    assert anew.card.resumed_at == ()
    assert seen[0] == 1


def test_one_checkpoint_is_kept_and_a_secret_one_says_so(tmp_path: Path) -> None:
    """Only the last; that of a private training is named secret and only its owner may read it."""
    stopped(CASES["momentum"], tmp_path / "plain", 6)
    stopped(CASES["private"], tmp_path / "private", 6)
    plain = sorted(p.name for p in (tmp_path / "plain" / "resume").iterdir())
    private = sorted(p.name for p in (tmp_path / "private" / "resume").iterdir())

    assert plain == ["000000005.safetensors", "state.json"]
    assert private == ["secret-000000005.safetensors", "state.json"]
    assert stat.S_IMODE((tmp_path / "private" / "resume" / private[0]).stat().st_mode) == 0o600
    resume.clear(tmp_path / "private")
    assert list((tmp_path / "private").iterdir()) == []


def test_a_secret_generator_goes_on_too(tmp_path: Path) -> None:
    """Without a noise seed: resuming twice from one checkpoint gives the same noise, and so the same weights."""
    asked = msgspec.structs.replace(
        CASES["private"], privacy=msgspec.structs.replace(PRIVACY, noise_seed=None)
    )
    stopped(asked, tmp_path, 6)
    one, two = (fit.train_recipe(asked, splits=SPLITS, folder=tmp_path, resume=True) for _ in range(2))

    # The second began from what the first wrote last, one step before the end.
    assert weights(one.module) == weights(two.module)


def test_a_half_written_or_changed_checkpoint_is_never_loaded(tmp_path: Path) -> None:
    """Tensors without a state, a state without its tensors, and other tensors than the state describes."""
    asked = CASES["momentum"]
    with pytest.raises(InputError, match="no checkpoint to resume from"):
        fit.train_recipe(asked, splits=SPLITS, folder=tmp_path, resume=True)
    stopped(asked, tmp_path, 6)
    (tensors,) = (tmp_path / "resume").glob("*.safetensors")
    content = tensors.read_bytes()
    tensors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=r"is not the checkpoint that state\.json describes"):
        fit.train_recipe(asked, splits=SPLITS, folder=tmp_path, resume=True)
    tensors.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        fit.train_recipe(asked, splits=SPLITS, folder=tmp_path, resume=True)


def test_a_checkpoint_of_another_recipe_or_other_rows_is_refused(tmp_path: Path) -> None:
    """Going on with another recipe would give weights that no recipe gives."""
    stopped(CASES["momentum"], tmp_path, 6)
    with pytest.raises(InputError, match="another recipe"):
        fit.train_recipe(CASES["in parts"], splits=SPLITS, folder=tmp_path, resume=True)
    other = Splits(train=table(7), calibrate=table(2), held_out=table(3))
    with pytest.raises(InputError, match=r"other rows \(train\)"):
        fit.train_recipe(CASES["momentum"], splits=other, folder=tmp_path, resume=True)


def test_a_write_that_fails_leaves_the_checkpoint_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at the fifth step: one clear line, and the fourth step's checkpoint still resumes."""
    asked = CASES["momentum"]
    whole = fit.train_recipe(asked, splits=SPLITS)
    real, calls = files.refuse_full, []

    def full(folder: object, needed: int) -> None:
        calls.append(needed)
        real(folder, needed if len(calls) < 5 else 10**18)

    monkeypatch.setattr(files, "refuse_full", full)
    with pytest.raises(InputError, match="too little room on the disk"):
        fit.train_recipe(asked, splits=SPLITS, folder=tmp_path)
    monkeypatch.undo()
    again = fit.train_recipe(asked, splits=SPLITS, folder=tmp_path, resume=True)

    assert again.card.resumed_at == (4,)
    assert weights(again.module) == weights(whole.module)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_disk_that_fills_up_leaves_the_checkpoint_before_it(parallel: str, tmp_path: Path) -> None:
    """From the fifth step on no file may grow beyond 100 bytes: one line, and the fourth step's is whole and alone."""
    asked = recipe(optimizer="sgd", parallel=parallel)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(step: int, *_: object) -> None:
        if step == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))

    try:
        with pytest.raises(InputError, match=r"000000005.*: cannot be written") as caught:
            fit.train_recipe(asked, splits=SPLITS, folder=tmp_path, on_step=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    left = sorted(p.name for p in (tmp_path / "resume").iterdir())
    again = fit.train_recipe(asked, splits=SPLITS, folder=tmp_path, resume=True)

    assert "\n" not in str(caught.value)
    assert left == ["000000004" if parallel == "fsdp" else "000000004.safetensors", "state.json"]
    assert again.card.resumed_at == (4,)
    assert weights(again.module) == weights(fit.train_recipe(asked, splits=SPLITS).module)


def test_a_diverged_training_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    """The message names step, learning rate and checkpoint, whose weights are finite."""
    bare = Net(mlp=MLP(hidden=(4,), activation="relu", limit=None))
    wild = msgspec.structs.replace(recipe(optimizer="sgd", lr=1e30, epochs=20), net=bare)
    with pytest.raises(TrainingDiverged, match=r"step \d+ with lr 1e\+30.*the checkpoint of step \d+ is in"):
        fit.train_recipe(wild, splits=SPLITS, folder=tmp_path)
    content = (tmp_path / "resume" / "state.json").read_bytes()
    state = files.parse_json(content, resume.State, where="test")
    tensors = safetensors.torch.load_file(tmp_path / "resume" / state.file)

    assert all(bool(t.isfinite().all()) for name, t in tensors.items() if name.startswith("module."))


def test_the_programs_own_randomness_is_left_alone(tmp_path: Path) -> None:
    """Dropout draws from a state of the training's own, also where it goes on."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    stopped(CASES["momentum"], tmp_path, 6)
    fit.train_recipe(CASES["momentum"], splits=SPLITS, folder=tmp_path, resume=True)

    assert torch.equal(before, torch.get_rng_state())
