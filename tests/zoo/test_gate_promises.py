"""Does the gate keep its promises (validity 2.6)? Samples of known truth through our intervals and `judge` itself.

A small version here; the grid and the long runs behind the marker `zoo`. A share of simulated runs is held against
its limit with three standard errors of the simulation, never more.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rai_bigmodel.evidence import LADDER
from rai_bigmodel.stats.among_groups import widest_gap

# By its path: a library may bring a package that is called `benchmarks` as well.
_SPEC = importlib.util.spec_from_file_location(
    "gate_simulation", Path(__file__).parents[2] / "benchmarks" / "gate_simulation.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
sim: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["gate_simulation"] = sim
_SPEC.loader.exec_module(sim)


def _at_most(limit: float, runs: int) -> float:
    return limit + 3 * float(np.sqrt(limit * (1 - limit) / runs))


def _at_least(limit: float, runs: int) -> float:
    return limit - 3 * float(np.sqrt(limit * (1 - limit) / runs))


def test_the_simulation_uses_the_intervals_of_the_package() -> None:
    """All samples at once give what `widest_gap` gives for each."""
    r = np.random.default_rng(0)
    n = np.array([40, 200, 90])
    x = r.binomial(n[:, None], 0.3, size=(3, 5))
    found = sim.ladders(x, n)
    for i in range(5):
        one = widest_gap(x[:, i], n)
        for j, (alpha, low, high, _, keep_high) in enumerate(one.ladder):
            assert alpha == LADDER[j]
            assert (low, high, keep_high) == (found.low[j, i], found.high[j, i], found.keep[j, i])


def _holds(groups: int, n: int, rate: float, *, balanced: bool, runs: int) -> None:
    found = sim.cell(
        np.random.default_rng([groups, n]), groups=groups, n=n, rate=rate, balanced=balanced, runs=runs
    )

    assert found.covered >= _at_least(0.945, runs)
    assert found.false_alarm_any <= _at_most(0.10, runs)
    assert found.false_alarm <= _at_most(0.01, runs)
    assert found.false_fail <= _at_most(0.03, runs)
    assert found.false_pass <= _at_most(0.06, runs)
    assert found.wilson >= _at_least(0.93, runs)


@pytest.mark.parametrize(
    ("groups", "n", "rate"), [(2, 100, 0.5), (3, 1000, 0.1), (5, 300, 0.5), (15, 30, 0.5), (15, 3000, 0.02)]
)
def test_intervals_of_the_widest_gap_hold_in_a_few_cells(groups, n, rate) -> None:
    """Coverage, false alarms, false fails and false passes, 2,000 samples each."""
    _holds(groups, n, rate, balanced=True, runs=2000)


@pytest.mark.zoo
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("rate", sim.RATES)
@pytest.mark.parametrize("n", sim.SIZES)
@pytest.mark.parametrize("groups", sim.GROUPS)
def test_intervals_of_the_widest_gap_hold_wherever_groups_are_compared(groups, n, rate, balanced) -> None:
    """2, 3, 5 and 15 groups of 30 to 3,000, rates .02 to .5, balanced and not, 10,000 samples each."""
    if not sim.is_compared(groups, n, rate, balanced=balanced):
        pytest.skip("the audit leaves out groups as small as this")
    _holds(groups, n, rate, balanced=balanced, runs=10_000)


def test_a_fair_rule_passes_so_often_that_ten_of_them_do_in_85_percent_of_runs() -> None:
    """Three groups of 1,000, limit .10; rules on separate samples pass together, so the tenth power of 50,000 runs."""
    found = sim.cell(np.random.default_rng(1), groups=3, n=1000, rate=0.5, runs=50_000)

    assert found.passed**10 >= 0.85


@pytest.mark.parametrize("runs", [pytest.param(100, id="few"), pytest.param(2000, marks=pytest.mark.zoo)])
def test_a_fair_policy_of_ten_rules_is_met(runs: int) -> None:
    """The same through whole policies and `judge`: met in at least 85 % of runs, not met in hardly any."""
    found = sim.policies(np.random.default_rng(1), [sim.fair(3)] * 10, n=1000, runs=runs)

    assert found.met >= _at_least(0.85, runs)
    assert found.not_met <= 0.01


@pytest.mark.parametrize("runs", [pytest.param(150, id="few"), pytest.param(1500, marks=pytest.mark.zoo)])
def test_a_policy_with_one_rule_at_its_limit_is_hardly_ever_met(runs: int) -> None:
    """Two groups .10 apart under a limit of .10, nine fair rules beside: met in at most 6 %."""
    rates = [sim.apart(2), *[sim.fair(2)] * 9]
    found = sim.policies(np.random.default_rng(2), rates, n=3000, runs=runs)

    assert found.met <= _at_most(0.06, runs)


@pytest.mark.parametrize("runs", [pytest.param(20, id="few"), pytest.param(400, marks=pytest.mark.zoo)])
def test_sixty_rules_at_their_limits_hardly_ever_fail_and_one_that_is_broken_does(runs: int) -> None:
    """Holm over the policy: at most 5 % of runs fail with nothing beyond; one gap of .20 fails 80 % of them."""
    r = np.random.default_rng(3)
    at_limit = sim.policies(r, [sim.apart(2)] * 60, n=1000, runs=runs)
    broken = sim.policies(r, [sim.apart(3, 0.2), *[sim.fair(3)] * 59], n=1000, runs=runs)

    assert at_limit.not_met <= _at_most(0.05, runs)
    assert broken.not_met >= 0.8
