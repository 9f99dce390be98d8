"""Where does the noise of a private step come from? From a cipher, quicker than from torch's own generator.

A key of the operating system's (or a test's) runs AES in counter mode, whose bits nobody can tell from coins without
the key, and every 64 of them become two normal numbers (Box and Muller 1958), in the tails as far as 6.6 standard
deviations. What a cipher does not cure: results are floating point numbers, whose gaps leak a little (Mironov 2012).
"""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING

import torch

from rai_bigmodel.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PAIRS = 1 << 16
"""Pairs of numbers made at once, so that they stay in the processor's cache."""


def source(key: bytes | None = None) -> Callable[[Tensor, float], None]:
    """A function ``fill(out, std)`` that overwrites a tensor by independent normal numbers of mean 0.

    Args:
        key: 32 bytes, for tests alone: whoever knows them can take the noise off. ``None`` asks the operating system.

    Raises:
        MissingExtra: the package `cryptography` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError:
        package, extra = "cryptography", "privacy"
        raise MissingExtra(package, extra, "noise of a private step") from None
    stream = Cipher(algorithms.AES(key or secrets.token_bytes(32)), modes.CTR(bytes(16))).encryptor()
    # Room that every fill uses again: fresh memory would cost more than the arithmetic.
    zeros, room = bytes(8 * PAIRS), bytearray(8 * PAIRS + 15)
    all_bits = torch.frombuffer(room, dtype=torch.int32, count=2 * PAIRS)
    rooms = torch.empty((3, PAIRS))

    def fill(out: Tensor, std: float) -> None:
        straight = (
            out if out.is_contiguous() and out.dtype == torch.float32 and out.device.type == "cpu" else None
        )
        numbers = torch.empty(out.shape) if straight is None else straight
        flat = numbers.detach().view(-1)
        for start in range(0, len(flat), 2 * PAIRS):
            piece = flat[start : start + 2 * PAIRS]
            half = (len(piece) + 1) // 2
            stream.update_into(zeros[: 8 * half], room)
            radius, angle, turned = rooms[:, :half]
            # |bits| + 1/2 over 2^31 is uniform in (0, 1], and finest where the logarithm is steepest.
            radius.copy_(all_bits[:half]).abs_().add_(0.5).mul_(2.0**-31).log_().mul_(-2 * std * std)
            radius.clamp_(min=0).sqrt_()
            angle.copy_(all_bits[half : 2 * half]).mul_(math.pi / 2**31)
            torch.cos(angle, out=turned)
            torch.mul(turned, radius, out=piece[:half])
            rest = len(piece) - half
            torch.mul(angle.sin_()[:rest], radius[:rest], out=piece[half:])
        if straight is None:
            out.copy_(numbers)

    return fill
