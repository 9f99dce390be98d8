"""Does the file that ships decide as the model that was trained?

The audit asks the subject and every variant about the same rows once, and hands both answers to the files beside it:
`deployment_decisions` for what changed, `deployment_groups` for whom it changed, `deployment_scores` for whether scores
still mean what they say, `deployment_explained` for whether the reasons are the same, `deployment_clock` for what a
variant costs and gains. Limits are the policy's: a margin of non-inferiority is the limit of a rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rai_bigmodel.audits.deployment_answers import both
from rai_bigmodel.audits.deployment_clock import Timing, clocks
from rai_bigmodel.audits.deployment_decisions import decisions
from rai_bigmodel.audits.deployment_explained import agreement
from rai_bigmodel.audits.deployment_groups import groups
from rai_bigmodel.audits.deployment_scores import calibration_change
from rai_bigmodel.evidence import Exhibit, Findings, Measurement, Record
from rai_bigmodel.subject import attributes_of, in_memory

if TYPE_CHECKING:
    import numpy as np

    from rai_bigmodel.subject import Splits, Subject

VARIANTS = {"onnx": "fp32"}
"""Role of a relative → the name of the variant in labels, where these differ."""
_ALSO = frozenset(["fp16", "int8", "pruned", "distilled"])


def variants_of(subject: Subject) -> dict[str, Subject]:
    """What may ship in the subject's place, by name: relatives of the roles meant for it, and every ONNX file."""
    return {
        VARIANTS.get(role, role): one
        for role, one in subject.relatives.items()
        if role in VARIANTS or role in _ALSO or one.kind == "onnx"
    }


class Deployment(Record, omit_defaults=True):
    """Every variant beside the subject on the same rows: what it decides, for whom, why, how fast, and how large.

    Decision flips by Clopper–Pearson, paired differences of accuracy by Tango 1998, groups as in `stats.moves`,
    latency quantiles with order-statistics intervals.

    Args:
        batches: rows asked for at once when latency is measured; none to measure no time at all.
        repeats: the most timings of each.
        seconds: about how long all timings of one batch size may take together.
        attributes: by whose groups flips are compared; by default every sensitive column.
        compiled: also time ``torch.compile`` of a network, which takes some seconds to compile.
        explained: rows whose reasons are compared; 0 for none.
        flips_at_most: the largest share of decisions that may differ in a variant that is recommended.
    """

    batches: tuple[int, ...] = (1, 16, 256)
    repeats: int = 200
    seconds: float = 6.0
    attributes: tuple[str, ...] = ()
    compiled: bool = False
    explained: int = 48
    flips_at_most: float = 0.01

    question: ClassVar[str] = "Does the file that ships decide as the model that was trained?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)
    primary_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats < 1 or any(b < 1 for b in self.batches):
            msg = f"batches and repeats must be at least 1, got {list(self.batches)} and {self.repeats}"
            raise ValueError(msg)
        if self.seconds <= 0 or self.explained < 0 or not 0 <= self.flips_at_most <= 1:
            msg = (
                "seconds must be above 0, explained at least 0 and flips_at_most a share, got "
                f"{self.seconds}, {self.explained} and {self.flips_at_most}"
            )
            raise ValueError(msg)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Compare on ``data.held_out``."""
        cohort, variants = data.held_out, variants_of(subject)
        if not variants or not in_memory(cohort):
            why = (
                "the rows stay in their engine, and variants are asked about single rows"
                if variants
                else "no exported file was handed over as a relative"
            )
            return Findings(
                measurements=(
                    Measurement(metric="deployment.decision_flip_rate", kind="estimate", value=None, why=why),
                )
            )
        attributes = attributes_of(cohort, self.attributes) if cohort.roles.get("sensitive") else ()
        found: list[Measurement] = []
        exhibits: list[Exhibit] = []
        notes: list[str] = []
        for name, variant in variants.items():
            pair = both(subject, variant, cohort, name)
            notes += [pair.order] if pair.order else []
            found += decisions(pair, variant)
            for attribute in attributes:
                measured, shown = groups(pair, cohort, attribute)
                found += measured
                exhibits += shown
            found.append(calibration_change(pair, rng))
            found.append(agreement(subject, variant, cohort, name, rows=self.explained))
        if self.batches:
            notes.append("Latency is that of one thread; all variants take turns.")
        timing = Timing(self.batches, self.repeats, self.seconds, self.compiled)
        found += clocks(subject, variants, cohort, timing, found, flips_at_most=self.flips_at_most)
        return Findings(measurements=tuple(found), exhibits=tuple(exhibits), notes=tuple(notes))
