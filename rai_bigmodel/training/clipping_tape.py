"""What happened to the parameters in one forward pass, and what came back to them?

While the network runs, every function that reads a trainable parameter is seen. It runs as it always does, except
that autograd takes the parameter for a constant: going back it forms what a layer's input is owed, and never a
weight's gradient. What the function read is remembered, with the place in autograd's graph where the gradient of
what it gave arrives. One backward pass then brings all of these gradients, and of each pair comes a share
(`clipping_shares`) for the parameter.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from rai_bigmodel.errors import InputError
from rai_bigmodel.training import clipping_rules as rule
from rai_bigmodel.training.clipping_fallback import row_by_row
from rai_bigmodel.training.clipping_recurrent import lstm
from rai_bigmodel.training.clipping_shares import Direct, Memo, Share, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LOG = logging.getLogger(__name__)

Site = tuple[str, tuple[str, ...], int]
"""A use of parameters: the function, their names, and the how manieth such use it is in a pass."""

FLAT = (rule.linear, rule.matmul, rule.addmm, rule.embedding, rule.layer_norm)
"""Rules that also read (rows · places, features): the places of one row lie side by side."""

NESTED = {list, tuple}


class Unseen(Exception):
    """A use of a parameter that was not there when the network was looked at."""


class Uses(TorchFunctionMode):
    """Sees every use of the watched tensors: parameters, and what is made of parameters alone.

    Args:
        names: id of each watched tensor → its name.
    """

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self.names = dict(names)
        self.times: dict[Any, int] = {}
        # Tensors made of parameters alone → (the tensor, kept alive; the parameters).
        self.made: dict[int, tuple[Tensor, list[Tensor]]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        names = self.names
        for value in (*args, *kwargs.values()) if kwargs else args:
            if id(value) in names or type(value) in NESTED:
                break
        else:
            return self.other(func, args, kwargs or {})
        kwargs = kwargs or {}
        weights, others = self._split((*args, *kwargs.values()))
        if not weights or not torch.is_grad_enabled():
            return self.other(func, args, kwargs)
        if not others and RULES.get(func) is not rule.expand:
            return self.shared(func, args, kwargs, weights)
        key = (
            func.__name__ if hasattr(func, "__name__") else str(func),
            tuple(names[id(w)] for w in weights),
        )
        nth = self.times[key] = self.times.get(key, 0) + 1
        return self.used((*key, nth), func, args, kwargs, weights)

    def other(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function of no watched tensor."""
        return func(*args, **kwargs)

    def used(
        self, site: Site, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], weights: list[Tensor]
    ) -> Any:
        """A function of watched tensors and others."""
        raise NotImplementedError

    def shared(self, func: Any, args: Any, kwargs: Any, weights: list[Tensor]) -> Any:
        """A result that belongs to no row; if it can be trained, it is watched like a parameter."""
        given = func(*args, **kwargs)
        roots = {id(r): r for w in weights for r in self.roots(w)}
        for made in [given] if isinstance(given, Tensor) else pytree.tree_leaves(given):
            if isinstance(made, Tensor) and made.requires_grad and id(made) not in self.names:
                self.made[id(made)] = (made, list(roots.values()))
                self.names[id(made)] = f"{self.names[id(weights[0])]}~{len(self.made)}"
        return given

    def roots(self, weight: Tensor) -> list[Tensor]:
        """The parameters that a watched tensor is made of."""
        return self.made[id(weight)][1] if id(weight) in self.made else [weight]

    def _split(self, values: Iterable[Any]) -> tuple[list[Tensor], bool]:
        """The watched tensors among the values, and whether there are other tensors."""
        weights, others = [], False
        for value in values:
            if id(value) in self.names:
                weights.append(value)
            elif isinstance(value, Tensor):
                others = True
            elif type(value) in NESTED:
                inner, more = self._split(value)
                weights += inner
                others |= more
        return weights, others


class Tape(Uses):
    """The record of one pass of a batch; it is what rules ask (`clipping_rules.Watcher`).

    Args:
        names: as above.
        layout: use of a parameter → whether its result has the rows first, as `clipping_look` found.
        rows: of the batch.
        said: uses without a rule that the log has named already, which this pass adds to.
    """

    def __init__(
        self, names: dict[int, str], layout: dict[Any, str], rows: int, said: set[str] | None = None
    ) -> None:
        super().__init__(names)
        self.layout = layout
        self.rows = rows
        self.said = set() if said is None else said
        # Where a gradient arrives, what becomes of it, what was read, and how often that had been changed by then.
        self.edges: list[GradientEdge] = []
        self.records: list[tuple[Callable[[Tensor], None], Tensor | None, int, Tensor]] = []
        self.anchor: Tensor | None = None
        self.later: list[tuple[Tensor, Share]] = []
        self.shares: dict[int, list[Share]] = {}

    def used(
        self, site: Site, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], weights: list[Tensor]
    ) -> Any:
        """A function of watched tensors and others, by its rule."""
        kind = self.layout.get(site)
        if kind is None:
            raise Unseen
        if kind == "shared":
            return self.shared(func, args, kwargs, weights)
        found = RULES.get(func)
        if kind == "flat" and found not in FLAT:
            where = ", ".join(site[1])
            msg = f"{where}: {site[0]} reads (rows · something, …); give it the rows alone in the first dimension"
            raise InputError(msg)
        if found is not None:
            try:
                return found(self, *args, **kwargs)
            except rule.Unfit:
                pass
        return self._without_rule(site, func, args, kwargs)

    def _without_rule(self, site: Site, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        names = ", ".join(site[1])
        if (use := f"{names}: {site[0]}") not in self.said:
            self.said.add(use)
            LOG.warning("%s has no rule of its own; each row's gradient of it is written out (slow)", use)
        try:
            return row_by_row(self, func, args, kwargs)
        except (RuntimeError, TypeError, IndexError, ValueError, AttributeError) as error:
            why = str(error).strip().splitlines()[:1]
            msg = (
                f"{names}: its use in {site[0]} cannot be clipped row by row ({''.join(why)}); use a layer of "
                "torch.nn for it, or freeze the parameter"
            )
            raise InputError(msg) from error

    def wants(self, weight: Tensor | None) -> bool:
        """Whether the gradient of this tensor is to be clipped."""
        return id(weight) in self.names

    def watch(
        self, given: Tensor, back: Callable[[Tensor], None], weight: Tensor, read: Tensor | None = None
    ) -> None:
        """Call `back` with the gradient of what a function gave.

        A result that is a view of another is watched where autograd made it: a change in place moves the view's own
        place in the graph.
        """
        made = given
        if read is not None and given._is_view() and given._base is not None:  # noqa: SLF001 - no other way to ask
            made = given._base  # noqa: SLF001
        assert made.grad_fn is not None
        self.edges.append(GradientEdge(made.grad_fn, made.output_nr))
        self.records.append((back, read, read._version if read is not None else 0, weight))  # noqa: SLF001

    def apply(self, forward: Any, backward: Any, read: Sequence[Tensor]) -> Any:
        """Run `forward` now and `backward` when the gradients of its results are known."""
        if self.anchor is None:
            self.anchor = torch.zeros((), requires_grad=True)
        return _Watch.apply(self.anchor, forward, backward, *read)

    def give(self, weight: Tensor, share: Share) -> None:
        """Take the rows' gradients of one use."""
        if id(weight) in self.made:
            self.later.append((weight, share))
        else:
            self.shares.setdefault(id(weight), []).append(share)

    def backward(self, losses: Tensor, weights: Sequence[Tensor]) -> list[str]:
        """One backward pass; the names of parameters whose gradient came another way."""
        trained = [w for w in weights if w.requires_grad]
        wanted: list[Any] = [*self.edges, *trained]
        if self.anchor is not None:
            wanted.append(self.anchor)
        try:
            grads: list[Tensor | None] = list(
                torch.autograd.grad(losses, wanted, torch.ones_like(losses), allow_unused=True)
            )
        except RuntimeError as error:
            if "checkpoint" not in str(error):
                raise
            msg = "checkpointing (torch.utils.checkpoint) cannot be clipped row by row; leave it out"
            raise InputError(msg) from error
        among = grads[len(self.edges) : len(self.edges) + len(trained)]
        escaped = [self.names[id(w)] for w, g in zip(trained, among, strict=True) if g is not None]
        with torch.no_grad():
            for at, (back, read, version, weight) in enumerate(self.records):
                g, grads[at] = grads[at], None
                if g is None:
                    continue
                if read is not None and read._version != version:  # noqa: SLF001 - autograd's own check asks it too
                    msg = (
                        f"{self.names[id(weight)]}: what it was used with was changed in place afterwards, so its "
                        "gradient is lost; write x = x + y instead of x += y there"
                    )
                    raise InputError(msg)
                back(g)
        self.edges.clear()
        self.records.clear()
        return escaped

    def add(self, weights: Sequence[Tensor], factors: Callable[[Tensor], Tensor]) -> Tensor:
        """Add the weighted sums of the rows' gradients to ``weight.grad``.

        Args:
            factors: lengths of gradients over all parameters → what their rows count.

        Returns:
            The lengths, ``(rows,)``.
        """
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
                    self.shares.setdefault(id(root), []).append(Direct(g))
        self.later.clear()
        shares = {key: together(some) for key, some in self.shares.items()}
        self.shares.clear()
        memo = Memo()
        lengths: list[Tensor] = []
        kept: dict[int, Share] = {}
        for key in list(shares):
            # What is no longer needed once its lengths are known goes at once.
            length, kept[key] = shares.pop(key).settle(memo)
            lengths.append(length)
        if not lengths:
            return torch.zeros(self.rows)
        total = torch.linalg.vector_norm(torch.stack(lengths), dim=0)
        sums = {id(w): w.grad for w in weights if w.grad is not None}
        every = factors(total)
        for key in list(kept):
            kept.pop(key).add_to(sums[key], every)
        return total


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
