"""Does every net, on every kind of rows, go from a recipe through training and audits to a file that ships?"""

from pathlib import Path

import numpy as np
import pytest

import rai_bigmodel as rai
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.audits.privacy_answers import sure_of
from rai_bigmodel.deploy import to_onnx
from rai_bigmodel.deploy.edges import edges
from rai_bigmodel.deploy.parity import parity
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import CNN, LSTM, MLP, Autoencoder, Fusion, Transformer
from rai_bigmodel.subject import Refit, Splits, decisions_of, inputs_of, task_of
from rai_bigmodel.subjects.of_onnx import of_onnx
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit
from rai_bigmodel.training.checkpoint import load_run, save_run, weights
from rai_bigmodel.training.recipe import Text

ROWS = 240
WORDS = np.array(["calm", "kind", "warm", "cold", "rude", "vile"], dtype=object)


def parts(columns: dict[str, np.ndarray], *, features: tuple[str, ...], truth: str = "") -> Splits:
    roles = {"feature": features, "truth": (truth,) if truth else (), "sensitive": ("group",)}
    whole = Table(name="toy", columns=columns, roles=roles)
    cut = np.split(np.arange(ROWS), [90, 140])
    train, calibrate, held_out = (
        whole.take(rows, name=f"toy {name}")
        for rows, name in zip(cut, ("train", "calibrate", "held out"), strict=True)
    )
    return Splits(train=train, calibrate=calibrate, held_out=held_out)


def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    digit = rng.integers(0, 3, ROWS)
    image = rng.normal(4, 1, (ROWS, 1, 6, 6)).astype(np.float32)
    for row, d in enumerate(digit):
        image[row, 0, 2 * d : 2 * d + 2] += 5
    said = rng.integers(0, len(WORDS), (ROWS, 5))
    text = np.array([" ".join(WORDS[row[: 1 + i % 5]]) for i, row in enumerate(said)], dtype=object)
    text[3] = None
    amount = rng.normal(size=ROWS)
    home = np.array(["own", "rent", None], dtype=object)[rng.integers(0, 3, ROWS)]
    return {
        "image": image,
        "digit": digit.astype(float),
        "text": text,
        "rude": np.array([float("rude" in (t or "") or "vile" in (t or "")) for t in text]),
        "amount": amount,
        "home": home,
        "price": 200 + 30 * amount + 20 * (home == "own"),
        "big": (amount + (digit == 2) > 0).astype(float),
        "group": np.array(["x", "y"], dtype=object)[rng.integers(0, 2, ROWS)],
    }


COLUMNS = columns()
IMAGE, TEXT, ROW = ("image",), ("text",), ("amount", "home")
SIX = Text(length=6)
CASES = {
    "cnn of pictures": (CNN(widths=(4,), hidden=8), IMAGE, "digit", {}),
    "mlp of pictures": (MLP(hidden=(16,)), IMAGE, "digit", {}),
    "lstm of pictures as series": (LSTM(hidden=12), IMAGE, "digit", {}),
    "transformer of texts": (
        Transformer(width=8, heads=2, layers=1, feedforward=16),
        TEXT,
        "rude",
        {"text": SIX},
    ),
    "lstm of texts": (LSTM(hidden=8, embedding=8), TEXT, "rude", {"text": SIX}),
    "mlp of numbers and labels": (MLP(hidden=(16,)), ROW, "price", {}),
    "gaussian": (MLP(hidden=(16,), head="gaussian"), ROW, "price", {}),
    "autoencoder": (Autoencoder(hidden=(16,), code=4), IMAGE, "", {}),
    "language model": (
        Transformer(width=8, heads=2, layers=1, feedforward=16, causal=True),
        TEXT,
        "",
        {"text": SIX},
    ),
    "fusion": (Fusion(cnn=CNN(widths=(4,), hidden=8)), ("amount", "image"), "big", {}),
}
EXPECTED = {
    "digit": {
        "accuracy",
        "balanced_accuracy",
        "roc_auc",
        "log_loss",
        "brier",
        "f1_macro",
        "generalisation_gap",
    },
    "rude": {
        "accuracy",
        "balanced_accuracy",
        "roc_auc",
        "log_loss",
        "brier",
        "f1_macro",
        "generalisation_gap",
    },
    "price": {"mae", "rmse", "r2", "generalisation_gap"},
}
EXPECTED["big"] = EXPECTED["rude"]


def splits_of(name: str) -> Splits:
    _, features, truth, _ = CASES[name]
    wanted = {*features, "group", *([truth] if truth else [])}
    return parts({c: v for c, v in COLUMNS.items() if c in wanted}, features=features, truth=truth)


def trained(name: str, epochs: int = 12, **how: object):
    net, _, _, more = CASES[name]
    return fit.train(net, splits_of(name), epochs=epochs, lr=0.01, batch_size=20, **more, **how)


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_saved_and_audited(name: str, tmp_path: Path) -> None:
    """It learns; what is loaded is what was saved; every audit measures, or says why not."""
    splits, truth = splits_of(name), CASES[name][2]
    run = trained(name)
    save_run(run, tmp_path)
    again = load_run(tmp_path)
    dossier = rai.audit(tmp_path, splits, audits=["performance", "calibration", "fairness", "slices", "data"])
    found = {m.metric.partition(".")[2]: m for e in dossier.evidence for m in e.measurements if not m.labels}
    first = {e.audit: e for e in dossier.evidence}

    assert run.card.history[-1].calibrate < run.card.history[0].calibrate
    assert weights(again.module) == weights(run.module)
    assert again.card == run.card
    assert not [e.failure for e in dossier.evidence if e.failure]
    if truth:
        performance = {m.metric.partition(".")[2] for m in first["performance"].measurements}
        assert performance == EXPECTED[truth]
        assert (found["ece_debiased"].value is None) == (truth == "price")
    else:
        metric = "reconstruction_error" if name == "autoencoder" else "perplexity"
        assert found[metric].value > 0
        assert found[metric].interval is not None
        assert all(m.value is None and m.why for m in first["fairness"].measurements)


@pytest.mark.parametrize(
    "name", ["cnn of pictures", "transformer of texts", "mlp of numbers and labels", "fusion"]
)
def test_the_file_that_ships_answers_as_the_run(name: str) -> None:
    """At the edges of what may come and on raw rows; texts and labels become numbers without torch."""
    run, held_out = trained(name, epochs=3), splits_of(name).held_out
    content = to_onnx.to_onnx(run)
    shipped = of_onnx(content)

    assert parity(run, content, edges(run.card.reads)).good
    assert parity(run, content, inputs_of(held_out)).good
    assert shipped.decision == run.decision
    assert task_of(shipped) == task_of(of_run(run)) == run.card.aim.outcome
    assert shipped.card["features"] == list(run.card.features)
    if name == "transformer of texts":
        assert np.array_equal(decisions_of(of_run(run), held_out), decisions_of(shipped, held_out))
        assert shipped.predict({"text": np.array(["never seen words", None], dtype=object)}).shape == (2,)


@pytest.mark.parametrize("name", ["cnn of pictures", "lstm of texts", "gaussian", "language model"])
def test_every_net_trains_privately(name: str) -> None:
    """Clipped row by row with noise; the same seed of the noise gives the same weights, and no ε."""
    privacy = Privacy(noise_multiplier=0.5, delta=1e-5, sample_rate=0.2, expected_batch_size=24, noise_seed=1)
    one, two = (trained(name, epochs=1, privacy=privacy) for _ in range(2))

    assert weights(one.module) == weights(two.module)
    assert one.card.ledger.steps == 5
    assert all(moment.train is None for moment in one.card.history)
    assert "calibration rows" in one.card.constants_from


@pytest.mark.parametrize("name", CASES)
def test_every_private_training_is_made_again_on_canaries(name: str) -> None:
    """Of every shape and outcome: the same reads and aim from made-up rows, and a confidence in each canary."""
    privacy = Privacy(noise_multiplier=4.0, delta=1e-5, sample_rate=1.0, expected_batch_size=90)
    run = trained(name, epochs=2, privacy=privacy)
    again, rows, member = of_run(run).rehearse(100, np.random.default_rng(0))
    sure = sure_of(again, rows).confidence

    assert again.card["reads"] == of_run(run).card["reads"]
    assert again.card["aim"] == of_run(run).card["aim"]
    assert again.card["ledger"] == of_run(run).card["ledger"]
    assert sure.shape == member.shape == (100,)
    assert np.isfinite(sure).all()
    assert len(np.unique(sure)) > 90


def test_what_only_the_training_rows_know_is_not_read_by_a_private_net() -> None:
    """A vocabulary, a scale and a target come from the calibration rows: no ε covers what the training rows say."""
    columns = {c: COLUMNS[c].copy() for c in ("text", "rude", "group")}
    columns["text"][:90] = "secret " + columns["text"][0]
    splits = parts(columns, features=TEXT, truth="rude")
    privacy = Privacy(noise_multiplier=0.5, delta=1e-5, sample_rate=0.2, expected_batch_size=24)
    plain, private = (
        fit.train(LSTM(hidden=4, embedding=4), splits, epochs=1, text=SIX, privacy=p) for p in (None, privacy)
    )

    assert "secret" in plain.card.reads.tokens.words
    assert "secret" not in private.card.reads.tokens.words


def test_pictures_are_handed_over_as_the_array_itself() -> None:
    """The one array is what its column is; a dict of columns does as well; decisions are those of the labels."""
    run = trained("cnn of pictures", epochs=1)
    subject, held_out = of_run(run), splits_of("cnn of pictures").held_out
    given = inputs_of(held_out)

    assert isinstance(given, np.ndarray)
    assert np.array_equal(subject.predict(given), subject.predict({"image": given}))
    assert subject.predict(given).shape == (100, 3)
    assert np.allclose(subject.predict(given).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("name", "inputs", "said"),
    [
        ("cnn of pictures", np.zeros((2, 1, 5, 6)), r"'image' must hold pictures of shape \(1, 6, 6\)"),
        ("cnn of pictures", {"picture": np.zeros((2, 1, 6, 6))}, "'image' is not there; there are: picture"),
        ("transformer of texts", {"text": np.zeros(3)}, "'text' must hold texts, got float64"),
        ("fusion", np.zeros((2, 1, 6, 6)), r"reads 2 columns \(image, amount\), got one array"),
        ("lstm of pictures as series", np.zeros((2, 6, 5)), r"must hold series of shape \(6, 6\)"),
    ],
)
def test_inputs_of_another_shape_name_what_was_got_and_what_is_needed(
    name: str, inputs: object, said: str
) -> None:
    """One clear line from the run."""
    with pytest.raises(InputError, match=said):
        of_run(trained(name, epochs=1)).predict(inputs)


def test_a_run_of_pictures_is_trained_again_on_other_rows() -> None:
    """Refit: the same recipe, other rows and another seed."""
    run = trained("cnn of pictures", epochs=2)
    subject, splits = of_run(run), splits_of("cnn of pictures")
    again = subject.refit(splits.calibrate, np.random.default_rng(0), Refit(seed=9))

    assert again.digest != subject.digest
    assert again.card["data"]["train"]["rows"] == 50
    assert again.predict(inputs_of(splits.held_out)).shape == (100, 3)
