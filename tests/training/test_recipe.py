"""Does a recipe say one thing, and is what it cannot say refused with its path?"""

from pathlib import Path

import numpy as np
import pytest

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import LSTM, MLP, Autoencoder, Input, Transformer, takes
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit, inputs
from rai_bigmodel.training.recipe import Net, Recipe

PRIVACY = "privacy: {epsilon: 4, delta: 1e-5, sample_rate: 0.1, expected_batch_size: 9}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("net: {}", r"\$\.net: net: exactly one of mlp, cnn,.* is needed, got none"),
        ("net: {mlp: {}, cnn: {}}", r"\$\.net: net: exactly one .* got mlp, cnn"),
        ("net: {rnn: {}}", r"\$\.net\.rnn: unknown key"),
        ("net: {cnn: {width: [3]}}", r"\$\.net\.cnn\.width: unknown key"),
        ("net: {mlp: {}}\ntrain: {schedule: step}", r"\$\.train\.schedule"),
        ("net: {mlp: {}}\ntrain: {loss: hinge}", r"\$\.train\.loss"),
        ("net: {mlp: {}}\ntrain: {accumulate: 0}", r"\$\.train.*accumulate must be positive"),
        ("net: {mlp: {}}\ntrain: {warmup: -1}", r"\$\.train.*warmup must not be negative"),
        ("net: {mlp: {}}\ntrain: {class_weights: {a: -1}}", r"class_weights\.a must not be negative"),
        ("net: {mlp: {}}\ntext: {length: 0}", r"\$\.text.*length must be positive"),
        ("net: {mlp: {}}\npixels: {center: 0, scale: 0}", r"\$\.pixels.*scale must be positive"),
        (f"{PRIVACY}net: {{mlp: {{}}}}\ntrain: {{clip: 1.0}}", "clip does not go with privacy"),
        (f"{PRIVACY}net: {{mlp: {{}}}}\ntrain: {{keep: best}}", "keep does not go with privacy"),
        (
            f"{PRIVACY}net: {{mlp: {{}}}}\ntrain: {{precision: bfloat16, clipping: opacus}}",
            "bfloat16 does not go with Opacus' hooks",
        ),
        (
            f"{PRIVACY}net: {{mlp: {{}}}}\ntrain: {{patience: 2, recompute: true, keep: best}}",
            r"leave patience out\); train: recompute does not go with privacy",
        ),
        (
            f"{PRIVACY}net: {{mlp: {{}}}}\ntrain: {{patience: 2, recompute: true, keep: best}}",
            r"saves memory too\); train: keep does not go with privacy",
        ),
        (f"{PRIVACY}net: {{mlp: {{}}}}\ntrain: {{class_weights: balanced}}", "class_weights does not go"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused_with_its_path(text: str, said: str) -> None:
    """One line each."""
    with pytest.raises(InputError, match=said) as error:
        files.parse_yaml(f"data: loan\n{text}".encode(), Recipe, where="r.yaml")

    assert "\n" not in str(error.value)


def test_a_recipe_is_written_as_it_is_read() -> None:
    """Only the net that is there stands in the card."""
    asked = Recipe(data="loan", net=Net.of(LSTM(hidden=3)))
    written = files.canonical_json(asked)

    assert b'"net":{"lstm":{' in written
    assert b'"cnn"' not in written
    assert files.parse_json(written, Recipe, where="test") == asked
    assert (asked.net.kind, asked.net.config) == ("lstm", LSTM(hidden=3))
    with pytest.raises(InputError, match="must be a configuration such as MLP"):
        Net.of("mlp")


def table(**columns: np.ndarray) -> Splits:
    n = len(next(iter(columns.values())))
    columns = {**columns, "y": np.arange(n) % 2.0}
    features = tuple(c for c in columns if c != "y")
    whole = Table(name="t", columns=columns, roles={"feature": features, "truth": ("y",)})
    return Splits(train=whole, calibrate=whole, held_out=whole)


NUMBERS = table(a=np.arange(12.0))
TEXTS = table(text=np.array(["a b", "c"] * 6, dtype=object))


@pytest.mark.parametrize(
    ("net", "splits", "how", "said"),
    [
        (MLP(), NUMBERS, {"loss": "reconstruction"}, "cannot learn by reconstruction"),
        (MLP(), NUMBERS, {"loss": "gaussian"}, "cannot learn by gaussian"),
        (Autoencoder(), NUMBERS, {"loss": "mse"}, "learns by reconstruction"),
        (LSTM(head="steps", both=True), TEXTS, {}, "it would read the word it is to say"),
        (MLP(), NUMBERS, {"categories": {"z": ("x",)}}, "categories: column: 'z' is not there"),
        (MLP(), NUMBERS, {"colour": 3}, "train: setting: 'colour' is not there"),
        (MLP(), NUMBERS, {"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
        (Transformer(), NUMBERS, {}, "transformer: reads one of tokens, got table"),
        (
            MLP(),
            table(a=np.zeros((12, 1, 2, 2)), b=np.zeros((12, 1, 2, 2))),
            {},
            "one column of pixels can be read, got 'a' and 'b'",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_step(
    net: object, splits: Splits, how: dict, said: str
) -> None:
    """Net, loss, rows and settings: one clear line."""
    with pytest.raises(InputError, match=said):
        fit.train(net, splits, epochs=1, **how)


def test_the_outcome_says_how_it_is_learned() -> None:
    """Two labels, several labels, whole numbers that are few, and numbers that are many."""
    n = 60
    for outcome, loss in (
        (np.arange(n) % 2.0, "bce"),
        (np.array(["a", "b", "c"] * 20, dtype=object), "cross_entropy"),
        (np.arange(n) % 5.0, "cross_entropy"),
        (np.linspace(0, 1, n), "mse"),
    ):
        columns = {"a": np.arange(float(n)), "y": outcome}
        cohort = Table(name="t", columns=columns, roles={"feature": ("a",), "truth": ("y",)})
        run = fit.train(MLP(hidden=()), Splits(train=cohort, calibrate=cohort, held_out=cohort), epochs=1)

        assert run.card.aim.loss == loss
    assert run.decision.labels == ()


def test_labels_and_numbers_are_read_in_the_order_of_the_features() -> None:
    """Declared or measured: a label's code, 0 for one that is missing or new; missing numbers stay NaN."""
    home = np.array(["rent", "own", None] * 4, dtype=object)
    splits = table(home=home, a=np.r_[np.nan, np.arange(11.0)])
    run = fit.train(MLP(hidden=()), splits, epochs=1, inputs={"a": Input(fill=1.0)})
    rows = inputs.tensors(
        run.card.reads, {"a": np.array([np.nan, 2.0]), "home": np.array(["rent", "boat"])}, where="t"
    )

    assert run.card.features == ("home", "a")
    assert run.card.reads.categories["home"].values == ("own", "rent")
    assert np.array_equal(rows["table"], np.array([[2, np.nan], [0, 2]], dtype=np.float32), equal_nan=True)
    assert "1 of 2" in run.card.constants_from
    assert inputs.kinds_read(run.card.reads) == takes(run.card.reads) == ("table",)


def test_a_short_series_is_padded_and_a_picture_is_read_row_by_row() -> None:
    """Steps that are not there are NaN throughout; a picture's rows of pixels are the steps, channels side by side."""
    from rai_bigmodel.nets import Reads, Series

    reads = Reads(series=Series(features=2, length=3, column="s"))
    short = inputs.tensors(reads, np.ones((1, 2, 2)), where="t")["series"]
    picture = np.arange(6.0).reshape(1, 1, 3, 2)

    assert np.isnan(short[0, 2]).all()
    assert short[0, :2].tolist() == [[1, 1], [1, 1]]
    assert inputs.tensors(reads, {"s": picture}, where="t")["series"][0].tolist() == [[0, 1], [2, 3], [4, 5]]
    two = np.stack([np.zeros((2, 2)), np.ones((2, 2))])[None]
    assert inputs.steps(two)[0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_on_step_is_told_the_pace_where_it_asks_for_it(tmp_path: Path) -> None:
    """Three arguments as ever; a fourth is rows a second, seconds left and the learning rate."""
    three, four = [], []
    fit.train(
        MLP(hidden=()), NUMBERS, epochs=2, batch_size=6, on_step=lambda a, b, c: three.append((a, b, c))
    )
    fit.train(
        MLP(hidden=()),
        NUMBERS,
        epochs=2,
        batch_size=6,
        warmup=2,
        lr=0.5,
        on_step=lambda a, b, c, pace: four.append(pace),
    )

    assert [(a, b) for a, b, _ in three] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [p.lr for p in four] == [0.25, 0.5, 0.5, 0.5]
    assert four[-1].seconds_left == 0
    assert all(p.rows_per_second > 0 for p in four)
