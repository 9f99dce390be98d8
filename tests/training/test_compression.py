"""Are pruned weights 0 and stay 0, and does a student learn from its teacher?"""

import msgspec
import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel import api, datasets
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import CNN, LSTM, MLP
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import checkpoint, fit, pruning, recipe, teaching
from rai_bigmodel.training.aims import Aim
from rai_bigmodel.training.checkpoint import Run

NET = MLP(hidden=(12, 6))
PRIVACY = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.1, expected_batch_size=100)


@pytest.fixture(scope="module")
def loan() -> Splits:
    return datasets.loan()


@pytest.fixture(scope="module")
def whole(loan: Splits) -> Run:
    return fit.train(NET, loan, epochs=4, name="whole")


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "rmsprop"])
def test_pruned_weights_stay_at_0_under_every_optimizer(loan: Splits, whole: Run, optimizer: str) -> None:
    """With momentum and decay: exactly the share that was asked for, the smallest of all, and the others move."""
    run = fit.train(
        NET,
        loan,
        epochs=1,
        lr=0.01,
        parent=whole,
        prune=recipe.Prune(share=0.75),
        optimizer=optimizer,
        weight_decay=0.1,
    )
    weights = {k: v.flatten() for k, v in whole.module.state_dict().items() if k.endswith("weight")}
    size = torch.cat(list(weights.values())).abs()
    limit = size.kthvalue(round(0.75 * len(size))).values
    ours = run.module.state_dict()

    assert pruning.zeros(run.module) == (round(0.75 * len(size)), len(size))
    for name, before in weights.items():
        after = ours[name].flatten()
        assert torch.equal(after == 0, before.abs() <= limit)
        assert not torch.equal(after[after != 0], before[after != 0])


def test_within_a_layer_each_gives_its_share_and_parts_can_be_kept(loan: Splits, whole: Run) -> None:
    """Without a step afterwards the weights that are left are those that were."""
    run = fit.train(
        NET,
        loan,
        epochs=0,
        parent=whole,
        prune=recipe.Prune(share=0.5, within="layer", keep=("head",)),
    )
    ours, theirs = run.module.state_dict(), whole.module.state_dict()

    assert run.card.history == ()
    assert run.card.kept_step == 0
    assert torch.equal(ours["head.weight"], theirs["head.weight"])
    for name in ("body.0.weight", "body.2.weight"):
        left = ours[name] != 0
        assert int(left.sum()) == round(0.5 * left.numel())
        assert torch.equal(ours[name][left], theirs[name][left])


@pytest.mark.parametrize(
    ("net", "shape"), [(CNN(widths=(4, 4), hidden=8), "pictures"), (LSTM(hidden=8), "series")]
)
def test_filters_and_the_weights_of_an_lstm_are_pruned_too(net, shape: str, tmp_path) -> None:
    """And the saved run is the one that was trained: what an LSTM computes with is what it saves."""
    digits = datasets.digits(shape=shape)
    before = fit.train(net, digits, epochs=1)
    run = fit.train(net, digits, epochs=1, parent=before, prune=recipe.Prune(share=0.9))
    checkpoint.save_run(run, tmp_path / "run")
    twin = checkpoint.load_run(tmp_path / "run")
    column = digits.held_out.roles["feature"][0]
    x = digits.held_out.arrays(column)[column][:50]
    pruned, there = pruning.zeros(twin.module)

    assert pruned == round(0.9 * there)
    assert np.array_equal(
        *(fit.score_columns(r.module, x, where="test", aim=r.card.aim) for r in (run, twin))
    )


def test_a_pruned_private_run_keeps_its_epsilon_only_if_no_row_was_looked_at_again(loan: Splits) -> None:
    """Post-processing is free; a training without privacy on the same rows is not, and with it is refused."""
    private = fit.train(NET, loan, epochs=1, privacy=PRIVACY)
    cut = recipe.Prune(share=0.3)
    untouched = fit.train(NET, loan, epochs=0, parent=private, prune=cut)
    trained = fit.train(NET, loan, epochs=1, parent=private, prune=cut)

    assert untouched.card.ledger == private.card.ledger
    assert "Trained without privacy." not in untouched.card.notes
    assert trained.card.ledger is None
    with pytest.raises(InputError, match="prune does not go with privacy"):
        fit.train(NET, loan, epochs=1, parent=private, prune=cut, privacy=PRIVACY)
    other = Splits(train=loan.calibrate, calibrate=loan.calibrate, held_out=loan.held_out)
    with pytest.raises(InputError, match="epochs 0 looks at no row"):
        fit.train(NET, other, epochs=0, parent=private, prune=cut)


@pytest.mark.parametrize(("loss", "labels"), [("bce", ("a", "b")), ("cross_entropy", ("a", "b", "c"))])
def test_the_distance_to_a_teacher_is_the_divergence_of_two_softened_answers(loss, labels) -> None:
    """Its naive twin: T² Σ p log(p / q), and 0 where both say the same."""
    generator = torch.Generator().manual_seed(3)
    width = 1 if loss == "bce" else 3
    said, taught = (3 * torch.randn(7, width, generator=generator) for _ in range(2))
    aim, temperature = Aim(loss=loss, labels=labels, positive="b"), 2.5

    def softened(logits: torch.Tensor) -> torch.Tensor:
        if loss == "bce":
            p = torch.sigmoid(logits / temperature)
            return torch.cat([1 - p, p], dim=1)
        return F.softmax(logits / temperature, dim=1)

    p, q = softened(taught), softened(said)
    naive = temperature**2 * (p * (p / q).log()).sum(dim=1)

    assert torch.allclose(teaching.distance(aim, said, taught, temperature=temperature), naive, atol=1e-5)
    assert teaching.distance(aim, said, said, temperature=temperature).abs().max() < 1e-6


def test_a_student_of_the_teacher_alone_ends_up_with_its_answers(loan: Splits, whole: Run) -> None:
    """With share 1 the outcomes are not looked at; a student as large as its teacher comes to agree with it."""
    how = recipe.Distil(run="whole", share=1.0, temperature=1.0)
    columns = loan.held_out.arrays(*whole.card.features)

    def apart(run: Run) -> float:
        ours, theirs = (fit.score_columns(r.module, columns, where="test") for r in (run, whole))
        return float(np.abs(ours - theirs).mean())

    student = fit.train(NET, loan, epochs=15, lr=5e-3, seed=8, teacher=whole, distil=how)
    alone = fit.train(NET, loan, epochs=15, lr=5e-3, seed=8)

    assert apart(student) < 0.01
    assert 4 * apart(student) < apart(alone)
    assert student.card.origins["distil"].digest == whole.digest


def test_a_teacher_may_read_the_same_rows_in_other_columns_and_a_number_in_other_units() -> None:
    """What it says is in the student's scale."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(150, 2))
    columns = {"a": x[:, 0], "b": 100 * x[:, 0] + 1e-3 * x[:, 1], "y": 10 * x[:, 0] + 0.01 * x[:, 1]}

    def splits(feature: str, scale: float = 1.0) -> Splits:
        table = Table(
            name="rows",
            columns={**columns, "y": scale * columns["y"]},
            roles={"feature": (feature,), "truth": ("y",)},
        )
        return Splits(train=table, calibrate=table, held_out=table)

    net = MLP(hidden=(), limit=None)
    teacher = fit.train(net, splits("a"), epochs=200, lr=0.05)
    taught = teaching.answers_of(
        teacher, splits("b").train, fit.train(net, splits("b", 3.0), epochs=1).card.aim
    )
    student_scale = np.std(3 * columns["y"])
    expected = (columns["y"] - np.mean(3 * columns["y"])) / student_scale

    assert np.abs(taught[:, 0].numpy() - expected).max() < 0.05


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"distil": recipe.Distil(run="x", digest="sha256:12")}, "is the run sha256"),
        ({"privacy": PRIVACY}, "distil does not go with privacy"),
    ],
)
def test_a_teacher_that_cannot_be_used_is_refused(loan: Splits, whole: Run, how: dict, said: str) -> None:
    """One line, before the training."""
    with pytest.raises(InputError, match=said):
        fit.train(NET, loan, epochs=1, teacher=whole, **how)


def test_a_teacher_of_another_outcome_is_refused(whole: Run) -> None:
    """A yes or no teaches nothing of ten digits."""
    with pytest.raises(InputError, match=r"distil: whole gives binary .*teaches nothing of classes 0, 1, 2"):
        fit.train(NET, datasets.digits(shape="columns"), epochs=1, teacher=whole)


def test_what_compression_costs_each_group_is_measured_by_the_deployment_audit(
    loan: Splits, whole: Run, tmp_path
) -> None:
    """Runs as relatives of role pruned and distilled: decisions that flip, by group, and bytes on disk."""
    small = fit.train(MLP(hidden=(2,)), loan, epochs=1, teacher=whole)
    cut = fit.train(NET, loan, epochs=0, parent=whole, prune=recipe.Prune(share=0.9))
    for name, run in (("distilled", small), ("pruned", cut)):
        checkpoint.save_run(run, tmp_path / name)
    found = api.audit(
        whole,
        loan,
        audits={"deployment": {"repeats": 5, "batches": (1,)}},
        relatives={"distilled": tmp_path / "distilled", "pruned": tmp_path / "pruned"},
    )
    measured = {
        (m.metric.partition(".")[2], m.labels.get("variant"), m.labels.get("attribute", "")): m.value
        for e in found.evidence
        for m in e.measurements
    }

    for variant in ("pruned", "distilled"):
        assert measured["decision_flip_rate", variant, ""] > 0
        assert measured["flip_rate_difference", variant, "race"] is not None
        assert measured["size_bytes", variant, ""] == checkpoint.bytes_in(tmp_path / variant)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prune: {share: 0.5}", r"\$: prune: needs the run"),
        ("from: {run: a}\nprune: {share: 1.5}", r"\$\.prune: prune: share must lie between 0 and 1"),
        ("from: {run: a}\nprune: {share: 0.5, within: row}", r"\$\.prune"),
        ("distil: {run: a, temperature: 0}", r"\$\.distil: distil: temperature must be positive"),
        ("from: {folder: a}", r"\$\.from\.folder: unknown key"),
        ("from: {run: a, lora: {rank: 4}}\nprune: {share: 0.5}", "lora does not go with prune"),
        ("from: {run: a}\npixels: {center: 0, scale: 1}", "pixels does not go with from"),
    ],
)
def test_a_recipe_of_descent_that_cannot_be_is_refused_with_its_path(text: str, said: str, tmp_path) -> None:
    """One line with the path of the key."""
    path = tmp_path / "recipe.yaml"
    path.write_text(f"data: loan\nnet: {{mlp: {{}}}}\n{text}\n", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        recipe.read(path)
    assert msgspec.json.encode(recipe.Recipe(data="loan", net=recipe.Net(mlp=NET))).count(b"from") == 0
