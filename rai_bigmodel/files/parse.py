"""What does a configuration or a record say? YAML and JSON, strictly: refused with the path of what is wrong."""

from __future__ import annotations

import math
import re
from typing import Any, TypeVar

import msgspec

from rai_bigmodel.errors import InputError
from rai_bigmodel.files.read import read_bytes
from rai_bigmodel.files.text import PathLike, canonical_json, visible

T = TypeVar("T")


MAX_CONFIG_BYTES = 1_000_000


MAX_CONFIG_NODES = 20_000


MAX_CONFIG_DEPTH = 40


def read_yaml(path: PathLike, kind: type[T]) -> T:
    """A YAML file as a record of `kind`, unknown keys and wrong types refused with their path."""
    return parse_yaml(read_bytes(path), kind, where=str(path))


def parse_yaml(text: bytes, kind: type[T], *, where: str) -> T:
    """YAML 1.2 (core schema) as a record of `kind`; `where` names the source in errors.

    Refused with their path: duplicate keys, unknown keys, tags, aliases that explode, numbers
    that are not finite, wrong types.

    Raises:
        InputError: as above, in one line.
    """
    if len(text) > MAX_CONFIG_BYTES:
        msg = f"{where}: {len(text):,} bytes are more than the {MAX_CONFIG_BYTES:,} a configuration may have"
        raise InputError(msg)
    return convert(_YamlReader(where).read(text), kind, where=where)


def parse_json(text: bytes, kind: type[T], *, where: str) -> T:
    """JSON as a record of `kind`; duplicate keys, NaN and unknown fields are refused."""
    return convert(_canonical(text) or _strict_json(text, where), kind, where=where)


def _canonical(text: bytes) -> object:
    """What a canonical JSON text says, quickly; null for any other text.

    Written again it is the same bytes, so no key stood twice and no number was rounded or out of range.
    """
    try:
        raw: object = msgspec.json.decode(text)
        return raw if canonical_json(raw) == text else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _strict_json(text: bytes, where: str) -> object:
    import json

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(items)
        if len(out) < len(items):
            twice = next(k for i, (k, _) in enumerate(items) if k in dict(items[:i]))
            msg = f"{where}: the key {twice!r} stands twice in one object"
            raise InputError(msg)
        return out

    def constant(name: str) -> float:
        msg = f"{where}: {name} is not JSON; a number must be finite"
        raise InputError(msg)

    try:
        raw: object = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
        if re.search(rb"\\u[dD][89a-fA-F]", text):
            # Half a character: it cannot be written again, so better said here than by a crash there.
            json.dumps(raw, ensure_ascii=False).encode()
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        msg = visible(f"{where}: not valid JSON ({error})")
        raise InputError(msg) from None
    return raw


# Texts, compiled where an error is told: what has none to tell does not wait for it.
_UNKNOWN = r"(?s)Object contains unknown field `(?P<key>.*?)`(?: - at `(?P<path>.*)`)?$"
_MISSING = r"(?s)Object missing required field `(?P<key>.*?)`(?: - at `(?P<path>.*)`)?$"
_WRONG = r"(?s)(?P<what>.*) - at `(?P<path>.*)`$"


def convert(raw: object, kind: type[T], *, where: str = "", at: str = "$") -> T:
    """Plain values as a record of `kind`, strictly; `at` is the path in `where` that they came from.

    Raises:
        InputError: unknown keys, missing keys, wrong types and broken rules, with their path.
    """
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        text = str(error)
        if m := re.match(_UNKNOWN, text):
            text = f"{m['path'] or '$'}.{m['key']}: unknown key"
        elif m := re.match(_MISSING, text):
            text = f"{m['path'] or '$'}.{m['key']}: this key is required"
        elif m := re.match(_WRONG, text):
            text = f"{m['path']}: {m['what'][0].lower()}{m['what'][1:]}"
        else:
            text = f"$: {text}"
        text = f"{at}{text[1:]}" if text.startswith("$") else text
        msg = f"{where}: {text}" if where else text
        raise InputError(visible(msg)) from None


class _YamlReader:
    """Builds plain values from the node graph, so that every refusal can name its path."""

    # Texts, compiled when the first scalar like it is met: most files have no octal number.
    _OCT = r"0o[0-7]+$"
    _HEX = r"0x[0-9a-fA-F]+$"
    _FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"
    _NONFINITE = r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"

    def __init__(self, where: str) -> None:
        self.where = where
        self.nodes = 0

    def read(self, text: bytes) -> object:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            # Events are read without recursion; composing a deep nest would overflow libyaml's C stack.
            depth = 0
            for event in yaml.parse(text, Loader=loader):
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                tag = getattr(event, "tag", None)
                if depth > MAX_CONFIG_DEPTH or tag:
                    line = f"line {event.start_mark.line + 1}"
                    what = f"the tag {tag!r} is not allowed" if tag else "nested too deeply"
                    raise self._fail(line, what)
            node = yaml.compose(text, Loader=loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            msg = f"{self.where}{at}: not valid YAML ({getattr(error, 'problem', None) or error})"
            raise InputError(visible(msg)) from None
        except InputError:
            raise
        except (RecursionError, UnicodeDecodeError, ValueError) as error:
            msg = f"{self.where}: not valid YAML ({type(error).__name__})"
            raise InputError(msg) from None
        if node is None:
            msg = f"{self.where}: the file is empty"
            raise InputError(msg)
        return self._build(node, "$", 0)

    def _fail(self, path: str, what: str) -> InputError:
        return InputError(visible(f"{self.where}: {path}: {what}"))

    def _build(self, node: Any, path: str, depth: int) -> object:
        self.nodes += 1
        if self.nodes > MAX_CONFIG_NODES or depth > MAX_CONFIG_DEPTH:
            raise self._fail(path, "too large once its aliases are written out, or nested too deeply")
        if node.id == "scalar":
            return self._scalar(node, path)
        if node.id == "sequence":
            return [self._build(child, f"{path}[{i}]", depth + 1) for i, child in enumerate(node.value)]
        out: dict[object, object] = {}
        for key_node, value_node in node.value:
            key = self._build(key_node, path, depth + 1)
            if not isinstance(key, str | int | float | bool):
                raise self._fail(path, "a key must be a plain word")
            inside = f"{path}.{key}"
            if key in out:
                raise self._fail(inside, "this key stands twice")
            out[key] = self._build(value_node, inside, depth + 1)
        return out

    def _scalar(self, node: Any, path: str) -> object:
        text = node.value
        if node.style:  # quoted or a block: always a text
            return text
        if text in {"", "~", "null", "Null", "NULL"}:
            return None
        if text in {"true", "True", "TRUE"}:
            return True
        if text in {"false", "False", "FALSE"}:
            return False
        if text[0] not in "+-.0123456789":
            return text
        if re.match(self._FLOAT, text):
            if not {".", "e", "E"} & set(text):
                return int(text) if len(text) < 40 else text
            number = float(text)
            if not math.isfinite(number):
                raise self._fail(path, f"a finite number is needed, got {text}")
            return number
        if re.match(self._NONFINITE, text):
            raise self._fail(path, f"a finite number is needed, got {text}")
        if re.match(self._OCT, text):
            return int(text[2:], 8)
        if re.match(self._HEX, text):
            return int(text[2:], 16)
        return text
