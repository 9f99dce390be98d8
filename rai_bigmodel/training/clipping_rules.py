"""Which functions of a network have parameters, and what each row's gradient of them is.

A rule runs the function with its parameters taken for constants, so that autograd passes on the gradient of what was
read and forms none of theirs. Of the gradient of what was given it makes for each parameter a share
(`clipping_shares`), from which the sum of the clipped gradients is formed later. Rules are about functions, not
layers, so that a weight is found wherever it is used: in a layer, in two layers, or by hand.

Shapes: B rows come first in what is read and given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from rai_bigmodel.training.clipping_patches import Patches
from rai_bigmodel.training.clipping_shares import Direct, Lookup, Memo, Outer, Share, Summed, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Forward = Callable[..., tuple[Any, tuple[Tensor | None, ...]]]
    """What was read → what is given, and what must be remembered."""
    Backward = Callable[..., tuple[Tensor | None, ...]]
    """What was remembered, the gradients of what was given, which gradients are asked for → those of what was read."""


class Watcher(Protocol):
    """What a rule may ask of the tape."""

    rows: int

    def wants(self, weight: Tensor | None) -> bool:
        """Whether the gradient of this tensor is to be clipped: a parameter, or made of parameters alone."""

    def give(self, weight: Tensor, share: Share) -> None:
        """Hand over the rows' gradients of one use."""

    def watch(
        self, given: Tensor, back: Callable[[Tensor], None], weight: Tensor, read: Tensor | None = None
    ) -> None:
        """Call `back` with the gradient of what was given, once it is known.

        Args:
            weight: whose use it is, for messages.
            read: what `back` needs as it is now; that it was not changed meanwhile is looked after.
        """

    def apply(self, forward: Forward, backward: Backward, read: Sequence[Tensor]) -> Any:
        """Run `forward` now and `backward` when the gradients of its results are known: for what autograd cannot do."""


class Unfit(Exception):
    """The rule does not cover this way to call the function; it is handled as one without a rule."""


def constant(tape: Watcher, weight: Tensor | None) -> Tensor | None:
    """A weight as the forward pass reads it; its gradient goes through its share alone."""
    if weight is None or tape.wants(weight):
        return None if weight is None else weight.detach()
    if weight.requires_grad:
        # It is computed from rows (a network that makes weights): its gradient must flow, and no rule here does that.
        raise Unfit
    return weight


def moving(x: Tensor) -> Tensor:
    """What is read, such that autograd keeps a place for the gradient of what comes of it."""
    return x if x.requires_grad else x.detach().requires_grad_()


def places(tape: Watcher, x: Tensor) -> Tensor:
    """``(B, …, N)`` or ``(B · T, N)`` as ``(B, T, N)``, or as it is where there is one place a row."""
    if x.dim() <= 3 and x.shape[0] == tape.rows and x.dim() > 1:
        return x
    x_BTN = x.reshape(tape.rows, -1, x.shape[-1])
    return x_BTN[:, 0] if x_BTN.shape[1] == 1 else x_BTN


def wide(g: Tensor) -> Tensor:
    """Sums of half precision are taken in float32."""
    return g.float() if g.dtype in {torch.float16, torch.bfloat16} else g


def linear(tape: Watcher, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """``F.linear``, with any number of dimensions between row and feature."""
    w, b = constant(tape, weight), constant(tape, bias)
    assert w is not None
    given = F.linear(moving(x), w, b)
    tape.watch(given, lambda g: _outer(tape, x, g, weight, bias), weight, x)
    return given


def matmul(tape: Watcher, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """``x @ weight``, the weight stored as (read, given)."""
    if tape.wants(x) or weight.dim() != 2 or x.dim() < 2:
        raise Unfit
    w, b = constant(tape, weight), constant(tape, bias)
    assert w is not None
    given = torch.matmul(moving(x), w) if b is None else torch.addmm(b, moving(x), w)
    tape.watch(given, lambda g: _outer(tape, x, g, weight, bias, transposed=True), weight, x)
    return given


def _outer(
    tape: Watcher, x: Tensor, g: Tensor, weight: Tensor, bias: Tensor | None, *, transposed: bool = False
) -> None:
    x, g = places(tape, x), places(tape, g)
    if x.dim() != g.dim():
        # One place a row, which only one of the two has a dimension for.
        x, g = (x[:, 0], g) if x.dim() > g.dim() else (x, g[:, 0])
    biased = bias is not None and tape.wants(bias)
    if tape.wants(weight):
        tape.give(weight, Outer(x, g, transposed, summed=biased and g.dim() == 3))
    if bias is not None and biased:
        tape.give(bias, Direct(g) if g.dim() == 2 else Summed(g))


def addmm(tape: Watcher, bias: Tensor, x: Tensor, weight: Tensor) -> Any:
    """``torch.addmm``, as Hugging Face's Conv1D calls it, on places of all rows in one matrix."""
    if bias.dim() != 1:
        raise Unfit
    return matmul(tape, x, weight, bias)


def conv(
    tape: Watcher,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """``F.conv1d`` and ``F.conv2d``."""
    if isinstance(padding, str):
        kernel = weight.shape[2:]
        beyond = [d * (k - 1) for d, k in zip(_each(dilation, len(kernel)), kernel, strict=True)]
        if padding == "same" and any(n % 2 for n in beyond):
            raise Unfit  # One side would get more than the other.
        padding = [n // 2 for n in beyond] if padding == "same" else 0
    return _conv(tape, x, weight, bias, (stride, padding, dilation, 0), groups, transposed=False)


def conv_transpose(
    tape: Watcher,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """``F.conv_transpose1d`` and ``F.conv_transpose2d``."""
    return _conv(tape, x, weight, bias, (stride, padding, dilation, output_padding), groups, transposed=True)


def _conv(
    tape: Watcher,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: tuple[Any, Any, Any, Any],
    groups: int,
    *,
    transposed: bool,
) -> Any:
    dims = weight.dim() - 2
    if x.dim() != dims + 2:
        raise Unfit
    stride, padding, dilation, beyond = (_each(n, dims) for n in geometry)
    w, b = constant(tape, weight), constant(tape, bias)
    assert w is not None

    def back(g: Tensor) -> None:
        if tape.wants(weight):
            slid, given = (g, x) if transposed else (x, g)
            shape = tuple(weight.shape)
            two = [_two(n, fill) for n, fill in ((stride, 1), (padding, 0), (dilation, 1))]
            if dims == 1:
                slid, given = slid.unsqueeze(2), given.unsqueeze(2)
                shape = (*shape[:2], 1, shape[2])
            patches = Patches(slid, given, shape, two[0], two[1], two[2], groups)
            tape.give(weight, _Reshaped(patches, tuple(weight.shape)) if dims == 1 else patches)
        if bias is not None and tape.wants(bias):
            tape.give(bias, Direct(wide(g).flatten(2).sum(2)))

    given = torch.convolution(moving(x), w, b, stride, padding, dilation, transposed, beyond, groups)
    tape.watch(given, back, weight, x)
    return given


class _Reshaped:
    """A share whose parameter has one dimension of length 1 less: a kernel over a line is one over a picture."""

    def __init__(self, share: Share, shape: tuple[int, ...]) -> None:
        self.share, self.shape = share, shape

    def settle(self, memo: Memo) -> tuple[Tensor, Share]:
        lengths, share = self.share.settle(memo)
        return lengths, _Reshaped(share, self.shape)

    def per_row(self) -> Tensor:
        found = self.share.per_row()
        return found.view(len(found), *self.shape)

    def add_to(self, total: Tensor, factors: Tensor) -> None:
        self.share.add_to(total.unsqueeze(2), factors)


def embedding(
    tape: Watcher,
    ids: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,  # noqa: FBT001, FBT002 - torch's own signature
    sparse: bool = False,  # noqa: ARG001, FBT001, FBT002 - the same; the sum over rows and noise is never sparse
) -> Any:
    """``F.embedding``."""
    if max_norm is not None or scale_grad_by_freq:
        raise Unfit
    del norm_type

    def back(g: Tensor) -> None:
        ids_BT, g_BTP = (
            ids.reshape(tape.rows, -1),
            g if g.dim() == 3 else g.reshape(tape.rows, -1, g.shape[-1]),
        )
        if padding_idx is not None:
            g_BTP = g_BTP.masked_fill((ids_BT == padding_idx % len(weight))[:, :, None], 0)
        tape.give(weight, Lookup(ids_BT, g_BTP, len(weight)))

    given = F.embedding(ids, moving(weight.detach()))
    tape.watch(given, back, weight, ids)
    return given


def layer_norm(
    tape: Watcher,
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    """``F.layer_norm``."""
    w, b, shape = constant(tape, weight), constant(tape, bias), list(normalized_shape)
    owned = next(t for t in (weight, bias) if t is not None)
    x = x.to(owned.dtype)
    given, mean, rstd = torch.native_layer_norm(moving(x), shape, w, b, eps)

    def back(g: Tensor) -> None:
        flat = (tape.rows, -1, *shape)
        scaled, summed = _normed(x.reshape(flat), mean, rstd, g.reshape(flat))
        if weight is not None and tape.wants(weight):
            tape.give(weight, Direct(scaled))
        if bias is not None and tape.wants(bias):
            tape.give(bias, Direct(summed))

    tape.watch(given, back, owned, x)
    return given


def _normed(x: Tensor, mean: Tensor, rstd: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the places of each row of (x - mean) · rstd · g, and of g; a few rows at a time, as the cache holds."""
    each = (*x.shape[:2], *(1,) * (x.dim() - 2))
    mean, rstd = mean.reshape(each), rstd.reshape(each)
    scaled, summed = (x.new_empty((x.shape[0], *x.shape[2:])) for _ in range(2))
    for s in pieces(x.shape[0], 2 * x[0].numel()):
        torch.sum(g[s], 1, out=summed[s])
        torch.sum((x[s] - mean[s]).mul_(rstd[s]).mul_(g[s]), 1, out=scaled[s])
    return scaled, summed


def group_norm(
    tape: Watcher,
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    """``F.group_norm``: channels normalised in groups, then scaled by the parameters."""
    w, b = constant(tape, weight), constant(tape, bias)
    owned = next(t for t in (weight, bias) if t is not None)
    x = x.to(owned.dtype).contiguous()
    B, C = x.shape[:2]
    given, mean, rstd = torch.native_group_norm(moving(x), w, b, B, C, x[0, 0].numel(), num_groups, eps)

    def back(g: Tensor) -> None:
        g_BCT = g.reshape(B, C, -1)
        if weight is not None and tape.wants(weight):
            each = C // num_groups
            # Σ g (x - mean) · rstd, without writing (x - mean): Σ g x first.
            gx, g1 = (g_BCT * x.reshape(B, C, -1)).sum(2), g_BCT.sum(2)
            tape.give(
                weight,
                Direct((gx - g1 * mean.repeat_interleave(each, 1)) * rstd.repeat_interleave(each, 1)),
            )
        if bias is not None and tape.wants(bias):
            tape.give(bias, Direct(g_BCT.sum(2)))

    tape.watch(given, back, owned, x)
    return given


def rms_norm(
    tape: Watcher,
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Any:
    """``F.rms_norm``: normalised as always, then scaled by the parameter."""
    assert weight is not None
    return F.rms_norm(x, normalized_shape, None, eps) * spread(tape, weight, x.dim())


def spread(tape: Watcher, weight: Tensor, dims: int) -> Any:
    """A weight that is broadcast over the rows, as one copy a row: what comes back are the rows' gradients."""
    w = weight.detach()
    if w.dim() == dims and w.shape[0] == 1:
        w = w[0]
    if w.dim() >= dims:
        raise Unfit
    given = moving(w).expand(tape.rows, *(1,) * (dims - 1 - w.dim()), *w.shape)
    tape.watch(given, lambda g: tape.give(weight, Direct(wide(g).reshape(tape.rows, *weight.shape))), weight)
    return given


def broadcast(tape: Watcher, *args: Any, func: Callable[..., Any], **kwargs: Any) -> Any:
    """Sums, products and the like of rows and a weight that all rows share."""
    tensors = [a for a in args if isinstance(a, Tensor) and not tape.wants(a)]
    dims = max(t.dim() for t in tensors)
    if tape.wants(args[0]) and getattr(func, "__name__", "").strip("_").startswith("i"):
        raise Unfit  # `weight += rows` would change the weight itself.
    return func(
        *(spread(tape, a, dims) if isinstance(a, Tensor) and tape.wants(a) else a for a in args), **kwargs
    )


def expand(tape: Watcher, weight: Tensor, *sizes: Any) -> Any:
    """``weight.expand(B, …)``: one copy a row, as of a token that stands before every sentence."""
    shape = list(sizes[0]) if sizes and not isinstance(sizes[0], int) else list(sizes)
    w = weight.detach()
    if (w.dim() == len(shape) and w.shape[0] != 1) or shape[0] != tape.rows:
        raise Unfit

    def back(g: Tensor) -> None:
        full = (1,) * (len(shape) - w.dim()) + tuple(w.shape)
        g = wide(g)
        over = [i for i in range(1, len(shape)) if full[i] == 1 and g.shape[i] > 1]
        tape.give(
            weight, Direct((g.sum(over, keepdim=True) if over else g).reshape(tape.rows, *weight.shape))
        )

    given = moving(w).expand(shape)
    tape.watch(given, back, weight)
    return given


def _each(n: Any, dims: int) -> list[int]:
    return [n] * dims if isinstance(n, int) else list(n) * (dims // len(n))


def _two(n: list[int], fill: int) -> tuple[int, int]:
    return (n[0], n[1]) if len(n) == 2 else (fill, n[0])
