"""Is our training loop as fast as one written by hand, and as Lightning and skorch?

    python benchmarks/loops.py [NET …]      # the table; NET: mlp cnn lstm transformer autoencoder language

The same net from the same seed on the same rows; the loop alone is timed, from the first batch to the last, with the
loss of the calibration rows after every epoch. The loop by hand sees the very batches of ours and must end with the
same weights to 1e-3, and every way must have learned alike, or nothing is printed. All ways of a net take turns in one
process; what is compared are medians of processor time, one thread. Lightning and skorch are measured where they are
installed (in an environment of their own: neither is among our extras), as careful users run them: a batch is one
indexing of the tensors, and nothing is logged, printed or saved.
"""

from __future__ import annotations

import importlib.util
import logging
import statistics
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from rai_bigmodel import datasets, nets
from rai_bigmodel.nets.reads import PADDING
from rai_bigmodel.training import fit, recipe
from rai_bigmodel.training.asked import Data, Digits, TextLines
from rai_bigmodel.training.rows import Rows
from rai_bigmodel.training.settings import Train
from rai_bigmodel.training.steps import optimizer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rai_bigmodel.subject import Splits
    from rai_bigmodel.training.checkpoint import Run

ROUNDS = 7
CHUNK = 256
"""Calibration rows asked for at once."""


class Job(NamedTuple):
    """A net to train: which, on what, for how many epochs."""

    data: str | Data
    net: Any
    epochs: int
    batch_size: int
    text: recipe.Text = recipe.Text()


def jobs() -> dict[str, Job]:
    """A net of each kind, as in ``examples/recipes``, for about a second of training."""
    words = recipe.Text(length=24, most=1000)
    letters = recipe.Text(level="character", length=64, most=200)
    return {
        "mlp": Job("loan", nets.MLP(), 30, 64),
        "cnn": Job("digits", nets.CNN(widths=(16, 32), hidden=64), 2, 32),
        "lstm": Job(Data(digits=Digits(shape="series")), nets.LSTM(hidden=64, layers=2), 3, 32),
        "transformer": Job(
            "templates", nets.Transformer(width=32, heads=4, layers=1, feedforward=64), 1, 32, words
        ),
        "autoencoder": Job("digits", nets.Autoencoder(hidden=(128, 64), code=16), 20, 64),
        "language": Job(
            Data(text_lines=TextLines(length=64)),
            nets.Transformer(width=32, heads=4, layers=1, feedforward=64, causal=True),
            1,
            64,
            letters,
        ),
    }


def plain_loss(aim: str, net: Any, inputs: tuple[torch.Tensor, ...], y: torch.Tensor | None) -> torch.Tensor:
    """The mean loss of a batch, as one writes it down."""
    out = net(*inputs)
    if aim == "bce":
        return F.binary_cross_entropy_with_logits(out, y)
    if aim == "cross_entropy":
        return F.cross_entropy(out, y)
    if aim == "language_model":
        return F.cross_entropy(out[:, :-1].transpose(1, 2), inputs[0][:, 1:], ignore_index=PADDING)
    return F.mse_loss(net.scaled(out), net.scaled(inputs[0]))


class Ready(NamedTuple):
    """What every way is given: how to build the net, its rows as tensors, and the loss."""

    job: Job
    written: recipe.Recipe
    splits: Splits
    run: Run
    rows: Rows
    calibration: Rows

    def net(self) -> Any:
        """The net with its first weights, and the generator as it is after drawing them."""
        generator = torch.Generator().manual_seed(self.written.seed)
        card = self.run.card
        net = self.job.net.build(card.reads, outputs=card.aim.outputs(card.reads), generator=generator)
        return net.train(), generator

    def loss(self, net: Any, inputs: tuple[torch.Tensor, ...], y: torch.Tensor | None) -> torch.Tensor:
        """The mean loss of a batch."""
        return plain_loss(self.run.card.aim.loss, net, inputs, y)

    def tensors(self, rows: Rows) -> tuple[torch.Tensor, ...]:
        """Inputs, and outcomes where there are any."""
        return (*rows.inputs, *(() if rows.y is None else (rows.y,)))

    def parted(self, batch: Any) -> tuple[tuple[torch.Tensor, ...], torch.Tensor | None]:
        """Inputs and outcomes again."""
        tensors = tuple(batch)
        return (tensors, None) if self.rows.y is None else (tensors[:-1], tensors[-1])


def ready(job: Job) -> Ready:
    """Rows and all, from a first training that is not timed."""
    splits = datasets.by_name(job.data)
    written = recipe.Recipe(
        data=job.data,
        net=recipe.Net.of(job.net),
        train=Train(epochs=job.epochs, batch_size=job.batch_size, lr=1e-3),
        text=job.text,
    )
    run = fit.train_recipe(recipe.shortened(written), splits=splits)
    of = [Rows.of(part, run.card.reads, run.card.aim) for part in (splits.train, splits.calibrate)]
    return Ready(job, written, splits, run, *of)


# --- the ways ------------------------------------------------------------------------------------


def ours(it: Ready) -> tuple[float, Any]:
    """Seconds in our loop, and the net."""
    spent = []
    loop = fit.in_epochs

    def timed(*args: Any) -> int:
        began = time.process_time()
        kept = loop(*args)
        spent.append(time.process_time() - began)
        return kept

    fit.in_epochs = timed
    try:
        run = fit.train_recipe(it.written, splits=it.splits)
    finally:
        fit.in_epochs = loop
    return spent[0], run.module


def by_hand(it: Ready) -> tuple[float, Any]:
    """A loop as one writes it down: the same batches, the same optimizer, the loss of each step and of each epoch."""
    net, generator = it.net()
    optimizer = optimizer_of(net.parameters(), it.written.train, 1e-3)
    inputs, y = it.rows.inputs, it.rows.y
    chunk = 4096 if it.run.card.reads.features else CHUNK
    history = []
    began = time.process_time()
    for _ in range(it.job.epochs):
        total = 0.0
        for batch in torch.randperm(len(inputs[0]), generator=generator).split(it.job.batch_size):
            optimizer.zero_grad()
            loss = it.loss(net, tuple(x[batch] for x in inputs), None if y is None else y[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        net.eval()
        with torch.inference_mode():
            whole = 0.0
            for start in range(0, it.calibration.rows, chunk):
                some = it.calibration.take(slice(start, start + chunk), torch.device("cpu"))
                whole += it.loss(net, some.inputs, some.y).item() * len(some.inputs[0])
        net.train()
        history.append((total / len(inputs[0]), whole / it.calibration.rows))
    return time.process_time() - began, net


def batches(rows: TensorDataset, size: int, *, shuffled: bool) -> DataLoader:
    """A loader that takes a batch by one indexing of the tensors, as its documentation advises for data in memory."""
    order = RandomSampler(rows) if shuffled else range(len(rows))
    return DataLoader(rows, sampler=BatchSampler(order, size, drop_last=False), batch_size=None)


def lightning(it: Ready) -> tuple[float, Any]:
    """Lightning's Trainer, with everything off that a loop does not need."""
    import lightning as pl

    net, _ = it.net()

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return it.loss(self.net, *it.parted(batch))

        def validation_step(self, batch: Any, _: int) -> torch.Tensor:
            return it.loss(self.net, *it.parted(batch))

        def configure_optimizers(self) -> Any:
            return optimizer_of(self.net.parameters(), it.written.train, 1e-3)

    trainer = pl.Trainer(
        max_epochs=it.job.epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    train, calibrate = (TensorDataset(*it.tensors(rows)) for rows in (it.rows, it.calibration))
    began = time.process_time()
    trainer.fit(
        Module(),
        batches(train, it.job.batch_size, shuffled=True),
        batches(calibrate, CHUNK, shuffled=False),
    )
    return time.process_time() - began, net


class Paired:
    """A loader as skorch wants it: X and y of each batch, as often as it is asked."""

    def __init__(self, loader: DataLoader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """All batches once; y stands in X too, where the loss takes it from."""
        return ((batch, batch[-1]) for batch in self.loader)


def skorch(it: Ready) -> tuple[float, Any]:
    """The NeuralNet of skorch, with the loss of both parts an epoch, and nothing printed."""
    from skorch import NeuralNet
    from skorch.helper import predefined_split

    net, _ = it.net()

    class Rebatched(NeuralNet):
        def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> torch.Tensor:  # noqa: ARG002, FBT001, FBT002 - skorch's signature
            return y_pred

        def infer(self, x: Any, **_: Any) -> Any:
            return it.loss(self.module_, *it.parted(x))

        def get_iterator(self, dataset: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 - skorch's signature
            size = it.job.batch_size if training else CHUNK
            return Paired(batches(dataset, size, shuffled=training))

    train, calibrate = (TensorDataset(*it.tensors(rows)) for rows in (it.rows, it.calibration))
    model = Rebatched(
        net,
        criterion=torch.nn.Identity,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.0,
        lr=1e-3,
        max_epochs=it.job.epochs,
        train_split=predefined_split(calibrate),
        callbacks__print_log=None,
        verbose=0,
    ).initialize()
    began = time.process_time()
    model.fit(train, None)
    return time.process_time() - began, model.module_


WAYS: dict[str, Callable[[Ready], tuple[float, Any]]] = {"ours": ours, "by hand": by_hand}
PEERS: dict[str, Callable[[Ready], tuple[float, Any]]] = {"lightning": lightning, "skorch": skorch}


def calibration_loss(it: Ready, net: Any) -> float:
    """The loss of the calibration rows in the end."""
    with torch.inference_mode():
        return float(it.loss(net.eval(), it.calibration.inputs, it.calibration.y))


# --- the table -----------------------------------------------------------------------------------


def line(name: str, job: Job, ways: dict[str, Callable[[Ready], tuple[float, Any]]]) -> tuple[str, bool]:
    """A line of the table, and whether every goal is met."""
    it = ready(job)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    made: dict[str, Any] = {}
    for _ in range(ROUNDS):
        for way, how in ways.items():
            spent, made[way] = how(it)
            seconds[way].append(spent)
    apart = max(
        float((a - b).abs().max())
        for a, b in zip(made["ours"].parameters(), made["by hand"].parameters(), strict=True)
    )
    if apart > 1e-3:
        msg = f"{name}: by hand weights end {apart:.2g} from ours, so it is not the same training"
        raise AssertionError(msg)
    ends = {way: calibration_loss(it, net) for way, net in made.items()}
    if max(ends.values()) > 1.25 * min(ends.values()) or min(ends.values()) > 0.98 * calibration_loss(
        it, it.net()[0]
    ):
        msg = f"{name}: the ways did not learn alike: {ends}"
        raise AssertionError(msg)
    steps = job.epochs * -(-it.rows.rows // job.batch_size)
    middle = {way: statistics.median(some) for way, some in seconds.items()}
    # Both of a round are measured close together: what troubles one troubles the other.
    ratios = {
        way: statistics.median(a / b for a, b in zip(seconds["ours"], some, strict=True))
        for way, some in seconds.items()
    }
    cells = [f"{1e3 * middle[way] / steps:.3f}" if way in middle else "–" for way in (*WAYS, *PEERS)]
    beside = [f"{ratios[way]:.2f}" if way in ratios else "–" for way in ("by hand", *PEERS)]
    met = ratios["by hand"] <= 1.05 and all(ratios[way] <= 1.0 for way in PEERS if way in ratios)
    return f"| {name} | {' | '.join(cells)} | {' | '.join(beside)} |", met


def main() -> int:
    """Print the table; 1 where a goal is missed."""
    torch.set_num_threads(1)
    for told in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(told).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    there = {name: way for name, way in PEERS.items() if importlib.util.find_spec(name)}
    for name in PEERS.keys() - there.keys():
        print(f"{name} is not installed here and is not measured", file=sys.stderr)
    asked = sys.argv[1:] or list(jobs())
    print(
        "| net | ours, ms a step | by hand | Lightning | skorch | ours / by hand | / Lightning | / skorch |"
    )
    print("|---|---|---|---|---|---|---|---|")
    good = True
    for name in asked:
        shown, met = line(name, jobs()[name], {**WAYS, **there})
        print(shown, flush=True)
        good = good and met
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
