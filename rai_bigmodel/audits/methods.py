"""By which method is a case explained? Each by its name, what it promises, and where it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rai_bigmodel.audits.cases import by_part
from rai_bigmodel.audits.shapley import EXACT, ablation, shapley_values
from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from rai_bigmodel.audits.cases import Case
    from rai_bigmodel.audits.faithfulness import Explain
    from rai_bigmodel.subject import Array

Method = Literal[
    "auto",
    "integrated_gradients",
    "layer_integrated_gradients",
    "deep_lift",
    "gradient_shap",
    "gradient_times_input",
    "grad_cam",
    "occlusion",
    "ablation",
    "shapley",
]
MOST_COALITIONS = 1024
PRECISION = 0.1
PROMISES = {
    "integrated_gradients": True,
    "layer_integrated_gradients": True,
    "deep_lift": True,
    "shapley": True,
    "gradient_shap": False,
    "gradient_times_input": False,
    "grad_cam": False,
    "occlusion": False,
    "ablation": False,
}
"""Method → whether its attributions are to add up to the change of the score."""
CALLED = {
    "integrated_gradients": "Integrated Gradients",
    "layer_integrated_gradients": "Integrated Gradients through the embedding",
    "deep_lift": "DeepLift",
    "shapley": "Shapley values",
    "gradient_shap": "GradientShap",
    "gradient_times_input": "gradient × input",
    "grad_cam": "Grad-CAM",
    "occlusion": "occlusion by a sliding window",
    "ablation": "ablation of single features",
}
TURN = 8 * 2**20
"""Bytes of rows that a method of Captum's is given at once."""
READS = {
    "layer_integrated_gradients": ("tokens",),
    "grad_cam": ("pixels",),
    "occlusion": ("pixels", "series"),
}
"""Methods that explain only what is read in one of these ways; all others explain anything."""


def chosen(asked: Method, case: Case, *, kind: str, steps: int) -> tuple[str, Explain]:
    """The method by name, and as a function of a case.

    Args:
        kind: what is read: ``table pixels series tokens``.
        steps: points on the path at most.

    Raises:
        InputError: the method does not explain what is read, or needs gradients and there are none.
    """
    name: str = asked
    if name == "auto":
        name = "shapley" if case.forward is None else "integrated_gradients"
    if kind not in READS.get(name, (kind,)):
        msg = f"method: {name} explains {' and '.join(READS[name])}, and this model reads {kind}; use auto"
        raise InputError(msg)
    if name == "shapley":
        return name, _shapley()
    if name == "ablation":
        return name, lambda one, _: ablation(one)
    from rai_bigmodel.audits import attributions
    from rai_bigmodel.audits.paths import integrated_gradients

    if case.forward is None:
        msg = f"method: {name} needs gradients, and of this model only its answers are known; use shapley or ablation"
        raise InputError(msg)

    def integrated(one: Case, _: np.random.Generator) -> Array:
        return integrated_gradients(one, most=steps, features=True).values

    found: dict[str, Explain] = {
        "integrated_gradients": integrated,
        "layer_integrated_gradients": integrated,
        "deep_lift": lambda one, _: attributions.deep_lift(one),
        "gradient_shap": attributions.gradient_shap,
        "gradient_times_input": lambda one, _: attributions.gradient_times_input(one),
        "grad_cam": lambda one, _: attributions.grad_cam(one, last_convolution(one)),
        "occlusion": lambda one, _: _occluded(one),
    }
    if found[name] is integrated:
        return name, integrated
    return name, lambda one, rng: _in_turns(one, found[name], rng)


def _in_turns(case: Case, explain: Explain, rng: np.random.Generator) -> Array:
    """Attributions of features, of so many rows at once that those of all entries are never held together."""
    many = max(case.batch, TURN // case.x[0].nbytes)
    if many >= len(case.x):
        return by_part(case, explain(case, rng))
    parts = [case.some(np.arange(i, min(i + many, len(case.x)))) for i in range(0, len(case.x), many)]
    return np.concatenate([by_part(one, explain(one, rng)) for one in parts])


def _shapley() -> Explain:
    coalitions: list[int] = []

    def shares(one: Case, rng: np.random.Generator) -> Array:
        # What the first explanation needed for its precision, the later ones are given.
        told = coalitions[0] if coalitions and len(one.names) > EXACT else None
        found = shapley_values(one, rng=rng, coalitions=told, precision=PRECISION, most=MOST_COALITIONS)
        coalitions.append(found.coalitions - 2)
        return found.values

    return shares


def last_convolution(case: Case) -> Any:
    """The layer that Grad-CAM looks at: the last convolution of the network (Selvaraju et al. 2017).

    Raises:
        InputError: there is none.
    """
    from torch import nn

    assert case.module is not None
    layers = [m for m in case.module.modules() if isinstance(m, nn.Conv2d)]
    if not layers:
        msg = "method: grad_cam needs a layer of convolutions, and this network has none; use occlusion"
        raise InputError(msg)
    return layers[-1]


def _occluded(case: Case) -> Array:
    """Occlusion by windows as large as a feature, moved by half of one: softer than taking away each patch."""
    from rai_bigmodel.audits import attributions

    shape = case.parts.shape
    first = case.parts == case.parts.flat[0]
    window = tuple(
        int(first.any(axis=tuple(a for a in range(first.ndim) if a != axis)).sum())
        for axis in range(len(shape))
    )
    strides = tuple(max(1, w // 2) for w in window)
    return attributions.occlusion(case, window=window, strides=strides)
