"""Where do noise and chance of a private step come from? From a cipher, quicker than from torch's own generator.

A key of the operating system's (or a test's) runs AES in counter mode, whose bits nobody can tell from coins without
the key, and every 64 of them become two normal numbers (Box and Muller 1958): 32 bits for how far out, kept at their
finest there, so that the tails go on to 6.6 standard deviations (one number in 2^35 would lie beyond), and 32 for the
angle. What a cipher does not cure: results are floating point numbers, whose gaps leak a little (Mironov 2012).

The arithmetic is NumPy's, an operation over many numbers at a time; which functions it has vector code for decides
between two ways to write the same pair (`_by_tangent`, `_by_sine`).
"""

from __future__ import annotations

import functools
import hashlib
import math
import secrets
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rai_bigmodel.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Bits = np.ndarray[Any, np.dtype[np.int32]]

PAIRS = 1 << 16
"""Pairs of numbers made at once, so that they stay in the processor's cache."""

BLOCK = 1 << 17
"""Bytes encrypted at once."""


class Source:
    """A stream of random numbers that a key decides; `source` makes one.

    Its state can be taken and set like that of a ``torch.Generator``, so that a training which was stopped goes on
    with the numbers it would have had. Who knows the state knows all that came and all that will come.
    """

    def __init__(self, key: bytes) -> None:
        # Room that every fill uses again: fresh memory would cost more than the arithmetic, and so would much of it.
        self._zeros, self._room = memoryview(bytes(BLOCK)), memoryview(bytearray(8 * PAIRS + 15))
        self._bits = np.frombuffer(self._room, np.int32, 2 * PAIRS)
        self._key, self._messages = key, 0
        self._cipher, self._write = _cipher(), _by_tangent if _has_tangent() else _by_sine

    def _stream(self) -> Any:
        """Bits that no call had before: every call encrypts a message of its own.

        AES-GCM is counter mode and a checksum, here of no use; it runs the wider instructions, twice as fast.
        """
        ciphers, algorithms, modes = self._cipher
        self._messages += 1
        return ciphers(algorithms.AES(self._key), modes.GCM(self._messages.to_bytes(12, "big"))).encryptor()

    def __call__(self, out: Tensor, std: float) -> None:
        """Overwrite a tensor by independent normal numbers of mean 0 and this standard deviation."""
        straight = (
            out if out.is_contiguous() and out.dtype == torch.float32 and out.device.type == "cpu" else None
        )
        numbers = torch.empty(out.shape, dtype=torch.float32) if straight is None else straight
        # What is squared below, and divided by a squared tangent, must neither vanish nor overflow.
        unit = std if 1e-8 < std < 1e8 else 1.0
        flat, stream = numbers.detach().view(-1).numpy(), self._stream()
        even = len(flat) // 2 * 2
        for start in range(0, even, 2 * PAIRS):
            self._pairs(flat[start : min(start + 2 * PAIRS, even)], unit, stream)
        if even < len(flat):
            pair = np.empty(2, np.float32)
            self._pairs(pair, unit, stream)
            flat[even] = pair[0]
        if unit != std:
            numbers.mul_(std)
        if straight is None:
            out.copy_(numbers)

    def _pairs(self, piece: Any, std: float, stream: Any) -> None:
        """Overwrite an even number of numbers by noise, at most twice `PAIRS`."""
        count = len(piece)
        for at in range(0, 4 * count, BLOCK):
            stream.update_into(self._zeros[: 4 * count - at], self._room[at:])
        np.copyto(piece, self._bits[:count], casting="unsafe")
        # The bits are used up, but for their signs: where they were is room for what comes between.
        self._write(piece[: count // 2], piece[count // 2 :], std, self._bits[:count])

    def chances(self, count: int) -> Tensor:
        """Independent numbers, uniform from 0 up to, not including, 1: ``(count,)`` float64 on a grid of 2^-53."""
        bits = np.frombuffer(self._stream().update(bytes(8 * count)), dtype=np.uint64)
        return torch.from_numpy((bits >> np.uint64(11)) * 2.0**-53)

    def get_state(self) -> Tensor:
        """The key and how many messages were encrypted: uint8 ``(48,)``. A secret."""
        written = self._key + self._messages.to_bytes(16, "big")
        return torch.frombuffer(bytearray(written), dtype=torch.uint8)

    def set_state(self, state: Tensor) -> None:
        """Go on from where a state was taken."""
        written = bytes(state.tolist())
        self._key, self._messages = written[:32], int.from_bytes(written[32:], "big")


def _squared(radius: Floats, log: Callable[..., Any], std: float, base: float) -> None:
    """Overwrite integers of 32 bits by -2 std² ln of a uniform number: the squared lengths of pairs."""
    # (bits / 2^31)^2 is the square of a uniform number; the least of them stands for what is nearer to 0.
    np.multiply(radius, radius, out=radius)
    np.multiply(radius, np.float32(2.0**-62), out=radius)
    np.add(radius, np.float32(2.0**-64), out=radius)
    log(radius, out=radius)
    np.multiply(radius, np.float32(-std * std * math.log(base)), out=radius)


def _by_sine(radius: Floats, angle: Floats, std: float, room: Bits) -> None:
    """Overwrite two arrays of integers of 32 bits by noise: r sin a and r cos a, a uniform on the circle.

    Args:
        radius: the integers that r comes of.
        angle: those that a comes of, as many.
        std: the noise's standard deviation.
        room: as many integers as both together, to be overwritten; the first of them are those of `radius`.
    """
    turned = room[: len(angle)].view(np.float32)
    _squared(radius, np.log, std, math.e)
    np.sqrt(radius, out=radius)
    np.multiply(angle, np.float32(math.pi / 2**31), out=angle)
    np.cos(angle, out=turned)
    np.sin(angle, out=angle)
    np.multiply(angle, radius, out=angle)
    np.multiply(radius, turned, out=radius)


def _by_tangent(radius: Floats, angle: Floats, std: float, room: Bits) -> None:
    """The same with one function of the angle: of a on half the circle, and t = tan a, x = r / √(1 + t²) and y = x t.

    The half is chosen by the sign that r does not use.
    """
    half = len(angle)
    signs, wide = room[:half], room[half : 2 * half].view(np.float32)
    np.multiply(angle, np.float32(math.pi / 2**32), out=angle)
    np.tan(angle, out=angle)
    np.multiply(angle, angle, out=wide)
    np.add(wide, np.float32(1), out=wide)
    _squared(radius, np.log10, std, 10)
    np.divide(radius, wide, out=radius)
    np.sqrt(radius, out=radius)
    np.bitwise_and(signs, np.int32(-(2**31)), out=signs)
    written = radius.view(np.int32)
    np.bitwise_or(written, signs, out=written)
    np.multiply(angle, radius, out=angle)


@functools.cache
def _has_tangent() -> bool:
    """Whether NumPy has vector code for tangents on this processor, as it has with AVX-512; else they are slow."""
    try:
        from numpy.lib import introspect
    except ImportError:  # before NumPy 2
        return False
    found = introspect.opt_func_info(func_name="^(tan|log10)$", signature="float32")
    kinds = [kind for signatures in found.values() for kind in signatures.values()]
    return len(kinds) == 2 and not any(kind["current"].startswith("baseline") for kind in kinds)


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
