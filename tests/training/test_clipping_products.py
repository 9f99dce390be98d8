"""Is the quicker product the same product, whatever the shapes and whichever library forms it?"""

from __future__ import annotations

import pytest
import torch

from rai_bigmodel.training import clipping_products
from rai_bigmodel.training.clipping_products import add_product, rows_times

SHAPES = [
    (256, 128, 784),
    (1, 64, 64),
    (63, 64, 80),
    (64, 64, 64),
    (65, 64, 64),
    (1291, 96, 70),
    (700, 10, 128),
    (0, 64, 64),
]


@pytest.mark.parametrize(("rows", "p", "d"), SHAPES)
@pytest.mark.parametrize("quick", [True, False])
def test_a_product_is_added_to_what_was_there(
    rows: int, p: int, d: int, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that fill no piece, several pieces, narrow factors and none at all, beside float64."""
    if not quick:
        monkeypatch.setattr(clipping_products, "_onednn", lambda: None)
    chance = torch.Generator().manual_seed(rows)
    left, right, total = (torch.randn(shape, generator=chance) for shape in ((rows, p), (rows, d), (p, d)))
    exact = total.double() + left.double().T @ right.double()
    add_product(total, left, right)

    assert float((total - exact).norm() / exact.norm()) < 1e-6

    weight, bias = torch.randn((p, d), generator=chance), torch.randn(p, generator=chance)
    for added in (None, bias):
        exact = torch.nn.functional.linear(
            right.double(), weight.double(), None if added is None else added.double()
        )
        found = rows_times(right, weight, added)

        assert found.shape == exact.shape
        assert float((found - exact).norm()) <= 1e-6 * float(exact.norm())


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_factors_of_other_types_and_layouts_are_multiplied_too(kind: torch.dtype) -> None:
    """Doubles, every second row, and columns of something wider."""
    wide = torch.randn(200, 300, dtype=kind)
    for left, right in ((wide[::2, :80], wide[::2, 100:200]), (wide[:, :80], wide[:, 80:160])):
        total = torch.zeros(left.shape[1], right.shape[1], dtype=kind)
        add_product(total, left, right)

        torch.testing.assert_close(total, left.T @ right)

        torch.testing.assert_close(rows_times(right, total), right @ total.T)


def test_less_precision_for_products_elsewhere_is_none_for_a_guarantee(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """oneDNN, which would round to 16 bits where torch is told so, is not asked then."""
    monkeypatch.setattr(clipping_products, "_onednn", lambda: pytest.fail("oneDNN was asked"))
    left, right, total = torch.ones(64, 64), torch.ones(64, 64), torch.zeros(64, 64)
    torch.set_float32_matmul_precision("high")
    try:
        add_product(total, left, right)
    finally:
        torch.set_float32_matmul_precision("highest")

    assert bool((total == 64).all())


def test_without_onednn_mkl_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor without AVX-512 nothing else is asked for."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    clipping_products._onednn.cache_clear()
    found = clipping_products._onednn()
    clipping_products._onednn.cache_clear()

    assert found is None
