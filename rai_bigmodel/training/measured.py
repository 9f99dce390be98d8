"""Which constants fill, scale and code what a network reads, and which rows do they come from?

What the recipe does not declare is measured: on the training rows for a plain model; on the calibration rows for a
private one, because ε covers only what the noisy steps do with the training rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import Category, Input, Pixels, Reads, Series, Tokens, pretrained
from rai_bigmodel.tables import canonical
from rai_bigmodel.training import words
from rai_bigmodel.training.inputs import steps
from rai_bigmodel.training.recipe import Scale

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Cohort
    from rai_bigmodel.training.recipe import Recipe

MOST_LABELS = 1_000
"""A column of so many different words is text and not labels."""
EMBEDDED = 8
"""The widest vector that a label is given."""
READS_SERIES = {"lstm"}
READS_TEXT = {"lstm", "transformer", "huggingface"}


def reads_of(recipe: Recipe, rows: Cohort, calibrate: Cohort) -> tuple[Reads, str]:
    """What the net of a recipe reads of these rows, and where the constants come from.

    Raises:
        InputError: the recipe declares a column that is no feature, or a column cannot be read.
    """
    features, kind = rows.roles["feature"], recipe.net.kind
    for key, declared in (("inputs", recipe.inputs), ("categories", recipe.categories)):
        for name in declared or {}:
            if name not in features:
                what = f"{key}: column"
                raise InputError.unknown(what, name, features)
    source = rows if recipe.privacy is None else calibrate
    given = Reads()
    table: dict[str, Input | Category] = {}
    measured: list[str] = []
    here = rows.arrays(*features)
    for name in features:
        shape, text = here[name].shape[1:], here[name].dtype == object
        if len(shape) == 3 and kind not in READS_SERIES:
            given = _with(given, "pixels", _pixels(recipe, source, name, shape, measured))
        elif shape:
            given = _with(given, "series", _series(recipe, source, name, measured))
        elif text and kind in READS_TEXT and name not in (recipe.categories or {}):
            given = _with(given, "tokens", _tokens(recipe, source, name, measured))
        elif text or name in (recipe.categories or {}):
            table[name] = _category(recipe, source, name, measured)
        else:
            table[name] = _number(recipe, source, name, measured)
    reads = Reads(
        features=tuple(table),
        numbers={name: one for name, one in table.items() if isinstance(one, Input)},
        categories={name: one for name, one in table.items() if isinstance(one, Category)},
        pixels=given.pixels,
        tokens=given.tokens,
        series=given.series,
    )
    if not measured:
        return reads, "declared in the recipe"
    which = f"measured on the {'training' if source is rows else 'calibration'} rows"
    if len(measured) < len(features):
        which = f"declared in the recipe, {len(measured)} of {len(features)} {which}"
    return reads, which


def _with(reads: Reads, what: str, one: Pixels | Tokens | Series) -> Reads:
    import msgspec

    if (before := getattr(reads, what)) is not None:
        msg = f"one column of {what} can be read, got {before.column!r} and {one.column!r}"
        raise InputError(msg)
    return msgspec.structs.replace(reads, **{what: one})


def _number(recipe: Recipe, source: Cohort, name: str, measured: list[str]) -> Input:
    """Median to fill with, mean and standard deviation to scale by."""
    if (declared := (recipe.inputs or {}).get(name)) is not None:
        return declared
    measured.append(name)
    known = np.asarray(source.arrays(name)[name], dtype=np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return Input()
    return Input(fill=float(np.median(known)), center=float(known.mean()), scale=float(known.std()) or 1.0)


def _category(recipe: Recipe, source: Cohort, name: str, measured: list[str]) -> Category:
    values = (recipe.categories or {}).get(name)
    if values is None:
        measured.append(name)
        found = set(canonical(source.arrays(name)[name]).tolist()) - {"(missing)"}
        if len(found) > MOST_LABELS:
            msg = (
                f"{source.name}: {name!r} holds {len(found):,} different texts; as a column of labels it may have "
                f"{MOST_LABELS:,} (an lstm or a transformer reads text)"
            )
            raise InputError(msg)
        values = tuple(sorted(found))
    return Category(values=values, width=max(1, min(EMBEDDED, (len(values) + 1) // 2)))


def _pixels(recipe: Recipe, source: Cohort, name: str, shape: tuple[int, ...], measured: list[str]) -> Pixels:
    scale = recipe.pixels or _scale(source.arrays(name)[name], name, measured)
    channels, height, width = shape
    return Pixels(
        channels=channels,
        height=height,
        width=width,
        center=scale.center,
        scale=scale.scale,
        column=name,
    )


def _series(recipe: Recipe, source: Cohort, name: str, measured: list[str]) -> Series:
    values = source.arrays(name)[name]
    if values.ndim == 4:
        values = steps(values)
    if values.ndim != 3:
        msg = f"{source.name}: {name!r} must hold series (rows, length, features), got shape {values.shape}"
        raise InputError(msg)
    scale = recipe.series or _scale(values, name, measured)
    return Series(
        features=values.shape[2],
        length=values.shape[1],
        center=scale.center,
        scale=scale.scale,
        column=name,
    )


def _scale(values: Array, name: str, measured: list[str]) -> Scale:
    """Mean and standard deviation of all numbers that are there."""
    measured.append(name)
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not known.size:
        return Scale(center=0.0, scale=1.0)
    return Scale(center=float(known.mean(dtype=np.float64)), scale=float(known.std(dtype=np.float64)) or 1.0)


def _tokens(recipe: Recipe, source: Cohort, name: str, measured: list[str]) -> Tokens:
    text = recipe.text
    if (encoder := recipe.net.huggingface) is not None:
        if text.words is not None or text.level != "word":
            msg = "text: a Hugging Face encoder has a tokenizer of its own; leave out level and words"
            raise InputError(msg)
        base = pretrained.base_of(package=encoder.package, folder=encoder.folder)
        return Tokens(words=(), length=text.length, level="pieces", column=name, base=base)
    found = text.words
    if found is None:
        measured.append(name)
        found = words.vocabulary(source.arrays(name)[name].tolist(), level=text.level, size=text.most)
    if recipe.canaries is not None and (strange := [d for d in "0123456789" if d not in found]):
        # Secrets with digits that are no words of the net would all look alike, and the planted one stand out by that.
        if text.words is not None:
            msg = f"canaries: text.words must hold every digit, {', '.join(strange)} are missing"
            raise InputError(msg)
        found = (*found, *strange)
    return Tokens(words=found, length=text.length, level=text.level, column=name)
