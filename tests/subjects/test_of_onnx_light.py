"""Does an exported model need torch?"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from rai_bigmodel.deploy.export import export
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table
from rai_bigmodel.training import fit

CODE = """
import sys
import numpy as np
from rai_bigmodel.subjects.of_onnx import of_onnx
scores = of_onnx(sys.argv[1]).predict({"a": np.array([0.0, np.nan])})
assert scores.shape == (2,), scores
assert "torch" not in sys.modules
assert "onnx" not in sys.modules
"""


def test_an_onnx_file_is_a_subject_without_loading_torch(tmp_path: Path) -> None:
    """In a fresh interpreter, torch stays unloaded from door to score."""
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=40), "y": np.arange(40) % 2.0}
    toy = Table(name="toy", columns=columns, roles={"feature": ("a",), "truth": ("y",)})
    run = fit.train(MLP(hidden=()), Splits(train=toy, calibrate=toy, held_out=toy), epochs=1)
    export(run, tmp_path / "m.onnx")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, str(tmp_path / "m.onnx")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert done.returncode == 0, done.stderr
