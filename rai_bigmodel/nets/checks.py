"""Which values may a configuration have, and which tensors may a layer be given? One line each where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

MAX_WIDTH = 100_000


def widths(name: str, values: Iterable[int]) -> None:
    """Refuse a width below 1 or absurdly large.

    Raises:
        InputError: as said, naming the key.
    """
    values = list(values)
    if any(not 0 < value <= MAX_WIDTH for value in values):
        msg = f"{name}: widths must lie between 1 and {MAX_WIDTH:,}, got {values}"
        raise InputError(msg)


def between(name: str, value: int, low: int, high: int = MAX_WIDTH) -> None:
    """Refuse a whole number outside of what can be built.

    Raises:
        InputError: as said, naming the key.
    """
    if not low <= value <= high:
        msg = f"{name} must lie between {low:,} and {high:,}, got {value}"
        raise InputError(msg)


def chance(name: str, value: float) -> None:
    """Refuse a share to drop outside of [0, 1).

    Raises:
        InputError: as said, naming the key.
    """
    if not 0 <= value < 1:
        msg = f"{name} must be at least 0 and below 1, got {value}"
        raise InputError(msg)


def positive(name: str, value: float | None) -> None:
    """Refuse a number that is not positive; ``None`` is allowed.

    Raises:
        InputError: as said, naming the key.
    """
    if value is not None and value <= 0:
        msg = f"{name} must be positive or null, got {value}"
        raise InputError(msg)


def choice(name: str, got: str, allowed: Iterable[str]) -> None:
    """Refuse a word that is not among the ones there are.

    Raises:
        InputError: as said, naming the key.
    """
    if got not in (allowed := tuple(allowed)):
        raise InputError.unknown(name, got, allowed)


def shape(layer: str, what: str, x: Tensor, wanted: tuple[int | None, ...]) -> None:
    """Refuse a tensor whose shape is not the wanted one, ``None`` standing for any size.

    Only sizes the net was built with are compared, so that an exported file keeps its batch and length free.

    Raises:
        InputError: as said, naming the layer and both shapes.
    """
    fits = x.ndim == len(wanted) and all(
        w is None or got == w for got, w in zip(x.shape, wanted, strict=False)
    )
    if not fits:
        shown = ", ".join("any" if w is None else str(w) for w in wanted)
        msg = f"{layer}: needs {what} of shape ({shown}), got the shape {tuple(x.shape)}"
        raise InputError(msg)
