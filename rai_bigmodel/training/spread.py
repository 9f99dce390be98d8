"""How does a network train that is too large for each process? Spread: each keeps a part of every weight.

FSDP2 (``torch.distributed.fsdp.fully_shard``): a block's weights are brought together when it computes and let go
after it, and gradients and the optimizer's memory exist only in parts. So while it trains, of N processes each holds
an N-th of them. Before the first step and after the last each has the weights, and nothing but the weights, as a
whole, in the memory of its processor: there the first ones are drawn, and there the run is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from rai_bigmodel.training.distributed import World


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a network that follow one another and are always called as a whole: what holds the most of it."""
    for part in module.children():
        if isinstance(part, nn.ModuleList | nn.Sequential):
            yield from part
        else:
            yield from blocks(part)


def spread(module: nn.Module, world: World, device: torch.device) -> None:
    """Let each process keep its part of every weight from now on; the module is called as before."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (world.size,))
    for part in (*blocks(module), module):
        if any(True for _ in part.parameters()):
            fully_shard(part, mesh=mesh, reshard_after_forward=True)


def whole(module: nn.Module, into: nn.Module) -> nn.Module:
    """An ordinary module with the weights of one that is spread; every process is to ask for it.

    Args:
        into: one of the same architecture, which becomes it.
    """
    into.load_state_dict(together(module.state_dict()), assign=True)
    trained = {name for name, weight in module.named_parameters() if weight.requires_grad}
    for name, weight in into.named_parameters():
        weight.requires_grad_(name in trained)
    return into


def together(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Name → the whole tensor, in the processor's memory, one after the other."""
    from torch.distributed.tensor import DTensor

    return {k: (v.full_tensor() if isinstance(v, DTensor) else v).detach().cpu() for k, v in state.items()}
