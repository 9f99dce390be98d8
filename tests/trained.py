"""Small networks trained in a second, and explanations of them, right and wrong, for the tests of explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from rai_bigmodel.audits import attributions, paths
from rai_bigmodel.audits.cases import Case, by_part, change
from rai_bigmodel.audits.network_cases import network_case
from rai_bigmodel.audits.shapley import ablation, shapley_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from rai_bigmodel.audits.faithfulness import Explain

FEATURES = 20


def fitted(net: nn.Module, x: np.ndarray, y: np.ndarray, *, epochs: int, seed: int) -> nn.Module:
    """Trained with AdamW to tell y from x, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    rows, truth = torch.as_tensor(x), torch.as_tensor(y, dtype=torch.float32)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(rows), generator=generator).split(128):
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(net(rows[batch])[:, 0], truth[batch])
            loss.backward()
            optimizer.step()
    return net.eval()


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A net whose first weights come from `seed`; the global random state is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def shuffled(y: np.ndarray, seed: int = 9) -> np.ndarray:
    """Outcomes that tell nothing."""
    return np.random.default_rng(seed).permutation(y)


def table_rows(seed: int, rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Twenty features, five of which count, two of them together."""
    r = np.random.default_rng([seed, 77])
    x = r.normal(size=(rows, FEATURES)).astype(np.float32)
    w = np.zeros(FEATURES)
    w[r.permutation(FEATURES)[:5]] = r.choice([-1, 1], 5) * r.uniform(1, 2, 5)
    y = x @ w + 0.5 * x[:, 0] * x[:, 1] + 0.3 * r.normal(size=rows) > 0
    return x, y.astype(np.float32)


def mlp() -> nn.Module:
    """Twenty features in, one logit out."""
    return nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))


def mlp_cases(seed: int, rows: int = 200) -> tuple[Case, Case]:
    """A trained MLP's case, and that of the same net trained on shuffled outcomes."""
    x, y = table_rows(seed)
    names = [f"f{i}" for i in range(FEATURES)]

    def case(outcomes: np.ndarray, seed: int) -> Case:
        net = fitted(seeded(mlp, seed), x, outcomes, epochs=6, seed=seed)
        return network_case(net, x[:rows], np.zeros((1, FEATURES)), names=names)

    return case(y, seed), case(shuffled(y), seed + 1)


# --- explanations ------------------------------------------------------------------------------


def ig(case: Case, rng: np.random.Generator) -> np.ndarray:
    """Integrated Gradients by feature."""
    return by_part(case, paths.integrated_gradients(case).values)


def shapley(case: Case, rng: np.random.Generator) -> np.ndarray:
    """Shapley values from a fixed number of coalitions."""
    return shapley_values(case, rng=rng, coalitions=(16 if case.x.ndim == 2 else 5) * len(case.names)).values


def right() -> dict[str, tuple[Explain, bool]]:
    """Name → a true explanation, and whether it promises to add up."""
    return {
        "integrated gradients": (ig, True),
        "ablation": (lambda case, rng: ablation(case), False),
        "shapley": (shapley, True),
        "gradient × input": (
            lambda case, rng: by_part(case, attributions.gradient_times_input(case)),
            False,
        ),
    }


def wrong(case: Case, other: Case, seed: int = 5) -> dict[str, tuple[Explain, bool]]:
    """Name → every false explanation of the table in validity.md 3.1, handed over as Integrated Gradients.

    Args:
        other: the same rows before the model trained on shuffled outcomes.
    """
    d = len(case.names)
    order = np.random.default_rng(seed).permutation(d)
    # The rows asked about are told by their content: whatever model is asked, the answer is about the other one.
    at = {row.tobytes(): i for i, row in enumerate(case.x)}

    def of_other(one: Case, rng: np.random.Generator) -> np.ndarray:
        return ig(other.some(np.array([at[row.tobytes()] for row in one.x])), rng)

    def rescaled(one: Case, rng: np.random.Generator) -> np.ndarray:
        values = ig(one, rng)[:, order]
        sums = values.sum(axis=1, keepdims=True)
        return values * np.where(np.abs(sums) > 1e-9, change(one)[:, None] / np.where(sums == 0, 1, sums), 1)

    return {
        "random": (lambda one, rng: rng.normal(size=(len(one.x), d)), True),
        "constant": (lambda one, rng: np.ones((len(one.x), d)), True),
        "the input itself": (lambda one, rng: by_part(one, one.x - one.starts), True),
        "of the label-shuffled model": (of_other, True),
        "sign-flipped": (lambda one, rng: -ig(one, rng), True),
        "columns permuted": (lambda one, rng: ig(one, rng)[:, order], True),
        "permuted and rescaled": (rescaled, True),
    }


# --- the other shapes of network ----------------------------------------------------------------


def _net(kind: str, seed: int) -> nn.Module:
    from rai_bigmodel import nets

    generator = torch.Generator().manual_seed(seed)
    if kind == "cnn":
        reads = nets.Reads(pixels=nets.Pixels(channels=1, height=14, width=14))
        return nets.CNN(widths=(8, 16), hidden=32).build(reads, generator=generator)
    if kind == "lstm":
        reads = nets.Reads(series=nets.Series(features=3, length=12))
        return nets.LSTM(hidden=24).build(reads, generator=generator)
    words = nets.Tokens(words=tuple(f"w{i}" for i in range(48)), length=12)
    config = nets.Transformer(width=32, heads=4, layers=2, feedforward=64)
    return config.build(nets.Reads(tokens=words), generator=generator)


def _bars(r: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Upright bars in noise, or lying ones."""
    x = r.normal(scale=0.3, size=(rows, 1, 14, 14)).astype(np.float32)
    y = r.integers(0, 2, rows)
    for i in range(rows):
        a, b = r.integers(0, 10, 2)
        if y[i]:
            x[i, 0, a : a + 4, b + 1 : b + 3] += 1.2
        else:
            x[i, 0, a + 1 : a + 3, b : b + 4] += 1.2
    return x, y


def _sums(r: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """One feature's steps 3 to 7 against another's 7 to 11."""
    x = r.normal(size=(rows, 12, 3)).astype(np.float32)
    return x, x[:, 2:7, 0].sum(1) - x[:, 6:11, 1].sum(1) + 0.5 * x[:, 4, 2] > 0


def _words(r: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Words that speak for, words that speak against, and padding behind."""
    ids = r.integers(2, 50, size=(rows, 12))
    ids[np.arange(12)[None] >= r.integers(6, 13, size=rows)[:, None]] = 0
    weight = np.zeros(50)
    weight[2:10], weight[10:18] = 1, -1
    return ids, weight[ids].sum(1) + 0.3 * r.normal(size=rows) > 0


SHAPES = {"cnn": (_bars, 12, "pixels"), "lstm": (_sums, 20, "series"), "transformer": (_words, 12, "tokens")}
"""Kind → rows, epochs, what is read."""


def shaped_cases(kind: str, seed: int, rows: int = 64) -> tuple[Case, Case]:
    """A trained net's case, and that of its label-shuffled twin, over rows of its own kind."""
    from rai_bigmodel.audits.readings import READ

    if kind == "mlp":
        return mlp_cases(seed, rows)
    make, epochs, reads = SHAPES[kind]
    x, y = make(np.random.default_rng([seed, 3]), 1600)

    def case(outcomes: np.ndarray, seed: int) -> Case:
        net = fitted(_net(kind, seed), x, outcomes, epochs=epochs, seed=seed)
        return READ[reads](net, x[:rows]).case

    return case(y, seed), case(shuffled(y), seed + 1)
