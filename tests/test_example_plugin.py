"""Does the third-party audit of the examples come through the door, end to end?"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from rai_bigmodel import plugins
from rai_bigmodel.dossier import seal
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import DataId, Evidence
from rai_bigmodel.policy import Policy, Rule, judge
from rai_bigmodel.testing import check_audit, example_splits, example_subject

HERE = Path(__file__).resolve().parent.parent / "examples" / "plugin"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip would do: its metadata and its source on sys.path, both made from its own pyproject.toml."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "acme_stability-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [f"{name} = {target}" for name, target in project["entry-points"][plugins.GROUP].items()]
    (info / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n" + "\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(HERE / "src"))
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_the_example_is_listed_loaded_and_keeps_the_laws() -> None:
    """By its name alone, with its parameter."""
    listed = plugins.installed()["decision_stability"]
    audit = plugins.load("decision_stability", {"margin": 0.1})

    assert (listed.distribution, listed.version) == ("acme-stability", "0.1.0")
    check_audit(audit, name="decision_stability")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("params", [{"margins": 0.1}, {"margin": "wide"}, {"margin": 2.0}])
def test_a_wrong_parameter_of_the_example_is_refused_with_its_path(params: dict[str, object]) -> None:
    """An unknown name, a wrong type, a value it refuses itself."""
    with pytest.raises(InputError, match=r"^audit\.yaml: \$\.audits\.decision_stability"):
        plugins.load("decision_stability", params, where="audit.yaml")


@pytest.mark.usefixtures("installed")
def test_a_policy_can_judge_what_the_example_measured() -> None:
    """Its evidence is evidence like any other."""
    audit = plugins.load("decision_stability")
    subject, splits = example_subject(), example_splits()
    found = audit(subject, splits, np.random.default_rng(0))
    data = DataId(name="made-up", digest=splits.held_out.digest, rows=splits.held_out.rows)
    kept = Evidence(
        audit="decision_stability",
        question=audit.question,
        params={"margin": 0.02},
        seed=0,
        tool="t",
        subject=subject.identity(),
        data=data,
        measurements=found.measurements,
        exhibits=found.exhibits,
    )
    made = seal(
        [("decision_stability.json", kept)],
        produced={
            "subjects": (subject.identity(),),
            "data": (data,),
            "configuration": {},
            "versions": {},
            "threads": 1,
        },
        created="2026-11-20",
        host="h",
        tool="t",
    )
    rules = tuple(
        Rule(metric="decision_stability.knife_edge_share", at_most=limit, because="A test.")
        for limit in (0.2, 0.0)
    )
    verdict = judge(Policy(name="p", rules=rules), made, today=dt.date(2026, 11, 22))

    assert [r.outcome for r in verdict.rulings] == ["pass", "fail"]


def test_the_examples_own_tests_pass() -> None:
    """As its author would run them."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir",
            ".",
            "tests",
        ],
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE / "src")])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
