"""Many rows of a Transformer are explained within the byte budget, whatever the method, in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="networks need the extra 'train'")
pytest.importorskip("captum", reason="methods of Captum's are measured too")
pytest.importorskip("resource", reason="peak memory is asked of a Unix")

BUDGET, ROWS, LENGTH, WIDTH = 32 * 2**20, 400, 24, 32
METHODS = ("ablation", "shapley", "deep_lift", "gradient_shap", "integrated_gradients")
MEASURED = f"""
import json, resource, sys
import captum.attr, numpy as np, torch
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
from rai_bigmodel import nets
from rai_bigmodel.audits import attributions
from rai_bigmodel.audits.methods import chosen
from rai_bigmodel.audits.readings import of_texts

words = nets.Reads(tokens=nets.Tokens(words=tuple(f"w{{i}}" for i in range(98)), length={LENGTH}))
config = nets.Transformer(width={WIDTH}, heads=4, layers=2, feedforward=128)
net = config.build(words, generator=torch.Generator().manual_seed(0)).eval()
ids = np.random.default_rng(0).integers(2, 100, size=({ROWS}, {LENGTH}))
of_texts(net, ids[:4])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before, over = peak(), {{}}
case = of_texts(net, ids, budget={BUDGET}).case
for method in {METHODS!r}:
    some = case.some(np.arange(40 if method == "shapley" else {ROWS}))
    chosen(method, some, kind="tokens", steps=256)[1](some, np.random.default_rng(0))
    over[method] = peak() - before
print(json.dumps(over))
"""


def test_the_peak_of_many_rows_keeps_to_the_budget_beside_the_rows_themselves() -> None:
    """Asked all at once, 15 points of 400 rows would hold 1 GB; rows lie there from two starts, five times in all."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    over = json.loads(done.stdout)
    rows = 4 * ROWS * LENGTH * WIDTH

    assert set(over) == set(METHODS)
    for method, peak in over.items():  # 32 MiB for what allocators keep
        assert peak <= BUDGET + 5 * rows + 32 * 2**20, (method, peak / 2**20)
