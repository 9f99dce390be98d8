"""Does a spread over seeds say how far numbers lie apart, with intervals that hold, and of the recipe it claims?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")

from rai_bigmodel import api, cli, datasets, dossier
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import LADDER, Interval, Measurement
from rai_bigmodel.stability import spreads
from rai_bigmodel.stats import intervals
from rai_bigmodel.training import checkpoint, seeds

RECIPE = "data: loan\nnet: {mlp: {hidden: [4]}}\ntrain: {epochs: 1}\nname: small\n"


def measured(
    value: float | None, *, metric: str = "performance.accuracy", why: str = "", **more
) -> Measurement:
    return Measurement(metric=metric, kind=more.pop("kind", "exact"), value=value, why=why, **more)


def test_the_lowest_and_the_highest_name_their_seeds() -> None:
    """A pair for each metric and its labels; groups that are the same under every seed stay, others go."""
    found = {
        "7": [measured(0.2, labels={"attribute": "race", "high": "A", "low": "B"}, n=90)],
        "8": [measured(0.5, labels={"attribute": "race", "high": "A", "low": "C"}, n=80, excluded=0.1)],
        "9": [measured(0.3, labels={"attribute": "race", "high": "A", "low": "B"}, n=85)],
    }
    lowest, highest = spreads(found)

    assert (lowest.value, lowest.why) == (0.2, "seed 7 of 7, 8, 9")
    assert (highest.value, highest.why) == (0.5, "seed 8 of 7, 8, 9")
    assert lowest.labels == {"attribute": "race", "high": "A", "spread": "lowest"}
    assert (highest.n, highest.excluded) == (80, 0.1)


def test_a_metric_that_some_seed_lacks_has_no_spread() -> None:
    """The lowest of the others would be no answer for all of them."""
    gone = measured(None, why="fewer than two groups have 30 rows")
    lacking = [spreads({"7": [measured(0.2)], "8": other})[0] for other in ([gone], [])]

    assert [m.value for m in lacking] == [None, None]
    assert lacking[0].why == "no value under seed 8: fewer than two groups have 30 rows"
    assert "seed 8" in lacking[1].why


def test_p_values_and_times_are_left_out() -> None:
    """The smallest of several p-values is no p-value."""
    found = [measured(0.2), measured(0.01, kind="p_value"), measured(3.0, kind="clock")]

    assert {m.kind for m in spreads({"7": found, "8": found})} == {"exact"}


def share(hits: int, rows: int) -> Measurement:
    return measured(hits / rows, kind="estimate", n=rows, interval=intervals.proportion(hits, rows))


def test_the_intervals_are_those_of_the_members_at_a_share_of_alpha() -> None:
    """The naive twin: of two seeds, α = .05 is read off at .025; the keep bounds that all must meet at α itself."""
    one, two = share(40, 100), share(60, 100)
    lowest, highest = spreads({"7": [one], "8": [two]})
    a, b = one.interval.rung(0.025), two.interval.rung(0.025)

    assert lowest.interval.rung(0.05) == (0.05, a[1], a[2], one.interval.rung(0.05)[3], a[4])
    assert highest.interval.rung(0.05) == (0.05, b[1], b[2], b[3], two.interval.rung(0.05)[4])
    assert (highest.interval.low, highest.interval.high) == (b[1], b[2])
    assert [r[0] for r in lowest.interval.ladder] == list(LADDER[:-1])


def test_the_intervals_hold_in_simulation() -> None:
    """Over 400 draws of four equally good models, so that the highest is a winner by luck, misses stay below 5 %."""
    rng = np.random.default_rng(1)
    truth, rows, missed = 0.8, 200, 0
    for _ in range(400):
        found = {str(s): [share(int(x), rows)] for s, x in enumerate(rng.binomial(rows, truth, 4))}
        missed += any(not m.interval.low <= truth <= m.interval.high for m in spreads(found))

    assert missed / 400 < 0.05


def test_a_bound_stays_a_bound_and_a_missing_interval_is_none() -> None:
    """What is unbounded for one member is unbounded for the whole."""
    ladder = tuple((a, a, None, a, None) for a in LADDER)
    bound = measured(
        1.0, kind="bound", interval=Interval(low=0.05, high=None, level=0.95, method="x", ladder=ladder)
    )
    bare = measured(0.4, kind="estimate")
    lowest, _ = spreads({"7": [bound], "8": [bound]})

    assert lowest.interval.high is None
    assert spreads({"7": [share(40, 100)], "8": [bare]})[0].interval is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stability")
    (folder / "recipe.yaml").write_text(RECIPE)
    assert (
        cli._run(
            ["train", str(folder / "recipe.yaml"), "--seeds", "3", "--out", str(folder / "seeds"), "--quiet"]
        )
        == 0
    )
    return folder


def test_a_recipe_under_three_seeds_is_audited_as_a_relative(trained: Path) -> None:
    """One line in audit.yaml; the digest is of recipe, rows and seeds; a rule of role recipe reads all three."""
    (trained / "audit.yaml").write_text(
        "subject: seeds/seed-7/\ndata: loan\nrelatives: {recipe: seeds/}\n"
        "audits: {performance: {}, fairness: {attributes: [sex]}, data: {}}\n"
    )
    found = api.audit_file(trained / "audit.yaml")
    dossier.save(found, trained / "out")
    of_recipe = {e.audit: e for e in found.evidence if e.subject.role == "recipe"}
    pairs = {
        m.labels["spread"]: m
        for m in of_recipe["performance"].measurements
        if m.metric == "performance.accuracy"
    }
    runs = [checkpoint.load_run(trained / "seeds" / f"seed-{s}") for s in (7, 8, 9)]
    each = [
        next(
            m.value
            for e in api.audit(run, datasets.loan(), audits=["performance"]).evidence
            for m in e.measurements
            if m.metric == "performance.accuracy"
        )
        for run in runs
    ]
    said = json.loads((trained / "seeds" / "seeds.json").read_text())

    assert set(of_recipe) == {"performance", "fairness"}
    assert (pairs["lowest"].value, pairs["highest"].value) == (min(each), max(each))
    assert of_recipe["fairness"].subject.digest == said["digest"]
    assert said["runs"] == {str(s): run.digest for s, run in zip((7, 8, 9), runs, strict=True)}
    assert all(m.labels.get("spread") for e in of_recipe.values() for m in e.measurements)


def test_seeds_of_another_recipe_or_a_changed_run_are_refused(trained: Path, tmp_path: Path) -> None:
    """They would tell nothing of the subject; nor is a recipe itself what ships."""
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("[4]", "[5]"))
    other = api.train_recipe(tmp_path / "recipe.yaml", out=tmp_path / "run")
    loan = datasets.loan()
    with pytest.raises(InputError, match=r"another recipe than small \(net\)"):
        api.audit(other, loan, audits=["performance"], relatives={"recipe": trained / "seeds"})
    with pytest.raises(InputError, match="not the one model that may ship"):
        api.audit(trained / "seeds", loan, audits=["performance"])
    checkpoint.save_run(other, tmp_path / "seeds" / "seed-7")
    record = seeds.Seeds(name="x", digest="sha256:1", runs={"7": other.digest})
    (tmp_path / "seeds" / "seeds.json").write_bytes(json.dumps(record.__class__.__name__).encode())
    with pytest.raises(InputError, match=r"seeds\.json"):
        seeds.load(tmp_path / "seeds")


def test_resume_keeps_the_runs_that_are_there(trained: Path, capsys) -> None:
    """And nothing half-written looks finished: seeds.json comes last."""
    card = trained / "seeds" / "seed-8" / "card.json"
    before = card.stat().st_mtime_ns
    (trained / "seeds" / "seeds.json").unlink()
    command = ["train", str(trained / "recipe.yaml"), "--seeds", "3", "--out", str(trained / "seeds")]
    assert cli._run([*command, "--resume"]) == 0

    assert card.stat().st_mtime_ns == before
    assert seeds.load(trained / "seeds")[1].keys() == {"7", "8", "9"}


def test_a_private_recipe_is_refused_with_the_epsilon_of_all_its_trainings(tmp_path: Path, capsys) -> None:
    """One line, exit 2, and nothing is trained."""
    (tmp_path / "recipe.yaml").write_text(
        RECIPE + "privacy: {epsilon: 4, delta: 1e-5, sample_rate: 0.1, expected_batch_size: 100}\n"
    )
    out = tmp_path / "seeds"
    assert cli._run(["train", str(tmp_path / "recipe.yaml"), "--seeds", "5", "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip()

    assert "5 trainings on the same rows spend ε = " in said
    assert float(said.split("ε = ")[1].split()[0]) > 6
    assert "\n" not in said
    assert not list(out.glob("seed-*"))


@pytest.mark.parametrize("count", ["1", "0", "1000"])
def test_a_number_of_seeds_that_cannot_be_is_refused(trained: Path, count: str, capsys) -> None:
    """One seed has no spread."""
    command = ["train", str(trained / "recipe.yaml"), "--seeds", count, "--out", str(trained / "none")]
    assert cli._run(command) == 2
    assert "seeds must lie between 2 and 100" in capsys.readouterr().err
