"""What does a trained network say of raw rows? Scores, probabilities, a number, an error, or how likely words are.

| outcome | answer |
|---|---|
| binary | the probability of the positive label ``(rows,)`` |
| classes | the probability of each label ``(rows, labels)`` |
| number | the number, in its own units ``(rows,)`` |
| reconstruction | the mean squared error of the row in scaled units ``(rows,)``: its anomaly score |
| language | minus the log likelihood of a row's words, and how many they are ``(rows, 2)`` |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rai_bigmodel.nets.reads import PADDING
from rai_bigmodel.training import inputs as raw
from rai_bigmodel.training import losses
from rai_bigmodel.training.aims import YES_OR_NO, Aim

if TYPE_CHECKING:
    from torch import Tensor

    from rai_bigmodel.subject import Array, Inputs

BATCH = 4096
"""Rows of a table scored at once, so that memory stays bounded."""
BATCH_OF_ARRAYS = 256
"""Pictures, texts or series scored at once."""


def score_columns(module: Any, columns: Inputs, *, where: str, aim: Aim = YES_OR_NO) -> Array:
    """What the module says of raw columns, as float64; of a yes or no the scores of the positive label ``(rows,)``.

    Raises:
        InputError: a column is missing, or does not hold what the module reads.
    """
    arrays = raw.tensors(module.reads, columns, where=where)
    return answers(module, tuple(map(torch.from_numpy, arrays.values())), aim)


@torch.inference_mode()
def answers(module: Any, inputs: tuple[Tensor, ...], aim: Aim) -> Array:
    """What the module says of raw tensors, in the order in which it takes them."""
    batch = BATCH if module.reads.features and len(inputs) == 1 else BATCH_OF_ARRAYS
    parts = [
        answer(module, _shortened(tuple(x[start : start + batch] for x in inputs), aim), aim).numpy()
        for start in range(0, max(1, len(inputs[0])), batch)
    ]
    return np.concatenate(parts).astype(np.float64)


def _shortened(inputs: tuple[Tensor, ...], aim: Aim) -> tuple[Tensor, ...]:
    """Texts of a language model as long as the longest of them: no word looks at the padding behind."""
    if aim.outcome != "language" or len(inputs) > 1:
        return inputs
    there_T = (inputs[0] != PADDING).any(dim=0).nonzero()[:, 0]
    return (inputs[0][:, : int(there_T[-1]) + 1],) if len(there_T) else inputs


def answer(module: Any, inputs: tuple[Tensor, ...], aim: Aim) -> Tensor:
    """What the module says of one batch; in operations that can be exported."""
    out = module(*inputs)
    if aim.outcome == "binary":
        return torch.sigmoid(out)[:, 0]
    if aim.outcome == "classes":
        return torch.softmax(out, dim=1)
    if aim.outcome == "number":
        assert aim.target is not None
        return out[:, 0] * aim.target.scale + aim.target.center
    rows_B = losses.of_rows(aim, module, out, inputs, None)
    if aim.outcome == "reconstruction":
        return rows_B
    said_B = (inputs[0][:, 1:] != PADDING).sum(dim=1)
    return torch.stack([rows_B, said_B.to(rows_B.dtype)], dim=1)


@torch.inference_mode()
def sigma_columns(module: Any, columns: Inputs, *, where: str, aim: Aim) -> Array:
    """The standard deviation ``(rows,)`` that a Gaussian head gives each number, in the number's own units."""
    arrays = raw.tensors(module.reads, columns, where=where)
    assert aim.target is not None
    log_variance = module(*map(torch.from_numpy, arrays.values()))[:, 1]
    return (torch.exp(log_variance / 2) * aim.target.scale).double().numpy()
