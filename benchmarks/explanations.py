"""Explanations beside Captum's, as its users call it and as tuned: rows a second at equal error. One thread.

Run as ``OMP_NUM_THREADS=1 python benchmarks/explanations.py``; ratios within one run, medians of three.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from captum.attr import IntegratedGradients, KernelShap
from torch import nn

from rai_bigmodel import nets
from rai_bigmodel.audits.battery import battery
from rai_bigmodel.audits.cases import by_part
from rai_bigmodel.audits.network_cases import network_case
from rai_bigmodel.audits.paths import integrated_gradients
from rai_bigmodel.audits.readings import of_pictures, of_texts
from rai_bigmodel.audits.shapley import shapley_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.audits.cases import Case

    Array = np.ndarray

GAP = 0.01


def seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """The median of processor seconds."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return sorted(times)[repeats // 2]


def mlp(features: int, seed: int = 0) -> nn.Module:
    """A tanh network with random weights."""
    torch.manual_seed(seed)
    layers = [nn.Linear(features, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)]
    return nn.Sequential(*layers).eval()


def error(found: Array, exact: Array) -> float:
    """Root mean square error over the mean absolute value."""
    return float(np.sqrt(((found - exact) ** 2).mean()) / np.abs(exact).mean())


def captums_shap(net: nn.Module, x: Array, samples: int, at_once: int) -> Array:
    """Captum's KernelShap, row by row as it works."""
    method, rows = KernelShap(lambda z: net(z)[:, 0]), torch.from_numpy(x)
    start = torch.zeros(1, x.shape[1])
    with torch.no_grad():
        return np.concatenate(
            [
                method.attribute(
                    r[None], baselines=start, n_samples=samples, perturbations_per_eval=at_once
                ).numpy()
                for r in rows
            ]
        )


def kernel_shap(features: int, exact: Array | None, ours: int, theirs: int, few: int) -> None:
    """Rows a second of both; the error too where exact values are known."""
    net = mlp(features)
    x = np.random.default_rng(1).normal(size=(2000, features)).astype(np.float32)
    case = network_case(net, x, np.zeros((1, features)), names=[f"f{i}" for i in range(features)])
    rng = np.random.default_rng(0)
    if features <= 11:
        exact = shapley_values(case, rng=rng).values
    found = shapley_values(case, rng=rng, coalitions=ours).values
    speed = len(x) / seconds(lambda: shapley_values(case, rng=rng, coalitions=ours))
    torch.manual_seed(0)
    for name, at_once in (("default", 1), ("tuned", 64)):
        got = captums_shap(net, x[:few], theirs, at_once)
        slow = few / seconds(
            lambda at=at_once: captums_shap(net, x[:few], theirs, at), 1 if at_once == 1 else 3
        )
        told = "" if exact is None else f", error {error(found, exact):.3f} and {error(got, exact[:few]):.3f}"
        print(
            f"KernelSHAP, {features} features: ours {ours} coalitions {speed:,.0f} rows/s, "
            f"Captum {name} {theirs} {slow:,.1f} rows/s: {speed / slow:,.0f} ×{told}",
            flush=True,
        )


def captums_ig(case: Case, x: torch.Tensor, steps: int) -> Array:
    """Captum's Integrated Gradients with Gauss–Legendre points, 256 at once, parameters frozen as in ours."""
    method = IntegratedGradients(case.forward)
    starts = torch.from_numpy(case.starts.copy())
    out = []
    for i in range(0, len(x), 64):
        rows = torch.arange(i, min(i + 64, len(x)))
        found = method.attribute(
            x[rows],
            baselines=starts[rows],
            additional_forward_args=(rows,),
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=256,
        )
        out.append(found.detach().numpy())
    return np.concatenate(out)


def gradients(name: str, case: Case) -> None:
    """Both until at most one row in a hundred misses its change by more than `GAP` of it, or at 64 steps."""
    x = torch.from_numpy(case.x)
    path = integrated_gradients(case)
    floor = 0.1 * np.abs(path.change).mean()

    def missing(values: Array) -> float:
        gap = np.abs(values.reshape(len(values), -1).sum(axis=1) - path.change)
        return float((gap > GAP * np.maximum(np.abs(path.change), floor)).mean())

    ours = missing(path.values)
    steps = next((s for s in (8, 16, 32, 50) if missing(captums_ig(case, x, s)) <= max(ours, 0.01)), 64)
    mine, theirs = (
        seconds(lambda: integrated_gradients(case)),
        seconds(lambda: captums_ig(case, x, steps)),
    )
    fifty = seconds(lambda: captums_ig(case, x, 50), 1)
    rng, at = np.random.default_rng(0), time.process_time()

    def explain(one: Case, _: np.random.Generator) -> Array:
        return by_part(one, integrated_gradients(one).values)

    tested = battery(case, by_part(case, path.values), explain, rng, adds_up=True)
    whole = time.process_time() - at
    print(
        f"IG, {name}, {len(x)} rows: ours {mine:.2f} s (mean {path.steps.mean():.0f} steps, {ours:.1%} of rows "
        "over the gap), "
        f"Captum tuned {theirs:.2f} s at {steps} steps: {theirs / mine:.1f} ×; "
        f"its 50 steps {fifty / mine:.1f} ×; "
        f"battery {whole:.2f} s = {whole / mine:.1f} × ours (faithful: {tested.faithful})",
        flush=True,
    )


def main() -> None:
    """Print the table of ``README.md``."""
    warnings.simplefilter("ignore")
    kernel_shap(10, None, ours=200, theirs=1000, few=8)
    kernel_shap(49, None, ours=200, theirs=200, few=8)
    r = np.random.default_rng(2)
    generator = torch.Generator().manual_seed(0)
    x = r.normal(size=(1000, 49)).astype(np.float32)
    gradients("MLP", network_case(mlp(49), x, np.zeros((1, 49)), names=[f"f{i}" for i in range(49)]))
    pixels = nets.Reads(pixels=nets.Pixels(channels=1, height=28, width=28))
    cnn = nets.CNN(widths=(8, 16), hidden=32).build(pixels, generator=generator).eval()
    gradients("CNN", of_pictures(cnn, r.normal(size=(100, 1, 28, 28)).astype(np.float32)).case)
    words = nets.Reads(tokens=nets.Tokens(words=tuple(f"w{i}" for i in range(200)), length=32))
    config = nets.Transformer(width=32, heads=4, layers=2, feedforward=128)
    text = config.build(words, generator=generator).eval()
    gradients("Transformer", of_texts(text, r.integers(2, 202, size=(100, 32))).case)


if __name__ == "__main__":
    main()
