"""Zoo Z38 and Z40: what was asked after its answer was seen, and rows that are not those that were named."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner
from dossiers import dossier, estimate

from rai_bigmodel import api, verdicts
from rai_bigmodel.cli import cli
from rai_bigmodel.policy import Policy, Rule, judge

RULE = "  - {{metric: fairness.gap, at_most: {limit}, because: So.}}\n"


def gate(folder: Path, policy: Path) -> Any:
    return CliRunner().invoke(cli, ["gate", str(folder), "--policy", str(policy)], standalone_mode=False)


def a_policy(path: Path, *limits: float) -> Path:
    path.write_text("name: p\nrules:\n" + "".join(RULE.format(limit=x) for x in limits))
    return path


def test_z38_a_policy_that_was_changed_after_its_rows_were_judged_is_exploratory(tmp_path: Path) -> None:
    """A limit moved after the red verdict turns green, and the verdict says for ever that it was moved."""
    folder = api.save(dossier(estimate(0.3)), tmp_path / "runs" / "a")
    api.record(dossier(estimate(0.3)), folder)
    red = gate(folder, a_policy(tmp_path / "policy.yaml", 0.1))
    green = gate(folder, a_policy(tmp_path / "policy.yaml", 0.9))
    found = api.load(folder)
    judged = api.judge(found, tmp_path / "policy.yaml", folder=folder)
    api.write_report(found, judged, path=folder / "p.html")

    assert (red.return_value, green.return_value) == (1, 0)
    assert "exploratory" not in red.stderr
    assert "exploratory: the policy said otherwise when these rows were first judged" in green.stderr
    assert "exploratory" in (folder / "p.html").read_text("utf-8")
    said = msgspec.json.decode((folder / verdicts.NAME).read_bytes())
    assert said["attempts"]["otherwise"] == 1
    assert said["format"] == 2
    assert api.verify(folder).holds


def test_z38_the_twin_that_was_written_down_beforehand_is_not(tmp_path: Path) -> None:
    """The same policy judged again and again, on new runs too, was there before; so was the first of two texts."""
    first = a_policy(tmp_path / "first.yaml", 0.5)
    for i, value in enumerate((0.3, 0.2, 0.3)):
        folder = api.save(dossier(estimate(value)), tmp_path / "runs" / str(i))
        api.record(dossier(estimate(value)), folder)

        assert "exploratory" not in gate(folder, first).stderr

    gate(folder, a_policy(tmp_path / "second.yaml", 0.6))

    assert "exploratory" not in gate(folder, first).stderr
    assert msgspec.json.decode((folder / verdicts.NAME).read_bytes())["format"] == 1


def test_z40_rows_that_drifted_from_those_the_policy_names_prove_nothing() -> None:
    """One row more is another digest: no rule passes or fails on it. The twin, on the named rows, is judged."""
    found = dossier(estimate(0.01))
    named = found.evidence[0].data.digest
    rule = Rule(metric="fairness.gap", at_most=0.1, because="So.")

    def outcome(data: str, policy: Policy) -> str:
        moved = msgspec.structs.replace(
            found.evidence[0], data=msgspec.structs.replace(found.evidence[0].data, digest=data)
        )
        return judge(
            policy, msgspec.structs.replace(found, evidence=(moved,)), today=dt.date(2026, 11, 28)
        ).outcome

    policy = Policy(name="p", rules=(rule,), data=named)

    assert outcome(named, policy) == "pass"
    assert outcome("sha256:" + "0" * 64, policy) == "inconclusive"
    assert outcome("", policy) == "inconclusive"
