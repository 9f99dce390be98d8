"""Are faults planted into private training found, and is honest training left alone? Z1 to Z7 and Z10, counted.

Each fault is put into the engine after it was configured, so that the card says what it would have said. A network is
trained with it, `rai_bigmodel.train` and all, and the audit is asked (L1); then canaries are (L2). Prints the tables of
benchmarks/README.md:

    OMP_NUM_THREADS=1 python benchmarks/privacy_zoo.py [SEEDS]
"""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from rai_bigmodel.accounting import Ledger
from rai_bigmodel.accounting import Privacy as Promise
from rai_bigmodel.audits.privacy import Privacy as Audit
from rai_bigmodel.audits.privacy_ledger import CHANCE
from rai_bigmodel.nets import CNN, MLP, Transformer
from rai_bigmodel.stats.dp_audit import gaussian_fit
from rai_bigmodel.subject import Splits
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import canaries, fit, private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from torch import Tensor

    from rai_bigmodel.training.checkpoint import Run
    from rai_bigmodel.training.private import Engine, Loss

    Plant = Callable[[Engine], object]

WAYS = ("fast", "opacus")
NETS = {
    "mlp": MLP(hidden=(32,)),
    "cnn": CNN(widths=(8,), hidden=16),
    "transformer": Transformer(width=16, heads=2, layers=1, feedforward=32),
}
PROMISE = Promise(noise_multiplier=1.2, delta=1e-5, sample_rate=0.1, expected_batch_size=20, clip=0.7)
EPOCHS = 2
"""Twenty steps at a rate of a tenth."""


# --- faults --------------------------------------------------------------------------------------


def is_ours(engine: Engine) -> bool:
    """Whether our engine clips, not Opacus' hooks."""
    return not hasattr(engine.way, "wrapper")


def nothing(engine: Engine) -> None:
    """The twin."""


def noise_times(factor: float) -> Plant:
    """Noise of another size."""

    def plant(engine: Engine) -> None:
        if is_ours(engine):
            engine.way = replace(engine.way, deviation=factor * engine.way.deviation)
        else:
            engine.way.wrapper.noise_multiplier *= factor

    return plant


def divided_twice(engine: Engine) -> None:
    """Z3: the noise over the batch size once more."""
    noise_times(1 / PROMISE.expected_batch_size)(engine)


def wider(engine: Engine) -> None:
    """Z5: three times the clipping norm, the noise kept."""
    if is_ours(engine):
        engine.way = replace(engine.way, clip=3 * engine.way.clip)
    else:
        wrapper = engine.way.wrapper
        wrapper.max_grad_norm *= 3
        wrapper.noise_multiplier /= 3


def _heir(way: object, kind: type) -> object:
    """The same way of clipping, with other methods."""
    return kind(**{name: getattr(way, name) for name in way.__dataclass_fields__})


def mean_clipped(engine: Engine) -> None:
    """Z4: the mean gradient of the rows is clipped, times their number, instead of each row's."""
    way, weights = engine.way, [p for p in engine.plain.parameters() if p.requires_grad]
    clip, scale = (
        (way.clip, way.scale)
        if is_ours(engine)
        else (way.wrapper.max_grad_norm, 1 / way.wrapper.expected_batch_size)
    )
    sums = [torch.zeros_like(p) for p in weights]

    class Mean(type(way)):
        def begin(self, *, noisy: bool) -> None:
            super().begin(noisy=noisy)
            for part in sums:
                part.zero_()

        def add(self, loss: Loss, inputs: tuple[Tensor, ...], y: Tensor | None) -> None:
            with torch.enable_grad():
                grads = torch.autograd.grad(loss(engine.plain(*inputs), inputs, y).mean(), weights)
            norm = float(torch.sqrt(sum((g**2).sum() for g in grads)))
            for part, g in zip(sums, grads, strict=True):
                part.add_(g, alpha=min(1.0, clip / norm) * len(inputs[0]) * scale)

        def close(self, *, noisy: bool) -> None:
            super().close(noisy=noisy)
            for weight, part in zip(weights, sums, strict=True):
                weight.grad = part.clone() if weight.grad is None else weight.grad + part

    engine.way = _heir(way, Mean)


def faster(engine: Engine) -> None:
    """Z6: the accountant was told half the rate."""
    engine.rate *= 2


def all_rows(engine: Engine) -> None:
    """Z6: no sampling at all."""
    engine.rate = 1.0


def fixed_size(engine: Engine) -> None:
    """Batches of one size, shuffled, as if they were drawn by chance."""
    engine.draw = lambda rows: torch.randperm(rows)[: round(engine.rate * rows)]


def weighted(engine: Engine) -> None:
    """Z11: a sampler that draws some rows three times as often as others."""

    def draw(rows: int) -> torch.Tensor:
        chance = torch.where(torch.arange(rows) < rows // 2, 1.5, 0.5) * engine.rate
        return torch.nonzero(engine.sampling.chances(rows) < chance)[:, 0]

    engine.draw = draw


def seeded_anew(engine: Engine) -> None:
    """Z10: the same noise at every step."""
    way = engine.way
    state = way.noise.get_state()

    class Again(type(way)):
        def begin(self, *, noisy: bool) -> None:
            self.noise.set_state(state)
            super().begin(noisy=noisy)

    engine.way = _heir(way, Again)


FAULTS: dict[str, tuple[Plant, str]] = {
    "none": (nothing, ""),
    "Z1 noise × 2/3": (noise_times(2 / 3), "noise"),
    "Z1 noise × 1/2": (noise_times(1 / 2), "noise"),
    "Z2 no noise": (noise_times(0.0), "noise"),
    "Z3 noise / batch twice": (divided_twice, "noise"),
    "Z4 the mean clipped": (mean_clipped, "clip"),
    "Z5 clip × 3, noise kept": (wider, "clip"),
    "Z6 accountant told q/2": (faster, "sampling"),
    "Z6 no sampling": (all_rows, "sampling"),
    "fixed-size batches": (fixed_size, "sampling"),
    "Z11 weighted sampler": (weighted, "sampling"),
    "Z10 one seed a step": (seeded_anew, "noise_fresh"),
}
"""Fault → what plants it, and the check of L1 that is to see it."""


@contextlib.contextmanager
def planted(plant: Plant) -> Iterator[None]:
    """Inside the block every private engine has the fault."""
    real = private.engine

    @contextlib.contextmanager
    def faulty(*args: Any, **settings: Any) -> Iterator[Engine]:
        with real(*args, **settings) as engine:
            plant(engine)
            yield engine

    private.engine = faulty
    try:
        yield
    finally:
        private.engine = real


# --- training and asking -------------------------------------------------------------------------


def rows(net: str, count: int, seed: int) -> Table:
    """Rows of the kind that a net reads, and a yes or no."""
    r = np.random.default_rng([seed, count])
    truth = (r.random(count) < 0.5).astype(float)
    if net == "cnn":
        columns = {"image": r.normal(size=(count, 1, 8, 8))}
    elif net == "transformer":
        words = np.array(["red", "green", "blue", "up", "down", "left", "right", "stop"])
        columns = {"text": np.array([" ".join(r.choice(words, 6)) for _ in range(count)], dtype=object)}
    else:
        columns = {f"x{i}": r.normal(size=count) for i in range(10)}
    return Table(
        name=f"{net} {count}",
        columns={**columns, "y": truth},
        roles={"feature": tuple(columns), "truth": ("y",)},
    )


def parts(net: str, seed: int, count: int = 200) -> Splits:
    """Rows to train on, to calibrate and held out."""
    return Splits(
        train=rows(net, count, seed), calibrate=rows(net, 60, seed + 1), held_out=rows(net, 61, seed + 2)
    )


def trained(net: str, clipping: str, plant: Plant, seed: int, promise: Promise = PROMISE) -> Run:
    """A private training with a fault in it."""
    with planted(plant):
        return fit.train(
            NETS[net],
            parts(net, seed),
            epochs=EPOCHS,
            privacy=promise,
            seed=seed,
            clipping=clipping,
            threads=torch.get_num_threads(),
        )


def seen(run: Run, ledger: Ledger | None = None) -> dict[str, bool]:
    """Check of L1 → whether it accuses, by the evidence of the audit.

    Args:
        ledger: another one than the run's own, to hold what was seen against.
    """
    subject = of_run(run)
    if ledger is not None:
        subject = replace(subject, card={**subject.card, "ledger": msgspec.to_builtins(ledger)})
    found = Audit()(subject, parts("mlp", 0), np.random.default_rng(0)).measurements
    out = {m.labels["check"]: m.value == 0 for m in found if m.metric == "privacy.conformance"}
    p = next(m.value for m in found if m.metric == "privacy.noise_conformance_p")
    return {**out, "noise": p is not None and p < CHANCE}


CANARIES = 1000
LARGE = Promise(epsilon=4.0, delta=1e-5, sample_rate=1.0, expected_batch_size=1500, clip=0.7)
"""What canaries attack: all rows in each of five steps, ε = 4."""


def claim(net: str, clipping: str, steps: int = 5) -> Run:
    """A run whose card claims `LARGE`, of as many steps; only the card matters."""
    return fit.train(
        NETS[net], parts(net, 1), epochs=steps, privacy=LARGE, seed=1, clipping=clipping, name="claim"
    )


def refuted(run: Run, plant: Plant, seed: int) -> bool | None:
    """Whether canaries in an engine with the fault refute the ε of the run's card (Gaussian fit, 95 %).

    ``None``: their scores do not look normal, so that the bound says nothing; one run in some five hundred does not.
    """
    with planted(plant):
        scores, member = canaries.scores(run.card, CANARIES, np.random.default_rng(seed))
    ledger = run.card.ledger
    assert ledger is not None
    assert ledger.epsilon_claimed is not None
    bound = gaussian_fit(scores, member, delta=ledger.delta, alpha=0.05)
    return bound.epsilon > ledger.epsilon_claimed if bound.normal else None


ATTACKED = ("none", "Z1 noise × 2/3", "Z1 noise × 1/2", "Z2 no noise", "Z5 clip × 3, noise kept")


def main(seeds: int) -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    began = time.process_time()
    columns = [(net, way) for net in NETS for way in WAYS]
    print("| fault (L1) | " + " | ".join(f"{net}, {way}" for net, way in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, (plant, check) in FAULTS.items():
        cells = []
        for net, way in columns:
            told = [seen(trained(net, way, plant, seed)) for seed in range(seeds)]
            hit = sum(one[check] if check else any(one.values()) for one in told)
            cells.append(f"{hit} of {seeds}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("| fault (L2) | " + " | ".join(f"{net}, {way}" for net, way in columns) + " |")
    print("|---|" + "---|" * len(columns))
    claims = {(net, way): claim(net, way) for net, way in columns}
    for name in ATTACKED:
        cells = []
        for net, way in columns:
            hit = sum(bool(refuted(claims[net, way], FAULTS[name][0], seed)) for seed in range(seeds))
            cells.append(f"{hit} of {seeds}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print(f"{time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
