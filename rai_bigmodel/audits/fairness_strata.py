"""Do decisions differ between groups of the same stratum: the same department, the same grade?

A difference over all rows can come from groups that apply to different departments, and can even have the other
sign than the difference within each (Simpson 1951; Bickel, Hammel and O'Connell 1975).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.fairness_rates import SCOPES, measurement, too_few
from rai_bigmodel.evidence import Findings, Measurement, Table
from rai_bigmodel.stats.counts import MISSING, Rate
from rai_bigmodel.stats.intervals import Limits, newcombe
from rai_bigmodel.stats.ladder import z_two_sided
from rai_bigmodel.stats.strata import Pooled, Within, mantel_haenszel, pooled_ends, widest_conditional_gap

if TYPE_CHECKING:
    from rai_bigmodel.audits.fairness_groups import Grouping
    from rai_bigmodel.stats.disparity import Compared
    from rai_bigmodel.subject import Array

REVERSED = 0.01
"""The level at which a reversal is told of: the pair was picked as the widest, so 5 % would tell of chance."""
SHOWN_STRATA = 40
SHOWN_GROUPS = 6


def of_strata(attribute: str, given: str, groups: Grouping, strata: Grouping, decision: Array) -> Findings:
    """The widest difference in selection rates at equal stratum (Mantel–Haenszel), over all pairs of groups.

    Args:
        given: the name of the strata.
        groups, strata: codes ``(rows,)`` and names of each.
        decision: whether each row is selected ``(rows,)``.
    """
    codes, names = groups
    within, called = strata
    shape = (len(called), len(names))
    cell = within * len(names) + codes
    n = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    x = np.bincount(cell[np.asarray(decision, dtype=bool)], minlength=n.size).reshape(shape)
    return of_counted_strata(attribute, given, Within(names, called, x, n))


def of_counted_strata(attribute: str, given: str, within: Within) -> Findings:
    """The same from counts, wherever they were counted."""
    names, called, x, n = within
    overall = Rate(names, x.sum(axis=0), n.sum(axis=0))
    usable = np.array([MISSING not in s.split("*") for s in called])
    found, notes = [], {}
    for scope, choose in SCOPES:
        labels = {"attribute": attribute, "given": given, "scope": scope}
        one, note = _gap(labels, choose(overall), x[usable], n[usable])
        found.append(one)
        notes[scope] = note
    return Findings(
        measurements=tuple(found),
        exhibits=(_table((attribute, given), names, called, x, n),),
        notes=tuple(filter(None, (notes["sized"],))),
    )


def _gap(labels: dict[str, str], groups: Compared, x: Array, n: Array) -> tuple[Measurement, str]:
    """The measurement, and a sentence where the difference over all rows has the other sign."""
    name, whole = "conditional_difference", int(groups.rate.trials.sum())
    x, n = x[:, groups.keep], n[:, groups.keep]
    met = (n > 0).sum(axis=1) >= 2
    excluded = 1 - float(n[met].sum()) / max(whole, 1)
    if why := too_few(groups):
        return measurement(name, labels, None, excluded=excluded, why=why), ""
    pooled = mantel_haenszel(x[met], n[met])
    there = np.isfinite(pooled.difference) & ~np.eye(len(pooled.difference), dtype=bool)
    if not there.any():
        why = f"no stratum of {labels['given']} holds rows of two groups that are large enough"
        return measurement(name, labels, None, excluded=excluded, why=why), ""
    high, low = np.unravel_index(np.argmax(np.where(there, pooled.difference, -np.inf)), there.shape)
    interval = widest_conditional_gap(pooled, compared=groups.compared)
    gap = measurement(
        name,
        {**labels, "high": groups.name(int(high)), "low": groups.name(int(low))},
        float(max(pooled.difference[high, low], 0.0)),
        n=int(n[met][:, [high, low]].sum()),
        excluded=excluded,
        interval=interval,
        why=""
        if interval
        else "a pair of groups was decided all alike, so nothing is known about the spread",
    )
    return gap, _reversal(labels, groups, pooled, (int(high), int(low)))


def _reversal(labels: dict[str, str], groups: Compared, pooled: Pooled, pair: tuple[int, int]) -> str:
    """Simpson's reversal in words, where 99 % limits of either difference leave out zero."""
    high, low = pair
    of_pair = np.array(pair)
    limits = Limits.wilson(groups.successes[of_pair], groups.trials[of_pair], z_two_sided(REVERSED))
    crude = float(limits.p[0] - limits.p[1])
    if not (newcombe(limits)[1][0, 1] < 0 < pooled_ends(pooled, REVERSED)[0][high, low]):
        return ""
    return (
        f"{labels['attribute']}: over all rows {groups.name(high)} is selected less often than "
        f"{groups.name(low)}, by {-crude:.3f}; at equal {labels['given']} it is selected more often, "
        f"by {float(pooled.difference[high, low]):.3f}."
    )


def _table(
    titles: tuple[str, str], names: tuple[str, ...], called: tuple[str, ...], x: Array, n: Array
) -> Table:
    attribute, given = titles
    order = np.argsort(-n.sum(axis=1), kind="stable")[:SHOWN_STRATA]
    shown = np.argsort(-n.sum(axis=0), kind="stable")[:SHOWN_GROUPS]
    rows = tuple(
        (
            called[s],
            int(n[s].sum()),
            *(
                f"{x[s, g] / n[s, g]:.3f} of {int(n[s, g]):,}" if n[s, g] else "no rows"
                for g in shown.tolist()
            ),
        )
        for s in order.tolist()
    )
    more = f" The {SHOWN_STRATA} largest of {len(called)} strata." if len(called) > SHOWN_STRATA else ""
    fewer = f" The {SHOWN_GROUPS} largest groups." if len(names) > SHOWN_GROUPS else ""
    return Table(
        title=f"Selection rates by {attribute} within {given}",
        columns=(given, "rows", *(names[g] for g in shown.tolist())),
        rows=rows,
        caption=f"Pooled over strata by Mantel and Haenszel's weights.{more}{fewer}",
    )
