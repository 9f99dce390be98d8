"""How are the bytes of a protocol buffer read without its library? Lengths are checked; nothing is copied.

The parser that a hostile file aims at is then not the one that looks at it.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rai_bigmodel.scan.found import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping


class Span(NamedTuple):
    """Where a text, a message or raw bytes lie."""

    start: int
    end: int


def varint(content: Any, at: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = shift = 0
    while True:
        if at >= end or shift > 63:
            msg = f"a number is cut short at byte {at:,}"
            raise Malformed(msg)
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def signed(value: int) -> int:
    """The int64 that a varint stands for."""
    return value - (1 << 64) if value >> 63 else value


def message(
    content: Any, span: Span, wanted: Mapping[int, str], once: frozenset[str] = frozenset()
) -> dict[str, list]:
    """The fields that are wanted, by name, each with its values in the file's order.

    Args:
        once: names that may stand only once: parsers merge or overwrite what stands twice, each in its own way.

    Raises:
        Malformed: a length passes the end of its message.
    """
    out: dict[str, list] = {name: [] for name in wanted.values()}
    at, end = span
    while at < end:
        key, at = varint(content, at, end)
        number, kind = key >> 3, key & 7
        value: Any
        if kind == 0:
            value, at = varint(content, at, end)
        elif kind == 2:
            length, at = varint(content, at, end)
            value = Span(at, at + length)
            at += length
        elif kind in {1, 5}:
            width = 8 if kind == 1 else 4
            value = Span(at, at + width)
            at += width
        else:
            msg = f"the wire type {kind} at byte {at:,} is not one of ONNX"
            raise Malformed(msg)
        if at > end or number == 0:
            msg = f"a field reaches beyond its message at byte {at:,}"
            raise Malformed(msg)
        if name := wanted.get(number):
            if name in once and out[name]:
                msg = f"the field {name!r} stands twice in one message"
                raise Malformed(msg)
            out[name].append(value)
    return out


def text(content: Any, values: list) -> str:
    """A field that is a text; empty when it is not there."""
    if not values:
        return ""
    if not isinstance(values[0], Span):
        msg = "a text is not a text"
        raise Malformed(msg)
    return bytes(content[values[0].start : values[0].end]).decode("utf-8", "replace")


def spans(values: list) -> list[Span]:
    """A field that is a list of messages."""
    if not all(isinstance(v, Span) for v in values):
        msg = "a message is not a message"
        raise Malformed(msg)
    return values


def integers(content: Any, values: list) -> list[int]:
    """A field of int64, packed or not."""
    out = []
    for value in values:
        if isinstance(value, Span):
            at = value.start
            while at < value.end:
                number, at = varint(content, at, value.end)
                out.append(signed(number))
        else:
            out.append(signed(value))
    return out
