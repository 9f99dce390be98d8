"""Is a fairer model found where there is one, and its cost told?"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import msgspec
import numpy as np
import pytest

from rai_bigmodel import api, cli, datasets, files
from rai_bigmodel.accounting import Privacy, epsilon_of
from rai_bigmodel.errors import InputError, TrainingDiverged
from rai_bigmodel.mitigate import frontier as f
from rai_bigmodel.mitigate.aware import said as allowed
from rai_bigmodel.mitigate.reweighing import reweighing
from rai_bigmodel.mitigate.search import mitigate
from rai_bigmodel.nets import MLP
from rai_bigmodel.policy import AttributeAware
from rai_bigmodel.subject import Splits, decisions_of, truth_of
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import checkpoint, fit
from rai_bigmodel.training.recipe import Distil, From, Recipe

GAP = "fairness.demographic_parity_difference"


def _table(rows: int, seed: int, *, proxy: bool, name: str) -> Table:
    """Merit decides half of the outcome; group B was turned down more often; `area` tells the group, or is noise."""
    rng = np.random.default_rng(seed)
    b = rng.random(rows) < 0.35
    merit, other = rng.normal(size=(2, rows))
    area = rng.normal(size=rows) + (2.5 * b if proxy else 0)
    y = merit - 1.2 * b + rng.normal(0, 0.8, rows) > -0.4
    return Table(
        name=name,
        columns={
            "merit": merit,
            "other": other,
            "area": area,
            "y": y.astype(float),
            "race": np.where(b, "B", "A").astype(object),
        },
        roles={"feature": ("merit", "other", "area"), "truth": ("y",), "sensitive": ("race",)},
    )


def _splits(*, proxy: bool, seed: int = 0) -> Splits:
    sizes = (("train", 900), ("calibrate", 500), ("held_out", 1200))
    return Splits(
        **{part: _table(n, 10 * seed + i, proxy=proxy, name=part) for i, (part, n) in enumerate(sizes)}
    )


def _run(splits: Splits, *, seed: int = 1):
    return fit.train(MLP(hidden=()), splits, epochs=6, lr=0.02, seed=seed, name="toy")


@pytest.fixture(scope="module")
def planted():
    splits = _splits(proxy=True)
    return (
        splits,
        _run(splits),
        mitigate(_run(splits), splits, attribute="race", accuracy_cost=0.15, rounds=0),
    )


def _of(point, metric=GAP, **labels):
    for m in point.measurements:
        if m.metric == metric and all(m.labels.get(k) == v for k, v in labels.items()):
            return m
    return None


def test_the_unmitigated_model_stands_first_as_it_is(planted) -> None:
    """With its own digest; its numbers are those of the fairness audit on the held-out rows."""
    splits, run, found = planted
    base = found.frontier.points[0]
    dossier = api.audit(run, splits, audits={"fairness": {"attributes": ("race",)}, "performance": {}})
    audited = {(m.metric, m.labels.get("scope")): m for e in dossier.evidence for m in e.measurements}

    assert (base.name, base.digest) == ("unmitigated", run.digest)
    assert _of(base).value == audited[GAP, "sized"].value
    assert _of(base).interval == audited[GAP, "sized"].interval
    assert _of(base, "performance.accuracy").value == audited["performance.accuracy", None].value


def test_the_planted_proxy_is_found_and_dropped_first(planted) -> None:
    """`area` tells the group; without it the gap on the held-out rows is narrower, beyond doubt."""
    frontier = planted[2].frontier
    without = frontier["without-1"]

    assert [p.feature for p in frontier.proxies if p.stands] == ["area"]
    assert without.dropped == ("area",)
    assert _of(without, against="unmitigated").interval.high < 0
    assert _of(without).value < _of(frontier["unmitigated"]).value - 0.1


def test_the_twin_without_a_proxy_drops_nothing() -> None:
    """No feature tells the group, so none is dropped for it."""
    splits = _splits(proxy=False)
    found = mitigate(_run(splits), splits, attribute="race", rounds=0).frontier

    assert not any(p.stands for p in found.proxies)
    assert not any(p.dropped for p in found.points)


def test_the_choice_is_made_on_the_calibration_rows_alone(planted) -> None:
    """Other held-out rows change what is reported, and nothing about what is chosen."""
    splits, run, found = planted
    other = replace(splits, held_out=_table(700, 99, proxy=True, name="others"))
    again = mitigate(run, other, attribute="race", accuracy_cost=0.15, rounds=0)

    assert again.run.digest == found.run.digest
    assert [p.gap for p in again.frontier.points] == [p.gap for p in found.frontier.points]
    assert _of(again.frontier["without-1"]).value != _of(found.frontier["without-1"]).value


def test_the_chosen_point_is_the_narrowest_that_was_allowed(planted) -> None:
    """And none that may be chosen dominates it."""
    frontier = planted[2].frontier
    base, chosen = frontier.points[0], frontier[frontier.chosen]
    allowed = [p for p in frontier.points if p.accuracy >= base.accuracy - 0.15]

    assert chosen.gap == min(p.gap for p in allowed) < base.gap
    assert not chosen.dominated
    assert planted[2].run.digest == chosen.digest


def test_no_accuracy_to_give_up_may_leave_the_model_as_it_is(planted) -> None:
    """Where nothing is narrower at that price the run itself comes back."""
    points = planted[2].frontier.points
    base = points[0]
    dearer = [msgspec.structs.replace(p, accuracy=base.accuracy - 0.1) for p in points[1:]]

    assert f.choose([base, *dearer], 0.05) == "unmitigated"
    assert f.choose([base, *dearer], 0.2) != "unmitigated"


def test_what_reads_the_attribute_is_never_chosen(planted) -> None:
    """If all else costs too much, the most accurate of the rest is."""
    points = planted[2].frontier.points
    base = msgspec.structs.replace(points[0], reads_attribute=True, gap=0.0, accuracy=1.0)
    rest = points[1:]

    assert f.choose([base, *rest], 0.0) == max(rest, key=lambda p: p.accuracy).name
    assert f.choose([base, *rest], 1.0) == min(rest, key=lambda p: (p.gap, -p.accuracy)).name


def test_a_training_that_diverges_is_left_out_and_said(planted, monkeypatch) -> None:
    """The others stand."""
    splits, run, found = planted
    whole = fit.train_recipe

    def fragile(recipe, **how):
        if recipe.train.weight_decay == 1.0:
            msg = "training diverged at step 3"
            raise TrainingDiverged(msg)
        return whole(recipe, **how)

    monkeypatch.setattr(fit, "train_recipe", fragile)
    fewer = mitigate(run, splits, attribute="race", rounds=0).frontier

    assert {p.name for p in found.frontier.points} - {p.name for p in fewer.points} == {"decay-1"}
    assert "decay-1 is left out: training diverged at step 3." in fewer.notes


@pytest.mark.zoo
def test_reweighing_on_the_mortgage_data_narrows_the_difference_on_average() -> None:
    """Over twelve divisions, to the power 2: by little (0.01), and accuracy does not fall by a point."""
    recipe_file = resources.files("rai_bigmodel.demo").joinpath("plain.yaml").read_bytes()
    plain = files.parse_yaml(recipe_file, Recipe, where="plain.yaml")
    changed = []
    for division in range(12):
        splits = datasets.loan(seed=division)
        weights = reweighing(splits.train.groups(["race"])[0], truth_of(splits.train), power=2.0)
        codes, names = splits.held_out.groups(["race"])
        truth, seen = truth_of(splits.held_out), []
        for given in (None, weights):
            d = decisions_of(of_run(fit.train_recipe(plain, splits=splits, weights=given)), splits.held_out)
            rate = {name: d[codes == i].mean() for i, name in enumerate(names)}
            seen.append((rate["White"] - rate["Black"], (d == truth).mean()))
        changed.append(np.subtract(seen[1], seen[0]))
    gap, accuracy = np.mean(changed, axis=0)

    assert gap < 0
    assert accuracy > -0.01


def test_changes_are_paired_and_add_up(planted) -> None:
    """The change of the pair is the difference of its groups' changes; accuracy is the rows' own average."""
    found = planted[2]
    point = found.frontier["reweighed-1"]
    pair = found.frontier.pair
    high, low = (_of(point, "fairness.selection_rate", group=g).value for g in (pair.high, pair.low))
    groups = [_of(point, "fairness.accuracy", group=g) for g in ("A", "B")]
    whole = _of(point, "performance.accuracy", against="unmitigated")

    assert _of(point, scope="pair").value == pytest.approx(high - low)
    assert whole.value == pytest.approx(sum(m.value * m.n for m in groups) / whole.n)
    assert whole.value == pytest.approx(
        _of(point, "performance.accuracy").value - _of(found.frontier.points[0], "performance.accuracy").value
    )


def test_reweighing_narrows_the_gap_in_most_seeds() -> None:
    """Where a proxy lets the net learn the group: in 5 seeds of 5, held out, and accuracy falls by less than 0.1."""
    for seed in range(5):
        splits = _splits(proxy=True, seed=seed)
        run = _run(splits, seed=seed)
        weights = reweighing(splits.train.groups(["race"])[0], truth_of(splits.train))
        fairer = fit.train(MLP(hidden=()), splits, epochs=6, lr=0.02, seed=seed, weights=weights)
        codes, truth = splits.held_out.groups(["race"])[0], truth_of(splits.held_out)
        gap, right = [], []
        for one in (run, fairer):
            d = decisions_of(of_run(one), splits.held_out)
            gap.append(d[codes == 0].mean() - d[codes == 1].mean())
            right.append((d == truth).mean())

        assert gap[1] < gap[0]
        assert right[1] > right[0] - 0.1


def test_a_run_that_reads_the_attribute_is_mitigated_without_it() -> None:
    """The point as it is says that it reads it and is never chosen; every candidate does without."""
    splits = _splits(proxy=False)
    parts = {}
    for part in ("train", "calibrate", "held_out"):
        t = getattr(splits, part)
        columns = {**t.columns, "race": (t.columns["race"] == "B").astype(float)}
        parts[part] = replace(t, columns=columns, roles={**t.roles, "feature": (*t.roles["feature"], "race")})
    splits = Splits(**parts)
    found = mitigate(_run(splits), splits, attribute="race", accuracy_cost=0.0, rounds=0).frontier

    assert found.points[0].reads_attribute
    assert found.points[1].name == "without-the-attribute"
    assert all("race" in p.dropped and not p.reads_attribute for p in found.points[1:])
    assert f.choose(found.points, 0.2) != "unmitigated"


def test_thresholds_per_group_only_where_a_policy_allows_them(planted) -> None:
    """Measured, marked as reading the attribute, never chosen; without leave one line says that they were refused."""
    splits, run, found = planted
    forbidden = AttributeAware(allowed=False, because="Counsel says no.", owner="Legal")
    aware = AttributeAware(allowed=True, because="A study.", owner="Risk")
    point = mitigate(run, splits, attribute="race", aware=aware, rounds=0).frontier["thresholds-per-group"]

    assert any("were refused: no policy was given" in note for note in found.frontier.notes)
    assert "thresholds-per-group" not in [p.name for p in found.frontier.points]
    assert "the policy forbids them (Legal: Counsel says no.)" in allowed(forbidden, "race")
    assert point.reads_attribute
    assert point.digest == ""
    assert _of(point).value < 0.1


def test_a_private_run_is_refused_with_the_epsilon_that_it_would_spend() -> None:
    """The same noise, once for the run and once for each training, by the PRV accountant."""
    splits = _splits(proxy=True)
    promise = Privacy(noise_multiplier=1.0, delta=1e-5, sample_rate=0.1, expected_batch_size=90)
    run = fit.train(MLP(hidden=()), splits, epochs=1, privacy=promise)
    with pytest.raises(InputError, match=r"at least (\d+) more trainings .* .--role plain") as refused:
        mitigate(run, splits, attribute="race")
    more = int(str(refused.value).split("at least ")[1].split()[0])
    whole = msgspec.structs.replace(run.card.ledger, steps=run.card.ledger.steps * (more + 1))

    assert f"ε = {epsilon_of(whole):g} in all" in str(refused.value)


@pytest.mark.parametrize(("key", "asked"), [("start", From(run="base")), ("distil", Distil(run="base"))])
def test_a_run_that_descends_from_another_is_refused(planted, key, asked) -> None:
    """Its candidates would begin with what the other one learned; the line says which run to mitigate instead."""
    splits, run, _ = planted
    recipe = msgspec.structs.replace(run.card.recipe, **{key: asked})
    descended = replace(run, card=msgspec.structs.replace(run.card, recipe=recipe))
    with pytest.raises(
        InputError, match=r"descends from base \((from|distil):\).* mitigate base, and train this recipe"
    ):
        mitigate(descended, splits, attribute="race")


@pytest.mark.parametrize("task", ["labels", "number"])
def test_what_does_not_decide_between_two_labels_is_refused(task: str) -> None:
    """In one line, before anything is trained; it ended in a traceback."""
    r = np.random.default_rng(3)

    def rows(name: str, seed: int) -> Table:
        given = _table(120, seed, proxy=False, name=name)
        y = r.normal(size=120) if task == "number" else r.choice(np.array(["a", "b", "c"], dtype=object), 120)
        return replace(given, columns={**given.columns, "y": y})

    three = Splits(train=rows("train", 1), calibrate=rows("calibrate", 2), held_out=rows("held_out", 3))
    run = fit.train(MLP(hidden=()), three, epochs=1, name="toy")

    with pytest.raises(
        InputError, match=r"toy: (decides between 3 labels|takes no decision); what is looked"
    ):
        mitigate(run, three, attribute="race", rounds=0)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"attribute": "rase"}, "Did you mean 'race'"),
        (
            {"attribute": "race", "constraint": "parity"},
            "'parity' is not there; there are: demographic_parity",
        ),
        ({"attribute": "race", "accuracy_cost": -1}, "accuracy_cost must lie from 0 to 1, got -1"),
    ],
)
def test_what_is_not_there_is_one_line(planted, how, said) -> None:
    """With the nearest names."""
    splits, run, _ = planted
    with pytest.raises(InputError, match=said):
        mitigate(run, splits, **how)


def test_rows_that_are_not_the_runs_own_are_refused(planted) -> None:
    """No training rows, no calibration rows, other ones: one line each."""
    splits, run, _ = planted
    for changed, said in (
        (Splits(held_out=splits.held_out), "splits.train: has no rows"),
        (replace(splits, calibrate=None), "splits.calibrate: has no rows"),
        (replace(splits, train=_table(900, 77, proxy=True, name="others")), "made from other train rows"),
    ):
        with pytest.raises(InputError, match=said):
            mitigate(run, changed, attribute="race")


# --- from the command line ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A short plain run on the loan data, one on other features, and an audit.yaml."""
    here = tmp_path_factory.mktemp("mitigate")
    run = fit.train(MLP(hidden=(4,)), datasets.loan(), epochs=2, name="loan-short")
    checkpoint.save_run(run, here / "run")
    (here / "audit.yaml").write_text(
        "subject: run/\ndata: loan\nrelatives: {file: model.onnx}\naudits: {fairness: {attributes: [race]}}\n"
    )
    return here


def test_the_result_is_a_run_like_any_other(folder, capsys) -> None:
    """Audited and exported as it lies there; the frontier beside it, as a table on stdout and as a file."""
    out = folder / "fairer"
    code = cli._run(
        [
            "mitigate",
            str(folder / "audit.yaml"),
            "--attribute",
            "race",
            "--accuracy-cost",
            "0.2",
            "--rounds",
            "0",
            "--out",
            str(out),
        ]
    )
    said = capsys.readouterr()
    written = files.parse_json((out / "frontier.json").read_bytes(), f.Frontier, where="frontier.json")
    (folder / "again.yaml").write_text("subject: fairer/\ndata: loan\naudits: {performance: {}}\n")

    assert code == 0
    assert (out / "frontier.json").read_bytes() == files.canonical_json(written)
    assert checkpoint.load_run(out).digest == written[written.chosen].digest
    changed = [
        line for line in said.out.splitlines() if line.startswith(("Black: ", "Hispanic: ", "White: "))
    ]
    assert len(changed) == 2 * 3
    assert len(said.out.splitlines()) == len(written.points) + 3 + len(changed)
    assert sum(line.startswith("▸") for line in said.out.splitlines()) == 1
    assert "were refused" in said.err
    assert api.audit_file(folder / "again.yaml").manifest.primary.digest == written[written.chosen].digest
    api.export(out, folder / "fairer.onnx")


def test_bad_calls_are_one_line_and_two(folder, capsys) -> None:
    """An attribute, a role, a constraint that is not there; a subject that is no run; no rows; the run's own folder."""
    (folder / "rows.csv").write_text("y,race\n1,a\n0,b\n")
    (folder / "file.yaml").write_text(
        "subject: run/\ndata: {file: rows.csv, truth: y, sensitive: [race]}\naudits: {fairness: {}}\n"
    )
    (folder / "table.yaml").write_text(
        "subject: {table: rows.csv, score: y}\ndata: {file: rows.csv, truth: y, sensitive: [race]}\n"
        "audits: {fairness: {}}\n"
    )
    out = ["--out", str(folder / "nothing")]
    for args, told in (
        (["audit.yaml", "--attribute", "rice", *out], "Did you mean 'race'"),
        (["audit.yaml", "--attribute", "race", "--role", "plain", *out], "'plain' is not there"),
        (["audit.yaml", "--attribute", "race", "--role", "file", *out], "only the folder of a run"),
        (["audit.yaml", "--attribute", "race", "--constraint", "x", *out], "demographic_parity"),
        (["table.yaml", "--attribute", "race", *out], "a table of predictions"),
        (["file.yaml", "--attribute", "race", *out], "has no train and calibrate rows"),
        (
            ["audit.yaml", "--attribute", "race", "--out", str(folder / "run")],
            "is the folder of the run itself",
        ),
        (["audit.yaml", *out], "--attribute"),
    ):
        assert cli._run(["mitigate", str(folder / args[0]), *args[1:]]) == 2
        err = capsys.readouterr().err
        assert len(err.strip().splitlines()) == 1
        assert told in err
    assert not (folder / "nothing").exists()


def test_the_frontier_as_json_is_the_file(folder, capsys) -> None:
    """Canonical, and nothing else on stdout."""
    out = folder / "json"
    cli._run(
        [
            "mitigate",
            str(folder / "audit.yaml"),
            "--attribute",
            "race",
            "--rounds",
            "0",
            "--out",
            str(out),
            "--json",
            "--quiet",
        ]
    )
    told = capsys.readouterr()

    assert told.err == ""
    assert told.out.encode() == (out / "frontier.json").read_bytes()
    assert json.loads(told.out)["attribute"] == "race"


# --- from a user's own files ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_files(tmp_path_factory):
    """Three csv files, an audit.yaml that names them, and a run made from them."""
    here = tmp_path_factory.mktemp("own")
    splits = _splits(proxy=True)
    for part in ("train", "calibrate", "held_out"):
        columns = getattr(splits, part).columns
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        (here / f"{part}.csv").write_text("\n".join(lines) + "\n")
    (here / "audit.yaml").write_text(
        "subject: run/\n"
        "data: {file: held_out.csv, train: train.csv, calibrate: calibrate.csv, truth: y, sensitive: [race]}\n"
        "audits: {fairness: {}, performance: {}}\n"
    )
    read = api.read_splits(here / "audit.yaml")
    checkpoint.save_run(fit.train(MLP(hidden=()), read, epochs=6, lr=0.02, name="own"), here / "run")
    return here


def test_mitigation_from_three_files_of_ones_own(own_files, capsys) -> None:
    """The same command; the proxy is found, the fairer model is a run, and the audit sees the training rows too."""
    out = own_files / "fairer"
    args = ["--attribute", "race", "--accuracy-cost", "0.15", "--rounds", "0", "--out", str(out)]
    code = cli._run(["mitigate", str(own_files / "audit.yaml"), *args])
    capsys.readouterr()
    written = files.parse_json((out / "frontier.json").read_bytes(), f.Frontier, where="frontier.json")
    dossier = api.audit_file(own_files / "audit.yaml")
    gap = next(
        m for e in dossier.evidence for m in e.measurements if m.metric == "performance.generalisation_gap"
    )

    assert code == 0
    assert [p.feature for p in written.proxies if p.stands] == ["area"]
    assert {name: d.name for name, d in written.data.items()} == {
        part: f"{part}.csv" for part in ("train", "calibrate", "held_out")
    }
    assert written.chosen != "unmitigated"
    assert checkpoint.load_run(out).digest == written[written.chosen].digest
    assert gap.value is not None


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("{file: held_out.csv, truth: y, sensitive: [race]}", "has no train and calibrate rows"),
        ("{file: held_out.csv, train: train.csv, truth: y, sensitive: [race]}", "has no calibrate rows"),
        (
            "{file: held_out.csv, train: held_out.csv, calibrate: calibrate.csv, truth: y, sensitive: [race]}",
            "must be different files",
        ),
        (
            "{file: held_out.csv, train: calibrate.csv, calibrate: train.csv, truth: y, sensitive: [race]}",
            "was made from other train rows",
        ),
        (
            "{file: held_out.csv, train: gone.csv, calibrate: calibrate.csv, truth: y, sensitive: [race]}",
            "gone.csv: no such file",
        ),
        (
            "{file: held_out.csv, train: short.csv, calibrate: calibrate.csv, truth: y, sensitive: [race]}",
            "short.csv: column for",
        ),
    ],
)
def test_files_that_cannot_be_trained_on_again_are_one_line(own_files, capsys, data, told) -> None:
    """A missing part, one file as two parts, other rows than the run's, a file or a column that is not there."""
    (own_files / "short.csv").write_text("merit,y,race\n1.0,1.0,A\n0.5,0.0,B\n")
    asked = own_files / "other.yaml"
    asked.write_text(f"subject: run/\ndata: {data}\naudits: {{fairness: {{}}}}\n")
    args = ["--attribute", "race", "--out", str(own_files / "nothing")]

    assert cli._run(["mitigate", str(asked), *args]) == 2
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    assert told in err
    assert not (own_files / "nothing").exists()
