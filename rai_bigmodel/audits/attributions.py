"""How much of a network's answer is due to each entry of a row, by its gradients?

Integrated Gradients (Sundararajan, Taly and Yan 2017) in a loop of our own that keeps no more than a byte
budget and takes more points only on the rows that need them, keeping those it has; Captum's is the oracle in the
tests, and its DeepLift, GradientShap, Occlusion and Grad-CAM are used as they are. Each gives ``(n, *shape)``.
"""

from __future__ import annotations

import itertools
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.audits.cases import change
from rai_bigmodel.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from rai_bigmodel.audits.cases import Case
    from rai_bigmodel.subject import Array

STEPS = (3, 7, 15, 31, 63, 128, 256)
"""Points on the path: the first five hold each other (Patterson 1968), the last two are Gauss–Legendre's."""
TOLERANCE = 0.01
SURE = 0.1
"""At the fewest points a row stops at this part of the tolerance: so few could add up by accident."""
NEAR = 0.02
"""Past the nested points only where all rows together still miss this much of their change."""
WAITING = 64 * 2**20
"""Bytes of sums that wait for later rules at once."""
PATTERSON = (3, 7, 15, 31, 63)
NEW = (
    (0.0, 0.7745966692414834),
    (0.43424374934680254, 0.9604912687080203),
    (0.2233866864289669, 0.6211029467372264, 0.888459232872257, 0.993831963212755),
    (
        0.11248894313318662, 0.3311353932579768, 0.5313197436443756, 0.7024962064915271, 0.8367259381688688,
        0.9296548574297401, 0.9815311495537401, 0.9990981249676676,
    ),
    (
        0.05634431304659279, 0.16823525155220748, 0.2777498220218243, 0.38335932419873037, 0.48361802694584105,
        0.5771957100520458, 0.6629096600247806, 0.7397560443526947, 0.8069405319502176, 0.8639079381936905,
        0.9103711569570043, 0.9463428583734029, 0.9721828747485818, 0.9886847575474295, 0.997206259372222,
        0.9998728881203576,
    ),
)  # fmt: skip
"""The points from 0 to 1 that each of Patterson's rules adds to the one before; their mirror images belong to them."""


class Path(NamedTuple):
    """Integrated gradients, and how well they add up.

    Args:
        values: ``(n, *shape)``.
        gap: what they leave unexplained of each row's change, in the units of the score ``(n,)``.
        change: the score's change from the start to the row ``(n,)``.
        steps: the points that each row's values rest on ``(n,)``.
    """

    values: Array
    gap: Array
    change: Array
    steps: Array


class Rule(NamedTuple):
    """Points on the way from 0 to 1 that are new, and the weights that they have now and in every later rule."""

    points: int
    new: Array
    weights: Array


def integrated_gradients(
    case: Case, *, steps: Sequence[int] | None = None, tolerance: float = TOLERANCE
) -> Path:
    """Gradients averaged along the straight path from the start.

    Rows whose attributions miss their change of the score by more than `tolerance` of it (of a tenth of the mean
    change, where a row's own is smaller) go on with more points. Up to 63 these hold all that were asked before, so
    that no gradient is asked twice.

    Args:
        steps: how many points, from few to many; by default `STEPS`. Those that are none of Patterson's are
            Gauss–Legendre's, and ask anew.

    Raises:
        InputError: no gradient reaches the rows.
    """
    moved = change(case)
    floor = 0.1 * float(np.abs(moved).mean())
    allowed = tolerance * np.maximum(np.abs(moved), floor)
    found = Path(
        np.empty(case.x.shape),
        np.empty(len(moved)),
        moved,
        np.empty(len(moved), dtype=np.int64),
    )
    rest = np.arange(len(moved))
    for begun, shared in enumerate(_sharing(rules(tuple(steps or STEPS)))):
        past = begun and shared[0].points > PATTERSON[-1]
        if not len(rest) or (past and found.gap.sum() <= NEAR * np.abs(moved).sum()):
            break
        # The sums that wait for later rules are kept for so many rows at once, whatever the number of rows.
        many = max(1, WAITING // (4 * len(shared[0].weights) * case.x[0].size))
        parts = [_on(case, rest[i : i + many], shared, found, allowed) for i in range(0, len(rest), many)]
        rest = np.concatenate(parts)
    return found


def _on(case: Case, rest: Array, shared: list[Rule], found: Path, allowed: Array) -> Array:
    """Take rules that share their points until each row adds up; the rows that do not, even by the last."""
    sums = np.zeros((len(shared[0].weights), len(rest), *case.x.shape[1:]), dtype=np.float32)
    for rule in shared:
        sums[: len(rule.weights)] += _along_the_path(case, rest, rule)
        values, sums = sums[0], sums[1:]
        found.values[rest] = values
        found.gap[rest] = np.abs(found.values[rest].reshape(len(rest), -1).sum(axis=1) - found.change[rest])
        found.steps[rest] = rule.points
        near = SURE if rule.points == PATTERSON[0] else 1.0
        over = found.gap[rest] > near * allowed[rest]
        rest, sums = rest[over], sums[:, over]
        if not len(rest):
            break
    return rest


def _sharing(path: tuple[Rule, ...]) -> list[list[Rule]]:
    """Rules in order, those together whose points hold each other."""
    out: list[list[Rule]] = []
    for rule in path:
        if out and len(out[-1][-1].weights) > 1:
            out[-1].append(rule)
        else:
            out.append([rule])
    return out


@lru_cache(maxsize=16)
def rules(steps: tuple[int, ...]) -> tuple[Rule, ...]:
    """The rules of so many points each; those of Patterson's that follow each other share their points."""
    out = []
    for i, n in enumerate(steps):
        if n not in PATTERSON:
            node, weight = np.polynomial.legendre.leggauss(n)
            out.append(Rule(n, (node + 1) / 2, weight[None] / 2))
            continue
        level = PATTERSON.index(n)
        before = PATTERSON.index(steps[i - 1]) if i and steps[i - 1] in PATTERSON else -1
        mine = _mirrored(sum(NEW[before + 1 : level + 1], ()))
        later = [n, *itertools.takewhile(lambda m: m in PATTERSON, steps[i + 1 :])]
        out.append(Rule(n, (mine + 1) / 2, np.array([_weights(m, mine) for m in later]) / 2))
    return tuple(out)


def _mirrored(points: tuple[float, ...]) -> Array:
    return np.unique([sign * p for p in points for sign in (-1.0, 1.0)])


def _weights(n: int, at: Array) -> Array:
    """The weights of these points in Patterson's rule of n: those that integrate every polynomial that n can."""
    every = _mirrored(sum(NEW[: PATTERSON.index(n) + 1], ()))
    polynomials = np.polynomial.legendre.legvander(every, n - 1).T
    wanted = np.zeros(n)
    wanted[0] = 2.0
    weights = np.linalg.solve(polynomials, wanted)
    found: Array = weights[np.searchsorted(every, at - 1e-12)]
    return found


def _along_the_path(case: Case, rows: Array, rule: Rule) -> Array:
    """What the new points of a rule add to it and to the later ones ``(rules, rows, *shape)``."""
    import torch

    forward, steps = _forward(case), len(rule.new)
    at = torch.from_numpy(rule.new.astype(np.float32)).reshape(steps, *[1] * case.x.ndim)
    by = torch.from_numpy(rule.weights.astype(np.float32))
    out = np.empty((len(by), len(rows), *case.x.shape[1:]), dtype=np.float32)
    starts, many, few = case.starts, max(1, case.batch // steps), min(steps, case.batch)
    for i in range(0, len(rows), many):
        here = rows[i : i + many]
        x, start = (
            torch.from_numpy(case.x[here]),
            torch.from_numpy(np.ascontiguousarray(starts[here])),
        )
        numbers, way = torch.from_numpy(here), x - start
        mean = torch.zeros(len(by), x.numel())
        for j in range(0, steps, few):
            points = start + at[j : j + few] * way
            gradient = _gradient(forward, points.flatten(0, 1), numbers.repeat(len(points)))
            mean += by[:, j : j + few] @ gradient.reshape(len(points), -1)
        out[:, i : i + many] = (mean.reshape(len(by), *x.shape) * way).numpy()
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
            _forward(case),
            torch.from_numpy(case.x[here].copy()),
            torch.from_numpy(here),
        ).numpy()
    return out


def unreached(case: Case) -> tuple[str, ...]:
    """The features that no gradient reaches although the model reads them: codes that are looked up or rounded."""
    from rai_bigmodel.audits.shapley import ablation

    rows = np.arange(min(64, len(case.x)))
    some = case.some(rows)
    path = np.abs(integrated_gradients(some, steps=(8,)).values).reshape(len(rows), -1)
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
