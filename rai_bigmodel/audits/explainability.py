"""What does the model look at, and is the explanation true of this model?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from rai_bigmodel.audits import importance as asked
from rai_bigmodel.audits.battery import Tested, battery, stability
from rai_bigmodel.audits.black_box import black_box_case
from rai_bigmodel.audits.cases import Case, by_part, refuse_moods
from rai_bigmodel.audits.fairness_groups import groups_of
from rai_bigmodel.audits.proxy_strength import strengths
from rai_bigmodel.audits.shapley import ablation, shapley_values
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Bars, Dot, Findings, Measurement, Record, Table
from rai_bigmodel.stats.ranks import spearman
from rai_bigmodel.subject import attributes_of, column_of, in_memory, task_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rai_bigmodel.audits.battery import Explain, Test
    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

BLACK_BOX_ROWS = 200
MOST_COALITIONS = 1024
PROMISES = {
    "integrated_gradients": True,
    "deep_lift": True,
    "shapley": True,
    "gradient_shap": False,
    "gradient_times_input": False,
    "ablation": False,
}
"""Method → whether its attributions are to add up to the change of the score."""
CALLED = {
    "integrated_gradients": "Integrated Gradients",
    "deep_lift": "DeepLift",
    "shapley": "Shapley values",
    "gradient_shap": "GradientShap",
    "gradient_times_input": "gradient × input",
    "ablation": "ablation of single features",
}
NEEDS = {
    "explainability.completeness_gap": "exact",
    "explainability.insertion_deletion_p": "p_value",
    "explainability.randomisation_similarity": "estimate",
    "explainability.ablation_agreement": "estimate",
    "explainability.infidelity": "estimate",
    "explainability.stability": "estimate",
}
"""Metric of each test → its kind."""


class Explainability(Record, omit_defaults=True):
    """Attributions with the proof that they belong to this model, and what rests on them.

    A network is explained by Integrated Gradients (Sundararajan, Taly and Yan 2017), anything else by Shapley
    values of its answers. A battery of tests decides whether the explanation is faithful; where it is not, it is
    shown as failed and no other number rests on it. How well each attribute can be told from what is read needs
    the features alone, and no explanation.

    Args:
        method: ``auto``, or one of the methods by name.
        steps: Gauss–Legendre points on the path at most; rows whose attributions add up sooner take fewer.
        rows: how many rows are explained at most, drawn at random.
        budget: bytes that one batch may hold on its way through a network.
        shown: for how many features, the largest first, importance and share are told.
        top: for how many features differences between groups and the permutation drop are measured.
        attributes: by whose groups importance is compared, and which are told from what is read; by default every
            sensitive column.
    """

    method: Literal[
        "auto",
        "integrated_gradients",
        "deep_lift",
        "gradient_shap",
        "gradient_times_input",
        "ablation",
        "shapley",
    ] = "auto"
    steps: int = 64
    rows: int = 1000
    budget: int = 64 * 2**20
    shown: int = 10
    top: int = 3
    attributes: tuple[str, ...] = ()

    question: ClassVar[str] = "What does the model look at?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "rows", "budget", "shown", "top"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, got {getattr(self, name)}"
                raise ValueError(msg)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Explain the held-out rows, test the explanation, measure what rests on it, and tell each attribute.

        Raises:
            InputError: the model is in training mode, answers differently when asked again, or reads what
                cannot be explained; an attribute is not there.
            MissingExtra: Captum is not installed, for a method of Captum's.
        """
        (apart,) = rng.spawn(1)  # so that what is told of attributes changes nothing about explanations
        parts = self._explained(subject, data.held_out, rng)
        told = strengths(subject, data.held_out, self.attributes, apart)
        return Findings(measurements=(*parts.measurements, *told), exhibits=parts.exhibits, notes=parts.notes)

    def _explained(self, subject: Subject, cohort: Cohort, rng: np.random.Generator) -> Findings:
        if why := _cannot(subject, cohort):
            return Findings(measurements=(_null("faithful", "exact", why),))
        scene = _scene(self, subject, cohort, rng)
        if isinstance(scene, str):
            return Findings(measurements=(_null("faithful", "exact", scene),))
        method, explain = _method(self, scene.case)
        values = explain(scene.case, rng)
        tested = battery(scene.case, values, explain, rng, adds_up=PROMISES[method])
        some = np.sort(rng.permutation(len(values))[:32])
        steady = stability(scene.case.some(some), values[some], explain, rng)
        measurements = [
            *_measured(tested, steady),
            *_claims(self, scene, values, tested, subject=subject, cohort=cohort, rng=rng),
        ]
        other = explain(scene.elsewhere, rng)
        return Findings(
            measurements=tuple(measurements),
            exhibits=(
                _ranked(scene.case.names, values, method, tested, most=self.shown),
                _battery_table(tested, steady),
                _starts(scene, values, other),
            ),
            notes=_notes(scene, method, tested),
        )


class Scene(NamedTuple):
    """What is explained: the case, the same rows from another start, and which rows of the cohort they are."""

    case: Case
    elsewhere: Case
    rows: Array
    columns: Mapping[str, Array]
    starts: tuple[str, str]


def _cannot(subject: Subject, cohort: Cohort) -> str:
    """Why there is nothing to explain, in words; empty where there is."""
    if subject.kind == "table":
        return "a table of predictions cannot be asked again, so nothing can be explained"
    if not in_memory(cohort):
        return "the rows stay in their engine, and explanations need single rows"
    return ""


def _scene(audit: Explainability, subject: Subject, cohort: Cohort, rng: np.random.Generator) -> Scene | str:
    wanted = {c for role in ("feature", "score") for c in cohort.roles.get(role, ())}
    if not cohort.rows:
        msg = f"{cohort.name}: there are no rows to explain"
        raise InputError(msg)
    network = subject.module is not None and audit.method != "shapley"
    most = audit.rows if network else min(audit.rows, BLACK_BOX_ROWS)
    rows = np.sort(rng.permutation(cohort.rows)[:most])
    columns = {name: values[rows] for name, values in cohort.arrays(*sorted(wanted)).items()}
    if network:
        found = _network(audit, subject, cohort, rows)
        if found is not None:
            return found
    features = cohort.roles.get("feature", ())
    output: Any = 0
    if task_of(subject) == "classes":
        output = np.asarray(subject.predict(columns)).argmax(axis=1)
    case, other = (
        black_box_case(subject, columns, features, output=output, average=average)
        for average in (False, True)
    )
    refuse_moods(case)
    return Scene(case, other, rows, columns, ("the median row", "the mean row"))


def _network(audit: Explainability, subject: Subject, cohort: Cohort, rows: Array) -> Scene | str | None:
    """The scene of a network; why there is none; ``None`` where gradients do not reach what it reads."""
    from rai_bigmodel.audits import readings
    from rai_bigmodel.audits.attributions import unreached

    module: Any = subject.module
    reads: Any = getattr(module, "reads", None)
    single = {k: r for k in readings.READ if (r := getattr(reads, k, None)) is not None}
    features = tuple(getattr(module, "features", ())) or cohort.roles.get("feature", ())
    if len(single) + bool(single and reads.features) > 1:
        return "the network reads several kinds of input at once, which is not explained yet"
    if single:
        ((kind, about),) = single.items()
        columns = {about.column: cohort.arrays(about.column)[about.column][rows]}
        if subject.read is None and kind == "tokens":
            return "the subject does not say how texts become the ids that its network reads"
        raw = columns[about.column] if subject.read is None else subject.read(columns)[0]
        made = readings.READ[kind]
    else:
        whole = cohort.arrays(*features)
        if any(whole[f].dtype == object for f in features):
            return None
        columns = {f: whole[f][rows] for f in features}
        raw = np.stack([columns[f] for f in features], axis=1).astype(np.float32)
        made = partial(readings.of_table, features=features)
    answers = _answers(module, raw)
    if answers.ndim != 2:
        return "the network gives more than one row of numbers for each row (words, steps, a picture)"
    if single and reads.tokens is None and answers.shape == (len(raw), raw[0].size):
        return "the network gives its input back: its error is not explained yet"
    found = made(module, raw, target=_targets(subject, answers), budget=audit.budget, digest=subject.digest)
    if audit.method == "auto" and not single and unreached(found.case):
        return None
    return Scene(found.case, found.elsewhere, rows, columns, found.starts)


def _answers(module: Any, raw: Array, *, batch: int = 256) -> Array:
    """What the network gives for raw rows, before any sigmoid or softmax."""
    import torch

    with torch.no_grad():
        parts = [module(torch.from_numpy(raw[i : i + batch])) for i in range(0, len(raw), batch)]
    answers: Array = torch.cat(parts).numpy()
    return answers


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


def _method(audit: Explainability, case: Case) -> tuple[str, Explain]:
    """The method by name, and as a function of a case."""
    name = audit.method
    if name == "auto":
        name = "shapley" if case.forward is None else "integrated_gradients"
    if name == "shapley":
        coalitions: list[int] = []

        def shares(one: Case, rng: np.random.Generator) -> Array:
            # What the first explanation needed for its precision, the later ones are given.
            exact = len(one.names) <= 11
            told = coalitions[0] if coalitions and not exact else None
            found = shapley_values(one, rng=rng, coalitions=told, precision=0.1, most=MOST_COALITIONS)
            coalitions.append(found.coalitions - 2)
            return found.values

        return name, shares
    if name == "ablation":
        return name, lambda one, _: ablation(one)
    from rai_bigmodel.audits import attributions

    steps = tuple(dict.fromkeys([*(s for s in attributions.STEPS if s < audit.steps), audit.steps]))
    found: dict[str, Explain] = {
        "integrated_gradients": lambda one, _: attributions.integrated_gradients(one, steps=steps).values,
        "deep_lift": lambda one, _: attributions.deep_lift(one),
        "gradient_shap": attributions.gradient_shap,
        "gradient_times_input": lambda one, _: attributions.gradient_times_input(one),
    }
    return name, lambda one, rng: by_part(one, found[name](one, rng))


# --- measurements -----------------------------------------------------------------------------


def _null(name: str, kind: Any, why: str, **labels: str) -> Measurement:
    return Measurement(metric=f"explainability.{name}", kind=kind, value=None, labels=labels, why=why)


def _measured(tested: Tested, steady: Test) -> list[Measurement]:
    """Each test as a measurement, and the verdict of all."""
    out = []
    for test in (*tested.tests, steady):
        metric = f"explainability.{test.name}"
        kind: Any = NEEDS[metric]
        out.append(
            Measurement(
                metric=metric,
                kind=kind,
                value=test.value,
                n=test.n,
                why="" if test.passed else test.why,
                interval=test.interval if kind == "estimate" and test.value is not None else None,
            )
        )
    faithful = None if tested.faithful is None else float(tested.faithful)
    why = "" if tested.faithful else tested.why
    return [*out, Measurement(metric="explainability.faithful", kind="exact", value=faithful, why=why)]


def _claims(
    audit: Explainability,
    scene: Scene,
    values: Array,
    tested: Tested,
    *,
    subject: Subject,
    cohort: Cohort,
    rng: np.random.Generator,
) -> list[Measurement]:
    names = scene.case.names
    order = [names[i] for i in np.argsort(-np.abs(values).mean(axis=0), kind="stable")]
    sensitive = attributes_of(cohort, audit.attributes) if cohort.roles.get("sensitive") else ()
    out: list[Measurement] = []
    if tested.faithful:
        leading = order[: audit.top]
        groups = {}
        for attribute in sensitive:
            codes, called = groups_of(cohort, attribute)
            groups[attribute] = (codes[scene.rows], called)
        out += asked.attribution_share(names, values, only=order[: audit.shown])
        out += asked.importance(names, values, only=order[: audit.shown])
        out += asked.sensitive_share(names, values, sensitive)
        out += asked.importance_difference(names, values, groups, only=leading)
    else:
        told = "failed its tests" if tested.faithful is False else "was not shown to be faithful"
        why = f"the explanation {told}, so nothing rests on it: {tested.why}"
        out += [
            _null(name, "estimate", why)
            for name in ("attribution_share", "importance", "sensitive_share", "importance_difference")
        ]
        # What permuting a feature costs needs no attributions; only the choice of features must come from elsewhere.
        size = np.abs(ablation(scene.case)).mean(axis=0)
        leading = [names[i] for i in np.argsort(-size, kind="stable")[: audit.top]]
    right = _right(subject, cohort, scene.rows)
    if right is None:
        why = "accuracy needs an outcome and a decision in each row"
        return [*out, _null("permutation_drop", "estimate", why)]
    if not set(leading) <= set(scene.columns):
        why = "patches, steps and words are no columns that could be permuted"
        return [*out, _null("permutation_drop", "estimate", why)]
    whole = {c for role in ("feature", "score") for c in cohort.roles.get(role, ())}
    columns = {name: v[scene.rows] for name, v in cohort.arrays(*sorted(whole)).items()}
    return out + asked.permutation_drop(leading, columns, right, rng)


def _right(subject: Subject, cohort: Cohort, rows: Array) -> Any:
    """Columns → whether each row is decided rightly; ``None`` where nothing is decided or known."""
    if task_of(subject) == "number" or not cohort.roles.get("truth"):
        return None
    labels = subject.decision.labels
    if task_of(subject) == "classes":
        from rai_bigmodel.audits.answers import labelled

        truth = labelled(subject, cohort).truth[rows]
        return lambda columns: np.asarray(subject.predict(columns)).argmax(axis=1) == truth
    truth = cohort.binary(column_of(cohort, "truth"))[rows]
    threshold = 0.5 if subject.decision.threshold is None else subject.decision.threshold

    def right(columns: Mapping[str, Array]) -> Array:
        scores = np.asarray(subject.predict(columns), dtype=np.float64)
        if scores.ndim == 2:
            scores = scores[:, labels.index(subject.decision.positive)]
        decided: Array = (scores >= threshold) == truth
        return decided

    return right


# --- exhibits ---------------------------------------------------------------------------------


def _said(tested: Tested) -> str:
    if tested.faithful:
        return "Passed the battery of tests."
    if tested.faithful is None:
        return f"Not shown to be faithful – {tested.why}."
    return f"FAILED: not a true explanation of this model – {tested.why}."


def _ranked(features: tuple[str, ...], values: Array, method: str, tested: Tested, *, most: int) -> Bars:
    """The mean absolute attribution of each feature, with Student's 95 % interval over rows."""
    size = np.abs(values)
    mean = size.mean(axis=0)
    reach = 1.96 * size.std(axis=0, ddof=1) / np.sqrt(len(size)) if len(size) > 1 else np.zeros_like(mean)
    order = np.argsort(-mean, kind="stable")[:most]
    return Bars(
        title="How much each feature moves the score, on average",
        bars=tuple(
            Dot(
                label=features[i],
                value=float(mean[i]),
                low=float(max(mean[i] - reach[i], 0.0)),
                high=float(mean[i] + reach[i]),
                n=len(size),
            )
            for i in order
        ),
        axis="mean absolute attribution",
        caption=f"{CALLED[method]}. {_said(tested)}",
    )


def _battery_table(tested: Tested, steady: Test) -> Table:
    words = {True: "passed", False: "FAILED", None: "cannot tell"}
    rows = [(t.name.replace("_", " "), _short(t.value), words[t.passed], t.why) for t in tested.tests]
    rows.append((steady.name, _short(steady.value), "–", steady.why))
    return Table(
        title="Tests of the explanation",
        columns=("test", "value", "outcome", "what was compared"),
        rows=tuple(rows),
    )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _starts(scene: Scene, values: Array, other: Array) -> Table:
    """The same explanation from two starts, side by side."""
    first, second = (np.abs(v).mean(axis=0) for v in (values, other))
    order = np.argsort(-first, kind="stable")[:5]
    alike = spearman(first[None], second[None])[0] if len(first) > 1 else np.nan
    caption = "Attributions say what changes on the way from a start; another start is another question."
    if np.isfinite(alike):
        caption += f" Ranks of all features agree by {alike:.2f}."
    return Table(
        title="Importance from two starts",
        columns=("feature", f"from {scene.starts[0]}", f"from {scene.starts[1]}"),
        rows=tuple((scene.case.names[i], _short(float(first[i])), _short(float(second[i]))) for i in order),
        caption=caption,
    )


def _notes(scene: Scene, method: str, tested: Tested) -> tuple[str, ...]:
    rows = f"{CALLED[method]} of {len(scene.rows):,} rows, from {scene.starts[0]}."
    out = [f"{rows} Rows between a start and a real one may be unlike any that occur."]
    if not tested.faithful:
        out.append("No other claim in this report rests on this explanation.")
    return tuple(out)
