"""How does a run become a file that may ship? It is made in the precision asked for, checked, and only then written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel import files
from rai_bigmodel.deploy import parity, quantise
from rai_bigmodel.deploy.edges import edges
from rai_bigmodel.deploy.to_onnx import APART, Files, to_files, to_onnx
from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import inputs_of

if TYPE_CHECKING:
    import os

    from rai_bigmodel.deploy.parity import Original, Parity
    from rai_bigmodel.deploy.quantise import Variant
    from rai_bigmodel.nets.reads import Reads
    from rai_bigmodel.subject import Splits
    from rai_bigmodel.training.checkpoint import Run


class Exported(NamedTuple):
    """A file that agrees with its run.

    Args:
        content: its bytes.
        agreed: how well, on the held-out rows, or at the edges where these are not at hand.
    """

    content: bytes
    agreed: Parity


def made(run: Run, variant: Variant, splits: Splits | None, *, full: bytes | None = None) -> bytes:
    """The bytes of a variant, not checked yet.

    Args:
        splits: the rows that the run was made from; calibration rows say which numbers flow through it.
        full: the run's file in single precision, where it is there already.

    Raises:
        InputError: it needs calibration rows and there are none.
        MissingExtra: onnx or onnxscript is not installed.
    """
    return in_precision(to_onnx(run) if full is None else full, variant, splits, reads=run.card.reads)


def in_precision(full: bytes, variant: Variant, splits: Splits | None, *, reads: Reads) -> bytes:
    """The same of any file of ours in single precision."""
    if variant == "fp32":
        return full
    calibrate = None if splits is None or splits.calibrate is None else inputs_of(splits.calibrate)
    if variant == "int8":
        return quantise.int8(full, calibrate)
    return quantise.fp16(full, *([edges(reads)] if calibrate is None else [edges(reads), calibrate]))


def export(
    run: Run,
    path: str | os.PathLike[str],
    *,
    variant: Variant = "fp32",
    splits: Splits | None = None,
    apart: int = APART,
) -> Exported:
    """Write the run as an ONNX file, once its answers agree with the run's.

    Args:
        variant: in which precision.
        splits: the rows that the run was made from and is measured on.
        apart: the bytes of weights from which on they lie in a file beside it, ``NAME.onnx.data``.

    Raises:
        InputError: the file cannot be written, or calibration rows are needed and not there.
        CheckFailed: it does not score or decide as the run does; it is not written.
        MissingExtra: onnx or onnxscript is not installed.
    """
    full = to_files(run, location=f"{Path(path).name}.data", apart=apart)
    return written(parity.of_run(run), full, path, variant=variant, splits=splits)


def written(
    original: Original, full: Files, path: str | os.PathLike[str], *, variant: Variant, splits: Splits | None
) -> Exported:
    """Check a file against what it was made from, in the precision asked for, and write it.

    Raises:
        InputError: the file cannot be written, or its weights are too large for another precision.
        CheckFailed: it does not agree; it is not written.
    """
    if full.beside and variant != "fp32":
        msg = f"{original.name}: its weights are too large for one ONNX file; only single precision is written, in two"
        raise InputError(msg)
    content = in_precision(full.content, variant, splits, reads=original.reads)
    agreed = parity.check(
        original,
        content,
        held_out=None if splits is None else splits.held_out,
        calibrate=None if splits is None else splits.calibrate,
        full=full.content,
        beside=full.beside,
    )
    for name, weights in full.beside.items():  # first: a model without its weights would look finished
        files.write_bytes(Path(path).parent / name, weights)
    files.write_bytes(path, content)
    return Exported(content, agreed)
