"""Membership: rates and their refusals, exposure and its law, attacks against what is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats import attacks, membership, quantiles

# --- rates ---------------------------------------------------------------------------------------


def test_the_area_is_that_of_the_ranking_and_has_an_interval() -> None:
    """Two normal samples a deviation apart: Φ(1/√2)."""
    rng = np.random.default_rng(0)
    found = membership.auc(rng.normal(size=2000) + 1, rng.normal(size=2000))

    assert found.interval.low <= special.ndtr(1 / np.sqrt(2)) <= found.interval.high
    assert found.interval.low <= found.value <= found.interval.high


def test_a_rate_at_few_false_alarms_is_counted_by_hand() -> None:
    """3,000 non-members 0 … 2999 at 0.1 %: three may lie above, so members must beat 2996."""
    non_members = np.arange(3000.0)
    found = membership.tpr_at(np.array([2996.0, 2996.5, 5000.0, 0.0]), non_members, 0.001)

    assert found.value == 0.5
    low, high = (stats.binomtest(2, 4).proportion_ci(0.95, "exact")[i] for i in (0, 1))
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))


def test_too_few_non_members_are_refused_with_the_number_that_would_do() -> None:
    """2,999 for 0.1 %, 299 for 1 %."""
    few = membership.tpr_at(np.ones(10), np.zeros(2999), 0.001)

    assert few.value is None
    assert "3,000 would do" in few.why
    assert membership.tpr_at(np.ones(10), np.zeros(3000), 0.001).value == 1.0
    assert membership.tpr_at(np.ones(10), np.zeros(299), 0.01).value is None
    assert membership.tpr_at(np.ones(10), np.zeros(300), 0.01).value == 1.0


def test_nobody_on_one_side_gives_null_with_why() -> None:
    """No members: neither area nor rate."""
    assert membership.auc(np.array([]), np.ones(5)).why
    assert membership.tpr_at(np.array([]), np.ones(300), 0.01).why


def test_rows_on_both_sides_are_refused() -> None:
    """With how many."""
    membership.no_overlap(np.array(["a", "b"]), np.array(["c"]))
    with pytest.raises(InputError, match="2 rows"):
        membership.no_overlap(np.array(["a", "b", "c"]), np.array(["b", "c", "d"]))


# --- exposure ------------------------------------------------------------------------------------


def test_exposure_is_exact_at_both_ends() -> None:
    """The likeliest of 1,024 has 10 bits, the least likely none; equals are counted against."""
    others = np.arange(1.0, 1024.0)

    assert membership.exposure(0.0, others) == 10.0
    assert membership.exposure(2000.0, others) == 0.0
    assert membership.exposure(1.0, others) == 9.0


def test_a_secret_that_was_never_seen_has_an_exponential_exposure() -> None:
    """Mean 1/ln 2, by rank and by fit, 2,000 and 300 draws."""
    rng = np.random.default_rng(1)
    ranked = [membership.exposure(x[0], x[1:]) for x in rng.normal(size=(2000, 400))]
    fitted = [membership.exposure_fitted(x[0], x[1:]) for x in rng.normal(size=(300, 400))]

    assert np.mean(ranked) == pytest.approx(1 / math.log(2), abs=0.1)
    assert stats.kstest(ranked, "expon", args=(0, 1 / math.log(2))).pvalue > 0.01
    assert np.mean(fitted) == pytest.approx(1 / math.log(2), abs=0.25)


@pytest.mark.parametrize("shape", [0.0, 2.0, -3.0])
@pytest.mark.parametrize("z", [-6.0, -2.0, -0.5, 0.0, 1.5])
def test_the_skew_normal_is_that_of_scipy(z: float, shape: float) -> None:
    """Also far out below, where SciPy integrates its density in logarithms for us."""
    if z > -3 or shape <= 0:
        assert membership.log_skew_normal(z, shape) == pytest.approx(
            stats.skewnorm.logcdf(z, shape), rel=1e-6
        )
    x = np.linspace(z - 15, z, 400_001)
    naive = np.log(np.trapezoid(np.exp(stats.norm.logpdf(x) + stats.norm.logcdf(shape * x) + math.log(2)), x))
    assert membership.log_skew_normal(z, shape) == pytest.approx(naive, rel=1e-5)


def test_a_fitted_exposure_follows_the_tail_of_a_skewed_loss() -> None:
    """20,000 skew-normal losses, a secret at their 2⁻²⁰ quantile: 20 bits, give or take one."""
    losses = stats.skewnorm.rvs(3.0, size=20_000, random_state=np.random.default_rng(2))
    at = stats.skewnorm.ppf(2.0**-20, 3.0)

    assert membership.exposure_fitted(float(at), losses) == pytest.approx(20, abs=2)


# --- attacks -------------------------------------------------------------------------------------


def test_a_confident_right_answer_keeps_its_digits() -> None:
    """The logit from all chances is that of p where p is far from 1, and finite where it is not."""
    chances = special.softmax(np.random.default_rng(3).normal(size=(50, 4)) * 3, axis=1)
    label = np.arange(50) % 4
    found = attacks.right_label_confidence(chances, label)

    assert found == pytest.approx(attacks.logit_confidence(chances[np.arange(50), label]))
    sure = attacks.right_label_confidence(np.array([[1.0, 1e-9], [1.0, 0.0]]), np.array([0, 0]))
    assert sure == pytest.approx([math.log(1e9), math.log(1e12)])


def shadows(models: int, rows: int, rng: np.random.Generator, gap: float = 1.0):
    """Confidences that are `gap` higher for members, around a place of each row's own."""
    place = rng.normal(size=rows) * 3
    inside = rng.permuted(np.arange(models)[:, None] % 2 == np.zeros(rows), axis=0)
    target_in = rng.random(rows) < 0.5
    confidence = place + gap * inside + rng.normal(size=(models, rows)) * 0.5
    return place + gap * target_in + rng.normal(size=rows) * 0.5, target_in, confidence, inside


def test_lira_knows_each_rows_own_place() -> None:
    """A gap of two deviations under places six times as wide: the loss alone tells little, LiRA all there is."""
    target, member, confidence, inside = shadows(64, 1500, np.random.default_rng(4))
    loss = membership.auc(target[member], target[~member]).value
    online = attacks.lira(target, confidence, inside)
    offline = attacks.lira(target, np.where(inside, confidence - 1.0, confidence), np.zeros_like(inside))

    assert loss < 0.65
    for scores in (online, offline):
        assert membership.auc(scores[member], scores[~member]).value == pytest.approx(
            special.ndtr(2 / np.sqrt(2)), abs=0.03
        )


def test_lira_is_the_ratio_of_two_normal_densities() -> None:
    """Term by term, with a spread for each row and with one for all."""
    for models in (64, 10):
        target, _, confidence, inside = shadows(models, 7, np.random.default_rng(5))
        found = attacks.lira(target, confidence, inside)
        naive = []
        pooled = [
            np.sqrt(
                sum(
                    ((confidence[side[:, j], j] - confidence[side[:, j], j].mean()) ** 2).sum()
                    for j in range(7)
                )
                / (side.sum() - 7)
            )
            for side in (inside, ~inside)
        ]
        for j in range(7):
            a, b = confidence[inside[:, j], j], confidence[~inside[:, j], j]
            spread = (a.std(ddof=1), b.std(ddof=1)) if models >= 64 else pooled
            naive.append(
                stats.norm.logpdf(target[j], a.mean(), spread[0])
                - stats.norm.logpdf(target[j], b.mean(), spread[1])
            )

        assert found == pytest.approx(naive)


def test_rmia_is_its_formula() -> None:
    """The share of z with (p_θ(x)/p(x)) / (p_θ(z)/p(z)) > γ, pair by pair."""
    rng = np.random.default_rng(6)
    target, references = rng.random(20), rng.random((2, 20))
    z_target, z_references = rng.random(30), rng.random((2, 30))
    found = attacks.rmia(target, references, z_target, z_references, gamma=1.2)
    p_x, p_z = ((1.3 * r.mean(axis=0) + 0.7) / 2 for r in (references, z_references))
    beaten = z_target / p_z
    naive = [np.mean([(t / a) / z > 1.2 for z in beaten]) for t, a in zip(target, p_x, strict=True)]

    assert found == pytest.approx(naive)


def test_rmia_sees_a_row_that_is_likelier_than_its_kind() -> None:
    """Members' chances are raised; easy and hard rows lie far apart."""
    rng = np.random.default_rng(7)

    def chance(place, gap=0.0):
        return special.expit(place + gap + rng.normal(size=place.shape) * 0.5)

    place, z = rng.normal(size=1000) * 2, rng.normal(size=1000) * 2
    member = rng.random(1000) < 0.5
    target = chance(place, 1.0 * member)
    scores = attacks.rmia(target, chance(np.tile(place, (2, 1))), chance(z), chance(np.tile(z, (2, 1))))

    aware, plain = (membership.auc(s[member], s[~member]).value for s in (scores, target))
    assert aware > 0.7
    assert aware > plain + 0.08


@pytest.mark.parametrize(("n", "d", "tau"), [(60, 1, 0.5), (300, 3, 0.9), (1000, 5, 0.99), (200, 2, 0.05)])
def test_a_quantile_is_fitted_as_scikit_learns(n: int, d: int, tau: float) -> None:
    """The least pinball loss of the linear program, to 1e-9."""
    from sklearn.linear_model import QuantileRegressor

    rng = np.random.default_rng(n)
    X = rng.normal(size=(n, d)) * 10.0 ** np.arange(d) + 5
    y = X[:, 0] + rng.exponential(size=n) * (1 + abs(X[:, 0]))
    ours = quantiles.pinball(y, quantiles.predict(quantiles.fit(X, y, tau), X), tau)
    theirs = quantiles.pinball(y, QuantileRegressor(quantile=tau, alpha=0).fit(X, y).predict(X), tau)

    assert ours <= theirs + 1e-9 * abs(theirs)


def test_a_quantile_of_nothing_but_a_constant_is_the_samples() -> None:
    """A constant column gets no slope; 101 numbers have their median in the middle."""
    found = quantiles.fit(np.ones((101, 1)), np.arange(101.0), 0.5)

    assert found == pytest.approx([50.0, 0.0], abs=1e-6)


def test_the_quantile_attack_sees_what_loss_alone_does_not() -> None:
    """Scores depend on a feature; members' stand two deviations higher. At 1 % false alarms it tells far more."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(2000, 1)) * 3
    score = 2 * x[:, 0] + rng.normal(size=2000) + 2.0 * (np.arange(2000) < 800)
    members, others = (score[:800], x[:800]), (score[800:], x[800:])
    above = attacks.above_quantile(members, others, rng, fpr=0.01)
    sharp, blunt = (membership.tpr_at(a, b, 0.01).value for a, b in (above, (members[0], others[0])))

    assert sharp > 0.25
    assert sharp > 5 * blunt
    assert (above[1] > 0).mean() == pytest.approx(0.01, abs=0.01)


def test_the_quantile_attack_tells_nothing_where_nothing_is_to_be_told() -> None:
    """Areas of 16 attacks on members like all others lie around one half."""
    rng = np.random.default_rng(9)
    areas = []
    for _ in range(16):
        x, score = rng.normal(size=(600, 3)), rng.normal(size=600)
        members, others = (score[:100], x[:100]), (score[100:], x[100:])
        areas.append(membership.auc(*attacks.above_quantile(members, others, rng, fpr=0.1)).value)

    assert np.mean(areas) == pytest.approx(0.5, abs=2 * np.std(areas) / np.sqrt(16))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda r: membership.auc(np.array([np.nan]), np.ones(2)), "not finite"),
        (lambda r: membership.tpr_at(np.ones(2), np.ones(2), 0.0), "false positive rate"),
        (lambda r: membership.exposure(np.inf, np.ones(2)), "finite"),
        (lambda r: membership.exposure_fitted(0.0, np.ones(99)), "100"),
        (lambda r: membership.exposure_fitted(0.0, np.ones(200)), "do not vary"),
        (lambda r: attacks.logit_confidence(np.array([1.2])), "from 0 to 1"),
        (lambda r: attacks.lira(np.ones(2), np.ones((3, 2)), np.ones((3, 2), dtype=bool)), "outside"),
        (lambda r: attacks.lira(np.ones(2), np.ones((3, 4)), np.ones((3, 4), dtype=bool)), "one confidence"),
        (lambda r: attacks.rmia(np.ones(2), np.ones((1, 3)), np.ones(2), np.ones((1, 2))), "RMIA"),
        (lambda r: attacks.rmia(np.ones(2) * 2, np.ones((1, 2)), np.ones(2), np.ones((1, 2))), "0 to 1"),
        (lambda r: quantiles.fit(np.ones((2, 3)), np.ones(2), 0.5), "more rows"),
        (lambda r: quantiles.fit(np.ones((9, 1)), np.ones(9), 1.0), "tau"),
    ],
)
def test_what_cannot_be_attacked_is_refused_in_one_line(call, named: str) -> None:
    """By name."""
    with pytest.raises(InputError, match=named) as error:
        call(np.random.default_rng(0))

    assert "\n" not in str(error.value)
