"""What can the code say? Every sentence it may leave in evidence, read off the source, for the catalogues.

A method for Babel (``babel.cfg`` names it). It walks the syntax trees: a text that reads like words, and is neither a
docstring nor the words of an error, is a message; an f-string is one with braces, and each way of an ``if`` within it
is a message of its own. Taking too much costs a line of translation, taking too little a sentence in English.
"""

from __future__ import annotations

import ast
import re
from itertools import product
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

Found = tuple[int, str, "str | tuple[str, str]", list[str]]

_WORDY = re.compile(r"[A-Za-z]{2,}['’,.;:†]*\s+\S|\S\s+[A-Za-z]{2,}")
_MOST = 24
_SHOWN = {"Dots", "Bars", "Curve", "Line", "Dot", "Heatmap", "Table", "Picture", "Question"}
_TITLES = {
    "title",
    "caption",
    "label",
    "axis",
    "x_axis",
    "y_axis",
    "columns",
    "rows",
    "alt",
    "question",
    "why",
}
_CODE = re.compile(r"[{}\[\]<>\\=|]{2,}|^SELECT |^[a-z_]+(, ?[a-z_]+)*$|^-- ")


def extract(
    fileobj: IO[bytes],
    keywords: Collection[str],  # noqa: ARG001 - Babel names them
    comment_tags: Collection[str],  # noqa: ARG001
    options: Mapping[str, str],
) -> Iterator[Found]:
    """The messages of a file, as Babel wants them; with the option ``page`` those of calls like ``_()``."""
    source = fileobj.read().decode("utf-8")
    if str(getattr(fileobj, "name", "")).endswith(".yaml"):
        yield from _of_yaml(source)
    elif "page" in options:
        yield from _of_page(source)
    else:
        for line, text in sorted(set(messages(source))):
            yield line, "", text, []


_CALLS = {"_": 1, "N_": 1, "say": 1, "Phrase": 2, "_share": 2, "_amount": 2, "_flag": 2}
"""The functions of the page that take messages, and how many of their first arguments are one."""


def _of_page(source: str) -> Iterator[Found]:
    """What the page says itself: the texts handed to `language._` and its like."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if node.func.id == "n_" and len(texts) == 2:
            yield node.lineno, "ngettext", (texts[0], texts[1]), []
        for text in texts[: _CALLS.get(node.func.id, 0)]:
            if text:
                yield node.lineno, "", text, []


def messages(source: str) -> Iterable[tuple[int, str]]:
    """The messages in a Python source, each with its line."""
    tree = ast.parse(source)
    silent = set(_silent(tree))
    shown = set(_shown(tree))
    for node in _texts(tree, silent):
        for text in map(str.strip, _templates(node)):
            plain = re.sub(r"\{\w*\}", "", text)
            if re.search(r"[A-Za-z]{2,}", plain) and (
                (_WORDY.search(plain) and not _CODE.search(plain)) or (id(node) in shown and len(plain) > 2)
            ):
                yield node.lineno, text


def _silent(tree: ast.AST) -> Iterator[int]:
    """The nodes whose texts no reader of evidence sees: docstrings, errors, annotations, keys."""
    for node in ast.walk(tree):
        hidden: list[ast.AST] = []
        match node:
            case ast.Expr(value=ast.Constant()):
                hidden = [node.value]
            case ast.Raise() | ast.Call(func=ast.Name(id="feature" | "sensitive")):
                hidden = [node]  # what a column means is in no evidence; why one was left out is
            case ast.Call(func=ast.Name(id="out"), args=[meaning, *_]):
                hidden = [meaning]
            case ast.Assign(targets=[ast.Name(id="msg" | "__all__")]):
                hidden = [node.value]
            case ast.Subscript():
                hidden = [node.slice]
            case ast.AnnAssign():
                hidden = [node.annotation]
            case ast.FunctionDef():
                hidden = [
                    a.annotation for a in ast.walk(node.args) if isinstance(a, ast.arg) and a.annotation
                ]
                hidden += [node.returns] if node.returns else []
        for one in hidden:
            yield from (id(n) for n in ast.walk(one))


def _shown(tree: ast.AST) -> Iterator[int]:
    """The nodes that an exhibit or a measurement shows by itself, so that one word is a message too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            parts = [k.value for k in node.keywords if k.arg in _TITLES]
            parts += node.args if name in _SHOWN else []
            for part in parts:
                yield from (id(n) for n in _outer(part))
        elif isinstance(node, ast.IfExp) and _is_text(node.body) and _is_text(node.orelse):
            yield from (id(node.body), id(node.orelse))
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id in {"question", "columns", "rows"} for t in targets):
                yield from (id(n) for n in ast.walk(node))


def _outer(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is shown of it: not the arguments of other calls."""
    yield node
    if isinstance(node, ast.Tuple | ast.List | ast.Starred | ast.IfExp | ast.GeneratorExp | ast.ListComp):
        for child in ast.iter_child_nodes(node):
            yield from _outer(child)


def _texts(tree: ast.AST, silent: Collection[int]) -> Iterator[ast.expr]:
    """Texts from the outside in; what an f-string or a sum of texts holds belongs to it."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if id(node) in silent:
            continue
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.BinOp) and _is_text(node)):
            yield node
            stack += [n for v in _values(node) for n in ast.iter_child_nodes(v)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node
        else:
            stack += list(ast.iter_child_nodes(node))


def _values(node: ast.expr) -> Iterator[ast.AST]:
    """What stands in the braces of a text, and is not told as its words already."""
    for part in ast.walk(node):
        if isinstance(part, ast.FormattedValue):
            yield part
        elif isinstance(part, ast.BinOp) and not isinstance(node, ast.JoinedStr):
            yield from (p for p in (part.left, part.right) if not _is_text(p))


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right))
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) or _is_text(node.orelse)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _templates(node: ast.expr) -> list[str]:
    """The messages that a text can be, with braces for what varies; names within one are made different."""
    return [_numbered(parts) for parts in _ways(node)]


Part = tuple[str, bool]
"""A piece of a message, and whether it is the name of a brace."""


def _ways(node: ast.AST) -> list[list[Part]]:
    match node:
        case ast.Constant(value=str() as value):  # what .format writes more exactly is the same message
            return [[(re.sub(r"\{(\w+)[:!][^}]*\}", r"{\1}", value), False)]]
        case ast.JoinedStr():
            every = [
                _ways(v.value) if isinstance(v, ast.FormattedValue) else _literal(v) for v in node.values
            ]
            return [[p for way in ways for p in way] for ways in _few(every)]
        case ast.BinOp() if _is_text(node):
            return [left + right for left, right in _few([_ways(node.left), _ways(node.right)])]
        case ast.IfExp() if _is_text(node):
            return _ways(node.body) + _ways(node.orelse)
        case ast.Call(func=ast.Name(id="plural"), args=[count, ast.Constant(value=str() as noun)]):
            return [[(_name(count), True), (f" {noun}(s)", False)]]
    return [[(_name(node), True)]]


def _literal(node: ast.AST) -> list[list[Part]]:
    """What stands between the braces of an f-string; a brace that is text would be taken for one that is not."""
    text = str(node.value) if isinstance(node, ast.Constant) else ""
    return [[(text.replace("{", "").replace("}", ""), False)]]


def _few(every: list[list[list[Part]]]) -> list[tuple[list[Part], ...]]:
    out: list[tuple[list[Part], ...]] = []
    for ways in product(*every):
        out.append(ways)
        if len(out) == _MOST:
            break
    return out


def _name(node: ast.AST) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Call(args=[first, *_]):
            return _name(first)
        case ast.Call(func=ast.Attribute(value=whose)):
            return _name(whose)
        case ast.Subscript():
            return _name(node.value)
        case ast.BinOp():
            return _name(node.right)
    return "it"


def _numbered(parts: list[Part]) -> str:
    out = ""
    used: dict[str, int] = {}
    for text, brace in parts:
        if brace:
            used[text] = used.get(text, 0) + 1
            out += "{" + text.strip("_") + (str(used[text]) if used[text] > 1 else "") + "}"
        else:
            out += text
    return out


def _of_yaml(source: str) -> Iterator[Found]:
    """What a catalogue of controls, the demo's policy and its facts say in words."""
    import yaml

    def walk(node: yaml.Node) -> Iterator[Found]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value in {
                    "title",
                    "asks",
                    "note",
                    "source",
                    "status",
                    "because",
                    "label_means",
                    "attributes_from",
                }:
                    yield value.start_mark.line + 1, "", " ".join(str(value.value).split()), []
                else:
                    yield from walk(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from walk(item)

    root = yaml.compose(source, Loader=yaml.SafeLoader)
    if root is not None:
        yield from walk(root)
