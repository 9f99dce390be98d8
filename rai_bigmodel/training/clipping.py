"""The sum of every row's clipped gradient, in one backward pass and at nearly the price of the plain one.

Book-keeping ghost clipping (Bu, Wang, Zha and Karypis 2023, "Differentially private optimization on large model at
small cost"): while the ordinary backward pass goes down the network, the length of every row's gradient is taken
from what each function read and from the gradient of what it gave; when all lengths are known, every weight's
gradient is formed once, each row counted with its factor min(1, clip / length).

Functions are watched, not layers: whatever uses a trainable parameter is seen when it is called. It has a rule
(`clipping_rules`), or is done row by row (`clipping_fallback`, said in the log), or is refused by name. What could
escape is looked for after every pass: a parameter whose gradient came another way stops the training.

Before the first step the network is run twice on a few rows. That shows which results have the rows first and
which belong to no row (position embeddings), and that no row's numbers depend on another row.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from rai_bigmodel.errors import InputError
from rai_bigmodel.training import clipping_rules as rule
from rai_bigmodel.training.clipping_fallback import row_by_row
from rai_bigmodel.training.clipping_recurrent import lstm
from rai_bigmodel.training.clipping_shares import Direct, Share, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

LOG = logging.getLogger(__name__)

FLAT = (rule.linear, rule.matmul, rule.addmm, rule.embedding, rule.layer_norm)
"""Rules that also read (rows · places, features): the places of one row lie side by side."""


OTHER_PATH = (
    "the network takes another path for other rows, as mixtures of experts do, so what a row adds to it cannot be "
    "told; use layers that treat all rows alike"
)


@dataclass(frozen=True, kw_only=True)
class Clipper:
    """A module whose gradients can be clipped row by row; made by `clipper`.

    Args:
        module: the module, unwrapped and unchanged.
        weights: its trainable parameters.
        names: id of each trainable parameter → its name.
        layout: use of a parameter → whether its result has the rows first; found out at the first batch.
    """

    module: nn.Module
    weights: tuple[Tensor, ...]
    names: dict[int, str]
    layout: dict[Any, str] = field(default_factory=dict)

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
        except _Unseen:
            # The path through the network may depend on the numbers: look again, once.
            self._look(loss_per_row, batch, rows)
            try:
                tape = self._pass(loss_per_row, batch, rows)
            except _Unseen:
                raise InputError(OTHER_PATH) from None
        with torch.no_grad():
            squares = tape.finished()
            lengths = squares.sqrt()
            factors = (clip / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)).clamp_(max=1)
            factors *= scale
            for weight in self.weights:
                if id(weight) in tape.kept:
                    share = tape.kept.pop(id(weight))
                    share.add_to(weight.grad, factors)  # type: ignore[arg-type]  # made above
        return lengths

    def _pass(self, loss_per_row: Callable[..., Tensor], batch: tuple[Any, ...], rows: int) -> _Tape:
        tape = _Tape(self.names, self.layout, rows)
        with tape, _quiet(self.module):
            losses = loss_per_row(*batch)
        _check_losses(losses, rows)
        before = [weight.grad for weight in self.weights]
        for weight in self.weights:
            weight.grad = None
        try:
            if losses.requires_grad:
                torch.autograd.backward(losses, torch.ones_like(losses))
            escaped = [self.names[id(weight)] for weight in self.weights if weight.grad is not None]
        finally:
            for weight, grad in zip(self.weights, before, strict=True):
                weight.grad = grad
        if escaped:
            msg = (
                f"the gradient of {', '.join(escaped)} was formed where it cannot be clipped row by row (a compiled "
                "or scripted part, a function of one's own, or checkpointing); leave that out, or freeze the parameter"
            )
            raise InputError(msg)
        return tape

    def _look(self, loss_per_row: Callable[..., Tensor], batch: tuple[Any, ...], rows: int) -> None:
        """Run the network on two small batches, and note for each use of a parameter what its result is."""
        sizes = {n for p in self.module.parameters() for n in p.shape}
        sizes |= {n for t in _tensors(batch) for n in t.shape[1:]}
        # Numbers of rows that no other dimension is likely to have.
        few = [n for n in range(3, 64) if n not in sizes]
        for first, second in ((few[0], few[2]), (few[1], few[4]), (few[5], few[9])):
            # The small batch are rows from within the large one: neither the first row nor the last is the same.
            large_batch = _few(batch, second, rows)
            small_batch = pytree.tree_map(functools.partial(_within, count=first), large_batch)
            small = self._glance(loss_per_row, small_batch, first)
            large = self._glance(loss_per_row, large_batch, second)
            if [(site, kind) for site, kind, _ in small] == [(site, kind) for site, kind, _ in large]:
                break
        else:
            raise InputError(OTHER_PATH)
        for (site, kind, one), (_, _, other) in zip(small, large, strict=True):
            each = len(one) // first
            within = other if kind == "shared" else other[each : each * (first + 1)]
            room = 1e-3 * float(one.abs().max()) if one.numel() else 0.0
            if one.shape != within.shape or not torch.allclose(one, within, rtol=1e-3, atol=room):
                where = site if isinstance(site, str) else f"{site[1]} in {site[0]}"
                msg = (
                    f"{where}: a row's numbers there depend on the other rows, or the rows do not come first; "
                    "batch normalisation, mixtures of experts and (time, rows) layouts do that: use layers that keep "
                    "each row to itself, rows first"
                )
                raise InputError(msg)
            self.layout[site] = kind
        self.layout["rows"] = "enough" if rows >= second else "too few"

    def _glance(self, loss_per_row: Callable[..., Tensor], batch: tuple[Any, ...], rows: int) -> list[Any]:
        kept = [(b, b.clone()) for b in self.module.buffers()]
        tape = _Tape(self.names, self.layout, rows, looking=True)
        with torch.random.fork_rng(devices=[]), tape, _quiet(self.module):
            losses = loss_per_row(*batch)
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
        _check_losses(losses, rows)
        return [*tape.seen, ("the loss", "rows", losses.detach().float())]


def clipper(module: nn.Module) -> Clipper:
    """Prepare a module, plain or inside ``DistributedDataParallel``, for `Clipper.accumulate`.

    Nothing is changed in the module. Under data parallelism the processes' gradients are not added here (a private
    step adds them, then the noise, once).

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
    return Clipper(
        module=module, weights=tuple(p for p in plain.parameters() if p.requires_grad), names=names
    )


def obstacles(module: nn.Module) -> list[str]:
    """What of a module this engine cannot clip, each with the way out; that rows are not mixed is seen by running it.

    Opacus' validator asks what may be trained privately at all; this asks what can be clipped here.
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
        elif isinstance(part, (nn.Embedding, nn.EmbeddingBag)) and (part.max_norm or part.scale_grad_by_freq):
            found.append(
                f"{name or kind} ({kind}) has max_norm or scale_grad_by_freq, which mix rows; leave them out"
            )
        elif isinstance(part, torch.jit.ScriptModule) or hasattr(part, "_orig_mod"):
            found.append(f"{name or kind} ({kind}) is compiled; compile nothing before private training")
    return found


class _Unseen(Exception):
    """A use of a parameter that was not there when the network was looked at."""


class _Watch(torch.autograd.Function):
    """A function whose weights' gradients are handed to the tape, and only that of what it read is passed on."""

    @staticmethod
    def forward(ctx: Any, _anchor: Tensor, forward: Any, backward: Any, *read: Tensor) -> Any:
        """The function itself."""
        given, saved = forward(*read)
        ctx.save_for_backward(*saved)
        ctx.set_materialize_grads(False)
        ctx.back = backward
        return given

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """The gradients of what was read."""
        if all(g is None for g in grads):
            return (None,) * len(ctx.needs_input_grad)
        return None, None, None, *ctx.back(ctx.saved_tensors, grads, ctx.needs_input_grad[3:])


class _Tape(TorchFunctionMode):
    """What happened to the parameters in one forward pass, and what came back to them."""

    def __init__(
        self, names: dict[int, str], layout: dict[Any, str], rows: int, *, looking: bool = False
    ) -> None:
        super().__init__()
        self.names = dict(names)
        self.layout = layout
        self.rows = rows
        self.looking = looking
        self.seen: list[Any] = []
        self.times: dict[Any, int] = {}
        self.uses: dict[int, int] = {}
        self.pending: dict[int, list[Share]] = {}
        self.kept: dict[int, Share] = {}
        self.squares: list[Tensor] = []
        # Tensors made of parameters alone → (the tensor, kept alive; the parameters).
        self.made: dict[int, tuple[Tensor, list[Tensor]]] = {}
        self.later: list[tuple[Tensor, Share]] = []
        self.anchor = torch.zeros((), requires_grad=True)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        weights, others = self._split((*args, *kwargs.values()))
        if self.looking and (calm := _without_chance(func, args, kwargs)) is not None:
            args, kwargs = calm
        if not weights or not torch.is_grad_enabled():
            return func(*args, **kwargs)
        found = RULES.get(func)
        if not others and found is not rule.expand:
            return self._shared(func, args, kwargs, weights)
        key = (getattr(func, "__name__", str(func)), ", ".join(self.names[id(w)] for w in weights))
        nth = self.times[key] = self.times.get(key, 0) + 1
        site = (*key, nth)
        if self.looking:
            return self._looked(site, func, args, kwargs, weights)
        kind = self.layout.get(site)
        if kind is None:
            raise _Unseen
        if kind == "shared":
            return self._shared(func, args, kwargs, weights)
        if kind == "flat" and found not in FLAT:
            msg = f"{site[1]}: {site[0]} reads (rows · something, …); give it the rows alone in the first dimension"
            raise InputError(msg)
        uses = dict(self.uses)
        if found is not None:
            try:
                return found(self, *args, **kwargs)
            except rule.Unfit:
                self.uses = uses
        return self._without_rule(site, func, args, kwargs)

    def _without_rule(self, site: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        LOG.warning(
            "%s: %s has no rule of its own; each row's gradient of it is written out (slow)", site[1], site[0]
        )
        uses = dict(self.uses)
        try:
            return row_by_row(self, func, args, kwargs)
        except (RuntimeError, TypeError, IndexError, ValueError, AttributeError) as error:
            self.uses = uses
            why = str(error).strip().splitlines()[:1]
            msg = (
                f"{site[1]}: its use in {site[0]} cannot be clipped row by row ({''.join(why)}); use a layer of "
                "torch.nn for it, or freeze the parameter"
            )
            raise InputError(msg) from error

    def _split(self, values: Iterable[Any]) -> tuple[list[Tensor], bool]:
        """The watched tensors among the values, and whether there are other tensors."""
        weights, others = [], False
        for value in values:
            if id(value) in self.names:
                weights.append(value)
            elif isinstance(value, Tensor):
                others = True
            elif type(value) in {list, tuple}:
                inner, more = self._split(value)
                weights += inner
                others |= more
        return weights, others

    def _shared(self, func: Any, args: Any, kwargs: Any, weights: list[Tensor]) -> Any:
        """A result that belongs to no row; if it can be trained, it is watched like a parameter."""
        given = func(*args, **kwargs)
        roots = {id(r): r for w in weights for r in self._roots(w)}
        for made in [given] if isinstance(given, Tensor) else pytree.tree_leaves(given):
            if isinstance(made, Tensor) and made.requires_grad and id(made) not in self.names:
                self.made[id(made)] = (made, list(roots.values()))
                self.names[id(made)] = f"{self.names[id(weights[0])]}~{len(self.made)}"
        return given

    def _looked(self, site: Any, func: Any, args: Any, kwargs: Any, weights: list[Tensor]) -> Any:
        given = func(*args, **kwargs)
        first = (
            given
            if isinstance(given, Tensor)
            else next((t for t in pytree.tree_leaves(given) if isinstance(t, Tensor)), None)
        )
        if first is None or not first.requires_grad:
            return given
        out = first.detach()[None] if not first.dim() else first.detach()
        if func is torch.lstm and not args[-1]:
            out = out.transpose(0, 1)
        size = out.shape[0]
        kind = "rows" if size == self.rows else "flat" if size and size % self.rows == 0 else "shared"
        if kind == "shared":
            self._shared(lambda: given, (), {}, weights)
        self.seen.append((site, kind, out.float().clone()))
        return given

    def _roots(self, weight: Tensor) -> list[Tensor]:
        return self.made[id(weight)][1] if id(weight) in self.made else [weight]

    def wants(self, weight: Tensor | None) -> bool:
        return id(weight) in self.names

    def apply(
        self, forward: Any, backward: Any, read: Sequence[Tensor], weights: Sequence[Tensor | None]
    ) -> Any:
        given = _Watch.apply(self.anchor, forward, backward, *read)
        for weight in weights:
            if weight is not None and id(weight) in self.names:
                for root in self._roots(weight):
                    self.uses[id(root)] = self.uses.get(id(root), 0) + 1
        return given

    def give(self, weight: Tensor, share: Share) -> None:
        if id(weight) in self.made:
            self.later.append((weight, share))
        else:
            self._arrive(id(weight), share)

    def _arrive(self, key: int, share: Share) -> None:
        # Lengths are taken at once where this was the only use, so that no more is kept than must be.
        if self.uses[key] == 1:
            self._settle(key, share)
        else:
            self.pending.setdefault(key, []).append(share)

    def _settle(self, key: int, share: Share) -> None:
        squares, self.kept[key] = share.settle()
        self.squares.append(squares)

    def finished(self) -> Tensor:
        """The squared length of each row's gradient over all parameters, ``(rows,)``."""
        for made, share in self.later:
            roots = self.made[id(made)][1]
            found = torch.autograd.grad(
                made,
                roots,
                share.per_row().to(made.dtype),
                is_grads_batched=True,
                retain_graph=True,
                allow_unused=True,
            )
            for root, g in zip(roots, found, strict=True):
                if g is not None:
                    self.pending.setdefault(id(root), []).append(Direct(g))
        self.later.clear()
        for key, shares in self.pending.items():
            assert key not in self.kept
            self._settle(key, together(shares))
        self.pending.clear()
        return torch.stack(self.squares).sum(0) if self.squares else torch.zeros(self.rows)


def _without_chance(func: Any, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
    """The arguments with which a function drops nothing by chance; None where it never does."""
    if func in DROPS:
        kwargs = dict(kwargs)
        args = list(args)
        for name, at in DROPS[func].items():
            if len(args) > at:
                args[at] = 0.0
            elif name in kwargs or name == "p":
                kwargs[name] = 0.0
        return tuple(args), kwargs
    return None


@contextlib.contextmanager
def _quiet(module: nn.Module) -> Iterator[None]:
    """Data parallelism adds gradients as they appear; here they appear later, and are added by the private step."""
    if isinstance(module, nn.parallel.DistributedDataParallel):
        with module.no_sync():
            yield
    else:
        yield


def _tensors(batch: Any) -> list[Tensor]:
    return [t for t in pytree.tree_leaves(batch) if isinstance(t, Tensor) and t.dim()]


def _rows(batch: tuple[Any, ...]) -> int:
    lengths = {len(t) for t in _tensors(batch)}
    if len(lengths) != 1:
        msg = f"the tensors of a batch must have one number of rows, got {sorted(lengths) or 'no tensor'}"
        raise InputError(msg)
    return lengths.pop()


def _within(leaf: Any, count: int) -> Any:
    """As many rows, without the first one and with the last ones left out."""
    return leaf[1 : count + 1] if isinstance(leaf, Tensor) and leaf.dim() else leaf


def _few(batch: tuple[Any, ...], count: int, rows: int) -> tuple[Any, ...]:
    """The first rows, repeated where there are too few."""

    def pick(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not leaf.dim():
            return leaf
        return leaf.detach()[torch.arange(count, device=leaf.device) % rows]

    return pytree.tree_map(pick, batch)


def _check_losses(losses: Any, rows: int) -> None:
    if not isinstance(losses, Tensor) or losses.shape != (rows,):
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        msg = f"the loss must be one number a row, ({rows},), got {got}; use reduction='none' and sum each row's own"
        raise InputError(msg)


def _rules() -> dict[Any, Callable[..., Any]]:
    """Function → rule, called with the tape and the function's own arguments."""
    found: dict[Any, Callable[..., Any]] = {
        F.linear: rule.linear,
        torch.addmm: rule.addmm,
        torch.conv1d: rule.conv,
        torch.conv2d: rule.conv,
        torch.conv_transpose1d: rule.conv_transpose,
        torch.conv_transpose2d: rule.conv_transpose,
        F.embedding: rule.embedding,
        F.layer_norm: rule.layer_norm,
        F.group_norm: rule.group_norm,
        F.rms_norm: rule.rms_norm,
        torch.lstm: lstm,
        torch.Tensor.expand: rule.expand,
    }
    for name in ("matmul", "__matmul__", "mm"):
        for home in (torch, torch.Tensor):
            if hasattr(home, name):
                found[getattr(home, name)] = rule.matmul
    for name in ("add", "sub", "mul", "div", "true_divide", "maximum", "minimum"):
        methods = [
            getattr(torch.Tensor, spelt.format(name), None)
            for spelt in ("{}", "{}_", "__{}__", "__r{}__", "__i{}__")
        ]
        for func in (getattr(torch, name), *methods):
            if func is not None:
                found[func] = functools.partial(rule.broadcast, func=func)
    return found


RULES = _rules()
DROPS = {
    F.dropout: {"p": 1},
    F.dropout1d: {"p": 1},
    F.dropout2d: {"p": 1},
    F.dropout3d: {"p": 1},
    F.alpha_dropout: {"p": 1},
    F.feature_alpha_dropout: {"p": 1},
    torch.dropout: {"p": 1},
    F.scaled_dot_product_attention: {"dropout_p": 4},
    torch.lstm: {"dropout": 5},
}
"""Functions that drop by chance → the arguments that say how much, and where they stand."""
