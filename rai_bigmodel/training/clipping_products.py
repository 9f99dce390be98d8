"""Which library forms the product of two large matrices? Of the two that torch brings, the one that is quicker here.

torch gives float32 products to MKL, which leaves half of an AVX-512 processor idle where Intel did not make it;
oneDNN, which torch uses for convolutions, does not. oneDNN writes a program for every shape it meets, in a fraction
of a millisecond and of a MiB, and a batch drawn at random has another number of rows every time: so rows are cut into
pieces of few sizes, and the few that are left go to MKL.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

MOST, LEAST = 512, 32
"""Rows of a piece, a power of two: with more a factor would not stay in a core's cache, with fewer MKL is quicker."""

NARROW = 64
"""Columns that both factors must have for oneDNN to be worth its call."""


def add_product(total_PD: Tensor, left_KP: Tensor, right_KD: Tensor) -> None:
    """Add leftᵀ · right to `total_PD`, in its own precision: both factors are of its type."""
    done = 0
    if min(total_PD.shape) >= NARROW and (product := _quick(left_KP, right_KD)) is not None:
        # The narrower factor comes first, and what comes of it is turned once.
        turned = left_KP.shape[1] > right_KD.shape[1]
        one, other = (right_KD, left_KP) if turned else (left_KP, right_KD)
        total = total_PD.new_zeros(total_PD.T.shape) if turned else total_PD
        for s in _pieces(len(one)):
            total.add_(product(one[s].T, other[s].T, None, "none", [], ""))
            done = s.stop
        if turned:
            total_PD.add_(total.T)
    if done < len(left_KP):
        total_PD.addmm_(left_KP[done:].T, right_KD[done:])


def rows_times(x_KD: Tensor, weight_PD: Tensor, bias_P: Tensor | None = None) -> Tensor:
    """The product x · weightᵀ, and the bias if there is one, as ``F.linear`` gives it."""
    pieces = _pieces(len(x_KD)) if min(weight_PD.shape) >= NARROW else ()
    product = _quick(x_KD) if pieces else None
    if product is None:
        return F.linear(x_KD, weight_PD, bias_P)
    parts = [product(x_KD[s], weight_PD, bias_P, "none", [], "") for s in pieces]
    if (done := pieces[-1].stop) < len(x_KD):
        parts.append(F.linear(x_KD[done:], weight_PD, bias_P))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


@functools.lru_cache(maxsize=1024)
def _pieces(rows: int) -> tuple[slice, ...]:
    """Slices of the rows, from the first on, that oneDNN is given."""
    found, at, size = [], 0, MOST
    while size >= LEAST:
        if rows - at >= size:
            found.append(slice(at, at + size))
            at += size
        else:
            size //= 2
    return tuple(found)


def _quick(*tensors: Tensor) -> Callable[..., Tensor] | None:
    """The x · wᵀ of oneDNN, where it can be used."""
    if (
        tensors[0].dtype == torch.float32
        and tensors[0].device.type == "cpu"
        and all(tensor.is_contiguous() for tensor in tensors)
        # Where less is asked for, oneDNN would round more than the lengths allow for.
        and torch.get_float32_matmul_precision() == "highest"
    ):
        return _onednn()
    return None


@functools.cache
def _onednn() -> Callable[..., Tensor] | None:
    """The same, where this processor is one on which it is quicker, and this torch has it."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkldnn.is_available():
        return None
    try:
        product: Any = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001 - torch's compiler calls it too
        one = torch.ones(LEAST, NARROW)
        works = bool((product(one.T, one.T, None, "none", [], "") == LEAST).all())
    except (AttributeError, RuntimeError, TypeError):
        return None
    return product if works else None
