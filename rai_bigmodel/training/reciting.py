"""Does a language model go on with a text word for word, once it is told how the text begins?

By always taking the likeliest next word (Carlini et al. 2023, arXiv:2202.07646).

Shapes: B texts, T words of a text, V words of the vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rai_bigmodel.nets.reads import PADDING, UNKNOWN
from rai_bigmodel.training import inputs as raw

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Inputs

BATCH = 64


@torch.inference_mode()
def recites(module: Any, columns: Inputs, prompt: int, more: int, *, where: str) -> Array:
    """Whether each text is gone on with as it stands ``(rows,)``: 1 or 0, NaN where it is too short to ask.

    A text whose continuation holds a word that the vocabulary lacks cannot be given back, and is not asked either.

    Args:
        prompt: so many words are told.
        more: so many that follow must come.

    Raises:
        InputError: the column of texts is missing or holds something else.
    """
    ids_BT = torch.from_numpy(raw.tensors(module.reads, columns, where=where)["tokens"])[:, : prompt + more]
    wanted = ids_BT[:, prompt:]
    out = np.full(len(ids_BT), np.nan)
    if wanted.shape[1] < more:
        return out
    asked = ((wanted != PADDING) & (wanted != UNKNOWN)).all(1).nonzero()[:, 0]
    for some in asked.split(BATCH):
        said_BT = ids_BT[some, :prompt]
        right = torch.ones(len(some), dtype=torch.bool)
        for place in range(more):
            next_B = module(said_BT)[:, -1].argmax(1)
            right &= next_B == wanted[some, place]
            if not right.any():
                break
            said_BT = torch.cat([said_BT, next_B[:, None]], dim=1)
        out[some.numpy()] = right.numpy()
    return out
