"""How is a network trained? One loop in the open, plain or private.

Plain: shuffled batches, early stopping on the calibration rows, the best weights kept; same seed, same
bytes. Private: a fixed number of steps, each on rows drawn by chance, clipped and with noise; the seed gives
the first weights, never the noise. Either way the threshold is set on the calibration rows, and nothing
is computed from the held-out rows.

Shapes: N rows, F features, K = 1 output.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel import accounting
from rai_bigmodel.errors import InputError, TrainingDiverged
from rai_bigmodel.evidence import Decision
from rai_bigmodel.nets.reads import Reads
from rai_bigmodel.subject import data_id
from rai_bigmodel.training import private
from rai_bigmodel.training.card import Card, Moment, name_of, notes_on, versions
from rai_bigmodel.training.checkpoint import Run, digest_of, weights
from rai_bigmodel.training.inputs import stack
from rai_bigmodel.training.recipe import Net, Recipe, Train, learning_rate
from rai_bigmodel.training.rows import Rows, constants, labels, usable, weights_id
from rai_bigmodel.training.threshold import matching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from rai_bigmodel.accounting import Privacy
    from rai_bigmodel.nets import MLP, Input, Tabular
    from rai_bigmodel.subject import Array, Splits

BATCH = 4096
"""Rows scored at once, so that memory stays bounded."""

OnStep = Callable[[int, int, float | None], None]
"""Called with the step, how many there are at most, and the last loss known (null when none may be shown)."""


def train_recipe(
    recipe: Recipe, *, splits: Splits, weights: Array | None = None, on_step: OnStep | None = None
) -> Run:
    """Train what a recipe describes, on `splits`: ``datasets.by_name(recipe.data)``, or others of its kind.

    Args:
        weights: how much each training row counts in the loss of a plain training, ``(rows,)``; only their
            ratios matter. The calibration rows, which stop the training and set the threshold, are not weighted.

    Raises:
        InputError: the data or the weights do not fit the recipe.
        TrainingDiverged: the loss stopped being a number.
    """
    with _threads(recipe.train.threads):
        return _train(recipe, splits, weights, on_step)


def train(
    net: MLP,
    splits: Splits,
    *,
    epochs: int = 30,
    privacy: Privacy | None = None,
    seed: int = 7,
    name: str = "",
    inputs: Mapping[str, Input] | None = None,
    optimizer: str = "adamw",
    lr: float | None = None,
    batch_size: int = 64,
    weight_decay: float = 0.0,
    patience: int | None = None,
    weights: Array | None = None,
    on_step: OnStep | None = None,
) -> Run:
    """Train a network on the training rows of `splits`.

    Args:
        epochs: how often each row is seen; a private training takes ``epochs / sample_rate`` steps.
        privacy: what to promise; ``None`` trains without.
        inputs: column → constants of filling and scaling. What is not declared is measured, on the training
            rows of a plain model, on the calibration rows of a private one (ε does not cover those).
        lr: the learning rate; ``None`` is 0.001, and 0.01 with privacy.
        batch_size: rows a step of a plain training.
        patience: epochs without a better calibration loss after which a plain training stops.
        weights: how much each training row counts, ``(rows,)``, as in `train_recipe`.
        on_step: called after every step with (step, steps, loss); the loss of a private training is that of
            the calibration rows, because the loss of training rows would spend privacy outside the ledger.

    Raises:
        InputError: the data or a setting cannot be used.
        TrainingDiverged: the loss stopped being a number.
        MissingExtra: `privacy` is asked for and Opacus is not installed.
    """
    settings = Train(
        optimizer=optimizer,  # type: ignore[arg-type]  # checked by the record
        lr=lr,
        epochs=epochs,
        batch_size=batch_size,
        weight_decay=weight_decay,
        patience=patience,
    )
    recipe = Recipe(
        data="",
        net=Net(mlp=net),
        train=settings,
        privacy=privacy,
        seed=seed,
        inputs=None if inputs is None else dict(inputs),
        name=name,
    )
    with _threads(recipe.train.threads):
        return _train(recipe, splits, weights, on_step)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads inside the block; the program's own setting comes back after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(recipe: Recipe, splits: Splits, counting: Array | None, on_step: OnStep | None) -> Run:
    started = time.perf_counter()
    settings, privacy = recipe.train, recipe.privacy
    rows, calibrate = usable(splits)
    features = rows.roles["feature"]
    inputs, constants_from = constants(recipe, rows, calibrate)
    both_labels, positive = labels(rows)

    generator = torch.Generator().manual_seed(recipe.seed)
    module = recipe.net.mlp.build(
        Reads(features=tuple(inputs), numbers=dict(inputs)), generator=generator
    ).train()
    train_rows, calibration = Rows.of(rows, features), Rows.of(calibrate, features)
    data = {"train": data_id(rows), "calibrate": data_id(calibrate)}
    if counting is not None:
        if privacy is not None:
            msg = (
                "weights do not go with privacy: how far one row may move the sum would depend on its weight"
            )
            raise InputError(msg)
        train_rows, data["weights"] = train_rows.weighted(counting), weights_id(counting)
    lr = learning_rate(recipe)
    optimizer = _optimizer(module, settings, lr)
    if privacy is None:
        ledger = None
        history, kept = _plain(
            module,
            optimizer,
            rows=train_rows,
            calibration=calibration,
            settings=settings,
            lr=lr,
            generator=generator,
            on_step=on_step,
        )
    else:
        kept = max(1, round(settings.epochs / privacy.sample_rate))
        noise = accounting.noise_for(privacy, kept)
        with private.engine(module, optimizer, privacy=privacy, noise_multiplier=noise) as engine:
            history = _private(
                engine, rows=train_rows, calibration=calibration, steps=kept, lr=lr, on_step=on_step
            )
        ledger = accounting.Ledger.of(privacy, noise_multiplier=noise, steps=kept)
    module.eval()

    approved = int(calibration.y_NK.sum())
    decision = Decision(
        kind="threshold",
        threshold=matching(_scores(module, calibration.x_NF), approved),
        positive=positive,
        labels=both_labels,
    )
    card = Card(
        name=recipe.name or name_of(recipe, rows),
        digest=digest_of(weights(module), module, decision),
        decision=decision,
        recipe=recipe,
        inputs=inputs,
        features=features,
        constants_from=constants_from,
        decision_from=f"as many yeses on the {calibrate.rows:,} calibration rows as in truth ({approved:,})",
        data=data,
        versions=versions(private_too=privacy is not None),
        threads=settings.threads,
        history=tuple(history),
        kept_step=kept,
        parameters=sum(p.numel() for p in module.parameters()),
        wall_seconds=round(time.perf_counter() - started, 3),
        ledger=ledger,
        notes=notes_on(recipe, rows, constants_from),
    )
    return Run(module=module, card=card)


# --- the two loops -------------------------------------------------------------------------------


def _plain(
    module: Tabular,
    optimizer: torch.optim.Optimizer,
    *,
    rows: Rows,
    calibration: Rows,
    settings: Train,
    lr: float,
    generator: torch.Generator,
    on_step: OnStep | None,
) -> tuple[list[Moment], int]:
    """Shuffled batches until the calibration loss stops falling; the losses, and the step that was kept."""
    steps = settings.epochs * math.ceil(len(rows.x_NF) / settings.batch_size)
    history: list[Moment] = []
    best, best_step, best_state, waited = math.inf, 0, None, 0
    step = 0
    for _ in range(settings.epochs):
        total = 0.0
        for batch in torch.randperm(len(rows.x_NF), generator=generator).split(settings.batch_size):
            step += 1
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(
                module(rows.x_NF[batch]),
                rows.y_NK[batch],
                weight=None if rows.w_NK is None else rows.w_NK[batch],
            )
            loss.backward()
            optimizer.step()
            value = loss.item()
            if not math.isfinite(value):
                raise _diverged(step, lr, value)
            total += value * len(batch)
            if on_step:
                on_step(step, steps, value)
        calibrated = _loss(module, calibration)
        history.append(Moment(step=step, train=total / len(rows.x_NF), calibrate=calibrated))
        if settings.patience is None:
            continue
        if calibrated < best:
            best, best_step, waited = calibrated, step, 0
            best_state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        else:
            waited += 1
            if waited >= settings.patience:
                break
    if best_state is None:
        return history, step
    module.load_state_dict(best_state)
    return history, best_step


def _private(
    engine: private.Engine,
    *,
    rows: Rows,
    calibration: Rows,
    steps: int,
    lr: float,
    on_step: OnStep | None,
) -> list[Moment]:
    """A fixed number of private steps; the loss of the training rows is never computed, let alone shown."""
    each = max(1, round(1 / engine.rate))
    history: list[Moment] = []
    calibrated = None
    for step in range(1, steps + 1):
        drawn = engine.draw(len(rows.x_NF))
        engine.step(rows.x_NF[drawn], rows.y_NK[drawn])
        if step % each == 0 or step == steps:
            calibrated = _loss(engine.plain, calibration)
            if not math.isfinite(calibrated):
                raise _diverged(step, lr, calibrated)
            history.append(Moment(step=step, train=None, calibrate=calibrated))
        if on_step:
            on_step(step, steps, calibrated)
    return history


def _diverged(step: int, lr: float, loss: float) -> TrainingDiverged:
    msg = f"training diverged at step {step:,} with lr {lr:g}: the loss became {loss}; try a smaller lr"
    return TrainingDiverged(msg)


def _optimizer(module: Tabular, settings: Train, lr: float) -> torch.optim.Optimizer:
    parameters = list(module.parameters())
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(parameters, lr=lr, weight_decay=settings.weight_decay, momentum=settings.momentum)


@torch.inference_mode()
def _loss(module: Tabular, rows: Rows) -> float:
    return float(F.binary_cross_entropy_with_logits(module(rows.x_NF), rows.y_NK))


@torch.inference_mode()
def _scores(module: Tabular, x_NF: Tensor) -> Array:
    parts = [torch.sigmoid(module(x_BF))[:, 0].numpy() for x_BF in x_NF.split(BATCH)]
    return np.concatenate(parts).astype(np.float64)


def score_columns(module: Tabular, columns: Mapping[str, Array], *, where: str) -> Array:
    """Scores of the positive label ``(rows,)`` of raw columns: the sigmoid of the module's logits.

    Raises:
        InputError: a column is missing or is not made of numbers.
    """
    return _scores(module, torch.from_numpy(stack(columns, module.features, where=where)))
