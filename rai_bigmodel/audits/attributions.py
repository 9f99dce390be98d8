"""How much of a network's answer is due to each entry of a row, by its gradients at one point or by Captum?

Captum's DeepLift, GradientShap, Occlusion and Grad-CAM are used as they are, in batches that keep a byte budget;
`audits.paths` integrates gradients. Each gives ``(n, *shape)``.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.audits.paths import forward_of, gradient, integrated_gradients
from rai_bigmodel.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rai_bigmodel.audits.cases import Case
    from rai_bigmodel.subject import Array


def gradient_times_input(case: Case) -> Array:
    """The gradient at each row times how far the row is from the start (Shrikumar et al. 2016)."""
    return gradients(case) * (case.x - case.starts)


def gradients(case: Case) -> Array:
    """The gradient of the explained number at each row ``(n, *shape)``."""
    import torch

    out = np.empty(case.x.shape)
    for i in range(0, len(case.x), case.batch):
        here = np.arange(i, min(i + case.batch, len(case.x)))
        out[here] = gradient(
            forward_of(case),
            torch.from_numpy(case.x[here].copy()),
            torch.from_numpy(here),
        ).numpy()
    return out


def unreached(case: Case) -> tuple[str, ...]:
    """The features that no gradient reaches although the model reads them: codes that are looked up or rounded."""
    from rai_bigmodel.audits.shapley import ablation

    rows = np.arange(min(64, len(case.x)))
    some = case.some(rows)
    still = np.ones(len(case.names), dtype=bool)
    # Where not one is reached that is refused; answers that are no numbers are refused below too.
    with suppress(InputError):
        still &= ~integrated_gradients(some, steps=8, features=True).values.any(axis=0)
    if not still.any():
        return ()
    moves = (np.abs(ablation(some)) > 1e-6).any(axis=0)
    return tuple(name for name, no, yes in zip(case.names, still, moves, strict=True) if no and yes)


# --- Captum's ----------------------------------------------------------------------------------


def deep_lift(case: Case) -> Array:
    """Captum's DeepLift (Shrikumar, Greenside and Kundaje 2017, the rescale rule)."""
    captum = captums()
    return _in_turns(case, captum.DeepLift(_as_module(case)), share=4)


def gradient_shap(case: Case, rng: np.random.Generator, *, samples: int = 8) -> Array:
    """Captum's GradientShap: gradients at random points of the path, averaged (Lundberg and Lee 2017)."""
    import torch

    captum = captums()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        np_state = np.random.get_state()  # noqa: NPY002 - Captum draws from NumPy's global state; it is put back
        try:
            np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
            return _in_turns(
                case,
                captum.GradientShap(_as_module(case)),
                share=2 * samples,
                n_samples=samples,
                stdevs=0.0,
            )
        finally:
            np.random.set_state(np_state)  # noqa: NPY002


def occlusion(case: Case, *, window: tuple[int, ...], strides: tuple[int, ...] | None = None) -> Array:
    """Captum's Occlusion: a window slid over each row, the start put under it (Zeiler and Fergus 2014)."""
    captum = captums()
    return _in_turns(
        case,
        captum.Occlusion(_as_module(case)),
        sliding_window_shapes=window,
        strides=strides or window,
    )


def grad_cam(case: Case, layer: nn.Module) -> Array:
    """Captum's LayerGradCam on one layer of convolutions, spread over the picture and its channels.

    Where the layer sees evidence for the score; it promises no sum (Selvaraju et al. 2017).
    """
    import torch

    captum = captums()
    model = captum.LayerGradCam(_as_module(case), layer)
    out = np.empty(case.x.shape)
    channels, *size = case.x.shape[1:]
    for i in range(0, len(case.x), case.batch):
        here = np.arange(i, min(i + case.batch, len(case.x)))
        found = model.attribute(
            torch.from_numpy(case.x[here]),
            additional_forward_args=(torch.from_numpy(here),),
        )
        spread = captum.LayerAttribution.interpolate(found, tuple(size), interpolate_mode="bilinear")
        out[here] = np.repeat(spread.detach().numpy(), channels, axis=1) / channels
    return out


def captums() -> Any:
    """Captum's methods of attribution.

    Raises:
        MissingExtra: Captum is not installed.
    """
    try:
        import captum.attr as captum
    except ImportError:
        package, extra = "captum", "explain"
        raise MissingExtra(package, extra, "this way of explaining") from None
    return captum


def _as_module(case: Case) -> nn.Module:
    """The case as a module, so that Captum can hook the layers inside."""
    from torch import nn

    forward, inner = forward_of(case), case.module

    class Scored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor, numbers: Tensor) -> Tensor:
            out: Tensor = forward(x, numbers)
            return out

    return Scored()


def _in_turns(case: Case, method: Any, *, share: int = 1, **how: Any) -> Array:
    """What a method of Captum's says of every row, with so many rows at once that the batch is kept."""
    import torch

    out, starts = np.empty(case.x.shape), case.starts
    at_once = max(1, case.batch // share)
    for i in range(0, len(case.x), at_once):
        here = np.arange(i, min(i + at_once, len(case.x)))
        x = torch.from_numpy(case.x[here]).requires_grad_()
        start = torch.from_numpy(np.ascontiguousarray(starts[here]))
        numbers = torch.from_numpy(here)
        with warnings.catch_warnings():
            # DeepLift tells that it hooks the layers for as long as it runs.
            warnings.filterwarnings("ignore", message=".*hooks")
            found = method.attribute(x, baselines=start, additional_forward_args=(numbers,), **how)
        out[here] = found.detach().numpy()
    return out
