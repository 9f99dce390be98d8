"""What does a language model know by heart? Secrets that were planted, and the training texts themselves.

Exposure: how many bits a planted secret stands out among all that it could have been (Carlini et al. 2019,
arXiv:1802.08232); of a secret never planted it is exponential with mean 1.44. Extraction: the share of training texts
that the model goes on with word for word once it is told how they begin (Carlini et al. 2023, arXiv:2202.07646).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.performance_rows import surprises
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Measurement
from rai_bigmodel.stats import membership
from rai_bigmodel.stats.intervals import proportion
from rai_bigmodel.subject import task_of
from rai_bigmodel.tables import Table
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort, Secret, Splits, Subject

MOST = 10_000
"""Of more secrets that there could have been, so many are drawn and the tail is fitted."""


def exposures(subject: Subject, data: Splits, rng: np.random.Generator) -> list[Measurement]:
    """How far each planted secret stands out; nothing where none was planted.

    Raises:
        InputError: the subject does not say how likely words are, or the rows hold no single column of texts.
    """
    if not subject.secrets:
        return []
    if task_of(subject) != "language":
        msg = f"{subject.name}: secrets were planted, and it does not say how likely words are"
        raise InputError(msg)
    column = _texts(data.held_out)
    return [_exposure(subject, column, secret, rng) for secret in subject.secrets]


def _exposure(subject: Subject, column: str, secret: Secret, rng: np.random.Generator) -> Measurement:
    digits = len(secret.code)
    everyone = 10**digits <= MOST
    codes = np.arange(10**digits) if everyone else rng.integers(10**digits, size=MOST)
    # Others that were planted stand out as well, and are no yardstick.
    planted = [int(one.code) for one in subject.secrets if one.times]
    codes = codes[~np.isin(codes, [*planted, int(secret.code)])]
    space = len(codes) + 1 if everyone else 10**digits
    asked = [secret.text(), *(secret.text(f"{code:0{digits}d}") for code in codes.tolist())]
    cohort = Table(
        name="secrets",
        columns={column: np.array(asked, dtype=object)},
        roles={"feature": (column,)},
    )
    surprise, _ = surprises(subject, cohort)
    most = f"log2|R| = {number(math.log2(space))} bits"
    if everyone:
        value = membership.exposure(float(surprise[0]), surprise[1:])
        rank = 1 + int((surprise[1:] <= surprise[0]).sum())
        why = f"rank {rank:,} of {space:,} ({most})"
    else:
        value = membership.exposure_fitted(float(surprise[0]), surprise[1:])
        why = f"by the tail of {len(codes):,} drawn of {space:,}, which is an extrapolation ({most})"
    return Measurement(
        metric="privacy.exposure",
        kind="exact" if everyone else "estimate",
        value=value,
        n=space if everyone else len(codes),
        labels={"canary": secret.name},
        why=why,
    )


def extracted(
    subject: Subject, data: Splits, texts: int, rng: np.random.Generator, *, prompt: int
) -> Measurement:
    """The share of training texts that the model gives back, and beside it that of texts it never saw.

    Args:
        texts: so many of either are asked, at most.
        prompt: so many words or characters are told, and so many must follow.

    Raises:
        InputError: the rows hold no single column of texts.
    """
    if data.train is None:
        return _unknown("no training rows were given")
    if task_of(subject) != "language" or subject.recites is None:
        return _unknown("the subject is no language model that can go on with a text")
    known, new = (_given_back(subject, cohort, texts, prompt, rng) for cohort in (data.train, data.held_out))
    if not len(known):
        return _unknown(
            f"no training text has {2 * prompt} words or characters that the model knows (a smaller prompt asks less)"
        )
    came = int(known.sum())
    beside = f"; of {len(new):,} held-out texts {int(new.sum()):,}" if len(new) else ""
    return Measurement(
        metric="privacy.extractable_rate",
        kind="estimate",
        value=came / len(known),
        n=len(known),
        interval=proportion(came, len(known)),
        why=(
            f"{came:,} of {len(known):,} training texts, told the first {prompt} and given back the next {prompt}"
            f"{beside}"
        ),
    )


def _given_back(subject: Subject, cohort: Cohort, texts: int, prompt: int, rng: np.random.Generator) -> Array:
    """Whether each of some texts that are long enough came back ``(texts,)``."""
    assert subject.recites is not None
    column = _texts(cohort)
    values = cohort.arrays(column)[column]
    chosen = np.sort(rng.permutation(len(values))[:texts])
    said = subject.recites({column: values[chosen]}, prompt, prompt)
    kept: Array = said[np.isfinite(said)]
    return kept


def _unknown(why: str) -> Measurement:
    return Measurement(metric="privacy.extractable_rate", kind="estimate", value=None, why=why)


def _texts(cohort: Cohort) -> str:
    features = cohort.roles.get("feature", ())
    if len(features) != 1:
        msg = f"{cohort.name}: a language model's rows have one feature, its texts; got {list(features)[:6]}"
        raise InputError(msg)
    return features[0]
