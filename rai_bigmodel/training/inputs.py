"""How do named columns become what a network reads? Without torch: an exported file needs none.

What comes out has the order in which a module takes it: pixels, tokens, series, table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import pretrained
from rai_bigmodel.tables import canonical
from rai_bigmodel.training import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.nets.reads import Category, Reads
    from rai_bigmodel.subject import Array, Inputs


def columns_of(reads: Reads) -> tuple[str, ...]:
    """The columns that are read, in the order of what a module takes."""
    single = (reads.pixels, reads.tokens, reads.series)
    return (*(one.column for one in single if one is not None), *reads.features)


def kinds_read(reads: Reads) -> tuple[str, ...]:
    """What is read, in the order in which a module takes it: as ``nets.takes``, without torch."""
    single = (("pixels", reads.pixels), ("tokens", reads.tokens), ("series", reads.series))
    return (*(kind for kind, one in single if one is not None), *(("table",) if reads.features else ()))


def tensors(reads: Reads, inputs: Inputs, *, where: str) -> dict[str, Array]:
    """Kind → raw values: pixels ``(rows, channels, height, width)``, tokens ``(rows, length)``, series, table.

    Args:
        inputs: column → array; or one array, where a single column is read.
        where: names the asker in errors.

    Raises:
        InputError: a column is missing, or does not hold what is read from it.
    """
    columns = named(reads, inputs, where=where)
    out: dict[str, Array] = {}
    if (p := reads.pixels) is not None:
        wanted = (p.channels, p.height, p.width)
        out["pixels"] = _shaped(columns, p.column, wanted, "pictures", where=where)
    if (t := reads.tokens) is not None:
        out["tokens"] = words.encode(_texts(columns, t.column, where=where), t)
    if (s := reads.series) is not None:
        out["series"] = _series(columns, s.column, (s.length, s.features), where=where)
    if reads.features:
        out["table"] = stack(columns, reads.features, where=where, categories=reads.categories)
    return out


def pieces(reads: Reads, inputs: Inputs, tokenizer: Any, *, where: str) -> Array:
    """The ids of texts ``(rows, length)`` as a pretrained encoder's own tokenizer cuts them.

    Raises:
        InputError: the column of texts is missing or holds something else.
    """
    assert reads.tokens is not None
    texts = _texts(named(reads, inputs, where=where), reads.tokens.column, where=where)
    ours = pretrained.places_in(tokenizer)
    return pretrained.pieces(texts, tokenizer, length=reads.tokens.length, ours=ours)


def _texts(columns: Mapping[str, Array], name: str, *, where: str) -> list[str | None]:
    texts = _column(columns, name, where=where)
    if texts.ndim != 1 or texts.dtype.kind not in "OUT":
        msg = f"{where}: the column {name!r} must hold texts, got {_kind(texts)}"
        raise InputError(msg)
    found: list[str | None] = texts.tolist()
    return found


def named(reads: Reads, inputs: Inputs, *, where: str) -> Mapping[str, Array]:
    """Inputs by column: one array alone is that of the only column that is read.

    Raises:
        InputError: one array was given where several columns are read.
    """
    if hasattr(inputs, "keys"):
        columns: Mapping[str, Array] = inputs
        return columns
    there = columns_of(reads)
    if len(there) != 1:
        msg = f"{where}: reads {len(there)} columns ({', '.join(there[:6])}), got one array"
        raise InputError(msg)
    return {there[0]: np.asarray(inputs)}


def stack(
    columns: Mapping[str, Array],
    features: Sequence[str],
    *,
    where: str,
    categories: Mapping[str, Category] | None = None,
) -> Array:
    """Raw float32 rows ``(rows, features)`` in the order of `features`; NaN where a value is missing.

    Args:
        columns: column → array ``(rows,)``; more columns than needed do no harm.
        where: names the asker in errors.
        categories: columns of labels, which become codes: 0 for a missing or unknown one.

    Raises:
        InputError: a column is missing or is not made of numbers.
    """
    out = []
    for name in features:
        if categories and name in categories:
            out.append(_coded(_column(columns, name, where=where), categories[name]))
            continue
        out.append(column_of_numbers(columns, name, where=where).astype(np.float32))
    return np.stack(out, axis=1)


def column_of_numbers(columns: Mapping[str, Array], name: str, *, where: str) -> Array:
    """One column of one number a row ``(rows,)``, as it is.

    Raises:
        InputError: it is missing or is not made of numbers.
    """
    values = _column(columns, name, where=where)
    if values.dtype.kind not in "fiub" or values.ndim != 1:
        msg = f"{where}: the column {name!r} must hold one number a row, got {_kind(values)}"
        raise InputError(msg)
    return values


def _coded(values: Array, category: Category) -> Array:
    place = {label: i + 1 for i, label in enumerate(category.values)}
    distinct, codes = np.unique(canonical(values).astype(str), return_inverse=True)
    return np.array([place.get(name, 0) for name in distinct.tolist()] or [0], dtype=np.float32)[codes]


def _column(columns: Mapping[str, Array], name: str, *, where: str) -> Array:
    if name not in columns:
        what = f"{where}: column"
        raise InputError.unknown(what, name, columns)
    return np.asarray(columns[name])


def _shaped(
    columns: Mapping[str, Array], name: str, wanted: tuple[int, ...], what: str, *, where: str
) -> Array:
    values = _column(columns, name, where=where)
    if values.shape[1:] != wanted or values.dtype.kind not in "fiub":
        msg = f"{where}: the column {name!r} must hold {what} of shape {wanted}, got {_kind(values)}"
        raise InputError(msg)
    return np.ascontiguousarray(values, dtype=np.float32)


def _series(columns: Mapping[str, Array], name: str, wanted: tuple[int, int], *, where: str) -> Array:
    """A series as it is; of a picture ``(channels, height, width)`` each row of pixels is a step."""
    values = _column(columns, name, where=where)
    if values.ndim == 4:
        values = steps(values)
    length, features = wanted
    if values.ndim == 3 and values.shape[2] == features and values.shape[1] < length:
        padding = np.full((len(values), length - values.shape[1], features), np.nan)
        values = np.concatenate([values, padding], axis=1)
    return _shaped({name: values}, name, wanted, "series", where=where)


def steps(pictures: Array) -> Array:
    """Pictures ``(rows, channels, height, width)`` as series ``(rows, height, channels · width)``."""
    n, channels, height, width = pictures.shape
    return pictures.transpose(0, 2, 1, 3).reshape(n, height, channels * width)


def _kind(values: Array) -> str:
    return f"{values.dtype} of shape {values.shape}"
