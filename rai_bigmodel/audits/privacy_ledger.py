"""What does a training's ledger come to, and does the mechanism that trained keep to it?

ε is recomputed and never copied (L0): by the PRV accountant, held against RDP's, which may not be below it, and
against the exact one where every row is in every step. What a training saw of its own engine is held against the
ledger (L1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from rai_bigmodel import accounting
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Measurement, Table
from rai_bigmodel.stats.conformance import Conformance, beside
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NO_LEDGER = (
    "the model's card has no privacy ledger: nothing says that it was trained with differential privacy"
)
DECLARED = "declared by whoever asked for this audit, at δ = {delta:g}; nobody measured it"
CHECKS = ("noise_fresh", "clip", "steps", "sampling")
CHANCE = 1e-5
"""An honest mechanism fails a check by chance so rarely."""
MARGIN, AGREES = 0.011, 0.01
"""By how much PRV, an upper bound of its own error, may lie above a looser accountant."""
ROUNDED = 1e-4
"""A claim is written to four decimals."""
ROUNDING = 1e-4
"""By how much, relative, sums of float32 may step over the clipping norm."""


class Claim(NamedTuple):
    """An ε that is said to hold at a δ; ``None`` where none does."""

    epsilon: float | None
    delta: float


def check_claim(epsilon: float | None, delta: float | None) -> None:
    """Refuse a claim that says nothing.

    Raises:
        InputError: one of the two is missing or out of its range.
    """
    if epsilon is None and delta is None:
        return
    if epsilon is None or delta is None:
        msg = "privacy: claimed_epsilon and claimed_delta belong together, got one of them"
        raise InputError(msg)
    if epsilon <= 0:
        msg = f"privacy: claimed_epsilon must be a positive number, got {epsilon}"
        raise InputError(msg)
    if not 0 < delta < 1:
        msg = f"privacy: claimed_delta must lie between 0 and 1, both excluded, got {delta}"
        raise InputError(msg)


def claim_of(ledger: accounting.Ledger | None, epsilon: float | None, delta: float | None) -> Claim | None:
    """What the auditor says of a model without a ledger.

    Raises:
        InputError: there is a ledger, which says what the training did.
    """
    if epsilon is None or delta is None:
        return None
    if ledger is not None:
        msg = (
            "privacy: the model's card has a ledger, from which ε is recomputed: leave claimed_epsilon and "
            "claimed_delta out"
        )
        raise InputError(msg)
    return Claim(epsilon, delta)


def ledger_of(card: Mapping[str, object]) -> accounting.Ledger | None:
    """The ledger in a card, if there is one.

    Raises:
        InputError: it cannot be read.
    """
    said = card.get("ledger")
    if said is None or isinstance(said, accounting.Ledger):
        return said
    try:
        return msgspec.convert(said, accounting.Ledger)
    except msgspec.ValidationError as error:
        msg = f"the card's privacy ledger cannot be read: {error}"
        raise InputError(msg) from None


def epsilons(ledger: accounting.Ledger | None, claim: Claim | None = None) -> list[Measurement]:
    """The ε that the card (or, without one, the auditor) claims, and the one that the ledger comes to."""

    def measured(name: str, value: float | None, why: str = "", *, declared: bool = False) -> Measurement:
        return Measurement(
            metric=f"privacy.{name}",
            kind="exact",
            value=value,
            why=why,
            origin="declared" if declared else "measured",
        )

    if ledger is None and claim is not None:
        words = DECLARED.format(delta=claim.delta)
        claimed = measured("epsilon_claimed", claim.epsilon, words, declared=True)
        return [claimed, measured("epsilon_spent", None, f"{NO_LEDGER}; a claim is not recomputed")]
    if ledger is None:
        return [measured("epsilon_claimed", None, NO_LEDGER), measured("epsilon_spent", None, NO_LEDGER)]
    if ledger.noise_seeded:
        why = "the noise came from a seed that somebody knows and can subtract, so no ε holds"
        return [_claimed(ledger, measured), measured("epsilon_spent", None, why)]
    if ledger.noise_multiplier == 0:
        return [
            _claimed(ledger, measured),
            measured("epsilon_spent", None, "no noise was added, so no ε holds"),
        ]
    if not accounting.tellable(ledger):
        why = "there is so little noise that no accountant tells its ε: RDP's is above 500"
        return [_claimed(ledger, measured), measured("epsilon_spent", None, why)]
    spent, at = accounting.epsilon_of(ledger), f"at δ = {ledger.delta:g}"
    looser, exact = accounting.rdp_epsilon_of(ledger), accounting.exact_epsilon_of(ledger)
    beside = f"RDP {number(looser)}" + ("" if exact is None else f", exact {number(exact)}")
    if spent > looser * (1 + AGREES) + MARGIN or (exact is not None and not exact <= spent):
        why = f"the accountants contradict each other {at}: PRV {number(spent)}, {beside}"
        return [_claimed(ledger, measured), measured("epsilon_spent", None, why)]
    words = f"by the PRV accountant {at}, rounded up (beside it {beside})"
    return [_claimed(ledger, measured, spent), measured("epsilon_spent", spent, words)]


def _claimed(
    ledger: accounting.Ledger, measured: Callable[..., Measurement], spent: float | None = None
) -> Measurement:
    """What the card claims, and whether its own ledger comes to more."""
    words = "the card makes no claim"
    if ledger.epsilon_claimed is not None:
        words = "what the model's card says of itself"
        if spent is not None and spent > ledger.epsilon_claimed + ROUNDED:
            words += f"; its ledger comes to more: {number(spent)}"
    return measured("epsilon_claimed", ledger.epsilon_claimed, words, declared=True)


def conformance(card: Mapping[str, object], ledger: accounting.Ledger | None) -> list[Measurement]:
    """What was seen of the mechanism, held against the ledger; nothing where there is none."""
    if ledger is None:
        return []
    said, seen = card.get("conformance"), None
    if said is not None:
        try:
            seen = msgspec.convert(said, Conformance)
        except msgspec.ValidationError as error:
            msg = f"what the card says of the mechanism cannot be read: {error}"
            raise InputError(msg) from None

    def p(value: float | None, why: str, n: int | None = None) -> Measurement:
        return Measurement(metric="privacy.noise_conformance_p", kind="p_value", value=value, n=n, why=why)

    def check(name: str, holds: bool | None, why: str) -> Measurement:  # noqa: FBT001 - what is being told
        return Measurement(
            metric="privacy.conformance",
            kind="exact",
            value=None if holds is None else float(holds),
            labels={"check": name},
            why=why,
        )

    if seen is None:
        why = "the card says nothing of the mechanism: nobody looked at it while it trained"
        return [p(None, why), *(check(name, None, why) for name in CHECKS)]
    quiet = "no noise is added"
    deviation = ledger.noise_multiplier * ledger.clip / ledger.expected_batch_size
    held = beside(seen, deviation=deviation, rate=ledger.sample_rate)
    size = "" if held.noise_size is None else f"the noise is {held.noise_size:.4g} times what the ledger says"
    fresh = None if seen.repeat_p is None else seen.repeat_p >= CHANCE
    words = {
        "noise_fresh": (
            fresh,
            quiet if fresh is None else f"two steps so much alike: p = {seen.repeat_p:.3g}",
        ),
        "clip": (
            seen.longest <= ledger.clip * (1 + ROUNDING),
            f"a row moves a step by {seen.longest:.6g} at most; the ledger says {ledger.clip:g}",
        ),
        "steps": (seen.steps == ledger.steps, f"{seen.steps:,} taken; the ledger says {ledger.steps:,}"),
        "sampling": (
            held.rate_p >= CHANCE,
            f"drawn at a rate of {seen.rate:.4g}; the ledger says {ledger.sample_rate:g} (p = {held.rate_p:.3g})",
        ),
    }
    return [
        p(held.noise_p, size or quiet, seen.noise_numbers or None),
        *(check(name, *words[name]) for name in CHECKS),
    ]


def unless_refuted(spent: Measurement, seen: Sequence[Measurement]) -> Measurement:
    """The ε that the ledger comes to; null where the mechanism that was seen is another one than the ledger's.

    Args:
        seen: what `conformance` gave.
    """
    wrong = [
        m.why
        for m in seen
        if m.value is not None
        and (m.value < CHANCE if m.metric == "privacy.noise_conformance_p" else m.value == 0)
    ]
    if spent.value is None or not wrong:
        return spent
    why = f"the mechanism that was seen is not the ledger's, so its ε is not known: {'; '.join(wrong)}"
    return msgspec.structs.replace(spent, value=None, why=why)


def written(ledger: accounting.Ledger) -> Table:
    """The ledger in words: everything ε depends on."""
    return Table(
        title="The training's privacy ledger",
        columns=("what", "value"),
        rows=(
            ("steps", ledger.steps),
            ("noise multiplier σ", number(ledger.noise_multiplier, digits=4)),
            ("clipping norm", number(ledger.clip)),
            ("sample rate (declared)", number(ledger.sample_rate)),
            ("expected batch size (declared)", number(ledger.expected_batch_size)),
            ("δ", f"{ledger.delta:g}"),
            ("sampling", ledger.sampling),
            ("neighbouring data differ by", ledger.adjacency),
            ("number of training rows", "treated as public" if ledger.n_is_public else "treated as secret"),
            ("noise generator", ledger.noise_generator),
        ),
        caption="ε follows from these numbers alone; it was recomputed from them, not copied from the training.",
    )
