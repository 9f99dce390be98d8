"""What does each test of an explanation measure, and what would chance give?

- *completeness* (where the method promises it): attributions add up to the change of the score. Necessary only.
- *insertion and deletion* (Petsiuk, Das and Saenko 2018): adding features from the most supporting to the most
  opposing raises the score faster than with the same attributions handed to other features, and taking them away
  lowers it faster. The features are permuted alike in all rows, so a ranking that is wrong in the same way
  everywhere gains nothing by it.
- *randomisation* (Adebayo et al. 2018): before a model that has learned nothing the explanation differs by more
  than the factor that both inherit from the input itself.
- *ablation*: within a row, features are ordered as by taking each away alone (Spearman, interval over rows).
- *infidelity* (Yeh et al. 2019): attributions foretell what taking several features away does, on a scale of their
  own that may not be negative.

Stability under small changes of the input (sensitivity-max) is measured beside them and proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.audits.cases import Case, change, present, worths
from rai_bigmodel.audits.shapley import ablation
from rai_bigmodel.stats import means
from rai_bigmodel.stats.ranks import ranks, spearman

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Interval
    from rai_bigmodel.subject import Array

Explain = Callable[[Case, np.random.Generator], "Array"]
"""How an explanation is made: a case → attributions of its features ``(n, d)``."""

ADDS_UP = 0.05
BY_CHANCE = 0.05
AGREES = 0.25
FORETELLS = 0.65
THE_INPUT = 0.9
FEWEST = 5
UNCHANGED = 0.5
RANKINGS = 59
CUTS = (0.04, 0.12, 0.3, 0.6)
"""Shares of a row's features at which insertion and deletion are looked at; the first catches a lone feature."""


class Test(NamedTuple):
    """One test of an explanation.

    Args:
        name: what it is called, also the metric ``explainability.name``.
        value: what was measured; ``None`` where nothing could be.
        passed: ``None`` where the test cannot tell.
        why: what was compared, and with what outcome, in words.
        n: rows it rests on.
    """

    name: str
    value: float | None
    passed: bool | None
    why: str
    n: int
    interval: Interval | None = None


# --- what is there ----------------------------------------------------------------------------


def distance(case: Case) -> Array:
    """How far each feature is from its start ``(n, d)``: the explanation that no model is needed for."""
    n, d = len(case.x), len(case.names)
    out = np.zeros((d, n))
    np.add.at(out, case.parts.ravel(), np.abs(case.x - case.starts).reshape(n, -1).T)
    return out.T


def handed_to_others(values: Array, there: Array, key: Array) -> Array:
    """The same attributions on other features: those of the features that are there, in the order of `key` ``(d,)``."""
    out = np.zeros_like(values)
    columns = np.arange(values.shape[1])
    # Sorting puts what is there first, once in the features' own order and once in the key's: a permutation
    # that is the same in every row where all features are there.
    own = np.argsort(np.where(there, columns, len(columns)), axis=1, kind="stable")
    theirs = np.argsort(np.where(there, key, len(columns)), axis=1, kind="stable")
    np.put_along_axis(out, own, np.take_along_axis(values, theirs, axis=1), axis=1)
    return np.where(there, out, 0.0)


def _agreement(first: Array, second: Array, there: Array) -> Array:
    """Spearman's correlation of each row over the features that are there ``(n,)``; NaN where it has none."""
    if there.all():
        return spearman(first, second)
    return np.array(
        [spearman(a[None, t], b[None, t])[0] if t.any() else np.nan
         for a, b, t in zip(first, second, there, strict=True)]
    )  # fmt: skip


# --- the tests --------------------------------------------------------------------------------


def completeness(case: Case, values: Array, *, promised: bool) -> Test:
    """Σ|Σᵢ aᵢ − (f(x) − f(x₀))| / Σ|f(x) − f(x₀)|: the part of the change that attributions leave unexplained."""
    moved = change(case)
    whole = float(np.abs(moved).sum())
    n = len(moved)
    if whole == 0:
        return Test(
            "completeness_gap",
            None,
            passed=None,
            why="the score is the same for every row as at the start",
            n=n,
        )
    gap = float(np.abs(values.sum(axis=1) - moved).sum() / whole)
    why = f"attributions leave {gap:.2g} of the change in the score unexplained (at most {ADDS_UP} passes)"
    if not promised:
        return Test(
            "completeness_gap", gap, passed=True, why=f"{why}; this method does not promise to add up", n=n
        )
    return Test("completeness_gap", gap, passed=gap <= ADDS_UP, why=why, n=n)


def insertion_deletion(
    case: Case, values: Array, rng: np.random.Generator, *, rankings: int = RANKINGS
) -> Test:
    """The permutation p-value of the area between the insertion and the deletion curve."""
    there, n, d = present(case), len(values), values.shape[1]
    keys = np.array([np.arange(d), *(rng.permutation(d) for _ in range(rankings))])
    ranked = np.array([handed_to_others(values, there, key) for key in keys])
    area = _areas(case, ranked, there).mean(axis=1)
    near = 1e-9 * max(float(np.abs(area).max()), 1e-300)
    beyond, tied = int((area[1:] > area[0] + near).sum()), int((area[1:] >= area[0] - near).sum())
    p = (1 + tied) / (1 + rankings)
    why = f"{tied} of {rankings} rankings that know nothing of the model do as well (p = {p:.2g})"
    if p <= BY_CHANCE:
        return Test("insertion_deletion_p", p, passed=True, why=why, n=n)
    if (1 + beyond) / (1 + rankings) > BY_CHANCE:
        return Test("insertion_deletion_p", p, passed=False, why=why, n=n)
    return Test(
        "insertion_deletion_p",
        p,
        passed=None,
        why=f"{why}, and none does better: too few features matter",
        n=n,
    )


def _areas(case: Case, ranked: Array, there: Array) -> Array:
    """Insertion minus deletion ``(rankings, n)``; what all rankings share, their ends, is left out."""
    count = there.sum(axis=1)
    k = np.maximum(np.ceil(np.outer(count, CUTS)), 1)  # (n, cuts)
    at = np.concatenate(
        [np.zeros((len(k), 1)), k / np.maximum(count, 1)[:, None], np.ones((len(k), 1))], axis=1
    )
    width = (at[:, 2:] - at[:, :-2]) / 2  # trapezoids: what each cut in between counts
    order = np.argsort(np.where(there, -ranked, np.inf), axis=2, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(order.shape[2]), order.shape), axis=2)
    first = place[:, :, None] < k[None, :, :, None]  # (r, n, cuts, d)
    first = np.moveaxis(first, 0, 1).reshape(len(k), -1, place.shape[2])
    # All cuts are asked at once: what one ranking has shown of a row by one of them, another has by the next.
    seen = worths(case, np.concatenate([first, ~first], axis=1)).reshape(len(k), 2, len(place), len(CUTS))
    out: Array = ((seen[:, 0] - seen[:, 1]) * width[:, None]).sum(axis=2).T
    return out


def ablation_agreement(case: Case, values: Array) -> Test:
    """The mean Spearman correlation with taking each feature away alone."""
    there = present(case)
    found = _agreement(values, ablation(case), there)
    told = found[np.isfinite(found)]
    name, n = "ablation_agreement", len(told)
    if not n:
        return Test(
            name, None, passed=None, why="in no row do the attributions and the ablations have an order", n=0
        )
    mean, interval = float(told.mean()), means.mean(told)
    low, high = (mean, mean) if interval is None else (interval.low, interval.high)
    assert low is not None
    assert high is not None
    why = f"the order agrees with ablation by {mean:.2f} ({low:.2f} to {high:.2f}); {AGREES} or more passes"
    if (~np.isfinite(_agreement(values, values, there))).mean() > 0.5:
        return Test(
            name, mean, passed=False, why="in most rows all attributions are alike", n=n, interval=interval
        )
    return Test(
        name,
        mean,
        passed=True if low >= AGREES else False if high < AGREES else None,
        why=why,
        n=n,
        interval=interval,
    )


def infidelity(case: Case, values: Array, rng: np.random.Generator, *, coalitions: int = 32) -> Test:
    """E[(bΣa − Δ)²] / E[Δ²] at the best b ≥ 0: 0 is exact, 1 is no better than saying nothing.

    Δ is the fall of the score when a random half of the features or fewer is put to the start, Σa what their
    attributions foretell. With a free sign of b a sign-flipped explanation would pass.
    """
    d, n = values.shape[1], len(values)
    size = rng.integers(1, max(2, d // 2 + 1), size=coalitions)
    gone = np.argsort(np.argsort(rng.random((coalitions, d)), axis=1), axis=1) < size[:, None]
    seen = worths(case, np.concatenate([np.ones((1, d), dtype=bool), ~gone]))
    fall = seen[:, :1] - seen[:, 1:]
    if not np.any(fall):
        return Test(
            "infidelity", None, passed=None, why="the score stays the same whatever is taken away", n=n
        )
    told = values @ gone.T
    share = _left(told, fall)
    why = f"{share:.2g} of what taking features away does is not foretold (at most {FORETELLS} passes)"
    return Test("infidelity", share, passed=share <= FORETELLS, why=why, n=n)


def _left(told: Array, fall: Array) -> float:
    """The share of the squared falls that remains at the best non-negative scale."""
    squares = float((told * told).sum())
    b = max(0.0, float((told * fall).sum()) / squares) if squares > 0 else 0.0
    return float(((b * told - fall) ** 2).sum() / (fall * fall).sum())


def randomisation(
    case: Case, values: Array, explain: Explain, rng: np.random.Generator, *, models: int | None = None
) -> Test:
    """How alike the explanation is before models that have learned nothing, in order of size within a row.

    Attributions that multiply by the input are alike for that alone. What the distance from the start explains of
    the order, in its own units and in standard deviations, is taken off both; where nothing is left, the
    explanation is the input itself.
    """
    name, d = "randomisation_similarity", values.shape[1]
    there = present(case)
    # With fewer features the input explains any order.
    told = there.sum(axis=1) >= FEWEST
    if case.learned_nothing is None or not told.any():
        why = (
            "there is no model to randomise"
            if told.any()
            else f"no row has {FEWEST} features away from the start"
        )
        return Test(name, None, passed=None, why=why, n=len(values))
    there, size = there[told], np.abs(values)[told]
    if not _ordered(size, there):
        return Test(
            name, None, passed=False, why="in most rows all attributions are alike in size", n=len(size)
        )
    far = distance(case)
    spread = far.std(axis=0)
    factors = [f[told] for f in (far, far / np.where(spread > 0, spread, 1.0))]
    rest, shared = _beyond(size, factors, there)
    alike, left = [], []
    for _ in range(models or int(np.clip(60 // d, 3, 12))):
        again = np.abs(explain(case.learned_nothing(rng), rng))[told]
        if not _ordered(again, there):
            continue
        alike.append(_agreement(size, again, there))
        others, _ = _beyond(again, factors, there)
        lengths = np.sqrt((rest**2).sum() * (others**2).sum())
        left.append(float((rest * others).sum() / lengths) if lengths > 0 else 1.0)
    if not alike:
        why = "before a model that has learned nothing the attributions are all alike"
        return Test(name, None, passed=None, why=why, n=len(size))
    rows = np.array(alike).mean(axis=0)
    rows = rows[np.isfinite(rows)]
    value, interval, beyond = float(rows.mean()), means.mean(rows), float(np.mean(left))
    if shared >= THE_INPUT:
        why = f"the attributions are the input itself: it explains {shared:.2f} of their order"
        return Test(name, value, passed=False, why=why, n=len(rows), interval=interval)
    why = (
        f"before models that have learned nothing the order of sizes agrees by {value:.2f}, "
        f"and by {beyond:.2f} beyond what the input alone explains (at most {UNCHANGED} passes)"
    )
    return Test(name, value, passed=beyond <= UNCHANGED, why=why, n=len(rows), interval=interval)


def _beyond(size: Array, factors: list[Array], there: Array) -> tuple[Array, float]:
    """Ranks within each row less what the factors' ranks explain ``(n, d)``, and the share they explain."""
    rest, whole = np.zeros(size.shape), 0.0
    for i, t in enumerate(there):
        columns = ranks(np.stack([size[i, t], *(f[i, t] for f in factors)]))
        columns -= columns.mean(axis=1, keepdims=True)
        fitted = np.linalg.lstsq(columns[1:].T, columns[0], rcond=None)[0]
        rest[i, t] = columns[0] - fitted @ columns[1:]
        whole += float((columns[0] ** 2).sum())
    return rest, 1 - float((rest**2).sum()) / whole


def _ordered(values: Array, there: Array) -> bool:
    """Whether most rows have an order at all."""
    return bool(np.isfinite(_agreement(values, values, there)).mean() > 0.5)


def stability(
    case: Case,
    values: Array,
    explain: Explain,
    rng: np.random.Generator,
    *,
    draws: int = 4,
    radius: float = 0.02,
) -> Test:
    """Sensitivity-max: the largest relative change of the attributions within a small box around each row.

    A constant explanation is perfectly stable: this never speaks for an explanation (Yeh et al. 2019).

    Args:
        radius: half the side of the box, as a share of each entry's standard deviation over the rows.
    """
    if case.codes is not None and case.codes.all():
        why = "nothing lies near a code or a word, so no small change can be made"
        return Test("stability", None, passed=None, why=why, n=0)
    reach = (radius * case.x.std(axis=0, keepdims=True)).astype(np.float32)
    if case.codes is not None:
        reach = np.where(case.codes, np.float32(0), reach)
    length = np.linalg.norm(values, axis=1)
    known = length > 0
    if not known.any():
        return Test("stability", None, passed=None, why="all attributions are 0", n=0)
    worst = np.zeros(len(values))
    for _ in range(draws):
        nearby = case.x + reach * rng.uniform(-1, 1, size=case.x.shape).astype(np.float32)
        again = explain(replace(case, x=nearby), rng)
        worst = np.maximum(worst, np.linalg.norm(again - values, axis=1))
    found = worst[known] / length[known]
    why = "a small number is stable; it says nothing of whether the explanation is true"
    return Test(
        "stability",
        float(found.mean()),
        passed=None,
        why=why,
        n=int(known.sum()),
        interval=means.mean(found),
    )
