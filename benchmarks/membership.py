"""How well are members told from others, by which attack, on which network? A fifth of the labels is drawn anew.

Three models of each kind of network: one that learned its rows by heart (Z12), one held back, and one that was trained
on other rows than those it is asked about (the twin, whose area is one half by construction). Prints the table of
benchmarks/README.md:

    OMP_NUM_THREADS=1 python benchmarks/membership.py [SEEDS [NET …]]
"""

from __future__ import annotations

import dataclasses
import sys
import time
from functools import cache
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rai_bigmodel import datasets
from rai_bigmodel.audits.privacy import Privacy
from rai_bigmodel.audits.privacy_references import joined
from rai_bigmodel.nets import CNN, MLP, Transformer
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.training import fit
from rai_bigmodel.training.recipe import Text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rai_bigmodel.evidence import Findings
    from rai_bigmodel.tables import Table
    from rai_bigmodel.training.checkpoint import Run

MEMBERS = 500
"""Members, and as many others; the rest is what reference models learn from."""
NOISE = 0.2
SHORT = Text(length=24)
NETS: dict[str, tuple[Any, dict[str, Any], Any, dict[str, Any]]] = {
    "mlp": (MLP(hidden=(128,)), {"epochs": 60, "lr": 3e-3}, MLP(hidden=(16,)), {"epochs": 8, "lr": 3e-3}),
    "cnn": (
        CNN(widths=(16, 32), hidden=64),
        {"epochs": 40, "lr": 3e-3},
        CNN(widths=(8,), hidden=16),
        {"epochs": 8, "lr": 3e-3},
    ),
    "transformer": (
        Transformer(width=32, heads=2, layers=1, feedforward=64),
        {"epochs": 40, "lr": 3e-3, "text": SHORT},
        Transformer(width=16, heads=2, layers=1, feedforward=32),
        {"epochs": 4, "lr": 3e-3, "text": SHORT},
    ),
}
"""Net → one that learns by heart and how it is trained, and one that is held back."""


@cache
def whole(kind: str) -> Table:
    """All rows that a kind of network reads: digits as columns or pictures, or sentences in English."""
    if kind == "transformer":
        data = datasets.templates(languages=("en",))
    else:
        data = datasets.digits(shape="columns" if kind == "mlp" else "pictures")
    assert data.train is not None
    assert data.calibrate is not None
    return joined([data.train, data.calibrate, data.held_out], name=kind)


def parts(kind: str, seed: int, noise: float = NOISE) -> tuple[Splits, Splits]:
    """Members, others and population at random, a share of the labels drawn anew; and the same with members swapped.

    In the second, the members are rows that nothing of the first was trained on.
    """
    table = whole(kind)
    r = np.random.default_rng([seed, 12])
    truth = table.roles["truth"][0]
    labels = table.columns[truth].copy()
    drawn = r.random(table.rows) < noise
    labels[drawn] = r.choice(np.unique(labels), int(drawn.sum()))
    table = dataclasses.replace(table, columns={**table.columns, truth: labels})
    order = r.permutation(table.rows)

    def part(start: int, stop: int | None, name: str) -> Table:
        return table.take(order[start:stop], name=name)

    others, rest = part(MEMBERS, 2 * MEMBERS, "others"), part(2 * MEMBERS, None, "population")
    first = Splits(train=part(0, MEMBERS, "members"), held_out=others, calibrate=rest)
    half = 2 * MEMBERS + (table.rows - 2 * MEMBERS) // 2
    swapped = Splits(
        train=part(2 * MEMBERS, half, "swapped"),
        held_out=others,
        calibrate=part(half, None, "population"),
    )
    return first, swapped


def trained(kind: str, data: Splits, seed: int, *, by_heart: bool = True) -> Run:
    """A network that learned its members by heart, or one that was held back."""
    net, settings, held_back, short = NETS[kind]
    if by_heart:
        return fit.train(net, data, seed=seed, **settings)
    return fit.train(held_back, data, seed=seed, weight_decay=0.1, **short)


def asked(run: Run | Path, data: Splits, seed: int, *, references: int = 0, deep: bool = False) -> Findings:
    """What the audit finds of a run, or of the folder it was saved in."""
    audit = Privacy(membership=True, references=references, deep=deep)
    return audit(of_run(run), data, np.random.default_rng(seed))


def areas(findings: Findings) -> dict[str, Any]:
    """Attack → the measurement of its area over all rows; the blind baseline's as ``blind``."""
    found = {
        m.labels["attack"]: m
        for m in findings.measurements
        if m.metric == "privacy.membership_auc" and "attack" in m.labels and "group" not in m.labels
    }
    found["blind"] = next(m for m in findings.measurements if m.metric == "privacy.blind_baseline_auc")
    return found


def rates(findings: Findings) -> dict[str, float | None]:
    """Attack → members told at one false alarm in a hundred."""
    return {
        m.labels["attack"]: m.value
        for m in findings.measurements
        if m.metric == "privacy.membership_tpr" and m.labels["fpr"] == "0.01" and "group" not in m.labels
    }


def main(seeds: int, kinds: Sequence[str]) -> None:
    """Print the table: medians over seeds."""
    torch.set_num_threads(1)
    print("| | blind | loss | quantile | RMIA-1 | RMIA-4 | LiRA-16 | s of one core |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in kinds:
        for what in ("by heart", "held back", "never trained on"):
            found: dict[str, list[float]] = {}
            began = time.process_time()
            for seed in range(seeds):
                first, swapped = parts(kind, seed)
                run = trained(kind, first, seed, by_heart=what != "held back")
                data = swapped if what == "never trained on" else first
                one, four = (asked(run, data, seed, references=n, deep=n == 4) for n in (1, 4))
                told, few = areas(four), rates(four)
                told["rmia-1"], few["rmia-1"] = areas(one)["rmia"], rates(one)["rmia"]
                for name, m in told.items():
                    found.setdefault(name, []).append(np.nan if m.value is None else m.value)
                    if few.get(name) is not None:
                        found.setdefault(f"{name} few", []).append(few[name])
            each = (time.process_time() - began) / seeds
            cells = [
                f"{median(found[n]):.3f}"
                + (f" ({median(found[f'{n} few']):.3f})" if f"{n} few" in found else "")
                for n in ("blind", "loss", "quantile", "rmia-1", "rmia", "lira")
                if n in found
            ]
            print(f"| {kind}, {what} | {' | '.join(cells)} | {each:.0f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2:] or tuple(NETS))
