"""Is the cipher's noise normal, independent, and never the same twice?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from rai_bigmodel.training import noise


@pytest.fixture(params=[noise._by_sine, noise._by_tangent], ids=["sine", "tangent"])
def way(request, monkeypatch):
    """Each of the two ways to write a pair, whichever is the quicker one here."""
    monkeypatch.setattr(noise, "_has_tangent", lambda: request.param is noise._by_tangent)
    return request.param


@pytest.mark.usefixtures("way")
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


def test_a_pair_is_on_the_circle_that_its_bits_say(way):
    """Its length is √(-2 ln u²) times the deviation, in the limits too, and tangents say all directions of sines."""
    bits = np.array([-(2**31), 2**31 - 1, 0, 1, -1, 2**30, -(2**30), 123_456_789, -987_654_321], np.int32)
    far, turned = (a.ravel().copy() for a in np.meshgrid(bits, bits))
    x, y = far.astype(np.float32), turned.astype(np.float32)
    u, v = x / 2.0**31, y / 2.0**31

    way(x, y, 3.0, np.concatenate([far, turned]))

    lengths = 3 * np.sqrt(np.maximum(-np.log(u.astype(float) ** 2 + 2.0**-64), 0))
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    np.testing.assert_allclose(np.hypot(x.astype(float), y), lengths, rtol=1e-6)
    if way is noise._by_tangent:
        angles = np.where(far < 0, np.pi, 0) + v * np.pi / 2
        # π / 2 in single precision is on the other side of it.
        inside = abs(v) < 1
        np.testing.assert_allclose(x[inside], (lengths * np.cos(angles))[inside], atol=3e-6)
        np.testing.assert_allclose(y[inside], (lengths * np.sin(angles))[inside], atol=3e-6)


def test_the_angle_is_uniform_and_knows_nothing_of_the_length(way):
    """All of the circle, by both ways: angles between the two numbers of a pair, and their lengths' ranks."""
    bits = np.random.default_rng(5).integers(-(2**31), 2**31, 200_000, dtype=np.int64).astype(np.int32)
    x, y = np.split(bits.astype(np.float32), 2)
    way(x, y, 1.0, bits.copy())

    turned, lengths = np.arctan2(x, y), np.hypot(x, y)
    assert stats.kstest(turned, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    assert stats.kstest(lengths, stats.rayleigh().cdf).pvalue > 1e-3
    assert abs(stats.spearmanr(turned, lengths)[0]) < 4 / np.sqrt(len(x))
    assert abs(stats.spearmanr(abs(turned), lengths)[0]) < 4 / np.sqrt(len(x))


@pytest.mark.usefixtures("way")
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


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("std", [1e-25, 1e-9, 1e-7, 1e-3, 1e7, 1e20])
def test_no_size_of_noise_is_lost(std):
    """Standard deviations whose squares are no longer numbers of single precision."""
    out = torch.empty(10_000)
    noise.source(bytes(32))(out, std)

    assert float(out.double().std()) == pytest.approx(std, rel=0.05)
