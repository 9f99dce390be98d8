"""What is a group called? The same name whatever engine, file or type its value came from."""

from __future__ import annotations

import decimal
import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.files import visible
from rai_bigmodel.stats.counts import MISSING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from rai_bigmodel.subject import Array

MAX_GROUPS = 400
MAX_WHOLE_CLASSES = 20
"""So many different whole numbers are still labels."""

_USUAL = (("0", "1"), ("false", "true"))
"""Labels that say themselves which is positive."""
_BOOLEANS = tuple({write(w) for w in ("true", "false")} for write in (str.lower, str.title, str.upper))
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?$", re.ASCII)
_POWER = re.compile(r"-?\d(\.\d+)?e[-+]\d\d+$", re.ASCII)
_EXACT_DIGITS = 15
"""A double keeps so many digits of any decimal number."""


def canonical(values: Any) -> Array:
    """The canonical text of each value ``(rows,)``; null and NaN become ``(missing)``.

    A whole number reads the same whether it came as 1 or 1.0; the text "NA" stays.
    """
    values = np.asarray(values)
    if values.dtype == bool:
        return np.where(values, "true", "false").astype(object)
    if values.dtype.kind in "iu":
        return values.astype(str).astype(object)
    if values.dtype.kind == "f":
        distinct, codes = np.unique(values, return_inverse=True)
        return np.array([_number(v) for v in distinct.tolist()] or [""], dtype=object)[codes]
    return np.array([name_of(v) for v in values.tolist()], dtype=object)


def name_of(value: object) -> str:
    """The canonical text of one value: engines differ in what they call missing, true and one."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating | decimal.Decimal):
        return _number(float(value))
    # pandas' NA answers a comparison with itself, NaT is not equal to itself: neither has a name.
    if type(value).__name__ in {"NAType", "NaTType"}:
        return MISSING
    return str(value)


def names_of(values: Iterable[object], *, untyped: bool = False) -> dict[object, str]:
    """The canonical text of each of the distinct values of one column.

    Args:
        untyped: the values come from a csv, where everything is text: `written` says what they are.
    """
    distinct = list(values)
    there = [v for v in distinct if v is not None]
    if untyped and all(isinstance(v, str) for v in there):
        kind = written(map(str, there))
        if kind == "numbers":
            return {v: MISSING if v is None else _number(float(str(v))) for v in distinct}
        if kind == "booleans":
            return {v: MISSING if v is None else str(v).lower() for v in distinct}
    return {v: name_of(v) for v in distinct}


def written(texts: Iterable[str]) -> Literal["numbers", "booleans", "texts"]:
    """What the distinct texts of one column of a csv are, where values are names.

    Numbers if each is a number's own text (``1``, ``1.0`` and ``1e-05`` are, ``01``, ``1e3`` and more digits than a
    double keeps are not); booleans if they are ``True`` and ``False`` in one way of writing them.
    """
    distinct = set(texts)
    if distinct and any(distinct <= pair for pair in _BOOLEANS):
        return "booleans"
    return "numbers" if distinct and all(map(_is_own_text, distinct)) else "texts"


def _is_own_text(text: str) -> bool:
    if _DECIMAL.match(text):
        return len(text) <= _EXACT_DIGITS or sum(map(str.isdigit, text)) <= _EXACT_DIGITS or _repeats(text)
    return bool(_POWER.match(text)) and _repeats(text)


def _repeats(text: str) -> bool:
    """Whether the number that a text stands for is written as this text."""
    return repr(float(text)) == text


def _number(value: float) -> str:
    if value != value:  # noqa: PLR0124 - NaN is the one number that differs from itself
        return MISSING
    return str(int(value)) if abs(value) < 2**53 and value == int(value) else repr(value)


def few_whole(values: Array) -> bool:
    """Whether a column of numbers holds so few and only whole ones that they are labels."""
    distinct = np.unique(values)
    return len(distinct) <= MAX_WHOLE_CLASSES and bool((distinct == np.round(distinct)).all())


def escape(name: str) -> str:
    """A part of an intersection's name, with ``%`` and ``*`` percent-escaped."""
    return name.replace("%", "%25").replace("*", "%2A")


def joined(parts: Sequence[str]) -> str:
    """The name of a group of one attribute, or of an intersection of several."""
    return parts[0] if len(parts) == 1 else "*".join(escape(part) for part in parts)


def check_groups(table: str, column: str, names: Collection[object], rows: int) -> None:
    """Refuse an attribute that cannot be compared.

    Raises:
        InputError: it has one value, or so many that it must be an id.
    """
    if len(names) > MAX_GROUPS or len(names) == rows > 1 or len(names) > max(20, rows // 2):
        msg = (
            f"{table}: {column!r} has {len(names):,} different values in {rows:,} rows; "
            "an attribute needs few groups (is it an id, or should it be given as bins?)"
        )
        raise InputError(msg)
    if len(names) < 2:
        only = repr(str(next(iter(names), ""))) if names else "no value"
        msg = f"{table}: the attribute {column!r} has one value ({only}), so there is nothing to compare"
        raise InputError(msg)


def check_crossed(table: str, by: Sequence[str], groups: int) -> None:
    """Refuse an intersection of too many groups."""
    if groups > MAX_GROUPS:
        msg = f"{table}: {'*'.join(by)} makes {groups:,} groups; at most {MAX_GROUPS} are compared"
        raise InputError(msg)


def meant(declared: str, labels: Collection[str]) -> str:
    """The label that was declared: ``True`` and ``TRUE`` are how files write the label ``true``."""
    return declared.lower() if declared.lower() in labels and {*labels} <= {"false", "true"} else declared


def positive_label(
    table: str,
    column: str,
    labels: Collection[str],
    *,
    declared: str,
    others: Collection[str],
    missing: str = "",
) -> str:
    """Which of a column's labels is the positive one.

    Args:
        labels: the canonical labels of the column, without ``(missing)``.
        declared: the label that was declared positive, if one was.
        others: labels of the outcome; a column of decisions may hold the negative label alone.
        missing: how many rows lack a label, in words.

    Raises:
        InputError: labels are missing, are more than two, or none of them is known to be positive.
    """
    if missing:
        msg = f"{table}: {column!r} is missing in {missing} rows"
        raise InputError(msg)
    known = set(labels)
    shown = ", ".join(visible(repr(v)) for v in sorted(known)[:6]) + (" …" if len(known) > 6 else "")
    if len(known) > 2:
        msg = f"{table}: {column!r} must have two labels, it has {len(known):,} ({shown})"
        raise InputError(msg)
    declared = meant(declared, known)
    positive = declared or next((p for n, p in _USUAL if known <= {n, p}), "")
    usual = any(positive == p and known <= {n, p} for n, p in _USUAL)
    elsewhere = len(known) == 1 and positive in others
    if not positive or not (positive in known or usual or elsewhere):
        said = f"{declared!r} is not one of them" if declared else "none is declared positive"
        msg = (
            f"{table}: {column!r} has the labels {shown} and {said} "
            "(--positive LABEL, or positive: in audit.yaml)"
        )
        raise InputError(msg)
    return positive
