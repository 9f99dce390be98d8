"""Is a change between two runs told from chance, and judged like any other measurement?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from dossiers import ROWS, SUBJECT, dossier, estimate, evidence, exact
from msgspec import structs

from rai_bigmodel import api, files
from rai_bigmodel.cli import cli
from rai_bigmodel.cli.unlike import unlike
from rai_bigmodel.compare import changes, difference, with_changes
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import LADDER, Measurement
from rai_bigmodel.rules import Policy, Rule
from rai_bigmodel.stats import intervals

ACCURACY = "performance.accuracy"
RATCHET = Policy(
    name="p",
    rules=(Rule(metric=ACCURACY, where={"against": "baseline"}, at_least=-0.05, because="No worse."),),
)


def test_of_two_normal_estimates_the_change_has_the_root_of_both_errors() -> None:
    """Known on paper: errors .01 and .02 give .02236 at every rung, two-sided and one-sided."""
    change = difference(estimate(0.8, 0.01, metric=ACCURACY), estimate(0.9, 0.02, metric=ACCURACY))
    assert change.value == pytest.approx(0.1)
    assert change.interval
    for ours, known in zip(
        change.interval.ladder, estimate(0.1, math.hypot(0.01, 0.02)).interval.ladder, strict=True
    ):
        assert ours == pytest.approx(known)


@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.9, 0.95), (0.05, 0.1)])
def test_the_interval_of_a_change_covers_the_truth(p: float, q: float) -> None:
    """1,000 pairs of independent samples of 300 rows: at least .93 of the 95 % intervals hold q − p."""
    rng = np.random.default_rng(3)
    n, hits, draws = 300, 0, 1_000
    for x, y in zip(rng.binomial(n, p, draws), rng.binomial(n, q, draws), strict=True):
        pair = [estimate(k / n, metric=ACCURACY, interval=intervals.proportion(int(k), n)) for k in (x, y)]
        ends = difference(*pair).interval
        assert ends
        assert ends.low is not None
        assert ends.high is not None
        hits += ends.low <= q - p <= ends.high

    assert hits / draws >= 0.93


def test_better_and_worse_follow_the_metric_and_chance_is_not_named() -> None:
    """Accuracy up is better, a gap up is worse; a change inside its interval is counted, not named."""
    before = dossier(
        estimate(0.7, metric=ACCURACY),
        estimate(0.1, metric="fairness.demographic_parity_difference"),
        estimate(0.5, metric="performance.brier"),
        exact(4.0, metric="privacy.epsilon_spent"),
        estimate(0.3, metric="fairness.gone"),
    )
    after = dossier(
        estimate(0.8, metric=ACCURACY),
        estimate(0.2, metric="fairness.demographic_parity_difference"),
        estimate(0.499, metric="performance.brier"),
        exact(4.0, metric="privacy.epsilon_spent"),
        estimate(0.3, metric="fairness.new"),
    )
    found = {c.key[2].rpartition(".")[2]: (c.verdict, c.clear) for c in changes(before, after)}

    assert found == {
        "accuracy": ("better", True),
        "demographic_parity_difference": ("worse", True),
        "brier": ("better", False),
        "epsilon_spent": ("the same", True),
        "new": ("new", True),
        "gone": ("gone", True),
    }


def test_which_groups_are_furthest_apart_does_not_make_another_measurement() -> None:
    """The gap by race is compared though other groups are now its ends."""
    before = dossier(estimate(0.3, labels={"attribute": "race", "high": "a", "low": "b"}))
    after = dossier(estimate(0.1, labels={"attribute": "race", "high": "c", "low": "a"}))
    (change,) = changes(before, after)

    assert change.change
    assert change.change.value == pytest.approx(-0.2)


@pytest.fixture(name="runs")
def two_runs(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A baseline, a run that lost three points with certainty, and a policy that allows five."""
    old = api.save(dossier(estimate(0.90, 0.005, metric=ACCURACY)), tmp_path / "a" / "old")
    new = api.save(dossier(estimate(0.87, 0.005, metric=ACCURACY)), tmp_path / "a" / "new")
    (tmp_path / "p.yaml").write_bytes(files.canonical_json(RATCHET))
    return old, new, tmp_path / "p.yaml"


def run(*call: Any) -> Any:
    return CliRunner().invoke(cli, [str(c) for c in call], standalone_mode=False)


def test_a_ratchet_is_judged_like_any_other_rule(runs: Any) -> None:
    """Met with the baseline, undecided without; not met when the loss is larger than allowed."""
    old, new, policy = runs
    worse = api.save(dossier(estimate(0.80, 0.005, metric=ACCURACY)), new.parent / "worse")

    assert run("gate", new, "--policy", policy).return_value == 3
    assert run("gate", new, "--policy", policy, "--baseline", old).return_value == 0
    assert run("gate", worse, "--policy", policy, "--baseline", old).return_value == 1


def test_a_baseline_on_other_rows_is_refused_unless_told(tmp_path: Path, runs: Any) -> None:
    """Exit 2 and both digests; ``--other-data`` compares all the same."""
    _, new, policy = runs
    other = type(ROWS)(name="last year", digest="sha256:" + "e" * 64, rows=500)
    old = api.save(
        dossier(evidence(estimate(0.9, 0.005, metric=ACCURACY), data=other)), tmp_path / "b" / "other"
    )
    refused = run("gate", new, "--policy", policy, "--baseline", old)

    assert isinstance(refused.exception, InputError)
    assert "other rows" in str(refused.exception)
    assert run("gate", new, "--policy", policy, "--baseline", old, "--other-data").return_value == 0


def test_a_change_that_was_paired_is_not_replaced(runs: Any) -> None:
    """Where the audit paired rows, the gate uses that and leaves the two intervals alone."""
    old, _, _ = runs
    paired = estimate(-0.01, 0.001, metric=ACCURACY, labels={"against": "baseline"})
    both = dossier(evidence(estimate(0.87, 0.005, metric=ACCURACY), paired))
    (ruling,) = api.judge(both, RATCHET, baseline=old).rulings

    assert ruling.measurement == paired


def test_a_missing_interval_leaves_the_change_without_one() -> None:
    """Nothing is proved about a change when one side is a bare number."""
    bare = Measurement(metric=ACCURACY, kind="estimate", value=0.8)
    change = difference(bare, estimate(0.9, metric=ACCURACY))

    assert change.interval is None
    assert "no interval" in change.why


def test_only_rungs_that_both_have_are_combined() -> None:
    """Each rung of the change comes from the same rung of both."""
    change = difference(estimate(0.8, metric=ACCURACY), estimate(0.9, metric=ACCURACY))
    assert change.interval
    assert [r[0] for r in change.interval.ladder] == list(LADDER)


def test_rai_diff_says_worse_first_and_counts_the_rest(runs: Any) -> None:
    """One line a clear change; ``--json`` has all of them."""
    old, new, _ = runs
    said = run("diff", old, new).stdout
    told = json.loads(run("diff", old, new, "--json").stdout)

    assert said.startswith("worse: performance.accuracy: 0.9 → 0.87 (by -0.03, between")
    assert "0 better, 1 worse" in said
    assert told[0]["verdict"] == "worse"


def test_a_verdict_beside_a_baseline_cannot_be_verified_without_it(runs: Any) -> None:
    """``rai verify`` says that it was not checked, and does not say that it is wrong."""
    old, new, policy = runs
    run("gate", new, "--policy", policy, "--baseline", old)
    result = run("verify", new)

    assert result.return_value == 0
    assert "verdict: not checked: it was judged beside another run" in result.stdout


def _counting(positive: str, rows: int = 796) -> Any:
    """A run whose positive label is this one, on so many rows."""
    one = evidence(
        estimate(0.8, metric=ACCURACY), data=structs.replace(ROWS, digest=f"sha256:{rows:064}", rows=rows)
    )
    assert SUBJECT.decision
    decision = structs.replace(SUBJECT.decision, positive=positive)
    return dossier(structs.replace(one, subject=structs.replace(one.subject, decision=decision)))


def test_what_differs_beside_the_subject_is_said(tmp_path: Path) -> None:
    """Other rows and another positive label, once each and by name, on stderr; of two alike nothing."""
    runs = [_counting("1"), _counting("0", rows=500)]
    for name, one in zip("ab", runs, strict=True):
        api.save(one, tmp_path / name)
    said, alike = (CliRunner().invoke(cli, ["diff", str(tmp_path / "a"), str(tmp_path / n)]) for n in "ba")

    rows, label = said.stderr.splitlines()
    assert rows.startswith(
        "other rows: 796 of held-out (sha256:000000000000…) before, 500 of held-out (sha256:"
    )
    assert label.startswith("another positive label: '1' before, '0' after; ")
    assert said.exit_code == 0
    assert not alike.stderr
    assert unlike(runs[0], runs[0]) == []


def test_a_ratchet_against_the_other_label_is_refused() -> None:
    """The rate of one outcome is not held against that of the other, even where other rows are allowed."""
    with pytest.raises(InputError, match="the baseline counts '0' as positive, and this run '1'"):
        with_changes(_counting("1"), _counting("0"), RATCHET, other_data=True)


def test_what_was_never_measured_is_neither_gone_nor_new() -> None:
    """The audit was left out, and had no number before: nothing went."""
    silent, there = estimate(None, metric="fairness.gap"), estimate(0.8, metric=ACCURACY)

    for before, after in ((dossier(there, silent), dossier(there)), (dossier(there), dossier(there, silent))):
        assert {c.verdict for c in changes(before, after)} == {"the same"}
