"""What would a pickle do? Its opcodes are read by a machine of symbols that calls nothing and imports nothing.

A pickle is a program: ``GLOBAL`` names a function, ``REDUCE`` calls it. Of those named, only what weights are made of
is allowed: the names that ``torch.load(weights_only=True)`` allows. Whatever cannot be followed counts as unsafe.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from rai_bigmodel.scan.found import Malformed

MAX_OPCODES = 5_000_000
MAX_CALLS = 1_000_000

_DTYPES = (
    "bfloat16 bits16 bits1x8 bits2x4 bits4x2 bits8 bool complex128 complex32 complex64 float16 float32 "
    "float4_e2m1fn_x2 float64 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int16 int32 "
    "int64 int8 uint16 uint32 uint64 uint8 qint32 qint8 quint2x4 quint4x2 quint8 per_channel_affine "
    "per_channel_affine_float_qparams per_channel_symmetric per_tensor_affine per_tensor_symmetric"
)
_STORED = "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long Short"
_QUANTISED = "QInt32 QInt8 QUInt2x4 QUInt4x2 QUInt8"
_REBUILDS = (
    "device_tensor_from_cpu_tensor device_tensor_from_numpy meta_tensor_no_storage nested_tensor parameter "
    "parameter_with_state qtensor sparse_tensor tensor tensor_v2 tensor_v3"
)
ALLOWED = frozenset([
    *("builtins.bytearray", "builtins.complex", "builtins.set", "_codecs.encode"),
    *("collections.Counter", "collections.OrderedDict"),
    *("torch.Size", "torch.Tensor", "torch.device", "torch.nn.parameter.Parameter"),
    *("torch.storage.TypedStorage", "torch.storage.UntypedStorage", "torch.serialization._get_layout"),
    "torch._tensor._rebuild_from_type_v2",
    *(f"torch.{name}" for name in _DTYPES.split()),
    *(f"torch.{name}Storage" for name in f"{_STORED} {_QUANTISED}".split()),
    *(f"torch.cuda.{name}Storage" for name in _STORED.split()),
    *(f"torch._utils._rebuild_{name}" for name in _REBUILDS.split()),
])  # fmt: skip
"""What weights are made of: a part of the list of ``torch.load(weights_only=True)``."""

_REACHES = (
    "os posix nt posixpath ntpath subprocess sys shutil socket ssl requests urllib urllib2 urllib3 http httplib httpx "
    "aiohttp importlib imp runpy pty ctypes code codeop pdb bdb pickle _pickle pickletools marshal types functools "
    "operator _operator webbrowser asyncio multiprocessing threading concurrent signal tempfile pathlib io _io pip "
    "ensurepip platform timeit cProfile profile trace doctest distutils setuptools smtplib ftplib telnetlib poplib "
    "imaplib logging inspect dill cloudpickle joblib.load joblib.parallel joblib.memory venv zipimport zipfile tarfile "
    "site sysconfig commands popen2 gc idlelib lib2to3 unittest xmlrpc uuid _osx_support _aix_support _pyrepl pydoc "
    "pkgutil copyreg resource mmap builtins test torch.hub torch.jit torch.utils torch.distributed "
    "torch.serialization torch._dynamo torch._inductor torch.ops torch.testing torch.package torch.fx torch.load "
    "numpy.testing numpy.f2py numpy.load numpy.fromfile numpy.distutils pandas.read_pickle pandas.io pandas.eval "
    "sklearn.utils tensorflow keras"
)
"""Modules whose names in a pickle mean code, files or the network; only the words of the finding depend on them."""


class Named(NamedTuple):
    """A function or class that the pickle names; it is never looked up."""

    name: str


class Called(NamedTuple):
    """What calling it would have given."""

    name: str
    arguments: Any


class Saved(NamedTuple):
    """An object kept outside the pickle: for torch, a storage."""

    identity: Any


@dataclass
class Pickle:
    """What one pickle names, calls and refers to."""

    names: dict[str, None] = field(default_factory=dict)
    calls: list[Called] = field(default_factory=list)
    saved: list[Saved] = field(default_factory=list)
    odd: dict[str, None] = field(default_factory=dict)
    result: Any = None


def dangerous(name: str) -> bool:
    """Whether a name is known to mean code, files or the network."""
    if name in ALLOWED:
        return False
    parts = name.split(".")
    reaching = frozenset(_REACHES.split())
    return any(".".join(parts[:i]) in reaching for i in range(1, len(parts) + 1))


class _Mark:
    """Where a list of arguments begins."""


class _Opaque:
    """A dict or a set: nothing here depends on what is in it."""


_CONSTANTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_PLAIN = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def read(stream: IO[bytes]) -> Pickle:
    """Follow one pickle to its end; the stream then stands behind it.

    Raises:
        Malformed: it is cut short, is no pickle, or does something that a machine of symbols cannot follow. What was
            named until then stands in the exception's second argument.
    """
    out = Pickle()
    try:
        _follow(stream, out)
    except Malformed as error:
        raise Malformed(str(error), out) from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeError, EOFError) as error:
        # The standard library's reader complains of bad bytes in many ways; an empty stack is an IndexError of ours.
        msg = f"{type(error).__name__}: {error}"
        raise Malformed(msg[:200], out) from None
    return out


def _follow(stream: IO[bytes], out: Pickle) -> None:
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        items: list[Any] = []
        while not isinstance(top := stack.pop(), _Mark):
            items.append(top)
        return items[::-1]

    def name(text: str) -> Named:
        text = text.replace("__builtin__.", "builtins.", 1) if text.startswith("__builtin__.") else text
        out.names[text] = None
        return Named(text)

    def call(function: Any, arguments: Any) -> Called:
        if not isinstance(function, Named):
            out.odd["calls what it did not name"] = None
        made = Called(getattr(function, "name", "?"), arguments)
        if len(out.calls) >= MAX_CALLS:
            msg = f"calls more than {MAX_CALLS:,} functions"
            raise Malformed(msg)
        out.calls.append(made)
        return made

    argument: Any
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count > MAX_OPCODES:
            msg = f"has more than {MAX_OPCODES:,} opcodes"
            raise Malformed(msg)
        code = opcode.name
        if code in _CONSTANTS:
            stack.append(argument)
        elif code in _PLAIN:
            stack.append(_PLAIN[code])
        elif code in {"PROTO", "FRAME", "NEXT_BUFFER", "READONLY_BUFFER"}:
            if code == "NEXT_BUFFER":
                out.odd["asks for buffers from outside"] = None
                stack.append(_Opaque())
        elif code in {"BINPUT", "LONG_BINPUT", "PUT"}:
            memo[int(argument)] = stack[-1]
        elif code == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif code in {"BINGET", "LONG_BINGET", "GET"}:
            stack.append(memo[int(argument)])
        elif code == "MARK":
            stack.append(_Mark())
        elif code == "POP":
            stack.pop()
        elif code == "POP_MARK":
            since_mark()
        elif code == "DUP":
            stack.append(stack[-1])
        elif code == "EMPTY_LIST":
            stack.append([])
        elif code == "LIST":
            stack.append(since_mark())
        elif code == "TUPLE":
            stack.append(tuple(since_mark()))
        elif code in {"TUPLE1", "TUPLE2", "TUPLE3"}:
            n = int(code[-1])
            items = tuple(stack[-n:])
            if len(items) < n:
                msg = "the stack is empty"
                raise Malformed(msg)
            del stack[-n:]
            stack.append(items)
        elif code in {"EMPTY_DICT", "EMPTY_SET"}:
            stack.append(_Opaque())
        elif code in {"DICT", "FROZENSET"}:
            since_mark()
            stack.append(_Opaque())
        elif code == "APPEND":
            item = stack.pop()
            if isinstance(stack[-1], list):
                stack[-1].append(item)
        elif code == "APPENDS":
            more = since_mark()
            if isinstance(stack[-1], list):
                stack[-1].extend(more)
        elif code == "SETITEM":
            stack.pop()
            stack.pop()
            _ = stack[-1]
        elif code in {"SETITEMS", "ADDITEMS"}:
            since_mark()
            _ = stack[-1]
        elif code == "GLOBAL":
            stack.append(name(str(argument).replace(" ", ".", 1)))
        elif code == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            if not isinstance(attribute, str) or not isinstance(module, str):
                out.odd["works out the name of what it calls"] = None
                attribute, module = "?", "?"
            stack.append(name(f"{module}.{attribute}"))
        elif code in {"EXT1", "EXT2", "EXT4"}:
            stack.append(name(f"copyreg.extension_{argument}"))
        elif code == "INST":
            stack.append(call(name(str(argument).replace(" ", ".", 1)), tuple(since_mark())))
        elif code == "OBJ":
            function, *arguments = since_mark()
            stack.append(call(function, tuple(arguments)))
        elif code in {"REDUCE", "NEWOBJ"}:
            arguments = stack.pop()
            stack.append(call(stack.pop(), arguments))
        elif code == "NEWOBJ_EX":
            stack.pop()
            arguments = stack.pop()
            stack.append(call(stack.pop(), arguments))
        elif code == "BUILD":
            stack.pop()
            if isinstance(stack[-1], Named):
                out.odd[f"changes {stack[-1].name} itself"] = None
        elif code in {"PERSID", "BINPERSID"}:
            saved = Saved(argument if code == "PERSID" else stack.pop())
            out.saved.append(saved)
            stack.append(saved)
        elif code == "STOP":
            out.result = stack.pop()
            return
        else:
            msg = f"the opcode {code} is not known"
            raise Malformed(msg)
    msg = "ends without a STOP"
    raise Malformed(msg)
