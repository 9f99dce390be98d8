"""Can one tell from the model's answers who was in its training rows? Asked of rows it was trained on and of others.

The members are the training rows, the non-members the held-out ones. First a classifier that never saw the model is
asked (Das, Zhang and Tramèr 2024, arXiv:2406.16201): where it can tell the two apart, the rows differ by how they
were chosen and an attack would prove nothing, so nothing is measured. Then two attacks: the confidence in the right
answer (Yeom et al. 2018, arXiv:1709.01604), and how far it stands above that of non-members alike (Bertran et al.
2023, arXiv:2307.03694).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits import answers
from rai_bigmodel.audits.fairness_groups import groups_of
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Findings, Measurement
from rai_bigmodel.stats import attacks, membership, telling
from rai_bigmodel.subject import has_scores, in_memory, scores_of, task_of, truth_of
from rai_bigmodel.tables import canonical

if TYPE_CHECKING:
    from rai_bigmodel.stats.membership import Told
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

FPRS = (0.01, 0.001)
SMALLEST = 30
"""Members and non-members of a group, of either, for an area of its own."""
ASKED = "the training rows were asked about, because the audit's parameter 'membership' says so"
UNCOUNTED = (
    "the model is private, and what membership inference shows of its training rows is not covered by its ε: "
    "do not release these numbers as if it were"
)


def of_membership(
    subject: Subject, data: Splits, attributes: tuple[str, ...], rng: np.random.Generator
) -> Findings:
    """The blind baseline, and the two attacks on all rows and on each group, or why they cannot be had.

    Raises:
        InputError: a row is a member and a non-member, by its id.
    """
    if why := _obstacle(subject, data):
        return Findings(measurements=(_null("membership_auc", why), _null("blind_baseline_auc", why)))
    assert data.train is not None
    rows = data.train, data.held_out
    _no_overlap(*rows)
    columns = _features(*rows)
    inside = np.arange(rows[0].rows + rows[1].rows) < rows[0].rows
    baseline = telling.told(columns, inside, rng)
    # Fitted on half of either kind, it rests on the others.
    rested = sum(cohort.rows - cohort.rows // 2 for cohort in rows)
    found = [_measured("blind_baseline_auc", membership.Told(baseline.auc, baseline.interval, rested), {})]
    notes = (ASKED, UNCOUNTED) if subject.card.get("ledger") else (ASKED,)
    if baseline.interval is None or baseline.interval.low is None or baseline.interval.low > 0.5:
        why = "the inputs alone tell training rows from held-out ones, so an attack on these rows proves nothing"
        return Findings(measurements=(_null("membership_auc", why), *found), notes=notes)
    plain = tuple(_confidence(subject, cohort) for cohort in rows)
    scored = {"loss": plain}
    try:
        terms = telling.design(columns, len(inside))
        pairs = (plain[0], terms[inside]), (plain[1], terms[~inside])
        scored["quantile"] = attacks.above_quantile(*pairs, rng, fpr=FPRS[0])
    except InputError as error:
        found.append(_null("membership_auc", str(error), attack="quantile"))
    for attack, (members, others) in scored.items():
        labels = {"attack": attack}
        found.append(_measured("membership_auc", membership.auc(members, others), labels))
        for fpr in FPRS:
            told = membership.tpr_at(members, others, fpr)
            found.append(_measured("membership_tpr", told, {**labels, "fpr": f"{fpr:g}"}))
    found += [m for attribute in attributes for m in _by_group(rows, attribute, plain)]
    return Findings(measurements=tuple(found), notes=notes)


def _obstacle(subject: Subject, data: Splits) -> str:
    if data.train is None:
        return "no training rows were given"
    if not all(in_memory(cohort) for cohort in (data.train, data.held_out)):
        return answers.NEEDS_ROWS
    if not has_scores(subject, data.held_out):
        return "only decisions were given, no scores"
    if not data.held_out.roles.get("feature"):
        return "there are no features, so nobody can say whether the rows differ by how they were chosen"
    if min(data.train.rows, data.held_out.rows) < 2 * SMALLEST:
        return f"at least {2 * SMALLEST} training and {2 * SMALLEST} held-out rows are needed"
    return ""


def _no_overlap(members: Cohort, others: Cohort) -> None:
    for column in members.roles.get("id", ()):
        if column in others.roles.get("id", ()):
            membership.no_overlap(*(canonical(c.arrays(column)[column]) for c in (members, others)))


def _confidence(subject: Subject, cohort: Cohort) -> Array:
    """How sure the subject is of the right answer, each row: higher is rather a member."""
    task = task_of(subject)
    if task == "number":
        told = answers.numbers(subject, cohort)
        return -np.abs(told.truth - told.predicted)
    if task == "classes":
        given = answers.labelled(subject, cohort)
        if given.chances is not None and answers.are_probabilities(given.chances):
            return attacks.right_label_confidence(given.chances, given.truth)
        msg = f"{subject.name}: membership inference needs the probability of every label"
        raise InputError(msg)
    scores, right = scores_of(subject, cohort), np.where(truth_of(cohort), 1.0, -1.0)
    # Scores that are no probabilities are taken as they are, higher for the positive label.
    return (attacks.logit_confidence(scores) if scores.min() >= 0 and scores.max() <= 1 else scores) * right


def _features(members: Cohort, others: Cohort) -> dict[str, Array]:
    """The features of both, the members first: numbers with NaN for missing, or texts."""
    names = others.roles["feature"]
    both = [cohort.arrays(*names) for cohort in (members, others)]
    columns = {name: np.concatenate([np.asarray(part[name]) for part in both]) for name in names}
    return {
        name: values if values.dtype == object else np.where(np.isfinite(values), values, np.nan)
        for name, values in columns.items()
    }


def _by_group(rows: tuple[Cohort, Cohort], attribute: str, scores: tuple[Array, ...]) -> list[Measurement]:
    """The area of the loss attack in each group that both kinds of rows have enough of."""
    (inside, known), (outside, names) = (groups_of(cohort, attribute) for cohort in rows)
    found = []
    for i, group in enumerate(names):
        labels = {"attack": "loss", "attribute": attribute, "group": group}
        j = known.index(group) if group in known else -1
        members, others = scores[0][inside == j], scores[1][outside == i]
        if min(len(members), len(others)) < SMALLEST:
            why = f"{len(members):,} training and {len(others):,} held-out rows: fewer than {SMALLEST} of one"
            found.append(_null("membership_auc", why, **labels))
        else:
            found.append(_measured("membership_auc", membership.auc(members, others), labels))
    return found


def _measured(name: str, told: Told, labels: dict[str, str]) -> Measurement:
    return Measurement(
        metric=f"privacy.{name}",
        kind="estimate",
        value=told.value,
        n=told.n,
        labels=labels,
        why=told.why,
        interval=told.interval,
    )


def _null(name: str, why: str, **labels: str) -> Measurement:
    return Measurement(metric=f"privacy.{name}", kind="estimate", value=None, labels=labels, why=why)
