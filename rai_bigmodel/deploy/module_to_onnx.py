"""How does any module become a file that may ship? By what is declared of it: what it reads, gives and decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from rai_bigmodel.deploy.session import About
from rai_bigmodel.deploy.to_onnx import Files, exported, scorer_of
from rai_bigmodel.training.inputs import columns_of, kinds_read

if TYPE_CHECKING:
    from rai_bigmodel.evidence import Decision
    from rai_bigmodel.nets.reads import Reads
    from rai_bigmodel.subject import Array

Gives = Literal["logits", "probabilities", "numbers"]


def module_to_files(
    module: Any, *, name: str, reads: Reads, gives: Gives, decision: Decision, digest: str, location: str
) -> Files:
    """A module in evaluation mode as an ONNX model that gives scores, probabilities or numbers.

    Args:
        digest: of the module as a subject; the file names it.
        location: the name of the file that large weights lie in.

    Raises:
        MissingExtra: onnx or onnxscript is not installed.
    """
    from rai_bigmodel.nets import example

    labels = decision.labels
    plain = kinds_read(reads) == ("table",) and not reads.categories
    about = About(
        name=name,
        features=columns_of(reads),
        decision=decision,
        trained=digest,
        reads=None if plain else reads,
        outcome="classes" if len(labels) > 2 else "binary" if labels else "number",
    )

    def answer(inner: Any, inputs: tuple[Any, ...]) -> Any:
        return scores(inner(*inputs), gives, decision)

    return exported(scorer_of(module, answer), example(reads), about, location=location)


def scores(out: Any, gives: Gives, decision: Decision) -> Any:
    """What a module gave ``(batch,)``, ``(batch, 1)`` or ``(batch, labels)`` as scores, probabilities or numbers."""
    import torch

    if out.ndim == 2 and out.shape[1] == 1:
        out = out[:, 0]
    if gives == "logits":
        out = torch.sigmoid(out) if out.ndim == 1 else torch.softmax(out, dim=-1)
    if len(decision.labels) == 2 and out.ndim == 2 and out.shape[1] == 2:
        out = out[:, decision.labels.index(decision.positive)]
    return out


def answers(module: Any, given: tuple[Array, ...], gives: Gives, decision: Decision, *, batch: int) -> Array:
    """What a module says of arrays in the order in which it takes them, float64, whether finite or not."""
    import torch

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    module.eval()
    with torch.no_grad():
        parts = [
            module(*(torch.from_numpy(x[i : i + batch]).to(device) for x in given))
            for i in range(0, max(1, len(given[0])), batch)
        ]
        said: Array = scores(torch.cat(parts).double(), gives, decision).cpu().numpy()
    return said
