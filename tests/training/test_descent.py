"""Does a training that begins with another run take over what it should, promise what holds, and say so?"""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from rai_bigmodel import api
from rai_bigmodel.accounting import Privacy
from rai_bigmodel.deploy.to_onnx import to_onnx
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import LSTM, MLP, Autoencoder, Lora, Transformer, Tuned
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import checkpoint, fit, recipe
from rai_bigmodel.training.checkpoint import Run
from rai_bigmodel.training.descent import Kin
from rai_bigmodel.training.settings import Train

BODY = Autoencoder(hidden=(8,), code=3)
PRIVACY = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.2, expected_batch_size=40)
ELSEWHERE = "Rows of a public register, of other people."


def rows(count: int, seed: int) -> Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(3, 2, (count, 4))
    y = (x[:, 0] + x[:, 1] > 6).astype(float)
    columns = {f"x{i}": x[:, i] for i in range(4)}
    return Table(
        name=f"rows {seed}", columns={**columns, "y": y}, roles={"feature": tuple(columns), "truth": ("y",)}
    )


def write(path: Path, table: Table) -> None:
    """The table as a csv."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(table.columns)
        out.writerows(zip(*(values.tolist() for values in table.columns.values()), strict=True))


def of(seed: int) -> Splits:
    return Splits(train=rows(200, seed), calibrate=rows(80, seed + 1), held_out=rows(80, seed + 2))


@pytest.fixture(scope="module")
def parent() -> Run:
    return fit.train(BODY, of(1), epochs=3, name="before")


def same(run: Run, parent: Run, *, inside: str = "body.") -> dict[str, bool]:
    """Weight of the parent → whether the run has the very same numbers."""
    theirs = run.module.state_dict()
    named = {f"{inside}{k}": v for k, v in parent.module.state_dict().items() if f"{inside}{k}" in theirs}
    return {k: torch.equal(v, theirs[k]) for k, v in named.items()}


def test_what_is_frozen_keeps_its_numbers_and_what_is_not_moves(parent: Run) -> None:
    """The body of a run trained without labels, under a new head; the decoder is not part of it."""
    still = fit.train(Tuned(autoencoder=BODY), of(10), epochs=2, parent=parent, freeze=["body"])
    first = fit.train(Tuned(autoencoder=BODY), of(10), epochs=2, parent=parent, freeze=["body.encoder.1"])

    assert all(same(still, parent).values())
    assert [k for k, kept in same(first, parent).items() if not kept] == [
        "body.encoder.3.weight",
        "body.encoder.3.bias",
    ]
    assert not any("decoder" in name for name in still.module.state_dict())
    assert still.card.parameters == 3 + 1


def test_the_runs_own_constants_are_read_and_not_those_of_the_new_rows(parent: Run) -> None:
    """Codes mean what they meant, only if rows are scaled as they were."""
    run = fit.train(Tuned(autoencoder=BODY), of(10), epochs=1, parent=parent)

    assert run.card.reads == parent.card.reads
    assert run.card.constants_from == "those of before"
    with pytest.raises(InputError, match="inputs does not go with from"):
        fit.train(Tuned(autoencoder=BODY), of(10), parent=parent, inputs={})


def test_the_card_keeps_the_runs_digest_and_another_run_is_refused(parent: Run, tmp_path) -> None:
    """The recipe names a folder; the card, and a recipe that says so, the one run that may lie there."""
    checkpoint.save_run(parent, tmp_path / "before")
    written = recipe.Recipe(
        data="", net=recipe.Net.of(Tuned(autoencoder=BODY)), start=recipe.From(run="before", freeze=("body",))
    )
    run = fit.train_recipe(recipe.shortened(written), splits=of(10), here=tmp_path)
    checkpoint.save_run(run, tmp_path / "run")
    read = checkpoint.load_run(tmp_path / "run").card
    other = fit.train(BODY, of(1), epochs=1, name="before")
    checkpoint.save_run(other, tmp_path / "before")

    assert read.recipe.start.digest == read.origins["from"].digest == parent.digest
    assert any(parent.digest[:19] in note for note in read.notes)
    assert "Frozen: body." in read.notes
    with pytest.raises(InputError, match=r"is the run sha256:.*, not sha256:"):
        fit.train_recipe(read.recipe, splits=of(10), here=tmp_path)


def test_low_rank_matrices_end_up_in_the_weights(parent: Run, tmp_path) -> None:
    """The run is a net like any other, loads without peft's layers, exports, and differs by a matrix of that rank."""
    pytest.importorskip("peft", reason="LoRA needs the extra 'huggingface'")
    start = recipe.From(run="before", lora=Lora(rank=2))
    run = fit.train(Tuned(autoencoder=BODY), of(10), epochs=2, parent=parent, start=start)
    checkpoint.save_run(run, tmp_path / "run")
    twin = checkpoint.load_run(tmp_path / "run")
    moved = twin.module.state_dict()["body.encoder.1.weight"] - parent.module.state_dict()["encoder.1.weight"]

    assert torch.linalg.matrix_rank(moved, atol=1e-6) == 2
    assert same(run, parent)["body.encoder.1.bias"]
    assert run.card.parameters == 2 * (4 + 8) + 2 * (8 + 3) + 3 + 1
    assert to_onnx(twin)


def test_a_net_of_the_same_kind_is_trained_on(parent: Run) -> None:
    """The same outcome keeps its head too: without a step there is no difference; another outcome gets a new head."""
    net = MLP(hidden=(5,))
    first = fit.train(net, of(1), epochs=4)
    on = fit.train(net, of(1), epochs=1, lr=1e-12, parent=first)
    numbers = replace(
        of(1),
        train=other(of(1).train),
        calibrate=other(of(1).calibrate),
    )
    new = fit.train(net, numbers, epochs=1, lr=1e-12, parent=first)

    ours, theirs = on.module.state_dict(), first.module.state_dict()
    assert all(torch.allclose(ours[k], theirs[k], atol=1e-8) for k in theirs)
    assert torch.allclose(new.module.state_dict()["body.0.weight"], theirs["body.0.weight"], atol=1e-8)
    assert not torch.allclose(new.module.state_dict()["head.weight"], theirs["head.weight"], atol=1e-3)


def other(table: Table) -> Table:
    """The same features with a number as the outcome."""
    columns = {**table.columns, "y": np.linspace(0, 9, table.rows) ** 1.5}
    return Table(name=table.name, columns=columns, roles=table.roles)


def sentences(seed: int, count: int) -> Table:
    rng = np.random.default_rng(seed)
    words = np.array(["kind", "vile", "old", "new", "blue"])
    texts = [" ".join(words[rng.integers(0, 5, 4)]) for _ in range(count)]
    y = np.array([float("vile" in text) for text in texts])
    return Table(
        name=f"texts {seed}",
        columns={"text": np.array(texts, dtype=object), "y": y},
        roles={"feature": ("text",), "truth": ("y",)},
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Transformer(width=8, heads=2, layers=1, feedforward=8, causal=True, tied=True), "transformer"),
        (LSTM(hidden=6, embedding=4, head="steps"), "lstm"),
    ],
)
def test_a_language_model_gets_a_classifier_on_top_and_keeps_its_vocabulary(before, after) -> None:
    """Words that only the new rows have stay unknown; the head of every next word is left behind."""
    splits = Splits(train=sentences(1, 120), calibrate=sentences(2, 40), held_out=sentences(3, 40))
    parent = fit.train(before, splits, epochs=2, text=recipe.Text(length=6, most=3))
    run = fit.train(
        Tuned(**{after: before}), splits, epochs=2, parent=parent, text=recipe.Text(length=4), freeze=["body"]
    )

    assert run.card.aim.loss == "bce"
    assert run.card.reads.tokens.words == parent.card.reads.tokens.words
    assert run.card.reads.tokens.length == 4
    assert all(same(run, parent).values())


def refused(parent: Run, said: str, splits: Splits | None = None, **how) -> None:
    with pytest.raises(InputError, match=said) as error:
        fit.train(**{"net": Tuned(autoencoder=BODY), "splits": splits or of(10), "parent": parent, **how})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"freeze": ["bodi"]}, r"freeze: part: 'bodi' is not there.*Did you mean 'body'"),
        ({"freeze": ["body", "head"]}, "leaves no weight to train"),
        ({"net": MLP()}, r"kind autoencoder, the recipe's of kind mlp.*tuned"),
        ({"net": Tuned(autoencoder=Autoencoder(hidden=(9,), code=3))}, r"hidden \[8\], the recipe \[9\]"),
        ({"net": Tuned(autoencoder=msgspec.structs.replace(BODY, activation="tanh"))}, "activation relu"),
        ({"start": recipe.From(run="x", digest="sha256:12")}, "is the run sha256"),
        ({"start": recipe.From(run="x", lora=Lora(targets=("query",)))}, "target: 'query' is not there"),
        ({"epochs": 0}, "epochs must be positive"),
    ],
)
def test_a_run_that_does_not_fit_is_refused_in_a_line(parent: Run, how: dict, said: str) -> None:
    """Before a step is taken, and by what differs: also where no shape would tell."""
    refused(parent, said, **how)


def test_rows_with_other_features_are_refused(parent: Run) -> None:
    """Neither a column that is missing nor one that nobody would read passes unseen."""
    table = rows(50, 4)
    roles = {**table.roles, "feature": (*table.roles["feature"], "z")}
    more = Table(name="more", columns={**table.columns, "z": table.columns["x0"]}, roles=roles)
    refused(parent, "these rows hold z too", Splits(train=more, calibrate=more, held_out=more))


# --- what is promised ----------------------------------------------------------------------------


def test_no_epsilon_is_claimed_for_rows_that_a_run_saw_without_privacy(parent: Run) -> None:
    """On the very rows never; on others only with a reason, which the card repeats as a claim nobody checked."""
    refused(parent, "these very rows, without privacy", of(1), privacy=PRIVACY)
    swapped = Splits(train=of(1).calibrate, calibrate=of(1).train, held_out=of(1).held_out)
    refused(parent, "these very rows", swapped, privacy=PRIVACY)
    refused(parent, r"say why: from: \{public", privacy=PRIVACY)
    start = recipe.From(run="before", public=ELSEWHERE)
    refused(parent, "these very rows", of(1), privacy=PRIVACY, start=start)
    run = fit.train(Tuned(autoencoder=BODY), of(10), epochs=1, parent=parent, start=start, privacy=PRIVACY)

    assert run.card.ledger.epsilon_claimed
    assert any(ELSEWHERE in note and "not checked" in note for note in run.card.notes)


def test_other_shapes_and_divisions_of_our_data_are_known_by_their_name(parent: Run) -> None:
    """Another digest, the same people: the name of the data in both recipes tells."""
    named = replace(
        parent,
        card=msgspec.structs.replace(
            parent.card, recipe=msgspec.structs.replace(parent.card.recipe, data="loan")
        ),
    )
    written = recipe.Recipe(
        data="loan",
        net=recipe.Net.of(Tuned(autoencoder=BODY)),
        start=recipe.From(run="before", public=ELSEWHERE),
        privacy=PRIVACY,
    )
    with pytest.raises(InputError, match="other parts or shapes of 'loan'"):
        fit.train_recipe(written, splits=of(10), kin=Kin(named))


def test_a_private_run_lends_its_epsilon_to_nobody_who_looks_again(parent: Run) -> None:
    """Its own rows again would be counted once for twice; what it was made from is looked at too."""
    start = recipe.From(run="before", public=ELSEWHERE)
    private = fit.train(
        Tuned(autoencoder=BODY), of(10), epochs=1, parent=parent, start=start, privacy=PRIVACY
    )
    refused(private, r"these very rows, with ε = .*would not count", of(10), privacy=PRIVACY)
    refused(private, "these very rows, without privacy", of(1), privacy=PRIVACY)
    plain = fit.train(Tuned(autoencoder=BODY), of(10), epochs=1, parent=private)

    assert plain.card.ledger is None
    assert any("no ε holds" in note for note in plain.card.notes)


def taken(table: Table, first: int, name: str, *, more: Table | None = None) -> Table:
    """The rows from the `first` on in another order, and some more."""
    columns = {c: v[first:][::-1] for c, v in table.columns.items()}
    if more is not None:
        columns = {c: np.concatenate([v, more.columns[c]]) for c, v in columns.items()}
    return Table(name=name, columns=columns, roles=table.roles)


def test_rows_that_a_private_run_has_seen_are_counted_one_by_one(parent: Run) -> None:
    """Reshuffled or partly shared they have another digest: ε would count them once for twice."""
    seen = of(10)
    private = fit.train(BODY, seen, epochs=1, privacy=PRIVACY, name="private")
    new = of(20)
    know = {"privacy": PRIVACY, "parent_rows": seen}
    shuffled = replace(new, train=taken(seen.train, 0, "shuffled"))
    some = replace(new, train=taken(seen.train, 197, "some", more=new.train))
    tuned = replace(new, train=taken(seen.calibrate, 78, "calibrated", more=new.train))
    refused(private, r"trained on 200 of these 200 rows \(rows 10\), with ε", shuffled, **know)
    refused(private, r"trained on 3 of these 203 rows \(rows 10\)", some, **know)
    refused(private, r"trained on 2 of these 202 rows \(rows 11\)", tuned, **know)
    run = fit.train(Tuned(autoencoder=BODY), new, epochs=1, parent=private, **know)
    further = fit.train(Tuned(autoencoder=BODY), of(30), epochs=1, parent=private, **know)

    assert run.card.ledger.epsilon_claimed
    assert any("None of the 200 training rows was among the rows of private" in n for n in run.card.notes)
    assert not any("not checked" in note for note in (*run.card.notes, *further.card.notes))


def test_rows_that_are_not_at_hand_are_not_known_to_be_others(parent: Run) -> None:
    """Neither for a private run nor for one before it; other rows than the run's are no proof; a reason is repeated."""
    private = fit.train(BODY, of(10), epochs=1, privacy=PRIVACY, name="private")
    refused(
        private, r"is not known \(rows 10 is not at hand; rows 11 is not at hand\)", of(20), privacy=PRIVACY
    )
    refused(private, r"rows 10 is not at hand", of(20), privacy=PRIVACY, parent_rows=of(30))
    start = recipe.From(run="private", public=ELSEWHERE)
    how = {"epochs": 1, "privacy": PRIVACY, "parent": private, "start": start}
    run = fit.train(Tuned(autoencoder=BODY), of(20), **how)
    shuffled = replace(of(20), train=taken(of(10).train, 0, "shuffled"))

    assert any(
        f"not checked (rows 10 is not at hand; rows 11 is not at hand): {ELSEWHERE}" in n
        for n in run.card.notes
    )
    with pytest.raises(InputError, match="200 of these 200 rows"):
        fit.train(Tuned(autoencoder=BODY), shuffled, parent_rows=of(10), **how)


def test_rows_told_by_ids_and_rows_that_look_alike_by_chance(parent: Run) -> None:
    """An id is in both or not, whatever stands beside it; two yes-or-no columns tell nobody from another."""

    def coarse(seed: int, first: int | None) -> Table:
        draw = np.random.default_rng(seed)
        columns = {c: draw.integers(0, 2, 200).astype(float) for c in ("a", "b", "y")}
        roles = {"feature": ("a", "b"), "truth": ("y",)}
        if first is not None:
            columns["who"], roles["id"] = np.arange(first, first + 200.0), ("who",)
        return Table(name=f"coarse {seed}", columns=columns, roles=roles)

    net = MLP(hidden=())
    for first, why in (
        (None, "look like some of coarse 1, as many as may by chance"),
        (1000, "1 of these 200 rows"),
    ):
        seen = Splits(train=coarse(1, first), calibrate=coarse(2, first and 5000), held_out=coarse(3, None))
        private = fit.train(net, seen, epochs=1, privacy=PRIVACY, name="private")
        new = replace(seen, train=coarse(4, first and 1199))
        with pytest.raises(InputError, match=why):
            fit.train(net, new, epochs=1, privacy=PRIVACY, parent=private, parent_rows=seen)
    apart = replace(seen, train=coarse(4, 1200))

    assert fit.train(net, apart, epochs=1, privacy=PRIVACY, parent=private, parent_rows=seen).card.ledger


def test_the_files_of_a_run_are_read_again_where_they_lie(tmp_path) -> None:
    """By the recipe's own names, beside it or beside the run; one that is gone or was changed tells nothing."""
    for seed, name in ((10, "seen"), (11, "calibrate"), (12, "held_out"), (20, "new")):
        write(tmp_path / f"{name}.csv", rows(200, seed))
    write(tmp_path / "mixed.csv", taken(rows(200, 10), 196, "mixed", more=rows(200, 30)))

    def trained(train: str, out: str, start: str = "") -> Run:
        path = tmp_path / f"{out}.yaml"
        path.write_text(
            f"data: {{file: held_out.csv, train: {train}.csv, calibrate: calibrate.csv, truth: y, sensitive: []}}\n"
            f"net: {{mlp: {{hidden: [4]}}}}\ntrain: {{epochs: 1}}\n{start}"
            "privacy: {noise_multiplier: 1, delta: 1e-5, sample_rate: 0.2, expected_batch_size: 40}\n",
            "utf-8",
        )
        return api.train_recipe(path, out=tmp_path / out)

    trained("seen", "first")
    with pytest.raises(InputError, match=r"trained on 4 of these 204 rows \(seen.csv\)"):
        trained("mixed", "second", "from: {run: first}\n")
    assert not (tmp_path / "second").exists()
    second = trained("new", "second", "from: {run: first}\n")
    assert any("all were compared" in note for note in second.card.notes)
    with pytest.raises(InputError, match=r"trained on 4 of these 204 rows \(seen.csv\)"):
        trained("mixed", "third", "from: {run: second, public: others}\n")
    (tmp_path / "seen.csv").write_text((tmp_path / "new.csv").read_text("utf-8"), "utf-8")

    with pytest.raises(InputError, match=r"seen\.csv is not at hand"):
        trained("new", "third", "from: {run: first}\n")


def test_a_run_made_from_another_is_not_trained_again_for_an_audit(parent: Run) -> None:
    """What stood before it may have seen the rows that a refit keeps back."""
    run = fit.train(Tuned(autoencoder=BODY), of(10), epochs=1, parent=parent)

    assert of_run(run).refit is None
    assert of_run(parent).refit is not None


@pytest.mark.parametrize("extra", [{}, {"prune": recipe.Prune(share=0.5)}, {"lora": Lora(rank=1)}])
def test_a_stopped_fine_tuning_goes_on_to_the_same_weights(parent: Run, extra: dict, tmp_path) -> None:
    """Masks and low-rank matrices included; with another run in its place it is another recipe."""
    if "lora" in extra:
        pytest.importorskip("peft", reason="LoRA needs the extra 'huggingface'")
    net = BODY if "prune" in extra else Tuned(autoencoder=BODY)
    start = recipe.From(run="before", lora=extra.get("lora"))
    written = recipe.Recipe(
        data="",
        net=recipe.Net.of(net),
        train=Train(epochs=2, batch_size=20, every=3),
        start=start,
        prune=extra.get("prune", msgspec.UNSET),
    )
    splits, kin = of(1) if "prune" in extra else of(10), Kin(parent)
    whole = fit.train_recipe(written, splits=splits, kin=kin)
    with pytest.raises(KeyboardInterrupt):
        fit.train_recipe(written, splits=splits, kin=kin, folder=tmp_path, on_step=stopping(8))
    resumed = fit.train_recipe(written, splits=splits, kin=kin, folder=tmp_path, resume=True)

    assert resumed.card.resumed_at == (6,)
    assert checkpoint.weights(whole.module) == checkpoint.weights(resumed.module)


def stopping(at: int) -> Callable[..., None]:
    def on_step(step: int, *_: object) -> None:
        if step == at:
            raise KeyboardInterrupt

    return on_step
