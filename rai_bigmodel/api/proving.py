"""Which verbs show that evidence is what it was? ``sign verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel.api.auditing import audit_file
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import BASELINE

if TYPE_CHECKING:
    from rai_bigmodel.collect import OnAudit
    from rai_bigmodel.files import PathLike
    from rai_bigmodel.signing import Signature
    from rai_bigmodel.verify import Checked


def verify(
    folder: PathLike,
    *,
    expect: str | None = None,
    key: PathLike | None = None,
    rerun: bool = False,
    on_audit: OnAudit | None = None,
) -> Checked:
    """Whether a folder of evidence still holds: every digest, the verdict and the page, worked out anew.

    Args:
        folder: of evidence, or a page with its folder beside it.
        expect: the digest of the manifest or of the run, known from elsewhere.
        key: the public key that must have signed the manifest.
        rerun: repeat the audits on the saved subject and rows; nothing is trained.

    Raises:
        InputError: there is nothing to check, or the audits cannot be repeated from what is there.
    """
    from rai_bigmodel.verify import check, repeated

    checked = check(folder, expect=expect, key=key)
    if not rerun or not checked.holds:
        return checked
    asked = Path(checked.folder) / "audit.yaml"
    if not asked.exists():
        msg = f"{asked}: is not there, so it is not known how to repeat the audits"
        raise InputError(msg)
    if checked.dossier is not None and BASELINE in checked.dossier.manifest.evidence.configuration:
        msg = (
            f"{asked}: does not name the baseline that --baseline named when these audits were made, so they cannot be "
            "repeated; put it under relatives: {baseline: …} and audit again"
        )
        raise InputError(msg)
    return repeated(checked, audit_file(asked, on_audit=on_audit))


def sign(folder: PathLike, *, key: PathLike) -> Signature:
    """Sign the manifest of a folder of evidence with an ECDSA P-256 key; writes ``signature.json``.

    Raises:
        InputError: there is no manifest, or the file is no such key.
        MissingExtra: cryptography is not installed.
    """
    from rai_bigmodel import signing

    return signing.sign(folder, key)
