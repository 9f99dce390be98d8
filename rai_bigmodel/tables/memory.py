"""How do columns in memory become a cohort?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.files import visible
from rai_bigmodel.stats.counts import MISSING, GroupCounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.subject import Array, Roles

MAX_GROUPS = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows in memory: numbers as float64 with NaN for missing, text as objects with None for missing.

    Args:
        name: what a reader calls these rows.
        columns: column → array ``(rows,)``.
        roles: role → columns (``feature truth sensitive score prediction weight id``).
        positive: the outcome that counts as positive, as canonical text; needed where labels are not 0 and 1.
        notes: what was settled while reading, in words.
    """

    name: str
    columns: Mapping[str, Array]
    roles: Roles = field(default_factory=dict)
    positive: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            msg = f"{self.name}: columns differ in length: {lengths}"
            raise InputError(msg)
        for role, names in self.roles.items():
            for column in names:
                if column not in self.columns:
                    what = f"{self.name}: column for {role}"
                    raise InputError.unknown(what, column, self.columns)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()), ()))

    @cached_property
    def digest(self) -> str:
        """The digest of column names, types and canonical values, in the order of the names."""
        whole = hashlib.sha256()
        for name in sorted(self.columns):
            values = self.columns[name]
            number = values.dtype != object
            whole.update(f"{name}\0{'number' if number else 'text'}\0{len(values)}\0".encode())
            if number:
                # One bit pattern for every NaN and for both zeros.
                plain = np.where(np.isnan(values), np.nan, values.astype("<f8") + 0.0)
                whole.update(plain.astype("<f8").tobytes())
            else:
                for value in values:
                    text = b"\xff" if value is None else str(value).encode("utf-8", "surrogatepass")
                    whole.update(len(text).to_bytes(8, "little") + text)
        return f"sha256:{whole.hexdigest()}"

    def arrays(self, *columns: str) -> dict[str, Array]:
        """Columns as arrays.

        Raises:
            InputError: a column is not there; the message says which are.
        """
        for column in columns:
            if column not in self.columns:
                what = f"{self.name}: column"
                raise InputError.unknown(what, column, self.columns)
        return {column: self.columns[column] for column in columns}

    def take(self, rows: Array, *, name: str) -> Table:
        """Some of the rows, by index or mask, under another name."""
        columns = {k: v[rows] for k, v in self.columns.items()}
        return Table(name=name, columns=columns, roles=self.roles, positive=self.positive, notes=self.notes)

    def groups(self, by: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
        """Codes ``(rows,)`` and canonical names of the groups of one attribute or an intersection.

        Raises:
            InputError: a column is not there, has one value, or has so many that it must be an id.
        """
        parts = []
        for column in by:
            text = canonical(self.arrays(column)[column])
            names, codes = np.unique(text, return_inverse=True)
            if len(names) > MAX_GROUPS or len(names) == self.rows or len(names) > max(20, self.rows // 2):
                msg = (
                    f"{self.name}: {column!r} has {len(names):,} different values in {self.rows:,} rows; "
                    "an attribute needs few groups (is it an id, or should it be given as bins?)"
                )
                raise InputError(msg)
            if len(names) < 2:
                only = repr(str(names[0])) if len(names) else "no value"
                msg = f"{self.name}: the attribute {column!r} has one value ({only}), so there is nothing to compare"
                raise InputError(msg)
            parts.append((codes, names))
        if len(parts) == 1:
            codes, names = parts[0]
            return codes, tuple(str(n) for n in names)
        keys = np.stack([codes for codes, _ in parts], axis=1)
        cells, joint = np.unique(keys, axis=0, return_inverse=True)
        if len(cells) > MAX_GROUPS:
            msg = (
                f"{self.name}: {'*'.join(by)} makes {len(cells):,} groups; at most {MAX_GROUPS} are compared"
            )
            raise InputError(msg)
        joined = tuple(
            "*".join(escape(str(parts[i][1][code])) for i, code in enumerate(cell)) for cell in cells
        )
        return joint.reshape(-1), joined

    def count(
        self,
        by: tuple[str, ...] | list[str],
        *,
        truth: str | Array,
        decision: str | Array,
        weight: str | None = None,
    ) -> GroupCounts:
        """How many rows, positives, selected and true positives each group has.

        Args:
            by: the attribute, or the attributes of an intersection.
            truth, decision: a column whose values are compared with `positive`, or booleans ``(rows,)``.
            weight: not yet supported in memory.
        """
        if weight is not None:
            msg = f"{self.name}: weighted counts are not available yet, got weight={weight!r}"
            raise InputError(msg)
        codes, names = self.groups(by)
        return GroupCounts.of(codes, self._flags(truth), self._flags(decision), groups=names)

    def _flags(self, values: str | Array) -> Array:
        return self.binary(values) if isinstance(values, str) else values

    def binary(self, column: str) -> Array:
        """Whether each row has the positive label, as booleans ``(rows,)``.

        Raises:
            InputError: labels are missing, are not two, or none of them is declared positive.
        """
        text = canonical(self.arrays(column)[column])
        if gone := int((text == MISSING).sum()):
            msg = f"{self.name}: {column!r} is missing in {gone:,} of {self.rows:,} rows"
            raise InputError(msg)
        labels = set(text.tolist())
        shown = ", ".join(visible(repr(v)) for v in sorted(labels)[:6]) + (" …" if len(labels) > 6 else "")
        if len(labels) > 2:
            msg = f"{self.name}: {column!r} must have two labels, it has {len(labels):,} ({shown})"
            raise InputError(msg)
        positive = self.positive or next((p for n, p in _USUAL if labels <= {n, p}), "")
        usual = any(positive == p and labels <= {n, p} for n, p in _USUAL)
        elsewhere = len(labels) == 1 and any(
            c != column and positive in canonical(self.columns[c]) for c in self.roles.get("truth", ())
        )
        if not positive or not (positive in labels or usual or elsewhere):
            said = f"{self.positive!r} is not one of them" if self.positive else "none is declared positive"
            msg = (
                f"{self.name}: {column!r} has the labels {shown} and {said} "
                "(--positive LABEL, or positive: in audit.yaml)"
            )
            raise InputError(msg)
        return text == positive


_USUAL = (("0", "1"), ("false", "true"))
"""Labels that say themselves which is positive."""


def canonical(values: Any) -> Array:
    """The canonical text of each value ``(rows,)``; null and NaN become ``(missing)``.

    A whole number reads the same whether it came as 1, 1.0 or "1"; the text "NA" stays.
    """
    values = np.asarray(values)
    if values.dtype == bool:
        return np.where(values, "true", "false").astype(object)
    if values.dtype.kind in "iu":
        return values.astype(str).astype(object)
    if values.dtype.kind == "f":
        distinct, codes = np.unique(values, return_inverse=True)
        return np.array([_number(v) for v in distinct.tolist()] or [""], dtype=object)[codes]
    return np.array([_text(v) for v in values.tolist()], dtype=object)


def _number(value: float) -> str:
    if value != value:  # noqa: PLR0124 - NaN is the one number that differs from itself
        return MISSING
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _text(value: object) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return _number(float(value))
    return str(value)


def escape(name: str) -> str:
    """A part of an intersection's name, with ``%`` and ``*`` percent-escaped."""
    return name.replace("%", "%25").replace("*", "%2A")
