"""Debiased calibration error, its interval and the test: against naive twins, paper answers and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from rai_bigmodel.evidence import LADDER
from rai_bigmodel.stats import calibration as c
from rai_bigmodel.stats.scores import ScoreCounts


def _perfect(n: int, rng: np.random.Generator):
    score = rng.uniform(size=n)
    return score, rng.random(n) < score


def _overconfident(n: int, rng: np.random.Generator, *, by: float = 1.5):
    chance = rng.uniform(size=n)
    return special.expit(by * special.logit(chance)), rng.random(n) < chance


def test_the_debiased_error_is_the_papers_formula_row_by_row() -> None:
    """Kumar, Liang and Ma 2019, written out with loops over equal cuts of sorted rows."""
    s, y = _overconfident(300, np.random.default_rng(0), by=3)
    order = np.argsort(s)
    total = 0.0
    for part in np.array_split(order, 15):
        share = y[part].mean()
        total += len(part) / 300 * ((s[part].mean() - share) ** 2 - share * (1 - share) / (len(part) - 1))

    assert c.ece_debiased(s, y).value == pytest.approx(np.sqrt(total), abs=1e-12)


def test_a_known_error_is_found() -> None:
    """Scores of 0.6 for what happens half the time are off by 0.1."""
    s, y = np.tile([0.6, 0.6], 5000), np.tile([False, True], 5000)

    assert c.ece_debiased(s, y).value == pytest.approx(0.1, abs=1e-3)
    assert c.ece_plug_in(c.equal_mass(s, y)) == pytest.approx(0.1, abs=1e-12)


def test_equal_scores_are_never_cut_apart() -> None:
    """Bins of rounded scores share no score, and hold every row."""
    s, y = _perfect(1000, np.random.default_rng(1))
    s = np.round(s, 1)
    bins = c.equal_mass(s, y)

    assert bins.n.sum() == 1000
    assert len(bins.n) <= 11
    assert bins.positives.sum() == y.sum()


def test_bins_of_a_histogram_are_nearly_those_of_the_rows() -> None:
    """The error differs by less than a histogram's bin is wide."""
    s, y = _overconfident(5000, np.random.default_rng(2), by=2)
    counts = ScoreCounts.of(np.zeros(5000, int), y, s, groups=1)
    by_counts, by_rows = c.of_bins(c.equal_mass_of_counts(counts)), c.ece_debiased(s, y)

    assert len(by_counts.bins.n) == 15
    assert by_counts.value == pytest.approx(by_rows.value, abs=2e-3)


@pytest.mark.parametrize(
    ("x", "df", "lam"), [(3.0, 5, 2.0), (30.0, 14.2, 25.0), (5e4, 15, 4.9e4), (4100.0, 3, 3900.0)]
)
def test_the_noncentral_distribution_is_scipys(x, df, lam) -> None:
    """Also far out, where Sankaran's approximation takes over."""
    found = c._at_most(*(np.array([float(v), float(v)]) for v in (x, df, lam)))

    assert found == pytest.approx(stats.ncx2.cdf(x, df, lam), abs=2e-4)


def test_the_ladder_is_whole_and_holds_the_value() -> None:
    """Thirteen nested rungs (the record refuses others), low and high around the estimate."""
    s, y = _overconfident(2000, np.random.default_rng(3), by=2)
    found = c.ece_debiased(s, y)

    assert [rung[0] for rung in found.interval.ladder] == list(LADDER)
    assert found.interval.low <= found.value <= found.interval.high
    assert found.interval.low > 0


def test_too_few_rows_give_no_number_and_say_how_many_it_takes() -> None:
    """99 rows cannot fill five bins of twenty."""
    s, y = _perfect(99, np.random.default_rng(4))
    found = c.ece_debiased(s, y)

    assert found.value is None
    assert "99 rows are too few: calibration needs 100" in found.why


def test_the_plug_in_error_of_a_perfect_model_is_far_from_zero_and_the_debiased_one_is_not() -> None:
    """Uniform scores in 15 bins: .087, .038, .017 plain at 200, 1,000, 5,000 rows; debiased, squares average zero."""
    rng = np.random.default_rng(5)
    for n, plain in ((200, 0.087), (1000, 0.038), (5000, 0.017)):
        drawn = [c.equal_mass(*_perfect(n, rng)) for _ in range(150)]
        squared = [float(b.n / n @ (b.gap**2 - b.rate * (1 - b.rate) / (b.n - 1))) for b in drawn]

        assert np.mean([c.ece_plug_in(b) for b in drawn]) == pytest.approx(plain, rel=0.1)
        assert abs(np.mean(squared)) < 3.5 * np.std(squared) / np.sqrt(150)


def _between_bins(s, chance, bins) -> float:
    """What the interval is about: the error between bins, given the scores."""
    order = np.argsort(s, kind="stable")
    starts = np.r_[0, np.cumsum(bins.n)[:-1]]
    gap = np.add.reduceat(s[order] - chance[order], starts) / bins.n
    return float(np.sqrt(bins.n / bins.n.sum() @ gap**2))


def _coverage(spoil, n: int, runs: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """How often the 95 % interval covers, and how often a one-sided 95 % bound is wrong, below and above."""
    covered, below, above = 0, 0, 0
    for _ in range(runs):
        chance = rng.uniform(size=n)
        s = spoil(chance)
        found = c.ece_debiased(s, rng.random(n) < chance)
        truth, rung = _between_bins(s, chance, found.bins), found.interval.rung(0.05)
        covered += rung[1] <= truth + 1e-9 and truth <= rung[2]
        below += truth + 1e-9 < rung[3]
        above += truth > rung[4]
    return covered / runs, below / runs, above / runs


SPOILS = {
    "perfect": lambda p: p,
    "logits times 1.5": lambda p: special.expit(1.5 * special.logit(p)),
    "logits times 3": lambda p: special.expit(3 * special.logit(p)),
    "shifted by .05": lambda p: np.clip(p + 0.05, 0, 1),
    "off in the middle": lambda p: p + 0.15 * ((p > 0.4) & (p < 0.6)),
}


@pytest.mark.parametrize("how", SPOILS)
def test_the_interval_covers_the_error_between_bins(how: str) -> None:
    """300 rows, 100 draws each: at least 90 % (nominal 95, its Monte-Carlo error 2.2)."""
    covered, below, above = _coverage(SPOILS[how], 300, 100, np.random.default_rng(6))

    assert covered >= 0.9
    assert max(below, above) <= 0.12


@pytest.mark.zoo
@pytest.mark.parametrize("how", SPOILS)
@pytest.mark.parametrize("n", [200, 1000, 5000])
def test_the_interval_covers_the_error_between_bins_at_any_size(how: str, n: int) -> None:
    """1,000 draws: coverage at least .93, one-sided errors at most .075."""
    covered, below, above = _coverage(SPOILS[how], n, 1000, np.random.default_rng(n))

    assert covered >= 0.93
    assert max(below, above) <= 0.075


def test_drawing_rows_and_drawing_runs_of_rows_test_alike() -> None:
    """Many rows are drawn as binomials of runs: the p-value is that of rows drawn one by one."""
    s, y = _overconfident(6000, np.random.default_rng(7), by=1.08)
    rng = np.random.default_rng(8)
    order = np.argsort(s)
    cuts = np.array_split(order, 15)

    def far(outcome) -> float:
        return sum((outcome[part] - s[part]).sum() ** 2 / (s[part] * (1 - s[part])).sum() for part in cuts)

    seen = far(y)
    naive = np.mean([far(rng.random(6000) < s) >= seen for _ in range(1500)])
    found = c.consistency_p(s, y, np.random.default_rng(9))

    assert found == pytest.approx(naive, abs=4 * np.sqrt(naive * (1 - naive) / 1500) + 0.005)


@pytest.mark.parametrize("n", [200, 1000])
def test_the_test_of_a_perfect_model_rejects_one_time_in_twenty(n: int) -> None:
    """250 models at .05: from .02 to .09."""
    rng = np.random.default_rng(n)
    rejected = np.mean([c.consistency_p(*_perfect(n, rng), rng, draws=199) <= 0.05 for _ in range(250)])

    assert 0.02 <= rejected <= 0.09


@pytest.mark.parametrize(("n", "least"), [(200, 0.35), (1000, 0.9)])
def test_overconfidence_is_seen(n: int, least: float) -> None:
    """Each score .05 further from one half than it should be, by 100 models."""
    rng = np.random.default_rng(n + 1)

    def spoiled():
        chance = rng.uniform(0.05, 0.95, size=n)
        return chance + 0.05 * np.sign(chance - 0.5), rng.random(n) < chance

    power = np.mean([c.consistency_p(*spoiled(), rng, draws=199) <= 0.05 for _ in range(100)])
    assert power >= least


def test_outcomes_that_scores_rule_out_are_as_far_as_can_be() -> None:
    """Scores of 0 and 1 that are wrong: the smallest p there is."""
    s = np.repeat([0.0, 1.0], 100)
    assert c.consistency_p(s, s < 0.5, np.random.default_rng(0), draws=99) == 0.01
    assert c.consistency_p(s, s > 0.5, np.random.default_rng(0), draws=99) == 1.0
