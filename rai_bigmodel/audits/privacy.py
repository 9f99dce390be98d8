"""What does training give away about the people in it, and what did protecting them cost whom?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from rai_bigmodel import accounting
from rai_bigmodel.audits.privacy_canaries import check_count, of_canaries
from rai_bigmodel.audits.privacy_membership import of_membership
from rai_bigmodel.audits.privacy_references import check_references
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Dot, Dots, Findings, Measurement, Record, Table
from rai_bigmodel.stats import intervals
from rai_bigmodel.subject import attributes_of, column_of, decisions_of
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from rai_bigmodel.subject import Splits, Subject

NO_LEDGER = (
    "the model's card has no privacy ledger: nothing says that it was trained with differential privacy"
)
CHECKS = ("noise_fresh", "clip", "steps", "sampling")
CHANCE = 1e-5
"""An honest mechanism fails a check by chance so rarely."""
ROUNDING = 1e-4
"""By how much, relative, sums of float32 may step over the clipping norm."""


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
    """

    attributes: tuple[str, ...] = ()
    membership: bool = False
    references: int = 0
    deep: bool = False
    canaries: int = 0

    question: ClassVar[str] = "What does training give away about the people in the data?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)
    primary_only: ClassVar[bool] = True

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Recompute from the card; compare on ``data.held_out``; with `membership`, attack ``data.train``.

        Raises:
            InputError: the card's ledger cannot be read, there are too few canaries, or a row is a member and a
                non-member.
            MissingExtra: Opacus is not installed.
        """
        check_count(self.canaries)
        check_references(self.references)
        if (self.references or self.deep) and not self.membership:
            msg = "references and deep are attacks on membership: say membership: true as well"
            raise InputError(msg)
        ledger = _ledger(subject.card)
        found = [*_epsilons(ledger), *_conformance(subject.card, ledger)]
        attacked = []
        if self.canaries:
            attacked = of_canaries(subject, ledger, found[1].value, self.canaries, rng)
            found += attacked
        costs, picture = _costs(subject, data, self.attributes)
        exhibits = ([_written(ledger)] if ledger else []) + picture
        notes = tuple(subject.card.get("notes", ())) if ledger else ()
        # In words as well: what is not refuted must not be read as shown.
        notes += tuple(f"ε by canaries, {m.labels['method']}: {m.why}." for m in attacked if m.labels)
        if self.membership:
            told = of_membership(
                subject,
                data,
                _attributes(data, self.attributes),
                rng,
                references=self.references,
                deep=self.deep,
            )
            costs, notes = [*costs, *told.measurements], (*notes, *told.notes)
        return Findings(measurements=(*found, *costs), exhibits=tuple(exhibits), notes=notes)


def _attributes(data: Splits, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Whose groups to compare; nobody's where no column is sensitive and none was asked for."""
    if not asked and not data.held_out.roles.get("sensitive"):
        return ()
    return attributes_of(data.held_out, asked)


def _ledger(card: Mapping[str, object]) -> accounting.Ledger | None:
    written = card.get("ledger")
    if written is None or isinstance(written, accounting.Ledger):
        return written
    try:
        return msgspec.convert(written, accounting.Ledger)
    except msgspec.ValidationError as error:
        msg = f"the card's privacy ledger cannot be read: {error}"
        raise InputError(msg) from None


def _epsilons(ledger: accounting.Ledger | None) -> list[Measurement]:
    def measured(name: str, value: float | None, why: str = "", *, declared: bool = False) -> Measurement:
        return Measurement(
            metric=f"privacy.{name}",
            kind="exact",
            value=value,
            why=why,
            origin="declared" if declared else "measured",
        )

    if ledger is None:
        return [measured("epsilon_claimed", None, NO_LEDGER), measured("epsilon_spent", None, NO_LEDGER)]
    claimed = measured(
        "epsilon_claimed",
        ledger.epsilon_claimed,
        "what the model's card says of itself"
        if ledger.epsilon_claimed is not None
        else "the card makes no claim",
        declared=True,
    )
    if ledger.noise_seeded:
        why = "the noise came from a seed that somebody knows and can subtract, so no ε holds"
        return [claimed, measured("epsilon_spent", None, why)]
    if ledger.noise_multiplier == 0:
        return [claimed, measured("epsilon_spent", None, "no noise was added, so no ε holds")]
    at = f"by the PRV accountant at δ = {ledger.delta:g}, rounded up"
    return [claimed, measured("epsilon_spent", accounting.epsilon_of(ledger), at)]


def _conformance(card: Mapping[str, object], ledger: accounting.Ledger | None) -> list[Measurement]:
    """What was seen of the mechanism, held against the ledger; nothing where there is none."""
    if ledger is None:
        return []
    written, seen = card.get("conformance"), None
    if written is not None:
        try:
            seen = msgspec.convert(written, accounting.Conformance)
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
    size = "" if seen.noise_size is None else f"the noise is {seen.noise_size:.4g} times what the ledger says"
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
            seen.rate_p >= CHANCE,
            f"drawn at a rate of {seen.rate:.4g}; the ledger says {ledger.sample_rate:g} (p = {seen.rate_p:.3g})",
        ),
    }
    return [
        p(seen.noise_p, size or quiet, seen.noise_numbers or None),
        *(check(name, *words[name]) for name in CHECKS),
    ]


def _written(ledger: accounting.Ledger) -> Table:
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


def _costs(
    subject: Subject, data: Splits, asked: tuple[str, ...]
) -> tuple[list[Measurement], list[Table | Dots]]:
    cohort = data.held_out
    plain = subject.relatives.get("plain")
    if plain is None:
        why = "there is no relative in the role 'plain' (the same net, trained without privacy)"
        return [Measurement(metric="privacy.accuracy_cost", kind="estimate", value=None, why=why)], []
    truth = cohort.binary(column_of(cohort, "truth"))
    right, plainly_right = (decisions_of(s, cohort) == truth for s in (subject, plain))
    found: list[Measurement] = []
    pictures: list[Table | Dots] = []
    for attribute in attributes_of(cohort, asked):
        # Rows of a group that both, one or the other gets right, through the one door that counts groups.
        counts = cohort.count(attribute.split("*"), truth=plainly_right, decision=right)
        dots = []
        for group, n, plainly, private, both in zip(
            counts.groups,
            counts.n.tolist(),
            counts.positives.tolist(),
            counts.selected.tolist(),
            counts.true_positives.tolist(),
            strict=True,
        ):
            interval = intervals.paired_difference(plainly - both, private - both, n)
            value = (plainly - private) / n
            found.append(
                Measurement(
                    metric="privacy.accuracy_cost",
                    kind="estimate",
                    value=value,
                    n=n,
                    labels={"attribute": attribute, "group": group},
                    interval=interval,
                )
            )
            ends = (interval.low, interval.high) if interval else (None, None)
            dots.append(Dot(label=group, value=value, low=ends[0], high=ends[1], n=n))
        pictures.append(
            Dots(
                title=f"What privacy cost each group, by {attribute}",
                dots=tuple(dots),
                axis="accuracy of the plain twin minus accuracy of the private model",
                caption="Right of zero: the group is served worse by the private model. 95 % intervals, paired.",
            )
        )
    return found, pictures
