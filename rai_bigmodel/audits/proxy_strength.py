"""How well can an attribute be told from what the model reads, though it does not read the attribute?

That no sensitive column is read does not mean that none is known. A regression fitted on one half of the rows tells
the attribute's largest group from all others on the other half (`stats.telling`); its AUC is the strength. Of
pictures, series and texts it reads a few numbers (`coarse`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.audits import coarse
from rai_bigmodel.audits.answers import NEEDS_ROWS
from rai_bigmodel.evidence import Measurement
from rai_bigmodel.stats import telling
from rai_bigmodel.stats.disparity import SMALLEST_ROWS, known
from rai_bigmodel.subject import attributes_of
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from rai_bigmodel.subject import Cohort, Subject


def strengths(
    subject: Subject, cohort: Cohort, asked: tuple[str, ...], rng: np.random.Generator
) -> list[Measurement]:
    """How well each attribute can be told from what the subject reads, as ``explainability.proxy_strength``.

    Args:
        asked: sensitive columns, or intersections as ``a*b``; none for every sensitive column.

    Raises:
        InputError: an attribute is not there.
    """
    if not asked and not cohort.roles.get("sensitive"):
        return []
    features = _read(subject, cohort)
    found = []
    for attribute in attributes_of(cohort, asked):
        labels = {"attribute": attribute}
        if subject.kind == "table":
            found.append(_strength(labels, why="a table of predictions does not say what a model reads"))
        elif not isinstance(cohort, Table):
            found.append(_strength(labels, why=NEEDS_ROWS))
        elif not features:
            found.append(_strength(labels, why="nobody said which columns the subject reads"))
        else:
            found.append(_proxy(cohort, attribute, features, rng))
    return found


def _read(subject: Subject, cohort: Cohort) -> tuple[str, ...]:
    """The columns that the subject says it reads, or else those that are called features."""
    named = getattr(subject.module, "features", ()) or subject.card.get("features", ())
    return tuple(named) or cohort.roles.get("feature", ())


def _proxy(cohort: Table, attribute: str, features: tuple[str, ...], rng: np.random.Generator) -> Measurement:
    codes, names = cohort.groups(attribute.split("*"))
    there = known(names)
    rows = np.bincount(codes, minlength=len(names))
    largest = int(np.argmax(np.where(there, rows, -1)))
    kept = there[codes]
    inside = codes[kept] == largest
    labels = {"attribute": attribute, "group": names[largest]}
    left_out, n = float((~kept).mean()), sum(-(-int(part.sum()) // 2) for part in (inside, ~inside))
    if (fewest := int(min(inside.sum(), (~inside).sum()))) < 2 * SMALLEST_ROWS:
        why = (
            f"{names[largest]} or all others together are {fewest:,} rows; at least {2 * SMALLEST_ROWS} are needed, "
            "half of them to learn from"
        )
        return _strength(labels, n=n, excluded=left_out, why=why)
    columns = coarse.spread({name: values[kept] for name, values in cohort.arrays(*features).items()})
    seen = telling.told(columns, inside, rng)
    own = [f for f in attribute.split("*") if f in features]
    caveat = f"the subject reads {', '.join(own)} itself; " if own else ""
    why = (
        f"{caveat}{names[largest]} against all others, by a regression fitted on the other half of the rows; "
        "a stronger one might tell more"
    )
    return _strength(labels, seen.auc, n=n, excluded=left_out, interval=seen.interval, why=why)


def _strength(labels: dict[str, str], value: float | None = None, **rest: Any) -> Measurement:
    metric = "explainability.proxy_strength"
    return Measurement(metric=metric, kind="estimate", value=value, labels=labels, **rest)
