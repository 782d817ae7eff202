"""The kernels' generic form, compiled for arm64 and run by an emulator."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
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

    sizes = [1 if shared else stack, batch, inputs, grid_size, degree, stack, outputs]
    values = x.detach()
    arrays = [values, torch.nn.functional.silu(values), slope("silu", values), *edges, gradient]
    sent = np.array(sizes, np.int64).tobytes()
    sent += b"".join(array.detach().numpy().tobytes() for array in arrays)
    done = subprocess.run([EMULATOR, driver], input=sent, capture_output=True, check=True)

    y = dense.product(x, edges, "silu", (grid_size, degree, (-1.0, 1.0)))
    to_x, *to_edges = torch.autograd.grad(y, leaves, gradient)
    optimizer = torch.optim.AdamW([*edges], lr=0.01, weight_decay=0.01)
    for edge, to_edge in zip(edges, to_edges, strict=True):
        edge.grad = to_edge
    optimizer.step()
    shapes = [y.shape, (stack, batch, inputs), *(edge.shape for edge in (*edges, *edges))]
    bounds = np.cumsum([int(np.prod(shape)) for shape in shapes])
    found = np.split(np.frombuffer(done.stdout, np.float32), bounds[:-1])
    found = [torch.tensor(part).view(shape) for part, shape in zip(found, shapes, strict=True)]
    if shared:
        found[1] = found[1].sum(0)
    for part, expected in zip(found, [y, to_x, *to_edges, *edges], strict=True):
        scale = float(expected.detach().abs().max())
        torch.testing.assert_close(part, expected.detach(), rtol=0, atol=3e-6 * scale)
