"""Are the models that Fairlearn's ExponentiatedGradient visits its own, and its draw measured without drawing?"""

from __future__ import annotations

import warnings
from importlib import util

import msgspec
import numpy as np
import pytest
from test_search import _run, _splits

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.mitigate import exponentiated, mixture, words
from rai_bigmodel.mitigate import frontier as f
from rai_bigmodel.mitigate.exponentiated import play, rounds_of
from rai_bigmodel.mitigate.frontier import Rows
from rai_bigmodel.mitigate.gap import Pair
from rai_bigmodel.mitigate.search import mitigate
from rai_bigmodel.subject import decisions_of, truth_of
from rai_bigmodel.subjects.of_run import of_run

pytest.importorskip("fairlearn", reason="the game is Fairlearn's, of the extra 'fairness'")


class _Stump:
    """A learner whose only knowledge is one column: the cut with the least weighted error."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self.kept: list[np.ndarray] = []

    def __call__(self, labels: np.ndarray, weights: np.ndarray) -> tuple[object, np.ndarray]:
        cuts = np.quantile(self.x, np.linspace(0, 1, 41))
        said = self.x[None] > cuts[:, None]
        decided = said[int(np.argmin((weights * (said != labels)).sum(axis=1)))]
        self.kept.append(decided)
        return decided, decided


def _rows(n: int = 600):
    r = np.random.default_rng(0)
    group = r.choice(np.array(["A", "B"], dtype=object), n)
    x = r.normal(size=n) - (group == "B")
    return x, x + r.normal(0, 0.5, n) > 0, group


def test_the_game_is_fairlearns_own() -> None:
    """Members, shares and rounds are those that an estimator of scikit-learn's kind gets from the same game."""
    from fairlearn.reductions import DemographicParity, ExponentiatedGradient

    x, truth, group = _rows()

    class Twin(_Stump):
        def fit(self, X, y, sample_weight):
            self.cut = self(np.asarray(y) > 0, np.asarray(sample_weight))[1]
            return self

        def predict(self, X):
            return self.cut.astype(int)

    peer = ExponentiatedGradient(Twin(x), DemographicParity(), max_iter=6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about what Fairlearn does
        peer.fit(x[:, None], truth.astype(int), sensitive_features=group)
    ours = play(_Stump(x), truth, group, constraint="demographic_parity", rounds=6)

    assert [m.share for m in ours.members] == pytest.approx(peer.weights_[peer.weights_ > 1e-6].tolist())
    assert (ours.rounds, ours.trainings) == (peer.last_iter_ + 1, peer.n_oracle_calls_)
    assert mixture.chance((m.share, m.run) for m in ours.members) == pytest.approx(
        peer._pmf_predict(x[:, None])[:, 1]
    )
    assert sum(m.share for m in ours.members) == pytest.approx(1)


def test_a_demand_that_fairlearn_cannot_put_is_one_line() -> None:
    """One group has nothing to be alike with."""
    x, truth, _ = _rows(50)
    with pytest.raises(InputError, match="ExponentiatedGradient could not be tried"):
        play(_Stump(x), truth, np.full(49, "A", dtype=object), constraint="demographic_parity", rounds=2)


def test_expectations_are_those_of_many_draws() -> None:
    """Accuracy, rates and the gap of a draw among three, against 4,000 draws of it."""
    r = np.random.default_rng(1)
    truth, codes = r.random(400) < 0.5, (r.random(400) < 0.4).astype(int)
    rows = Rows(codes=codes, names=("A", "B"), truth=truth)
    members = [(0.5, truth ^ (r.random(400) < 0.2)), (0.3, codes == 0), (0.2, np.zeros(400, dtype=bool))]
    chances = mixture.chance(members)
    level = mixture.levels(rows, chances, attribute="g", constraint="equal_opportunity", groups=("A", "B"))
    said = np.array([d for _, d in members])
    drawn = said[r.choice(3, (4000, 400), p=[0.5, 0.3, 0.2]), np.arange(400)]
    rate = [drawn[:, truth & (codes == g)].mean() for g in (0, 1)]

    assert level[0].value == pytest.approx((drawn == truth).mean(), abs=0.003)
    assert level[1].value == pytest.approx(rate[0] - rate[1], abs=0.005)
    assert level[1].interval.low < level[1].value < level[1].interval.high
    assert (level[1].labels["high"], level[1].labels["low"]) == ("A", "B")


def test_a_draw_that_always_says_the_same_is_that_model() -> None:
    """One member with all the share: its accuracy and gap are the decisions' own, its changes add up."""
    r = np.random.default_rng(2)
    truth, codes, before, after = r.random((4, 500)) < 0.5
    rows = Rows(codes=codes.astype(int), names=("A", "B"), truth=truth)
    about = {"attribute": "g", "constraint": "demographic_parity"}
    chances = mixture.chance([(1.0, after)])
    level = mixture.levels(rows, chances, groups=("A", "B"), **about)
    changed = mixture.changes(
        rows, before, chances, pair=Pair("selection_rate", "A", "B"), against="unmitigated", **about
    )
    gap = after[~codes].mean() - after[codes].mean()

    assert level[0].value == (after == truth).mean()
    assert level[1].value == pytest.approx(abs(gap))
    assert changed[0].value == pytest.approx((after == truth).mean() - (before == truth).mean())
    assert changed[1].value == pytest.approx(gap - (before[~codes].mean() - before[codes].mean()))


@pytest.fixture(scope="module")
def found():
    """What is chosen does not matter here, so the first member is, to see it come back as a run."""
    splits = _splits(proxy=True)
    run, seen = _run(splits), []
    patch = pytest.MonkeyPatch()
    patch.setattr(f, "choose", lambda *_: "exponentiated-1")
    made = mitigate(
        run,
        splits,
        attribute="race",
        accuracy_cost=0.15,
        rounds=4,
        on_candidate=lambda *at: seen.append(at),
    )
    patch.undo()
    return splits, run, made, seen


def test_each_model_it_draws_among_is_a_run_on_the_frontier(found) -> None:
    """With a digest, measured as every other; their shares in words; one narrows the gap beyond doubt."""
    members = [p for p in found[2].frontier.points if p.method == "exponentiated-gradient"]
    narrower = [
        m.interval.high
        for p in members
        for m in p.measurements
        if m.labels.get("scope") == "pair" and m.labels.get("against")
    ]

    assert [p.name for p in members] == [f"exponentiated-{i + 1}" for i in range(len(members))]
    assert all(p.digest.startswith("sha256:") and p.may_be_chosen for p in members)
    assert min(narrower) < 0
    assert any(at[0] == "exponentiated gradient" and at[1] > 0 for at in found[3])


def test_a_chosen_member_is_a_run_that_says_how_it_came_to_be(found) -> None:
    """It decides as it was measured; its card has its name and the game's, and what else was turned for it."""
    splits, _, made, _ = found
    point = made.frontier["exponentiated-1"]
    right = decisions_of(of_run(made.run), splits.calibrate) == truth_of(splits.calibrate)

    assert made.run.digest == point.digest
    assert right.mean() == pytest.approx(point.accuracy)
    assert made.run.name == "toy exponentiated-1"
    assert "ExponentiatedGradient" in made.run.card.notes[-1]
    assert any("ExponentiatedGradient" in note for note in made.frontier.notes)


def test_the_draw_is_measured_and_never_chosen(found) -> None:
    """Even where it is the narrowest and costs nothing; the reason stands beside it."""
    frontier = found[2].frontier
    mixed = frontier["exponentiated-mixture"]
    perfect = msgspec.structs.replace(mixed, gap=0.0, accuracy=1.0)

    assert mixed.randomised
    assert not mixed.digest
    assert "the same person could get two answers" in mixed.words
    assert f.choose([frontier.points[0], perfect], 1.0) == "unmitigated"
    assert any("(draws lots)" in line and not line.startswith(("·", "▸")) for line in words.table(frontier))


def test_the_draw_is_the_expectation_over_the_members_runs(found) -> None:
    """Its accuracy lies between the least and the most accurate of its members, on either rows."""
    frontier = found[2].frontier
    members = [p for p in frontier.points if p.method == "exponentiated-gradient"]
    mixed = frontier["exponentiated-mixture"]

    def held(p):
        return next(m.value for m in p.measurements if m.metric == "performance.accuracy")

    assert (
        min(p.accuracy for p in members) - 1e-9 <= mixed.accuracy <= max(p.accuracy for p in members) + 1e-9
    )
    assert min(map(held, members)) - 1e-9 <= held(mixed) <= max(map(held, members)) + 1e-9


def test_without_fairlearn_it_is_left_out_and_said_or_asked_for_and_refused(monkeypatch) -> None:
    """By default a note; a number of rounds names the extra."""
    there = util.find_spec
    monkeypatch.setattr(
        exponentiated.util, "find_spec", lambda name: None if name == "fairlearn" else there(name)
    )
    splits = _splits(proxy=False)
    run = _run(splits)
    with pytest.raises(MissingExtra, match="fairness"):
        mitigate(run, splits, attribute="race", rounds=3)
    notes = mitigate(run, splits, attribute="race").frontier.notes

    assert exponentiated.LEFT_OUT in notes


def test_rounds_are_as_asked_or_eight_where_fairlearn_is_there() -> None:
    """None is the default, 0 leaves it out, fewer is no number of rounds."""
    assert (rounds_of(None), rounds_of(0), rounds_of(3)) == (8, 0, 3)
    with pytest.raises(InputError, match="rounds must be 0 or more, got -1"):
        rounds_of(-1)
