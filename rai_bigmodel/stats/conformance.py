"""Does the mechanism do what the accountant was told? Tests of its noise, and plain equalities.

For noise of the wrong size these see more than any attack: one step on zero gradients shows the noise of every
parameter, and noise 5 % too small is seen in 10,000 parameters for sure. Wrong counts of steps, rates and clipping
norms need no statistics at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import special

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.stats.sampling import binomial_p

if TYPE_CHECKING:
    from collections.abc import Mapping

    Array = np.ndarray


# --- what a training keeps ------------------------------------------------------------------------


class Conformance(Record, kw_only=True):
    """What a private training's engine did when it was looked at, to be held against the ledger.

    Args:
        noise_numbers: how many numbers of noise were seen; 0 where none is added.
        noise_size: their root mean square over the deviation that the training was to have; 1 is right.
        noise_p: that the noise is as it was to be, the parameter furthest off (`noise_part`) looked at as well.
        repeat_p: that no two steps had the same noise.
        longest: the most that a made-up row with an enormous gradient moved a step's sum.
        steps: taken in all.
        rate: how often rows that do not exist were drawn.
        rate_p: that rows were drawn independently at the rate that they were to be drawn at.
        noise_deviation: the root mean square itself, as a step's gradient has it; ``None`` where nobody kept it.
        draws: of how many chances `rate` is the share that was drawn; 0 where nobody kept it.

    Raises:
        InputError: a value is out of its range.
    """

    noise_numbers: int
    noise_size: float | None
    noise_p: float | None
    noise_part: str
    repeat_p: float | None
    longest: float
    steps: int
    rate: float
    rate_p: float
    noise_deviation: float | None = None
    draws: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("noise_p", "repeat_p", "rate_p"):
            p = getattr(self, name)
            if p is not None and not 0 <= p <= 1:
                msg = f"conformance: {name} must lie between 0 and 1, got {p}"
                raise InputError(msg)
        for name in ("noise_numbers", "noise_size", "longest", "steps", "rate", "noise_deviation", "draws"):
            value = getattr(self, name)
            if value is not None and value < 0:
                msg = f"conformance: {name} must not be negative, got {value}"
                raise InputError(msg)


class Beside(NamedTuple):
    """What was seen, beside what a ledger says.

    Args:
        noise_size: the noise over the ledger's deviation; ``None`` where there is none.
        noise_p, rate_p: that noise and sampling are those of the ledger.
    """

    noise_size: float | None
    noise_p: float | None
    rate_p: float


def beside(seen: Conformance, *, deviation: float, rate: float) -> Beside:
    """What was seen, held against the deviation and the rate of a ledger, whatever the training believed itself.

    The training's own p-values, which looked at every part, can only be made smaller by it.

    Args:
        deviation: noise multiplier times clipping norm over expected batch size.
        rate: the sample rate.
    """
    size, noise_p, rate_p = seen.noise_size, seen.noise_p, seen.rate_p
    if seen.noise_deviation is not None and noise_p is not None:
        size = seen.noise_deviation / deviation if deviation else math.inf
        again = chi_square_p(seen.noise_numbers * size**2, seen.noise_numbers) if deviation else 0.0
        # The whole is one of the parts that were looked at, and corrected for.
        noise_p = min(noise_p, 2 * again)
    if seen.draws:
        drawn = min(seen.draws, round(seen.rate * seen.draws))
        rate_p = min(rate_p, 3 * binomial_p(drawn, seen.draws, rate))
    return Beside(size, noise_p, rate_p)


# --- noise ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """What the noise of some steps looks like beside what was claimed.

    Args:
        numbers: how many entries were seen.
        size: their root mean square over the claimed standard deviation; 1 is right.
        p: two-sided, that it is right, the parts looked at as well.
        part: which part of the parameters is furthest off, "" where only the whole was looked at.
    """

    numbers: int
    size: float
    p: float
    part: str = ""


def noise_size(noise: Array | Mapping[str, Array], deviation: float) -> Noise:
    """Whether noise has the claimed standard deviation: ``Σ g² / deviation²`` is χ² with as many degrees.

    Args:
        noise: what steps on zero gradients left, any shape; or by part of the parameters, and then each part is
            tested as well and the p-values are corrected for their number: too much here cannot hide too
            little there.
        deviation: as claimed: noise multiplier times clipping norm, over the expected batch size where the
            sum was divided by it.

    Raises:
        InputError: there is no noise to look at, an entry is not finite, or the deviation is not positive.
    """
    parts = {k: np.ravel(v) for k, v in noise.items()} if hasattr(noise, "items") else {"": np.ravel(noise)}
    if not 0 < deviation < math.inf:
        msg = f"the claimed deviation of the noise must be positive, got {deviation}"
        raise InputError(msg)
    if any(not len(v) for v in parts.values()) or not parts:
        msg = "there is no noise to look at"
        raise InputError(msg)
    # In units of the claim first: squares of small numbers would underflow.
    sums = {name: float(np.sum((v.astype(np.float64) / deviation) ** 2)) for name, v in parts.items()}
    if not all(math.isfinite(s) for s in sums.values()):
        msg = "some of the noise is not finite"
        raise InputError(msg)
    numbers = sum(len(v) for v in parts.values())
    total = sum(sums.values())
    whole = chi_square_p(total, numbers)
    size = math.sqrt(total / numbers)
    if len(parts) == 1:
        return Noise(numbers, size, whole)
    each = {name: chi_square_p(sums[name], len(parts[name])) for name in parts}
    worst = min(each, key=lambda name: each[name])
    return Noise(numbers, size, min(1.0, 2 * min(whole, len(parts) * each[worst])), worst)


def chi_square_p(statistic: float, degrees: float) -> float:
    """The two-sided p-value of a χ² statistic: twice the smaller tail."""
    lower, upper = special.chdtr(degrees, statistic), special.chdtrc(degrees, statistic)
    return min(1.0, 2 * float(min(lower, upper)))


def noise_power(numbers: int, size: float, alpha: float = 0.001) -> float:
    """How often `noise_size` sees noise of `size` times the claim, at level α, in so many entries."""
    low, high = special.chdtri(numbers, 1 - alpha / 2), special.chdtri(numbers, alpha / 2)
    return float(special.chdtr(numbers, low / size**2) + special.chdtrc(numbers, high / size**2))


class ToldApart(NamedTuple):
    """How well two scales of noise are told apart from one step."""

    false_positives: float
    true_positives: float


def told_apart(first: float, second: float, numbers: int) -> ToldApart:
    """The best test between two standard deviations of noise on so many entries (Neyman and Pearson).

    Where the noise scales with the number of rows, this is how well one row more or less is seen in one step.

    Args:
        first, second: standard deviations; equal ones cannot be told apart (0 and 0).

    Returns:
        The chance to say "second" under the first and under the second, where its likelihood is larger.
    """
    if first == second:
        return ToldApart(0.0, 0.0)
    ratio = (second / first) ** 2
    cut = numbers * math.log(ratio) * ratio / (ratio - 1)  # of Σ (g / first)²
    tail = special.chdtrc if ratio > 1 else special.chdtr
    return ToldApart(float(tail(numbers, cut)), float(tail(numbers, cut / ratio)))


@dataclass(frozen=True)
class Repeats:
    """The two steps whose noise is most alike.

    Args:
        steps: their places, the earlier first.
        correlation: of their noise, from −1 to 1.
        p: that noise drawn anew at every step has two so much alike, corrected for all pairs.
    """

    steps: tuple[int, int]
    correlation: float
    p: float


def repeated_noise(noise: Array) -> Repeats:
    """Whether the noise of any two steps goes together: a seed used twice gives the same noise.

    The correlation of D normal numbers with mean 0 is Student's t with D−1 degrees, exactly.

    Args:
        noise: one row for each step ``(steps, numbers)``, at least two of each.

    Raises:
        InputError: there is too little of it, or a step had no noise at all.
    """
    noise = np.asarray(noise, dtype=np.float64)
    if noise.ndim != 2 or min(noise.shape) < 2:
        msg = f"the noise of at least two steps and two numbers is needed, got shape {noise.shape}"
        raise InputError(msg)
    length = np.linalg.norm(noise, axis=1)
    if not (length > 0).all():
        msg = f"step {int(np.argmin(length))} had no noise at all"
        raise InputError(msg)
    unit = noise / length[:, None]
    alike = np.triu(unit @ unit.T, k=1)
    i, j = np.unravel_index(int(np.argmax(np.abs(alike))), alike.shape)
    r = float(np.clip(alike[i, j], -1.0, 1.0))
    df = noise.shape[1] - 1
    t = math.inf if abs(r) == 1 else abs(r) * math.sqrt(df / (1 - r * r))
    pairs = len(noise) * (len(noise) - 1) // 2
    return Repeats((int(i), int(j)), r, min(1.0, pairs * 2 * float(special.stdtr(df, -t))))


# --- equalities ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One thing that must be so, and what was seen."""

    name: str
    claimed: float
    seen: float
    holds: bool


def same(name: str, claimed: float, seen: float, *, within: float = 0.0) -> Check:
    """Whether a number is the one claimed: steps, sample rate, noise multiplier, expected batch size.

    Args:
        within: the relative difference that rounding may leave.
    """
    return Check(name, claimed, seen, abs(seen - claimed) <= within * abs(claimed))


def clipped(norms: Array, clip: float, *, within: float = 1e-5) -> Check:
    """Whether no row's gradient is longer than the clipping norm once it is clipped.

    Args:
        norms: of single rows' clipped gradients, or of what a step's sum changes by when one row, huge
            or not, is left out.
        within: what rounding may add, relative; less in double precision.

    Raises:
        InputError: there are no norms, or one is not finite.
    """
    norms = np.asarray(norms, dtype=np.float64)
    if not norms.size or not np.isfinite(norms).all():
        msg = "the norms of the clipped gradients must be finite numbers, and at least one"
        raise InputError(msg)
    longest = float(norms.max())
    return Check("clip", clip, longest, longest <= clip * (1 + within))
