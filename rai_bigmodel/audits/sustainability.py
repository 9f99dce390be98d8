"""What did the model cost to make, and what does it cost to ask?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rai_bigmodel.evidence import Findings, Kind, Measurement, Record
from rai_bigmodel.subject import inputs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.subject import Cohort, Splits, Subject

DECISIONS = 1000
NO_CARD = "the subject's card does not say"
NOT_ASKED = "nobody asked for an estimate while the model was trained (train: energy_in in its recipe)"

LEFT_OUT = (
    "Energy and emissions are estimates from the card; making the machines, and trainings that were thrown away, are "
    "not in them."
)


class Sustainability(Record, omit_defaults=True):
    """Energy and emissions of the training, its time and size, as the model's card says; energy of decisions.

    Energy and emissions are estimates: codecarbon's, from the machine's counters or the nominal power of its
    processors, and the mean mix of the country's electricity. What the training used once, 1,000 decisions use
    again and again: their time on the held-out rows, at the power that the training drew.

    Args:
        repeats: how often the decisions are timed; the median counts.
    """

    repeats: int = 5

    question: ClassVar[str] = "What did the model cost to make, and what does it cost to ask?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats < 1:
            msg = f"repeats must be at least 1, got {self.repeats}"
            raise ValueError(msg)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:  # noqa: ARG002
        """Read the card, and time decisions about ``data.held_out``."""
        card = subject.card
        energy: Mapping[str, Any] = card.get("energy") or {}
        missing = NOT_ASKED if "recipe" in card else NO_CARD
        said = f"an estimate by {energy['by']} for {energy['country']}" if energy else missing
        seconds = card.get("wall_seconds")
        found = [
            _one("energy_kwh", energy.get("kwh"), said, kind="clock"),
            _one("co2e_kg", energy.get("co2e_kg"), said, kind="clock"),
            _one("parameters", card.get("parameters"), NO_CARD),
            _one("flops_per_example", card.get("flops_per_example"), NO_CARD),
            _one("train_seconds", seconds, NO_CARD, kind="clock"),
            self._of_decisions(subject, data.held_out, energy, seconds),
        ]
        return Findings(measurements=tuple(found), notes=(LEFT_OUT,) if energy else ())

    def _of_decisions(
        self, subject: Subject, cohort: Cohort, energy: Mapping[str, Any], seconds: float | None
    ) -> Measurement:
        name = "energy_per_1000_decisions"
        if not energy or not seconds:
            return _one(name, None, NOT_ASKED if "recipe" in subject.card else NO_CARD, kind="clock")
        whole = inputs_of(cohort)
        rows = np.arange(DECISIONS) % cohort.rows
        inputs = {c: v[rows] for c, v in whole.items()} if isinstance(whole, dict) else whole[rows]
        subject.predict(inputs)  # the first call pays for memory and kernels
        times = []
        for _ in range(self.repeats):
            began = time.perf_counter()
            subject.predict(inputs)
            times.append(time.perf_counter() - began)
        took = float(np.median(times))
        why = f"kWh: {took:.3g} s for {DECISIONS:,} rows, at the mean power of the training; an estimate"
        return _one(name, energy["kwh"] / seconds * took, why, kind="clock")


def _one(name: str, value: float | None, why: str, *, kind: Kind = "exact") -> Measurement:
    """A measurement; `why` is the reason where there is none, and a caveat of energies."""
    shown = why if value is None or (kind == "clock" and name != "train_seconds") else ""
    return Measurement(
        metric=f"sustainability.{name}",
        kind=kind,
        value=None if value is None else float(value),
        why=shown,
    )
