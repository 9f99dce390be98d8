"""What ε does a private training spend? From the ledger of its steps, and back from an ε to the noise.

The mechanism: each step draws every row with probability `sample_rate` (Poisson), clips each row's
gradient to the norm `clip`, adds Gaussian noise of standard deviation ``noise_multiplier * clip`` to their
sum and divides by `expected_batch_size` (Abadi et al. 2016, arXiv:1607.00133). Neighbouring data differ by
one row added or removed.

The headline is the upper bound of the PRV accountant (Gopi, Lee & Wutschitz 2021, arXiv:2106.02848),
rounded up. The RDP accountant (Mironov, Talwar & Zhang 2019, arXiv:1908.10530) is looser and serves as a
cross-check. Opacus' GDP accountant is a limit theorem that reports too little for subsampled training
(3.06 where PRV says 6.49), so it is not offered. Where every row is in every step, the mechanism is one Gaussian
and its ε is exact (Dong, Roth and Su 2022, arXiv:1905.02383).
"""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from numbers import Real
from typing import TYPE_CHECKING

import msgspec

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

GENERATOR = "pseudo-random, not cryptographic; seeded by the operating system, the seed never kept"
GENERATOR_CIPHER = (
    "AES-256 in counter mode, cryptographic; its key from the operating system and never published"
)
GENERATOR_SEEDED = "seeded with noise_seed, for tests only: who knows the seed can subtract the noise"
NO_NOISE = "privacy: without noise (noise_multiplier 0) no epsilon holds"
ADJACENCY = "one row added or removed"
SAMPLING = "Poisson"
KNOWN = (
    ("accountant", "prv", "because GDP (the CLT) reports too little and RDP is looser"),
    (
        "sampling",
        SAMPLING,
        "because batches of a fixed size or by weights have another ε than the accountant's",
    ),
    ("adjacency", ADJACENCY, "because replacing a row costs more than the accountant counts"),
)
"""What of a mechanism its ε is computed for: field, value, and why no other."""

_MAX_NOISE = 10_000.0
_MAX_STEPS = 10_000_000
_MAX_EPSILON = 500.0
"""Beyond, PRV's exponentials overflow, its grid takes minutes, and no promise is left."""
_MAX_TRIALS = 12


class Privacy(Record, kw_only=True):
    """What a private training promises, and the constants it declares instead of reading them off the data.

    Args:
        epsilon: the ε to stay at or below; the noise is found. Give this or `noise_multiplier`.
        noise_multiplier: the noise, as a multiple of `clip`; the ε is found.
        delta: the δ that belongs to ε; should be well below one over the number of rows.
        sample_rate: the chance of each row to be in a step.
        expected_batch_size: what the noisy sum of gradients is divided by. A public constant, about
            `sample_rate` times the rows one expects; it is never computed from the data.
        clip: the largest norm that one row's gradient keeps.
        noise_seed: makes noise and sampling reproducible. For tests only: it voids the guarantee.

    Raises:
        InputError: a value is out of its range, or both or none of ε and noise are given.
    """

    epsilon: float | None = None
    noise_multiplier: float | None = None
    delta: float
    sample_rate: float
    expected_batch_size: float
    clip: float = 1.0
    noise_seed: int | None = None

    def __post_init__(self) -> None:
        if (self.epsilon is None) == (self.noise_multiplier is None):
            given = "none" if self.epsilon is None else f"{self.epsilon} and {self.noise_multiplier}"
            msg = f"privacy: give either epsilon or noise_multiplier, got {given}"
            raise InputError(msg)
        if self.epsilon is not None:
            _positive("epsilon", self.epsilon)
            if self.epsilon > _MAX_EPSILON:
                msg = f"privacy: epsilon must be at most {_MAX_EPSILON:g}, more promises nothing, got {self.epsilon:g}"
                raise InputError(msg)
        if self.noise_multiplier is not None:
            _noise(self.noise_multiplier)
        _delta(self.delta)
        _rate(self.sample_rate)
        _positive("expected_batch_size", self.expected_batch_size)
        _positive("clip", self.clip)
        if self.noise_seed is not None:
            _whole("noise_seed", self.noise_seed, least=0, most=2**62 - 1)


class Ledger(Record, kw_only=True):
    """What a private training did, as far as ε depends on it or a reader must know it.

    Args:
        steps: noisy steps taken, empty batches included.
        n_is_public: whether the number of training rows counts as known. The mechanism does not
            depend on it; a card that prints it makes it public.
        noise_seeded: whether noise came from a seed somebody knows; then there is no guarantee.

    Raises:
        InputError: a value is out of its range.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int
    delta: float
    clip: float
    expected_batch_size: float
    accountant: str = "prv"
    adjacency: str = ADJACENCY
    sampling: str = SAMPLING
    n_is_public: bool = True
    noise_generator: str = GENERATOR
    noise_seeded: bool = False
    epsilon_claimed: float | None = None

    def __post_init__(self) -> None:
        _noise(self.noise_multiplier)
        _rate(self.sample_rate)
        _steps(self.steps)
        _delta(self.delta)
        _positive("clip", self.clip)
        _positive("expected_batch_size", self.expected_batch_size)
        if self.epsilon_claimed is not None:
            _positive("epsilon_claimed", self.epsilon_claimed)
        for name, known, why in KNOWN:
            if (got := getattr(self, name)) != known:
                msg = f"privacy: {name} must be {known!r}, {why}, got {got!r}"
                raise InputError(msg)

    @classmethod
    def of(
        cls, privacy: Privacy, *, noise_multiplier: float, steps: int, generator: str = GENERATOR
    ) -> Ledger:
        """The ledger of a finished training; it claims an ε unless the noise was seeded or there was none.

        Args:
            generator: what the noise came from, in words.
        """
        seeded = privacy.noise_seed is not None
        ledger = cls(
            noise_multiplier=noise_multiplier,
            sample_rate=privacy.sample_rate,
            steps=steps,
            delta=privacy.delta,
            clip=privacy.clip,
            expected_batch_size=privacy.expected_batch_size,
            noise_generator=GENERATOR_SEEDED if seeded else generator,
            noise_seeded=seeded,
        )
        if seeded or noise_multiplier == 0:
            return ledger
        return msgspec.structs.replace(ledger, epsilon_claimed=epsilon_of(ledger))


def epsilon_of(ledger: Ledger) -> float:
    """The ε spent at the ledger's δ, by the PRV accountant, rounded up to four decimals.

    It is the number of the mechanism. Where ``ledger.noise_seeded`` holds there is no guarantee, and whoever
    shows the number must say so.

    Raises:
        InputError: no noise was added, so no ε holds.
        MissingExtra: Opacus is not installed.
    """
    return _round_up(_prv(ledger.noise_multiplier, ledger.sample_rate, ledger.steps, ledger.delta))


def rdp_epsilon_of(ledger: Ledger) -> float:
    """The ε spent by the RDP accountant, rounded up: never below the true one, and looser than PRV."""
    return _round_up(_rdp(ledger.noise_multiplier, ledger.sample_rate, ledger.steps, ledger.delta))


def exact_epsilon_of(ledger: Ledger) -> float | None:
    """The exact ε, unrounded; ``None`` where rows are sampled, because then there is no closed form.

    T steps with all rows and noise multiplier σ are one Gaussian mechanism with μ = √T / σ.

    Raises:
        InputError: no noise was added, so no ε holds.
    """
    from rai_bigmodel.stats import gaussian

    if ledger.sample_rate < 1:
        return None
    if ledger.noise_multiplier == 0:
        raise InputError(NO_NOISE)
    return gaussian.epsilon_of(math.sqrt(ledger.steps) / ledger.noise_multiplier, ledger.delta)


def composed_epsilon_of(ledger: Ledger, trainings: int) -> float:
    """The ε of so many trainings like this one on the same rows together, by PRV at the same δ, rounded up.

    Raises:
        InputError: there is no training, no noise was added, or the steps are too many in all.
        MissingExtra: Opacus is not installed.
    """
    _whole("the number of trainings", trainings, least=1, most=_MAX_STEPS)
    steps = ledger.steps * trainings
    _steps(steps)
    return _round_up(_prv(ledger.noise_multiplier, ledger.sample_rate, steps, ledger.delta))


def cross_fitted_epsilon_of(ledger: Ledger, folds: int) -> float:
    """The ε of cross-fitting a private recipe and then fitting it on all rows, rounded up.

    Every row is in all but one of the folds' trainings and in the final one: `folds` trainings. Five folds and a
    final fit turn an ε of 4 into 9.7 (rate .1, 150 steps); into 5.1 to 10.4, the more the higher the rate and the
    more the steps.

    Raises:
        InputError: fewer than two folds, no noise was added, or the steps are too many in all.
        MissingExtra: Opacus is not installed.
    """
    _whole("the number of folds", folds, least=2, most=_MAX_STEPS)
    return composed_epsilon_of(ledger, folds)


def noise_for(privacy: Privacy, steps: int) -> float:
    """The noise multiplier that keeps ε (by PRV) at or below the target after so many steps.

    Found to about 0.1 %, on the safe side, and rounded up to four decimals. A declared
    ``noise_multiplier`` is given back as it is.

    Raises:
        InputError: `steps` is below 1, no noise reaches the target, or there is so little of it that no accountant
            can tell its ε.
        MissingExtra: Opacus is not installed.
    """
    _steps(steps)
    if privacy.noise_multiplier is not None:
        if privacy.noise_multiplier:
            _tellable(privacy.noise_multiplier, privacy.sample_rate, steps, privacy.delta)
        return privacy.noise_multiplier
    target, q, delta = privacy.epsilon, privacy.sample_rate, privacy.delta
    if target is None:
        msg = "privacy: give either epsilon or noise_multiplier, got none"
        raise InputError(msg)
    # RDP is sound and cheap, so the noise it asks for is an upper end for the tighter accountant.
    high = 1.0
    while _rdp(high, q, steps, delta) > target:
        high *= 2
        if high > _MAX_NOISE:
            msg = f"privacy: no noise up to {_MAX_NOISE:g} reaches epsilon {target} in {steps:,} steps"
            raise InputError(msg)
    # Log ε is close to a straight line in log noise, so a few secant steps come within 0.1 % of the target.
    points = [(math.log(high), math.log(_prv(high, q, steps, delta)))]
    guess = high * math.exp((points[0][1] - math.log(target)) / 1.2)
    for _ in range(_MAX_TRIALS):
        while _rdp(guess, q, steps, delta) > _MAX_EPSILON:
            guess = math.sqrt(guess * high)
        points.append((math.log(guess), math.log(_prv(guess, q, steps, delta))))
        if points[-1][1] <= math.log(target):
            high = min(high, guess)
        if -1e-3 < points[-1][1] - math.log(target) <= 0:
            break
        (x0, y0), (x1, y1) = points[-2:]
        slope = (y1 - y0) / (x1 - x0) if x1 != x0 else -1.2
        # Aims a little below the target, so that the last step lands on the safe side.
        guess = math.exp(x1 + (math.log(target) - 5e-4 - y1) / min(slope, -0.1))
    noise = _round_up(high)
    # Rounding ε up may step over the target, and PRV may exceed RDP by its own error margin: prove it.
    while _round_up(_prv(noise, q, steps, delta)) > target:
        noise = _round_up(noise * 1.001)
    return noise


@functools.lru_cache(maxsize=256)
def _prv(noise: float, rate: float, steps: int, delta: float) -> float:
    import numpy as np

    accountants = _opacus()
    if noise == 0:
        raise InputError(NO_NOISE)
    _tellable(noise, rate, steps, delta)
    accountant = accountants.PRVAccountant()
    accountant.history = [(noise, rate, steps)]
    # Opacus takes log(0) = -inf on purpose, at the edge of the privacy loss' support.
    with np.errstate(divide="ignore"), _quiet():
        return float(accountant.get_epsilon(delta))


def tellable(ledger: Ledger) -> bool:
    """Whether there is enough noise for an accountant to tell its ε: RDP's, which is an upper bound, is at most 500.

    Raises:
        MissingExtra: Opacus is not installed.
    """
    return _most(ledger.noise_multiplier, ledger.sample_rate, ledger.steps, ledger.delta) <= _MAX_EPSILON


def _most(noise: float, rate: float, steps: int, delta: float) -> float:
    # So little noise that its square is no number any more would overflow in RDP, too.
    return _rdp(noise, rate, steps, delta) if noise > 1e-3 else math.inf


def _tellable(noise: float, rate: float, steps: int, delta: float) -> None:
    if not _most(noise, rate, steps, delta) <= _MAX_EPSILON:
        msg = (
            f"privacy: a noise_multiplier of {noise:.4g} in {steps:,} steps at a sample rate of {rate:g} promises "
            f"nothing (RDP's ε is above {_MAX_EPSILON:g}); use more noise, fewer steps or a lower rate"
        )
        raise InputError(msg)


def _rdp(noise: float, rate: float, steps: int, delta: float) -> float:
    accountants = _opacus()
    if noise == 0:
        return math.inf
    accountant = accountants.RDPAccountant()
    accountant.history = [(noise, rate, steps)]
    with _quiet():
        return float(accountant.get_epsilon(delta))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Said when the best order is the first or last one tried: the RDP bound (which PRV takes for the
        # width of its grid) is then looser, never wrong.
        warnings.filterwarnings("ignore", message="Optimal order is the (smallest|largest) alpha")
        yield


def _opacus() -> ModuleType:
    try:
        from opacus import accountants
    except ImportError:
        package, extra = "opacus", "privacy"
        raise MissingExtra(package, extra, "accounting for differential privacy") from None
    return accountants


def _round_up(value: float) -> float:
    """Four decimals, never below `value`."""
    return math.ceil(value * 10_000) / 10_000


def _number(name: str, value: float) -> None:
    """A file is read strictly; from Python anything may come."""
    if isinstance(value, bool) or not isinstance(value, Real):
        msg = f"privacy: {name} must be a number, got {value!r}"
        raise InputError(msg)


def _positive(name: str, value: float) -> None:
    _number(name, value)
    if not 0 < value < math.inf:
        msg = f"privacy: {name} must be a positive number, got {value}"
        raise InputError(msg)


def _noise(value: float) -> None:
    _number("noise_multiplier", value)
    if not 0 <= value < math.inf:
        msg = f"privacy: noise_multiplier must not be negative, got {value}"
        raise InputError(msg)


def _delta(value: float) -> None:
    _number("delta", value)
    if not 0 < value < 1:
        msg = f"privacy: delta must lie between 0 and 1, both excluded, got {value}"
        raise InputError(msg)


def _rate(value: float) -> None:
    _number("sample_rate", value)
    if not 0 < value <= 1:
        msg = f"privacy: sample_rate must lie above 0 and at most at 1, got {value}"
        raise InputError(msg)


def _steps(value: int) -> None:
    _whole("the number of steps", value, least=1, most=_MAX_STEPS)


def _whole(name: str, value: float, *, least: int, most: int) -> None:
    _number(name, value)
    if not (least <= value <= most and value == int(value)):
        got = "more" if value > most else f"{value:,}"
        msg = f"privacy: {name} must be a whole number between {least} and {most:,}, got {got}"
        raise InputError(msg)
