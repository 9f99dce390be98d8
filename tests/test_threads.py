"""Audits of small networks compute on one thread, on any machine; a large one, or who says so, on more."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from cohorts import splits, subject

from rai_bigmodel import threads
from rai_bigmodel.collect import Asked, collect
from rai_bigmodel.evidence import Findings, Measurement, Record


class Large(torch.nn.Module):
    """21 million parameters that take no memory."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(21_000_000, device="meta"))


class Counts(Record):
    """An audit that finds how many threads there are."""

    question: ClassVar[str] = "How many?"
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, subject, data, rng) -> Findings:
        seen = Measurement(metric="counts.threads", kind="exact", value=float(torch.get_num_threads()))
        return Findings(measurements=(seen,))


@pytest.fixture
def three(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("module", "said", "used"),
    [(torch.nn.Linear(4, 2), "", 1), (None, "", 1), (Large(), "", 3), (torch.nn.Linear(4, 2), "3", 3)],
)
@pytest.mark.usefixtures("three")
def test_an_audit_computes_on_the_threads_that_suit_its_networks(module, said, used, monkeypatch) -> None:
    """The manifest says how many; afterwards the program has its own again."""
    if said:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    relatives = {} if module is None else {"plain": subject(module=module)}
    made = collect(subject().related(**relatives), splits(60), [Asked("counts", Counts())])

    assert [m.value for e in made.evidence for m in e.measurements] == [used]
    assert made.manifest.evidence.threads == used
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three")
def test_the_programs_own_threads_come_back_after_a_failure() -> None:
    def late() -> None:
        assert torch.get_num_threads() == 1
        raise TimeoutError

    with pytest.raises(TimeoutError), threads.torch_threads(1):
        late()
    assert torch.get_num_threads() == 3
    with threads.torch_threads(None):
        assert torch.get_num_threads() == 3
