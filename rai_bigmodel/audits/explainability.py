"""What does the model look at, and what can be known from that?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rai_bigmodel.audits.answers import NEEDS_ROWS
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Bars, Dot, Findings, Measurement, Record
from rai_bigmodel.stats import telling
from rai_bigmodel.stats.disparity import SMALLEST_ROWS, known
from rai_bigmodel.subject import attributes_of
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rai_bigmodel.subject import Array, Cohort, Splits, Subject

SHOWN = 15
UNTESTED = (
    "Attributions have not yet been tested for faithfulness: they are shown, and no other claim in this "
    "report rests on them."
)


class Explainability(Record, omit_defaults=True):
    """Integrated Gradients (Sundararajan, Taly and Yan 2017) by Captum, from the net's own filling values.

    The attributions are shown, and not yet tested: only the completeness gap is measured, and a wrong
    explanation can be complete. They need the network itself. That no sensitive column is read does not mean that
    none is known: how well each can be told from what is read (`stats.telling`) needs the features alone.

    Args:
        attributes: sensitive columns, or intersections as ``a*b``; by default every sensitive column.
        steps: Gauss–Legendre points on the path.
        batch: how many points are evaluated at once, so that memory does not grow with the rows.
    """

    attributes: tuple[str, ...] = ()
    steps: int = 64
    batch: int = 4096

    question: ClassVar[str] = "What does the model look at?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, got {getattr(self, name)}"
                raise ValueError(msg)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:
        """Explain every held-out row, and tell each attribute from what the subject reads.

        Raises:
            InputError: an attribute is not there.
            MissingExtra: the subject has a network, and Captum is not installed.
        """
        if subject.module is None:
            why = "the network itself was not handed over, only its answers"
            gap = Measurement(metric="explainability.completeness_gap", kind="exact", value=None, why=why)
            parts = Findings(measurements=(gap,))
        else:
            parts = self._explained(subject.module, data.held_out)
        told = _told(subject, data.held_out, self.attributes, rng)
        return Findings(measurements=(*parts.measurements, *told), exhibits=parts.exhibits, notes=parts.notes)

    def _explained(self, module: Any, cohort: Cohort) -> Findings:
        features = tuple(getattr(module, "features", ())) or cohort.roles.get("feature", ())
        attributions, gap = _integrated_gradients(
            module, _rows(cohort, features), steps=self.steps, batch=self.batch
        )
        n = len(attributions)
        measurement = Measurement(
            metric="explainability.completeness_gap",
            kind="exact",
            value=gap,
            n=n,
            why="the part of the change in the score that the attributions leave unexplained, over all rows; "
            "a small gap is necessary, not sufficient",
        )
        return Findings(
            measurements=(measurement,),
            exhibits=(_ranked(features, attributions),),
            notes=(
                UNTESTED,
                "The path starts from the values that the model fills in where one is missing.",
            ),
        )


def _told(
    subject: Subject, cohort: Cohort, asked: tuple[str, ...], rng: np.random.Generator
) -> list[Measurement]:
    """How well each attribute can be told from the features: its largest group against all others, by an AUC."""
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
    columns = {name: values[kept] for name, values in cohort.arrays(*features).items()}
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


def _rows(cohort: Cohort, features: tuple[str, ...]) -> Array:
    columns = cohort.arrays(*features)
    text = [f for f in features if columns[f].dtype == object]
    if text:
        msg = f"{cohort.name}: {text[0]!r} holds text; attributions need numbers"
        raise InputError(msg)
    return np.stack([columns[f] for f in features], axis=1).astype(np.float32)


def _integrated_gradients(module: nn.Module, rows: Array, *, steps: int, batch: int) -> tuple[Array, float]:
    """Attributions ``(rows, features)`` of the first logit, and the relative completeness gap.

    The gap is Σ|Σᵢ aᵢ − (f(x) − f(x₀))| / Σ|f(x) − f(x₀)| over the rows.
    """
    import torch

    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        package, extra = "captum", "explain"
        raise MissingExtra(package, extra, "the explainability audit") from None

    def logit(x_BF: Tensor) -> Tensor:
        out: Tensor = module(x_BF)
        return out.reshape(len(x_BF), -1)[:, 0]

    filled: Any = getattr(module, "filled", torch.nan_to_num)
    x_BF: Tensor = filled(torch.from_numpy(rows))
    start_1F: Tensor = filled(torch.full((1, rows.shape[1]), float("nan")))
    attributions = IntegratedGradients(logit).attribute(
        x_BF, baselines=start_1F, n_steps=steps, method="gausslegendre", internal_batch_size=batch
    )
    with torch.no_grad():
        change = (logit(x_BF) - logit(start_1F)).double()
    missing = (attributions.double().sum(dim=1) - change).abs().sum()
    gap = float(missing / change.abs().sum()) if float(change.abs().sum()) > 0 else 0.0
    return attributions.detach().double().numpy(), gap


def _ranked(features: tuple[str, ...], attributions: Array) -> Bars:
    """The mean absolute attribution of each feature, with the standard error's 95 % interval over rows."""
    size = np.abs(attributions)
    mean = size.mean(axis=0)
    reach = 1.96 * size.std(axis=0, ddof=1) / np.sqrt(len(size)) if len(size) > 1 else np.zeros_like(mean)
    order = np.argsort(-mean, kind="stable")[:SHOWN]
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
        axis="mean absolute attribution (in logits)",
        caption="Integrated Gradients. Not yet tested for faithfulness.",
    )
