"""How does an estimator of scikit-learn become a file that may ship? By skl2onnx, which is asked here and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.errors import CheckFailed, InputError, MissingExtra

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Inputs, Subject

TOLERANCE = 1e-4
"""The largest difference of a score: the file works in single precision, scikit-learn in double."""
ROWS = 256


def sklearn_to_onnx(estimator: Any, *, features: int, name: str) -> bytes:
    """A fitted estimator or pipeline of numbers as the bytes of an ONNX model with one input of `features` columns.

    Raises:
        InputError: skl2onnx cannot write it.
        MissingExtra: skl2onnx is not installed.
    """
    try:
        import skl2onnx
    except ImportError:
        package, extra = "skl2onnx", "onnx"
        raise MissingExtra(package, extra, "exporting an estimator to ONNX") from None
    # A table of probabilities in place of a list of maps; a regressor has no such choice.
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
    try:
        made = skl2onnx.to_onnx(estimator, np.zeros((1, features), dtype=np.float32), options=options)
    except Exception as error:  # noqa: BLE001 - it raises whatever its converters and onnx raise
        first = files.visible((str(error).strip().splitlines() or [""])[0])[:160]
        msg = (
            f"{name}: skl2onnx {skl2onnx.__version__} cannot write it ({type(error).__name__}: {first}); audit the "
            "estimator itself (rai.audit takes it), or its predictions (rai audit --predictions)"
        )
        raise InputError(msg) from None
    content: bytes = made.SerializeToString()
    return content


def refuse_apart(before: Subject, after: Subject, rows: Inputs) -> None:
    """Refuse a file whose answers are not the estimator's.

    Raises:
        CheckFailed: they differ by more than single precision explains, or are in another order.
    """
    first, second = (np.asarray(s.predict(rows), dtype=np.float64) for s in (before, after))
    size = np.maximum(1.0, np.abs(first))
    most = float((np.abs(first - second) / size).max(initial=0.0)) if first.shape == second.shape else np.inf
    # A tree's threshold may fall between a number and its nearest in single precision: few rows then jump.
    jumped = float((np.abs(first - second) / size > TOLERANCE).mean()) if np.isfinite(most) else 1.0
    if jumped > 0.01 or before.decision.labels != after.decision.labels:
        msg = (
            f"{before.name}: the file's answers differ from the estimator's by up to {most:.3g}, in {jumped:.1%} of "
            "them by more than single precision explains; it was not written"
        )
        raise CheckFailed(msg)


def rows_for(estimator: Any, features: list[str]) -> dict[str, Array]:
    """Made-up rows around what the estimator was fitted on, where a first step of it tells; around 0 elsewhere."""
    first = estimator.steps[0][1] if hasattr(estimator, "steps") else estimator
    center, scale = getattr(first, "mean_", None), getattr(first, "scale_", None)
    r = np.random.default_rng(0)
    x = r.normal(size=(ROWS, len(features)))
    if center is not None and scale is not None and np.shape(center) == np.shape(scale) == (len(features),):
        x = np.asarray(center) + x * np.asarray(scale)
    return {name: x[:, i] for i, name in enumerate(features)}
