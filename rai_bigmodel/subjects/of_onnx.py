"""How does an exported model become a subject, without torch?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel.deploy import beside
from rai_bigmodel.deploy.session import NotOurs, open_session
from rai_bigmodel.deploy.weigh import weigh
from rai_bigmodel.subject import Subject

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from rai_bigmodel.subject import Inputs

__all__ = ["NotOurs", "of_onnx"]


def of_onnx(model: bytes | str | os.PathLike[str], *, name: str = "", threads: int = 1) -> Subject:
    """An ONNX file, or its bytes, as a subject of kind ``onnx`` whose digest is that of the bytes.

    Weights may lie in files beside it (`deploy.beside`); the digest then speaks of all of them.

    Its ``card`` says which run it was exported from (``exported_from``) and which columns it reads
    (``features``).

    Args:
        name: what to call it; empty for the name in the file.
        threads: how many threads a prediction may use.

    Raises:
        InputError: there is no such file, it is unsafe (`scan`), or it is not a model that ``rai export`` wrote.
        MissingExtra: onnxruntime is not installed.
    """
    where = "ONNX model" if isinstance(model, bytes) else Path(model).name
    there = beside.read(model, where=where)
    session = open_session(there.content, where=where, threads=threads, beside=there.beside)

    def weighed(rows: Inputs) -> Mapping[str, float] | None:
        inputs = session.inputs(rows)
        return weigh(there.content, inputs, piece=session.piece(inputs))

    return Subject(
        name=name or session.name,
        kind="onnx",
        digest=session.digest,
        decision=session.decision,
        predict=session.score,
        weigh=None if there.beside else weighed,
        card={
            "exported_from": session.trained,
            "features": list(session.features),
            "texts": list(session.reads.categories),
            "size_bytes": there.size,
            "outcome": session.outcome,
            "variant": session.variant,
        },
    )
