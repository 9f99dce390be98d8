"""What is a step told to make smaller? A sum over rows (over words, in a language model) and how many there are.

Sums and counts, so that a step taken in parts, and the loss of many batches, are added up and divided once.

Shapes: B rows, K outputs, T words of a text, V words of the vocabulary.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.nets.reads import PADDING

if TYPE_CHECKING:
    from rai_bigmodel.training.aims import Aim


def total(
    aim: Aim,
    module: Any,
    out: Tensor,
    inputs: tuple[Tensor, ...],
    y: Tensor | None,
    *,
    w: Tensor | None = None,
) -> Tensor:
    """The summed loss of a batch.

    Args:
        out: what the module gave for `inputs`.
        y: as ``aims.targets`` gives it.
        w: how much each row counts, ``(B,)``; ``None`` is 1 each.
    """
    if w is None and aim.loss == "bce":
        return F.binary_cross_entropy_with_logits(out.float(), y, reduction="sum")  # type: ignore[arg-type]
    if w is None and aim.loss == "cross_entropy":
        return F.cross_entropy(out.float(), y, reduction="sum")  # type: ignore[arg-type]
    rows_B = of_rows(aim, module, out, inputs, y)
    return rows_B.sum() if w is None else rows_B @ w


def share(
    aim: Aim,
    module: Any,
    out: Tensor,
    inputs: tuple[Tensor, ...],
    y: Tensor | None,
    *,
    w: Tensor | None = None,
    of: int,
) -> Tensor:
    """What these rows add to the mean loss `of` so many: the mean itself where they are all there are."""
    if w is None and of == len(out):  # one operation less, which a small net feels
        if aim.loss == "bce":
            return F.binary_cross_entropy_with_logits(out.float(), y)  # type: ignore[arg-type]
        if aim.loss == "cross_entropy":
            return F.cross_entropy(out.float(), y)  # type: ignore[arg-type]
        if aim.loss == "reconstruction" and not bool(torch.isnan(inputs[0]).any()):
            # Where nothing is missing every row has as many entries, so the mean over rows is that over entries.
            return (((out.float() - inputs[0]) / module.scale) ** 2).mean()
    return total(aim, module, out, inputs, y, w=w) / of


def of_rows(aim: Aim, module: Any, out: Tensor, inputs: tuple[Tensor, ...], y: Tensor | None) -> Tensor:
    """The loss of each row ``(B,)``; in a language model the sum over its words."""
    out = out.float()
    if aim.loss == "reconstruction":
        # As the module's own `error`: scaled, and over what was there.
        there = (~torch.isnan(inputs[0])).to(out.dtype)
        squares = (module.scaled(out) - module.scaled(inputs[0])) ** 2 * there
        return squares.flatten(1).sum(dim=1) / there.flatten(1).sum(dim=1).clamp(min=1)
    if aim.loss == "language_model":
        ids_BT = inputs[0]
        nll_BT = F.cross_entropy(
            out[:, :-1].transpose(1, 2), ids_BT[:, 1:], ignore_index=PADDING, reduction="none"
        )
        return nll_BT.sum(dim=1)
    assert y is not None
    if aim.loss == "bce":
        return F.binary_cross_entropy_with_logits(out, y, reduction="none")[:, 0]
    if aim.loss == "cross_entropy":
        return F.cross_entropy(out, y, reduction="none")
    if aim.loss == "mse":
        return ((out - y) ** 2)[:, 0]
    mean_B, log_variance_B = out[:, 0], out[:, 1]
    squares_B = (y[:, 0] - mean_B) ** 2 * torch.exp(-log_variance_B)
    return 0.5 * (math.log(2 * math.pi) + log_variance_B + squares_B)


def of_each(aim: Aim, module: Any, out: Tensor, inputs: tuple[Tensor, ...], y: Tensor | None) -> Tensor:
    """The mean loss of each row by itself ``(B,)``: of a text, over its own words.

    What a private step takes: other rows have no part in a row's loss, else one row more would move the others'
    gradients by more than the clipping norm allows.
    """
    rows_B = of_rows(aim, module, out, inputs, y)
    if aim.loss != "language_model":
        return rows_B
    return rows_B / (inputs[0][:, 1:] != PADDING).sum(dim=1).clamp(min=1)


def count(aim: Aim, inputs: tuple[Tensor, ...]) -> int:
    """What the summed loss is divided by: rows, or words that have one before them."""
    if aim.loss == "language_model":
        return max(1, int((inputs[0][:, 1:] != PADDING).sum()))
    return len(inputs[0])
