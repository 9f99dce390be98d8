"""What does a model that says nothing of itself read and give? What ``audit.yaml`` declares of it.

``subject: {model: scorer.onnx, features: [age, income], positive: 1}`` or
``subject: {endpoint: "http://127.0.0.1:8000/v1/models/loan:predict", threshold: 0.6}``, beside ``egress: [127.0.0.1]``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.rules import label_text

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rai_bigmodel.subject import Subject

Label = str | int | float | bool


class Model(Record, omit_defaults=True):
    """An ONNX file that somebody else exported, as `subjects.of_foreign_onnx` takes it; the path is beside the file."""

    model: str
    features: tuple[str, ...] = ()
    inputs: dict[str, tuple[str, ...]] = {}
    output: str = ""
    labels: tuple[Label, ...] = ()
    positive: Label | None = None
    threshold: float | None = None


class Endpoint(Record, omit_defaults=True):
    """A service that answers over HTTP, as `subjects.of_endpoint` takes it.

    Args:
        labels: two by default, ``0`` and ``1``; ``[]`` for a service that predicts a number.
    """

    endpoint: str
    labels: tuple[Label, ...] = ("0", "1")
    positive: Label | None = None
    threshold: float | None = None
    batch: int = 64
    timeout: float = 10.0
    retries: int = 2
    at_most: int = 100_000
    headers: dict[str, str] = {}


def declared(given: dict[str, Any], *, where: str, at: str) -> Model | Endpoint:
    """What a mapping in ``audit.yaml`` declares, read strictly.

    Raises:
        InputError: it is neither a model nor an endpoint, or a key or value is wrong.
    """
    if "endpoint" in given:
        return files.convert(given, Endpoint, where=where, at=at)
    return files.convert(given, Model, where=where, at=at)


def of_declared(
    given: Model | Endpoint,
    *,
    here: str | os.PathLike[str] = ".",
    features: Sequence[str] = (),
    egress: Sequence[str] = (),
) -> Subject:
    """The subject of a declaration.

    Args:
        here: the folder that a path is relative to.
        features: the columns of the rows, for a model with one input that names none.
        egress: the hosts that may be contacted.

    Raises:
        InputError: the file or the service cannot be used as it is declared, or does not decide by a threshold that
            is declared.
    """
    subject = _declared(given, here=here, features=features, egress=egress)
    refuse_unused(
        subject,
        positive="" if given.positive is None else label_text(given.positive),
        threshold=given.threshold,
    )
    return subject


def refuse_unused(subject: Subject, *, positive: str, threshold: float | None) -> None:
    """Refuse a positive label or a threshold for what does not decide between two labels: it would do nothing.

    Raises:
        InputError: one is given.
    """
    if len(subject.decision.labels) == 2:
        return
    several = bool(subject.decision.labels)
    for name, given in (("positive", positive), ("threshold", threshold)):
        if given not in {"", None}:
            msg = (
                f"{subject.name}: decides between {'several' if several else 'no'} labels, so {name}: {given} does "
                "nothing; leave it out"
            )
            raise InputError(msg)


def _declared(
    given: Model | Endpoint, *, here: str | os.PathLike[str], features: Sequence[str], egress: Sequence[str]
) -> Subject:
    labels = tuple(label_text(label) for label in given.labels)
    positive = "" if given.positive is None else label_text(given.positive)
    threshold = 0.5 if given.threshold is None else given.threshold
    if isinstance(given, Endpoint):
        from rai_bigmodel.subjects.of_endpoint import of_endpoint

        return of_endpoint(
            given.endpoint,
            egress=egress,
            labels=labels,
            positive=positive,
            threshold=threshold,
            batch=given.batch,
            timeout=given.timeout,
            retries=given.retries,
            at_most=given.at_most,
            headers=given.headers,
        )
    from rai_bigmodel.subjects.of_foreign_onnx import of_foreign_onnx

    return of_foreign_onnx(
        Path(here) / given.model,
        features=given.features or ("" if given.inputs else tuple(features)),
        inputs=given.inputs,
        output=given.output,
        labels=labels,
        positive=positive,
        threshold=threshold,
    )
