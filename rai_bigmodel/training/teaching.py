"""What does a teacher say of the training rows, and how far is a student from it?

The teacher is asked once, before the training, in evaluation mode; it may read other columns of the same rows, in
other shapes. Shapes: N training rows, B rows of a step, K outputs.

The distance of labels is T² · KL(teacher / T ‖ student / T) (Hinton et al. 2015, arXiv:1503.02531): the factor keeps
its gradients as large as those of the outcomes whatever the temperature T; where both agree it is 0. That of numbers
is the squared difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.errors import InputError
from rai_bigmodel.training import inputs as raw
from rai_bigmodel.training import losses
from rai_bigmodel.training.scoring import BATCH, BATCH_OF_ARRAYS

if TYPE_CHECKING:
    from rai_bigmodel.subject import Cohort
    from rai_bigmodel.training.aims import Aim
    from rai_bigmodel.training.checkpoint import Run
    from rai_bigmodel.training.recipe import Distil

TAUGHT = ("bce", "cross_entropy", "mse")
"""Losses that a student may learn by."""


@torch.inference_mode()
def answers_of(teacher: Run, rows: Cohort, aim: Aim) -> Tensor:
    """What the teacher says of each row before any sigmoid ``(N, K)``; of a number, in the student's scale.

    Raises:
        InputError: the teacher learned another outcome, or these rows lack what it reads.
    """
    card = teacher.card
    if aim.loss not in TAUGHT or (aim.outcome, aim.labels, aim.positive) != (
        card.aim.outcome,
        card.aim.labels,
        card.aim.positive,
    ):
        theirs = f"{card.aim.outcome} {', '.join(card.aim.labels[:6])}".strip()
        ours = f"{aim.outcome} {', '.join(aim.labels[:6])}".strip()
        msg = f"distil: {card.name} gives {theirs}, which teaches nothing of {ours}"
        raise InputError(msg)
    module, reads = teacher.module.eval(), card.reads
    arrays = raw.tensors(reads, rows.arrays(*raw.columns_of(reads)), where=f"distil: {rows.name}")
    inputs = tuple(map(torch.from_numpy, arrays.values()))
    size = BATCH if reads.features and len(inputs) == 1 else BATCH_OF_ARRAYS
    out = torch.cat(
        [module(*(x[start : start + size] for x in inputs)) for start in range(0, len(inputs[0]), size)]
    )
    if aim.loss == "mse":
        assert aim.target is not None
        assert card.aim.target is not None
        raw_N1 = out[:, :1] * card.aim.target.scale + card.aim.target.center
        return (raw_N1 - aim.target.center) / aim.target.scale
    return out


def share(
    aim: Aim,
    module: Any,
    out: Tensor,
    inputs: tuple[Tensor, ...],
    y: Tensor | None,
    *,
    taught_BK: Tensor,
    how: Distil,
    w: Tensor | None = None,
    of: int,
) -> Tensor:
    """What these rows add to the mean loss `of` so many: outcomes and teacher, mixed as `how` says."""
    rows_B = how.share * distance(aim, out.float(), taught_BK, temperature=how.temperature)
    if how.share < 1:
        rows_B = rows_B + (1 - how.share) * losses.of_rows(aim, module, out, inputs, y)
    return (rows_B.sum() if w is None else rows_B @ w) / of


def distance(aim: Aim, out_BK: Tensor, taught_BK: Tensor, *, temperature: float) -> Tensor:
    """How far each row's answer is from the teacher's ``(B,)``."""
    if aim.loss == "mse":
        return ((out_BK - taught_BK) ** 2)[:, 0]
    if aim.loss == "bce":  # a yes or no as two labels: the log odds against 0
        out_BK, taught_BK = (F.pad(x, (1, 0)) for x in (out_BK, taught_BK))
    said = F.log_softmax(out_BK / temperature, dim=1)
    taught = F.log_softmax(taught_BK / temperature, dim=1)
    return temperature**2 * F.kl_div(said, taught, reduction="none", log_target=True).sum(dim=1)
