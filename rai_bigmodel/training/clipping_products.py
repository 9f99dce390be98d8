"""Which library forms the product of two large matrices? Of the two that torch brings, the one that is quicker here.

torch gives float32 products to MKL, which leaves half of an AVX-512 processor idle where Intel did not make it;
oneDNN, which torch uses for convolutions, does not. oneDNN writes a program for every shape it meets, in a fraction
of a millisecond, and a batch drawn at random has another number of rows every time: so the sum over the rows is cut
into pieces of few sizes, and the few rows that are left go to MKL.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

ROWS = 512
"""Rows of a piece: with more of them, neither factor would stay in a core's cache."""

STEP = 64
"""The last piece has a multiple of this many rows, so that there are few shapes in all."""

NARROW = 64
"""Columns that both factors must have for oneDNN to be worth its call."""


def add_product(total_PD: Tensor, left_KP: Tensor, right_KD: Tensor) -> None:
    """Add leftᵀ · right to `total_PD`, in its own precision: both factors are of its type."""
    done = 0
    if min(total_PD.shape) >= NARROW and len(left_KP) >= STEP and _fit(total_PD, left_KP, right_KD):
        product = _quick()
        while product is not None and len(left_KP) - done >= STEP:
            end = done + min(ROWS, (len(left_KP) - done) // STEP * STEP)
            total_PD.add_(product(left_KP[done:end].T, right_KD[done:end].T, None, "none", [], ""))
            done = end
    if done < len(left_KP):
        total_PD.addmm_(left_KP[done:].T, right_KD[done:])


def _fit(total: Tensor, left: Tensor, right: Tensor) -> bool:
    return (
        total.dtype == torch.float32
        and total.device.type == "cpu"
        and left.is_contiguous()
        and right.is_contiguous()
        # Where less is asked for, oneDNN would round more than the lengths allow for.
        and torch.get_float32_matmul_precision() == "highest"
    )


@functools.cache
def _quick() -> Callable[..., Tensor] | None:
    """The x · wᵀ of oneDNN, where there is such a thing and it is quicker than MKL's."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkldnn.is_available():
        return None
    try:
        product: Any = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001 - torch's compiler calls it too
        one = torch.ones(STEP, NARROW)
        works = bool((product(one.T, one.T, None, "none", [], "") == STEP).all())
    except (AttributeError, RuntimeError, TypeError):
        return None
    return product if works else None
