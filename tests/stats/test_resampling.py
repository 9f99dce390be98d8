"""Multinomial resampling of cells against resampling of rows, and F1 against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from rai_bigmodel.stats import resampling


def _rows(n: int, rng: np.random.Generator, labels: int = 3):
    truth = rng.integers(0, labels, n)
    return truth, np.where(rng.random(n) < 0.7, truth, rng.integers(0, labels, n))


@pytest.mark.parametrize("labels", [2, 3, 7])
def test_f1_is_that_of_scikit_learn(labels: int) -> None:
    """The macro average, also where a label is never decided."""
    from sklearn.metrics import confusion_matrix, f1_score

    truth, decided = _rows(300, np.random.default_rng(labels), labels)
    decided[decided == 1] = 0
    cells = confusion_matrix(truth, decided)

    assert resampling.f1_macro(cells) == pytest.approx(f1_score(truth, decided, average="macro"), abs=1e-12)


def test_cells_drawn_again_are_rows_drawn_again() -> None:
    """Mean and spread of F1 over draws agree with those of a bootstrap that draws rows one by one."""
    rng = np.random.default_rng(0)
    truth, decided = _rows(200, rng)
    code = truth * 3 + decided
    cells = np.bincount(code, minlength=9).reshape(3, 3)
    naive = [
        float(resampling.f1_macro(np.bincount(code[rng.integers(0, 200, 200)], minlength=9).reshape(3, 3)))
        for _ in range(2000)
    ]
    clever = resampling.f1_macro(resampling.resample(cells, rng, draws=2000))

    assert np.mean(clever) == pytest.approx(np.mean(naive), abs=0.004)
    assert np.std(clever) == pytest.approx(np.std(naive), rel=0.1)


def test_a_rung_that_too_few_draws_reach_is_left_out() -> None:
    """4,000 draws reach α = .005; the same seed gives the same ladder."""
    cells = np.array([[40, 10], [10, 40]])
    found = [
        resampling.percentile(cells, resampling.f1_macro, np.random.default_rng(1), draws=4000)
        for _ in range(2)
    ]

    assert found[0] == found[1]
    assert min(rung[0] for rung in found[0].ladder) == 0.005
    assert found[0].low < float(resampling.f1_macro(cells)) < found[0].high


def test_rows_that_are_all_alike_say_nothing_about_the_spread() -> None:
    """No interval of width zero."""
    rng = np.random.default_rng(0)
    assert resampling.percentile(np.array([[50, 0], [0, 50]]), resampling.f1_macro, rng, draws=500) is None


def test_leaving_rows_out_cell_by_cell_is_leaving_them_out_one_by_one() -> None:
    """The jackknife's error and acceleration, as scipy's bootstrap has them, from rows."""
    rng = np.random.default_rng(2)
    truth, decided = _rows(60, rng)
    code = truth * 3 + decided
    cells = np.bincount(code, minlength=9).reshape(3, 3)
    found = np.array([resampling.f1_macro(cells - np.bincount([c], minlength=9).reshape(3, 3)) for c in code])
    pull = found.mean() - found

    error, acceleration = resampling._left_out(cells, resampling.f1_macro)

    assert error == pytest.approx(np.sqrt(59 / 60 * (pull**2).sum()), rel=1e-10)
    assert acceleration == pytest.approx((pull**3).sum() / (6 * (pull**2).sum() ** 1.5), rel=1e-10)


def test_the_corrected_interval_of_a_mean_is_that_of_scipy() -> None:
    """BCa of a share of rows, whose draws are binomial: within the draws' own spread."""
    from scipy import stats

    rows = np.repeat([1.0, 0.0], [12, 68])
    theirs = stats.bootstrap(
        (rows,), np.mean, method="BCa", n_resamples=40_000, rng=np.random.default_rng(0)
    ).confidence_interval
    ours = resampling.bca(
        np.array([12, 68]), lambda cells: cells[..., 0] / cells.sum(axis=-1), np.random.default_rng(1)
    )

    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1 / 80 + 1e-9)


@pytest.mark.parametrize(
    ("rows", "p"),
    [(800, [[0.945, 0.009], [0.038, 0.008]]), (200, [[0.57, 0.01], [0.01, 0.41]])],
    ids=["rare", "nearly perfect"],
)
def test_the_bounds_of_f1_keep_their_level_where_percentiles_do_not(rows: int, p: list[list[float]]) -> None:
    """500 samples: the truth beyond a 95 % bound in 5 % and three deviations at most; percentiles: in 8 and 10."""
    rng, missed, plain = np.random.default_rng(6), np.zeros(2), np.zeros(2)
    truth = float(resampling.f1_macro(np.array(p)))
    for _ in range(500):
        cells = rng.multinomial(rows, np.ravel(p)).reshape(2, 2)
        for count, way in ((missed, resampling.bca), (plain, resampling.percentile)):
            share = {"share": True} if way is resampling.bca else {}
            found = way(cells, resampling.f1_macro, rng, draws=1500, **share)
            if found is not None:
                rung = next(r for r in found.ladder if r[0] == 0.05)
                count += [rung[3] > truth, rung[4] < truth]

    assert (missed / 500 <= 0.05 + 3 * (0.05 * 0.95 / 500) ** 0.5).all()
    assert missed.max() < plain.max()


def test_the_interval_of_f1_covers() -> None:
    """200 rows of three labels, 150 draws: nominal .95."""
    rng = np.random.default_rng(3)
    p = np.array([[0.3, 0.05, 0.0], [0.05, 0.25, 0.05], [0.02, 0.08, 0.2]])
    truth, covered = float(resampling.f1_macro(p)), 0
    for _ in range(150):
        cells = rng.multinomial(200, p.ravel()).reshape(3, 3)
        found = resampling.percentile(cells, resampling.f1_macro, rng, draws=1000)
        covered += found.low <= truth <= found.high

    assert covered / 150 >= 0.9


def test_a_class_that_was_never_right_may_yet_be_by_as_much_as_wilson_says() -> None:
    """No draw holds a cell that is empty: 30 rows of a class, none found, are no proof that none ever will be."""
    from rai_bigmodel.stats.intervals import wilson

    cells = np.array([[770, 0], [30, 0]])
    z = np.array([1.645, 2.576])
    down, up = resampling.f1_unseen(cells, z)
    _, high = wilson(np.zeros(2), np.full(2, 30.0), z)

    assert down == pytest.approx([0, 0])
    assert up == pytest.approx(2 * high / (1 + high) / 2)
    assert resampling.f1_unseen(np.array([[50, 0], [0, 50]]), z)[0].min() > 0
    assert resampling.f1_unseen(np.array([[50, 1], [1, 50]]), z)[0].max() == 0

    found = resampling.bca(
        np.array([[765, 5], [30, 0]]),
        resampling.f1_macro,
        np.random.default_rng(0),
        draws=4000,
        share=True,
        unseen=lambda z: resampling.f1_unseen(np.array([[765, 5], [30, 0]]), z),
    )

    assert found.high > 0.55
