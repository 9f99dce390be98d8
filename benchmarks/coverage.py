"""How often does the truth lie beyond a bound? Every interval of three audits, on samples whose truth is known.

    python benchmarks/coverage.py                       # all designs, 300 samples of 800 rows
    python benchmarks/coverage.py numbers --samples 100 --rows 300

Truth is what the same audits say of a million rows. A rule passes and fails by one-sided bounds, so each side is
counted by itself, at 5 % and at 0.5 %. Printed are the numbers about all rows, and whatever misses in more than 5 % and
three Monte-Carlo deviations (*beyond chance*; of a thousand numbers that are right, one does on either side).
"""

from __future__ import annotations

import argparse
import collections
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import rai_bigmodel as rai
from rai_bigmodel import tables

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier

    Array = np.ndarray

LEVELS = (0.05, 0.005)
TRUTH_ROWS = 1_000_000


def numbers(rng: np.random.Generator, n: int) -> Dossier:
    """A regression whose errors are like a gamma's, wider in one of four groups and shifted in another."""
    group, x = rng.choice(list("abcd"), n, p=[0.5, 0.3, 0.12, 0.08]), rng.normal(size=n)
    error = (rng.gamma(2, 1, n) - 2) * np.where(group == "c", 1.3, 1.0)
    return _of_predictions(group, 2 * x + error, 2 * x + np.where(group == "b", 0.3, 0.0))


def labels(rng: np.random.Generator, n: int) -> Dossier:
    """Five labels, right in .84 of rows, in one of four groups in .76."""
    group, truth = rng.choice(list("abcd"), n, p=[0.5, 0.3, 0.12, 0.08]), rng.integers(0, 5, n)
    right, names = rng.random(n) < np.where(group == "b", 0.7, 0.8), np.array(list("vwxyz"))
    return _of_predictions(group, names[truth], names[np.where(right, truth, rng.integers(0, 5, n))])


def _of_predictions(group: Array, truth: Array, predicted: Array) -> Dossier:
    cohort = tables.of(
        pd.DataFrame({"y": truth, "group": group}), roles={"truth": ["y"], "sensitive": ["group"]}
    )
    return rai.audit(pd.DataFrame({"prediction": predicted}), cohort, audits=["performance", "fairness"])


def scores(rng: np.random.Generator, n: int, *, centre: float = 0.0) -> Dossier:
    """Scores beside those of an older model; one of three groups is scored too low."""
    group, x = rng.choice(list("abc"), n, p=[0.55, 0.3, 0.15]), rng.normal(size=n)
    logit = 1.5 * x + centre
    truth = rng.random(n) < _share(logit + np.where(group == "b", 0.5, 0.0))
    old = _share(0.8 * x + centre + 0.5 * rng.normal(size=n))
    frame = pd.DataFrame({"y": truth.astype(int), "group": group, "p": _share(logit), "old": old})
    cohort = tables.of(
        frame, roles={"truth": ["y"], "sensitive": ["group"], "feature": ["p", "old"]}, positive="1"
    )
    return rai.audit(
        lambda rows: rows["p"],
        cohort,
        audits=["performance", "fairness", "calibration"],
        relatives={"baseline": lambda rows: rows["old"]},
    )


def rare(rng: np.random.Generator, n: int) -> Dossier:
    """The same where one row in thirty is positive."""
    return scores(rng, n, centre=-4.0)


DESIGNS = {design.__name__: design for design in (numbers, labels, scores, rare)}


def _share(logit: Array) -> Array:
    return 1 / (1 + np.exp(-logit))


def _flat(dossier: Any) -> dict[tuple[Any, ...], Any]:
    """What is asked → what was measured, whichever groups happened to lie furthest apart."""
    return {
        (m.metric, *sorted((k, v) for k, v in m.labels.items() if k not in {"high", "low", "to", "rate"})): m
        for evidence in dossier.evidence
        for m in evidence.measurements
    }


def missed(design: str, samples: int, rows: int) -> dict[tuple[Any, ...], Array]:
    """Number asked for → how many samples have it, and in how many the truth lies beyond each bound ``(5,)``."""
    draw, rng = DESIGNS[design], np.random.default_rng(1)
    truth = {key: m.value for key, m in _flat(draw(rng, TRUTH_ROWS)).items() if m.value is not None}
    found: dict[tuple[Any, ...], Array] = collections.defaultdict(lambda: np.zeros(5, int))
    for _ in range(samples):
        for key, m in _flat(draw(rng, rows)).items():
            if m.interval is None or key not in truth:
                continue
            found[key][0] += 1
            for i, level in enumerate(LEVELS):
                rung = m.interval.rung(level)
                low, high = (None, None) if rung is None else rung[3:]
                found[key][1 + 2 * i] += low is not None and low > truth[key]
                found[key][2 + 2 * i] += high is not None and high < truth[key]
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("designs", nargs="*", metavar="DESIGN", help=f"of {', '.join(DESIGNS)}")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--rows", type=int, default=800)
    asked = parser.parse_args()
    if unknown := [name for name in asked.designs if name not in DESIGNS]:
        parser.error(f"{', '.join(unknown)}: no such design; there are {', '.join(DESIGNS)}")
    head = "design | number | low bound above the truth, 5 % | high below, 5 % | 0.5 % | 0.5 %"
    print(f"| {head} |\n{'|---' * (head.count('|') + 1)}|")
    for design in asked.designs or DESIGNS:
        # A group that is hidden in most samples, as too small, is known only where it came out large.
        found = {
            k: c for k, c in missed(design, asked.samples, asked.rows).items() if c[0] >= asked.samples / 2
        }
        limit = 0.05 + 3 * (0.05 * 0.95 / asked.samples) ** 0.5
        rates = {key: counts[1:] / counts[0] for key, counts in found.items()}
        beyond = sum(bool((rate[:2] > limit).any()) for rate in rates.values())
        for key in sorted(rates, key=lambda key: -rates[key][:2].max()):
            if len(key) == 1 or rates[key][:2].max() > limit:
                name = ", ".join([key[0], *(f"{k}={v}" for k, v in key[1:])])
                print(
                    f"| {design} | {name} | {' | '.join(f'{rate:.3f}' for rate in rates[key])} |", flush=True
                )
        mean = np.mean(list(rates.values()), axis=0)
        cells = " | ".join(f"{rate:.3f}" for rate in mean)
        print(f"| {design} | mean of {len(rates)} numbers; {beyond} beyond chance | {cells} |", flush=True)


if __name__ == "__main__":
    main()
