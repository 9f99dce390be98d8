"""``rai``: what can one do from the shell? Data to stdout, progress and prose to stderr, one exit code each."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rai_bigmodel.errors import RaiError

if TYPE_CHECKING:
    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.report.policies import Domain
    from rai_bigmodel.rules import Ruling, Verdict

OUR_BUG = 4
MARKS = {"pass": "✓", "fail": "✕", "inconclusive": "◐", "waived": "○"}
WORDS = {"pass": "passes", "fail": "fails", "inconclusive": "inconclusive", "waived": "waived"}
COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow", "waived": "cyan"}


def main(args: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its code."""
    sys.exit(_run(args))


def _run(args: list[str] | None) -> int:
    try:
        code = cli.main(args=args, prog_name="rai", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        hint = f" (try: {error.ctx.command_path} --help)" if error.ctx else ""
        return _say(f"{error.format_message()}{hint}", 2)
    except click.ClickException as error:
        return _say(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return _say("stopped", 130)
    except RaiError as error:
        return _say(" ".join(str(error).split()), error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing is left to say, and nothing may be flushed at exit.
        sys.stdout = None
        return 0
    except Exception:  # noqa: BLE001 - the one place where our own bugs come out
        traceback.print_exc()
        return _say(
            "this is a bug of rai itself, not of your input. Please report the lines above, the command and "
            "the output of 'rai --version' where you got the package from.",
            OUR_BUG,
        )
    return code if isinstance(code, int) else 0


def _say(message: str, code: int) -> int:
    who = f"rai, process {process}" if (process := _process()) else "rai"
    click.echo(f"{who}: {message}", err=True)
    return code


def _process() -> int:
    """Which of the processes that torchrun started this is; the first, 0, speaks for all."""
    rank = os.environ.get("RANK", "")
    return int(rank) if rank.isdecimal() and "WORLD_SIZE" in os.environ else 0


class _Progress:
    """One line on a terminal that is written over; nothing anywhere else."""

    def __init__(self, *, quiet: bool) -> None:
        self.on = not quiet and sys.stderr.isatty()
        self.last = ""

    def __call__(self, what: str, done: int, of: int) -> None:
        if not self.on:
            return
        if what != self.last and self.last:
            self.clear()
        self.last = what
        if what:
            width = 24
            full = width if of == 0 else round(width * done / of)
            bar = "█" * full + "░" * (width - full)
            click.echo(f"\r\x1b[K{bar} {what} {done}/{of}", nl=False, err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.on and self.last:
            click.echo("\r\x1b[K", nl=False, err=True)
            self.last = ""


def _example(*lines: str) -> dict[str, Any]:
    """The end of a help text: what one would really type."""
    return {"epilog": "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)}


def _version(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's own signature
    if not wanted or context.resilient_parsing:
        return
    from importlib import metadata

    click.echo(f"rai_bigmodel {metadata.version('rai_bigmodel')}")
    context.exit()


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    **_example("rai demo", "rai gate reports/demo --policy examples/policies/lending.yaml"),
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
def cli() -> None:
    """Train models, put them before audits, hold the evidence against a policy, write the page.

    Exit codes: 0 done, or the policy is met; 1 not met; 2 the input or the call is wrong; 3 inconclusive, or
    an audit broke; 4 a bug of ours; 130 Ctrl-C.
    """
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False


_quiet = click.option("--quiet", is_flag=True, help="No progress and no prose.")


@cli.command(**_example("rai demo", "rai demo --out reports/first-try"))
@click.option("--out", default="reports/demo", show_default=True, help="Folder to write to.")
@_quiet
def demo(out: str, *, quiet: bool) -> int:
    """Train a private model on real mortgage data, audit it, judge it, and write the page.

    Exits with 0 when it finished, whatever the verdict; `rai gate` turns the verdict into an exit code.
    """
    from rai_bigmodel import api

    progress = _Progress(quiet=quiet)
    dossier, verdict = api.demo(out, on_progress=progress)
    progress.clear()
    _print_verdict(verdict, quiet=quiet)
    for evidence in dossier.evidence:
        if evidence.failure:
            _say(f"the audit {evidence.audit} of {evidence.subject.name} broke: {evidence.failure}", 0)
    if not quiet:
        click.echo(f"The page: {Path(out) / 'report.html'}", err=True)
    return 0


@cli.command(
    **_example("rai train recipe.yaml --out runs/loan", "rai train recipe.yaml --out runs/loan --resume")
)
@click.argument("recipe", type=click.Path())
@click.option("--out", required=True, help="Folder for model.safetensors and card.json.")
@click.option(
    "--resume", is_flag=True, help="Go on from the checkpoint that a stopped training left in --out."
)
@_quiet
def train(recipe: str, out: str, *, resume: bool, quiet: bool) -> int:
    """Train the network that RECIPE describes.

    A training that is stopped leaves a checkpoint in RUN/resume (how often one is written: train.every in RECIPE),
    from which --resume goes on to the weights that it would have had. That of a private training is a secret: it
    goes when the training ends.

    Under torchrun --nproc-per-node=N --no-python rai train … N processes share each batch of a training without
    privacy, and the first of them writes.
    """
    from rai_bigmodel import api

    progress = _Progress(quiet=quiet)

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

    run = api.train_recipe(recipe, out=out, resume=resume, on_step=on_step if progress.on else None)
    progress.clear()
    if not quiet and _process() == 0:
        click.echo(f"{run.name}: {Path(out) / 'model.safetensors'} ({run.digest})", err=True)
    return 0


@cli.command(**_example("rai export runs/loan --out loan.onnx"))
@click.argument("run", type=click.Path())
@click.option("--out", help="The ONNX file; by default RUN/model.onnx.")
@_quiet
def export(run: str, out: str | None, *, quiet: bool) -> int:
    """Write the trained network in RUN as an ONNX file that takes raw columns, and check that it agrees."""
    from rai_bigmodel import api

    path = out or str(Path(run) / "model.onnx")
    subject = api.export(run, path)
    if not quiet:
        click.echo(f"{path} ({subject.digest})", err=True)
    return 0


@cli.command(
    **_example(
        "rai audit audit.yaml --out reports/loan",
        "rai audit --predictions scored.csv --truth repaid --score p --threshold 0.6 \\",
        "    --sensitive race --sensitive sex --out reports/scored",
    )
)
@click.argument("file", required=False, type=click.Path(), metavar="[AUDIT.yaml]")
@click.option("--out", help="Folder for evidence and manifest; beside AUDIT.yaml by default.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="Of the audits in AUDIT.yaml, run this one (repeatable)."
)
@click.option(
    "--predictions",
    metavar="FILE",
    help="A csv, a parquet file or a folder of parquet, in place of AUDIT.yaml.",
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
@_quiet
def audit(
    file: str | None,
    out: str | None,
    *,
    only: tuple[str, ...],
    predictions: str | None,
    quiet: bool,
    **columns: Any,
) -> int:
    """Put a subject before audits and write what they find.

    Either AUDIT.yaml says what to do, or --predictions names a table of predictions.
    """
    from rai_bigmodel import api, files

    progress = _Progress(quiet=quiet)
    if (file is None) == (predictions is None):
        msg = "give either AUDIT.yaml or --predictions FILE"
        raise click.UsageError(msg, click.get_current_context())
    if file is not None:
        _refuse_columns(columns)
        out = out or str(Path(file).parent)
        files.refuse_unwritable(out)
        dossier = api.audit_file(file, only=only, on_audit=progress)
    else:
        assert predictions is not None
        missing = [f"--{name}" for name in ("truth", "sensitive") if not columns[name]] + (
            [] if out else ["--out"]
        )
        if missing:
            msg = f"--predictions also needs {', '.join(missing)}"
            raise click.UsageError(msg, click.get_current_context())
        if only:
            msg = "--only goes with AUDIT.yaml"
            raise click.UsageError(msg, click.get_current_context())
        assert out is not None
        files.refuse_unwritable(out)
        intersections = not columns.pop("no_intersections")
        dossier = api.audit_predictions(
            predictions, intersections=intersections, on_audit=progress, **columns
        )
    api.save(dossier, out)
    _record(dossier, out)
    progress.clear()
    if not quiet:
        click.echo(f"{len(dossier.evidence)} pieces of evidence in {Path(out) / 'evidence'}", err=True)
        click.echo(f"run {dossier.manifest.run}", err=True)
    broken = [e for e in dossier.evidence if e.failure]
    for evidence in broken:
        _say(f"the audit {evidence.audit} of {evidence.subject.name} broke: {evidence.failure}", 3)
    return 3 if broken else 0


def _record(dossier: Dossier, folder: str, verdict: Verdict | None = None) -> None:
    """Count the run in the ledger; where that cannot be written, say so: the run stands all the same."""
    from rai_bigmodel import api
    from rai_bigmodel.errors import InputError

    try:
        api.record(dossier, folder, verdict)
    except InputError as error:
        _say(f"this run was not counted: {error}", 0)


def _refuse_columns(columns: dict[str, Any]) -> None:
    given = [f"--{name}" for name, value in columns.items() if value]
    if given:
        msg = f"{', '.join(given)} goes with --predictions; AUDIT.yaml says the same under data:"
        raise click.UsageError(msg, click.get_current_context())


@cli.command(
    **_example(
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
@_quiet
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

    progress = _Progress(quiet=quiet)
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


@cli.command(
    **_example(
        "rai gate reports/demo --policy examples/policies/lending.yaml",
        "rai gate reports/demo --policy policy.yaml --junit gate.xml --sarif gate.sarif --markdown gate.md",
    )
)
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option(
    "--policy", required=True, metavar="POLICY.yaml", help="The rules to hold the evidence against."
)
@click.option("--waivers", default="", metavar="WAIVERS.yaml", help="Who has waived which rule, until when.")
@click.option(
    "--subject", default="", metavar="SHA256", help="The digest that the primary subject must have."
)
@click.option(
    "--baseline", metavar="DIR", help="An earlier run, for rules on the change {against: baseline}; unpaired."
)
@click.option("--other-data", is_flag=True, help="Allow a baseline that was measured on other rows.")
@click.option("--junit", metavar="FILE.xml", help="Also write the verdict as JUnit XML.")
@click.option("--sarif", metavar="FILE.sarif", help="Also write it as SARIF 2.1.0.")
@click.option("--markdown", metavar="FILE.md", help="Also write it as Markdown for a pull request.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON on stdout.")
@_quiet
def gate(
    folder: str,
    policy: str,
    waivers: str,
    subject: str,
    *,
    baseline: str | None,
    other_data: bool,
    as_json: bool,
    quiet: bool,
    **outputs: str | None,
) -> int:
    """Judge the evidence in DIR: exit 0 the policy is met, 1 not met, 3 undecided."""
    from rai_bigmodel import api, files, verdicts
    from rai_bigmodel.errors import InputError

    if subject and not subject.startswith("sha256:"):
        subject = f"sha256:{subject}"
    dossier = api.load(folder)
    verdict = api.judge(
        dossier,
        policy,
        waivers=waivers or (),
        subject=subject,
        folder=folder,
        baseline=baseline,
        other_data=other_data,
    )
    _record(dossier, folder, verdict)
    try:
        api.save_verdict(dossier, verdict, folder)
    except InputError as error:  # evidence is often read-only where it is judged; the verdict stands
        _say(f"verdict.json was not written: {error}", 0)
    api.write_outputs(dossier, verdict, **outputs)
    if as_json:
        click.echo(files.canonical_json(verdicts.verdict_file(dossier, verdict)).decode(), nl=False)
    else:
        _print_verdict(verdict, quiet=quiet)
    return verdict.exit_code


@cli.command(
    **_example(
        "rai report reports/demo --policy examples/policies/lending.yaml",
        "rai report reports/demo --out page.html",
    )
)
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option("--policy", metavar="POLICY.yaml", help="Without one the page says that nothing was judged.")
@click.option("--waivers", default="", metavar="WAIVERS.yaml", help="Who has waived which rule, until when.")
@click.option("--out", metavar="FILE.html", help="By default DIR/report.html.")
@_quiet
def report(folder: str, policy: str | None, waivers: str, out: str | None, *, quiet: bool) -> int:
    """Write the page for the evidence in DIR: one HTML file, no script, no network."""
    from rai_bigmodel import api

    if waivers and not policy:
        msg = "--waivers goes with --policy"
        raise click.UsageError(msg, click.get_current_context())
    dossier = api.load(folder)
    verdict = api.judge(dossier, policy, waivers=waivers or (), folder=folder) if policy else None
    path = api.write_report(dossier, verdict, path=out or Path(folder) / "report.html")
    if not quiet:
        click.echo(f"The page: {path}", err=True)
    return 0


@cli.command(**_example("rai index reports"))
@click.argument("folder", type=click.Path(), metavar="FOLDER")
@_quiet
def index(folder: str, *, quiet: bool) -> int:
    """Write FOLDER/index.html: all runs in it, newest first, and where their numbers are going."""
    from rai_bigmodel import api

    path = api.write_index(folder)
    if not quiet:
        click.echo(f"The overview: {path}", err=True)
    return 0


@cli.command(**_example("rai diff reports/last-week reports/today", "rai diff reports/a reports/b --json"))
@click.argument("old", type=click.Path(), metavar="OLD_DIR")
@click.argument("new", type=click.Path(), metavar="NEW_DIR")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@_quiet
def diff(old: str, new: str, *, as_json: bool, quiet: bool) -> int:
    """Say what got better, worse, new and gone from OLD_DIR to NEW_DIR.

    Intervals of changes are unpaired. A change that could be chance is counted, and named only with --json.
    """
    from rai_bigmodel import api, files
    from rai_bigmodel.compare import told

    found = api.diff(old, new)
    if as_json:
        click.echo(files.canonical_json(found).decode(), nl=False)
        return 0
    for line in told(found, quiet=quiet):
        click.echo(files.visible(line))
    return 0


@cli.group(**_example("rai policy init --from reports/demo > policy.yaml", "rai policy check policy.yaml"))
def policy() -> None:
    """Begin a policy, or have one explained."""


@policy.command(
    "init",
    **_example(
        "rai policy init --from reports/demo > policy.yaml", "rai policy init --domain lending > policy.yaml"
    ),
)
@click.option(
    "--from", "folder", metavar="DIR", help="Evidence: rules for what it measured, with today's numbers."
)
@click.option(
    "--domain",
    type=click.Choice(["general", "lending", "employment"]),
    default="general",
    show_default=True,
    help="Which rules are common.",
)
def init(folder: str | None, domain: Domain) -> int:
    """Print a commented policy to begin with; its limits and reasons are to be replaced."""
    from rai_bigmodel import api

    click.echo(api.starter_policy(folder, domain=domain), nl=False)
    return 0


@policy.command(
    "check",
    **_example("rai policy check policy.yaml", "rai policy check policy.yaml --from reports/demo"),
)
@click.argument("paths", type=click.Path(), metavar="POLICY.yaml...", nargs=-1, required=True)
@click.option("--from", "folder", metavar="DIR", help="Evidence: says which rules its rows can never decide.")
@_quiet
def check(paths: tuple[str, ...], folder: str | None, *, quiet: bool) -> int:
    """Explain a policy in words, and say which of its rules can never be decided, and why.

    Exits with 0 whatever it finds: a rule that needs more rows is no mistake of the policy.
    """
    from rai_bigmodel import api
    from rai_bigmodel.files import visible

    for path in paths:
        said, doubts = api.check_policy(path, folder)
        for line in said if not quiet else ():
            click.echo(visible(line))
        for doubt in doubts:
            mark = "can never be decided" if doubt.never else "note"
            click.echo(visible(f"{doubt.rule}: {mark}: {doubt.words}"))
        if not doubts:
            click.echo(
                f"Every rule can be decided, as far as can be told{' from these rows' if folder else ''}."
            )
    return 0


@cli.command(
    **_example("rai sign reports/demo --key private.pem", "rai verify reports/demo --key public.pem")
)
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option(
    "--key", required=True, metavar="PRIVATE.pem", help="An ECDSA key on P-256, without a passphrase."
)
@_quiet
def sign(folder: str, key: str, *, quiet: bool) -> int:
    """Sign the manifest in DIR, and with it every digest that it names; writes DIR/signature.json."""
    from rai_bigmodel import api

    signed = api.sign(folder, key=key)
    if not quiet:
        click.echo(f"manifest {signed.manifest}, signed with the key {signed.key}", err=True)
    return 0


@cli.command(**_example("rai verify reports/demo", "rai verify reports/demo/report.html --expect 3f1c…"))
@click.argument("path", type=click.Path(), metavar="DIR|REPORT.html")
@click.option(
    "--expect", default="", metavar="SHA256", help="The digest of manifest or run, known from elsewhere."
)
@click.option("--key", metavar="PUBLIC.pem", help="The public key that must have signed it.")
@click.option(
    "--rerun", is_flag=True, help="Repeat the audits on the saved subject and rows; trains nothing."
)
@_quiet
def verify(path: str, expect: str, key: str | None, *, rerun: bool, quiet: bool) -> int:
    """Work out every digest, the verdict and the page anew: exit 0 all holds, 1 something does not.

    Without --expect, --key or --rerun a folder can only be shown to be consistent in itself.
    """
    from rai_bigmodel import api
    from rai_bigmodel.files import visible

    progress = _Progress(quiet=quiet)
    checked = api.verify(path, expect=expect, key=key, rerun=rerun, on_audit=progress)
    progress.clear()
    for check in checked.checks if not quiet else ():
        word = {True: "holds", False: "does not hold", None: "not checked"}[check.holds]
        click.echo(visible(f"{check.what}: {word}: {check.words}"))
    click.echo(visible(checked.headline))
    return 0 if checked.holds else 1


@cli.command(**_example("rai audits", "rai audits --json"))
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


def _print_verdict(verdict: Verdict, *, quiet: bool) -> None:
    """One line a rule, fails first, and the verdict."""
    order = ("fail", "inconclusive", "waived", "pass")
    rulings = sorted(verdict.rulings, key=lambda r: (r.rule.severity == "warn", order.index(r.outcome)))
    for ruling in rulings if not quiet else ():
        click.echo(_line(ruling))
    click.echo(click.style(verdict.headline, bold=True))
    if verdict.attempts and not quiet:
        click.echo(f"This is {verdict.attempts.words}.", err=True)


def _line(ruling: Ruling) -> str:
    from rai_bigmodel.files import visible
    from rai_bigmodel.words import exact, number

    rule = ruling.rule
    limit = rule.limits[0]
    where = ",".join(f"{k}={v}" for k, v in limit.where.items())
    sign = "≤" if limit.at_most is not None else "≥"
    asked = f"{limit.metric}{f'{{{where}}}' if where else ''} {sign} {exact(limit.value)}"
    if len(rule.limits) > 1:
        asked += f" or {len(rule.limits) - 1} more"
    role = "" if rule.role == "primary" else f" of {rule.role}"
    m = ruling.measurement
    seen = "" if m is None or m.value is None else f" {number(m.value, beside=limit.value)}."
    warn = " (warning)" if rule.severity == "warn" else ""
    word = click.style(f"{MARKS[ruling.outcome]} {WORDS[ruling.outcome]:<12}", fg=COLOURS[ruling.outcome])
    return f"{word} {visible(f'{asked}{role}:{seen} {ruling.words}{warn}')}"
