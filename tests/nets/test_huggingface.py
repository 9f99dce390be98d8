"""Is a pretrained encoder with a new head a net like any other? On a small BERT made here."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from pretrained_models import write_bert

from rai_bigmodel.accounting import Privacy
from rai_bigmodel.deploy import export
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.nets import HuggingFace, Lora, Reads, Tokens, pretrained
from rai_bigmodel.nets.pretrained import base_of
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.of_onnx import of_onnx
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import checkpoint, fit, recipe
from rai_bigmodel.training.scoring import score_columns

IDS = torch.tensor([[3, 5, 6, 4], [3, 5, 4, 0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


def reads_of(folder: Path, length: int = 12) -> Reads:
    return Reads(tokens=Tokens(words=(), length=length, level="pieces", base=base_of(folder=folder)))


def built(folder: Path, seed: int | None = 0, **how: object) -> torch.nn.Module:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return HuggingFace(folder=str(folder), **how).build(reads_of(folder), generator=generator)


def table(rows: int = 64) -> Table:
    texts = np.array(
        [f"we are {'warm' if i % 2 else 'cold'}{'er' * (i % 3)}" for i in range(rows)], dtype=object
    )
    return Table(
        name="weather",
        columns={"text": texts, "warm": np.arange(rows) % 2.0},
        roles={"feature": ("text",), "truth": ("warm",)},
        positive="1",
    )


def test_lora_starts_as_the_encoder_itself(folder: Path) -> None:
    """B is zero at first (section 4.1 of the paper), so the vectors are those without adapters."""
    plain, adapted = built(folder).eval(), built(folder, lora=Lora(rank=2)).eval()

    torch.testing.assert_close(adapted.encode(IDS), plain.encode(IDS))


def test_lora_adds_b_a_x(folder: Path) -> None:
    """Beside a query layer: W x + b + (alpha / rank) B A x, written out."""
    net = built(folder, lora=Lora(rank=2, alpha=6, targets=("query",))).eval()
    layer = net.model.encoder.layer[0].attention.self.query
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    with torch.no_grad():
        b.normal_(generator=torch.Generator().manual_seed(1))
        x = torch.randn(3, 16, generator=torch.Generator().manual_seed(2))
        expected = x @ layer.base_layer.weight.T + layer.base_layer.bias + 3 * (x @ a.T) @ b.T

        torch.testing.assert_close(layer(x), expected)


def test_padding_changes_nothing(folder: Path) -> None:
    """A text alone and beside a longer one has the same logits."""
    net = built(folder, lora=Lora()).eval()

    torch.testing.assert_close(net(IDS)[1:], net(IDS[1:, :3]))


def test_the_same_generator_gives_the_same_weights_and_moves_no_other(folder: Path) -> None:
    """What is trained is drawn from it alone; torch's global state stays."""
    before = torch.get_rng_state()
    one, same, other = (built(folder, seed, lora=Lora(rank=2)).state_dict() for seed in (0, 0, 1))

    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_a_run_holds_what_was_trained_alone_and_loads_again(
    folder: Path, tmp_path: Path, lora: Lora | None
) -> None:
    """The frozen weights are neither moved nor saved; the loaded run scores the same; kept best weights load too."""
    rows = table()
    splits = Splits(train=rows, calibrate=rows, held_out=rows)
    settings = {"epochs": 3, "batch_size": 16, "lr": 0.05, "keep": "best", "text": recipe.Text(length=12)}
    frozen = {k: v.clone() for k, v in built(folder).model.state_dict().items()}

    run = fit.train(HuggingFace(folder=str(folder), lora=lora), splits, **settings)
    again = fit.train(HuggingFace(folder=str(folder), lora=lora), splits, **settings)
    checkpoint.save_run(run, tmp_path / "run")
    loaded = checkpoint.load_run(tmp_path / "run")
    saved = set(run.module.state_dict())
    texts = rows.arrays("text")
    scores = [score_columns(r.module, texts, where="test", aim=r.card.aim) for r in (run, loaded)]
    moved = {k.replace(".base_layer", ""): v for k, v in run.module.model.named_parameters()}

    assert run.digest == again.digest
    assert {"head.weight", "head.bias"} <= saved
    assert all("lora_" in name for name in saved - {"head.weight", "head.bias"})
    assert (len(saved) > 2) is (lora is not None)
    assert run.card.parameters == sum(t.numel() for t in run.module.state_dict().values())
    assert run.card.versions["transformers"]
    assert all(torch.equal(moved[k], v) for k, v in frozen.items() if k in moved)
    np.testing.assert_array_equal(scores[0], scores[1])
    assert run.card.history[-1].calibrate < run.card.history[0].calibrate


def test_another_base_is_refused(tmp_path: Path) -> None:
    """The run's adapters belong to the weights they were trained beside."""
    folder = write_bert(tmp_path / "bert")
    rows = table()
    net = HuggingFace(folder=str(folder), lora=Lora(rank=2))
    run = fit.train(
        net, Splits(train=rows, calibrate=rows, held_out=rows), epochs=1, text=recipe.Text(length=8)
    )
    checkpoint.save_run(run, tmp_path / "run")
    write_bert(folder, seed=1)

    with pytest.raises(InputError, match="is not the model that this run was made from"):
        checkpoint.load_run(tmp_path / "run")


def test_what_cannot_be_built_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bases or none, a layer that is not there, words of ours, longer texts than there are positions."""
    with pytest.raises(InputError, match="exactly one of package, folder"):
        HuggingFace()
    with pytest.raises(InputError, match="rank must lie between 1"):
        Lora(rank=0)
    with pytest.raises(InputError, match="'no-such-model' is not installed"):
        base_of(package="no-such-model")
    with pytest.raises(InputError, match="lora: cannot be put into this encoder"):
        built(folder, lora=Lora(targets=("nowhere",)))
    words = Reads(tokens=Tokens(words=("a",), length=4))
    with pytest.raises(InputError, match="pieces of its own tokenizer"):
        HuggingFace(folder=str(folder)).build(words)
    with pytest.raises(InputError, match="at most the 256 positions"):
        HuggingFace(folder=str(folder)).build(reads_of(folder, 300))
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"peft.*rai_bigmodel\[huggingface\]"):
        built(folder, lora=Lora())


def test_what_it_cannot_do_yet_is_refused(folder: Path) -> None:
    """No private training: one line, before anything is computed."""
    net = HuggingFace(folder=str(folder))
    privacy = Privacy(epsilon=3.3, delta=1e-5, sample_rate=0.1, expected_batch_size=10)
    rows = table()
    splits = Splits(train=rows, calibrate=rows, held_out=rows)
    with pytest.raises(InputError, match="cannot be trained privately yet"):
        fit.train(net, splits, privacy=privacy)


@pytest.mark.zoo
@pytest.mark.parametrize("variant", ["fp32", "fp16", "int8"])
def test_the_file_that_ships_cuts_texts_by_itself(folder: Path, tmp_path: Path, variant: str) -> None:
    """The tokenizer travels inside: the folder of the encoder is gone when the file is asked."""
    away = tmp_path / "bert"
    shutil.copytree(folder, away)
    rows = table()
    splits = Splits(train=rows, calibrate=rows, held_out=rows)
    run = fit.train(HuggingFace(folder=str(away)), splits, epochs=1, text=recipe.Text(length=8))
    wanted = of_run(run).predict(rows.arrays("text"))
    export.export(run, tmp_path / "m.onnx", variant=variant, splits=splits)  # type: ignore[arg-type]
    shutil.rmtree(away)
    pretrained.tokenizer_of.cache_clear()

    assert np.abs(of_onnx(tmp_path / "m.onnx").predict(rows.arrays("text")) - wanted).max() < 0.1


def test_tokens_of_other_nets_are_written_as_before() -> None:
    """No new key stands in the card of a net that has no base: its digest holds."""
    assert "base" not in msgspec.to_builtins(Tokens(words=("a",), length=4))
    with pytest.raises(InputError, match="level pieces goes with a base"):
        Tokens(words=(), length=4, level="pieces")
