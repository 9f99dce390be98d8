"""Can a model that scikit-learn made be exported and audited whole, from Python and the command line?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cohorts import subject
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rai_bigmodel as rai
from rai_bigmodel import api, cli
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.declared import refuse_unused
from rai_bigmodel.subjects.of_sklearn import of_sklearn
from rai_bigmodel.tables import Table

X, Y = load_breast_cancer(return_X_y=True)
X, NAMES = X[:, :6], [f"f{i}" for i in range(6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline as theirs.onnx, and 200 rows in rows.csv."""
    there = tmp_path_factory.mktemp("theirs")
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    api.export(pipeline, there / "theirs.onnx", features=NAMES)
    lines = [",".join([*NAMES, "y", "g"])]
    lines += [
        ",".join([*map(str, row), str(y), "ab"[i % 2]])
        for i, (row, y) in enumerate(zip(X[:200], Y, strict=False))
    ]
    (there / "rows.csv").write_text("\n".join(lines))
    return there


def asked(folder: Path, out: str, *more: str) -> list[str]:
    where = ["--model", str(folder / "theirs.onnx"), "--data", str(folder / "rows.csv"), "--truth", "y"]
    return ["audit", *where, "--sensitive", "g", "--out", str(folder / out), *more]


def test_a_foreign_file_is_audited_once_its_columns_are_declared(folder: Path, capsys) -> None:
    """--feature in its order; without them, with one too few, or with a flag of another kind: exit 2 and one line."""
    features = [part for name in NAMES for part in ("--feature", name)]

    assert cli._run(asked(folder, "out", *features, "--threshold", "0.6")) == 0
    dossier = api.load(folder / "out")
    assert dossier.manifest.evidence
    assert not [e.failure for e in dossier.evidence if e.failure]
    assert dossier.evidence[0].subject.decision.threshold == 0.6  # type: ignore[union-attr]
    capsys.readouterr()
    for more, said in (
        ([], "it was not written by rai export: say which columns it reads"),
        (features[:-2], "reads 6 columns, 5 are named"),
        ([*features, "--output", "none"], "'none' is not there"),
        ([*features, "--baseline", str(folder / "theirs.onnx")], "relatives: {baseline: {model: theirs.onnx"),
        ([*features[:-1], "elsewhere"], "elsewhere"),
    ):
        assert cli._run(asked(folder, "no", *more)) == 2
        err = capsys.readouterr().err
        assert said in err
        assert len(err.strip().splitlines()) == 1
    assert not (folder / "no").exists()


def test_audit_yaml_may_declare_a_foreign_model_as_subject_and_as_relative(folder: Path) -> None:
    """subject: {model, features}; a relative beside it is a variant of the deployment audit; a wrong key is refused."""
    text = (
        "subject: {model: theirs.onnx, features: [f0, f1, f2, f3, f4, f5]}\n"
        "relatives: {onnx: {model: theirs.onnx, features: [f0, f1, f2, f3, f4, f5]}}\n"
        "data: {file: rows.csv, truth: y, sensitive: [g]}\n"
        "audits: {performance: {}, deployment: {batches: []}}\n"
    )
    (folder / "audit.yaml").write_text(text)
    dossier = api.audit_file(folder / "audit.yaml")
    found = {m.metric: m.value for e in dossier.evidence for m in e.measurements}

    assert found["deployment.decision_flip_rate"] == 0
    assert found["performance.roc_auc"] > 0.9  # type: ignore[operator]
    for wrong, said in (
        ("{model: theirs.onnx, feature: [a]}", r"\$\.subject"),
        ("{model: a.onnx, endpoint: 'http://x'}", "exactly one of table, model, endpoint"),
    ):
        (folder / "wrong.yaml").write_text(text.replace(text.splitlines()[0], f"subject: {wrong}"))
        with pytest.raises(InputError, match=said):
            api.audit_file(folder / "wrong.yaml")


def test_digits_by_a_pipeline_go_through_the_whole_audit(tmp_path: Path) -> None:
    """Ten labels, exported by skl2onnx, beside the pipeline itself: no decision differs, and no audit breaks."""
    pixels, digit = load_digits(return_X_y=True)
    names = [f"p{i}" for i in range(64)]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(
        pixels[:800], digit[:800]
    )
    columns = {**dict(zip(names, pixels[800:1400].T, strict=True)), "digit": digit[800:1400] * 1.0}
    columns["row"] = np.array(["odd", "even"], dtype=object)[np.arange(600) % 2]
    roles = {"feature": tuple(names), "truth": ("digit",), "sensitive": ("row",)}
    rows = Splits(held_out=Table(name="digits", columns=columns, roles=roles))
    shipped = api.export(pipeline, tmp_path / "digits.onnx", features=names, splits=rows)
    dossier = rai.audit(
        of_sklearn(pipeline, features=names),
        rows,
        audits={
            "performance": {},
            "calibration": {},
            "fairness": {},
            "slices": {},
            "data": {},
            "deployment": {"batches": [1], "repeats": 5, "explained": 6},
        },
        relatives={"onnx": shipped},
    )
    found = {m.metric: m for e in dossier.evidence for m in e.measurements}

    assert not [e.failure for e in dossier.evidence if e.failure]
    assert shipped.decision.labels == tuple(map(str, range(10)))
    assert found["deployment.decision_flip_rate"].value == 0
    assert found["deployment.max_abs_difference"].value < 1e-4  # type: ignore[operator]
    assert found["deployment.explanation_agreement"].value > 0.99  # type: ignore[operator]
    assert found["performance.accuracy"].value > 0.9  # type: ignore[operator]


def test_what_skl2onnx_cannot_write_is_one_line_that_says_what_would_do(tmp_path: Path) -> None:
    """HistGradientBoosting fails there today; the day it works, the file must agree."""
    booster = HistGradientBoostingClassifier(max_iter=3).fit(X, Y)
    try:
        shipped = api.export(booster, tmp_path / "b.onnx", features=NAMES)
    except InputError as error:
        said = str(error)
        assert "\n" not in said
        assert "HistGradientBoostingClassifier" in said
        assert "audit the estimator itself" in said
        assert not list(tmp_path.iterdir())
    else:
        rows = dict(zip(NAMES, X.T, strict=True))
        assert np.abs(shipped.predict(rows) - booster.predict_proba(X)[:, 1]).max() < 1e-3


@pytest.mark.parametrize(
    ("given", "said"), [({"threshold": 0.3}, "threshold: 0.3"), ({"positive": "a"}, "positive: a")]
)
@pytest.mark.parametrize("labels", [("a", "b", "c"), ()])
def test_what_decides_by_no_threshold_is_not_given_one(
    labels: tuple[str, ...], given: dict, said: str
) -> None:
    """Of several labels the likeliest is given, whatever stands there: the option would do nothing."""
    decision = Decision(kind="argmax", threshold=None, positive="", labels=labels)
    asked = {"positive": "", "threshold": None, **given}

    with pytest.raises(InputError, match=f"decides between .* labels, so {said} does nothing"):
        refuse_unused(subject(decision=decision), **asked)
    refuse_unused(subject(decision=decision), positive="", threshold=None)
    refuse_unused(subject(), **asked)
