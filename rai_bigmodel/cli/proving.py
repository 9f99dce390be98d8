"""Which commands say who made a run, and whether it still holds? ``sign verify``."""

from __future__ import annotations

import click

from rai_bigmodel.cli.terminal import Progress, example, quietly


@click.command(
    **example(
        "rai sign reports/demo --key private.pem",
        "rai sign reports/demo --key private.pem --model reports/demo/model.onnx",
        "rai verify reports/demo --key public.pem",
    )
)
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option(
    "--key", required=True, metavar="PRIVATE.pem", help="An ECDSA key on P-256, without a passphrase."
)
@click.option(
    "--model",
    metavar="RUN|FILE.onnx",
    help="Also sign a model that the evidence is about, in the format of OpenSSF Model Signing: MODEL.sig "
    "(extra sign-model).",
)
@quietly
def sign(folder: str, key: str, model: str | None, *, quiet: bool) -> int:
    """Sign the manifest in DIR, and with it every digest that it names; writes DIR/signature.json.

    With --model the model is signed as well; model_signing verify key MODEL --signature MODEL.sig --public_key
    PUBLIC.pem checks that signature.
    """
    from rai_bigmodel import api

    signed = api.sign(folder, key=key, model=model)
    if not quiet:
        click.echo(f"manifest {signed.manifest}, signed with the key {signed.key}", err=True)
        if model:
            click.echo(f"model {model}, signed with the same key: {model.rstrip('/')}.sig", err=True)
    return 0


@click.command(
    **example(
        "rai verify reports/demo",
        "rai verify reports/demo/report.html --expect 3f1c…",
        "rai verify reports/loan --rerun --audit audit.yaml",
    )
)
@click.argument("path", type=click.Path(), metavar="DIR|REPORT.html")
@click.option("--expect", metavar="SHA256", help="The digest of manifest or run, known from elsewhere.")
@click.option("--key", metavar="PUBLIC.pem", help="The public key that must have signed it.")
@click.option(
    "--rerun", is_flag=True, help="Repeat the audits on the saved subject and rows; trains nothing."
)
@click.option(
    "--audit",
    metavar="AUDIT.yaml",
    help="What --rerun repeats, where it does not lie in DIR; the manifest has its digest.",
)
@quietly
def verify(
    path: str, expect: str | None, key: str | None, audit: str | None, *, rerun: bool, quiet: bool
) -> int:
    """Work out every digest, the verdict and the page anew: exit 0 all holds, 1 something does not.

    Without --expect, --key or --rerun a folder can only be shown to be consistent in itself.
    """
    from rai_bigmodel import api
    from rai_bigmodel.files import visible

    if audit and not rerun:
        msg = "--audit says what --rerun repeats; give both"
        raise click.UsageError(msg, click.get_current_context())
    progress = Progress(quiet=quiet)
    checked = api.verify(path, expect=expect, key=key, rerun=rerun, audit=audit, on_audit=progress)
    progress.clear()
    for check in checked.checks if not quiet else ():
        word = {True: "holds", False: "does not hold", None: "not checked"}[check.holds]
        click.echo(visible(f"{check.what}: {word}: {check.words}"))
    click.echo(visible(checked.headline))
    return 0 if checked.holds else 1
