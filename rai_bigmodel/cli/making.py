"""Which commands make a model? ``demo train export mitigate``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from rai_bigmodel.cli.terminal import Progress, example, print_verdict, process, quietly, say, stoppable


@click.command(**example("rai demo", "rai demo --out reports/first-try"))
@click.option("--out", default="reports/demo", show_default=True, help="Folder to write to.")
@quietly
def demo(out: str, *, quiet: bool) -> int:
    """Train a private model on real mortgage data, audit it, judge it, and write the page.

    Exits with 0 when it finished, whatever the verdict; `rai gate` turns the verdict into an exit code.
    """
    from rai_bigmodel import api

    progress = Progress(quiet=quiet)
    dossier, verdict = api.demo(out, on_progress=progress)
    progress.clear()
    print_verdict(verdict, quiet=quiet)
    for evidence in dossier.evidence:
        if evidence.failure:
            say(f"the audit {evidence.audit} of {evidence.subject.name} broke: {evidence.failure}", 0)
    if not quiet:
        click.echo(f"The page: {Path(out) / 'report.html'}", err=True)
    return 0


@click.command(
    **example(
        "rai train recipe.yaml",
        "rai train recipe.yaml --out runs/loan",
        "rai train recipe.yaml --out runs/loan --resume",
        "rai train recipe.yaml --out runs/loan-seeds --seeds 5",
    )
)
@click.argument("recipe", type=click.Path())
@click.option(
    "--out",
    metavar="RUN",
    help="Folder for model.safetensors and card.json; by default reports/ and the recipe file's name.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint that a stopped training left in RUN.")
@click.option(
    "--seeds",
    type=int,
    metavar="N",
    help="Train under so many seeds, from the recipe's on: RUN/seed-7 and so on, a run each.",
)
@quietly
def train(recipe: str, out: str | None, *, resume: bool, seeds: int | None, quiet: bool) -> int:
    """Train the network that RECIPE describes.

    A training that is stopped leaves a checkpoint in RUN/resume (how often one is written: train.every in RECIPE),
    from which --resume goes on to the weights that it would have had. That of a private training is a secret: it
    goes when the training ends.

    With --seeds, relatives: {recipe: RUN/} in an audit.yaml says how far each number lies apart between the seeds: does
    the verdict hang on one? A private recipe is refused, with the ε that so many trainings would spend.

    Under torchrun --nproc-per-node=N --no-python rai train … N processes share each batch, and the first of them
    writes. Of a private training it adds the noise, once; what goes between the processes is not yet private.
    """
    from rai_bigmodel import api

    out = out or str(Path("reports") / Path(recipe).stem)
    progress = Progress(quiet=quiet)

    shown = 0.0

    def on_step(step: int, of: int, loss: float | None, pace: Any) -> None:
        nonlocal shown
        if (now := time.monotonic()) - shown < 0.1 and step < of:
            return
        shown = now
        said = "" if loss is None else f" · loss {loss:.4g}"
        minutes, seconds = divmod(round(pace.seconds_left), 60)
        speed = f"{pace.rows_per_second:,.0f} rows/s"
        progress(f"train{said} · {speed} · {minutes}:{seconds:02d} left ·", step, of)

    how: dict[str, Any] = {"out": out, "resume": resume, "on_step": on_step if progress.on else None}
    with stoppable():
        if seeds is None:
            runs = {Path(out): api.train_recipe(recipe, **how)}
        else:
            runs = {
                Path(out) / f"seed-{s}": run for s, run in api.train_seeds(recipe, seeds=seeds, **how).items()
            }
    progress.clear()
    if not quiet and process() == 0:
        for folder, run in runs.items():
            click.echo(f"{run.name}: {folder / 'model.safetensors'} ({run.digest})", err=True)
    return 0


@click.command(
    **example(
        "rai export runs/loan --out loan.onnx",
        "rai export runs/digits --int8 --fp16",
        "rai export runs/loan --int8 --data audit.yaml",
    )
)
@click.argument("run", type=click.Path())
@click.option(
    "--out", help="The ONNX file; by default RUN/model.onnx, RUN/model.int8.onnx, RUN/model.fp16.onnx."
)
@click.option("--int8", is_flag=True, help="In whole numbers of 8 bits.")
@click.option("--fp16", is_flag=True, help="In half precision; with --int8 as well, two files.")
@click.option(
    "--data",
    metavar="AUDIT.yaml",
    help="Names the run's own rows, where its recipe names none of ours: to check on, and for --int8 to measure on.",
)
@quietly
def export(run: str, out: str | None, *, int8: bool, fp16: bool, data: str | None, quiet: bool) -> int:
    """Write the trained network in RUN as an ONNX file that takes raw columns, and check that it agrees.

    It is asked at the edges of what may come, one row alone among them, and on the run's held-out rows where these
    are at hand. A file whose answers differ by more than its precision explains (1e-5; 0.002 in half precision, 0.1 in
    8 bits), or that decides otherwise (0.5 % and 2 % of rows are allowed there), is not written: exit code 1.
    """
    from rai_bigmodel import api

    variants = [v for v, asked in (("fp16", fp16), ("int8", int8)) if asked]
    splits = None if data is None else api.read_splits(data)
    for variant in variants or ["fp32"]:
        path = _file_of(variant, run, out, alone=len(variants) < 2)
        subject = api.export(run, path, variant=variant, splits=splits)  # type: ignore[arg-type]
        if quiet:
            continue
        agreed, size = subject.card["parity"], subject.card["size_bytes"]
        where = (
            "the run's held-out rows"
            if agreed["real"]
            else "the edges of what may come; no rows were at hand"
        )
        click.echo(f"{path} ({subject.digest})", err=True)
        click.echo(
            f"  {variant}, {size:,} bytes; {agreed['rows']:,} rows on {where}: answers within "
            f"{agreed['max_abs_difference']:.2g}, {agreed['flipped']} decided otherwise",
            err=True,
        )
    return 0


def _file_of(variant: str, run: str, out: str | None, *, alone: bool) -> str:
    """Where a variant goes: --out itself, where only one is asked for; else beside it, with its name in between."""
    if out is not None and alone:
        return out
    path = Path(out) if out is not None else Path(run) / "model.onnx"
    return str(path if variant == "fp32" else path.with_suffix(f".{variant}{path.suffix}"))


@click.command(
    **example(
        "rai mitigate audit.yaml --attribute race --out runs/fairer",
        "rai mitigate reports/demo/audit.yaml --role plain --attribute race --out runs/fairer",
    )
)
@click.argument("file", type=click.Path(), metavar="AUDIT.yaml")
@click.option("--attribute", required=True, metavar="A", help="The attribute; a*b is an intersection.")
@click.option(
    "--constraint",
    default="demographic_parity",
    show_default=True,
    metavar="C",
    help="What should be alike in every group: demographic_parity, equal_opportunity or equalized_odds.",
)
@click.option("--out", required=True, metavar="RUN", help="Folder for the fairer model and frontier.json.")
@click.option(
    "--role", default="primary", show_default=True, metavar="ROLE", help="Which of the audit's subjects."
)
@click.option(
    "--accuracy-cost",
    type=float,
    default=0.02,
    show_default=True,
    metavar="X",
    help="The most accuracy on the calibration rows that may be given up.",
)
@click.option(
    "--rounds",
    type=int,
    metavar="N",
    help="Rounds of Fairlearn's ExponentiatedGradient, some three trainings each; 0 leaves it out "
    "[default: 8 where fairlearn is installed].",
)
@click.option("--policy", metavar="POLICY.yaml", help="May allow methods that read the attribute to decide.")
@click.option("--json", "as_json", is_flag=True, help="The frontier as JSON on stdout.")
@quietly
def mitigate(file: str, *, out: str, as_json: bool, quiet: bool, **how: Any) -> int:
    """Look for a fairer model, and say what it costs.

    The subject of AUDIT.yaml is trained again in other ways: without features that tell the attribute, with simpler
    settings, with rows reweighed, with the demand put into labels and weights, by Fairlearn's ExponentiatedGradient.
    One is chosen on the calibration rows; what it costs is measured on the held-out rows. RUN is a run like any
    other: rai audit and rai export take it.

    Your own rows come as three files: data: {file: held_out.csv, train: train.csv, calibrate: calibrate.csv,
    truth: …, sensitive: […]}; train and calibrate are those that the run was made from.
    """
    from rai_bigmodel import api, files

    progress = Progress(quiet=quiet)
    made = api.mitigate_file(file, out=out, on_candidate=progress, **how)
    progress.clear()
    frontier = made.frontier
    if as_json:
        click.echo(files.canonical_json(frontier).decode(), nl=False)
    else:
        from rai_bigmodel.mitigate import words

        for line in (*words.table(frontier), *words.by_group(frontier)):
            click.echo(line)
    if not quiet:
        from rai_bigmodel.mitigate import words

        for line in words.prose(frontier):
            click.echo(files.visible(line), err=True)
        click.echo(f"{made.run.name}: {Path(out) / 'model.safetensors'} ({made.run.digest})", err=True)
    return 0
