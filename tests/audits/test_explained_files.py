"""The file that ships is explained by its answers: pictures and texts of a real ONNX file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need the extra 'train'")
pytest.importorskip("onnx", reason="a file is exported with the extra 'onnx'")
pytest.importorskip("onnxruntime", reason="a file is asked with the extra 'onnx'")

from rai_bigmodel import datasets, dossier, files
from rai_bigmodel.audits.explainability import Explainability
from rai_bigmodel.audits.scenes import scene_of
from rai_bigmodel.audits.shapley import shapley_values
from rai_bigmodel.cli import main
from rai_bigmodel.deploy import to_onnx
from rai_bigmodel.subjects.of_onnx import of_onnx
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.training import fit, recipe

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"
READS = {"digits_cnn": ("pixels", "digits"), "toxicity_transformer": ("tokens", "templates")}


@pytest.fixture(scope="module", params=sorted(READS))
def shipped(request, tmp_path_factory):
    """A recipe's run after one epoch, its rows, and the file of it."""
    asked = recipe.shortened(recipe.read(RECIPES / f"{request.param}.yaml"))
    splits = datasets.by_name(asked.data, here=RECIPES)
    run = fit.train_recipe(asked, splits=splits)
    path = tmp_path_factory.mktemp("shipped") / f"{request.param}.onnx"
    path.write_bytes(to_onnx.to_onnx(run))
    return request.param, run, splits, path


def test_a_files_shapley_values_are_those_of_the_runs_answers(shipped) -> None:
    """The same coalitions put to the file and to the run; the same patches or words."""
    name, run, splits, path = shipped
    rows, scenes = np.arange(6), []
    for subject in (of_onnx(path), of_run(run)):
        scene = scene_of(
            Explainability(method="shapley"), replace(subject, module=None), splits.held_out, rows
        )
        assert not isinstance(scene, str)
        scenes.append(scene)
    file, net = (shapley_values(s.case, rng=np.random.default_rng(0), coalitions=300).values for s in scenes)

    assert scenes[0].kind == READS[name][0]
    assert np.abs(net).max() > 1e-3
    np.testing.assert_allclose(file, net, atol=1e-4)


@pytest.mark.parametrize("method", ["ablation", "integrated_gradients"])
def test_a_file_is_explained_from_the_shell_and_gradients_are_refused(
    shipped, tmp_path: Path, capsys, method
) -> None:
    """``subject: model.onnx``: the battery judges it, its rows are shown; without gradients, one line and exit 2."""
    name, _, _, path = shipped
    _, data = READS[name]
    written = tmp_path / "audit.yaml"
    written.write_text(
        f"subject: {path}\ndata: {data}\nseed: 7\naudits:\n"
        f"  explainability: {{method: {method}, rows: 30, hardest: 1, values: true}}\n",
        "utf-8",
    )
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(written), "--out", str(tmp_path / "out"), "--quiet"])
    said = capsys.readouterr()
    if method == "integrated_gradients":
        assert ended.value.code == 2
        assert "use shapley or ablation" in said.err
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert not (tmp_path / "out").exists()
        return
    (found,) = dossier.load(tmp_path / "out").evidence

    assert ended.value.code == 0
    assert found.failure == ""
    assert found.subject.digest == files.digest(path.read_bytes())
    told = {m.metric: m.value for m in found.measurements}
    assert told["explainability.ablation_agreement"] == pytest.approx(1.0)
    assert told["explainability.insertion_deletion_p"] <= 0.05
    assert any("Passed the battery" in e.caption for e in found.exhibits)
