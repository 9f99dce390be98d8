"""How much of a network's answer is due to each entry of a row, by its gradients?

Integrated Gradients (Sundararajan, Taly and Yan 2017) in a loop of our own that keeps no more than a byte
budget and takes more steps only on the rows that need them; Captum's is the oracle in the tests, and its
DeepLift, GradientShap, Occlusion and Grad-CAM are used as they are. Each gives ``(n, *shape)``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.audits.cases import change
from rai_bigmodel.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from rai_bigmodel.audits.cases import Case
    from rai_bigmodel.subject import Array

STEPS = (8, 16, 32, 64)
TOLERANCE = 0.01


class Path(NamedTuple):
    """Integrated gradients, and how well they add up.

    Args:
        values: ``(n, *shape)``.
        gap: what they leave unexplained of each row's change, in the units of the score ``(n,)``.
        change: the score's change from the start to the row ``(n,)``.
        steps: the points taken on each row's last path ``(n,)``.
    """

    values: Array
    gap: Array
    change: Array
    steps: Array


def integrated_gradients(case: Case, *, steps: Sequence[int] = STEPS, tolerance: float = TOLERANCE) -> Path:
    """Gradients averaged along the straight path from the start, at Gauss–Legendre points.

    Rows whose attributions miss their change of the score by more than `tolerance` of it (of a tenth of the mean
    change, where a row's own is smaller) go on with the next number of steps.

    Raises:
        InputError: no gradient reaches the rows.
    """
    moved = change(case)
    floor = 0.1 * float(np.abs(moved).mean())
    values = np.empty(case.x.shape)
    gap, taken = np.empty(len(moved)), np.empty(len(moved), dtype=np.int64)
    rest = np.arange(len(moved))
    for n in steps:
        values[rest] = _along_the_path(case, rest, n)
        gap[rest] = np.abs(values[rest].reshape(len(rest), -1).sum(axis=1) - moved[rest])
        taken[rest] = n
        rest = rest[gap[rest] > tolerance * np.maximum(np.abs(moved[rest]), floor)]
        if not len(rest):
            break
    return Path(values, gap, moved, taken)


def _along_the_path(case: Case, rows: Array, steps: int) -> Array:
    import torch

    forward = _forward(case)
    node, weight = np.polynomial.legendre.leggauss(steps)
    wide = (steps, *[1] * case.x.ndim)
    at = torch.from_numpy(((node + 1) / 2).astype(np.float32)).reshape(wide)
    by = torch.from_numpy((weight / 2).astype(np.float32)).reshape(wide)
    starts, out = case.starts, np.empty((len(rows), *case.x.shape[1:]))
    many, few = max(1, case.batch // steps), min(steps, case.batch)
    for i in range(0, len(rows), many):
        here = rows[i : i + many]
        x, start = torch.from_numpy(case.x[here]), torch.from_numpy(np.ascontiguousarray(starts[here]))
        numbers, way = torch.from_numpy(here), x - start
        mean = torch.zeros_like(x)
        for j in range(0, steps, few):
            points = start + at[j : j + few] * way
            gradient = _gradient(forward, points.flatten(0, 1), numbers.repeat(len(points)))
            mean += (by[j : j + few] * gradient.reshape(points.shape)).sum(dim=0)
        out[i : i + many] = (mean * way).numpy()
    return out


def _gradient(forward: Any, points: Tensor, numbers: Tensor) -> Tensor:
    import torch

    with torch.enable_grad():
        points.requires_grad_()
        out = forward(points, numbers)
        found = torch.autograd.grad(out.sum(), points, allow_unused=True)[0] if out.requires_grad else None
    if found is None:
        msg = (
            "no gradient reaches the model's input: it is cut off on the way (rounded, looked up or detached); "
            "use a black-box method: shapley or ablation"
        )
        raise InputError(msg)
    return found


def gradient_times_input(case: Case) -> Array:
    """The gradient at each row times how far the row is from the start (Shrikumar et al. 2016)."""
    return gradients(case) * (case.x - case.starts)


def gradients(case: Case) -> Array:
    """The gradient of the explained number at each row ``(n, *shape)``."""
    import torch

    out = np.empty(case.x.shape)
    for i in range(0, len(case.x), case.batch):
        here = np.arange(i, min(i + case.batch, len(case.x)))
        out[here] = _gradient(
            _forward(case), torch.from_numpy(case.x[here].copy()), torch.from_numpy(here)
        ).numpy()
    return out


def unreached(case: Case) -> tuple[str, ...]:
    """The features that no gradient reaches although the model reads them: codes that are looked up or rounded."""
    from rai_bigmodel.audits.shapley import ablation

    rows = np.arange(min(64, len(case.x)))
    some = case.some(rows)
    path = np.abs(_along_the_path(some, rows, STEPS[0])).reshape(len(rows), -1)
    still = np.ones(len(case.names), dtype=bool)
    still[np.unique(case.parts.ravel()[path.any(axis=0)])] = False
    if not still.any():
        return ()
    moves = (np.abs(ablation(some)) > 1e-6).any(axis=0)
    return tuple(name for name, no, yes in zip(case.names, still, moves, strict=True) if no and yes)


def _forward(case: Case) -> Any:
    if case.forward is None:
        msg = "only the answers of the model are known, not its gradients; use a black-box method: shapley or ablation"
        raise InputError(msg)
    return case.forward


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
                case, captum.GradientShap(_as_module(case)), share=2 * samples, n_samples=samples, stdevs=0.0
            )
        finally:
            np.random.set_state(np_state)  # noqa: NPY002


def occlusion(case: Case, *, window: tuple[int, ...], strides: tuple[int, ...] | None = None) -> Array:
    """Captum's Occlusion: a window slid over each row, the start put under it (Zeiler and Fergus 2014)."""
    captum = captums()
    return _in_turns(
        case, captum.Occlusion(_as_module(case)), sliding_window_shapes=window, strides=strides or window
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
            torch.from_numpy(case.x[here]), additional_forward_args=(torch.from_numpy(here),)
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

    forward, inner = _forward(case), case.module

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
