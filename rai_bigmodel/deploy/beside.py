"""Where do weights lie that are not in the model's own file? Beside it; each file is checked as it is read.

onnxruntime takes no single tensor of more than 2 GB in this way.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel import files
from rai_bigmodel.scan import refuse_unsafe

if TYPE_CHECKING:
    import os


class Read(NamedTuple):
    """A model that is safe to open: its bytes, and those of the files that hold its weights, by the names it gives."""

    content: bytes
    beside: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return len(self.content) + sum(map(len, self.beside.values()))


def read(model: bytes | str | os.PathLike[str], *, where: str) -> Read:
    """The bytes of an ONNX model, from a file or as they are, once they were scanned.

    What is scanned is what will be loaded, not the file a second time. A file of weights is read only when it is
    regular, has one name, and no link leads to it: inside the model's folder, whatever the folder is by then.

    Args:
        where: names the source in errors.

    Raises:
        InputError: there is no such file, it is unsafe, or a file beside it may not be read.
    """
    if isinstance(model, bytes):
        refuse_unsafe(model, where=where, kinds=("onnx",))
        return Read(model, {})
    content, folder = files.read_bytes(model), Path(model).parent
    looked = refuse_unsafe(content, where=where, kinds=("onnx",), folder=folder)
    return Read(content, {name: files.read_beside(folder, name) for name in looked.beside})
