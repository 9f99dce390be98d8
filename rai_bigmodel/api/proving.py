"""Which verbs show that evidence is what it was? ``sign verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel import files
from rai_bigmodel.api.auditing import ASKED, audit_file
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
    audit: PathLike | None = None,
    on_audit: OnAudit | None = None,
) -> Checked:
    """Whether a folder of evidence still holds: every digest, the verdict and the page, worked out anew.

    Args:
        folder: of evidence, or a page with its folder beside it.
        expect: the digest of the manifest or of the run, known from elsewhere.
        key: the public key that must have signed the manifest.
        rerun: repeat the audits on the saved subject and rows; nothing is trained.
        audit: the ``audit.yaml`` that they were made from, where it does not lie in the folder.

    Raises:
        InputError: there is nothing to check, or the audits cannot be repeated from what is there.
    """
    from rai_bigmodel.verify import check, repeated

    checked = check(folder, expect=expect, key=key)
    if not rerun or not checked.holds:
        return checked
    asked = Path(checked.folder) / ASKED if audit is None else Path(audit)
    _refuse_other_file(asked, checked, given=audit is not None)
    if checked.dossier is not None and BASELINE in checked.dossier.manifest.evidence.configuration:
        msg = (
            f"{asked}: does not name the baseline that --baseline named when these audits were made, so they cannot be "
            "repeated; put it under relatives: {baseline: …} and audit again"
        )
        raise InputError(msg)
    return repeated(checked, audit_file(asked, on_audit=on_audit))


def _refuse_other_file(asked: Path, checked: Checked, *, given: bool) -> None:
    """Audits are repeated from the file that they were made from; the manifest has its digest."""
    made = {} if checked.dossier is None else checked.dossier.manifest.evidence.configuration
    if ASKED not in made:
        msg = f"{checked.folder}: was not made from an {ASKED}, so it is not known how to repeat the audits"
        raise InputError(msg)
    if not given and not asked.exists():
        msg = f"{asked}: is not there, so it is not known how to repeat the audits; --audit FILE says where it is"
        raise InputError(msg)
    if (found := files.digest(files.read_bytes(asked))) != made[ASKED]:
        msg = (
            f"{asked}: is not the file that these audits were made from ({found[:19]}…, the manifest says "
            f"{made[ASKED][:19]}…)"
        )
        raise InputError(msg)


def sign(folder: PathLike, *, key: PathLike, model: PathLike | None = None) -> Signature:
    """Sign the manifest of a folder of evidence with an ECDSA P-256 key; writes ``signature.json``.

    Args:
        key: a private key in PEM, without a passphrase.
        model: a run or an ONNX file that the evidence is about; it is signed too, in the format of OpenSSF Model
            Signing, as ``MODEL.sig`` beside it.

    Raises:
        InputError: there is no manifest, the file is no such key, or the model is not one of the manifest's.
        MissingExtra: what signs is not installed.
    """
    from rai_bigmodel import signing

    if model is not None:
        _refuse_other(Path(folder), Path(model))
        signing.sign_model(model, key)
    return signing.sign(folder, key)


def _refuse_other(folder: Path, model: Path) -> None:
    """A signature beside the evidence must be of a model that the evidence is about, and of the whole of it."""
    from rai_bigmodel.dossier import load
    from rai_bigmodel.subjects.of_anything import subject_of

    known = {s.digest: s.role for s in load(folder).manifest.evidence.subjects if s.digest}
    if (found := subject_of(model).digest) not in known:
        msg = f"{model}: the evidence in {folder} is not about this model ({found[:19]}…)"
        raise InputError(msg)
    if model.suffix == ".onnx":
        from rai_bigmodel.deploy import beside

        if apart := sorted(beside.read(model, where=str(model)).beside):
            msg = f"{model}: some of its weights lie beside it ({apart[0]}), and one signature is of one file or folder"
            raise InputError(msg)
