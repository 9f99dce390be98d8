"""How does an exported model become a subject, without torch?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rai_bigmodel import files
from rai_bigmodel.deploy.session import NotOurs, open_session
from rai_bigmodel.deploy.weigh import weigh
from rai_bigmodel.scan import refuse_unsafe
from rai_bigmodel.subject import Subject

if TYPE_CHECKING:
    import os

__all__ = ["NotOurs", "of_onnx"]


def of_onnx(model: bytes | str | os.PathLike[str], *, name: str = "", threads: int = 1) -> Subject:
    """An ONNX file, or its bytes, as a subject of kind ``onnx`` whose digest is that of the bytes.

    Its ``card`` says which run it was exported from (``exported_from``) and which columns it reads
    (``features``).

    Args:
        name: what to call it; empty for the name in the file.
        threads: how many threads a prediction may use.

    Raises:
        InputError: there is no such file, it is unsafe (`scan`), or it is not a model that ``rai export`` wrote.
        MissingExtra: onnxruntime is not installed.
    """
    content = model if isinstance(model, bytes) else files.read_bytes(model)
    where = "ONNX model" if isinstance(model, bytes) else Path(model).name
    refuse_unsafe(content, where=where, kinds=("onnx",))
    session = open_session(content, where=where, threads=threads)
    return Subject(
        name=name or session.name,
        kind="onnx",
        digest=session.digest,
        decision=session.decision,
        predict=session.score,
        weigh=lambda rows: weigh(content, session, rows),
        card={
            "exported_from": session.trained,
            "features": list(session.features),
            "size_bytes": len(content),
            "outcome": session.outcome,
            "variant": session.variant,
        },
    )
