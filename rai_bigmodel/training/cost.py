"""What does a training cost? Floating point operations of one row, and an estimate of the energy."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.evidence import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


class Energy(Record):
    """An estimate of the energy that a training used, and of what that emitted.

    Args:
        kwh: electric energy, in kilowatt-hours; measured where the machine has counters, else from its
            processors' nominal power.
        co2e_kg: kilograms of CO2 equivalent, by the mean mix of the country's electricity.
        country: its ISO code of three letters.
        by: the package that estimated, and its version.
    """

    kwh: float
    co2e_kg: float
    country: str
    by: str


class Meter:
    """Holds the estimate once the block of `metering` has ended."""

    energy: Energy | None = None


@contextlib.contextmanager
def metering(country: str | None) -> Iterator[Meter]:
    """Estimate the energy of a block with codecarbon, offline; without a country nothing is measured.

    Raises:
        InputError: codecarbon does not know the country.
        MissingExtra: codecarbon is not installed.
    """
    meter = Meter()
    if country is None:
        yield meter
        return
    with _quiet():
        try:
            from codecarbon import OfflineEmissionsTracker
        except ImportError:
            package, extra = "codecarbon", "energy"
            raise MissingExtra(package, extra, "estimating the energy of a training") from None
        from codecarbon.input import DataSource

        if country not in DataSource().get_global_energy_mix_data():
            msg = f"train: energy_in must be the ISO code of a country in three letters, such as DEU, got {country!r}"
            raise InputError(msg)
        tracker: Any = OfflineEmissionsTracker(
            country_iso_code=country,
            save_to_file=False,
            log_level="critical",
            measure_power_secs=5,
            allow_multiple_runs=True,
        )
        tracker.start()
    try:
        yield meter
    finally:
        with _quiet():
            emitted = tracker.stop()
    meter.energy = Energy(
        kwh=float(tracker.final_emissions_data.energy_consumed),
        co2e_kg=float(emitted),
        country=country,
        by=f"codecarbon {importlib.metadata.version('codecarbon')}",
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Codecarbon logs, also before it has read its log level, and warns about counters that a machine lacks."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


def flops_of(module: Any, inputs: tuple[Tensor, ...]) -> float:
    """Floating point operations of one row through the network, forwards; two for a multiplication and an addition.

    Products of matrices, convolutions and attention are counted, by torch's own counter; an LSTM, which it does not
    know, by its four gates: 8 · hidden · (input + hidden) for each step, layer and direction.
    """
    from torch.utils.flop_counter import FlopCounterMode

    recurrent: list[int] = []

    def gates(lstm: torch.nn.LSTM, given: tuple[Tensor, ...], _: object) -> None:
        directions = 2 if lstm.bidirectional else 1
        for layer in range(lstm.num_layers):
            width = lstm.hidden_size * directions if layer else lstm.input_size
            steps = given[0].shape[1 if lstm.batch_first else 0]
            recurrent.append(8 * lstm.hidden_size * (width + lstm.hidden_size) * steps * directions)

    hooks = [m.register_forward_hook(gates) for m in module.modules() if isinstance(m, torch.nn.LSTM)]
    was_training = module.training
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module.eval()(*(x[:1] for x in inputs))
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    return float(counter.get_total_flops() + sum(recurrent))
