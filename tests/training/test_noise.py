"""Is the cipher's noise normal, independent, and never the same twice?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from rai_bigmodel.training import noise


def test_noise_is_normal_in_the_middle_and_in_the_tails():
    """Kolmogorov and Smirnov's test, the first four moments and the counts beyond 3, 4 and 5 of a million numbers."""
    out = torch.empty(1_000_001)
    noise.source(bytes(32))(out, 2.5)
    z = out.numpy().astype(float) / 2.5

    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert abs(z.mean()) < 4 / 1000
    assert abs(z.var() - 1) < 4 * np.sqrt(2) / 1000
    assert abs((z**3).mean()) < 4 * np.sqrt(15) / 1000
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96) / 1000
    for far in (3, 4, 5):
        expected = 2 * stats.norm.sf(far) * len(z)
        assert abs((abs(z) > far).sum() - expected) < 4 * np.sqrt(expected) + 1


def test_the_two_numbers_of_a_pair_know_nothing_of_each_other():
    """Values, squares and signs of sines and cosines from the same bits are uncorrelated."""
    out = torch.empty(2 * noise.PAIRS)
    noise.source(bytes(32))(out, 1.0)
    one, other = out[: noise.PAIRS].double().numpy(), out[noise.PAIRS :].double().numpy()

    for f in (np.array, np.square, np.sign):
        assert abs(np.corrcoef(f(one), f(other))[0, 1]) < 4 / np.sqrt(noise.PAIRS)


def test_noise_goes_on_and_sources_differ():
    """A source never repeats, two sources share nothing, and one key gives one stream."""
    fill, again, other = noise.source(bytes(32)), noise.source(bytes(32)), noise.source()
    a, b, c, d = torch.empty(4, 1001)
    fill(a, 1.0)
    fill(b, 1.0)
    again(c, 1.0)
    other(d, 1.0)

    assert torch.equal(a, c)
    assert len(torch.cat([a, b, d]).unique()) > 2990


@pytest.mark.parametrize("out", [torch.empty(3, 5, dtype=torch.float64), torch.empty(5, 3).T, torch.empty(0)])
def test_any_tensor_can_be_filled(out):
    """Other types, other layouts and empty tensors."""
    noise.source()(out.fill_(99), 1.0)

    assert bool((out.abs() < 10).all())


@pytest.mark.parametrize("std", [1e-25, 1e-3, 1e20])
def test_no_size_of_noise_is_lost(std):
    """Standard deviations whose squares are no longer numbers of single precision."""
    out = torch.empty(10_000)
    noise.source(bytes(32))(out, std)

    assert float(out.double().std()) == pytest.approx(std, rel=0.05)
