"""What do auditors ask of attributions? Which features count, how much, and for whom.

Every number here rests on attributions, and is null with why where those did not pass their tests; only the
permutation drop is measured without them (Breiman 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.evidence import Measurement
from rai_bigmodel.stats import means
from rai_bigmodel.stats.disparity import SMALLEST_ROWS, known
from rai_bigmodel.stats.moments import GroupMoments, widest_mean_gap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.audits.fairness_groups import Grouping
    from rai_bigmodel.evidence import Interval
    from rai_bigmodel.subject import Array

PERMUTATIONS = 5
Shuffle = Callable[[Mapping[str, np.ndarray], np.random.Generator], Mapping[str, np.ndarray]]
"""Columns and a generator → the same with one feature's values handed to other rows."""


def null(
    name: str,
    why: str,
    kind: Any = "estimate",
    labels: Mapping[str, str] | None = None,
    excluded: float = 0.0,
) -> Measurement:
    """A measurement of ours that could not be had, and why."""
    return Measurement(
        metric=f"explainability.{name}",
        kind=kind,
        value=None,
        why=why,
        labels=dict(labels or {}),
        excluded=excluded,
    )


def _estimate(
    name: str,
    value: float,
    interval: Interval | None,
    *,
    n: int,
    why: str = "",
    excluded: float = 0.0,
    **labels: str,
) -> Measurement:
    """A measurement of ours with the interval that is known of it."""
    return Measurement(
        metric=f"explainability.{name}",
        kind="estimate",
        value=value,
        n=n,
        labels=labels,
        interval=interval,
        why=why,
        excluded=excluded,
    )


def importance(names: Sequence[str], values: Array, *, only: Sequence[str]) -> list[Measurement]:
    """The mean absolute attribution of each feature in `only`, with Student's interval over rows.

    Args:
        values: attributions ``(n, d)`` of the features `names`.
    """
    size = np.abs(values)
    return [
        _estimate("importance", float(size[:, i].mean()), means.mean(size[:, i]), n=len(size), feature=name)
        for i, name in enumerate(names)
        if name in only
    ]


def share_of(size: Array, i: int) -> tuple[float, Interval | None]:
    """The share of all absolute attribution that one feature carries, with the ratio's linearised interval."""
    whole = size.sum(axis=1)
    share = float(size[:, i].sum() / whole.sum())
    return share, means.mean(share + (size[:, i] - share * whole) / whole.mean())


def attribution_share(names: Sequence[str], values: Array, *, only: Sequence[str]) -> list[Measurement]:
    """The share of all absolute attribution that each feature in `only` carries."""
    size = np.abs(values)
    return [
        _estimate("attribution_share", *share_of(size, i), n=len(size), feature=name)
        for i, name in enumerate(names)
        if name in only
    ]


def sensitive_share(names: Sequence[str], values: Array, attributes: Sequence[str]) -> list[Measurement]:
    """The share that each sensitive attribute itself carries; exactly 0 where the model does not read it."""
    size = np.abs(values)
    out = []
    for attribute in attributes:
        if attribute not in names:
            why = "the model does not read this column; what stands in for it is proxy strength"
            out.append(
                Measurement(
                    metric="explainability.sensitive_share",
                    kind="exact",
                    value=0.0,
                    n=len(size),
                    labels={"attribute": attribute},
                    why=why,
                )
            )
            continue
        found = share_of(size, list(names).index(attribute))
        out.append(_estimate("sensitive_share", *found, n=len(size), attribute=attribute))
    return out


def words_share(words: Array, values: Array, named: Mapping[str, Sequence[str]]) -> list[Measurement]:
    """The share of all absolute attribution that the words of each attribute carry, and how often they stand there.

    Args:
        words: what stands where ``(n, T)``, as the network reads it; empty is nothing.
        values: attributions of the positions ``(n, T)``.
        named: attribute → its words; none where nobody said which they are.
    """
    size = np.abs(values) * (words[:, : values.shape[1]] != "")
    out = []
    for attribute, mine in named.items():
        if not mine:
            why = f"nobody said which words tell {attribute}; the parameter 'words' would"
            out.append(null("sensitive_share", why, labels={"attribute": attribute}))
            continue
        here = np.isin(words[:, : values.shape[1]].astype(str), sorted({w.lower() for w in mine} | set(mine)))
        mine_or_not = np.stack([(size * here).sum(axis=1), (size * ~here).sum(axis=1)], axis=1)
        places = float((here & (words[:, : values.shape[1]] != "")).sum() / max((words != "").sum(), 1))
        why = f"these words fill {places:.1%} of the places; a share above that is more than their part"
        found = share_of(mine_or_not, 0)
        out.append(_estimate("sensitive_share", *found, n=len(size), why=why, attribute=attribute))
    return out


def importance_difference(
    names: Sequence[str], values: Array, groups: Mapping[str, Grouping], *, only: Sequence[str]
) -> list[Measurement]:
    """The widest difference between two groups in a feature's mean absolute attribution (Welch, Šidák)."""
    size, out = np.abs(values), []
    for attribute, (codes, called) in groups.items():
        for i, name in enumerate(names):
            if name in only:
                out.append(_difference(size[:, i], codes, called, attribute=attribute, feature=name))
    return out


def _difference(
    size: Array, codes: Array, called: tuple[str, ...], *, attribute: str, feature: str
) -> Measurement:
    moments = GroupMoments.of(codes, size, groups=called)
    at = np.nonzero((moments.rows >= SMALLEST_ROWS) & known(called))[0]
    labels = {"feature": feature, "attribute": attribute}
    excluded = 1 - float(moments.rows[at].sum() / max(moments.rows.sum(), 1))
    name = "importance_difference"
    if len(at) < 2:
        why = f"only {len(at)} of {len(called)} groups has {SMALLEST_ROWS} rows and a known value"
        return null(name, why, labels=labels, excluded=excluded)
    high, low = int(at[np.argmax(moments.means[at])]), int(at[np.argmin(moments.means[at])])
    if high == low:
        high, low = int(at[0]), int(at[1])
    interval = widest_mean_gap(moments, at, compared=len(called))
    n, gap = int(moments.rows[high] + moments.rows[low]), float(moments.means[high] - moments.means[low])
    return _estimate(
        name, gap, interval, n=n, excluded=excluded, **labels, high=called[high], low=called[low]
    )


def permutation_drop(
    features: Mapping[str, Shuffle],
    columns: Mapping[str, Array],
    right: Callable[[Mapping[str, Array]], Array],
    rng: np.random.Generator,
) -> list[Measurement]:
    """How far accuracy falls when a feature's values are handed to other rows.

    Each row's own fall is averaged over `PERMUTATIONS` shufflings; the interval is Student's over rows.

    Args:
        features: each feature's name, and how its values are handed to other rows.
        columns: what the model is asked with ``(n, …)`` each.
        right: columns → whether each row is decided rightly ``(n,)``.
    """
    before = right(columns).astype(np.float64)
    out = []
    for feature, shuffled in features.items():
        after = np.mean([right(shuffled(columns, rng)) for _ in range(PERMUTATIONS)], axis=0)
        drop = before - after
        out.append(
            _estimate("permutation_drop", float(drop.mean()), means.mean(drop), n=len(drop), feature=feature)
        )
    return out
