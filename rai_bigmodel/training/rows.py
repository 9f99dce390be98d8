"""What does a network learn from? Raw rows, outcomes, and the constants that fill and scale.

Shapes: N rows, F features, K = 1 output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import DataId
from rai_bigmodel.nets import Input
from rai_bigmodel.subject import truth_of
from rai_bigmodel.tables import canonical
from rai_bigmodel.training.inputs import stack

if TYPE_CHECKING:
    from torch import Tensor

    from rai_bigmodel.subject import Array, Cohort, Splits
    from rai_bigmodel.training.recipe import Recipe


@dataclass(frozen=True)
class Rows:
    """Raw rows ``(N, F)`` with NaN for missing, outcomes ``(N, 1)``, and what each counts, mean 1 ``(N, 1)``."""

    x_NF: Tensor
    y_NK: Tensor
    w_NK: Tensor | None = None

    @classmethod
    def of(cls, cohort: Cohort, features: tuple[str, ...]) -> Rows:
        """The features, in this order, and the outcome of a cohort."""
        x_NF = stack(cohort.arrays(*features), features, where=cohort.name)
        y_NK = truth_of(cohort)[:, None].astype(np.float32)
        return cls(torch.from_numpy(x_NF), torch.from_numpy(y_NK))

    def weighted(self, weights: Array) -> Rows:
        """The same rows, each counting by its weight over the mean weight, so that lr keeps its meaning.

        Raises:
            InputError: there is not one weight a row, or one is negative or not finite, or all are 0.
        """
        given = np.asarray(weights, dtype=np.float64)
        if given.shape != (len(self.x_NF),):
            msg = (
                f"weights: one for each of the {len(self.x_NF):,} training rows is needed, got {given.shape}"
            )
            raise InputError(msg)
        if bad := int((~(np.isfinite(given) & (given >= 0))).sum()):
            msg = f"weights: must be finite and not negative, {bad:,} of {len(given):,} are not"
            raise InputError(msg)
        if not given.any():
            msg = f"weights: all {len(given):,} are 0, so there is nothing to learn from"
            raise InputError(msg)
        mean_one = (given / given.mean()).astype(np.float32)[:, None]
        return Rows(self.x_NF, self.y_NK, torch.from_numpy(mean_one))


def weights_id(weights: Array) -> DataId:
    """What the card keeps of the weights of rows: their digest."""
    given = np.asarray(weights, dtype="<f8")
    return DataId(name="weights of the training rows", digest=files.digest(given.tobytes()), rows=len(given))


def usable(splits: Splits) -> tuple[Cohort, Cohort]:
    """The training and the calibration rows.

    Raises:
        InputError: one of them has no rows, no features or no outcome.
    """
    for part, cohort, why in (
        ("train", splits.train, "there is nothing to learn from"),
        ("calibrate", splits.calibrate, "the decision threshold cannot be set"),
    ):
        if cohort is None or cohort.rows == 0:
            msg = f"splits.{part}: has no rows, so {why}"
            raise InputError(msg)
        if not cohort.roles.get("feature"):
            msg = f"{cohort.name}: no column has the role 'feature', so there is nothing to learn from"
            raise InputError(msg)
        if not cohort.roles.get("truth"):
            msg = f"{cohort.name}: no column has the role 'truth', so there is nothing to learn"
            raise InputError(msg)
    assert splits.train is not None
    assert splits.calibrate is not None
    return splits.train, splits.calibrate


def constants(recipe: Recipe, rows: Cohort, calibrate: Cohort) -> tuple[dict[str, Input], str]:
    """Column → its constants, in the order of the features, and where they come from.

    What is not declared is measured: on the training rows for a plain model; on the calibration rows for
    a private one, because ε covers only what the noisy steps do with the training rows.

    Raises:
        InputError: the recipe declares a column that is no feature.
    """
    features, declared = rows.roles["feature"], recipe.inputs or {}
    for name in declared:
        if name not in features:
            what = "inputs: column"
            raise InputError.unknown(what, name, features)
    missing = [name for name in features if name not in declared]
    if not missing:
        return {name: declared[name] for name in features}, "declared in the recipe"
    source = rows if recipe.privacy is None else calibrate
    measured = {name: _measured(values) for name, values in source.arrays(*missing).items()}
    constants = {name: declared.get(name) or measured[name] for name in features}
    which = f"measured on the {'training' if source is rows else 'calibration'} rows"
    if declared:
        which = f"declared in the recipe, {len(missing)} of {len(features)} {which}"
    return constants, which


def _measured(values: Array) -> Input:
    """Median to fill with, mean and standard deviation to scale by."""
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return Input()
    return Input(fill=float(np.median(known)), center=float(known.mean()), scale=float(known.std()) or 1.0)


def labels(cohort: Cohort) -> tuple[tuple[str, ...], str]:
    """The two labels of the outcome, sorted, and which of them is positive.

    Raises:
        InputError: there are not two.
    """
    column = cohort.roles["truth"][0]
    text, positive = canonical(cohort.arrays(column)[column]), truth_of(cohort)
    found = tuple(sorted(set(text.tolist())))
    if len(found) != 2:
        msg = f"{cohort.name}: {column!r} must have two labels to learn from, got {list(found)[:6]}"
        raise InputError(msg)
    return found, str(text[positive][0])
