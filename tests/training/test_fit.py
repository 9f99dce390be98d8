"""Does the loop train what it says, and leave a card that tells the truth?"""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from rai_bigmodel import accounting, datasets
from rai_bigmodel.accounting import Ledger, Privacy, epsilon_of
from rai_bigmodel.errors import InputError, TrainingDiverged
from rai_bigmodel.nets import MLP, Input
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit, recipe
from rai_bigmodel.training.checkpoint import weights

ROLES = {"feature": ("a", "b"), "truth": ("y",)}
PRIVACY = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.2, expected_batch_size=40)


def table(rows: int, seed: int, *, holes: float = 0.1) -> Table:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(50, 10, rows), rng.normal(0, 1, rows)
    y = rng.random(rows) < 1 / (1 + np.exp(-((a - 50) / 10 - b)))
    a[rng.random(rows) < holes] = np.nan
    return Table(name=f"toy {seed}", columns={"a": a, "b": b, "y": y.astype(float)}, roles=ROLES)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Splits(train=table(200, 1), calibrate=table(80, 2), held_out=table(80, 3))


def test_a_net_without_hidden_layers_is_scikit_learns_logistic_regression(splits: Splits) -> None:
    """Trained to the end on filled and scaled columns, both give the same probabilities to 1e-3."""
    net = MLP(hidden=(), limit=None)
    run = fit.train(net, splits, epochs=1500, batch_size=200, lr=0.02)
    x = run.module.scaling(torch.from_numpy(np.stack([splits.train.columns[c] for c in "ab"], 1)).float())
    oracle = LogisticRegression(C=1e9, tol=1e-10).fit(x.numpy(), splits.train.columns["y"])
    ours = fit.score_columns(run.module, splits.train.columns, where="test")

    assert np.abs(ours - oracle.predict_proba(x.numpy())[:, 1]).max() < 1e-3


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(splits: Splits) -> None:
    """Plain training is reproducible, and torch's global generator is left alone."""
    before = torch.get_rng_state()
    one, two, three = (fit.train(MLP(hidden=(4,)), splits, epochs=3, seed=s) for s in (1, 1, 2))

    assert weights(one.module) == weights(two.module)
    assert one.digest == two.digest != three.digest
    assert torch.equal(before, torch.get_rng_state())
    assert one.card.threads == 1


def test_the_programs_own_thread_count_comes_back(splits: Splits) -> None:
    """A training uses its own number of threads and leaves the program's as it was, even when it fails."""
    before = torch.get_num_threads()
    seen = []
    torch.set_num_threads(2)
    fit.train(MLP(hidden=()), splits, epochs=1, on_step=lambda *_: seen.append(torch.get_num_threads()))
    with pytest.raises(InputError):
        fit.train(MLP(hidden=()), Splits(held_out=splits.held_out))
    after = torch.get_num_threads()
    torch.set_num_threads(before)

    assert set(seen) == {1}
    assert after == 2


def test_two_private_runs_with_one_seed_differ(splits: Splits) -> None:
    """Noise and sampling never come from the seed, so a published seed cannot subtract them."""
    one, two = (fit.train(MLP(hidden=(4,)), splits, epochs=1, privacy=PRIVACY, seed=1) for _ in range(2))

    assert weights(one.module) != weights(two.module)


def test_a_noise_seed_repeats_a_private_run_and_voids_its_epsilon(splits: Splits) -> None:
    """For tests the noise can be seeded; the card then claims nothing and says why."""
    seeded = msgspec.structs.replace(PRIVACY, noise_seed=5)
    one, two = (fit.train(MLP(hidden=(4,)), splits, epochs=1, privacy=seeded) for _ in range(2))

    assert weights(one.module) == weights(two.module)
    assert one.card.ledger is not None
    assert one.card.ledger.epsilon_claimed is None
    assert any("seed" in note and "no ε holds" in note for note in one.card.notes)


def test_a_private_run_takes_a_fixed_number_of_steps_and_keeps_a_ledger(splits: Splits) -> None:
    """Steps are epochs over the sample rate; every one is in the ledger, from which ε follows."""
    steps = []
    run = fit.train(
        MLP(hidden=(4,)), splits, epochs=2, privacy=PRIVACY, on_step=lambda i, of, _: steps.append((i, of))
    )

    assert steps == [(i, 10) for i in range(1, 11)]
    assert run.card.ledger == Ledger.of(
        PRIVACY, noise_multiplier=1.0, steps=10, generator=accounting.GENERATOR_CIPHER
    )
    assert run.card.ledger.epsilon_claimed == epsilon_of(run.card.ledger)


def test_a_private_run_never_shows_the_loss_of_its_training_rows(splits: Splits) -> None:
    """The loss in card and progress is the calibration rows'; ε would not cover the other."""
    shown = []
    run = fit.train(
        MLP(hidden=(4,)), splits, epochs=2, privacy=PRIVACY, on_step=lambda *args: shown.append(args[2])
    )

    assert all(moment.train is None for moment in run.card.history)
    assert set(shown) == {None, *(m.calibrate for m in run.card.history[:-1]), run.card.history[-1].calibrate}


def test_early_stopping_keeps_the_best_weights(splits: Splits) -> None:
    """The kept step has the lowest calibration loss seen, and the weights are those of that step."""
    run = fit.train(MLP(hidden=(32,)), splits, epochs=200, lr=0.05, patience=5)
    losses = {m.step: m.calibrate for m in run.card.history}
    y = torch.from_numpy(splits.calibrate.columns["y"])
    p = torch.from_numpy(fit.score_columns(run.module, splits.calibrate.columns, where="test"))

    assert len(losses) < 200
    assert losses[run.card.kept_step] == min(losses.values())
    assert float(torch.nn.functional.binary_cross_entropy(p, y)) == pytest.approx(
        min(losses.values()), abs=1e-5
    )


def test_the_threshold_approves_as_many_calibration_rows_as_were_approved(splits: Splits) -> None:
    """And the card says so."""
    run = fit.train(MLP(hidden=(4,)), splits, epochs=2)
    scores = fit.score_columns(run.module, splits.calibrate.columns, where="test")

    assert (scores >= run.decision.threshold).sum() == splits.calibrate.columns["y"].sum()
    assert str(int(splits.calibrate.columns["y"].sum())) in run.card.decision_from
    assert run.decision.labels == ("0", "1")


def test_undeclared_constants_come_from_training_rows_or_with_privacy_from_calibration_rows(
    splits: Splits,
) -> None:
    """ε covers no constant that was read off the training rows, so a private model has none."""
    plain = fit.train(MLP(hidden=()), splits, epochs=1)
    private = fit.train(MLP(hidden=()), splits, epochs=1, privacy=PRIVACY)
    declared = fit.train(MLP(hidden=()), splits, epochs=1, inputs={"b": Input(), "a": Input(50, 50, 10)})

    assert plain.card.inputs["a"].fill == np.nanmedian(splits.train.columns["a"])
    assert private.card.inputs["a"].fill == np.nanmedian(splits.calibrate.columns["a"])
    assert "calibration rows" in private.card.constants_from
    assert declared.card.constants_from == "declared in the recipe"
    assert declared.module.features == ("a", "b")


def test_a_loss_that_is_no_number_stops_with_step_and_rate(splits: Splits) -> None:
    """Diverging names where and with which learning rate."""
    with pytest.raises(TrainingDiverged, match=r"step \d+ with lr 1e\+30"):
        fit.train(
            MLP(hidden=(4,), activation="relu", limit=None), splits, epochs=20, lr=1e30, optimizer="sgd"
        )
    with pytest.raises(TrainingDiverged, match=r"step \d+ with lr 1e\+38"):
        fit.train(
            MLP(hidden=(4, 4), activation="relu"), splits, epochs=9, lr=1e38, optimizer="sgd", privacy=PRIVACY
        )


def test_data_that_cannot_be_learned_from_are_refused(splits: Splits) -> None:
    """Missing parts, one label, an unknown declared column: one line each."""
    net = MLP(hidden=())
    with pytest.raises(InputError, match=r"splits\.train"):
        fit.train(net, Splits(held_out=splits.held_out, calibrate=splits.calibrate))
    with pytest.raises(InputError, match=r"splits\.calibrate.*threshold"):
        fit.train(net, Splits(held_out=splits.held_out, train=splits.train))
    with pytest.raises(InputError, match="'c' is not there"):
        fit.train(net, splits, inputs={"c": Input()})
    ones = splits.train.take(splits.train.columns["y"] == 1, name="ones")
    with pytest.raises(InputError, match="two labels"):
        fit.train(net, Splits(held_out=splits.held_out, train=ones, calibrate=splits.calibrate))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"precision": "float16"}, "train: precision: 'float16' is not there"),
        ({"lr": "0.1"}, "train: lr must be a number, got '0.1'"),
        ({"epochs": 1.5}, "train: epochs must be a whole number, got 1.5"),
        ({"warmup": 9}, "warmup 9 is more than the 8 steps of this training"),
        ({"warmup": 99, "privacy": PRIVACY}, "warmup 99 is more than the 10 steps"),
    ],
)
def test_a_setting_that_could_only_be_ignored_is_refused(splits: Splits, settings: dict, said: str) -> None:
    """From Python too, where no reader of files stands before it."""
    with pytest.raises(InputError, match=said):
        fit.train(MLP(hidden=()), splits, **{"epochs": 2, **settings})


def test_the_card_says_what_epsilon_does_not_cover(splits: Splits) -> None:
    """Calibration rows, the number and digest of rows, tuning, and a δ that is too large."""
    loose = msgspec.structs.replace(PRIVACY, delta=0.01)
    notes = " ".join(fit.train(MLP(hidden=()), splits, epochs=1, privacy=loose).card.notes)

    for said in ("not the calibration rows", "digest of the training rows", "earlier trainings", "δ = 0.01"):
        assert said in notes


def test_the_demos_recipes_read_strictly_and_differ_only_as_they_say() -> None:
    """The twin has the private net; the reference no hidden layer; only private constants are declared."""
    demo = Path(fit.__file__).parents[1] / "demo"
    private, plain, reference = (recipe.read(demo / f"{n}.yaml") for n in ("recipe", "plain", "reference"))

    assert private.privacy is not None
    assert private.privacy.epsilon == 4
    assert private.privacy.delta == 1e-5
    assert plain.privacy is reference.privacy is None
    assert private.net == plain.net
    assert plain.inputs is reference.inputs is None
    assert reference.net.mlp.hidden == ()
    assert set(private.inputs or {}) == set(datasets.loan().train.roles["feature"])
    assert recipe.shortened(private).train.epochs == 1


LOAN = "data: loan\nnet: {mlp: {}}\n"
PRIVATE = "privacy: {epsilon: %s, delta: 1e-5, sample_rate: 0.1, expected_batch_size: 9}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: loan\nnet: {mlp: {hiden: [3]}}", r"\$\.net\.mlp\.hiden: unknown key"),
        (LOAN + "train: {lr: 0}", r"\$\.train.*lr must be positive"),
        (LOAN + "train: {optimizer: adagrad}", r"\$\.train\.optimizer"),
        (LOAN + PRIVATE % 0, r"\$\.privacy.*epsilon must be a positive number"),
        (LOAN + PRIVATE % 4 + "train: {patience: 3}", "fixed number of steps"),
        (LOAN + "inputs: {a: {scale: -1}}", r"\$\.inputs.*scale must be positive"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_with_its_path(text: str, said: str, tmp_path: Path) -> None:
    """One line with the path of the key."""
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as error:
        recipe.read(path)

    assert "\n" not in str(error.value)


def test_the_loss_is_a_number_in_every_moment(splits: Splits) -> None:
    """The history holds one moment an epoch, with both losses for a plain model."""
    run = fit.train(MLP(hidden=(4,)), splits, epochs=3)

    assert [m.step for m in run.card.history] == [4, 8, 12]
    assert all(math.isfinite(m.train) and math.isfinite(m.calibrate) for m in run.card.history)


def test_labels_may_be_words(splits: Splits) -> None:
    """The declared positive word is learned as such and named in the decision."""

    def worded(part: Table) -> Table:
        words = np.where(part.columns["y"] == 1, "granted", "refused").astype(object)
        return Table(name=part.name, columns={**part.columns, "y": words}, roles=ROLES, positive="granted")

    named = Splits(
        train=worded(splits.train), calibrate=worded(splits.calibrate), held_out=worded(splits.held_out)
    )
    run, twin = (fit.train(MLP(hidden=(4,)), s, epochs=2) for s in (named, splits))

    assert run.decision.positive == "granted"
    assert run.decision.labels == ("granted", "refused")
    assert weights(run.module) == weights(twin.module)
