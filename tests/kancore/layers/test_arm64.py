"""The kernels' generic form, compiled for arm64 and run by an emulator."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import subnormal
import torch

from kancore.layers import dense
from kancore.layers.activations import slope
from kancore.layers.dense import Edges

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
DRIVER = Path(__file__).with_name("arm64_driver.cpp")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
        reason="needs Debian's g++-aarch64-linux-gnu and qemu-user-static",
    ),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    program = tmp_path_factory.mktemp("arm64") / "driver"
    options = ["-std=c++17", "-O2", "-fno-math-errno", "-static", '-DKANCORE_SOURCE="test"']
    subprocess.run([COMPILER, *options, DRIVER, "-o", program], check=True)
    return program


def computed(driver, x, edges, gradient, grid_size, degree):
    """Run the driver: outputs, gradients by inputs and edges, and edges after a step of AdamW."""
    stack, inputs, _, outputs = edges.coefficients.shape
    shared = x.dim() == 2
    sizes = [1 if shared else stack, x.shape[-2], inputs, grid_size, degree, stack, outputs]
    values = x.detach()
    arrays = [values, torch.nn.functional.silu(values), slope("silu", values), *edges, gradient]
    sent = np.array(sizes, np.int64).tobytes()
    sent += b"".join(array.detach().numpy().tobytes() for array in arrays)
    done = subprocess.run([EMULATOR, driver], input=sent, capture_output=True, check=True)
    to_x = (stack, *x.shape[-2:])
    shapes = [gradient.shape, to_x, *(edge.shape for edge in (*edges, *edges))]
    bounds = np.cumsum([int(np.prod(shape)) for shape in shapes])
    found = np.split(np.frombuffer(done.stdout, np.float32), bounds[:-1])
    found = [torch.tensor(part).view(shape) for part, shape in zip(found, shapes, strict=True)]
    if shared:
        found[1] = found[1].sum(0)
    return found


@pytest.mark.parametrize(("grid_size", "degree"), [(5, 3), (3, 1), (20, 5)])
@pytest.mark.parametrize("shared", [True, False])
def test_kernels_on_arm64_compute_what_pytorch_does_here(driver, grid_size, degree, shared):
    torch.manual_seed(0)
    stack, batch, inputs, outputs = 2, 70, 9, 21
    x = 1.3 * torch.randn(*(() if shared else (stack,)), batch, inputs)
    coefficients = torch.randn(stack, inputs, grid_size + degree, outputs)
    edges = Edges(coefficients, *torch.randn(2, stack, inputs, outputs))
    gradient = torch.randn(stack, batch, outputs)
    leaves = [x, *edges]
    for leaf in leaves:
        leaf.requires_grad_()

    found = computed(driver, x, edges, gradient, grid_size, degree)
    y = dense.product(x, edges, "silu", (grid_size, degree, (-1.0, 1.0)))
    to_x, *to_edges = torch.autograd.grad(y, leaves, gradient)
    optimizer = torch.optim.AdamW([*edges], lr=0.01, weight_decay=0.01)
    for edge, to_edge in zip(edges, to_edges, strict=True):
        edge.grad = to_edge
    optimizer.step()
    for part, expected in zip(found, [y, to_x, *to_edges, *edges], strict=True):
        scale = float(expected.detach().abs().max())
        torch.testing.assert_close(part, expected.detach(), rtol=0, atol=3e-6 * scale)


def test_subnormal_numbers_are_zero(driver):
    torch.manual_seed(0)
    x, gradient = torch.rand(2, 70, 9), torch.full((2, 70, 21), subnormal.SMALL)
    edges = [1 + torch.rand(2, 9, 8, 21), *(1 + torch.rand(2, 2, 9, 21))]
    edges = Edges(*(1e-18 * edge for edge in edges))
    y, to_x, coefficients, base, scale, *_ = computed(driver, x, edges, gradient, 5, 3)
    assert y.any()
    assert base.any()
    for each in (to_x, coefficients, scale):  # sums of 1e-42
        assert not each.any()
