"""Do decisions differ between groups?

The audit asks the subject, forms the groups, and hands both to the files beside it: `fairness_rates` for yes and no,
`fairness_classes` for more labels, `fairness_means` for numbers, `fairness_scores` for what holds at any threshold,
`fairness_strata` for differences among equals, `fairness_tables` for the tables that laws ask for, `fairness_changes`
for what changed against the model that runs today.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from rai_bigmodel.audits import changes
from rai_bigmodel.audits.answers import IN_BINS, NEEDS_ROWS
from rai_bigmodel.audits.fairness_changes import paired_aucs, paired_means, paired_rates
from rai_bigmodel.audits.fairness_classes import count, of_classes
from rai_bigmodel.audits.fairness_groups import (
    groups_of,
    numbers_of,
    table_of,
    text_of,
    weights_of,
)
from rai_bigmodel.audits.fairness_means import of_means
from rai_bigmodel.audits.fairness_rates import measurement, of_attribute
from rai_bigmodel.audits.fairness_scores import of_scores, scoring_rate
from rai_bigmodel.audits.fairness_strata import of_counted_strata, of_strata
from rai_bigmodel.audits.fairness_tables import Law, law_tables
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Findings, Record
from rai_bigmodel.stats.cells import Cells, of_histogram
from rai_bigmodel.stats.counts import GroupCounts, base_rate, selection_rate
from rai_bigmodel.stats.disparity import differ_p, sized
from rai_bigmodel.subject import (
    Outcome,
    attributes_of,
    column_of,
    decision_in,
    decisions_of,
    has_scores,
    in_memory,
    scores_of,
    task_of,
)
from rai_bigmodel.tables.bins import binned

if TYPE_CHECKING:
    from rai_bigmodel.audits.changes import Changed, Key
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

SCORED = ("roc_auc", "scoring_rate", "ece_debiased")
TEXT_AUCS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")
WEIGHTED = "rows carry weights, and this is measured on rows that count alike"
BASE_RATES_DIFFER = 0.01
"""The p-value below which a reader is told that outcomes themselves differ between groups."""


class _Asked(NamedTuple):
    """Who is asked, about which rows, in which groups.

    Args:
        rows: as they came; what the subject is asked about.
        grouped: the same with numbers put into bins; where groups are formed.
        weight: of each row ``(rows,)``, where rows carry weights.
    """

    subject: Subject
    rows: Cohort
    grouped: Cohort
    attributes: tuple[str, ...]
    weight: Array | None


class Fairness(Record, omit_defaults=True):
    """Rates, scores or numbers of each group, and the widest differences between groups.

    Args:
        attributes: columns, or intersections as ``a*b``; by default every sensitive column.
        intersections: with no `attributes` given, also every pair as an intersection.
        bins: column → ascending edges; ``age: [25, 40, 60]`` makes ``under 25``, ``25 to 40`` … ``60 or more``. The
            column becomes an attribute like the sensitive ones, unless it is a stratum.
        given: attribute → column of strata (or ``a*b``), for the difference among rows of one stratum.
        laws: tables to add, ``nyc-ll144`` or ``four-fifths``.
        text: also the subgroup, BPSN and BNSP AUCs, made for classifiers of text.
        outcome: ``binary``, ``classes`` or ``number``; by default what the subject decides between.
    """

    attributes: tuple[str, ...] = ()
    intersections: bool = True
    bins: dict[str, tuple[float, ...]] = {}
    given: dict[str, str] = {}
    laws: tuple[Law, ...] = ()
    text: bool = False
    outcome: Outcome | None = None

    question: ClassVar[str] = "Do decisions differ between groups?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)
    weighs: ClassVar[bool] = True

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Measure on ``data.held_out``.

        Raises:
            InputError: there is no sensitive attribute, or one has a single value or too many; bins, strata
                or weights cannot be used.
        """
        rows = data.held_out
        grouped = binned(rows, self.bins, strata=self.given.values())
        attributes = attributes_of(grouped, self.attributes, intersections=self.intersections)
        for attribute in self.given:
            if attribute not in attributes:
                what = "given: attribute"
                raise InputError.unknown(what, attribute, attributes)
        weights = weights_of(rows) if in_memory(rows) else None
        asked = _Asked(subject, rows, grouped, attributes, weights)
        outcome = self.outcome or task_of(subject)
        if outcome in {"reconstruction", "language"}:
            why = f"the subject has no outcome that groups could be compared by: it is learned by {outcome}"
            name = "demographic_parity_difference"
            return Findings(
                measurements=tuple(measurement(name, {"attribute": a}, None, why=why) for a in attributes)
            )
        if outcome != "binary" and (self.given or self.laws):
            msg = f"given and laws need decisions of yes or no; the outcome here is {outcome}"
            raise InputError(msg)
        measure = {"binary": self._binary, "classes": _classes, "number": _numbers}[outcome]
        parts = measure(asked, rng)
        if (baseline := changes.baseline_of(subject)) is not None:
            found = [m for part in parts for m in part.measurements]
            moved = changes.in_engine(found, rows)
            if not moved:
                was = measure(asked._replace(subject=baseline), rng)
                before = [m for part in was for m in part.measurements]
                moved = changes.changes(found, before, _paired(asked, baseline, outcome, rng))
            parts.append(Findings(measurements=moved))
        notes = [note for part in parts for note in part.notes]
        if rows.roles.get("weight"):
            notes.append(
                "Rows count here by their weights, and intervals go by Kish's effective number of rows. What is "
                "measured on rows that count alike was left out: ranking, calibration and scoring rates, differences "
                "within strata, curves over the threshold and the tables of laws."
            )
        if (means := data.facts.get("label_means")) and outcome == "binary":
            notes.append(
                f"The outcome is {means}: true and false positive rates, precision and accuracy measure "
                "agreement with that; selection rates do not depend on it."
            )
        return Findings(
            measurements=tuple(m for part in parts for m in part.measurements),
            exhibits=tuple(e for part in parts for e in part.exhibits),
            notes=tuple(notes),
        )

    def _binary(self, asked: _Asked, rng: np.random.Generator) -> list[Findings]:
        subject, rows, cohort = asked.subject, asked.rows, asked.grouped
        if not in_memory(cohort):
            return self._in_engine(asked, rng)
        truth = column_of(rows, "truth")
        true = rows.binary(truth)  # two labels, or one line that says so
        scores = scores_of(subject, rows) if has_scores(subject, rows) else None
        decision = decisions_of(subject, rows)
        # By name where the table can count them once for all attributes.
        by_name = (truth, decision_in(subject, rows)) if cohort is rows else (true, decision)
        parts = []
        for attribute in asked.attributes:
            by, table = attribute.split("*"), table_of(cohort, attribute)
            plain = table.count(by, truth=by_name[0], decision=by_name[1])
            weighted = plain
            if asked.weight is not None:
                weighted = count(table.groups(by), true, decision, asked.weight)
            parts.append(of_attribute(attribute, weighted, rng))
            if "*" not in attribute:
                parts.append(_of_labels(attribute, plain))
            if asked.weight is not None:
                parts.append(self._unweighted(attribute, scored=scores is not None))
                continue
            by_score = [] if scores is None else table.by_score(by, scores, true)
            parts.append(self._tables(attribute, plain, by_score))
            if given := self.given.get(attribute):
                strata = groups_of(cohort, given, role="given")
                parts.append(of_strata(attribute, given, table.groups(by), strata, decision))
            if scores is not None:
                text = (table.groups(by), scores, true) if self.text else None
                threshold = subject.decision.threshold
                parts.append(of_scores(attribute, plain.groups, by_score, threshold=threshold, rows=text))
        return parts

    def _unweighted(self, attribute: str, *, scored: bool) -> Findings:
        """What takes no weights, as nulls with why."""
        about: dict[str, str] = {"attribute": attribute}
        names = [*SCORED, *(TEXT_AUCS if self.text else ())] if scored else []
        found = [measurement(name, about, None, why=WEIGHTED) for name in names]
        if given := self.given.get(attribute):
            found.append(measurement("conditional_difference", {**about, "given": given}, None, why=WEIGHTED))
        return Findings(measurements=tuple(found))

    def _in_engine(self, asked: _Asked, rng: np.random.Generator) -> list[Findings]:
        """Rows that stay in their engine: everything that follows from one GROUP BY an attribute, and nothing else."""
        cohort, parts = asked.grouped, []
        truth, decision = column_of(cohort, "truth"), decision_in(asked.subject, cohort)
        weight = cohort.roles.get("weight", ())
        score = column_of(cohort, "score") if has_scores(asked.subject, cohort) else ""
        for attribute in asked.attributes:
            by = attribute.split("*")
            counts = cohort.count(by, truth=truth, decision=decision)
            if "*" not in attribute:
                parts.append(_of_labels(attribute, counts))
            if weight:
                weighted = cohort.count(by, truth=truth, decision=decision, weight=weight[0])
                parts.append(of_attribute(attribute, weighted, rng))
                parts.append(self._unweighted(attribute, scored=bool(score)))
                continue
            by_score: list[Cells] = []
            if score:
                bins, names = cohort.histogram(by, score=score, truth=truth)
                by_score = [of_histogram(one) for one in bins]
                threshold = asked.subject.decision.threshold
                parts.append(of_scores(attribute, names, by_score, threshold=threshold))
            parts += [of_attribute(attribute, counts, rng), self._tables(attribute, counts, by_score)]
            if given := self.given.get(attribute):
                within = cohort.within(by, given=given.split("*"), decision=decision)  # type: ignore[attr-defined]
                parts.append(of_counted_strata(attribute, given, within))
        notes = [
            IN_BINS if score and not weight else "Rows stay in their engine: nothing but counts has left it."
        ]
        if self.text:
            notes.append(f"Subgroup, BPSN and BNSP AUCs were left out: {NEEDS_ROWS}.")
        return [*parts, Findings(measurements=(), notes=tuple(notes))]

    def _tables(self, attribute: str, counts: GroupCounts, by_score: list[Cells]) -> Findings:
        if not self.laws:
            return Findings(measurements=())
        # A rate that is known only up to a bin has no place in a law's table.
        exact = by_score and not by_score[0].width
        scoring = scoring_rate(counts.groups, by_score)[0] if exact else None
        tables = law_tables(self.laws, attribute, selection_rate(counts), scoring)
        return Findings(measurements=(), exhibits=tables)


def _classes(asked: _Asked, rng: np.random.Generator) -> list[Findings]:
    truth, said = text_of(asked.subject, asked.rows)
    return [
        of_classes(a, groups_of(asked.grouped, a), truth, said, rng, weight=asked.weight)
        for a in asked.attributes
    ]


def _numbers(asked: _Asked, rng: np.random.Generator) -> list[Findings]:  # noqa: ARG001 - as its siblings
    truth, said = numbers_of(asked.subject, asked.rows)
    return [of_means(a, groups_of(asked.grouped, a), said, truth, asked.weight) for a in asked.attributes]


def _paired(asked: _Asked, baseline: Subject, outcome: str, rng: np.random.Generator) -> dict[Key, Changed]:
    """The changes against a baseline that have a paired interval; weighted rows have none."""
    if asked.weight is not None:
        return {}
    found: dict[Key, Changed] = {}
    subject, rows = asked.subject, asked.rows
    for attribute in asked.attributes:
        groups = groups_of(asked.grouped, attribute)
        if outcome == "number":
            before, after = (numbers_of(s, rows)[1] for s in (baseline, subject))
            found |= paired_means(attribute, groups, before, after)
        elif outcome == "classes":
            (truth, said), (_, was) = (text_of(s, rows) for s in (subject, baseline))
            for label in sorted({*truth.tolist(), *said.tolist()}):
                flags = truth == label, was == label, said == label
                found |= paired_rates(attribute, groups, flags, rng, about=label)
            agree = np.ones(len(truth), dtype=bool), was == truth, said == truth
            right = paired_rates(attribute, groups, agree, rng)
            found |= {k: v for k, v in right.items() if k[0].startswith("fairness.accuracy")}
        else:
            true = rows.binary(column_of(rows, "truth"))
            flags = true, decisions_of(baseline, rows), decisions_of(subject, rows)
            found |= paired_rates(attribute, groups, flags, rng)
            if has_scores(subject, rows) and has_scores(baseline, rows):
                scores = scores_of(baseline, rows), scores_of(subject, rows)
                found |= paired_aucs(attribute, groups, true, *scores)
    return found


def _of_labels(attribute: str, counts: GroupCounts) -> Findings:
    """Where outcomes themselves differ between groups, error rates say less about the model than they seem to."""
    groups = sized(base_rate(counts))
    if groups.keep.sum() < 2 or differ_p(groups.successes, groups.trials) >= BASE_RATES_DIFFER:
        return Findings(measurements=())
    high, low = int(np.argmax(groups.values)), int(np.argmin(groups.values))
    note = (
        f"Positive outcomes are not equally frequent by {attribute} ({groups.name(high)} "
        f"{groups.values[high]:.3f}, {groups.name(low)} {groups.values[low]:.3f}). If the outcome is recorded "
        "with more errors in one group than in another, error rates differ through the labels, not the model."
    )
    return Findings(measurements=(), notes=(note,))
