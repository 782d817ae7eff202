"""Products of Kolmogorov-Arnold layers on a GPU, whose basis never leaves the chip.

The kernels are in `kancore.layers.triton_kernels`, and `kancore.layers.triton_operators` gives them
to PyTorch. In float64, and without Triton, layers multiply all functions of their inputs, in
PyTorch.

The precision of products is that of PyTorch's own (`torch.set_float32_matmul_precision`): float32,
TF32 for ``high`` or bfloat16 for ``medium``, as for layers that ask for it; sums are always in
float32.
"""

import os
import warnings
from functools import cache
from importlib.util import find_spec
from math import prod

import torch
from torch import Tensor

from kancore.layers import (
    dense,
    transforms,
    triton_operators,  # noqa: F401 -- makes the operators
)
from kancore.layers.dense import Edges, Grid
from kancore.machine.messages import first_line
from kancore.machine.out_of_memory import is_out_of_memory

# Whether layers may use the kernels; the benchmark says no, to measure what they are worth.
ENABLED = True
TRITON = find_spec("triton") is not None
# Triton's interpreter runs kernels on a CPU, for tests.
INTERPRETED = TRITON and os.environ.get("TRITON_INTERPRET") == "1"


def applies_to(x: Tensor, edges: Edges) -> bool:
    """Whether kernels are for inputs, of which there are some, and parameters of this kind."""
    device = x.device.type
    if not (
        ENABLED
        and x.numel() > 0
        and edges.base.numel() > 0
        and _within_reach(x, edges)
        and all(
            tensor.device.type == device and tensor.dtype == torch.float32
            for tensor in (x, *edges.given)
        )
    ):
        return False
    if device == "cuda" and not (torch.compiler.is_compiling() or transforms.without_numbers(x)):
        if (why := missing(x.device)) is not None:
            warnings.warn(f"KANs train in plain PyTorch: {why}", stacklevel=2)
        return why is None
    # Nothing is computed on the device meta, so shapes do.
    return {"cuda": TRITON, "cpu": INTERPRETED, "meta": True}.get(device, False)


def _within_reach(x: Tensor, edges: Edges) -> bool:
    """Whether kernels can count to the last number of each network, which they do in 32 bits."""
    *batch, inputs = x.shape[-2:]
    examples, outputs = prod(batch), edges.base.shape[-1]
    numbers = examples * inputs, examples * outputs, prod(edges.coefficients.shape[1:])
    return max(numbers) < 2**31


@cache
def missing(gpu: torch.device) -> str | None:
    """Say what the kernels lack on a GPU, by trying one; ``None`` for nothing."""
    if not TRITON:
        return "Triton is not installed"
    if torch.version.hip:
        return "the kernels are for GPUs of NVIDIA"
    x, coefficients, base = (
        torch.ones(1, *ones, dtype=torch.float32, device=gpu) for ones in ((1,), (1, 4, 1), (1, 1))
    )
    try:
        how = "relu", 1, 3, -1.0, 1.0, False
        y = torch.ops.kancore.ka_product(x, coefficients, base, None, *how)
        y.item()
    except Exception as error:  # of a compiler, of headers, of a driver: there are many kinds
        if is_out_of_memory(error):  # fewer networks may have room
            raise
        return f"Triton cannot make or run kernels here: {first_line(error)}"
    return None


def product(x: Tensor, edges: Edges, activation: str, grid: Grid, bfloat16: bool = False) -> Tensor:
    """As `kancore.layers.dense.product`, for what `applies_to` says yes to.

    Raises
    ------
    ValueError
        If the shapes of inputs and parameters do not fit each other.
    """
    dense.check_shapes(x, edges, grid)
    grid_size, degree, ends = grid
    how = activation, grid_size, degree, *map(float, ends), bfloat16
    return torch.ops.kancore.ka_product(x, *edges, *how)
