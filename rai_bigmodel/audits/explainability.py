"""What does the model look at?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Bars, Dot, Findings, Measurement, Record

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
    explanation can be complete.

    Args:
        steps: Gauss–Legendre points on the path.
        batch: how many points are evaluated at once, so that memory does not grow with the rows.
    """

    steps: int = 64
    batch: int = 4096

    question: ClassVar[str] = "What does the model look at?"
    needs: ClassVar[tuple[str, ...]] = ("predict", "module")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, got {getattr(self, name)}"
                raise ValueError(msg)

    def __call__(self, subject: Subject, data: Splits, rng: np.random.Generator) -> Findings:  # noqa: ARG002
        """Explain every held-out row.

        Raises:
            MissingExtra: Captum is not installed.
        """
        module: Any = subject.module
        features = tuple(getattr(module, "features", ())) or data.held_out.roles.get("feature", ())
        attributions, gap = _integrated_gradients(
            module, _rows(data.held_out, features), steps=self.steps, batch=self.batch
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
