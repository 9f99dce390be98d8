"""How does an ONNX file that somebody else exported become a subject? By declaring its columns and its decision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.deploy import beside
from rai_bigmodel.deploy.session import digest_of, piece_of, runtime_of
from rai_bigmodel.deploy.weigh import weigh
from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Subject
from rai_bigmodel.subjects.of_callable import answered, decided
from rai_bigmodel.tables import canonical

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.subject import Array, Inputs

BATCH = 4096
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_SCORES = frozenset(["tensor(float)", "tensor(double)", "tensor(float16)"])


def of_foreign_onnx(
    model: bytes | str | os.PathLike[str],
    *,
    features: Sequence[str] = (),
    inputs: Mapping[str, Sequence[str]] | None = None,
    output: str = "",
    labels: Sequence[str] = (),
    positive: str = "",
    threshold: float = 0.5,
    name: str = "",
    threads: int = 1,
) -> Subject:
    """An ONNX file of any origin, or its bytes, as a subject of kind ``onnx``; it is scanned before it is loaded.

    A single input of three or more dimensions reads the one array that the rows are: pictures, channels first or last.

    Args:
        features: the columns of the one input ``(batch, features)``, in its order.
        inputs: of a model with several inputs, name → its columns; an input that is named like a column needs no entry.
        output: which output holds scores or probabilities; where there is only one such, it is found.
        labels: what it decides between, in the order of its probabilities; a map of labels names them itself.
        positive: of two labels, the one whose score counts; an output of one number a row is the score of this one.
        threshold: a score at or above it is a positive decision.

    Raises:
        InputError: it is unsafe or no ONNX model, or its inputs, outputs or labels cannot be understood.
        MissingExtra: onnxruntime is not installed.
    """
    name = name or ("ONNX model" if isinstance(model, bytes) else Path(model).name)
    there = beside.read(model, where=name)
    runtime = runtime_of(there.content, where=name, threads=threads, beside=there.beside)
    arrays = [i for i in runtime.get_inputs() if len(i.shape) > 2]
    whole_array = (
        arrays[0] if len(runtime.get_inputs()) == len(arrays) == 1 and arrays[0].type in _TYPES else None
    )
    fed = [] if whole_array else _inputs(runtime.get_inputs(), tuple(features), inputs or {}, name)
    out = _output(runtime.get_outputs(), output, name)
    mapped = out.type.startswith("seq(map(")
    named = tuple(labels)
    if mapped:
        # The map says which probability is whose; another order of labels would silently swap them.
        told = _keys(runtime, runtime.get_inputs(), out.name, name)
        if named and named != told:
            msg = f"{name}: gives the labels {list(told)[:8]}, got labels={list(named)[:8]}"
            raise InputError(msg)
        named = told
    if not named:
        width = out.shape[-1] if len(out.shape) == 2 and isinstance(out.shape[-1], int) else 1
        if width > 2:
            msg = (
                f"{name}: the output {out.name!r} has {width} columns; labels=[…] (--label, once each) must name them "
                "in that order"
            )
            raise InputError(msg)
        named = ("0", "1")
    decision = decided(named, positive=positive, threshold=threshold, name=name)

    def given(columns: Inputs) -> tuple[dict[str, Array], int]:
        """What the graph is fed with, and how many rows at once."""
        if whole_array:
            x = _pictures(columns, whole_array, where=name)
            return {whole_array.name: x}, piece_of(x[0].size)
        return {
            i: _matrix(columns, wanted, kind, flat=flat, where=name) for i, wanted, kind, flat in fed
        }, BATCH

    def ask(columns: Inputs) -> Array:
        whole, batch = given(columns)
        rows = len(next(iter(whole.values())))
        parts = []
        for at in range(0, rows, batch):
            said = runtime.run([out.name], {k: v[at : at + batch] for k, v in whole.items()})[0]
            if mapped:
                said = [[row[k] for k in sorted(row)] for row in said]
            parts.append(np.asarray(said, dtype=np.float64))
        scores = np.concatenate(parts)
        if len(named) == 2 and scores.ndim == 2 and scores.shape[1] == 2:
            scores = scores[:, named.index(decision.positive)]
        return scores

    def predict(columns: Inputs) -> Array:
        return answered(lambda: ask(columns), name=name, inputs=columns, labels=len(named))

    def weighed(columns: Inputs) -> Mapping[str, float] | None:
        whole, batch = given(columns)
        return weigh(there.content, whole, piece=batch)

    return Subject(
        name=name,
        kind="onnx",
        digest=digest_of(there.content, there.beside),
        decision=decision,
        predict=predict,
        weigh=None if there.beside else weighed,
        card={
            "features": list(features) if whole_array else [c for _, wanted, *_ in fed for c in wanted],
            "texts": [c for _, wanted, kind, _ in fed for c in wanted if kind is np.object_],
            "size_bytes": there.size,
        },
    )


def _inputs(
    there: list[Any], features: tuple[str, ...], inputs: Mapping[str, Sequence[str]], name: str
) -> list[tuple[str, tuple[str, ...], Any, bool]]:
    """For each input: its name, its columns, its type, and whether it has one dimension."""
    if strange := sorted(inputs.keys() - {i.name for i in there}):
        what = f"{name}: input"
        raise InputError.unknown(what, strange[0], [i.name for i in there])
    fed = []
    for i in there:
        if i.type not in _TYPES or len(i.shape) not in {1, 2}:
            msg = f"{name}: the input {i.name!r} is a {i.type} of shape {i.shape}; columns make a table"
            raise InputError(msg)
        wanted = tuple(inputs.get(i.name, features if len(there) == 1 else (i.name,)))
        width = i.shape[1] if len(i.shape) == 2 else 1
        if not wanted or (isinstance(width, int) and width != len(wanted)):
            msg = f"{name}: the input {i.name!r} reads {width} columns, {len(wanted)} are named"
            raise InputError(msg)
        fed.append((i.name, wanted, _TYPES[i.type], len(i.shape) == 1))
    return fed


def _output(there: list[Any], wanted: str, name: str) -> Any:
    by_name = {o.name: o for o in there}
    if wanted and wanted not in by_name:
        what = f"{name}: output"
        raise InputError.unknown(what, wanted, by_name)
    scores = [o for o in there if o.type.startswith("seq(map(") or o.type in _SCORES]
    chosen = [o for o in scores if o.name == wanted] if wanted else scores
    if len(chosen) == 1:
        return chosen[0]
    has = ", ".join(f"{o.name} ({o.type})" for o in there)
    if chosen:
        msg = f"{name}: gives several; output='…' (--output NAME) says which; it has: {has}"
    else:
        which = f"the output {wanted!r} gives" if wanted else "gives"
        msg = (
            f"{name}: {which} no scores or probabilities; it has: {has}; where it decides without a score, write its "
            "decisions into a column and audit that: rai audit --predictions FILE --prediction COL"
        )
    raise InputError(msg)


def _keys(runtime: Any, inputs: list[Any], output: str, name: str) -> tuple[str, ...]:
    """The labels of a map, asked of one row of zeros or empty texts."""
    row: dict[str, Array] = {
        i.name: np.full([1, *(n if isinstance(n, int) else 1 for n in i.shape[1:])], "" if "string" in i.type else 0)
        .astype(_TYPES[i.type])
        for i in inputs
    }  # fmt: skip
    try:
        keys = sorted(runtime.run([output], row)[0][0])
    except Exception as error:  # noqa: BLE001 - onnxruntime's own classes
        msg = f"{name}: does not tell its labels ({files.visible(str(error))[:200]}); output='…' names another output"
        raise InputError(msg) from None
    return tuple(canonical(np.asarray(keys)).tolist())


def _matrix(columns: Inputs, wanted: tuple[str, ...], kind: Any, *, flat: bool, where: str) -> Array:
    out = []
    for c in wanted:
        if c not in columns:
            what = f"{where}: column"
            raise InputError.unknown(what, c, columns)
        values = np.asarray(columns[c])
        if kind is not np.object_ and values.dtype.kind not in "fiub":
            msg = f"{where}: the column {c!r} must hold one number a row, got {_no_number(values)}"
            raise InputError(msg)
        out.append(values.astype(kind))
    return out[0] if flat else np.ascontiguousarray(np.column_stack(out))


def _no_number(values: Array) -> str:
    """The first of these values that is no number, or of what kind they are."""
    for value in values.tolist():
        try:
            float(value)
        except (TypeError, ValueError):
            return files.visible(repr(value))[:60]
    return str(values.dtype)


def _pictures(given: Inputs, wanted: Any, *, where: str) -> Array:
    """The one array of these rows in the shape that an input has; channels are moved where only that fits."""
    columns = list(given.values()) if hasattr(given, "keys") else [given]
    x = np.asarray(columns[0]) if len(columns) == 1 else np.empty(0)
    shape = wanted.shape[1:]
    last = np.moveaxis(x, 1, -1) if x.ndim > 2 else x
    first = np.moveaxis(x, -1, 1) if x.ndim > 2 else x
    for turned in (x, last, first):
        if turned.dtype.kind in "fiub" and len(turned) and _fits(turned.shape[1:], shape):
            return np.ascontiguousarray(turned, dtype=_TYPES[wanted.type])
    got = f"an array of shape {x.shape[1:]}" if len(columns) == 1 else f"{len(columns)} columns"
    msg = f"{where}: the input {wanted.name!r} reads one array a row of shape {tuple(shape)}, got {got}"
    raise InputError(msg)


def _fits(shape: tuple[int, ...], wanted: Sequence[Any]) -> bool:
    """Whether every side is as wanted; one without a number may be of any length."""
    return len(shape) == len(wanted) and all(
        a == b for a, b in zip(shape, wanted, strict=True) if isinstance(b, int)
    )
