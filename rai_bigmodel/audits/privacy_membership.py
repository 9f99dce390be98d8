"""Can one tell from the model's answers who was in its training rows? Asked of rows it was trained on and of others.

The members are the training rows, the non-members the held-out ones. First a classifier that never saw the model is
asked (`privacy_rows`): where it can tell the two apart, an attack would prove nothing, so nothing is measured. Then the
attacks: the confidence in the right answer (Yeom et al. 2018, arXiv:1709.01604), how far it stands above that of
non-members alike (Bertran et al. 2023, arXiv:2307.03694), and, where reference models are asked for, how far above
theirs (`privacy_references`). Of an autoencoder the confidence is minus the error of rebuilding, of a language model
the likelihood of the words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits import answers
from rai_bigmodel.audits.fairness_groups import groups_of
from rai_bigmodel.audits.privacy_answers import sure_of
from rai_bigmodel.audits.privacy_canaries import bounds
from rai_bigmodel.audits.privacy_references import lira, rmia
from rai_bigmodel.audits.privacy_rows import columns_of, no_overlap
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Dot, Dots, Findings, Measurement
from rai_bigmodel.stats import attacks, membership, telling
from rai_bigmodel.subject import has_scores, in_memory
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from rai_bigmodel.audits.privacy_ledger import Claim
    from rai_bigmodel.stats.membership import Told
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

    Scores = tuple[Array, Array]

FPRS = (0.01, 0.001)
SMALLEST = 30
"""Members and non-members of a group, of either, for an area of its own."""
ASKED = "the training rows were asked about, because the audit's parameter 'membership' says so"
UNCOUNTED = (
    "the model is private, and what membership inference shows of its training rows is not covered by its ε: "
    "do not release these numbers as if it were"
)


def of_membership(
    subject: Subject,
    data: Splits,
    attributes: tuple[str, ...],
    rng: np.random.Generator,
    *,
    references: int = 0,
    deep: bool = False,
    coin: Claim | None = None,
) -> Findings:
    """The blind baseline, and the attacks on all rows and on each group, or why they cannot be had.

    Args:
        references: models that RMIA compares with, for each half of the rows; 0 leaves it out.
        deep: whether LiRA is tried as well, with sixteen models.
        coin: what may be refuted, where each row was a member by an independent coin; ``None`` where it was not.

    Raises:
        InputError: a row is a member and a non-member.
    """
    asked = ["loss", "quantile", *(["rmia"] if references else []), *(["lira"] if deep else [])]
    if why := _obstacle(subject, data):
        return Findings(measurements=(_null("membership_auc", why), _null("blind_baseline_auc", why)))
    assert data.train is not None
    rows = data.train, data.held_out
    no_overlap(*rows)
    columns = columns_of(*rows)
    inside = np.arange(rows[0].rows + rows[1].rows) < rows[0].rows
    baseline = telling.told(columns, inside, rng)
    # Fitted on half of either kind, it rests on the others.
    rested = sum(cohort.rows - cohort.rows // 2 for cohort in rows)
    found = [_measured("blind_baseline_auc", membership.Told(baseline.auc, baseline.interval, rested), {})]
    notes = (ASKED, UNCOUNTED) if subject.card.get("ledger") else (ASKED,)
    if baseline.interval is None or baseline.interval.low is None or baseline.interval.low > 0.5:
        why = "the inputs alone tell training rows from held-out ones, so an attack on these rows proves nothing"
        return Findings(measurements=(_null("membership_auc", why), *found), notes=notes)
    sure = tuple(sure_of(subject, cohort).confidence for cohort in rows)
    for attack in asked:
        scores: Scores | str
        if attack == "loss":
            scores = sure[0], sure[1]
        elif attack == "quantile":
            scores = _quantile((sure[0], sure[1]), telling.design(columns, len(inside)), inside, rng)
        elif attack == "rmia":
            scores = rmia(subject, data, references, rng)
        else:
            scores = lira(subject, data, rng)
        found += _told(scores, {"attack": attack})
        if not isinstance(scores, str):
            if coin is not None:
                both = np.concatenate(scores)
                found += bounds(
                    both,
                    inside,
                    delta=coin.delta,
                    against=coin.epsilon,
                    methods=("snj", "f-dp"),
                    attack=attack,
                )
            found += [m for a in attributes for m in _by_group(rows, a, attack, scores)]
    return Findings(measurements=tuple(found), exhibits=(_picture(found),), notes=notes)


def _picture(found: list[Measurement]) -> Dots:
    """The areas over all rows, that of the blind baseline among them."""
    shown = {
        m.labels.get("attack", "blind (inputs alone)"): m
        for m in found
        if "auc" in m.metric and m.value is not None and "group" not in m.labels
    }
    return Dots(
        title="How well training rows are told from held-out ones",
        dots=tuple(
            Dot(
                label=label,
                value=m.value,
                low=m.interval.low if m.interval else None,
                high=m.interval.high if m.interval else None,
                n=m.n,
            )
            for label, m in shown.items()
        ),
        axis="AUC of each attack",
        caption="At 0.5 an attack guesses. The blind one never saw the model; where it tells, others prove nothing.",
    )


def _quantile(sure: Scores, terms: Array, inside: Array, rng: np.random.Generator) -> Scores | str:
    try:
        pairs = (sure[0], terms[inside]), (sure[1], terms[~inside])
        return attacks.above_quantile(*pairs, rng, fpr=FPRS[0])
    except InputError as error:
        return str(error)


def _told(scores: Scores | str, labels: dict[str, str]) -> list[Measurement]:
    """The area, and the share of members told at few false alarms."""
    if isinstance(scores, str):
        return [_null("membership_auc", scores, **labels)]
    rates = {f"{fpr:g}": membership.tpr_at(*scores, fpr) for fpr in FPRS}
    return [
        _measured("membership_auc", membership.auc(*scores), labels),
        *(_measured("membership_tpr", rate, {**labels, "fpr": fpr}) for fpr, rate in rates.items()),
    ]


def _obstacle(subject: Subject, data: Splits) -> str:
    if data.train is None:
        return "no training rows were given"
    if not all(in_memory(cohort) and isinstance(cohort, Table) for cohort in (data.train, data.held_out)):
        return answers.NEEDS_ROWS
    if not has_scores(subject, data.held_out):
        return "only decisions were given, no scores"
    if not data.held_out.roles.get("feature"):
        return "there are no features, so nobody can say whether the rows differ by how they were chosen"
    if min(data.train.rows, data.held_out.rows) < 2 * SMALLEST:
        return f"at least {2 * SMALLEST} training and {2 * SMALLEST} held-out rows are needed"
    return ""


def _by_group(rows: tuple[Cohort, Cohort], attribute: str, attack: str, scores: Scores) -> list[Measurement]:
    """The same in each group that both kinds of rows have enough of."""
    (inside, known), (outside, names) = (groups_of(cohort, attribute) for cohort in rows)
    found = []
    for i, group in enumerate(names):
        labels = {"attack": attack, "attribute": attribute, "group": group}
        j = known.index(group) if group in known else -1
        members, others = scores[0][inside == j], scores[1][outside == i]
        if min(len(members), len(others)) < SMALLEST:
            why = f"{len(members):,} training and {len(others):,} held-out rows: fewer than {SMALLEST} of one"
            found += _told(why, labels)
        else:
            found += _told((members, others), labels)
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
