"""How does a model that only answers become a case? Columns of any kind as codes, and a stand-in that knows nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.audits.cases import Case
from rai_bigmodel.audits.readings import parts_of
from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rai_bigmodel.subject import Array, Inputs, Subject

BATCH = 1 << 15
HIDDEN = 16


class Coded(NamedTuple):
    """A column as numbers: itself, or codes of `values` where it holds text or misses some."""

    numbers: Array
    values: Array | None

    def raw(self, numbers: Array) -> Array:
        """What the model is asked with."""
        return numbers.astype(np.float64) if self.values is None else self.values[numbers.astype(np.int64)]


def coded(values: Array) -> Coded:
    """A column of numbers as it is; of anything else, or with gaps, as the codes of its distinct values."""
    if values.dtype.kind in "fiub" and np.isfinite(values.astype(np.float64)).all():
        return Coded(values.astype(np.float32), None)
    missing = np.array([v is None or v != v for v in values.tolist()])  # noqa: PLR0124 - NaN is not itself
    distinct = (
        np.unique(values[~missing]) if values.dtype != object else sorted(set(values[~missing]), key=str)
    )
    kept = np.array([*distinct, values[missing][0]] if missing.any() else list(distinct), dtype=values.dtype)
    place = {v: i for i, v in enumerate(distinct)}
    codes = [len(distinct) if m else place[v] for v, m in zip(values.tolist(), missing.tolist(), strict=True)]
    return Coded(np.array(codes, dtype=np.float32), kept)


def typical(column: Coded, *, average: bool = False) -> float:
    """Where a column starts from: its median (or mean), or the code it has most often."""
    if column.values is None:
        return float(np.mean(column.numbers) if average else np.median(column.numbers))
    return float(np.argmax(np.bincount(column.numbers.astype(np.int64))))


def black_box_case(
    subject: Subject,
    columns: Mapping[str, Array],
    features: Sequence[str],
    *,
    members: Mapping[str, tuple[str, ...]] | None = None,
    output: int | Array = 0,
    average: bool = False,
    batch: int = BATCH,
) -> Case:
    """A case of any subject that answers, features by name; other columns are handed over as they are.

    Args:
        columns: what `Subject.predict` takes ``(n,)`` each.
        members: each feature and its columns, where several columns make one; by default each is its own.
        output: which of several class probabilities is explained: one for all rows, or one a row.
        average: start from means in place of medians.

    Raises:
        InputError: there are no rows or no features, or the model's answers have another shape.
    """
    if not features:
        msg = f"{subject.name}: no column has the role 'feature', so there is nothing to explain by"
        raise InputError(msg)
    code = [coded(columns[f]) for f in features]
    beside = {name: values for name, values in columns.items() if name not in features}
    x = np.stack([c.numbers for c in code], axis=1)
    if not len(x):
        msg = f"{subject.name}: there are no rows to explain"
        raise InputError(msg)
    start = np.array([[typical(c, average=average) for c in code]], dtype=np.float32)
    wanted = np.broadcast_to(np.asarray(output), (len(x),))

    def score(rows: Array, numbers: Array) -> Array:
        inputs: Inputs = {f: c.raw(rows[:, i]) for i, (f, c) in enumerate(zip(features, code, strict=True))}
        inputs |= {name: values[numbers] for name, values in beside.items()}
        answers = np.asarray(subject.predict(inputs), dtype=np.float64)
        if answers.ndim == 2:
            return answers[np.arange(len(answers)), wanted[numbers]]
        return answers

    def made(ask: object) -> Case:
        return Case(
            x=x,
            start=start,
            score=ask,  # type: ignore[arg-type]
            parts=parts_of(features, members),
            names=tuple(members or features),
            batch=batch,
            codes=np.array([c.values is not None for c in code]),
            learned_nothing=lambda rng: made(stand_in(x, rng)),
        )

    return made(score)


def array_case(
    subject: Subject,
    x: Array,
    start: Array,
    *,
    parts: Array,
    names: Sequence[str],
    output: int | Array = 0,
    budget: int,
) -> Case:
    """A case of a subject that only answers and reads one array: pictures ``(n, C, H, W)`` or series ``(n, T, F)``.

    Args:
        parts: to which of the features `names` each entry of a row belongs.
        budget: bytes that the rows of one question may take.
    """
    wanted = np.broadcast_to(np.asarray(output), (len(x),))

    def score(rows: Array, numbers: Array) -> Array:
        answers = np.asarray(subject.predict(rows), dtype=np.float64)
        return answers if answers.ndim == 1 else answers[np.arange(len(answers)), wanted[numbers]]

    def made(ask: object) -> Case:
        return Case(
            x=x,
            start=start.astype(np.float32),
            score=ask,  # type: ignore[arg-type]
            parts=parts,
            names=tuple(names),
            batch=max(1, budget // (8 * x[0].nbytes)),
            learned_nothing=lambda rng: made(stand_in(x, rng)),
        )

    return made(score)


MOST_WORDS = 48


def is_text(values: Array) -> bool:
    """Whether a column holds texts of several words or characters, and not a few labels."""
    texts = [str(v) for v in values.tolist() if v is not None]
    return (
        values.dtype.kind in "OUT"
        and bool(texts)
        and float(np.mean([len(pieces_of(t)) > 2 for t in texts])) > 0.5
    )


def pieces_of(text: str) -> list[str]:
    """The words of a text; of a writing without spaces its characters."""
    return re.findall(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]|\w+(?:'\w+)?|[^\w\s]", text)


def text_case(subject: Subject, name: str, texts: Array, *, output: int | Array = 0) -> tuple[Case, Array]:
    """A case of a subject that reads one text, and its words ``(n, T)``: a word is there, or the text is asked without.

    Args:
        name: the column of texts; only the first `MOST_WORDS` words are told apart.
    """
    cut = [pieces_of("" if t is None else str(t))[:MOST_WORDS] for t in texts.tolist()]
    longest = max([1, *map(len, cut)])
    words = np.full((len(cut), longest), "", dtype=object)
    for row, pieces in zip(words, cut, strict=True):
        row[: len(pieces)] = pieces
    x = (words != "").astype(np.float32)
    wanted = np.broadcast_to(np.asarray(output), (len(x),))

    def score(rows: Array, numbers: Array) -> Array:
        asked = np.empty(len(rows), dtype=object)
        for i, (there, number) in enumerate(zip(rows > 0.5, numbers, strict=True)):
            kept = words[number][there & (words[number] != "")].tolist()
            asked[i] = "".join(f" {w}" if w.isascii() else w for w in kept).strip()
        answers = np.asarray(subject.predict({name: asked}), dtype=np.float64)
        return answers if answers.ndim == 1 else answers[np.arange(len(answers)), wanted[numbers]]

    def made(ask: object) -> Case:
        return Case(
            x=x,
            start=np.zeros((1, longest), dtype=np.float32),
            score=ask,  # type: ignore[arg-type]
            parts=np.arange(longest),
            names=tuple(f"position {t + 1}" for t in range(longest)),
            batch=1024,
            codes=np.ones(longest, dtype=bool),
            learned_nothing=lambda rng: made(stand_in_for_words(words, rng)),
        )

    return made(score), words


def stand_in_for_words(words: Array, rng: np.random.Generator) -> object:
    """A random network of the words that are there, whatever they mean, in place of a model of texts."""
    known = {w: i for i, w in enumerate(sorted(set(words.ravel().tolist())))}
    place = np.vectorize(known.__getitem__, otypes=[int])(words)
    first, last = rng.normal(size=(len(known), HIDDEN)), rng.normal(size=HIDDEN)

    def score(rows: Array, numbers: Array) -> Array:
        seen = np.einsum("nt,nth->nh", rows, first[place[numbers]])
        answers: Array = np.tanh(seen / np.sqrt(rows.shape[1])) @ last
        return answers

    return score


def stand_in(x: Array, rng: np.random.Generator) -> object:
    """A random network of the same columns, in place of a model whose weights cannot be drawn again."""
    flat = x.reshape(len(x), -1)
    middle, scale = flat.mean(axis=0), flat.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    d = flat.shape[1]
    first, last = rng.normal(size=(d, HIDDEN)) / np.sqrt(d), rng.normal(size=HIDDEN)

    def score(rows: Array, _: Array) -> Array:
        answers: Array = np.tanh(((rows.reshape(len(rows), -1) - middle) / scale) @ first) @ last
        return answers

    return score
