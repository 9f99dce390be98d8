"""Does every room import only from the floors below it? The syntax trees are walked; nothing is imported.

The table is that of the architecture. A room may import what stands above it in this list; what else it may
import when it is itself imported is named beside it. Inside functions any optional library may be asked for.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "rai_bigmodel"
HERE = Path(__file__).resolve().parent.parent / PACKAGE

FLOORS: list[tuple[int, str, str]] = [
    (0, "errors", ""),
    (0, "files", "msgspec"),
    (0, "evidence", "msgspec"),
    (0, "unfinished", ""),
    (0, "dossier", "msgspec"),
    (0, "words", ""),
    (0, "better", ""),
    (0, "threads", ""),
    (0, "stats", "numpy scipy"),
    (1, "rules", "msgspec"),
    (1, "undecided", ""),
    (1, "waivers", "msgspec"),
    (1, "ledger", "msgspec"),
    (1, "verdicts", "msgspec"),
    (1, "signing", "msgspec"),
    (1, "policy", "msgspec"),
    (1, "scan", ""),
    (1, "statements", "msgspec"),
    (1, "controls", "msgspec"),
    (1, "subject", "numpy"),
    (1, "plugins", "msgspec"),
    (1, "accounting", "msgspec"),
    (2, "tables", "numpy narwhals"),
    (2, "nets", "numpy msgspec torch"),
    (2, "report", "jinja2 babel markupsafe"),
    (3, "training", "numpy msgspec torch opacus safetensors"),
    (3, "deploy", "numpy msgspec onnx onnxruntime"),
    (3, "datasets", "numpy"),
    (3, "demo", ""),
    (3, "subjects", "numpy msgspec"),
    (4, "audits", "numpy msgspec captum torch sklearn"),
    (4, "mitigate", "numpy msgspec fairlearn"),
    (5, "stability", "msgspec"),
    (5, "small_cells", "numpy"),
    (5, "withheld", "msgspec"),
    (5, "suited", ""),
    (5, "collect", "numpy msgspec"),
    (5, "asking", ""),
    (5, "verify", "numpy msgspec"),
    (5, "compare", "msgspec"),
    (6, "api", "msgspec"),
    (6, "testing", "numpy"),
    (7, "cli", "click"),
    (7, "integrations", ""),
    (7, "__main__", ""),
    (7, "__init__", ""),
]
PLACE = {room: i for i, (_, room, _) in enumerate(FLOORS)}
FLOOR = {room: floor for floor, room, _ in FLOORS}
THIRD_PARTY = {room: set(names.split()) for _, room, names in FLOORS}

ABSENT = {
    "audits": {"rules", "policy", "report", "training", "deploy"},
    "rules": {"audits"},
    "policy": {"audits"},
    "report": {"audits"},
}
ONLY_IN = {"jinja2": "report/html.py", "babel": "report/language.py"}
TOUCHES = {"files", "tables"}  # tables reads the user's rows, row by row, which no reader of whole files can
TOUCHES_FILES = {"open", "read_text", "write_text", "read_bytes", "write_bytes", "mkdir", "unlink", "rename"}


def violations(where: str, source: str) -> list[str]:
    """What a file (named as ``audits/fairness.py``) does that its place forbids, one line each."""
    room = where.split("/", maxsplit=1)[0].removesuffix(".py")
    tree = ast.parse(source)
    if room not in PLACE:
        return [f"{where}: the room {room!r} stands on no floor"]
    found = [*_statements(where, tree)]
    typing_only = {id(n) for block in _typing_blocks(tree) for n in ast.walk(block)}
    inside = {
        id(n)
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for n in ast.walk(f)
        if n is not f
    }
    for node in ast.walk(tree):
        line = f"{where}:{getattr(node, 'lineno', 0)}"
        for name in _imported(node, where):
            if name == PACKAGE or name.startswith(f"{PACKAGE}."):
                found += [f"{line}: {what}" for what in _ours(room, name)]
            elif id(node) not in typing_only | inside:
                found += [f"{line}: {what}" for what in _theirs(room, where, name.partition(".")[0])]
        if FLOOR[room] < 6:
            found += [f"{line}: {what}" for what in _speaks(node)]
        if room not in TOUCHES and FLOOR[room] < 7 and (verb := _touches(node)):
            found.append(f"{line}: {verb}: only files/ touches files")
    return found


def _statements(where: str, tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        loose = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        guard = isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        acts = isinstance(node, ast.For | ast.While | ast.With | ast.Delete | ast.Assert | ast.Raise)
        if (loose or acts or guard) and where != "__main__.py":
            yield f"{where}:{node.lineno}: does something when it is imported"


def _typing_blocks(tree: ast.Module) -> Iterator[ast.If]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield node


def _imported(node: ast.AST, where: str) -> Iterator[str]:
    """Full names of what a statement imports; ``from rai_bigmodel import files`` is ``rai_bigmodel.files``."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if node.level:
            parts = [PACKAGE, *where.split("/")][: -node.level]
            module = ".".join([*parts, *([module] if module else [])])
        if module == PACKAGE:
            yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)
        elif module != "__future__":
            yield module
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
        "importlib.import_module",
        "import_module",
        "__import__",
    }:
        name = node.args[0] if node.args else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def _ours(room: str, name: str) -> Iterator[str]:
    parts = name.split(".")
    other = parts[1] if len(parts) > 1 else "__init__"
    if room in {"__init__", other}:
        return
    if other not in PLACE:
        yield f"imports {name}, which stands on no floor"
    elif PLACE[other] > PLACE[room]:
        yield f"{room} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[other]}): upward"
    elif other in ABSENT.get(room, ()):
        yield f"{room} must not import {other}"


def _theirs(room: str, where: str, package: str) -> Iterator[str]:
    if package in sys.stdlib_module_names:
        return
    if package not in THIRD_PARTY[room]:
        allowed = ", ".join(sorted(THIRD_PARTY[room])) or "nothing"
        yield f"imports {package} when it is imported; {room} may import {allowed} there"
    elif where != ONLY_IN.get(package, where):
        yield f"imports {package}, which only {ONLY_IN[package]} may"


def _speaks(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in {
            "print",
            "exit",
            "quit",
            "sys.exit",
            "os._exit",
            "sys.stdout.write",
            "sys.stderr.write",
        }:
            yield f"{called}: nothing below floor 6 prints or exits"
    if isinstance(node, ast.Raise) and node.exc and "SystemExit" in ast.unparse(node.exc):
        yield "raises SystemExit: nothing below floor 6 prints or exits"


def _touches(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Name):
        return node.func.id if node.func.id == "open" else ""
    if isinstance(node.func, ast.Attribute) and node.func.attr in TOUCHES_FILES:
        # A member of a package is not a file of the user's; and files.… is the room itself.
        owner = ast.unparse(node.func.value)
        return (
            "" if owner == "files" or "resources" in owner or "package" in owner else ast.unparse(node.func)
        )
    return ""


SOURCES = sorted(HERE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=[str(p.relative_to(HERE)) for p in SOURCES])
def test_every_file_keeps_to_its_floor(path: Path) -> None:
    """No upward import, no library its row does not name, no print, no file touched, nothing done on import."""
    assert violations(path.relative_to(HERE).as_posix(), path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("where", "source", "said"),
    [
        ("errors.py", "from rai_bigmodel import files", "upward"),
        ("files/read.py", "import rai_bigmodel.evidence", "upward"),
        ("stats/counts.py", "def f():\n    from rai_bigmodel.subject import Subject", "upward"),
        ("stats/counts.py", "if TYPE_CHECKING:\n    from rai_bigmodel.subject import Subject", "upward"),
        ("policy.py", "from rai_bigmodel.subject import Subject", "upward"),
        ("policy.py", "from . import subject", "upward"),
        ("tables/memory.py", "from ..audits import fairness", "upward"),
        ("tables/memory.py", "from ..audits.fairness import Fairness", "upward"),
        (
            "tables/memory.py",
            "import importlib\ndef f(): importlib.import_module('rai_bigmodel.api')",
            "upward",
        ),
        ("policy.py", "import rai_bigmodel", "upward"),
        ("policy.py", "from rai_bigmodel.audits import fairness", "upward"),
        ("report/html.py", "from rai_bigmodel.audits import fairness", "upward"),
        ("audits/fairness.py", "from rai_bigmodel.policy import judge", "must not import policy"),
        (
            "audits/fairness.py",
            "def f():\n    from rai_bigmodel.report import html",
            "must not import report",
        ),
        ("audits/privacy.py", "from rai_bigmodel.training import fit", "must not import training"),
        ("audits/deployment.py", "from rai_bigmodel import deploy", "must not import deploy"),
        ("policy.py", "import numpy as np", "imports numpy"),
        ("subject.py", "from torch import nn", "imports torch"),
        ("plugins.py", "try:\n    import torch\nexcept ImportError:\n    torch = None", "imports torch"),
        ("accounting.py", "import opacus", "imports opacus"),
        ("tables/memory.py", "import pandas as pd", "imports pandas"),
        ("report/charts.py", "import jinja2", "only report/html.py"),
        ("api.py", "import numpy", "imports numpy"),
        ("cli.py", "import jinja2", "imports jinja2"),
        ("policy.py", "def f():\n    print('passed')", "prints or exits"),
        ("collect.py", "import sys\ndef f():\n    sys.exit(1)", "prints or exits"),
        ("collect.py", "def f():\n    raise SystemExit(1)", "prints or exits"),
        ("audits/data.py", "def f(path):\n    return path.read_text()", "touches files"),
        ("collect.py", "def f(p):\n    with open(p) as f: return f", "touches files"),
        ("datasets/loan.py", "torch.set_num_threads(1)", "when it is imported"),
        ("datasets/loan.py", "for x in range(3):\n    pass", "when it is imported"),
        ("helpers.py", "x = 1", "no floor"),
        ("policy.py", "from rai_bigmodel import helpers", "no floor"),
    ],
)
def test_a_planted_violation_is_found(where: str, source: str, said: str) -> None:
    """A layering rule whose check finds nothing is a wish."""
    assert any(said in found for found in violations(where, source))


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("policy.py", "from rai_bigmodel.evidence import Record\nfrom rai_bigmodel.words import number"),
        ("subject.py", "if TYPE_CHECKING:\n    from torch import nn"),
        ("accounting.py", "def f():\n    import opacus"),
        ("report/html.py", "import jinja2\nfrom rai_bigmodel.report import charts"),
        ("audits/privacy.py", "import torch\nfrom rai_bigmodel import accounting, files"),
        ("cli.py", "import click\nprint('x')\ndef f():\n    from rai_bigmodel import api"),
        ("__init__.py", "def __getattr__(name):\n    from rai_bigmodel import api"),
        ("collect.py", "def f(p):\n    return files.read_bytes(p)"),
    ],
)
def test_what_is_allowed_is_not_accused(where: str, source: str) -> None:
    """Rooms below, libraries of the row, optional libraries inside functions, types."""
    assert [v for v in violations(where, source) if "when it is imported" not in v] == []


def test_the_table_is_in_the_order_of_the_floors() -> None:
    """And names each room once."""
    assert [floor for floor, *_ in FLOORS] == sorted(floor for floor, *_ in FLOORS)
    assert len(PLACE) == len(FLOORS)
