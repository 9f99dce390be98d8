"""Which commands look at a model? ``audit scan audits``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rai_bigmodel.cli.terminal import Progress, example, quietly, record, say
from rai_bigmodel.errors import RaiError


@click.command(
    **example(
        "rai audit audit.yaml --out reports/loan",
        "rai audit --predictions scored.csv --truth repaid --score p --threshold 0.6 \\",
        "    --sensitive race --sensitive sex --out reports/scored",
        "rai audit audit.yaml --out reports/loan --resume",
        "rai audit --model loan.onnx --data held_out.csv --truth repaid --sensitive race --out reports/loan",
        "rai audit --model theirs.onnx --feature age --feature income --positive yes --threshold 0.6 \\",
        "    --data held_out.csv --truth repaid --sensitive race --out reports/theirs",
        "rai audit audit.yaml --out reports/loan --baseline runs/in-production",
    )
)
@click.argument("file", required=False, type=click.Path(), metavar="[AUDIT.yaml]")
@click.option("--out", help="Folder for evidence and manifest; beside AUDIT.yaml by default.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Of the audits in AUDIT.yaml, run this one (repeatable)."
)
@click.option(
    "--resume", is_flag=True, help="Run only what a stopped audit of the same AUDIT.yaml had not finished."
)
@click.option(
    "--predictions",
    metavar="FILE",
    help="A csv, a parquet file or a folder of parquet, in place of AUDIT.yaml.",
)
@click.option(
    "--model",
    metavar="FILE.onnx",
    help="An exported model, in place of AUDIT.yaml; one that rai export did not write needs --feature or --input.",
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="COL",
    help="A column that a foreign --model reads, in its order (repeatable).",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=COL[,COL]",
    help="An input of a foreign --model with several, and its columns (repeatable).",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="LABEL",
    help="What a foreign --model decides between, in the order of its probabilities (repeatable).",
)
@click.option(
    "--output", default="", metavar="NAME", help="Which output of a foreign --model holds its scores."
)
@click.option("--data", metavar="FILE", help="The rows that --model is audited on: a csv or parquet.")
@click.option(
    "--baseline",
    metavar="WHAT",
    help="What runs today, to measure changes against: a run, a FILE.onnx, or a table of its predictions on these rows "
    "(columns by --prediction, --score, --threshold; rows in the same order, or matched by --id).",
)
@click.option("--truth", metavar="COL", help="The column of outcomes.")
@click.option("--prediction", metavar="COL", help="The column of decisions.")
@click.option("--score", metavar="COL", help="The column of scores, from 0 to 1.")
@click.option(
    "--threshold",
    type=float,
    metavar="T",
    help="A score at or above it is a positive decision [default: 0.5].",
)
@click.option(
    "--sensitive",
    multiple=True,
    metavar="COL",
    help="An attribute to compare groups by (repeatable); a*b is an intersection.",
)
@click.option("--no-intersections", is_flag=True, help="Do not compare pairs of attributes.")
@click.option(
    "--positive",
    default="",
    metavar="LABEL",
    help="The label that counts as positive [default: 1 of 0 and 1].",
)
@click.option("--id", "identifier", metavar="COL", help="A column that only names rows.")
@click.option("--weight", metavar="COL", help="A column of weights above 0, for the fairness audit.")
@quietly
def audit(
    file: str | None,
    out: str | None,
    *,
    only: tuple[str, ...],
    resume: bool,
    predictions: str | None,
    model: str | None,
    data: str | None,
    baseline: str | None,
    quiet: bool,
    **columns: Any,
) -> int:
    """Put a subject before audits and write what they find.

    Either AUDIT.yaml says what to do, or --predictions names a table of predictions, or --model an exported model
    and --data the rows to ask it about; the last two load no torch.

    What each audit of AUDIT.yaml finds is kept in DIR/unfinished until all is there, so that a stopped run can go on
    with --resume.
    """
    if predictions is not None and click.get_current_context().obj:
        _collect_seldom()
    from rai_bigmodel import api, files

    progress = Progress(quiet=quiet)
    if sum(given is not None for given in (file, predictions, model)) != 1:
        msg = "give either AUDIT.yaml, or --predictions FILE, or --model FILE.onnx with --data FILE"
        raise click.UsageError(msg, click.get_current_context())
    if (model is None) != (data is None):
        msg = "--model and --data go together"
        raise click.UsageError(msg, click.get_current_context())
    before = baseline if predictions else _before(baseline, columns)
    if file is not None:
        _refuse_columns(columns)
        out = out or str(Path(file).parent)
        files.refuse_unwritable(out)
        dossier = api.audit_file(
            file, only=only, baseline=before, on_audit=progress, folder=out, resume=resume
        )
    else:
        missing = [f"--{name}" for name in ("truth", "sensitive") if not columns[name]] + (
            [] if out else ["--out"]
        )
        if missing:
            msg = f"--{'model' if model else 'predictions'} also needs {', '.join(missing)}"
            raise click.UsageError(msg, click.get_current_context())
        if given := [f"--{name}" for name, there in (("only", only), ("resume", resume)) if there]:
            msg = f"{', '.join(given)} goes with AUDIT.yaml"
            raise click.UsageError(msg, click.get_current_context())
        assert out is not None
        files.refuse_unwritable(out)
        intersections = not columns.pop("no_intersections")
        foreign = {name: columns.pop(name) for name in ("features", "labels", "output", "inputs")}
        foreign["inputs"] = _inputs(foreign["inputs"])
        how = {"intersections": intersections, "baseline": before, "on_audit": progress, **columns}
        if model is not None and data is not None:
            if given := [f"--{name}" for name in ("prediction", "score") if how.pop(name) is not None]:
                msg = f"{', '.join(given)} goes with --predictions; a model gives its own"
                raise click.UsageError(msg, click.get_current_context())
            dossier = api.audit_model(model, data, **how, **foreign)
        else:
            if given := [f"--{name.removesuffix('s')}" for name, value in foreign.items() if value]:
                msg = f"{', '.join(given)} goes with --model"
                raise click.UsageError(msg, click.get_current_context())
            dossier = api.audit_predictions(predictions, **how)
    api.save(dossier, out)
    record(dossier, out)
    progress.clear()
    if not quiet:
        click.echo(f"{len(dossier.evidence)} pieces of evidence in {Path(out) / 'evidence'}", err=True)
        click.echo(f"run {dossier.manifest.run}", err=True)
    broken = [e for e in dossier.evidence if e.failure]
    for evidence in broken:
        say(f"the audit {evidence.audit} of {evidence.subject.name} broke: {evidence.failure}", 3)
    return 3 if broken else 0


COLLECTED_AFTER = 50_000


def _collect_seldom() -> None:
    """In an audit of predictions, in a process of its own, cycles of objects are looked for less often.

    To look after every 700 objects takes a twentieth of it. What its imports leave is not looked through again either;
    DuckDB comes later, because it tells what is not looked through at the end as its own leaks.
    """
    import gc

    import rai_bigmodel.asking
    import rai_bigmodel.collect  # noqa: F401 - it is needed anyway, and first of all

    gc.set_threshold(COLLECTED_AFTER, *gc.get_threshold()[1:])
    gc.freeze()


def _before(baseline: str | None, columns: dict[str, Any]) -> Any:
    """What --baseline names beside a model: a model, or a table with the columns that are named for it."""
    from rai_bigmodel.asking import Predictions, is_table

    if baseline is None or not is_table(baseline):
        return baseline
    named = {name: columns[name] for name in ("prediction", "score", "threshold")}
    # The decision of a foreign model is that of the same threshold; any other subject says itself how it decides.
    shared = {"threshold"} if columns["features"] or columns["inputs"] else set()
    columns |= dict.fromkeys(named.keys() - shared)
    if named["prediction"] is None and named["score"] is None:
        msg = f"--baseline {baseline} is a table; --prediction or --score names what it answers"
        raise click.UsageError(msg, click.get_current_context())
    return Predictions(table=baseline, **named)


def _inputs(given: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """``NAME=COL,COL`` as name → columns."""
    found = {}
    for one in given:
        name, equals, read = one.partition("=")
        if not equals or not name or not read:
            msg = f"--input must be NAME=COL or NAME=COL,COL, got {one!r}"
            raise click.UsageError(msg, click.get_current_context())
        found[name] = tuple(read.split(","))
    return found


def _refuse_columns(columns: dict[str, Any]) -> None:
    given = [f"--{name}" for name, value in columns.items() if value]
    if given:
        msg = f"{', '.join(given)} goes with --predictions; AUDIT.yaml says the same under data:"
        raise click.UsageError(msg, click.get_current_context())


@click.command(**example("rai scan model.onnx weights.pt", "rai scan downloads/*.safetensors --json"))
@click.argument("paths", type=click.Path(), metavar="FILE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@quietly
def scan(paths: tuple[str, ...], *, as_json: bool, quiet: bool) -> int:
    """Look at model files without loading them: exit 0 all safe, 1 one is unsafe, 2 one cannot be judged.

    Pickles (.pt .pth .pkl .joblib .bin .ckpt), safetensors, ONNX, npz, Keras, zip and tar are told by their bytes. A
    process of its own reads each, with little memory, time and no other file; nothing in a file is run.
    """
    from rai_bigmodel import files
    from rai_bigmodel import scan as looks

    found, unread = [], False
    for path in paths:
        try:
            found.append(looks.scan(path))
        except RaiError as error:
            unread = True
            say(" ".join(str(error).split()), 2)
    if as_json:
        click.echo(files.canonical_json(found).decode(), nl=False)
    for one in found if not as_json else ():
        word = "safe" if one.safe else "UNSAFE" if one.judged else "not judged"
        if not quiet or not one.safe:
            click.echo(f"{files.visible(one.path)}: {word} ({one.kind})")
        for finding in one.findings:
            click.echo(f"  {finding.code}: {finding.words}")
    if any(not one.safe and one.judged for one in found):
        return 1
    return 2 if unread or not all(one.judged for one in found) else 0


@click.command(**example("rai audits", "rai audits --json"))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def audits(*, as_json: bool) -> int:
    """List the audits that are installed, and the package that brings each."""
    from rai_bigmodel import files, plugins

    there = plugins.installed()
    if as_json:
        click.echo(files.canonical_json(list(there.values())).decode(), nl=False)
        return 0
    width = max((len(name) for name in there), default=0)
    for name, one in there.items():
        click.echo(f"{name:<{width}}  {one.distribution} {one.version}")
    return 0
