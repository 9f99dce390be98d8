"""Can an exported file be audited on a table of rows, lightly, and is a file that cannot refused in one line?"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rai_bigmodel import api
from rai_bigmodel.errors import InputError
from rai_bigmodel.subjects.of_onnx import of_onnx
from rai_bigmodel.tables import read_table

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "reports" / "samples" / "demo" / "model.onnx"
CODE = """
import sys
from rai_bigmodel.cli import main
try:
    main(sys.argv[1:])
finally:
    assert "torch" not in sys.modules and "onnx" not in sys.modules, "heavy"
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    """A csv of made-up rows with the columns that the sample reads, an outcome and two attributes."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    features = of_onnx(MODEL).card["features"]
    with path.open("w", newline="") as out:
        write = csv.writer(out)
        write.writerow([*features, "paid", "region", "age"])
        for _ in range(400):
            region = rng.choice(["north", "south"])
            write.writerow(
                [*rng.normal(size=len(features)).round(3), rng.integers(2), region, rng.choice(["a", "b"])]
            )
    return path


def test_the_command_writes_the_evidence_of_the_same_scores_without_torch(rows: Path, tmp_path: Path) -> None:
    """In a fresh interpreter; what it measured is what `rai.audit` measures of the same file and rows."""
    args = ["audit", "--model", MODEL, "--data", rows, "--truth", "paid", "--sensitive", "region"]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, args), "--sensitive", "age", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    dossier = api.load(tmp_path / "out")
    subject = of_onnx(MODEL)
    table = read_table(rows, roles={"feature": tuple(subject.card["features"]), "truth": ("paid",)})
    right = (subject.predict(table.columns) >= subject.decision.threshold) == (table.columns["paid"] == 1)
    accuracy = {m.metric: m.value for e in dossier.evidence for m in e.measurements}["performance.accuracy"]

    assert done.returncode == 0, done.stderr
    assert accuracy == pytest.approx(right.mean())
    assert {e.subject.digest for e in dossier.evidence} == {subject.digest}
    assert any(m.labels.get("attribute") == "region*age" for e in dossier.evidence for m in e.measurements)


def test_a_column_may_be_read_and_compared_by(rows: Path) -> None:
    """Names of groups are texts, the model reads numbers: it gets them as numbers."""
    feature = of_onnx(MODEL).card["features"][0]
    text = rows.read_text().splitlines()
    both = rows.with_name("both.csv")
    both.write_text(
        "\n".join([text[0], *(f"{i % 2}{line[line.index(',') :]}" for i, line in enumerate(text[1:]))])
    )
    dossier = api.audit_model(MODEL, both, truth="paid", sensitive=[feature])

    assert not any(e.failure for e in dossier.evidence)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"truth": "nothing"}, "'nothing' is not there"),
        ({"sensitive": []}, "at least one sensitive attribute"),
        ({"positive": "other"}, "the score it gives is that of"),
    ],
)
def test_what_cannot_be_used_is_one_line(rows: Path, change: dict, said: str) -> None:
    """A column that is not there, no attribute, the score of another label."""
    with pytest.raises(InputError, match=said) as error:
        api.audit_model(MODEL, rows, **{"truth": "paid", "sensitive": ["region"], **change})

    assert "\n" not in str(error.value)


def test_data_without_an_input_and_a_hostile_model_are_one_line(rows: Path, tmp_path: Path) -> None:
    """The column is named; what a scan finds is said before anything is loaded."""
    feature = of_onnx(MODEL).card["features"][0]
    fewer = tmp_path / "fewer.csv"
    fewer.write_text(rows.read_text().replace(feature, "another", 1))
    evil = tmp_path / "evil.onnx"
    evil.write_bytes(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.")

    with pytest.raises(InputError, match=f"'{feature}' is not there"):
        api.audit_model(MODEL, fewer, truth="paid", sensitive=["region"])
    with pytest.raises(InputError, match=r"evil\.onnx: unsafe, not loaded: .*os\.system"):
        api.audit_model(evil, rows, truth="paid", sensitive=["region"])
