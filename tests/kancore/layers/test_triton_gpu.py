"""The Triton kernels on a GPU: what the interpreter checks elsewhere, and fewer digits."""

import pytest
import torch

from kancore.layers import dense, on_chip
from kancore.layers.dense import Edges

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (torch.cuda.is_available() and on_chip.TRITON), reason="no GPU, or no Triton"
    ),
]

if torch.cuda.is_available() and on_chip.TRITON:
    from kernel_checks import *  # noqa: F403


@pytest.mark.parametrize(("precision", "tolerance"), [("high", 2e-3), ("medium", 2e-2)])
def test_products_of_fewer_digits(precision, tolerance, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(3, 300, 70).cuda()
    coefficients, others = torch.randn(3, 70, 8, 40).cuda(), torch.randn(2, 3, 70, 40).cuda()
    edges, grid = Edges(coefficients, *others), (5, 3, (-1.0, 1.0))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        found = on_chip.product(x, edges, "gelu", grid).double()
    finally:
        torch.set_float32_matmul_precision(before)
    expected = dense.product(x.double(), edges.map(torch.Tensor.double), "gelu", grid)
    error = (found - expected).abs().max() / expected.abs().max()
    assert 1e-6 < error < tolerance
