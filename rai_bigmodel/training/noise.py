"""Where do noise and chance of a private step come from? From a cipher, quicker than from torch's own generator.

A key of the operating system's (or a test's) runs AES in counter mode, whose bits nobody can tell from coins without
the key, and every 64 of them become two normal numbers (Box and Muller 1958), in the tails as far as 6.6 standard
deviations. What a cipher does not cure: results are floating point numbers, whose gaps leak a little (Mironov 2012).
"""

from __future__ import annotations

import hashlib
import math
import secrets
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rai_bigmodel.errors import MissingExtra

if TYPE_CHECKING:
    from torch import Tensor

PAIRS = 1 << 16
"""Pairs of numbers made at once, so that they stay in the processor's cache."""


class Source:
    """A stream of random numbers that a key decides; `source` makes one.

    Its state can be taken and set like that of a ``torch.Generator``, so that a training which was stopped goes on
    with the numbers it would have had. Who knows the state knows all that came and all that will come.
    """

    def __init__(self, key: bytes) -> None:
        # Room that every fill uses again: fresh memory would cost more than the arithmetic.
        self._zeros, self._room = bytes(8 * PAIRS), bytearray(8 * PAIRS + 15)
        self._bits = torch.frombuffer(self._room, dtype=torch.int32, count=2 * PAIRS)
        self._rooms = torch.empty((3, PAIRS))
        self._begin(key, 0)

    def _begin(self, key: bytes, used: int) -> None:
        ciphers, algorithms, modes = _cipher()
        self._key, self._used = key, used
        block = (used // 16).to_bytes(16, "big")
        self._stream = ciphers(algorithms.AES(key), modes.CTR(block)).encryptor()
        self._stream.update(bytes(used % 16))

    def __call__(self, out: Tensor, std: float) -> None:
        """Overwrite a tensor by independent normal numbers of mean 0 and this standard deviation."""
        straight = (
            out if out.is_contiguous() and out.dtype == torch.float32 and out.device.type == "cpu" else None
        )
        numbers = torch.empty(out.shape) if straight is None else straight
        flat = numbers.detach().view(-1)
        for start in range(0, len(flat), 2 * PAIRS):
            piece = flat[start : start + 2 * PAIRS]
            half = (len(piece) + 1) // 2
            self._stream.update_into(self._zeros[: 8 * half], self._room)
            self._used += 8 * half
            radius, angle, turned = self._rooms[:, :half]
            # |bits| + 1/2 over 2^31 is uniform in (0, 1], and finest where the logarithm is steepest.
            radius.copy_(self._bits[:half]).abs_().add_(0.5).mul_(2.0**-31).log_().mul_(-2 * std * std)
            radius.clamp_(min=0).sqrt_()
            angle.copy_(self._bits[half : 2 * half]).mul_(math.pi / 2**31)
            torch.cos(angle, out=turned)
            torch.mul(turned, radius, out=piece[:half])
            rest = len(piece) - half
            torch.mul(angle.sin_()[:rest], radius[:rest], out=piece[half:])
        if straight is None:
            out.copy_(numbers)

    def chances(self, count: int) -> Tensor:
        """Independent numbers, uniform from 0 up to, not including, 1: ``(count,)`` float64 on a grid of 2^-53."""
        bits = np.frombuffer(self._stream.update(bytes(8 * count)), dtype=np.uint64)
        self._used += 8 * count
        return torch.from_numpy((bits >> np.uint64(11)) * 2.0**-53)

    def get_state(self) -> Tensor:
        """The key and how much of the stream is used: uint8 ``(48,)``. A secret."""
        return torch.frombuffer(bytearray(self._key + self._used.to_bytes(16, "big")), dtype=torch.uint8)

    def set_state(self, state: Tensor) -> None:
        """Go on from where a state was taken."""
        written = bytes(state.tolist())
        self._begin(written[:32], int.from_bytes(written[32:], "big"))


def source(key: bytes | None = None) -> Source:
    """A stream of noise: ``fill(out, std)`` overwrites a tensor by independent normal numbers of mean 0.

    Args:
        key: 32 bytes, for tests alone: whoever knows them can take the noise off. ``None`` asks the operating system.

    Raises:
        MissingExtra: the package `cryptography` is not installed.
    """
    return Source(key or secrets.token_bytes(32))


def key_of(seed: int, purpose: str) -> bytes:
    """A key that a seed gives, another one for each purpose; for tests alone."""
    return hashlib.sha256(f"{purpose} {seed}".encode()).digest()


def _cipher() -> tuple[Any, Any, Any]:
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError:
        package, extra = "cryptography", "privacy"
        raise MissingExtra(package, extra, "noise of a private step") from None
    return Cipher, algorithms, modes
