"""Is the yardstick of the language model a fair one? A trigram model whose probabilities are right."""

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from rai_bigmodel.nets.reads import FIRST_WORD, PADDING

# By its path: a library may bring a package that is called `benchmarks` as well.
_SPEC = importlib.util.spec_from_file_location(
    "benchmark_of_training", Path(__file__).parents[2] / "benchmarks" / "training.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
_BENCHMARK: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["benchmark_of_training"] = _BENCHMARK
_SPEC.loader.exec_module(_BENCHMARK)
Trigram = _BENCHMARK.Trigram


def rows(seed: int, *, size: int, count: int = 40, length: int = 12) -> np.ndarray:
    """Ids in which each likes to be followed by the next one, some rows padded behind."""
    rng = np.random.default_rng(seed)
    ids = np.empty((count, length), dtype=np.int64)
    ids[:, 0] = rng.integers(FIRST_WORD, size, count)
    for t in range(1, length):
        follow = (ids[:, t - 1] - FIRST_WORD + 1) % (size - FIRST_WORD) + FIRST_WORD
        ids[:, t] = np.where(rng.random(count) < 0.7, follow, rng.integers(FIRST_WORD, size, count))
    ids[: count // 4, length - 3 :] = PADDING
    return ids


def test_probabilities_of_what_may_follow_add_up_to_one() -> None:
    """In every context, seen or not; padding is never foretold."""
    size = 7
    model = Trigram(rows(0, size=size), size=size).tune(rows(1, size=size))
    for a in range(size):
        for b in range(1, size):
            every = np.arange(1, size)
            total = model.probabilities(np.full(size - 1, a), np.full(size - 1, b), every).sum()

            assert math.isclose(total, 1, rel_tol=1e-6)


def test_perplexity_is_that_of_counting_by_hand() -> None:
    """The naive twin: a dictionary of counts, one id after the other."""
    size, train, tune, held = 6, rows(2, size=6), rows(3, size=6), rows(4, size=6)
    model = Trigram(train, size=size).tune(tune)
    three: dict[tuple, int] = {}
    two: dict[tuple, int] = {}
    one: dict[int, int] = {}
    for row in train.tolist():
        for t in range(1, len(row)):
            if row[t] == PADDING:
                continue
            a, b, c = (row[t - 2] if t > 1 else PADDING), row[t - 1], row[t]
            three[a, b, c] = three.get((a, b, c), 0) + 1
            two[b, c] = two.get((b, c), 0) + 1
            one[c] = one.get(c, 0) + 1
    total, n = 0.0, 0
    for row in held.tolist():
        for t in range(1, len(row)):
            if row[t] == PADDING:
                continue
            a, b, c = (row[t - 2] if t > 1 else PADDING), row[t - 1], row[t]
            pair = sum(k for (x, y, _), k in three.items() if (x, y) == (a, b))
            last = sum(k for (y, _), k in two.items() if y == b)
            weights = model.weights[min(int(math.log2(pair + 1)), model.buckets - 1)]
            p = weights[0] / (size - 1) + weights[1] * one.get(c, 0) / sum(one.values())
            p += weights[2] * two.get((b, c), 0) / max(last, 1) + weights[3] * three.get((a, b, c), 0) / max(
                pair, 1
            )
            total, n = total - math.log(p), n + 1

    assert math.isclose(model.perplexity(held), math.exp(total / n), rel_tol=1e-5)


def test_mixing_makes_it_better_on_rows_it_was_not_tuned_on() -> None:
    """Tuned weights against equal ones, on a third set of rows."""
    size = 12
    train, tune, held = (rows(seed, size=size, count=200) for seed in (5, 6, 7))

    equal = Trigram(train, size=size).perplexity(held)
    tuned = Trigram(train, size=size).tune(tune).perplexity(held)

    assert tuned < equal < size
