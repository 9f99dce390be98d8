"""The sum of every row's clipped gradient, in one backward pass and at nearly the price of the plain one.

Book-keeping ghost clipping (Bu, Wang, Zha and Karypis 2023, "Differentially private optimization on large model at
small cost"): the ordinary backward pass goes down the network, and forms no weight's gradient. From what each
function read and the gradient of what it gave comes the length of every row's gradient; when all lengths are known,
every weight's gradient is formed once, each row counted with its factor min(1, clip / length).

Functions are watched, not layers (`clipping_tape`; where plain layers are all there is, they alone,
`clipping_layers`): whatever uses a trainable parameter is seen when it is called. It has a rule (`clipping_rules`), or
is done row by row (`clipping_fallback`, said in the log), or is refused by name. What could escape is looked for
after every pass: a parameter whose gradient came another way stops the training.

Before the first step the network is run twice on a few rows (`clipping_look`). That shows which results have the rows
first and which belong to no row (position embeddings), and that no row's numbers depend on another row.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rai_bigmodel.errors import InputError
from rai_bigmodel.training.clipping_layers import plain_layers, watched
from rai_bigmodel.training.clipping_look import OTHER_PATH, check_losses, look, tensors
from rai_bigmodel.training.clipping_tape import Tape, Unseen

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

KEPT = 31 << 20
"""Bytes of the largest block that the C library keeps for later, of at most 32 MiB."""


@dataclass(frozen=True, kw_only=True)
class Clipper:
    """A module whose gradients can be clipped row by row; made by `clipper`.

    Args:
        module: the module, unwrapped and unchanged.
        weights: its trainable parameters.
        names: id of each trainable parameter → its name.
        layout: use of a parameter → whether its result has the rows first; found out at the first batch.
        layers: those that make all use of the parameters, if there are such; the same.
        said: uses of parameters that the log has named as slow, each once.
        half: whether the large products of a pass are computed in bfloat16 (autocast). Lengths and sums are float32.
    """

    module: nn.Module
    weights: tuple[Tensor, ...]
    names: dict[int, str]
    layout: dict[Any, str] = field(default_factory=dict)
    layers: dict[nn.Module, int] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    half: bool = False

    def accumulate(
        self, loss_per_row: Callable[..., Tensor], *batch: Any, clip: float, scale: float = 1.0
    ) -> Tensor:
        """Add scale · Σ_i min(1, clip / |g_i|) · g_i to ``parameter.grad`` of every trainable parameter.

        g_i is the gradient of row i's own loss, over all trainable parameters together; nothing is divided by the
        number of rows. Several calls add up, so that a step may be made of batches that fit into memory; where
        several processes share a step, their ``parameter.grad`` are to be added after it. A batch without rows
        adds nothing.

        Args:
            loss_per_row: ``loss_per_row(*batch)`` runs the module and returns one loss a row, ``(rows,)``.
            batch: tensors (or nested lists, tuples and dicts of them) with the rows first.
            clip: the longest a row's gradient may be.
            scale: for example one over the declared number of rows a step; noise is to be scaled likewise.

        Returns:
            The rows' lengths |g_i| before clipping, ``(rows,)``. They are as private as the rows: for tests only.

        Raises:
            InputError: something in the module cannot be clipped row by row; it is named.
        """
        if not clip > 0:
            msg = f"clip must be above 0, got {clip!r}"
            raise InputError(msg)
        for weight in self.weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        rows = _rows(batch)
        if not rows:
            return torch.zeros(0)
        # Rows that had to be repeated show less than different ones.
        if self.layout.get("rows", "") != "enough":
            self._look(loss_per_row, batch, rows)
        try:
            tape = self._pass(loss_per_row, batch, rows)
        except Unseen:
            # The path through the network may depend on the numbers: look again, once.
            self._look(loss_per_row, batch, rows)
            try:
                tape = self._pass(loss_per_row, batch, rows)
            except Unseen:
                raise InputError(OTHER_PATH) from None

        def factors(lengths: Tensor) -> Tensor:
            # A row without a gradient is of length 0, and its factor the largest.
            return lengths.reciprocal().mul_(clip * scale).clamp_(max=scale)

        with torch.no_grad():
            return tape.add(self.weights, factors)

    def _pass(self, loss_per_row: Callable[..., Tensor], batch: tuple[Any, ...], rows: int) -> Tape:
        if self.layers:
            tape = Tape(self.names, self.layout, rows, self.said)
            with _quiet(self.module), self._halved(), watched(tape, self.layers):
                losses = loss_per_row(*batch)
            check_losses(losses, rows)
            if not losses.requires_grad or not tape.backward(losses, self.weights):
                return tape
            # Something else uses a parameter, too: watch everything.
            self.layers.clear()
        tape = Tape(self.names, self.layout, rows, self.said)
        with _quiet(self.module), self._halved(), tape:
            losses = loss_per_row(*batch)
        check_losses(losses, rows)
        if losses.requires_grad and (escaped := tape.backward(losses, self.weights)):
            msg = (
                f"the gradient of {', '.join(escaped)} was formed where it cannot be clipped row by row (a compiled "
                "or scripted part, a function of one's own, or checkpointing); leave that out, or freeze the parameter"
            )
            raise InputError(msg)
        return tape

    def _halved(self) -> AbstractContextManager[Any]:
        # Not for the look: numbers of rows would differ by rounding alone.
        device = self.weights[0].device.type
        return torch.autocast(device, dtype=torch.bfloat16) if self.half else contextlib.nullcontext()

    def _look(self, loss_per_row: Callable[..., Tensor], batch: tuple[Any, ...], rows: int) -> None:
        with _quiet(self.module):
            self.layout.update(look(self.module, self.names, loss_per_row, batch, rows))
        self.layers.clear()
        self.layers.update(plain_layers(self.module, self.names, self.layout))


def clipper(module: nn.Module, *, half: bool = False) -> Clipper:
    """Prepare a module, plain or inside ``DistributedDataParallel``, for `Clipper.accumulate`.

    Nothing is changed in the module. Under data parallelism the processes' gradients are not added here (a private
    step adds them, then the noise, once).

    Args:
        half: compute the large products in bfloat16; weights, lengths and sums stay float32.

    Raises:
        InputError: parts of the module cannot be clipped row by row; all are named, each with the way out.
    """
    plain = module.module if isinstance(module, nn.parallel.DistributedDataParallel) else module
    if found := obstacles(plain):
        msg = f"this network's gradients cannot be clipped row by row ({len(found)} obstacles): {'; '.join(found)}"
        raise InputError(msg)
    names = {id(p): name for name, p in plain.named_parameters() if p.requires_grad}
    if not names:
        msg = "the network has no parameter that is trained: all are frozen"
        raise InputError(msg)
    # glibc gives large blocks back to the system at once, until it has seen one of this size given back: untouched,
    # it costs nothing, and spares every step the price of asking for the same memory again.
    torch.empty(KEPT, dtype=torch.uint8)
    return Clipper(
        module=module, weights=tuple(p for p in plain.parameters() if p.requires_grad), names=names, half=half
    )


def obstacles(module: nn.Module, *, hooks: bool = False) -> list[str]:
    """What of a module this engine cannot clip, each with the way out; that rows are not mixed is seen by running it.

    Opacus' validator asks what may be trained privately at all; this asks what can be clipped here.

    Args:
        hooks: whether Opacus' hooks clip: only what mixes rows and its validator accepts.
    """
    found = []
    for name, part in module.named_modules():
        trained = any(p.requires_grad for p in part.parameters())
        kind = type(part).__name__
        if not trained:
            continue
        if re.search(r"moe|experts?$|mixtureof|sparsemlp", kind, re.IGNORECASE):
            found.append(
                f"{name or kind} ({kind}) sends rows to experts, which mixes them; use a dense layer"
            )
        elif isinstance(part, (nn.Embedding, nn.EmbeddingBag)) and (part.max_norm or part.scale_grad_by_freq):
            found.append(
                f"{name or kind} ({kind}) has max_norm or scale_grad_by_freq, which mix rows; leave them out"
            )
        elif hooks:
            continue
        elif isinstance(part, (nn.GRU, nn.RNN)):
            found.append(
                f"{name or kind} ({kind}) has a fused kernel that only nn.LSTM's is known of; use nn.LSTM"
            )
        elif isinstance(part, nn.LSTM) and part.proj_size:
            found.append(f"{name or kind} (LSTM) has proj_size; leave it out and put an nn.Linear behind it")
        elif isinstance(part, nn.MultiheadAttention):
            found.append(
                f"{name or kind} (MultiheadAttention) packs its weights and puts time before rows; use nn.Linear for "
                "query, key, value and output with scaled_dot_product_attention"
            )
        elif isinstance(part, torch.jit.ScriptModule) or hasattr(part, "_orig_mod"):
            found.append(f"{name or kind} ({kind}) is compiled; compile nothing before private training")
    return found


def _quiet(module: nn.Module) -> AbstractContextManager[None]:
    """Data parallelism adds gradients as they appear; here they appear later, and are added by the private step."""
    if isinstance(module, nn.parallel.DistributedDataParallel):
        quiet: AbstractContextManager[None] = module.no_sync()
        return quiet
    return contextlib.nullcontext()


def _rows(batch: tuple[Any, ...]) -> int:
    lengths = {t.shape[0] for t in tensors(batch)}
    if len(lengths) != 1:
        msg = f"the tensors of a batch must have one number of rows, got {sorted(lengths) or 'no tensor'}"
        raise InputError(msg)
    return lengths.pop()
