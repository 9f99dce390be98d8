"""By which conditions can rows be told apart? Columns as named values and ranges, and a tree as yardstick."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import MissingExtra
from rai_bigmodel.files import visible
from rai_bigmodel.stats import slices
from rai_bigmodel.subject import column_of
from rai_bigmodel.tables import canonical
from rai_bigmodel.words import number

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort

PARTS = 4
MOST_LEVELS = 12


def conditions_of(cohort: Cohort) -> list[slices.Column]:
    """Every feature and sensitive column that can be told by two values or more, as codes and words."""
    sensitive = cohort.roles.get("sensitive", ())
    found = [_column(name, values, by_value=name in sensitive) for name, values in _values(cohort).items()]
    return [c for c in found if len(c.words) > 2]


def _values(cohort: Cohort) -> dict[str, Array]:
    truth = column_of(cohort, "truth")
    wanted = dict.fromkeys(c for role in ("feature", "sensitive") for c in cohort.roles.get(role, ()))
    columns = cohort.arrays(*(c for c in wanted if c != truth))
    return {name: values for name, values in columns.items() if values.ndim == 1}


def _column(name: str, values: Array, *, by_value: bool) -> slices.Column:
    """A column as codes from 1: its most frequent values, or quarters of its numbers; 0 is every other value."""
    if values.dtype != object:
        known = values[~np.isnan(values)]
        distinct = np.unique(known)
        if len(distinct) > (MOST_LEVELS if by_value else PARTS):
            return _quarters(name, values, known)
    text = canonical(values)
    levels, codes, rows = np.unique(text.astype(str), return_inverse=True, return_counts=True)
    top = np.argsort(-rows, kind="stable")[:MOST_LEVELS]
    place = np.zeros(len(levels), dtype=np.int32)
    place[top] = np.arange(1, len(top) + 1)
    words = ("", *(f"is {visible(str(levels[i]))}" for i in top))
    return slices.Column(visible(name), place[codes], words)


def _quarters(name: str, values: Array, known: Array) -> slices.Column:
    cuts = np.unique(np.quantile(known, np.arange(1, PARTS) / PARTS, method="lower"))
    cuts = cuts[cuts < known.max()]
    gone = np.isnan(values)
    codes = np.searchsorted(cuts, np.where(gone, 0.0, values), side="left").astype(np.int32) + 1
    shown = [number(float(c)) for c in cuts]
    words = ["", f"is at most {shown[0]}"]
    words += [f"is above {a} and at most {b}" for a, b in pairwise(shown)]
    words.append(f"is above {shown[-1]}")
    codes[gone] = len(words)
    words += ["is missing"] if gone.any() else []
    return slices.Column(visible(name), codes, tuple(words))


def _numbers(cohort: Cohort) -> tuple[list[str], Array]:
    """Columns as numbers ``(rows, columns)`` for a tree: text by its most frequent values, missing as itself."""
    names, out = [], []
    for name, values in _values(cohort).items():
        if values.dtype != object:
            names.append(visible(name))
            out.append(values.astype(np.float32))
            continue
        column = _column(name, values, by_value=True)
        for code, word in enumerate(column.words[1:], start=1):
            names.append(f"{column.name} {word}")
            out.append((column.codes == code).astype(np.float32))
    return names, np.stack(out, axis=1)


def worst_leaf(
    cohort: Cohort,
    wrong: Array,
    *,
    search: Array,
    confirm: Array,
    least: int,
    rng: np.random.Generator,
) -> tuple[str, Array]:
    """The leaf of a depth-3 tree that is worst where the tree was grown: in words, and which other rows it holds.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.tree import DecisionTreeClassifier
    except ImportError:
        package, extra, feature = "scikit-learn", "fairness", "the yardstick of slices"
        raise MissingExtra(package, extra, feature) from None
    names, x = _numbers(cohort)
    tree = DecisionTreeClassifier(
        max_depth=3, min_samples_leaf=least, random_state=int(rng.integers(2**31))
    ).fit(x[search], wrong[search])
    leaves, there = tree.apply(x[search]), tree.apply(x[confirm])
    ids = np.unique(leaves)
    worst = int(ids[np.argmax([wrong[search][leaves == i].mean() for i in ids])])
    return _path(tree.tree_, worst, names), there == worst


def _path(tree: object, leaf: int, names: list[str]) -> str:
    """The conditions on the way to a leaf, in words."""
    left, right = tree.children_left, tree.children_right  # type: ignore[attr-defined]
    parent = {int(c): (i, side) for side, cs in (("left", left), ("right", right)) for i, c in enumerate(cs)}
    words: list[str] = []
    at = leaf
    while at in parent and at != 0:
        at, side = parent[at]
        name, cut = names[tree.feature[at]], number(float(tree.threshold[at]))  # type: ignore[attr-defined]
        flag = " is " in name and cut == "0.5"
        words.append(
            (f"not ({name})" if side == "left" else name)
            if flag
            else f"{name} is {'at most' if side == 'left' else 'above'} {cut}"
        )
    return " and ".join(reversed(words)) or "all rows"
