"""What does training give away about the people in it, and what did protecting them cost whom?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import msgspec

from rai_bigmodel import accounting
from rai_bigmodel.audits.privacy_canaries import check_count, of_black_box_canaries, of_canaries
from rai_bigmodel.audits.privacy_costs import costs
from rai_bigmodel.audits.privacy_ledger import (
    NO_LEDGER,
    Claim,
    check_claim,
    claim_of,
    conformance,
    epsilons,
    ledger_of,
    unless_refuted,
    written,
)
from rai_bigmodel.audits.privacy_membership import UNCOUNTED, of_membership
from rai_bigmodel.audits.privacy_memory import exposures, extracted
from rai_bigmodel.audits.privacy_references import check_references
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Findings, Record
from rai_bigmodel.subject import attributes_of

if TYPE_CHECKING:
    import numpy as np

    from rai_bigmodel.accounting import Ledger
    from rai_bigmodel.evidence import Exhibit
    from rai_bigmodel.subject import Splits, Subject


EXTRACTED = "the training texts were asked about, because the audit's parameter 'extract' says so"


class Privacy(Record, omit_defaults=True):
    """ε recomputed from the training's ledger, the mechanism held against it, and what privacy cost whom.

    The headline ε is the PRV accountant's (Gopi, Lee and Wutschitz 2021), rounded up. A training looks at its own
    engine with made-up rows, and here its noise (χ²), clipping, steps and sampling are compared with the ledger.
    What privacy cost a group is the accuracy of the relative in the role `plain` minus the subject's, on the same
    rows (Tango 1998).

    Args:
        attributes: whose groups to compare; by default every sensitive column.
        membership: whether to try to tell training rows from held-out ones by the subject's answers. Not by
            default, because it asks about training rows: for a private model that releases what its ε does not
            count, so the auditor has to want it, and the evidence says so.
        references: with `membership`, also RMIA with so many reference models (1 to 4) for each half of the rows. They
            are the subject's recipe, or its plain twin's, on rows that the subject never saw.
        deep: with `membership`, also LiRA with sixteen models on halves of all rows; refused for a private model,
            because its training rows would be trained on.
        canaries: attack the training's own engine on made-up rows with so many canaries, at least 100; 1,000 reach
            an ε of about 4. It spends no privacy, and takes as many steps as the training.
        black_box_canaries: make the whole training again on so many made-up rows with outcomes by chance, at least 100,
            and guess from its answers alone which of them were there. Without noise 1,000 come to an ε of 2 to 4, with
            it they seldom refute anything. It spends no privacy, and takes as long as the training.
        extract: of a language model, so many training texts are begun, to see whether it goes on with them word for
            word; 0 leaves it out. Like `membership` it asks about training rows.
        prompt: so many words or characters of a text are told, and so many must follow.
        claimed_epsilon, claimed_delta: what somebody says of a model trained elsewhere, whose card has no ledger. It is
            evidence that was declared: it can fail a rule, and passes one only where the rule accepts that.
        coin: with `membership`, each row was a member or not by an independent toss of a fair coin, and the auditor
            can vouch for it. Only then the attacks give lower bounds of ε.

    Raises:
        InputError: a parameter is out of its range, or one goes without another that it needs.
    """

    attributes: tuple[str, ...] = ()
    membership: bool = False
    references: int = 0
    deep: bool = False
    canaries: int = 0
    black_box_canaries: int = 0
    extract: int = 0
    prompt: int = 50
    claimed_epsilon: float | None = None
    claimed_delta: float | None = None
    coin: bool = False

    question: ClassVar[str] = "What does training give away about the people in the data?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)
    primary_only: ClassVar[bool] = True
    reads_training: ClassVar[bool] = True

    def __post_init__(self) -> None:
        # A file is read strictly; from Python anything may come.
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            try:
                msgspec.convert(value.item() if hasattr(value, "item") else value, field.type)
            except msgspec.ValidationError as error:
                msg = f"privacy: {field.name}: {error}".replace("Expected", "expected")
                raise InputError(msg) from None
            if isinstance(value, float) and not math.isfinite(value):
                msg = f"privacy: {field.name} must be a finite number, got {value}"
                raise InputError(msg)
        super().__post_init__()
        check_count(self.canaries)
        check_count(self.black_box_canaries, "black_box_canaries")
        check_references(self.references)
        if self.extract < 0:
            msg = f"privacy: extract must be 0 (no text) or more, got {self.extract}"
            raise InputError(msg)
        if self.prompt < 1:
            msg = f"privacy: prompt must be at least 1 word or character, got {self.prompt}"
            raise InputError(msg)
        if (self.references or self.deep or self.coin) and not self.membership:
            msg = "privacy: references, deep and coin are about membership: say membership: true as well"
            raise InputError(msg)
        check_claim(self.claimed_epsilon, self.claimed_delta)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Recompute from the card; compare on ``data.held_out``; with `membership`, attack ``data.train``.

        Raises:
            InputError: an attribute is not sensitive; the card's ledger cannot be read, or there is none to attack
                with canaries or one beside a claim of the auditor's; or a row is a member and a non-member.
            MissingExtra: Opacus is not installed.
        """
        attributes = _attributes(data, self.attributes)
        ledger = ledger_of(subject.card)
        claim = claim_of(ledger, self.claimed_epsilon, self.claimed_delta)
        (claimed, spent), seen = epsilons(ledger, claim), conformance(subject.card, ledger)
        found = [claimed, unless_refuted(spent, seen), *seen]
        attacked = []
        for asked, name, attack in (
            (self.canaries, "canaries", of_canaries),
            (self.black_box_canaries, "black_box_canaries", of_black_box_canaries),
        ):
            if asked and ledger is None:
                msg = (
                    f"{subject.name}: {NO_LEDGER}, so canaries have no mechanism to attack (leave {name} out)"
                )
                raise InputError(msg)
            if asked:
                attacked += attack(subject, ledger, spent.value, asked, rng)
        found += attacked
        found += exposures(subject, data, rng)
        if self.extract:
            found.append(extracted(subject, data, self.extract, rng, prompt=self.prompt))
        cost, pictures = costs(subject, data, self.attributes)
        exhibits: tuple[Exhibit, ...] = (*((written(ledger),) if ledger else ()), *pictures)
        notes = tuple(subject.card.get("notes", ())) if ledger else ()
        if self.extract and not self.membership:
            notes += (EXTRACTED, UNCOUNTED) if ledger else (EXTRACTED,)
        if self.membership:
            told = of_membership(
                subject,
                data,
                attributes,
                rng,
                references=self.references,
                deep=self.deep,
                coin=_promised(ledger, claim) if self.coin else None,
            )
            cost, notes = [*cost, *told.measurements], (*notes, *told.notes)
            attacked, exhibits = [*attacked, *told.measurements], (*exhibits, *told.exhibits)
        # In words as well: what is not refuted must not be read as shown.
        notes += tuple(
            f"ε by {m.labels.get('attack', 'canaries')}, {m.labels['method']}: {m.why}."
            for m in attacked
            if m.metric == "privacy.epsilon_lower_bound"
        )
        return Findings(measurements=(*found, *cost), exhibits=exhibits, notes=notes)


def _promised(ledger: Ledger | None, claim: Claim | None) -> Claim:
    """What attacks on members by coin may refute.

    Raises:
        InputError: nothing says at which δ.
    """
    if claim is not None:
        return claim
    if ledger is None:
        msg = "privacy: coin needs a δ: from the card's ledger, or claimed_epsilon and claimed_delta"
        raise InputError(msg)
    lasting = not ledger.noise_seeded and accounting.tellable(ledger)
    return Claim(accounting.epsilon_of(ledger) if lasting else None, ledger.delta)


def _attributes(data: Splits, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Whose groups to compare; nobody's where no column is sensitive and none was asked for."""
    if not asked and not data.held_out.roles.get("sensitive"):
        return ()
    return attributes_of(data.held_out, asked)
