"""What does the model look at, and is the explanation true of this model?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rai_bigmodel.audits import counterfactuals, dependence, one_row, shown
from rai_bigmodel.audits.battery import battery
from rai_bigmodel.audits.claims import claims, leading, right
from rai_bigmodel.audits.faithfulness import stability
from rai_bigmodel.audits.importance import null
from rai_bigmodel.audits.methods import CALLED, PROMISES, Method, chosen
from rai_bigmodel.audits.proxy_strength import strengths
from rai_bigmodel.audits.scenes import cannot, rows_of, scene_of, whole_columns
from rai_bigmodel.audits.shortcuts import lead, shortcuts
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Findings, Measurement, Record
from rai_bigmodel.subject import column_of, task_of

if TYPE_CHECKING:
    from rai_bigmodel.audits.battery import Tested
    from rai_bigmodel.audits.faithfulness import Test
    from rai_bigmodel.audits.scenes import Scene
    from rai_bigmodel.evidence import Exhibit
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

KINDS = {
    "explainability.completeness_gap": "exact",
    "explainability.insertion_deletion_p": "p_value",
    "explainability.randomisation_similarity": "estimate",
    "explainability.ablation_agreement": "estimate",
    "explainability.infidelity": "estimate",
    "explainability.stability": "estimate",
}
"""Metric of each test → its kind."""
STEADY = 16
"""Rows that stability looks at: each is explained again once a draw, and what is found proves nothing."""


class Explainability(Record, omit_defaults=True):
    """Attributions with the proof that they belong to this model, and what rests on them.

    A network is explained by Integrated Gradients (Sundararajan, Taly and Yan 2017), anything else by Shapley
    values of its answers. A battery of tests decides whether the explanation is faithful; where it is not, it is
    shown as failed and no other number rests on it. How well each attribute can be told from what is read needs
    the features alone, and no explanation.

    Args:
        method: ``auto``, or one of the methods by name.
        steps: points on the path of Integrated Gradients at most; rows whose attributions add up sooner take fewer.
        rows: how many rows are explained at most, drawn at random.
        budget: bytes that one batch may hold on its way through a network.
        shown: for how many features, the largest first, importance and share are told.
        top: for how many features differences between groups and the permutation drop are measured; also how many
            reasons a single row is given.
        attributes: by whose groups importance is compared, and which are told from what is read; by default every
            sensitive column.
        together: a name and the columns that make one feature (one-hot columns), whose attributions are summed.
        words: of texts, a sensitive attribute and the words that tell it, whose share is measured.
        cases: rows of the held-out data that are shown one by one, counted from 1.
        hardest: how many of the explained rows are shown besides: those whose answers were furthest from right.
        values: whether what a row holds may be shown (its picture, words, numbers); else only what counted in it.
        refits: how often the same recipe is trained again, to see whether a row's reasons stay.
        mutable: features that may change, each with ``[low, high]`` or the labels it may take: what would have had to
            differ in the rows that are shown.
        dependence: for how many features, the largest first, the answer is drawn as they alone change.
    """

    method: Method = "auto"
    steps: int = 256
    rows: int = 1000
    budget: int = 64 * 2**20
    shown: int = 10
    top: int = 3
    attributes: tuple[str, ...] = ()
    together: dict[str, tuple[str, ...]] = {}
    words: dict[str, tuple[str, ...]] = {}
    cases: tuple[int, ...] = ()
    hardest: int = 0
    values: bool = False
    refits: int = 0
    mutable: dict[str, tuple[float | str, ...]] = {}
    dependence: int = 0

    question: ClassVar[str] = "What does the model look at?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (
            *((n, 1) for n in ("steps", "rows", "budget", "shown", "top")),
            *((n, 0) for n in ("hardest", "refits", "dependence")),
        ):
            if getattr(self, name) < least:
                msg = f"{name} must be at least {least}, got {getattr(self, name)}"
                raise ValueError(msg)
        if (count := len(set(self.cases)) + self.hardest) > one_row.MOST_CASES:
            msg = f"cases and hardest together must be at most {one_row.MOST_CASES} rows, got {count}"
            raise ValueError(msg)
        for name in ("refits", "mutable"):
            if getattr(self, name) and not (self.cases or self.hardest):
                msg = f"{name} speaks of single rows; say which by cases or hardest"
                raise ValueError(msg)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Explain the held-out rows, test the explanation, measure what rests on it, and tell each attribute.

        Raises:
            InputError: the model is in training mode, answers differently when asked again, or reads what
                cannot be explained; an attribute, a row or a feature that was named is not there.
            MissingExtra: Captum is not installed, for a method of Captum's.
        """
        (apart,) = rng.spawn(1)  # so that what is told of attributes changes nothing about explanations
        parts = self._explained(subject, data, rng)
        told = strengths(subject, data.held_out, self.attributes, apart)
        return Findings(measurements=(*parts.measurements, *told), exhibits=parts.exhibits, notes=parts.notes)

    def _explained(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        cohort = data.held_out
        if why := cannot(subject, cohort):
            return Findings(measurements=(null("faithful", why, "exact"),))
        scene = scene_of(self, subject, cohort, rows_of(self, subject, cohort, rng))
        if isinstance(scene, str):
            return Findings(measurements=(null("faithful", scene, "exact"),))
        _refuse_what_is_not_read(self, scene)
        (apart,) = rng.spawn(1)  # so that rows shown one by one change nothing about the numbers of all
        method, explain = chosen(self.method, scene.case, kind=scene.kind, steps=self.steps)
        values = explain(scene.case, rng)
        tested = battery(scene.case, values, explain, rng, adds_up=PROMISES[method])
        some = np.sort(rng.permutation(len(values))[:STEADY])
        steady = stability(scene.case.some(some), values[some], explain, rng)
        rests = claims(self, scene, values, tested, subject=subject, cohort=cohort, rng=rng)
        other = explain(scene.elsewhere, rng)
        single, shown_rows = one_row.shown_one_by_one(
            self, scene, values, other, tested, subject=subject, data=data, rng=apart
        )
        return Findings(
            measurements=(*_measured(tested, steady), *rests),
            exhibits=(
                shown.ranked(scene, values, method, tested, most=self.shown),
                *(
                    ()
                    if not tested.faithful
                    else (*shown.where(scene, values), *shown.directions(scene, values))
                ),
                shown.tests_table(tested, steady),
                shown.two_starts(scene, values, other),
                *single,
                *self._asked(scene, values if tested.faithful else None, shown_rows, subject),
            ),
            notes=(*_notes(scene, method, tested), *_shortcuts(scene, rests, subject, cohort)),
        )

    def _asked(self, scene: Scene, values: Array | None, rows: Array, subject: Subject) -> list[Exhibit]:
        """What needs the model alone and no attributions; only the choice of features rests on them."""
        out: list[Exhibit] = []
        if self.mutable:
            called = [f"row {scene.rows[i] + 1:,}" for i in rows]
            out.append(
                counterfactuals.table_of(scene, rows, self.mutable, subject, values=self.values, named=called)
            )
        if self.dependence:
            names = [scene.case.names[i] for i in leading(scene, values, self.dependence)]
            output = None
            if task_of(subject) == "classes":
                output = np.asarray(subject.predict(dict(scene.columns))).argmax(axis=1)
            out += dependence.curves(scene, names, subject, output=output)
        return out


def _refuse_what_is_not_read(audit: Explainability, scene: Scene) -> None:
    if scene.kind != "tokens" and audit.words:
        reads = "columns" if scene.kind == "table" else scene.kind
        msg = f"words: only texts have words, and this model reads {reads}"
        raise InputError(msg)
    for name in ("together", "mutable", "dependence"):
        if scene.kind != "table" and getattr(audit, name):
            msg = f"{name} speaks of columns of a table, and this model reads {scene.kind}"
            raise InputError(msg)


def _measured(tested: Tested, steady: Test) -> list[Measurement]:
    """Each test as a measurement, and the verdict of all."""
    out = []
    for test in (*tested.tests, steady):
        metric = f"explainability.{test.name}"
        kind: Any = KINDS[metric]
        out.append(
            Measurement(
                metric=metric,
                kind=kind,
                value=test.value,
                n=test.n,
                why="" if test.passed else test.why,
                interval=test.interval if kind == "estimate" and test.value is not None else None,
            )
        )
    faithful = None if tested.faithful is None else float(tested.faithful)
    why = "" if tested.faithful else tested.why
    return [*out, Measurement(metric="explainability.faithful", kind="exact", value=faithful, why=why)]


def _shortcuts(scene: Scene, rests: list[Measurement], subject: Subject, cohort: Cohort) -> tuple[str, ...]:
    ask = right(subject, cohort, scene.rows)
    if ask is None or scene.kind == "tokens":
        return ()
    column = column_of(cohort, "truth")
    truth = cohort.arrays(column)[column][scene.rows]
    return shortcuts(rests, lead(ask(whole_columns(cohort, scene.rows)), truth))


def _notes(scene: Scene, method: str, tested: Tested) -> tuple[str, ...]:
    rows = f"{CALLED[method]} of {len(scene.rows):,} rows, from {scene.starts[0]}."
    out = [f"{rows} Rows between a start and a real one may be unlike any that occur."]
    if not tested.faithful:
        out.append("No other claim in this report rests on this explanation.")
    return tuple(out)
