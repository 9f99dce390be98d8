"""What is explained? Which rows of which model, from which start, and what its features are called.

A network is asked through its gradients, where they reach what it reads; anything else through its answers alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.audits import readings
from rai_bigmodel.audits.black_box import array_case, black_box_case, is_text, text_case
from rai_bigmodel.audits.cases import refuse_moods
from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import in_memory, task_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.audits.cases import Case
    from rai_bigmodel.audits.explainability import Explainability
    from rai_bigmodel.subject import Array, Cohort, Subject

BLACK_BOX_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is explained.

    Args:
        case, elsewhere: the same rows from two starts.
        rows: which rows of the cohort they are, counted from 0 ``(n,)``.
        columns: what the subject is asked with ``(n, …)`` each.
        starts: what the two starts are, in words.
        kind: what is read: ``table pixels series tokens``.
        members: each feature of a table and the columns that belong to it.
        raw: the pictures, series or words ``(n, T)`` as they were read; of a table ``None``.
        what: the number that is explained, in words.
    """

    case: Case
    elsewhere: Case
    rows: Array
    columns: Mapping[str, Array]
    starts: tuple[str, str]
    kind: str = "table"
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    raw: Array | None = None
    what: str = "the score"


def cannot(subject: Subject, cohort: Cohort) -> str:
    """Why there is nothing to explain, in words; empty where there is.

    Raises:
        InputError: there are no rows.
    """
    if subject.kind == "table":
        return "a table of predictions cannot be asked again, so nothing can be explained"
    if not in_memory(cohort):
        return "the rows stay in their engine, and explanations need single rows"
    if not cohort.rows:
        msg = f"{cohort.name}: there are no rows to explain"
        raise InputError(msg)
    return ""


def scene_of(audit: Explainability, subject: Subject, cohort: Cohort, rows: Array) -> Scene | str:
    """What is to be explained of these rows; or, in words, why it cannot be.

    Raises:
        InputError: the model is in training mode, or answers differently when asked again.
    """
    if _inside(audit, subject):
        found = _network(audit, subject, cohort, rows)
        if found is not None:
            return found
    return _answering(audit, subject, cohort, rows)


def rows_of(audit: Explainability, subject: Subject, cohort: Cohort, rng: np.random.Generator) -> Array:
    """The rows that are explained: drawn at random, and those that were asked for by number.

    Raises:
        InputError: a row that was asked for is not there.
    """
    few = audit.method == "shapley" or subject.module is None
    most = min(audit.rows, BLACK_BOX_ROWS) if few else audit.rows
    if far := [row for row in audit.cases if not 1 <= row <= cohort.rows]:
        msg = f"cases: the rows of {cohort.name} are counted from 1 to {cohort.rows:,}, got {far[0]:,}"
        raise InputError(msg)
    drawn = rng.permutation(cohort.rows)[:most]
    return np.union1d(drawn, np.array(audit.cases, dtype=np.int64) - 1)


def _inside(audit: Explainability, subject: Subject) -> bool:
    """Whether the network itself is asked; columns of a table are known to Shapley values by the answers alone."""
    reads: Any = getattr(subject.module, "reads", None)
    single = any(getattr(reads, kind, None) is not None for kind in readings.READ)
    return subject.module is not None and (single or audit.method != "shapley")


def whole_columns(cohort: Cohort, rows: Array) -> dict[str, Array]:
    """All that a subject may ask for, of these rows."""
    wanted = {c for role in ("feature", "score") for c in cohort.roles.get(role, ())}
    return {name: values[rows] for name, values in cohort.arrays(*sorted(wanted)).items()}


def asked_with(columns: Mapping[str, Array]) -> Any:
    """What `Subject.predict` takes: the columns, or the one array of pictures or series itself."""
    if len(columns) == 1:
        (only,) = columns.values()
        if only.ndim > 1:
            return only
    return dict(columns)


# --- models that only answer -----------------------------------------------------------------------


def _answering(audit: Explainability, subject: Subject, cohort: Cohort, rows: Array) -> Scene | str:
    columns = whole_columns(cohort, rows)
    features = cohort.roles.get("feature", ())
    output: Any = 0
    if task_of(subject) == "language":
        return "a language model is explained through its network, and this subject has none"
    if task_of(subject) == "classes":
        output = np.asarray(subject.predict(asked_with(columns))).argmax(axis=1)
    members = _members(audit, features)
    if not isinstance(asked_with(columns), dict):
        return _array(audit, subject, columns, rows, output)
    if len(columns) == 1 and len(features) == 1 and is_text(columns[features[0]]):
        return _text(subject, columns, rows, output)
    case, other = (
        black_box_case(subject, columns, features, members=members, output=output, average=average)
        for average in (False, True)
    )
    refuse_moods(case)
    return Scene(
        case=case,
        elsewhere=other,
        rows=rows,
        columns=columns,
        starts=("the median row", "the mean row"),
        members=members,
    )


def _array(
    audit: Explainability, subject: Subject, columns: dict[str, Array], rows: Array, output: Any
) -> Scene | str:
    """A model that only answers and reads pictures or series: the same patches and windows as of a network."""
    ((name, raw),) = columns.items()
    if raw.ndim not in {3, 4}:
        return f"{name}: rows of {raw.ndim - 1} dimensions are no picture and no series"
    kind = "pixels" if raw.ndim == 4 else "series"
    parts, names = readings.patches(raw.shape[1:]) if kind == "pixels" else readings.windows(raw.shape[1:])
    center = np.float32(np.nanmean(raw))
    x = np.where(np.isnan(raw), center, raw).astype(np.float32)
    case, other = (
        array_case(subject, x, start, parts=parts, names=names, output=output, budget=audit.budget)
        for start in (np.full((1, *x.shape[1:]), center), x.mean(axis=0, keepdims=True))
    )
    refuse_moods(case)
    starts = ("an even one of the mean value", "the mean of all rows")
    return Scene(case=case, elsewhere=other, rows=rows, columns=columns, starts=starts, kind=kind, raw=raw)


def _text(subject: Subject, columns: dict[str, Array], rows: Array, output: Any) -> Scene:
    """A model that only answers and reads one text: its words are there or left out."""
    ((name, texts),) = columns.items()
    case, words = text_case(subject, name, texts, output=output)
    refuse_moods(case)
    starts = ("a text without its words", "the same")
    return Scene(
        case=case, elsewhere=case, rows=rows, columns=columns, starts=starts, kind="tokens", raw=words
    )


def _members(audit: Explainability, features: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Each feature and its columns: what was said to belong together is one feature, at its first column's place.

    Raises:
        InputError: a column that is to belong together with others is no feature, or is named twice.
    """
    whose: dict[str, str] = {}
    for name, columns in audit.together.items():
        for column in columns:
            if column not in features:
                what = f"together: {name!r}: feature"
                raise InputError.unknown(what, column, features)
            if column in whose:
                msg = (
                    f"together: {column!r} is in {whose[column]!r} and in {name!r}; it belongs to one of them"
                )
                raise InputError(msg)
            whose[column] = name
    out: dict[str, tuple[str, ...]] = {}
    for f in features:
        name = whose.get(f, f)
        out[name] = (*out.get(name, ()), f)
    return out


# --- networks --------------------------------------------------------------------------------------


def _network(audit: Explainability, subject: Subject, cohort: Cohort, rows: Array) -> Scene | str | None:
    """The scene of a network; why there is none; ``None`` where gradients do not reach what it reads."""
    from rai_bigmodel.audits.attributions import unreached

    module: Any = subject.module
    reads: Any = getattr(module, "reads", None)
    single = {k: r for k in readings.READ if (r := getattr(reads, k, None)) is not None}
    features = tuple(getattr(module, "features", ())) or cohort.roles.get("feature", ())
    if len(single) + bool(single and reads.features) > 1:
        return "the network reads several kinds of input at once, which is not explained yet"
    kind, raw, members = "table", None, {}
    if single:
        ((kind, about),) = single.items()
        columns = {about.column: cohort.arrays(about.column)[about.column][rows]}
        if subject.read is None and kind == "tokens":
            return "the subject does not say how texts become the ids that its network reads"
        raw = columns[about.column] if subject.read is None else subject.read(columns)[0]
        raw = read = raw if kind == "tokens" else np.asarray(raw, dtype=np.float32)
        made = readings.READ[kind]
    else:
        whole = cohort.arrays(*features)
        if any(whole[f].dtype == object for f in features):
            return None
        columns = {f: whole[f][rows] for f in features}
        read = np.stack([columns[f] for f in features], axis=1).astype(np.float32)
        members = _members(audit, features)
        made = partial(readings.of_table, features=features, members=members)
    target: int | Array
    what = "the score"
    if task_of(subject) == "language":
        from rai_bigmodel.audits.decoders import next_word

        module, read, target = next_word(module, read)
        what = "how likely the next word is (its log-probability)"
    else:
        if task_of(subject) == "reconstruction":
            module, what = readings.erring(module), "the error of rebuilding a row"
        answers = _asked_first(module, read, subject.name)
        if answers.ndim != 2:
            return "the network gives more than one row of numbers for each row (words, steps, a picture)"
        target = _targets(subject, answers)
    found = made(module, read, target=target, budget=audit.budget, digest=subject.digest)
    if task_of(subject) == "reconstruction":
        found = readings.from_rebuilt(found, subject.module)
    if not single and audit.method != "ablation" and (cut := unreached(found.case)):
        if audit.method == "auto":
            return None
        some = ", ".join([*map(repr, cut[:5]), *(["…"] if cut[5:] else [])])
        msg = (
            f"no gradient reaches {len(cut)} of {len(found.case.names)} features ({some}): it is cut off on the way "
            f"(rounded, looked up or detached), so method: {audit.method} says nothing of them; use a black-box "
            "method: shapley or ablation"
        )
        raise InputError(msg)
    return Scene(
        case=found.case,
        elsewhere=found.elsewhere,
        rows=rows,
        columns=columns,
        starts=found.starts,
        kind=kind,
        members=members,
        raw=readings.words_of(reads.tokens, read) if kind == "tokens" else raw,
        what=what,
    )


def _answers(module: Any, raw: Array, *, batch: int = 256) -> Array:
    """What the network gives for raw rows, before any sigmoid or softmax."""
    import torch

    with torch.no_grad():
        parts = [module(torch.from_numpy(raw[i : i + batch])) for i in range(0, len(raw), batch)]
    answers: Array = torch.cat(parts).numpy()
    return answers


def _asked_first(module: Any, raw: Array, name: str) -> Array:
    """Answers, where the network can be asked at all.

    Raises:
        InputError: it cannot be asked about rows of this shape.
    """
    try:
        return _answers(module, raw)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        msg = f"{name}: the network cannot be asked about rows of shape {raw.shape[1:]}: {said}"
        raise InputError(msg) from error


def _targets(subject: Subject, answers: Array) -> int | Array:
    """Which output is explained: the positive label's; of several labels, the one that each row is given."""
    outputs = answers.shape[1]
    labels = subject.decision.labels
    if task_of(subject) == "classes" and outputs == len(labels):
        given: Array = answers.argmax(axis=1)
        return given
    if outputs == 2 and len(labels) == 2:
        return labels.index(subject.decision.positive)
    return 0
