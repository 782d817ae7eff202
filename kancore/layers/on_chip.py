"""Products of Kolmogorov-Arnold layers on a GPU, whose basis never leaves the chip.

The kernels are in `kancore.layers.triton_kernels`, and `kancore.layers.triton_operators` gives them
to PyTorch. In float64, and without Triton, layers multiply all functions of their inputs, in
PyTorch.

The precision of products is that of PyTorch's own (`torch.set_float32_matmul_precision`): float32,
TF32 for ``high`` or bfloat16 for ``medium``; sums are always in float32.
"""

import os
import warnings
from importlib.util import find_spec

import torch
from torch import Tensor

from kancore.layers import (
    dense,
    triton_operators,  # noqa: F401 -- makes the operators
)
from kancore.layers.dense import Edges, Grid

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
        and all(
            tensor.device.type == device and tensor.dtype == torch.float32
            for tensor in (x, *edges.given)
        )
    ):
        return False
    if device == "cuda" and not TRITON:
        warnings.warn("Triton is not installed; KANs train in plain PyTorch", stacklevel=2)
    # Nothing is computed on the device meta, so shapes do.
    return {"cuda": TRITON, "cpu": INTERPRETED, "meta": True}.get(device, False)


<<<<<<< HEAD
=======
def _arguments(x, coefficients, base, scale, activation, grid_size, degree, low, high) -> tuple:
    """Arguments of the functions of `kancore.layers.triton_kernels`, after any gradient."""
    edges = Edges(coefficients, base, scale).map(Tensor.contiguous)
    precision = PRECISIONS[torch.get_float32_matmul_precision()]
    return edges, activation, (grid_size, degree, (low, high)), precision


def _product(x, *others) -> Tensor:
    from kancore.layers import triton_kernels

    return triton_kernels.product(x.contiguous(), *_arguments(x, *others))


def _weight_gradient(gradient, x, *others) -> list[Tensor]:
    from kancore.layers import triton_kernels

    tensors = x.contiguous(), gradient.contiguous()
    return triton_kernels.weight_gradient(*tensors, *_arguments(x, *others)).given


def _input_gradient(gradient, x, *others) -> Tensor:
    from kancore.layers import triton_kernels

    tensors = x.contiguous(), gradient.contiguous()
    return triton_kernels.input_gradient(*tensors, *_arguments(x, *others))


def _product_shape(x, coefficients, base, scale, *others) -> Tensor:
    return x.new_empty(len(base), x.shape[-2], base.shape[2])


def _weight_gradient_shapes(gradient, x, coefficients, base, scale, *others) -> list[Tensor]:
    given = Edges(coefficients, base, scale).given
    return [edge.new_empty(edge.shape) for edge in given]


def _input_gradient_shape(gradient, x, *others) -> Tensor:
    return x.new_empty(x.shape)


def _save(ctx, inputs, output) -> None:
    *tensors, ctx.activation, grid_size, degree, low, high = inputs
    ctx.save_for_backward(*tensors)
    ctx.grid = grid_size, degree, (low, high)


def _backward(ctx, gradient: Tensor) -> tuple:
    x, *edges = ctx.saved_tensors
    edges = Edges(*edges)
    needed = ctx.needs_input_grad[:4]
    if torch.is_grad_enabled():  # this gradient is to be differentiated itself
        found = dense.gradients(x, edges, ctx.activation, ctx.grid, gradient)
        return *found, *(9 - len(found)) * [None]
    dense.check_shapes(x, edges, ctx.grid)  # `parameter.data` may be another tensor by now
    grid_size, degree, ends = ctx.grid
    arguments = gradient, x, *edges, ctx.activation, grid_size, degree, *ends
    to_x, to_edges = None, []
    if needed[0]:
        to_x = torch.ops.kancore.ka_input_gradient(*arguments)
    if any(needed[1:]):
        to_edges = torch.ops.kancore.ka_weight_gradient(*arguments)
    return to_x, *to_edges, *(8 - len(to_edges)) * [None]


for _name, _function, _shape in (
    ("ka_product", _product, _product_shape),
    ("ka_weight_gradient", _weight_gradient, _weight_gradient_shapes),
    ("ka_input_gradient", _input_gradient, _input_gradient_shape),
):
    _LIBRARY.impl(_name, _function, "CompositeExplicitAutograd")
    # Not by `torch.library.register_fake`, which looks for the caller's source for 0.2 s.
    _LIBRARY.impl(_name, _shape, "Meta")
torch.library.register_autograd("kancore::ka_product", _backward, setup_context=_save, lib=_LIBRARY)


>>>>>>> 28f1fc3 (Products of layers are operators of PyTorch, on a CPU too)
def product(x: Tensor, edges: Edges, activation: str, grid: Grid) -> Tensor:
    """As `kancore.layers.dense.product`, for what `applies_to` says yes to.

    Raises
    ------
    ValueError
        If the shapes of inputs and parameters do not fit each other.
    """
    dense.check_shapes(x, edges, grid)
    grid_size, degree, ends = grid
    return torch.ops.kancore.ka_product(x, *edges, activation, grid_size, degree, *map(float, ends))
