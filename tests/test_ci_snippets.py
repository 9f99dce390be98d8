"""Do the snippets for build servers do what they say, as far as a machine without those servers can tell?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dossiers import dossier, estimate

from rai_bigmodel import api

HERE = Path(__file__).resolve().parent.parent


def loaded(path: str) -> Any:
    return yaml.safe_load((HERE / path).read_text(encoding="utf-8"))


@pytest.fixture(name="place")
def a_repository(tmp_path: Path) -> Path:
    """Evidence of a model whose gap is undecided at .1, and its policy."""
    api.save(dossier(estimate(0.1)), tmp_path / "evidence" / "candidate")
    (tmp_path / "policy.yaml").write_text(
        "name: p\nrules:\n  - {metric: fairness.gap, at_most: 0.1, because: So.}\n"
    )
    return tmp_path


def shell(script: str, place: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=place,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def action(place: Path, **inputs: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """The action's own gate step, with its inputs and GitHub's files."""
    said = loaded("action.yml")
    given = {name: i.get("default", "") for name, i in said["inputs"].items()}
    given |= {"evidence": "evidence/candidate", "policy": "policy.yaml", **inputs}
    step = next(s for s in said["runs"]["steps"] if s.get("id") == "gate")
    environment = {
        name: given[value.removeprefix("${{ inputs.").removesuffix(" }}")]
        for name, value in step["env"].items()
    }
    (place / "output").write_text("")
    done = shell(
        step["run"],
        place,
        GITHUB_OUTPUT=str(place / "output"),
        GITHUB_STEP_SUMMARY=str(place / "summary"),
        **environment,
    )
    return done, (place / "output").read_text()


@pytest.mark.parametrize(
    ("value", "inconclusive", "code", "outcome"),
    [
        (0.01, "fail", 0, "pass"),
        (0.3, "neutral", 1, "fail"),
        (0.1, "fail", 3, "inconclusive"),
        (0.1, "neutral", 0, "inconclusive"),
    ],
)
def test_the_action_turns_the_verdict_into_a_check(
    place: Path, value: float, inconclusive: str, code: int, outcome: str
) -> None:
    """Its gate step as GitHub runs it: exit code, output, summary, SARIF, JUnit and the page."""
    api.save(dossier(estimate(value)), place / "evidence" / "candidate")
    done, said = action(place, inconclusive=inconclusive)

    assert done.returncode == code, done.stderr
    assert said == f"outcome={outcome}\n"
    assert (place / "summary").read_text().startswith("## ")
    assert {p.name for p in (place / "rai-gate").iterdir()} == {
        "gate.md",
        "gate.sarif",
        "gate.xml",
        "report.html",
    }


def test_what_stands_in_an_input_of_the_action_is_never_run(place: Path) -> None:
    """A policy named like a command is a policy that is not there: exit 2, and nothing happened."""
    done, _ = action(place, policy='$(touch harmed)"; touch harmed; "')

    assert done.returncode == 2
    assert not (place / "harmed").exists()
    for step in loaded("action.yml")["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_the_gitlab_job_runs_its_gate_and_lets_undecided_pass(place: Path) -> None:
    """Its last script line gives 3 here, the one code that the job allows."""
    job = loaded("examples/ci/gitlab.yml")["gate"]
    done = shell(job["script"][-1], place)

    assert done.returncode == 3
    assert job["allow_failure"]["exit_codes"] == [3]
    assert (place / job["artifacts"]["reports"]["junit"]).exists()


def test_the_pre_commit_hook_refuses_a_policy_that_cannot_be_read(place: Path) -> None:
    """Its entry with the file's name: 0 for the policy that is there, 2 for one with a slip."""
    hook = loaded("examples/ci/pre-commit.yml")["repos"][0]["hooks"][0]
    (place / "policy-bad.yaml").write_text("name: p\nrules: [{metric: a.b, at_mots: 1, because: So.}]\n")

    assert shell(f"{hook['entry']} policy.yaml", place).returncode == 0
    refused = shell(f"{hook['entry']} policy-bad.yaml", place)
    assert refused.returncode == 2
    assert "at_mots" in refused.stderr
