"""Does the gate keep its promises? Samples of known truth, our intervals, and `judge` itself.

Prints the tables of `benchmarks/README.md`: python benchmarks/gate_simulation.py [runs of the gate]
"""

from __future__ import annotations

import datetime as dt
import itertools
import sys
import time
from typing import NamedTuple

import numpy as np

from rai_bigmodel import dossier
from rai_bigmodel import evidence as ev
from rai_bigmodel.policy import Policy, Rule, judge
from rai_bigmodel.stats.among_groups import simultaneous_z
from rai_bigmodel.stats.intervals import Limits, newcombe, wilson
from rai_bigmodel.stats.ladder import z_two_sided

LIMIT = 0.10
TODAY = dt.date(2026, 1, 1)
GROUPS = (2, 3, 5, 15)
SIZES = (30, 100, 300, 1000, 3000)
RATES = (0.02, 0.1, 0.5)


class Ladders(NamedTuple):
    """Widest gaps of many samples, each side ``(rungs, samples)``, as `intervals.widest_gap` gives them one by one."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    keep: np.ndarray


def gap_ends(x: np.ndarray, n: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Widest-gap limits of many samples at once.

    Args:
        x: successes ``(groups, samples)``.
        n: trials ``(groups,)``.
    """
    low, high = newcombe(Limits.wilson(x.T, np.broadcast_to(n, x.T.shape), z))
    pairs = ~np.eye(len(n), dtype=bool)
    return np.maximum(low[:, pairs].max(axis=1), 0.0), np.minimum(high[:, pairs].max(axis=1), 1.0)


def ladders(x: np.ndarray, n: np.ndarray, alphas: tuple[float, ...] = ev.LADDER) -> Ladders:
    """The whole ladder of each sample."""
    both = [gap_ends(x, n, simultaneous_z(a, len(n))) for a in alphas]
    keep = [gap_ends(x, n, z_two_sided(2 * a))[1] for a in alphas]
    p = x / n[:, None]
    return Ladders(
        p.max(axis=0) - p.min(axis=0),
        np.array([low for low, _ in both]),
        np.array([high for _, high in both]),
        np.array(keep),
    )


def sizes(groups: int, n: int, *, balanced: bool) -> np.ndarray:
    """Rows in each group: n in each, or from n/5 (30 at least, the fewest that are compared) to 5 n."""
    return np.full(groups, n) if balanced else np.geomspace(max(n / 5, 30), 5 * n, groups).round().astype(int)


class Cell(NamedTuple):
    """What happened over many samples of one kind."""

    covered: float
    false_alarm_any: float
    false_alarm: float
    false_fail: float
    false_pass: float
    passed: float
    wilson: float


def cell(
    rng: np.random.Generator, *, groups: int, n: int, rate: float, balanced: bool = True, runs: int = 1000
) -> Cell:
    """One cell of the grid: equal groups, and one group that stands out by exactly the limit.

    Returns:
        simultaneous coverage of the limit, alarms at no difference (low > 0, low > limit), false fails and
        false passes at the limit, passes at no difference, Wilson's coverage of one group's rate.
    """
    rows = sizes(groups, n, balanced=balanced)
    equal = rng.binomial(rows[:, None], rate, size=(groups, runs))
    p = np.full((groups, 1), rate)
    p[0] += LIMIT
    apart = rng.binomial(rows[:, None], p, size=(groups, runs))
    none, at = (ladders(x, rows, (0.05,)) for x in (equal, apart))
    low, high = wilson(equal[0], np.full(runs, rows[0]), z_two_sided(0.05))
    return Cell(
        covered=float(((at.low[0] <= LIMIT) & (at.high[0] >= LIMIT)).mean()),
        false_alarm_any=float((none.low[0] > 0).mean()),
        false_alarm=float((none.low[0] > LIMIT).mean()),
        false_fail=float((at.low[0] > LIMIT).mean()),
        false_pass=float((at.keep[0] <= LIMIT).mean()),
        passed=float((none.keep[0] <= LIMIT).mean()),
        wilson=float(((low <= rate) & (rate <= high)).mean()),
    )


# --- whole policies, through judge ------------------------------------------------------------------

_SUBJECT = ev.SubjectId(name="made up", kind="table", digest="sha256:" + "a" * 64)
_DATA = ev.DataId(name="made up", digest="sha256:" + "d" * 64, rows=1)


def _measurements(found: Ladders, rows: int, attribute: str) -> list[ev.Measurement]:
    out = []
    for i, value in enumerate(found.value.tolist()):
        rungs = tuple(
            (a, low, high, low, keep)
            for a, low, high, keep in zip(
                ev.LADDER,
                found.low[:, i].tolist(),
                found.high[:, i].tolist(),
                found.keep[:, i].tolist(),
                strict=True,
            )
        )
        at = next(rung for rung in rungs if rung[0] == 0.05)
        out.append(
            ev.Measurement(
                metric="fairness.demographic_parity_difference",
                kind="estimate",
                value=value,
                n=rows,
                labels={"attribute": attribute},
                interval=ev.Interval(low=at[1], high=at[2], level=0.95, method="simulated", ladder=rungs),
            )
        )
    return out


class Outcomes(NamedTuple):
    """Shares of runs in which a policy was met, not met, undecided."""

    met: float
    not_met: float
    undecided: float


def policies(
    rng: np.random.Generator, rates: list[tuple[float, ...]], *, n: int, runs: int, limit: float = LIMIT
) -> Outcomes:
    """Judge a policy with one rule for each tuple of true rates, on fresh samples, `runs` times.

    Args:
        rates: for each rule the true rate of each group.
        n: rows in each group.
    """
    manifest = dossier.seal(
        [],
        produced={
            "subjects": (_SUBJECT,),
            "data": (_DATA,),
            "configuration": {},
            "versions": {},
            "threads": 1,
        },
        created="2026-01-01T00:00:00+00:00",
        host="",
        tool="simulation",
    ).manifest
    name = "fairness.demographic_parity_difference"
    policy = Policy(
        name="simulated",
        rules=tuple(
            Rule(metric=name, where={"attribute": f"a{i}"}, at_most=limit, because="simulated")
            for i in range(len(rates))
        ),
    )
    by_rule = []
    for i, p in enumerate(rates):
        x = rng.binomial(n, np.array(p)[:, None], size=(len(p), runs))
        by_rule.append(_measurements(ladders(x, np.full(len(p), n)), n * len(p), f"a{i}"))
    outcomes = []
    for run in range(runs):
        evidence = ev.Evidence(
            audit="fairness",
            question="",
            params={},
            seed=0,
            tool="",
            subject=_SUBJECT,
            data=_DATA,
            measurements=tuple(of_rule[run] for of_rule in by_rule),
        )
        outcomes.append(
            judge(policy, dossier.Dossier(manifest=manifest, evidence=(evidence,)), today=TODAY).outcome
        )
    met, failed = outcomes.count("pass") / runs, outcomes.count("fail") / runs
    return Outcomes(met, failed, round(1 - met - failed, 12))


def fair(groups: int, rate: float = 0.5) -> tuple[float, ...]:
    """Groups that do not differ."""
    return (rate,) * groups


def apart(groups: int, gap: float = LIMIT, rate: float = 0.5) -> tuple[float, ...]:
    """One group that stands out."""
    return (rate + gap, *((rate,) * (groups - 1)))


def is_compared(groups: int, n: int, rate: float, *, balanced: bool) -> bool:
    """Whether the audit compares every group of this cell: 5 expected of either outcome in the smallest."""
    return bool(sizes(groups, n, balanced=balanced).min() * min(rate, 1 - rate) >= 5)


def main(runs: int) -> None:
    """Print both tables."""
    start, rng = time.perf_counter(), np.random.default_rng(2026)
    columns = (
        "covers .10 | low > 0, no gap | low > .10, no gap | fails at .10 | passes at .10 | passes, no gap"
    )
    _row(f"groups | rows a group | {columns} | Wilson covers".split(" | "), head=True)
    kinds: dict[bool, list[Cell]] = {True: [], False: []}
    for k, balanced, n, p in itertools.product(GROUPS, (True, False), SIZES, RATES):
        found = cell(rng, groups=k, n=n, rate=p, balanced=balanced, runs=50 * runs)
        kinds[is_compared(k, n, p, balanced=balanced)].append(found)
        if balanced and p == 0.5:
            _row([f"{k}", f"{n:,}", *(f"{v:.3f}" for v in found)])
    print()
    _row(["worst of", *columns.split(" | ")[:5], "Wilson covers"], head=True)
    for compared, cells in kinds.items():
        what = "whose groups the audit compares" if compared else "with groups it leaves out as too small"
        worst = (
            min(c.covered for c in cells),
            *(max(getattr(c, f) for c in cells) for f in Cell._fields[1:5]),
            min(c.wilson for c in cells),
        )
        _row([f"{len(cells)} cells {what}", *(f"{v:.3f}" for v in worst)])
    print()
    _row(["policy", "groups", "rows a group", "rules", "met", "not met", "undecided"], head=True)
    for what, k, n, m in itertools.product(("fair",), (2, 3, 5, 15), (600, 1000, 3000), (1, 10, 60)):
        said = policies(rng, [fair(k)] * m, n=n, runs=runs)
        _row([what, f"{k}", f"{n:,}", f"{m}", *(f"{v:.3f}" for v in said)])
    for what, k, first, rest in (
        ("one rule at its limit, the others fair", 2, apart(2), fair(2)),
        ("every rule at its limit", 3, apart(3), apart(3)),
        ("one rule .20 apart, the others fair", 3, apart(3, 0.2), fair(3)),
    ):
        for m in (1, 10, 60):
            said = policies(rng, [first, *[rest] * (m - 1)], n=1000, runs=runs)
            _row([what, f"{k}", "1,000", f"{m}", *(f"{v:.3f}" for v in said)])
    print(
        f"\n{50 * runs:,} samples a cell, {runs} runs a policy; {time.perf_counter() - start:.0f} s on one thread."
    )


def _row(cells: list[str], *, head: bool = False) -> None:
    print(f"| {' | '.join(cells)} |" + (f"\n|{'---|' * len(cells)}" if head else ""))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
