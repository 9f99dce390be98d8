"""How does a network become a case: one number a row, gradients, and a batch that keeps to a byte budget?"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.audits.cases import Case, refuse_moods
from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from rai_bigmodel.subject import Array

    Call = Callable[..., Any]

BUDGET = 64 * 2**20
"""Bytes that one batch may hold on its way through the network and back."""
MEASURED = 2
"""By so many rows it is measured what one holds: as many are asked with all their padding."""


def network_case(
    module: nn.Module,
    x: Array,
    start: Array,
    *,
    names: Sequence[str],
    parts: Array | None = None,
    target: int | Array = 0,
    beside: tuple[Array, ...] = (),
    call: Call | None = None,
    budget: int = BUDGET,
    digest: str = "",
) -> Case:
    """A case whose number is one of the network's outputs, before any sigmoid or softmax.

    Args:
        x, start: what the network reads, and the baseline, as in `Case`.
        parts: to which feature each entry belongs; by default each entry is a feature.
        target: which output is explained: one for all rows, or one a row ``(n,)``.
        beside: further arguments of the network, one entry a row each, which are not explained.
        call: how the network is asked, where it is not with ``(x, *beside)``: a function of the network (a
            module that may be hooked, and a callable), `x` and `beside`.
        budget: bytes that one batch may hold.
        digest: of the model that the network is.

    Raises:
        InputError: the network is in training mode, answers differently when asked again, or has no such
            output; or the rows and the baseline do not fit it.
    """
    import torch

    if training := [name or "the network" for name, m in module.named_modules() if m.training]:
        msg = f"{training[0]} is in training mode, so its answers may change; call module.eval() first"
        raise InputError(msg)
    x, start = (np.require(given, dtype=np.float32, requirements="W") for given in (x, start))
    shape = x.shape[1:]
    flat = np.arange(int(np.prod(shape))).reshape(shape) if parts is None else np.asarray(parts)
    if flat.shape != shape or len(names) != int(flat.max(initial=-1)) + 1:
        msg = (
            f"every entry of a row must belong to one of the named features: rows of shape {shape}, "
            f"parts of shape {flat.shape} counting to {int(flat.max(initial=-1)) + 1}, {len(names)} names"
        )
        raise InputError(msg)
    extra = tuple(torch.from_numpy(np.ascontiguousarray(b)) for b in beside)
    if np.shape(target) not in {(), (len(x),)}:
        msg = f"the target must be one output for all rows, or one a row ({len(x):,}); got shape {np.shape(target)}"
        raise InputError(msg)
    chosen = torch.from_numpy(np.broadcast_to(np.asarray(target, dtype=np.int64), (len(x),)).copy())

    asked = call or _plainly

    def case_of(net: nn.Module, batch: int, *, last: bool = False) -> Case:
        frozen = {name: p.detach() for name, p in net.named_parameters()}
        if last:
            frozen = {name: _channels_last(p) for name, p in frozen.items()}

        def forward(x_BX: Tensor, rows_B: Tensor) -> Tensor:
            # Without gradients of the parameters a backward pass is a third cheaper, and the module stays as it is.
            if last and x_BX.ndim == 4:
                x_BX = x_BX.contiguous(memory_format=torch.channels_last)

            def ask(*given: Tensor) -> Any:
                return torch.func.functional_call(net, frozen, given)

            out: Any = asked(net, ask, x_BX, *(e[rows_B] for e in extra))
            out_BK = out.reshape(len(x_BX), -1)
            picked: Tensor = out_BK.gather(1, chosen[rows_B, None])[:, 0]
            return picked

        def score(rows: Array, numbers: Array) -> Array:
            with torch.no_grad():
                return forward(torch.from_numpy(rows), torch.from_numpy(numbers)).numpy()

        return Case(
            x=x,
            start=start,
            score=score,
            parts=flat,
            names=tuple(names),
            batch=batch,
            digest=digest if net is module else "",
            forward=forward,
            module=net,
            learned_nothing=lambda rng: case_of(_randomised(net, rng), batch, last=last),
        )

    one = case_of(module, 1)  # refuses rows and baselines that do not fit before the network is asked
    _refuse_targets(asked(module, module, torch.from_numpy(x[:1]), *(e[:1] for e in extra)), chosen)
    last = _convolves(module) and _alike(one, case_of(module, 1, last=True))
    one = case_of(module, 1, last=last)
    case = case_of(module, max(1, budget // max(1, bytes_per_row(one))), last=last)
    refuse_moods(case)
    return case


def _convolves(module: nn.Module) -> bool:
    from torch import nn

    return any(isinstance(m, nn.Conv2d) for m in module.modules())


def _channels_last(t: Tensor) -> Tensor:
    """Filters with their channels side by side in memory, as convolutions and pools are quickest with."""
    import torch

    # A clone: of a single channel torch calls any order of memory the wanted one.
    return t.clone(memory_format=torch.channels_last) if t.ndim == 4 else t


def _alike(plain: Case, other: Case) -> bool:
    """Whether a network answers in the other order of memory, and the same; one that views its pictures may not."""
    rows = np.arange(min(MEASURED, len(plain.x)))
    try:
        told = other.score(plain.x[rows], rows)
    except RuntimeError:
        return False
    return bool(np.allclose(plain.score(plain.x[rows], rows), told, rtol=1e-4, atol=1e-5))


def _plainly(net: nn.Module, ask: Callable[..., Any], x: Tensor, *beside: Tensor) -> Any:  # noqa: ARG001 - one shape of call
    return ask(x, *beside)


def _refuse_targets(out: Tensor, chosen: Tensor) -> None:
    outputs = out.reshape(1, -1).shape[1]
    if bad := [int(t) for t in chosen.unique() if not 0 <= int(t) < outputs]:
        msg = f"the target must be an output of the model, from 0 to {outputs - 1}; got {bad[0]}"
        raise InputError(msg)


def bytes_per_row(case: Case) -> int:
    """What one row holds on its way forward and back: all that autograd saves, thrice (values, gradients, room)."""
    import torch

    saved: dict[int, int] = {}
    own = {p.data_ptr() for p in case.module.parameters()} if case.module is not None else set()

    def pack(t: Tensor) -> Tensor:
        if t.data_ptr() not in own:
            saved[t.data_ptr()] = t.untyped_storage().nbytes()
        return t

    assert case.forward is not None
    rows = min(MEASURED, len(case.x))
    x = torch.from_numpy(case.x[:rows].copy()).requires_grad_()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = case.forward(x, torch.arange(rows))
    del out
    return 3 * (sum(saved.values()) // rows + x[0].numel() * x.element_size())


def _randomised(module: nn.Module, rng: np.random.Generator) -> nn.Module:
    """A copy that has learned nothing: matrices drawn anew at their own size, vectors shuffled.

    Adebayo et al. 2018 initialise again; drawing at the size that training arrived at needs to know nothing of
    how a network was initialised, and keeps its answers in their range.
    """
    import torch

    other = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    with torch.no_grad():
        for p in other.parameters():
            if p.ndim > 1:
                size = p.square().mean().sqrt()
                p.copy_(torch.randn(p.shape, generator=generator) * size)
            else:
                p.copy_(p[torch.randperm(len(p), generator=generator)] if p.ndim else p)
    return other
