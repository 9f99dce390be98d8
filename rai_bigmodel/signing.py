"""Who stands behind a run? One ECDSA P-256 key signs the manifest; its public half tells any change.

The manifest names the digest of every piece of evidence, of subjects, rows and configuration, so its signature covers
them all. ``signature.json`` lies beside the manifest and outside it.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel import files
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Record

if TYPE_CHECKING:
    import os

NAME = "signature.json"
ALGORITHM = "ecdsa-p256-sha256"


class Signature(Record):
    """A signature of ``manifest.json``.

    Args:
        manifest: the digest of the signed bytes.
        key: the digest of the public key (its DER bytes), by which a reader knows whose it is.
        signature: DER, base64.
    """

    manifest: str
    key: str
    signature: str
    algorithm: str = ALGORITHM
    format: int = 1


def sign(folder: str | os.PathLike[str], key: str | os.PathLike[str]) -> Signature:
    """Sign the manifest of a folder of evidence and write ``signature.json`` beside it.

    Args:
        key: a private key in PEM without a passphrase (``openssl ecparam -name prime256v1 -genkey -noout``).

    Raises:
        InputError: there is no manifest, or the file is no such key.
        MissingExtra: cryptography is not installed.
    """
    ec, hashes, serialization = _cryptography()
    content = files.read_bytes(Path(folder) / "manifest.json")
    private = _private(key)
    signed = private.sign(content, ec.ECDSA(hashes.SHA256()))
    out = Signature(
        manifest=files.digest(content),
        key=_fingerprint(private.public_key(), serialization),
        signature=base64.b64encode(signed).decode("ascii"),
    )
    files.write_bytes(Path(folder) / NAME, files.canonical_json(out))
    return out


def sign_model(model: str | os.PathLike[str], key: str | os.PathLike[str]) -> Path:
    """Sign a model, a file or a folder, in the format of OpenSSF Model Signing; writes ``MODEL.sig`` beside it.

    ``model_signing verify key MODEL --signature MODEL.sig --public_key PUBLIC.pem`` checks it, without this package.

    Args:
        key: as for `sign`.

    Raises:
        InputError: it cannot be written, or holds what that format refuses (a symbolic link).
        MissingExtra: model-signing or pyOpenSSL, which it needs, is not installed.
    """
    try:
        from model_signing.signing import Config
    except ImportError as error:
        package = "pyOpenSSL" if getattr(error, "name", "") == "OpenSSL" else "model-signing"
        raise MissingExtra(package, "sign-model", "signing a model") from None
    _private(key)
    model = Path(model)
    path = model.with_name(f"{model.name}.sig")
    with files.writing(path) as temporary:
        try:
            Config().use_elliptic_key_signer(private_key=Path(key)).sign(model, temporary)
        except ValueError as error:
            msg = f"{model}: cannot be signed ({str(error)[:200]})"
            raise InputError(files.visible(msg)) from None
    return path


def refusal(folder: str | os.PathLike[str], key: str | os.PathLike[str]) -> str:
    """Why the manifest of a folder is not what the owner of a public key signed; empty when it is.

    Raises:
        InputError: the file is no public key on P-256 (a private one or a certificate is none).
        MissingExtra: cryptography is not installed.
    """
    ec, hashes, serialization = _cryptography()
    from cryptography.exceptions import InvalidSignature

    pem = files.read_bytes(key)
    try:
        public = serialization.load_pem_public_key(pem)
    except ValueError:
        msg = f"{key}: is not a public key in PEM (openssl ec -in KEY.pem -pubout writes one)"
        raise InputError(msg) from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        msg = f"{key}: an ECDSA key on the curve P-256 is needed, got {_kind(public)}"
        raise InputError(msg)
    path = Path(folder) / NAME
    if not path.exists():
        return "it is not signed: there is no signature.json"
    content = files.read_bytes(Path(folder) / "manifest.json")
    try:
        said = files.parse_json(files.read_bytes(path), Signature, where=str(path))
        signed = base64.b64decode(said.signature, validate=True)
    except (InputError, binascii.Error) as error:
        return f"signature.json cannot be read ({error})"
    if said.key != (wanted := _fingerprint(public, serialization)):
        return f"it was signed with another key ({said.key[:19]}…) than this one ({wanted[:19]}…)"
    try:
        public.verify(signed, content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return "the signature does not belong to this manifest"
    return ""


def _private(key: str | os.PathLike[str]) -> Any:
    ec, _, serialization = _cryptography()
    pem = files.read_bytes(key)
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        msg = f"{key}: is not a private key in PEM without a passphrase ({str(error)[:80]})"
        raise InputError(msg) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        msg = f"{key}: an ECDSA key on the curve P-256 is needed, got {_kind(private)}"
        raise InputError(msg)
    return private


def _cryptography() -> tuple[Any, Any, Any]:
    try:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        package, extra = "cryptography", "sign"
        raise MissingExtra(package, extra, "signing and checking signatures") from None
    return ec, hashes, serialization


def _kind(key: Any) -> str:
    curve = getattr(key, "curve", None)
    return curve.name if curve is not None else type(key).__name__.strip("_")


def _fingerprint(public: Any, serialization: Any) -> str:
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return files.digest(der)
