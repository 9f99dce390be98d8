"""Which commands judge and show what was found? ``gate report index diff policy controls``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rai_bigmodel.cli.terminal import example, print_verdict, quietly, record, say

if TYPE_CHECKING:
    from rai_bigmodel.report.policies import Domain


in_language = click.option(
    "--lang",
    default="en",
    metavar="[en|zh]",
    show_default=True,
    help="The language of the page: English or 简体中文.",
)


@click.command(
    **example(
        "rai gate reports/demo --policy examples/policies/lending.yaml",
        "rai gate reports/demo --policy policy.yaml --junit gate.xml --sarif gate.sarif --markdown gate.md",
    )
)
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option(
    "--policy", required=True, metavar="POLICY.yaml", help="The rules to hold the evidence against."
)
@click.option("--waivers", default="", metavar="WAIVERS.yaml", help="Who has waived which rule, until when.")
@click.option("--subject", metavar="SHA256", help="The digest that the primary subject must have.")
@click.option(
    "--baseline", metavar="DIR", help="An earlier run, for rules on the change {against: baseline}; unpaired."
)
@click.option("--other-data", is_flag=True, help="Allow a baseline that was measured on other rows.")
@click.option("--junit", metavar="FILE.xml", help="Also write the verdict as JUnit XML.")
@click.option("--sarif", metavar="FILE.sarif", help="Also write it as SARIF 2.1.0.")
@click.option("--markdown", metavar="FILE.md", help="Also write it as Markdown for a pull request.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON on stdout.")
@quietly
def gate(
    folder: str,
    policy: str,
    waivers: str,
    subject: str | None,
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

    if subject is not None and not subject.strip():  # a variable that was never set must not unpin
        msg = "--subject: a digest is needed, got ''"
        raise InputError(msg)
    if subject and not subject.startswith("sha256:"):
        subject = f"sha256:{subject}"
    dossier = api.load(folder)
    verdict = api.judge(
        dossier,
        policy,
        waivers=waivers or (),
        subject=subject or "",
        folder=folder,
        baseline=baseline,
        other_data=other_data,
    )
    record(dossier, folder, verdict)
    try:
        api.save_verdict(dossier, verdict, folder)
    except InputError as error:  # evidence is often read-only where it is judged; the verdict stands
        say(f"verdict.json was not written: {error}", 0)
    api.write_outputs(dossier, verdict, **outputs)
    if as_json:
        click.echo(files.canonical_json(verdicts.verdict_file(dossier, verdict)).decode(), nl=False)
    else:
        print_verdict(verdict, quiet=quiet)
    return verdict.exit_code


@click.command(
    **example(
        "rai report reports/demo --policy examples/policies/lending.yaml",
        "rai report reports/demo --policy policy.yaml --lang zh --out zh.html",
        "rai report reports/demo --statements examples/statements.yaml --card CARD.md --bom bom.json",
    )
)
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option("--policy", metavar="POLICY.yaml", help="Without one the page says that nothing was judged.")
@click.option("--waivers", default="", metavar="WAIVERS.yaml", help="Who has waived which rule, until when.")
@click.option(
    "--statements",
    metavar="STATEMENTS.yaml",
    help="What only people can state; by default DIR/statements.yaml, where there is one.",
)
@click.option("--out", metavar="FILE.html", help="By default DIR/report.html.")
@in_language
@click.option("--card", metavar="FILE.md", help="Also write a model card in Markdown.")
@click.option("--bom", metavar="FILE.json", help="Also write a CycloneDX 1.6 ML-BOM (extra bom).")
@quietly
def report(
    folder: str,
    policy: str | None,
    waivers: str,
    *,
    statements: str | None,
    out: str | None,
    lang: str,
    card: str | None,
    bom: str | None,
    quiet: bool,
) -> int:
    """Write the page for the evidence in DIR: one HTML file, no script, no network.

    Where rules name controls (`control:`), or the statements name frameworks, the page shows which evidence is
    relevant to them. It never says that anything complies.
    """
    from rai_bigmodel import api

    if waivers and not policy:
        msg = "--waivers goes with --policy"
        raise click.UsageError(msg, click.get_current_context())
    dossier = api.load(folder)
    beside = Path(folder) / "statements.yaml"
    source = statements or (beside if beside.exists() else None)
    said = api.read_statements(source, dossier) if source else None
    verdict = None
    if policy:
        verdict = api.judge(dossier, policy, waivers=waivers or (), folder=folder)
        verdict = api.as_recorded(dossier, verdict, folder)
    api.write_documents(dossier, verdict, statements=said, card=card, bom=bom)
    page = out or Path(folder) / "report.html"
    path = api.write_report(dossier, verdict, path=page, statements=said, lang=lang)
    if not quiet:
        for what, where in (("The model card", card), ("The ML-BOM", bom), ("The page", path)):
            if where:
                click.echo(f"{what}: {where}", err=True)
    return 0


@click.command(**example("rai index reports", "rai index reports --lang zh"))
@click.argument("folder", type=click.Path(), metavar="FOLDER")
@in_language
@quietly
def index(folder: str, *, lang: str, quiet: bool) -> int:
    """Write FOLDER/index.html: all runs in it, newest first, and where their numbers are going."""
    from rai_bigmodel import api

    path = api.write_index(folder, lang=lang)
    if not quiet:
        click.echo(f"The overview: {path}", err=True)
    return 0


@click.command(**example("rai diff reports/last-week reports/today", "rai diff reports/a reports/b --json"))
@click.argument("old", type=click.Path(), metavar="OLD_DIR")
@click.argument("new", type=click.Path(), metavar="NEW_DIR")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@quietly
def diff(old: str, new: str, *, as_json: bool, quiet: bool) -> int:
    """Say what got better, worse, new and gone from OLD_DIR to NEW_DIR.

    Intervals of changes are unpaired. A change that could be chance is counted, and named only with --json.
    Where the two were measured on other rows, or count another label as positive, stderr says so.
    """
    from rai_bigmodel import api, files
    from rai_bigmodel.cli.unlike import unlike
    from rai_bigmodel.compare import told

    before, after = api.load(old), api.load(new)
    found = api.diff(before, after)
    for line in unlike(before, after):
        click.echo(files.visible(line), err=True)
    if as_json:
        click.echo(files.canonical_json(found).decode(), nl=False)
        return 0
    for line in told(found, quiet=quiet):
        click.echo(files.visible(line))
    return 0


@click.group(**example("rai policy init --from reports/demo > policy.yaml", "rai policy check policy.yaml"))
def policy() -> None:
    """Begin a policy, or have one explained."""


@policy.command(
    "init",
    **example(
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
    **example("rai policy check policy.yaml", "rai policy check policy.yaml --from reports/demo"),
)
@click.argument("paths", type=click.Path(), metavar="POLICY.yaml...", nargs=-1, required=True)
@click.option("--from", "folder", metavar="DIR", help="Evidence: says which rules its rows can never decide.")
@quietly
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


@click.command(**example("rai controls", "rai controls nyc-ll144", "rai controls eu-ai-act --json"))
@click.argument("framework", required=False, metavar="[FRAMEWORK]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@quietly
def controls(framework: str | None, *, as_json: bool, quiet: bool) -> int:
    """List what regulations, standards and guidelines ask, in our words, and which evidence is relevant to it.

    No entry was checked against its primary text; each has a status, a source and a day. A rule of a policy names
    one as `control: [framework/id]`.
    """
    import datetime as dt

    from rai_bigmodel import files
    from rai_bigmodel.controls import catalogue

    found = [catalogue.framework(name) for name in ([framework] if framework else catalogue.names())]
    if as_json:
        click.echo(files.canonical_json(found[0] if framework else found).decode(), nl=False)
    elif framework is None:
        width = max(len(one.framework) for one in found)
        for one in found:
            click.echo(f"{one.framework:<{width}}  {len(one.controls):>2}  {one.title}")
    else:
        for line in catalogue.told(found[0]):
            click.echo(line)
    stale = sum(c.stale(dt.datetime.now(dt.UTC).date()) for one in found for c in one.controls)
    if stale and not quiet:
        days = catalogue.STALE_AFTER
        click.echo(f"{stale} of these entries were last looked at more than {days} days ago.", err=True)
    return 0
