"""How many threads does torch compute with? One for small networks, however many cores the machine has.

Threads that wait for one another gain nothing on a small network, and on a busy machine they cost much: an audit of
7 s took 18 s on two cores beside other processes. Sums over several threads also round differently, so that the
same audit would have another digest on another machine.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SMALL = 20_000_000
"""Parameters up to which one thread is used."""


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """So many threads inside the block, where torch is loaded; the program's own setting comes back after it.

    Args:
        count: ``None`` leaves the program's own.
    """
    torch = sys.modules.get("torch")
    if torch is None or count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def suited_to(modules: Iterable[Any]) -> int | None:
    """How many threads suit these networks; ``None`` for the program's own setting.

    That stands where ``OMP_NUM_THREADS`` says how many, and where one of them is large.

    Args:
        modules: ``nn.Module``, or ``None`` where a subject has none.
    """
    if os.environ.get("OMP_NUM_THREADS"):
        return None
    sizes = (sum(p.numel() for p in module.parameters()) for module in modules if module is not None)
    return None if any(size > SMALL for size in sizes) else 1
