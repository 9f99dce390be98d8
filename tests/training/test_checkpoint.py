"""Is a run that was saved the run that is loaded, and nothing else ever loaded?"""

import json
import resource
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from rai_bigmodel import files
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit
from rai_bigmodel.training.checkpoint import Run, load_run, save_run, weights


def table(seed: int) -> Table:
    rng = np.random.default_rng(seed)
    # Not in alphabetical order: the order of the features must survive the sorted keys of the card.
    columns = {"z": rng.normal(size=60), "a": rng.normal(5, 2, size=60)}
    columns["y"] = (columns["z"] + rng.normal(size=60) > 0).astype(float)
    return Table(name=f"toy {seed}", columns=columns, roles={"feature": ("z", "a"), "truth": ("y",)})


@pytest.fixture(scope="module")
def run() -> Run:
    privacy = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.5, expected_batch_size=30)
    splits = Splits(train=table(1), calibrate=table(2), held_out=table(3))
    return fit.train(MLP(hidden=(3,)), splits, epochs=2, privacy=privacy)


def test_what_was_saved_is_what_is_loaded(run: Run, tmp_path: Path) -> None:
    """Weights, constants, card, digest and scores are the same, and saving again gives the same weights."""
    save_run(run, tmp_path / "run")
    again = load_run(tmp_path / "run")
    columns = table(3).columns

    assert again.card == run.card
    assert again.digest == run.digest
    assert weights(again.module) == weights(run.module)
    assert again.module.features == ("z", "a")
    assert not again.module.training
    assert np.array_equal(
        fit.score_columns(again.module, columns, where=""), fit.score_columns(run.module, columns, where="")
    )
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["card.json", "model.safetensors"]


def test_the_card_is_canonical_and_names_no_path_of_this_machine(run: Run, tmp_path: Path) -> None:
    """Sorted JSON that reads back, without a folder of the machine that wrote it."""
    save_run(run, tmp_path)
    card = (tmp_path / "card.json").read_bytes()

    assert card == files.canonical_json(run.card)
    assert str(Path.cwd()).encode() not in card
    assert str(tmp_path).encode() not in card


@pytest.mark.parametrize(
    ("part", "change", "why"),
    [
        ("ledger", {"steps": 1}, "steps is 1 in the ledger and 4 there"),
        ("ledger", {"noise_multiplier": 3.0}, "noise_multiplier is 3.0 in the ledger and 1.0 there"),
        ("ledger", {"delta": 0.1}, "delta is 0.1 in the ledger"),
        ("ledger", {"noise_seeded": True}, "noise_seeded is True"),
        ("ledger", {"epsilon_claimed": -1.0}, "epsilon_claimed must be a positive number"),
        ("ledger", {"accountant": "gdp"}, "accountant must be 'prv', because GDP"),
        ("ledger", {"sampling": "shuffled"}, "sampling must be 'Poisson', because batches of a fixed size"),
        ("ledger", {"adjacency": "one row replaced"}, "adjacency must be"),
        ("ledger", None, "the card has no privacy ledger"),
        ("recipe.privacy", None, "the recipe trains without privacy"),
        ("recipe.privacy", {"noise_multiplier": None, "epsilon": 0.5}, "above the target 0.5"),
        ("conformance", {"noise_p": 7.0}, "noise_p must lie between 0 and 1, got 7.0"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(run: Run, tmp_path: Path, part, change, why) -> None:
    """The ledger is the recipe's, and is about the mechanism whose ε the accountant tells; one line with the path."""
    save_run(run, tmp_path)
    card = json.loads((tmp_path / "card.json").read_text("utf-8"))
    *inside, last = part.split(".")
    place = card[inside[0]] if inside else card
    place[last] = None if change is None else {**place[last], **change}
    (tmp_path / "card.json").write_text(json.dumps(card), "utf-8")

    with pytest.raises(InputError) as refused:
        load_run(tmp_path)
    assert why in str(refused.value)
    assert "card.json: $" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_model_that_is_not_the_cards_is_refused(run: Run, tmp_path: Path) -> None:
    """Other weights of the same shapes have another digest."""
    save_run(run, tmp_path)
    state = safetensors.torch.load((tmp_path / "model.safetensors").read_bytes())
    state["body.0.bias"] += 1
    (tmp_path / "model.safetensors").write_bytes(safetensors.torch.save(state))
    with pytest.raises(InputError, match=r"is not the model that card\.json describes"):
        load_run(tmp_path)


def test_a_card_with_another_threshold_is_refused(run: Run, tmp_path: Path) -> None:
    """How it decides is part of the model's identity."""
    save_run(run, tmp_path)
    card = (tmp_path / "card.json").read_text(encoding="utf-8")
    (tmp_path / "card.json").write_text(card.replace('"threshold":0.', '"threshold":0.1'), encoding="utf-8")
    with pytest.raises(InputError, match="is not the model"):
        load_run(tmp_path)


def test_another_architecture_is_refused_with_the_keys_that_differ(run: Run, tmp_path: Path) -> None:
    """A missing key, one too many and a wrong shape are each named."""
    save_run(run, tmp_path)
    state = safetensors.torch.load((tmp_path / "model.safetensors").read_bytes())
    del state["body.0.bias"]
    state["tail.weight"] = torch.zeros(1)
    state["body.0.weight"] = torch.zeros((7, 2))
    (tmp_path / "model.safetensors").write_bytes(safetensors.torch.save(state))
    with pytest.raises(InputError) as error:
        load_run(tmp_path)

    for said in (
        "body.0.bias is missing",
        "tail.weight is not part of it",
        "[7, 2] of torch.float32 instead of [3, 2]",
    ):
        assert said in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04cos\nsystem\n", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"{}"]
)
def test_a_file_that_is_not_safetensors_is_refused(content: bytes, run: Run, tmp_path: Path) -> None:
    """A pickle, a header longer than the file and an empty file are one clear line each."""
    save_run(run, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors") as error:
        load_run(tmp_path)

    assert "\n" not in str(error.value)


def test_a_half_written_run_is_never_loaded(run: Run, tmp_path: Path) -> None:
    """A model without its card, a card without its model, and no folder at all."""
    save_run(run, tmp_path)
    (tmp_path / "card.json").unlink()
    with pytest.raises(InputError, match=r"card\.json: no such file"):
        load_run(tmp_path)
    save_run(run, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: no such file"):
        load_run(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load_run(tmp_path / "nowhere")


def test_an_unwritable_place_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "taken").write_text("here", encoding="utf-8")
    with pytest.raises(InputError, match="is a file, a folder is needed"):
        save_run(run, tmp_path / "taken")


@pytest.mark.parametrize("most", [10**9, 60])
def test_a_disk_that_fills_up_while_it_is_written_to_leaves_nothing_half_written(
    most: int, run: Run, tmp_path: Path
) -> None:
    """No file may grow beyond 200 bytes, as if the disk were full: one line, no card, no part of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
        with pytest.raises(InputError, match="cannot be written") as caught:
            save_run(run, tmp_path / "run", max_shard_bytes=most)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "card.json").exists()
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.endswith(".part")]
    save_run(run, tmp_path / "run")
    assert load_run(tmp_path / "run").digest == run.digest
