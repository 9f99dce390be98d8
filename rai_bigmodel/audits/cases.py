"""What is there to explain? Rows, where each feature starts from, and one number that a model gives a row.

A case knows nothing of nets: entries of a row (columns, pixels, steps of a series, numbers of an embedding)
belong to features, and a feature that is taken away gets the values of the start. Whatever answers with a number
a row can be a case, so that the battery of tests is the same for a network and for a file that ships.

Shapes: n rows, ``*shape`` of one row, d features, m coalitions of features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from rai_bigmodel.subject import Array

BITS = 64
"""Up to so many features that are there, a coalition is one number, and questions are found again."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Rows of one model, with everything that an explanation of them needs.

    Args:
        x: what the model reads ``(n, *shape)``, float32, nothing missing.
        start: the baseline ``(1, *shape)`` or ``(n, *shape)``.
        score: rows ``(k, *shape)`` and their numbers ``(k,)`` in `x` → the number that is explained ``(k,)``.
        parts: to which feature each entry of a row belongs ``(*shape)``, counted from 0.
        names: the features.
        batch: how many rows may be asked about at once.
        digest: of the model, so that no explanation is shown of another one.
        codes: which entries of a row are codes that nothing lies between ``(*shape)``, booleans.
        forward: the same as `score` with tensors, through which gradients flow.
        module: the network behind `forward`.
        learned_nothing: the same case before a model that has learned nothing, drawn at random.
    """

    x: Array
    start: Array
    score: Callable[[Array, Array], Array]
    parts: Array
    names: tuple[str, ...]
    batch: int
    digest: str = ""
    codes: Array | None = None
    forward: Callable[[Tensor, Tensor], Tensor] | None = None
    module: nn.Module | None = None
    learned_nothing: Callable[[np.random.Generator], Case] | None = None

    def __post_init__(self) -> None:
        if not len(self.x):
            msg = "there are no rows to explain"
            raise InputError(msg)
        if self.start.shape[1:] != self.x.shape[1:] or len(self.start) not in {1, len(self.x)}:
            msg = (
                f"the baseline must have the shape {(1, *self.x.shape[1:])}, one for all rows, or "
                f"{self.x.shape}, one a row; got {self.start.shape}"
            )
            raise InputError(msg)
        if not np.isfinite(self.start).all():
            msg = "the baseline holds values that are missing or not finite; fill them first"
            raise InputError(msg)
        if bad := int((~np.isfinite(self.x)).any(axis=tuple(range(1, self.x.ndim))).sum()):
            msg = (
                f"{bad:,} of {len(self.x):,} rows hold values that are missing or not finite; fill them first"
            )
            raise InputError(msg)

    @property
    def starts(self) -> Array:
        """The baseline of every row ``(n, *shape)``; a view where all rows share one."""
        return np.broadcast_to(self.start, self.x.shape)

    def some(self, rows: Array) -> Case:
        """The case of these rows alone."""
        start = self.start if len(self.start) == 1 else self.start[rows]
        score, forward, other = self.score, self.forward, self.learned_nothing

        def through(x: Tensor, numbers: Tensor) -> Tensor:
            assert forward is not None
            return forward(x, numbers.new_tensor(rows)[numbers])

        return replace(
            self,
            x=self.x[rows],
            start=start,
            score=lambda x, numbers: score(x, rows[numbers]),
            forward=None if forward is None else through,
            learned_nothing=None if other is None else (lambda rng: other(rng).some(rows)),
        )


def scores(case: Case, x: Array, rows: Array) -> Array:
    """The explained number of each row ``(k,)``, float64, asked in batches.

    Raises:
        InputError: an answer is not finite, or not one number a row.
    """
    out = np.empty(len(x))
    for i in range(0, len(x), case.batch):
        part = slice(i, i + case.batch)
        got = case.score(x[part], rows[part])
        if got.shape != (len(x[part]),):
            msg = f"the model gave answers of shape {got.shape} for {len(x[part]):,} rows; one number a row is needed"
            raise InputError(msg)
        out[part] = got
    if bad := int((~np.isfinite(out)).sum()):
        msg = f"the model gave {bad:,} answers that are not finite numbers"
        raise InputError(msg)
    return out


def worths(case: Case, keep: Array) -> Array:
    """The explained number of every row where only some features are there, the rest at the start ``(n, m)``.

    Features that are at their start anyway make no difference to a coalition, and no question is asked twice.

    Args:
        keep: which features are there: ``(m, d)`` for all rows alike, or ``(n, m, d)``, booleans.
    """
    n, (m, d) = len(case.x), keep.shape[-2:]
    flat = case.parts.ravel()
    plain = np.array_equal(flat, np.arange(d))
    x, start = case.x.reshape(n, 1, -1), case.starts.reshape(n, 1, -1)
    there = present(case)
    if there.sum(axis=1).max() <= BITS and not (keep.ndim == 2 and there.all()):
        return _once(case, keep, there)
    out = np.empty((n, m))
    rows, columns = max(1, case.batch // m), min(m, case.batch)
    for i in range(0, n, rows):
        for j in range(0, m, columns):
            here = keep[..., j : j + columns, :] if keep.ndim == 2 else keep[i : i + rows, j : j + columns]
            mask = here if plain else here[..., flat]
            mixed = np.where(mask, x[i : i + rows], start[i : i + rows])
            k = mixed.shape[1]
            asked = mixed.reshape(-1, *case.x.shape[1:])
            numbers = np.repeat(np.arange(i, min(i + rows, n)), k)
            out[i : i + rows, j : j + columns] = scores(case, asked, numbers).reshape(-1, k)
    return out


def _once(case: Case, keep: Array, there: Array) -> Array:
    """`worths`, with each question asked once: what is not there in a row makes no other question of a coalition."""
    n = len(case.x)
    place = np.cumsum(there, axis=1).clip(1).astype(np.uint64) - np.uint64(1)
    bits = np.where(there, np.uint64(1) << place, np.uint64(0))
    masks = [keep] * n if keep.ndim == 2 else list(keep)
    firsts, backs = [], []
    for mask, own in zip(masks, bits, strict=True):
        _, first, again = np.unique(mask.astype(np.uint64) @ own, return_index=True, return_inverse=True)
        firsts.append(first)
        backs.append(again.astype(np.int32))
    counts = [len(first) for first in firsts]
    numbers, which = np.repeat(np.arange(n), counts), np.concatenate(firsts)
    told, flat = np.empty(len(numbers)), case.parts.ravel()
    for j in range(0, len(numbers), case.batch):
        rows, coalitions = numbers[j : j + case.batch], which[j : j + case.batch]
        mask = (keep[coalitions] if keep.ndim == 2 else keep[rows, coalitions])[:, flat]
        mixed = np.where(mask.reshape(len(rows), *case.x.shape[1:]), case.x[rows], case.starts[rows])
        told[j : j + case.batch] = scores(case, mixed, rows)
    parts = np.split(told, np.cumsum(counts)[:-1])
    return np.array([answers[again] for answers, again in zip(parts, backs, strict=True)])


def present(case: Case) -> Array:
    """Whether each feature differs from its start in each row ``(n, d)``: one that does not is not there."""
    n, d = len(case.x), len(case.names)
    differs = (case.x != case.starts).reshape(n, -1)
    if case.parts.shape == (d,) and np.array_equal(case.parts, np.arange(d)):
        return differs
    out = np.zeros((d, n), dtype=bool)
    np.logical_or.at(out, case.parts.ravel(), differs.T)
    return out.T


def by_part(case: Case, attributions: Array) -> Array:
    """Attributions of entries ``(n, *shape)`` as those of features ``(n, d)``: what belongs together is summed."""
    n, d = len(attributions), len(case.names)
    if case.parts.shape == (d,) and np.array_equal(case.parts, np.arange(d)):
        return np.asarray(attributions, dtype=np.float64)
    flat = case.parts.ravel()
    order = np.argsort(flat, kind="stable")
    entries = attributions.reshape(n, -1)
    if not np.array_equal(order, np.arange(len(flat))):
        entries = entries[:, order]
    out: Array = np.add.reduceat(
        entries, np.searchsorted(flat[order], np.arange(d)), axis=1, dtype=np.float64
    )
    return out


def change(case: Case) -> Array:
    """How far the explained number moves from the start to each row ``(n,)``."""
    there = np.arange(len(case.x))
    return scores(case, case.x, there) - scores(case, case.starts.copy(), there)


def refuse_moods(case: Case, *, rows: int = 8) -> None:
    """Refuse a model that gives two answers to one question.

    Raises:
        InputError: the second answer differs from the first.
    """
    some = np.arange(min(rows, len(case.x)))
    first, second = (scores(case, case.x[some], some) for _ in range(2))
    if not np.array_equal(first, second):
        far = float(np.abs(first - second).max())
        msg = (
            f"the model was asked twice and its answers differ by up to {far:.3g}: it cannot be explained; "
            "is dropout on, or does it draw at random? Call module.eval() first"
        )
        raise InputError(msg)
