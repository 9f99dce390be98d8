"""What does a network learn from? Raw rows, outcomes, and how much each row counts.

Shapes: N rows; a tensor for each kind of thing that is read, in the order in which a module takes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import DataId
from rai_bigmodel.training import inputs as raw
from rai_bigmodel.training.aims import targets

if TYPE_CHECKING:
    from torch import Tensor

    from rai_bigmodel.nets import Reads
    from rai_bigmodel.subject import Array, Cohort, Splits
    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.recipe import Recipe


@dataclass(frozen=True)
class Rows:
    """Raw tensors ``(N, …)``, and what there is beside them.

    Args:
        y: outcomes ``(N, 1)`` or ``(N,)``.
        w_N: what each row counts, mean 1.
        taught_NK: what a teacher says of each row (`teaching`).
    """

    inputs: tuple[Tensor, ...]
    y: Tensor | None
    w_N: Tensor | None = None
    taught_NK: Tensor | None = None

    @classmethod
    def of(cls, cohort: Cohort, reads: Reads, aim: Aim) -> Rows:
        """What is read of a cohort, and what is to be learned from it."""
        arrays = raw.tensors(reads, cohort.arrays(*raw.columns_of(reads)), where=cohort.name)
        y = targets(aim, cohort)
        return cls(
            tuple(torch.from_numpy(values) for values in arrays.values()),
            None if y is None else torch.from_numpy(y),
        )

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.inputs[0])

    def take(self, which: Tensor | slice, device: torch.device) -> Rows:
        """Some of the rows, where they are computed with."""
        there = (*self.inputs, self.y, self.w_N, self.taught_NK)
        if isinstance(which, slice):
            some = [None if x is None else x[which] for x in there]
        else:  # the same as x[which], by a shorter way
            some = [None if x is None else torch.index_select(x, 0, which) for x in there]
        if device.type != "cpu":
            some = [None if x is None else x.to(device) for x in some]
        return Rows(tuple(some[:-3]), *some[-3:])  # type: ignore[arg-type]

    def weighted(self, weights: Array) -> Rows:
        """The same rows, each counting by its weight over the mean weight, so that lr keeps its meaning.

        Raises:
            InputError: there is not one weight a row, or one is negative or not finite, or all are 0.
        """
        given = np.asarray(weights, dtype=np.float64)
        if given.shape != (self.rows,):
            msg = f"weights: one for each of the {self.rows:,} training rows is needed, got {given.shape}"
            raise InputError(msg)
        if bad := int((~(np.isfinite(given) & (given >= 0))).sum()):
            msg = f"weights: must be finite and not negative, {bad:,} of {len(given):,} are not"
            raise InputError(msg)
        if not given.any():
            msg = f"weights: all {len(given):,} are 0, so there is nothing to learn from"
            raise InputError(msg)
        if (given == given[0]).all():
            return self  # the same bytes as without: another order of the same sum would round otherwise
        return replace(self, w_N=torch.from_numpy((given / given.mean()).astype(np.float32)))


def by_class(recipe: Recipe, aim: Aim, rows: Rows) -> Array | None:
    """How much each training row counts by its label, if the recipe says so.

    Raises:
        InputError: the outcome has no labels, or one is named that it does not have.
    """
    asked = recipe.train.class_weights
    if asked is None:
        return None
    if not aim.labels:
        msg = f"train: class_weights go with labels; the outcome here is learned by {aim.loss}"
        raise InputError(msg)
    assert rows.y is not None
    codes = rows.y.numpy().astype(np.int64).reshape(-1)
    if aim.loss == "bce":
        codes = codes if aim.labels[1] == aim.positive else 1 - codes
    if asked == "balanced":
        each = 1 / np.maximum(np.bincount(codes, minlength=len(aim.labels)), 1)
    else:
        for label in asked:
            if label not in aim.labels:
                what = "train: class_weights: label"
                raise InputError.unknown(what, label, aim.labels)
        each = np.array([asked.get(label, 1.0) for label in aim.labels])
    return each[codes]


def weights_id(weights: Array) -> DataId:
    """What the card keeps of the weights of rows: their digest."""
    given = np.asarray(weights, dtype="<f8")
    return DataId(name="weights of the training rows", digest=files.digest(given.tobytes()), rows=len(given))


def usable(splits: Splits, *, truth: bool = True) -> tuple[Cohort, Cohort]:
    """The training and the calibration rows.

    Args:
        truth: whether a column of outcomes is needed.

    Raises:
        InputError: one of them has no rows, no features or no outcome.
    """
    for part, cohort, why in (
        ("train", splits.train, "there is nothing to learn from"),
        ("calibrate", splits.calibrate, "the decision threshold cannot be set"),
    ):
        if cohort is None or cohort.rows == 0:
            msg = f"splits.{part}: has no rows, so {why} (of files: data: {{file: …, {part}: FILE, …}})"
            raise InputError(msg)
        if not cohort.roles.get("feature"):
            msg = f"{cohort.name}: no column has the role 'feature', so there is nothing to learn from"
            raise InputError(msg)
        if truth and not cohort.roles.get("truth"):
            msg = f"{cohort.name}: no column has the role 'truth', so there is nothing to learn"
            raise InputError(msg)
    assert splits.train is not None
    assert splits.calibrate is not None
    return splits.train, splits.calibrate
